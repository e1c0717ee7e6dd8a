#!/usr/bin/env python3
"""Style that a rule can check. Prints one finding a line; exits 1 when there is any.

Each check is a function from a Tree to findings; CHECKS lists them. Exceptions to a rule stand in
the tables at the top, by folder, where a reviewer sees them.
"""

import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import errors  # noqa: E402
import trace  # noqa: E402
from sources import ROOT, blank_out, is_test, tracked  # noqa: E402

Finding = namedtuple("Finding", "path line text")

LINES_MAX = 600
COLUMNS_MAX = 100
BLOB_BYTES_MAX = 1 << 20
CODE = {".cpp", ".h", ".def", ".py", ".sh", ".cmake"}
PLACE_NAMES = re.compile(r"(^|_)(utils?|helpers?|misc|managers?)(_|$)")
CHANGE_KINDS = {"added", "changed", "fixed", "performance", "security", "format"}

# What only the seams may do: pattern, what to use instead, folders and files where it is right,
# and whether tests may do it too.
Ban = namedtuple("Ban", "pattern instead allowed tests")
BANS = [
    Ban(r"\b(system|steady|high_resolution)_clock\s*::\s*now\b|\bclock_gettime\s*\("
        r"|\btime\s*\(\s*(0|NULL|nullptr)",
        "the Clock seam", ("common/",), False),
    Ban(r"(?<![\w.>:])(std::)?s?rand\s*\(|\bstd::random_device\b|\bgetrandom\s*\(",
        "the Rng seam", ("common/rng.cpp", "crypto/"), False),
    Ban(r"(?<![\w>])::(open|openat|creat|fsync|fdatasync|write|pwrite|ftruncate)\s*\("
        r"|\bstd::(ofstream|fstream)\b|\bfopen\s*\(",
        "the Storage seam", ("common/",), True),
    Ban(r"\bstd::(jthread|thread|async)\b(?!::)|\bpthread_create\s*\(",
        "a pipeline, or the named pools of common/async", ("common/async/",), True),
    Ban(r"\bthis_thread\s*::\s*sleep_|\b(us|nanos)leep\s*\(|(?<![\w.>])::sleep\s*\(",
        "qiao::sleep_for of common/async", (), False),
    Ban(r"\bstd::(cout|cerr|clog)\b|(?<![\w.>])(std::)?(printf|fprintf|puts|fputs)\s*\(",
        "the log, or a command's output in cli", ("cli/", "common/log", "common/assert"), True),
    Ban(r"\b(asio::)?detached\b", "a TaskScope", (), False),
]


class Tree:
    """A checked-out tree; reads each file once."""

    def __init__(self, root, files=None):
        self.root = Path(root)
        self.files = tracked(root) if files is None else files
        self._texts = {}

    def name(self, path):
        return str(path.relative_to(self.root))

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = path.read_text(encoding="utf-8", errors="replace")
        return self._texts[path]

    def select(self, *suffixes, under=""):
        return [
            path for path in self.files
            if path.suffix in suffixes and self.name(path).startswith(under)
        ]

# What tests may include beside their layer: doubles of the seams, and the real driver.
TEST_DOUBLES = {"testing", "drivers/model", "drivers/postgres"}


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


# -- layers --


def layer_table(text):
    """{folder: allowed folders} from cmake/layers.cmake."""
    table = {}
    for words in re.findall(r"^qiao_layer\(([^)]*)\)", text, re.MULTILINE):
        folder, _level, *allowed = words.split()
        table[folder] = set(allowed)
    return table


def module_of(path, table):
    """The longest folder of the table that holds `path`, a path below src/qiao."""
    parts = path.split("/")[:-1]
    while parts:
        if "/".join(parts) in table:
            return "/".join(parts)
        parts.pop()
    return None


