#!/usr/bin/env python3
"""Makes docs/reference/errors.md from the error catalogue.

    tools/errors.py            writes the page
    tools/errors.py --check    exits 1 when the page is stale or the catalogue is wrong
"""

import re
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = "src/qiao/common/error_codes.def"
PAGE = "docs/reference/errors.md"

Entry = namedtuple(
    "Entry", "path line number ident name kind cause_en next_en cause_zh next_zh")
Part = namedtuple("Part", "path first last")

PART = re.compile(r'^#include "(qiao/[^"]+)"\s*//\s*(\d+)-(\d+)', re.MULTILINE)
LITERAL = r'"((?:\\.|[^"\\])*)"'
ENTRY = re.compile(
    r"^QIAO_ERROR\(\s*(\d+)\s*,\s*(\w+)\s*,\s*" + LITERAL + r"\s*,\s*(\w+)\s*,"
    + ",".join([rf"((?:\s*{LITERAL})+)\s*"] * 4) + r"\)", re.MULTILINE)


def parts(root):
    text = (root / CATALOGUE).read_text(encoding="utf-8")
    return [Part(root / "src" / m[1], int(m[2]), int(m[3])) for m in PART.finditer(text)]


def joined(literals):
    """Neighbouring literals are one, as in C++."""
    text = "".join(re.findall(LITERAL, literals))
    return text.replace('\\"', '"').replace("\\\\", "\\")


def entries(path):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for m in ENTRY.finditer(text):
        texts = [joined(m[group]) for group in (5, 7, 9, 11)]
        yield Entry(path, text.count("\n", 0, m.start()) + 1, int(m[1]), m[2], m[3], m[4], *texts)


def problems(root):
    """What is wrong with the catalogue, as (path, line, text)."""
    seen = {}
    for part in parts(root):
        text = part.path.read_text(encoding="utf-8") if part.path.exists() else ""
        found = list(entries(part.path))
        declared = len(re.findall(r"^QIAO_ERROR\(", text, re.MULTILINE))
        if declared != len(found):
            yield part.path, 1, f"{declared - len(found)} entries are not in the catalogue's form"
        for entry in found:
            yield from problems_of(entry, part, seen)


def problems_of(entry, part, seen):
    if not part.first <= entry.number <= part.last:
        text = f"{entry.number} is outside {part.first}-{part.last}"
        yield entry.path, entry.line, text
    if not entry.name.startswith(part.path.stem + "."):
        yield entry.path, entry.line, f"{entry.name} does not begin with {part.path.stem}."
    for key in (entry.number, entry.ident, entry.name):
        if key in seen:
            yield entry.path, entry.line, f"{key} is used twice"
        seen[key] = entry
    for text in entry[6:]:
        if not text.strip():
            yield entry.path, entry.line, f"{entry.name} has an empty text"


def render(root):
    lines = [
        "# Error codes",
        "",
        "Made by `tools/errors.py` from `src/qiao/common/errors`; do not edit. Numbers and names",
        "never change and are never used again.",
        "",
        "| class | means |",
        "|---|---|",
        "| Transient | goes away by itself; retried, never skipped |",
        "| Environment | disk, grants, settings or network: waits until an operator mends it |",
        "| Data | this row or packet cannot be taken |",
        "| Security | refused on purpose |",
        "| Usage | the command or the configuration is wrong |",
    ]
    for part in parts(root):
        found = sorted(entries(part.path), key=lambda entry: entry.number)
        if found:
            lines += ["", f"## {part.path.stem}"]
        for entry in found:
            lines += ["", f"### {entry.number} `{entry.name}`", "",
                      f"{entry.kind}. {entry.cause_en}", f"*{entry.next_en}*", "",
                      f"{entry.cause_zh}*{entry.next_zh}*"]
    return "\n".join(lines) + "\n"


def main(arguments):
    wrong = list(problems(ROOT))
    for path, line, text in wrong:
        print(f"{path.relative_to(ROOT)}:{line}: {text}")
    page, text = ROOT / PAGE, render(ROOT)
    if arguments == ["--check"]:
        stale = not page.exists() or page.read_text(encoding="utf-8") != text
        if stale:
            print(f"{PAGE} is stale; run: tools/errors.py")
        return 1 if stale or wrong else 0
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
