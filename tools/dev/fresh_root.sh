#!/usr/bin/env bash
# fresh_root.sh FOLDER USER yes|no WORDS: the part of ./dev fresh that runs as root, as process 1
# of namespaces that ./dev fresh has just made. Makes the root in FOLDER/root and runs WORDS there.
set -euo pipefail
export LC_ALL=C.UTF-8

FRESH=$1
VISITOR=$2
CCACHE=$3
WORDS=$4
NEW=$FRESH/root

main() {
    begin=$SECONDS
    make_root
    echo "== fresh: bare root after $((SECONDS - begin)) s" >&2
    configure_root
    mount_root
    clone
    run_inside
}

# A root as debootstrap leaves it, from a cache of this user or from the mirror.
make_root() {
    local mirror cached log=$FRESH/debootstrap.log include=()
    cached=$(cat "$FRESH/cache")/bookworm-$(dpkg --print-architecture).tar
    mkdir "$NEW"
    if [[ -f $cached && -n $(find "$cached" -mtime -7) ]]; then
        tar -xf "$cached" -C "$NEW" --numeric-owner
        return
    fi
    mirror=$(awk '$3 == "bookworm" { print $2; exit }' "$FRESH/sources.list")
    [[ -n $HTTP_PROXY_FOR_WGET ]] && export http_proxy=$HTTP_PROXY_FOR_WGET
    # apt reaches an https mirror only with certificates.
    [[ $mirror == https:* ]] && include=(--include=ca-certificates)
    if ! debootstrap --variant=minbase "${include[@]}" bookworm "$NEW" "$mirror" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        exit 1
    fi
    rm -f "$NEW"/var/cache/apt/archives/*.deb
    # Whole or not at all: another run may read it at this moment.
    tar -cf "$cached.$$.new" -C "$NEW" --numeric-owner .
    mv "$cached.$$.new" "$cached"
}

# The machine's way to its registries, and nothing else of it.
configure_root() {
    cp "$FRESH/sources.list" "$NEW/etc/apt/sources.list"
    cp "$FRESH/apt.conf" "$NEW/etc/apt/apt.conf.d/90fresh"
    rm -f "$NEW/etc/resolv.conf"
    cp -a "$FRESH/carry/." "$NEW/"
    chown -R root:root "$NEW/etc/apt"
}

mount_root() {
    local node
    mount --bind "$NEW" "$NEW"
    mount -t proc proc "$NEW/proc"
    mount --rbind /sys "$NEW/sys"
    mount -t tmpfs -o mode=755 tmpfs "$NEW/dev"
    for node in null zero full random urandom tty; do
        touch "$NEW/dev/$node"
        mount --bind "/dev/$node" "$NEW/dev/$node"
    done
    mkdir "$NEW/dev/pts" "$NEW/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$NEW/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$NEW/dev/shm"
    ln -s pts/ptmx "$NEW/dev/ptmx"
    ln -s /proc/self/fd "$NEW/dev/fd"
    ln -s fd/0 "$NEW/dev/stdin"
    ln -s fd/1 "$NEW/dev/stdout"
    ln -s fd/2 "$NEW/dev/stderr"
    if [[ $CCACHE == yes ]]; then
        mkdir -p "$(cat "$FRESH/cache")/ccache" "$NEW/ccache"
        mount --bind "$(cat "$FRESH/cache")/ccache" "$NEW/ccache"
        chmod 1777 "$NEW/ccache"
        printf 'CCACHE_DIR=/ccache\nCCACHE_UMASK=000\n' >>"$FRESH/environment"
    fi
}

# A clone by this machine's git, because a bare root has none.
clone() {
    HOUSE=/root
    if [[ $VISITOR != root ]]; then
        HOUSE=/home/$VISITOR
        add_visitor
    fi
    git -c advice.detachedHead=false clone -q "$FRESH/qiao.bundle" "$NEW$HOUSE/qiao"
    if [[ -f $FRESH/npmrc ]]; then
        install -m 600 "$FRESH/npmrc" "$NEW$HOUSE/.npmrc"
    fi
    if [[ $VISITOR != root ]]; then
        chroot "$NEW" chown -R "$VISITOR:$VISITOR" "$HOUSE"
    fi
}

# An ordinary user, and the sudo that an installed Debian gives to its first user.
add_visitor() {
    chroot "$NEW" apt-get -qq update
    chroot "$NEW" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends sudo >/dev/null
    chroot "$NEW" useradd -m -s /bin/bash "$VISITOR"
    {
        echo "$VISITOR ALL=(ALL) NOPASSWD: ALL"
        echo 'Defaults env_keep += "http_proxy https_proxy no_proxy"'
    } >"$NEW/etc/sudoers.d/visitor"
}

# From here the new root is all there is: the old one is unmounted before the command starts.
run_inside() {
    local -a environment
    mapfile -t environment <"$FRESH/environment"
    environment+=("HOME=$HOUSE" "USER=$VISITOR" "TERM=dumb"
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    local as=()
    [[ $VISITOR != root ]] && as=(setpriv "--reuid=$VISITOR" "--regid=$VISITOR" --init-groups)
    cd "$NEW"
    mkdir -p .old
    pivot_root . .old
    # Expanded by the shell inside.
    # shellcheck disable=SC2016
    chroot . /usr/bin/env -i "${environment[@]}" /bin/bash -c '
        umount -l /.old && rmdir /.old && cd "$HOME/qiao" && words=$1 && shift && exec "$@" $words
    ' fresh "$WORDS" "${as[@]}"
}

main