def check_layers(tree):
    layers = tree.root / "cmake/layers.cmake"
    if not layers.exists():
        return
    table = layer_table(tree.text(layers))
    for path in tree.select(".cpp", ".h", ".def", under="src/qiao/"):
        own = module_of(tree.name(path).removeprefix("src/qiao/"), table)
        if own is None:
            yield Finding(path, 1, "lies in a folder that cmake/layers.cmake does not name")
            continue
        yield from check_includes(tree, path, own, table)


def check_includes(tree, path, own, table):
    allowed = table[own] | {own} | (TEST_DOUBLES if is_test(path) else set())
    text = tree.text(path)
    for match in re.finditer(r'^\s*#\s*include\s+"qiao/([^"]+)"', text, re.MULTILINE):
        target = module_of(match[1], table)
        line = line_of(text, match.start(1))
        if target not in allowed:
            yield Finding(path, line, f"{own} must not include {match[1]}")
        elif target != own and "/internal/" in match[1]:
            yield Finding(path, line, f"{match[1]} is internal to {target}")
        if not (tree.root / "src/qiao" / match[1]).exists():
            yield Finding(path, line, f"there is no src/qiao/{match[1]}")


# -- code --


def check_banned_calls(tree):
    for path in tree.select(".cpp", ".h", under="src/qiao/"):
        place = tree.name(path).removeprefix("src/qiao/")
        code = blank_out(tree.text(path))
        for ban in BANS:
            if place.startswith(ban.allowed) or (ban.tests and exempt(path, place)):
                continue
            for match in re.finditer(ban.pattern, code):
                text = f"`{match.group().strip()}` outside its place: use {ban.instead}"
                yield Finding(path, line_of(code, match.start()), text)


def exempt(path, place):
    return is_test(path) or place.startswith("testing/")


def check_size(tree):
    for path in tree.files:
        if path.suffix not in CODE and path.name not in ("dev", "CMakeLists.txt"):
            continue
        lines = tree.text(path).split("\n")
        if len(lines) > LINES_MAX + 1:
            yield Finding(path, LINES_MAX, f"has more than {LINES_MAX} lines: find the second noun")
        for number, line in enumerate(lines, 1):
            # A text of the error catalogue stays on one line.
            if len(line) > COLUMNS_MAX and path.suffix != ".def":
                yield Finding(path, number, f"has {len(line)} columns, {COLUMNS_MAX} are allowed")


def check_todo(tree):
    for path in tree.select(*CODE):
        # This file and its test must name what they look for.
        if path.name in ("tidy.py", "tidy_test.py"):
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(issue-\d+\))", line):
                yield Finding(path, number, "TODO wants an issue: TODO(issue-12): …")


def check_headers(tree):
    for path in tree.select(".h", under="src/"):
        if not re.search(r"^#pragma once$", tree.text(path), re.MULTILINE):
            yield Finding(path, 1, "has no `#pragma once`")


def check_names(tree):
    for path in tree.files:
        for part in path.relative_to(tree.root).parts:
            if PLACE_NAMES.search(part.split(".")[0]):
                yield Finding(path, 1, f"`{part}` says nothing: name it by its noun")
                break


def check_reachable(tree):
    """A source that no CMakeLists takes in is never compiled, and its tests never run."""
    for path in tree.select(".cpp", under="src/qiao/"):
        lists = nearest_lists(path.parent, tree.root)
        text = tree.text(lists)
        if path.name in text:
            continue
        folder = path.parent.relative_to(lists.parent).as_posix()
        parts = re.search(r"\bPARTS\s+([^A-Z)]*)", text)
        taken = {".", "internal"} | set(parts[1].split() if parts else ())
        if "qiao_module(" not in text or folder not in taken or path.stem.endswith("_main"):
            yield Finding(path, 1, f"{tree.name(lists)} does not take it in")
    top = tree.root / "src/qiao/CMakeLists.txt"
    for lists in tree.files:
        if lists.name == "CMakeLists.txt" and top in tree.files and lists != top:
            folder = tree.name(lists.parent).removeprefix("src/qiao/")
            named = re.search(rf"(?<![\w/]){re.escape(folder)}(?![\w/])", tree.text(top))
            if tree.name(lists).startswith("src/qiao/") and not named:
                yield Finding(lists, 1, "src/qiao/CMakeLists.txt does not name this folder")


