# ./dev build: configures and builds one preset into build/<preset>.
# shellcheck shell=bash

PRESETS='release debug product asan tsan sim'

cmd_build() {
    local preset=release
    if [[ " $PRESETS " == *" ${1:-} "* && -n ${1:-} ]]; then
        preset=$1
        shift
    fi
    build_preset "$preset" "$@"
    if [[ -x build/$preset/qiao ]]; then
        say "built build/$preset/qiao"
    fi
}

# build_preset PRESET [TARGET…]. Two builds of one preset wait for each other.
build_preset() {
    local preset=$1
    shift
    need_tools
    mkdir -p build
    (
        flock -n 9 || { say "another build of $preset runs; waiting for it" && flock 9; }
        configure "$preset" && compile "$preset" "$@"
    ) 9>"build/.$preset.lock"
}

need_tools() {
    local tool
    for tool in clang++-19 cmake ninja; do
        command -v "$tool" >/dev/null || die "$tool is missing; run: ./dev setup build"
    done
}

configure() {
    local log=build/.$1.configure.log
    # CMake is quick to find nothing to do, and shows its text only when it fails.
    if ! cmake --preset "$1" "-DQIAO_TESTS=$(tests_wanted "$1")" >"$log" 2>&1 9>&-; then
        cat "$log" >&2
        return 1
    fi
}

# The product alone can be built where the test libraries are not installed.
tests_wanted() {
    if [[ $1 != product && -e /usr/include/gtest/gtest.h ]]; then
        echo ON
    else
        echo OFF
    fi
}

compile() {
    local preset=$1 jobs=() targets=()
    shift
    [[ -n ${QIAO_JOBS:-} ]] && jobs=(--parallel "$QIAO_JOBS")
    (($# > 0)) && targets=(--target "$@")
    cmake --build "build/$preset" "${jobs[@]}" "${targets[@]}" 9>&-
}
