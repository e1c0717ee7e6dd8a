#!/usr/bin/env python3
"""Collects `Spec:` tags into docs/reference/trace.md: clause, code, test.

    tools/trace.py            writes the page
    tools/trace.py --check    exits 1 when the page is stale or a tag is wrong

A tag is a comment line `Spec: R-20, H-28`. In code it stands in the comment of a declaration, in a
test in the comment right above `TEST(…)` or `def test_…`. tools/clauses.txt lists every clause:
id, short title and, after a further tab, what is still missing where a clause is shown in part.
A clause is *shown* only with a tag in code, a tag at a test, and nothing missing.
"""

import re
import sys
from collections import defaultdict, namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sources import ROOT, TEST_SUFFIX, tracked  # noqa: E402

CLAUSES = "tools/clauses.txt"
PAGE = "docs/reference/trace.md"

TAG = re.compile(r"^\s*(?://[/!]?|#|\*|--)\s*(?:@?\w+\s)?Spec:\s*(.*)$")
CLAUSE = re.compile(r"\b[HR]-\d\d\b")
COMMENT = re.compile(r"^\s*(//|#)")
TEST = re.compile(r"^\s*(?:TYPED_|)TEST(?:_F|_P|)\(\s*(\w+)\s*,\s*(\w+)")
PROPERTY = re.compile(r"^\s*RC_GTEST_(?:FIXTURE_)?PROP\(\s*(\w+)\s*,\s*(\w+)")
PYTHON_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)")

Clause = namedtuple("Clause", "id title missing")
Tag = namedtuple("Tag", "clause path line test")


def clauses(root):
    rows = []
    for line in (root / CLAUSES).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            identifier, title, *missing = line.split("\t")
            rows.append(Clause(identifier, title, missing[0] if missing else ""))
    return rows


def is_test_file(path):
    return bool(TEST_SUFFIX.search(path.stem)) or (
        path.suffix == ".py" and (path.stem.startswith("test_") or "tests" in path.parts)
    )


def tagged_files(root, files):
    for path in files:
        top = path.relative_to(root).parts[0]
        if path.suffix in (".cpp", ".h", ".def", ".py", ".sql") and top in ("src", "tests"):
            yield path


def test_below(lines, index):
    """The name of the test whose comment holds line `index`; None when there is none."""
    for line in lines[index + 1:]:
        if COMMENT.match(line):
            continue
        if re.match(r"^\s*@", line):  # a decorator
            continue
        found = TEST.match(line) or PROPERTY.match(line)
        if found:
            return f"{found[1]}.{found[2]}"
        found = PYTHON_TEST.match(line)
        return found[1] if found else None
    return None


def collect(root, files):
    """All tags, and what is wrong with some of them as (path, line, text)."""
    known = {clause.id for clause in clauses(root)}
    tags, wrong = [], []
    for path in tagged_files(root, files):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        for index, line in enumerate(lines):
            match = TAG.match(line)
            if not match:
                continue
            test = test_below(lines, index) if is_test_file(path) else ""
            if test is None:
                wrong.append((path, index + 1, "`Spec:` stands above no test"))
                continue
            named = CLAUSE.findall(match[1])
            if not named:
                wrong.append((path, index + 1, "`Spec:` names no clause such as R-20"))
            for clause in named:
                if clause in known:
                    tags.append(Tag(clause, path, index + 1, test))
                else:
                    wrong.append((path, index + 1, f"there is no clause {clause}"))
    return tags, wrong


def problems(root, files):
    return collect(root, files)[1]


def state(clause, code, tests):
    if code and tests:
        return f"partly: {clause.missing}" if clause.missing else "shown"
    if code:
        return "partly: no test shows it"
    if tests:
        return "partly: no code names it"
    return "open"


def link(root, path, text):
    return f"[{text}](../../{path.relative_to(root).as_posix()})"


def cell(links):
    return "<br>".join(dict.fromkeys(links))


def render(root, files):
    tags, _ = collect(root, files)
    code, tests = defaultdict(list), defaultdict(list)
    for tag in tags:
        name = tag.path.relative_to(root).as_posix().removeprefix("src/qiao/")
        if tag.test:
            tests[tag.clause].append(link(root, tag.path, tag.test))
        else:
            code[tag.clause].append(link(root, tag.path, name))
    rows, counts = [], defaultdict(int)
    for clause in clauses(root):
        its_state = state(clause, code[clause.id], tests[clause.id])
        counts[its_state.split(":")[0]] += 1
        rows.append(f"| {clause.id} | {clause.title} | {its_state} "
                    f"| {cell(code[clause.id])} | {cell(tests[clause.id])} |")
    head = [
        "# Clause trace",
        "",
        "Made by `tools/trace.py` from the `Spec:` tags in code and tests; do not edit. H-… are",
        "the clauses of the city platform's interface specification, R-… those of the",
        "ministry–province synchronisation specification. A clause is *shown* when code and a",
        "test carry its tag.",
        "",
        f"{counts['shown']} shown, {counts['partly']} partly, {counts['open']} open.",
        "",
        "| clause | what it asks | state | code | tests |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(head + rows) + "\n"


def main(arguments):
    files = tracked(ROOT)
    page = ROOT / PAGE
    wrong = problems(ROOT, files)
    for path, line, text in wrong:
        print(f"{path.relative_to(ROOT)}:{line}: {text}")
    text = render(ROOT, files)
    if arguments == ["--check"]:
        stale = not page.exists() or page.read_text(encoding="utf-8") != text
        if stale:
            print(f"{PAGE} is stale; run: tools/trace.py")
        return 1 if stale or wrong else 0
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
