# ./dev demo and ./dev bench: set up, build the product, run it where people look.
# shellcheck shell=bash

source "$ROOT/tools/dev/setup.sh"
source "$ROOT/tools/dev/build.sh"

cmd_demo() {
    [[ -f demo/run.py ]] || die 'the demo (demo/run.py) is not there yet'
    local begin=$SECONDS installed built outcome=0
    cmd_setup demo
    installed=$SECONDS
    build_preset product qiao
    built=$SECONDS
    QIAO_BIN=$ROOT/build/product/qiao "$PYTHON" demo/run.py "$@" || outcome=$?
    printf 'minutes: install %s, build %s, run %s, total %s\n' \
        "$(minutes $((installed - begin)))" "$(minutes $((built - installed)))" \
        "$(minutes $((SECONDS - built)))" "$(minutes $((SECONDS - begin)))"
    return "$outcome"
}

cmd_bench() {
    local name=${1:-}
    [[ $name =~ ^[a-z0-9_]+$ ]] || die "bench wants a name; there are: $(bench_names)" 2
    shift
    [[ -f bench/$name.py ]] || die "bench/$name.py is not there; there are: $(bench_names)"
    cmd_setup bench
    build_preset release
    QIAO_BIN=$ROOT/build/release/qiao "$PYTHON" "bench/$name.py" "$@"
}

bench_names() {
    local names=(bench/*.py)
    if [[ -e ${names[0]} ]]; then
        basename -as .py "${names[@]}" | tr '\n' ' '
    else
        echo 'none yet'
    fi
}
