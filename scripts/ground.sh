# shellcheck shell=bash
# Sourced by the other scripts: where things are, how steps are reported, which Rust builds the wasm.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT" || exit 1
TOOLS="$ROOT/.tools"

# Node 22 from node_modules wins over an older one of the machine; the pinned wasm-bindgen over another one.
export PATH="$ROOT/node_modules/.bin:$TOOLS/bin:$PATH"
# Nothing here needs to phone home, and none of it may wait for an answer from a keyboard it does not have.
export WRANGLER_SEND_METRICS="${WRANGLER_SEND_METRICS:-false}"

WASM_TARGET=wasm32-unknown-unknown

say() { printf '%s\n' "$*"; }
warn() { printf 'WARNING: %s\n' "$*" >&2; }
die() { printf 'ERROR: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

now_ms() {
  if [ -n "${EPOCHREALTIME:-}" ]; then
    local t="${EPOCHREALTIME/[.,]/}"
    echo $((t / 1000))
  else
    echo $((SECONDS * 1000)) # bash before 5: whole seconds are the best there is
  fi
}
# seconds START_MS: the time since then, as "1.2 s"
seconds() {
  local d=$(($(now_ms) - $1))
  printf '%d.%d s' $((d / 1000)) $((d % 1000 / 100))
}

digest() { if have sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi }

# lock NAME: one process at a time from here to its end; a second one waits instead of writing the same files.
lock() {
  mkdir -p "$TOOLS"
  exec 9>"$TOOLS/$1.lock"
  if have flock; then
    flock -n 9 || { say "$1: waiting for another run to finish"; flock 9; }
  fi
}

# Runs a command as root, or says which one has to be run.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo && sudo -n true 2>/dev/null; then sudo "$@"
  else die "needs root; run this yourself, then try again: $*"
  fi
}

# locked_version CRATE: its version in Cargo.lock, the only place where it is written down.
locked_version() {
  awk -v want="name = \"$1\"" '$0 == want { getline; gsub(/version = |"/, ""); print; exit }' Cargo.lock
}

# Does this rustc have a standard library for wasm?
has_wasm_std() {
  local dir
  dir="$("$1" --target "$WASM_TARGET" --print target-libdir 2>/dev/null)" || return 1
  compgen -G "$dir/libcore-*.rlib" >/dev/null
}

# Debian's compiler keeps its wasm standard library, built by setup.sh, in a sysroot of its own under .tools/.
DEBIAN_SYSROOT="$TOOLS/debian-sysroot"
DEBIAN_TARGET_DIR=target/debian
debian_std_ready() {
  [ -x /usr/bin/rustc ] && [ "$(cat "$DEBIAN_SYSROOT/built-by" 2>/dev/null)" = "$(/usr/bin/rustc -vV)" ]
}

# rust_way: `path` when the cargo on PATH can build wasm, `debian` when Debian's can, empty when neither (yet).
# EDGEHOLD_RUST=path|debian forces one.
rust_way() {
  case "${EDGEHOLD_RUST:-}" in
    "")
      if have rustc && has_wasm_std rustc; then echo path
      elif debian_std_ready; then echo debian
      fi ;;
    path) if have rustc && has_wasm_std rustc; then echo path; fi ;;
    debian) if debian_std_ready; then echo debian; fi ;;
    *) die "EDGEHOLD_RUST is '$EDGEHOLD_RUST'; it can be path or debian" ;;
  esac
}

# wasm_env WAY COMMAND…: runs cargo (or another Rust command) set up for the wasm target.
wasm_env() {
  local way="$1"
  shift
  if [ "$way" = debian ]; then
    PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$DEBIAN_TARGET_DIR" \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22 \
      CARGO_ENCODED_RUSTFLAGS=$'--sysroot\x1f'"$DEBIAN_SYSROOT" "$@"
  else
    "$@"
  fi
}
