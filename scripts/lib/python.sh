# shellcheck shell=bash
# The choice of a Python, for scripts/bootstrap and .ci/python. Uses no program but those it chooses from.

# find_python: print the first Python that is new enough; where there are several, the first that was built
# with optimisations: it runs the stack up to an eighth faster. PYTHON may name one.
find_python() {
  local name found first=
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    found=$(command -v "$name") || continue
    "$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || continue
    if [[ $name == "${PYTHON:-}" ]] || is_optimised "$found"; then
      echo "$found"
      return
    fi
    first=${first:-$found}
  done
  if [[ -n $first ]]; then
    echo "$first"
    return
  fi
  echo "Taskreel needs Python 3.11 or newer; install it, or name one: PYTHON=/path/to/python3.12 scripts/bootstrap" >&2
  return 1
}

# is_optimised PYTHON: a distribution's own build is optimised without saying so; some lack what
# `python -m venv` needs.
is_optimised() {
  "$1" -c 'import ensurepip, sys, sysconfig
optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
sys.exit(not optimised and sys.prefix != "/usr")' 2> /dev/null
}
