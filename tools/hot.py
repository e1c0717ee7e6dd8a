#!/usr/bin/env python3
"""Counts the instructions that a change costs in each stage of its way, and holds them to bounds.

    tools/hot.py HOT_PATHS            exits 1 when a stage needs more than bench/hot/bounds.tsv says
    tools/hot.py HOT_PATHS --write    writes what is counted, and 3 % more, as the bounds

Counted by callgrind, so the machine's speed and load say nothing; the libraries' versions do.
"""

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUNDS = ROOT / "bench/hot/bounds.tsv"
STAGES = ("assemble", "pack", "unpack", "plan", "encode")
CHANGES = 20_000
ROOM = 1.03
HEAD = ("# Instructions a change, at most; tools/hot.py writes and checks them.\n"
        "# stage\tinstructions\n")


def count(program, stage):
    """Instructions a change below the function of the stage."""
    told = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
         f"--toggle-collect=*stage_{stage}*", program, stage, str(CHANGES)],
        capture_output=True, text=True)
    counted = re.search(r"Collected : (\d+)", told.stderr)
    if told.returncode or not counted:
        sys.exit(f"hot: {stage} does not run:\n{told.stdout}{told.stderr}")
    return int(counted[1]) // CHANGES


def count_all(program):
    with tempfile.TemporaryDirectory(prefix="qiao-hot-") as folder:
        # Valgrind does not know this compiler's debug information.
        bare = Path(folder) / "hot_paths"
        subprocess.run(["llvm-objcopy-19", "-g", program, bare], check=True)
        with ThreadPoolExecutor() as pool:
            return dict(zip(STAGES, pool.map(lambda stage: count(bare, stage), STAGES)))


def read_bounds(text):
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {stage: int(most) for stage, most in lines}


def compare(counted, bounds):
    """What to print, and whether every stage keeps its bound."""
    lines = [f"hot: {'stage':<10}{'instructions a change':>22}{'bound':>8}"]
    right = counted.keys() == bounds.keys()
    for stage, is_now in counted.items():
        most = bounds.get(stage, 0)
        word = "" if is_now <= most else "  TOO MANY"
        lines.append(f"hot: {stage:<10}{is_now:>22}{most:>8}{word}")
        right &= is_now <= most
    return lines, right


def main(words):
    if len(words) not in (1, 2) or words[1:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    counted = count_all(words[0])
    if words[1:]:
        BOUNDS.write_text(HEAD + "".join(
            f"{stage}\t{round(is_now * ROOM)}\n" for stage, is_now in counted.items()))
    lines, right = compare(counted, read_bounds(BOUNDS.read_text()))
    print("\n".join(lines))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
