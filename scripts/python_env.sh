# shellcheck shell=bash
# Sourced by the scripts that set up Python.
# shellcheck source=scripts/ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/ground.sh"

# python_env DIR REQUIREMENTS [pip option…]: a virtual environment with exactly these packages.
python_env() {
  local dir="$1" requirements="$2" start wanted
  shift 2
  have python3 || die "no python3 found; the SDK tests need Python 3.10 or newer"
  wanted="$(python3 --version) $* $(digest "$requirements")"
  if [ "$(cat "$dir/.edgehold-installed" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  start=$(now_ms)
  say "setup: installing $requirements into $dir"
  rm -rf "$dir"
  if ! python3 -m venv "$dir"; then
    # Debian keeps venv's installer in a package of its own.
    rm -rf "$dir"
    have apt-get || die "python3 -m venv does not work here"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv
    python3 -m venv "$dir"
  fi
  printf '*\n' >"$dir/.gitignore"
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" -r "$requirements"
  printf '%s\n' "$wanted" >"$dir/.edgehold-installed"
  say "setup: $dir ready ($(seconds "$start"))"
}