def nearest_lists(folder, root):
    while not (folder / "CMakeLists.txt").exists() and folder != root:
        folder = folder.parent
    return folder / "CMakeLists.txt"


# -- documents --


def check_links(tree):
    for path in tree.select(".md"):
        text = re.sub(r"```.*?```", lambda m: re.sub(r"[^\n]", " ", m.group()),
                      tree.text(path), flags=re.DOTALL)
        for match in re.finditer(r"\]\(([^)\s]+)\)", text):
            target = match[1].split("#")[0]
            if not target or re.match(r"\w+:", target):
                continue
            if not (path.parent / target).exists():
                yield Finding(path, line_of(text, match.start()), f"link to nowhere: {match[1]}")


def check_adrs(tree):
    folder = tree.root / "docs/adr"
    index = folder / "README.md"
    for path in sorted(folder.glob("[0-9]*.md")):
        if not index.exists() or path.name not in tree.text(index):
            yield Finding(path, 1, "docs/adr/README.md does not list it")


def check_readmes(tree):
    def shape(name):
        text = re.sub(r"```.*?```", "", tree.text(tree.root / name), flags=re.DOTALL)
        return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]

    names = ["README.md", "README.zh-CN.md"]
    if all((tree.root / name).exists() for name in names) and shape(names[0]) != shape(names[1]):
        yield Finding(tree.root / names[1], 1, "its headings are not those of README.md")


def check_changes(tree):
    for path in tree.select(".md", under="changes/unreleased/"):
        place = path.relative_to(tree.root / "changes/unreleased")
        if place.name == "README.md":
            continue
        if len(place.parts) != 2 or place.parts[0] not in CHANGE_KINDS:
            yield Finding(path, 1, f"lies in none of the kinds {', '.join(sorted(CHANGE_KINDS))}")


def check_blobs(tree):
    for path in tree.files:
        size = path.stat().st_size
        if size > BLOB_BYTES_MAX:
            yield Finding(path, 1, f"is {size >> 10} KiB; the limit is {BLOB_BYTES_MAX >> 10}")


# -- generated files --


def check_errors(tree):
    if not (tree.root / errors.CATALOGUE).exists():
        return
    for path, line, text in errors.problems(tree.root):
        yield Finding(path, line, text)
    page = tree.root / errors.PAGE
    if not page.exists() or tree.text(page) != errors.render(tree.root):
        yield Finding(page, 1, "is stale; run: tools/errors.py")


def check_trace(tree):
    if not (tree.root / trace.CLAUSES).exists():
        return
    for path, line, text in trace.problems(tree.root, tree.files):
        yield Finding(path, line, text)
    page = tree.root / trace.PAGE
    if not page.exists() or tree.text(page) != trace.render(tree.root, tree.files):
        yield Finding(page, 1, "is stale; run: tools/trace.py")


def check_executable(tree):
    done = subprocess.run(["git", "-C", tree.root, "ls-files", "-s", "--", "dev", ".ci/run"],
                          text=True, capture_output=True)
    for line in done.stdout.splitlines():
        mode, name = line.split()[0], line.split("\t")[1]
        if mode != "100755":
            yield Finding(tree.root / name, 1, "is not executable in git")


CHECKS = [
    check_layers, check_banned_calls, check_size, check_todo, check_headers, check_names,
    check_reachable, check_links, check_adrs, check_readmes, check_changes, check_blobs,
    check_errors, check_trace, check_executable,
]


def main():
    tree = Tree(ROOT)
    findings = [finding for check in CHECKS for finding in check(tree)]
    for finding in findings:
        print(f"{tree.name(finding.path)}:{finding.line}: {finding.text}")
    print(f"tidy: {len(findings)} findings in {len(tree.files)} files")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
