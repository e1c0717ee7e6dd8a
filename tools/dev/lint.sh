# ./dev lint and ./dev fmt: the form of the sources.
# shellcheck shell=bash

CLANG_FORMAT=clang-format-19
CLANG_TIDY=clang-tidy-19

cmd_fmt() {
    need_linters
    sources | xargs -0r "$CLANG_FORMAT" -i
    "$PYTHON" tools/errors.py
    "$PYTHON" tools/trace.py
}

cmd_lint() {
    source "$ROOT/tools/dev/build.sh"
    need_linters
    check_format
    "$PYTHON" tools/tidy.py
    local files
    mapfile -t files < <(changed_sources)
    if ((${#files[@]} == 0)); then
        say 'clang-tidy: no source has changed'
        return 0
    fi
    say "clang-tidy: ${files[*]}"
    (mkdir -p build && flock 9 && configure debug) 9>build/.debug.lock
    printf '%s\0' "${files[@]}" |
        xargs -0 -n 1 -P "$(nproc)" "$CLANG_TIDY" -p build/debug --quiet
}

need_linters() {
    local tool
    for tool in "$CLANG_FORMAT" "$CLANG_TIDY"; do
        command -v "$tool" >/dev/null || die "$tool is missing; run: ./dev setup test"
    done
}

# Every C++ file that git knows or would take, each ended by a NUL.
sources() { git ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.h'; }

check_format() {
    sources | xargs -0r "$CLANG_FORMAT" --dry-run --Werror
}

# Changed since QIAO_LINT_BASE; without it, since the last commit, or in it when all is committed.
changed_sources() {
    local base=${QIAO_LINT_BASE:-HEAD}
    if [[ $base == HEAD ]] && git diff --quiet HEAD 2>/dev/null; then
        base=$(git rev-parse -q --verify HEAD~1) || return 0
    fi
    {
        git diff --name-only --diff-filter=d "$base" -- 'src/*.cpp'
        git ls-files --others --exclude-standard -- 'src/*.cpp'
    } | sort -u
}

# The stage `tidy`: format, style (generated pages included), and the tools' own tests.
tidy_tests() {
    local failed=0 passed=0 check
    for check in check_format tidy_py tools_tests soak_record; do
        if "$check"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            say "tidy: $check failed"
        fi
    done
    echo "$passed $failed 0" >>"$SCRATCH/counts"
    ((failed == 0))
}

tidy_py() { "$PYTHON" tools/tidy.py; }

tools_tests() {
    "$PYTHON" -m unittest discover -q -s tools/tests -p '*_test.py' &&
        "$PYTHON" -m unittest discover -q -s tests/oracle -p '*_test.py'
}

soak_record() { "$PYTHON" tools/soak.py --check; }
