# Shared by the parts of ./dev: words to the user, times, paths. Sourced, never run.
# shellcheck shell=bash

export LC_ALL=C.UTF-8
# Debian keeps debootstrap, ip and others where an ordinary user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# Debian's own Python is the one that has Debian's modules.
# shellcheck disable=SC2034
PYTHON=/usr/bin/python3
# Objects are the same in every clone: the paths inside them are relative.
export CCACHE_NOHASHDIR=1
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$ROOT}

say() { printf '== %s\n' "$*" >&2; }

die() {
    printf 'dev: %s\n' "$1" >&2
    exit "${2:-1}"
}

# Seconds as minutes with one decimal: 95 → 1.6
minutes() { awk -v s="$1" 'BEGIN { printf "%.1f", s / 60 }'; }

# A folder that every command of this run may use; gone when ./dev ends.
scratch() {
    if [[ -z ${SCRATCH:-} ]]; then
        SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/qiao-dev.XXXXXX")
        at_exit "rm -rf '$SCRATCH'"
    fi
}

# Runs commands at exit, last one first, also after an error or a signal.
AT_EXIT=()
at_exit() {
    AT_EXIT+=("$1")
    trap run_at_exit EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

run_at_exit() {
    local status=$? i
    trap - EXIT
    for ((i = ${#AT_EXIT[@]} - 1; i >= 0; i--)); do
        eval "${AT_EXIT[i]}" || true
    done
    exit "$status"
}
