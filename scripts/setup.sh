#!/usr/bin/env bash
# Makes this checkout able to build and test: Rust for wasm, wasm-bindgen, npm packages. Safe to run at any time: what is
# there already is only looked at. Everything lands inside the checkout (.tools/, node_modules/), Debian packages excepted.
set -euo pipefail
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"
lock setup
all_start=$(now_ms)

no_cargo() {
  die "no cargo found. Install Rust 1.88 or newer from https://rustup.rs, or on Debian run:
       apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld-22"
}

# ── Rust that compiles to wasm ────────────────────────────────────────────────────────────────────────────────────────

debian_packages() {
  if [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && have wasm-ld-22 && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    return 0
  fi
  have apt-get || return 1
  local start
  start=$(now_ms)
  say "setup: installing Debian's Rust for the wasm build (rustc-web cargo-web rust-web-src lld-22), about a minute"
  as_root apt-get update -q || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    rustc-web cargo-web rust-web-src lld-22 || return 1
  say "setup: Debian's Rust installed ($(seconds "$start"))"
}

# Debian ships the compiler for wasm, but no standard library; its sources are in rust-web-src. Built once, kept in .tools.
debian_std() {
  debian_std_ready && return 0
  local start work lib
  start=$(now_ms)
  work="$TOOLS/debian-std"
  lib="$DEBIAN_SYSROOT/lib/rustlib/$WASM_TARGET/lib"
  say "setup: building Rust's standard library for wasm with Debian's compiler, about a minute on two cores"
  rm -rf "$work" "$DEBIAN_SYSROOT"
  mkdir -p "$work/src" "$lib"
  printf '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[profile.release]\npanic = "abort"\n' >"$work/Cargo.toml"
  : >"$work/src/lib.rs"
  # -Zbuild-std is unstable, which RUSTC_BOOTSTRAP admits to; bitcode is what lets our own build do LTO through std.
  (cd "$work" && PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/target" \
    /usr/bin/cargo build --release --target "$WASM_TARGET" -Zbuild-std=std,panic_abort,panic_unwind,proc_macro) || return 1
  find "$work/target/$WASM_TARGET/release/deps" -name '*.rlib' ! -name 'libscratch-*' -exec cp {} "$lib/" \;
  /usr/bin/rustc -vV >"$DEBIAN_SYSROOT/built-by"
  rm -rf "$work"
  say "setup: standard library for wasm built ($(seconds "$start"))"
}

# rustc calls the C compiler to link what runs on this machine: build scripts, macros, tests, wasm-bindgen.
if ! have cc; then
  have apt-get || die "no C compiler (cc) found; install one"
  say "setup: installing a C compiler"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends gcc libc6-dev
fi

# Debian's packages put a cargo on PATH, so this comes before the question whether there is one.
if [ "${EDGEHOLD_RUST:-}" = debian ]; then
  debian_packages || die "Debian's Rust packages could not be installed"
  debian_std || die "the standard library for wasm could not be built"
fi
way="$(rust_way)"
if [ -z "$way" ] && [ "${EDGEHOLD_RUST:-}" != debian ] && have rustup; then
  start=$(now_ms)
  say "setup: rustup target add $WASM_TARGET"
  if rustup target add "$WASM_TARGET"; then
    say "setup: wasm target added ($(seconds "$start"))"
  else
    say "setup: rustup could not fetch the wasm target"
  fi
  way="$(rust_way)"
fi
if [ -z "$way" ] && [ -z "${EDGEHOLD_RUST:-}" ]; then
  say "setup: no Rust here can build for wasm yet; trying Debian's"
  if debian_packages && debian_std; then way="$(rust_way)"; fi
fi
have cargo || no_cargo
[ -n "$way" ] || die "no Rust that can build for $WASM_TARGET. With rustup: rustup target add $WASM_TARGET. On Debian 12: see scripts/setup.sh."

# ── wasm-bindgen, in exactly the version the crate was locked to ──────────────────────────────────────────────────────

if [ ! -f Cargo.lock ]; then
  warn "Cargo.lock is missing; making one (commit it)"
  cargo generate-lockfile
fi
bindgen_version="$(locked_version wasm-bindgen)"
[ -n "$bindgen_version" ] || die "Cargo.lock does not name wasm-bindgen"
if [ "$(wasm-bindgen --version 2>/dev/null)" != "wasm-bindgen $bindgen_version" ]; then
  start=$(now_ms)
  say "setup: compiling wasm-bindgen-cli $bindgen_version into .tools/, one to two minutes on two cores"
  # A tool that runs for a tenth of a second does not need the optimiser's best: this profile takes a third of the time.
  bindgen_install() {
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
      CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR="$TOOLS/wasm-bindgen-target" \
      CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback \
      cargo install --force --root "$TOOLS" --bin wasm-bindgen "$@" "wasm-bindgen-cli@$bindgen_version"
  }
  if ! bindgen_install --locked; then
    # A registry mirror that holds back fresh releases may lack one its lock file names. The output of wasm-bindgen does
    # not depend on the versions of its HTTP client, so the nearest versions will do; but it is said.
    warn "wasm-bindgen-cli's own lock file cannot be satisfied here; installing it with the versions this registry has"
    bindgen_install
  fi
  rm -rf "$TOOLS/wasm-bindgen-target"
  [ "$(wasm-bindgen --version)" = "wasm-bindgen $bindgen_version" ] || die "wasm-bindgen $bindgen_version was installed but does not run"
  say "setup: wasm-bindgen $bindgen_version installed ($(seconds "$start"))"
fi

# ── npm: wrangler, workerd, esbuild, wasm-opt, Node 22, the SDKs the tests use ────────────────────────────────────────

have npm || die "no npm found. Install Node.js 20 or newer (https://nodejs.org); Node 22 for the tools then comes from npm itself."
npm_stamp=node_modules/.edgehold-installed
npm_wanted="$(digest package-lock.json package.json)"
if [ "$(cat "$npm_stamp" 2>/dev/null)" != "$npm_wanted" ]; then
  start=$(now_ms)
  say "setup: installing npm packages as package-lock.json has them, about 20 s"
  # Not `npm ci`: it refuses the lock when a registry lacks an optional package for another platform (workerd's for macOS).
  # The versions and checksums are the lock's all the same, and --no-save leaves the lock alone.
  npm install --no-save --no-audit --no-fund --loglevel=error
  for tool in node esbuild workerd wasm-opt wrangler; do
    [ -x "node_modules/.bin/$tool" ] || die "npm did not install $tool"
  done
  case "$(node_modules/.bin/node --version 2>/dev/null)" in
    v22.*) ;;
    *) die "node_modules/.bin/node does not run; were npm's install scripts switched off (ignore-scripts)?" ;;
  esac
  printf '%s\n' "$npm_wanted" >"$npm_stamp"
  say "setup: npm packages installed ($(seconds "$start"))"
fi

say "setup: ready in $(seconds "$all_start") (Rust for wasm: $way; wasm-bindgen $bindgen_version)"
