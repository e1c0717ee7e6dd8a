# ./dev setup: installs Debian packages that are missing, and starts no system service.
# shellcheck shell=bash

cmd_setup() {
    local list=${1:-test}
    case $list in
        build | demo | test | bench) ;;
        *) die "no package list '$list'; there are build, demo, test and bench" 2 ;;
    esac
    [[ -r /etc/debian_version ]] || die "setup knows Debian 12 only; see tools/packages/$list.txt"
    local missing
    mapfile -t missing < <(missing_packages "$list")
    if ((${#missing[@]} == 0)); then
        say "setup $list: nothing is missing"
        return 0
    fi
    say "setup $list installs: ${missing[*]}"
    install_packages "${missing[@]}"
}

# Prints the packages of a list, those that it includes first.
packages_of() {
    local words
    while read -r -a words; do
        case ${words[0]:-} in
            '' | '#'*) ;;
            include) packages_of "${words[1]}" ;;
            *)
                if [[ ${words[1]:-} != unless ]] || ! command -v "${words[2]}" >/dev/null; then
                    echo "${words[0]}"
                fi
                ;;
        esac
    done <"$ROOT/tools/packages/$1.txt"
}

missing_packages() {
    local package
    for package in $(packages_of "$1" | sort -u); do
        is_installed "$package" || echo "$package"
    done
}

is_installed() {
    local state
    state=$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) || return 1
    [[ $state == 'install ok installed' ]]
}

# Runs the command as root: directly, or through sudo.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() {
    ((EUID == 0)) && return 0
    command -v sudo >/dev/null || return 1
    # With nobody at the terminal sudo must not wait for a password.
    sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }
}

install_packages() {
    if ! can_be_root; then
        printf 'This needs root, and sudo cannot be used here. Let an administrator run:\n' >&2
        printf 'apt-get update && apt-get install --no-install-recommends %s\n' "$*"
        exit 1
    fi
    update_lists_if_needed "$@"
    forbid_services
    if ! apt_install "$@"; then
        say "apt could not install; trying once more with fresh package lists"
        as_root apt-get -q update
        apt_install "$@" || die "apt could not install: $*"
    fi
    allow_services
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
        apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@"
}

# A list from yesterday serves as well; only a package without a candidate asks for a new one.
update_lists_if_needed() {
    local package
    for package in "$@"; do
        if ! apt-cache policy "$package" 2>/dev/null | grep 'Candidate: [^(]' >/dev/null; then
            as_root apt-get -q update
            return 0
        fi
    done
}

# While packages are installed, nothing starts a daemon (exit 101 of policy-rc.d says "not
# allowed") and PostgreSQL makes no cluster of its own. What we put there is taken away again.
POLICY=/usr/sbin/policy-rc.d
NO_CLUSTER=/etc/postgresql-common/createcluster.d/qiao-setup.conf

forbid_services() {
    at_exit allow_services
    if [[ ! -e $POLICY ]]; then
        POLICY_IS_OURS=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
    NO_CLUSTER_IS_OURS=1
    as_root mkdir -p "${NO_CLUSTER%/*}"
    echo 'create_main_cluster = false' | as_root tee "$NO_CLUSTER" >/dev/null
}

allow_services() {
    if [[ ${POLICY_IS_OURS:-0} == 1 ]]; then
        as_root rm -f "$POLICY"
        POLICY_IS_OURS=0
    fi
    if [[ ${NO_CLUSTER_IS_OURS:-0} == 1 ]]; then
        as_root rm -f "$NO_CLUSTER"
        # The folders stay when a package or somebody else uses them.
        as_root rmdir "${NO_CLUSTER%/*}" "${NO_CLUSTER%/*/*}" 2>/dev/null || true
        NO_CLUSTER_IS_OURS=0
    fi
}
