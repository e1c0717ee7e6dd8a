#!/usr/bin/env python3
"""The table of named parts and bad inputs, each line by the test that shows it.

    tools/table.py            runs the tests that tests/table.tsv names and prints its lines
    tools/table.py --check    exits 1 when a line names a test or a code that is not there
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict, namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import errors  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
LINES = ROOT / "tests/table.tsv"
SYSTEM = ROOT / "tests/system"
BUILD = ROOT / "build/release"
OPEN = "open"
TOLD = "> "

Line = namedtuple("Line", "part name done code test")


def lines():
    for row in LINES.read_text(encoding="utf-8").splitlines():
        if row and not row.startswith("#"):
            cells = row.split("\t")
            # An open line may leave out what is between.
            cells = cells[:2] + [""] * (5 - len(cells)) + cells[2:]
            yield Line(*(cell.strip() for cell in cells))


def catalogue():
    return {entry.name: entry for part in errors.parts(errors.ROOT)
            for entry in errors.entries(part.path)}


def is_there(test):
    """Whether a test of this name stands in the sources."""
    program, _, name = test.partition(" ")
    group, _, case = name.partition(".")
    if program.endswith(".py"):
        path = SYSTEM / program
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return f"class {group}(" in text and f"def {case}(" in text
    wanted = re.compile(rf"TEST(_F|_P)?\(\s*{group},\s*{case}\s*\)")
    return any(wanted.search(path.read_text(encoding="utf-8"))
               for folder in ("src", "tests") for path in (ROOT / folder).rglob("*test.cpp"))


def problems():
    known = catalogue()
    for line in lines():
        code = line.code.removeprefix(TOLD)
        if code and code not in known:
            yield f"{line.part}: {line.name}: no code {code}"
        if line.test != OPEN and not is_there(line.test):
            yield f"{line.part}: {line.name}: no test {line.test}"


def run_system(program, names, notes):
    """The names of those that did not pass."""
    done = subprocess.run(
        ["/usr/bin/python3", str(SYSTEM / program), *names], text=True, capture_output=True,
        env={**os.environ, "QIAO_BIN": str(BUILD / "qiao"), "QIAO_TABLE": str(notes)})
    bad = set(re.findall(r"^(?:FAIL|ERROR): (\w+)", done.stderr, re.MULTILINE))
    skipped = re.findall(r"^(\w+) \(__main__.*skipped '(.*)'", done.stderr, re.MULTILINE)
    if done.returncode != 0:
        print(done.stderr[-4000:], file=sys.stderr)
        if not bad:
            return set(names)
    bad |= {name for name, _ in skipped}
    return {name for name in names if name.partition(".")[2] in bad}


def run_unit(program, names, folder):
    report = folder / f"{program}.json"
    command = [str(BUILD / program), "--gtest_filter=" + ":".join(names),
               f"--gtest_output=json:{report}"]
    if program.endswith("_itest"):
        command = [sys.executable, str(ROOT / "tools/servers.py"), "run", "--postgres", "2", "--",
                   *command]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode != 0:
        print(done.stdout[-4000:], file=sys.stderr)
    if not report.exists():
        return set(names)
    passed = {f"{suite['name']}.{case['name']}"
              for suite in json.loads(report.read_text())["testsuites"]
              for case in suite["testsuite"]
              if case["result"] == "COMPLETED" and not case.get("failures")}
    return set(names) - passed


def run_all(folder, notes):
    """The tests that did not pass."""
    wanted = defaultdict(list)
    for line in lines():
        program, _, name = line.test.partition(" ")
        if name and name not in wanted[program]:
            wanted[program].append(name)
    failed = set()
    for number, (program, names) in enumerate(wanted.items()):
        print(f"{number + 1}/{len(wanted)}: {program}", file=sys.stderr, flush=True)
        run = run_system(program, names, notes) if program.endswith(".py") else run_unit(
            program, names, folder)
        failed |= {f"{program} {name}" for name in run}
    return failed


def told_in(notes):
    if not notes.exists():
        return {}
    told = map(json.loads, notes.read_text(encoding="utf-8").splitlines())
    return {one["line"]: one for one in told}


def state_of(line, failed, told):
    if line.test == OPEN:
        return "open"
    is_told = line.name.startswith(TOLD)
    missing = is_told and line.name.removeprefix(TOLD) not in told
    return "FAILED" if line.test in failed or missing else "shown"


def show(line, state, told, known):
    name = line.name.removeprefix(TOLD)
    code = line.code.removeprefix(TOLD)
    said = told.get(name, {}).get("next") or (known[code].next_en if code else "")
    print(f"  {state:7} {name}" + (f": {line.done}" if line.done else ""))
    if code or said:
        print(f"          {code or 'no error'}" + (f" → {said}" if said else ""))
    if line.test != OPEN:
        print(f"          {line.test}")


def main():
    if sys.argv[1:] == ["--check"]:
        found = list(problems())
        print("\n".join(found), end="\n" if found else "")
        return 1 if found else 0
    with tempfile.TemporaryDirectory(prefix="qiao-table-") as folder:
        notes = Path(folder) / "notes"
        failed = run_all(Path(folder), notes)
        told = told_in(notes)
    known, counts, part = catalogue(), defaultdict(int), None
    for line in lines():
        if line.part != part:
            part = line.part
            print(f"\n{part}")
        state = state_of(line, failed, told)
        counts[state] += 1
        show(line, state, told, known)
    print(f"\n{sum(counts.values())} lines: {counts['shown']} shown, {counts['open']} open, "
          f"{counts['FAILED']} failed")
    return 0 if counts["shown"] == sum(counts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
