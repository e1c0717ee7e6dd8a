# ./dev fresh: runs a command of the README in a bare Debian 12 root and a fresh clone.
# shellcheck shell=bash
#
# All that needs root happens in fresh_root.sh, inside namespaces of its own: when it ends, by any
# cause, the kernel takes its mounts and processes away, and here only the folder is removed.

source "$ROOT/tools/dev/setup.sh"

cmd_fresh() {
    local command=demo user=root ccache=no argument
    for argument in "$@"; do
        case $argument in
            demo | test | setup) command=$argument ;;
            --user) user=visitor ;;
            --ccache) ccache=yes ;;
            *) die "fresh does not know '$argument'" 2 ;;
        esac
    done
    local line="./dev $command"
    [[ $command == setup ]] && line='./dev setup build'
    command -v debootstrap >/dev/null || install_packages debootstrap
    can_be_root || die 'fresh needs root or sudo, for debootstrap and the namespaces'
    prepare_fresh
    say "fresh: $line as $user in a bare Debian 12"
    local begin=$SECONDS outcome=0 sudo=()
    ((EUID == 0)) || sudo=(sudo)
    # In the background, because bash hears a signal at once only while it waits.
    "${sudo[@]}" env HTTP_PROXY_FOR_WGET="$(apt_proxy)" setpriv --pdeathsig KILL \
        unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
        bash tools/dev/fresh_root.sh "$FRESH" "$user" "$ccache" "$line" </dev/null &
    process_of $! >"$FRESH/inside"
    at_exit "end_process '$(cat "$FRESH/inside")'"
    wait $! || outcome=$?
    say "fresh: $line as $user ended with $outcome after $(minutes $((SECONDS - begin))) minutes"
    return "$outcome"
}

# A process told apart for certain: its pid and its start time.
process_of() {
    echo "$1 $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20)"
}

end_process() {
    local pid=${1%% *} children
    [[ -d /proc/$pid && $(process_of "$pid") == "$1" ]] || return 0
    # unshare and sudo let signals pass by; what they started ends with the namespace.
    read -r -a children <"/proc/$pid/task/$pid/children" || true
    as_root kill -KILL "${children[@]}" "$pid" 2>/dev/null || true
    # The namespaces' processes must be gone before their folder goes.
    timeout 20 tail --pid="$pid" -f /dev/null || true
}

# What a run that was killed has left: its processes, then its folder.
remove_stale_roots() {
    local folder owner
    for folder in "${TMPDIR:-/tmp}"/qiao-fresh.*; do
        [[ -O $folder && -f $folder/owner ]] || continue
        owner=$(cat "$folder/owner")
        [[ $(process_of "${owner%% *}") == "$owner" ]] && continue
        [[ -f $folder/inside ]] && end_process "$(cat "$folder/inside")"
        as_root rm -rf --one-file-system "$folder"
    done
}

# Fills $FRESH with what the root will need from here, all of it read by the calling user.
prepare_fresh() {
    remove_stale_roots
    FRESH=$(mktemp -d "${TMPDIR:-/tmp}/qiao-fresh.XXXXXX")
    at_exit "as_root rm -rf --one-file-system '$FRESH'"
    chmod 755 "$FRESH"
    process_of $$ >"$FRESH/owner"
    mkdir -p "$FRESH/carry" "$(fresh_cache)"
    fresh_cache >"$FRESH/cache"
    git rev-parse -q --verify HEAD >/dev/null || die 'fresh clones HEAD, and there is no commit yet'
    git diff --quiet HEAD || say 'fresh: changes that are not committed are left out'
    git bundle create -q "$FRESH/qiao.bundle" HEAD
    apt_sources >"$FRESH/sources.list"
    apt-config dump | grep -iE '^Acquire::(https?|ftp|Check-|Retries|AllowInsecure)' \
        >"$FRESH/apt.conf" || true
    carry_files
    carry_environment
}

fresh_cache() { echo "${XDG_CACHE_HOME:-$HOME/.cache}/qiao"; }

# Debian 12's lines of this machine's own apt configuration, whatever form they are written in.
apt_sources() {
    local found
    found=$(apt_targets)
    if [[ -z $found ]]; then
        as_root apt-get -q update >&2
        found=$(apt_targets)
    fi
    [[ -n $found ]] || die 'apt on this machine names no Debian mirror'
    if grep ' bookworm ' <<<"$found" >/dev/null; then
        awk '$2 ~ /^bookworm/ && $3 == "main" { print "deb", $1, $2, $3 }' <<<"$found" | sort -u
    else
        awk '$2 !~ /security/ && !done++ { print "deb", $1, "bookworm main" }' <<<"$found"
    fi
}

apt_targets() {
    # The format is apt's, not the shell's.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Identifier: Packages' 'Origin: Debian' 2>/dev/null || true
}

apt_proxy() {
    local proxy
    proxy=$(apt-config dump Acquire::http::Proxy | sed -n 's/.*"\(.*\)";/\1/p')
    echo "${http_proxy:-$proxy}"
}

# Files that say how this machine reaches its registries, at the places where they lie here.
carry_files() {
    local file
    for file in /etc/hosts /etc/resolv.conf /etc/npmrc /etc/apt/auth.conf /etc/apt/auth.conf.d/* \
        /usr/local/share/ca-certificates/* "$(npm_certificates)" \
        "${NODE_EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}"; do
        [[ -n $file && -f $file && -r $file ]] || continue
        # The system's own bundle comes with Debian's package in the root, made from the parts.
        [[ $file != /etc/ssl/certs/* ]] || continue
        install -D -m 644 "$(readlink -f "$file")" "$FRESH/carry$file"
    done
    if [[ -f ${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc} ]]; then
        install -m 600 "${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}" "$FRESH/npmrc"
    fi
}

npm_certificates() {
    command -v npm >/dev/null || return 0
    npm config get cafile 2>/dev/null | grep '^/' || true
}

carry_environment() {
    local name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY \
        NODE_EXTRA_CA_CERTS SSL_CERT_FILE "${!npm_config_@}" "${!NPM_CONFIG_@}"; do
        [[ $name == *[Uu][Ss][Ee][Rr][Cc][Oo][Nn][Ff][Ii][Gg] ]] && continue
        if [[ -n ${!name:-} ]]; then
            printf '%s=%s\n' "$name" "${!name}"
        fi
    done >"$FRESH/environment"
}
