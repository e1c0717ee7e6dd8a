"""The lines of `./dev test --table` that a running test gives: what the user was told."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import errors  # noqa: E402

CATALOGUE = {entry.name: entry for part in errors.parts(errors.ROOT)
             for entry in errors.entries(part.path)}


def told(test, line, code, output):
    """The user reads the code and its next step."""
    test.assertIn(code, output)
    test.assertIn(CATALOGUE[code].next_en, output)
    note(line, code, CATALOGUE[code].next_en)


def note(line, code, next_step):
    """`line` as the table names it. While no table is made, nothing."""
    path = os.environ.get("QIAO_TABLE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"line": line, "code": code, "next": next_step}) + "\n")
