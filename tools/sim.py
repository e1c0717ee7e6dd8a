#!/usr/bin/env python3
"""Runs the simulator and prints what CI wants to know: steps, faults, planted bugs, coverage.

    sim.py SIMULATOR [--steps N] [--first SEED]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LLVM = "-19"
# What carries rows, by the part that it is of; tests and what only runs elsewhere are left out.
PARTS = {
    "assemble": r"capture/postgres/(transaction_assembler|decoder|anchor|postgres_source)\.cpp$",
    "packet": r"packet/[a-z_]+\.cpp$",
    "trail": r"trail/(internal/)?[a-z_]+\.cpp$",
    "link": r"link/(internal/)?[a-z_]+\.cpp$",
    "admit": r"engine/(chain|inbox_line|offer)\.cpp$",
    "apply": r"apply/(internal/)?[a-z_]+\.cpp$",
    "custody": r"engine/(capture_line|send_line|apply_line|durable_writer|packer|unpacker"
               r"|fragment_reader|key_store)\.cpp$",
}
# Says in the file why the simulator does not run it.
ELSEWHERE = re.compile(r"trail/inspect|link/tls_connection|packet/carried")


def run(words, profile):
    print("+", " ".join(map(str, words)), flush=True)
    return subprocess.run(words, env={**os.environ, "LLVM_PROFILE_FILE": str(profile)}).returncode


def lines_run(simulator, profile):
    """By file: lines that ran, and lines."""
    merged = f"{profile}.merged"
    subprocess.run([f"llvm-profdata{LLVM}", "merge", "-o", merged, profile], check=True)
    told = subprocess.run(
        [f"llvm-cov{LLVM}", "export", "-summary-only", f"-instr-profile={merged}", simulator],
        check=True, capture_output=True, text=True).stdout
    found = {}
    for file in json.loads(told)["data"][0]["files"]:
        lines = file["summary"]["lines"]
        found[file["filename"]] = (lines["covered"], lines["count"])
    return found


def tell_coverage(files, verbose):
    """Whether enough of each part has run; 90 of 100 lines of all of them."""
    all_ran = all_lines = 0
    for part, pattern in PARTS.items():
        ran = lines = 0
        for name, (covered, count) in sorted(files.items()):
            if re.search(r"src/qiao/" + pattern, name) and not ELSEWHERE.search(name):
                ran, lines = ran + covered, lines + count
                if verbose:
                    print(f"    {covered:5} of {count:5}  {name.split('src/qiao/')[1]}")
        print(f"  {part:9} {ran:5} of {lines:5} lines: {100 * ran / max(lines, 1):.1f} %")
        all_ran, all_lines = all_ran + ran, all_lines + lines
    share = 100 * all_ran / max(all_lines, 1)
    print(f"lines that ran inside the simulator: {all_ran} of {all_lines}, {share:.1f} %")
    return share


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulator", type=Path)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--first", type=int, default=1, help="seed")
    parser.add_argument("--least", type=float, default=90, help="per cent of lines")
    parser.add_argument("--verbose", action="store_true", help="each file's lines")
    arguments = parser.parse_args()
    simulator = arguments.simulator.resolve()
    with tempfile.TemporaryDirectory(prefix="qiao-sim.") as folder:
        profile = Path(folder) / "plays"
        failed = run([simulator, "--first", str(arguments.first), "--seeds", "1",
                      "--steps", str(arguments.steps), "--shrink"], profile)
        failed |= run([simulator, "--plants"], Path(folder) / "plants")
        share = tell_coverage(lines_run(simulator, profile), arguments.verbose)
    return 1 if failed or share < arguments.least else 0


if __name__ == "__main__":
    sys.exit(main())
