# ./dev demo and ./dev bench: set up, build the product, run it where people look.
# shellcheck shell=bash
#
# Both end as the Python program that they start: a signal to ./dev then reaches who cleans up.

source "$ROOT/tools/dev/setup.sh"
source "$ROOT/tools/dev/build.sh"

cmd_demo() {
    local begin=$SECONDS installed
    if [[ " $* " != *' --stop '* && " $* " != *' --help '* ]]; then
        cmd_setup demo
        installed=$SECONDS
        build_preset product qiao
        # Seconds of install and build; the program prints all minutes at its end.
        export QIAO_SPENT="$((installed - begin)) $((SECONDS - installed))"
    fi
    QIAO_BIN=$ROOT/build/product/qiao exec "$PYTHON" -B demo/run.py "$@"
}

cmd_bench() {
    local name=${1:-}
    [[ $name =~ ^[a-z0-9_]+$ ]] || die "bench wants a name; there are: $(bench_names)" 2
    shift
    [[ " $(bench_names) " == *" $name "* ]] ||
        die "there is no bench '$name'; there are: $(bench_names)" 2
    cmd_setup bench
    build_preset product qiao
    QIAO_BIN=$ROOT/build/product/qiao exec "$PYTHON" -B "bench/$name.py" "$@"
}

# A bench is a program; the other files in the folder serve them.
bench_names() {
    local file names=()
    for file in bench/*.py; do
        [[ -x $file ]] && names+=("$(basename "$file" .py)")
    done
    echo "${names[*]:-none yet}"
}
