# ./dev test and ./dev soak: the stages, cheapest first, their minutes and the sum of their tests.
# shellcheck shell=bash

source "$ROOT/tools/dev/setup.sh"
source "$ROOT/tools/dev/build.sh"
source "$ROOT/tools/dev/lint.sh"

LABELS='unit contract integration sim oracle system fuzz tidy hot'

# A sanitizer's report ends the test and names functions instead of addresses.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-/usr/bin/llvm-symbolizer-19}

cmd_test() {
    local preset=release
    case ${1:-} in
        --table) show_table; return ;;
        --preset)
            preset=${2:?--preset wants a name}
            shift 2
            ;;
    esac
    local label
    for label in "$@"; do
        [[ " $LABELS " == *" $label "* ]] || die "no label '$label'; there are: $LABELS" 2
    done
    scratch
    : >"$SCRATCH/counts"
    STAGES=()
    BEGAN=$SECONDS
    local outcome=0
    if (($# == 0)); then
        all_stages || outcome=1
    else
        some_labels "$preset" "$@" || outcome=1
    fi
    summary "$outcome"
    return "$outcome"
}

# The table of named parts and bad inputs: each line by the test that shows it.
show_table() {
    cmd_setup test && build_preset release && "$PYTHON" tools/table.py
}

# The first stage that fails ends the run.
all_stages() {
    stage setup cmd_setup test &&
        stage tidy tidy_tests &&
        stage 'release build' build_preset release &&
        stage unit run_label release unit &&
        stage hot count_hot_paths &&
        stage 'asan build' build_test_programs asan &&
        stage asan run_label asan 'unit|contract' &&
        stage contract run_label release contract &&
        stage 'sim build' build_preset sim qiao_sim &&
        stage sim simulate &&
        stage integration run_label release integration &&
        stage oracle play_oracle "${QIAO_SEED:-800}" &&
        stage fuzz run_label asan fuzz &&
        stage system run_label release system
}

some_labels() {
    local preset=$1 ctest_labels=() label
    shift
    stage setup cmd_setup test || return 1
    for label in "$@"; do
        if [[ $label == tidy ]]; then
            stage tidy tidy_tests || return 1
        elif [[ $label == sim ]]; then
            stage 'sim build' build_preset sim qiao_sim || return 1
            stage sim simulate || return 1
        elif [[ $label == hot ]]; then
            stage hot count_hot_paths || return 1
        elif [[ $label == oracle ]]; then
            stage 'release build' build_preset release qiao || return 1
            stage oracle play_oracle "${QIAO_SEED:-800}" || return 1
        else
            ctest_labels+=("$label")
        fi
    done
    ((${#ctest_labels[@]} == 0)) && return 0
    local pattern
    pattern=$(IFS='|' && echo "${ctest_labels[*]}")
    stage "$preset build" build_preset "$preset" &&
        stage "$pattern" run_label "$preset" "$pattern"
}

# stage NAME COMMAND…: runs it and notes its minutes and whether it passed.
stage() {
    local name=$1 start=$SECONDS outcome=passed
    shift
    say "stage: $name"
    # In a shell of its own, so that a part that gives up ends the stage and not the summary.
    # shellcheck disable=SC2034
    (AT_EXIT=() && "$@") || outcome=FAILED
    STAGES+=("$(printf '%-16s %6s min  %s' "$name" "$(minutes $((SECONDS - start)))" "$outcome")")
    [[ $outcome == passed ]]
}

# The simulator, its planted bugs, and how much of the product has run inside it.
simulate() {
    "$PYTHON" tools/sim.py build/sim/qiao_sim --first "${QIAO_SEED:-1}"
}

# What a change costs in instructions, against the bounds.
count_hot_paths() {
    local outcome=passed
    build_preset release hot_paths &&
        "$PYTHON" tools/hot.py build/release/hot_paths || outcome=FAILED
    [[ $outcome == passed ]] && echo '1 0 0' >>"$SCRATCH/counts" || echo '0 1 0' >>"$SCRATCH/counts"
    [[ $outcome == passed ]]
}

# Real clusters and agents under random trouble; more runs by QIAO_ORACLE_RUNS, others by QIAO_SEED.
play_oracle() {
    local outcome=passed
    QIAO_BIN="$ROOT/build/release/qiao" "$PYTHON" tests/oracle/oracle.py \
        --runs "${QIAO_ORACLE_RUNS:-8}" --first "$1" || outcome=FAILED
    [[ $outcome == passed ]] && echo '1 0 0' >>"$SCRATCH/counts" || echo '0 1 0' >>"$SCRATCH/counts"
    [[ $outcome == passed ]]
}

# Builds what ctest runs, and leaves the product out where the preset has a target for that.
build_test_programs() {
    local preset=$1 target=${2:-tests}
    build_preset "$preset" help >/dev/null || return 1
    if ninja -C "build/$preset" -t targets all 2>/dev/null | grep "^$target: phony" >/dev/null; then
        build_preset "$preset" "$target"
    else
        build_preset "$preset"
    fi
}

# run_label PRESET 'label|label': ctest, with servers for the labels that want them.
run_label() {
    local preset=$1 pattern="^($2)\$" around=() parallel log outcome=0
    log=$(mktemp "$SCRATCH/ctest.XXXXXX")
    parallel=${QIAO_JOBS:-$(nproc)}
    if [[ $2 =~ integration|system ]]; then
        around=("$PYTHON" tools/servers.py run --postgres 2 --)
    fi
    if ! ctest --test-dir "build/$preset" -N -L "$pattern" | grep 'Test *#' >/dev/null; then
        say "no test has the label $2 yet"
        # A tree without unit tests is a broken tree.
        [[ $2 != unit ]]
        return
    fi
    "${around[@]}" ctest --test-dir "build/$preset" -L "$pattern" --output-on-failure \
        --timeout 900 --parallel "$parallel" 2>&1 | tee "$log" || outcome=1
    count_ctest "$log"
    return "$outcome"
}

# Adds "<passed> <failed> <skipped>" of one ctest run to the sum.
count_ctest() {
    awk '/tests passed, .* tests? failed out of/ { failed = $4; total = $NF }
         /\*\*\*Skipped/ { skipped++ }
         END { print total - failed - skipped, failed + 0, skipped + 0 }' "$1" >>"$SCRATCH/counts"
}

summary() {
    local line
    printf '\n'
    ccache_line
    for line in "${STAGES[@]}"; do
        echo "$line"
    done
    printf '%-16s %6s min\n\n' total "$(minutes $((SECONDS - BEGAN)))"
    # A stage can fail without a test (a build does): then the line must not look like success.
    awk -v outcome="$1" '
        { passed += $1; failed += $2; skipped += $3 }
        END {
            if (outcome && !failed) failed = 1
            printf "%d passed, %d failed", passed, failed
            if (skipped) printf ", %d skipped", skipped
            print ""
        }' "$SCRATCH/counts"
}

ccache_line() {
    command -v ccache >/dev/null || return 0
    ccache --show-stats 2>/dev/null | awk 'NR <= 4 { gsub(/ +/, " "); printf "%s;", $0 }
        END { print "" }' | sed 's/^/ccache: /; s/;$//'
}

cmd_soak() {
    cmd_setup test
    "$PYTHON" tools/soak.py "$@"
}
