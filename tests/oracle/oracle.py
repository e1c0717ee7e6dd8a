#!/usr/bin/env python3
"""Real clusters and real agents under random trouble: everything arrives once each, in order.

    oracle.py --runs 8 [--first SEED] [--seconds S] [--at-once N]

Each run is a process of its own, with two clusters of its own, and plays what its seed says. The
folder of a run that fails is kept. `--first SEED --runs 1` makes the same choices again; when what
happens is up to the machine.
"""

import argparse
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "system"),
                str(Path(__file__).resolve().parents[2] / "tools")]
from play import Play  # noqa: E402

RUN_SECONDS = 900
SHOWN = 8


def one_run(seed, seconds, folder):
    """In this process; writes what it counted."""
    play = Play(seed, seconds, folder)
    failed = None
    try:
        play.run()
    except BaseException as error:  # also what ends a program: the folder must tell it
        failed = "".join(traceback.format_exception_only(error)).strip()
        play.tell(traceback.format_exc())
    (folder / "sum.json").write_text(json.dumps({"failed": failed, "counts": play.counts}))
    return 1 if failed else 0


def end_with_parent():
    """In a child: when we are ended, it takes its servers down."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def play_apart(seed, seconds):
    """As a process; its sum, seconds and folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"qiao-oracle-{seed}-"))
    begun = time.monotonic()
    with open(folder / "output", "w") as output:
        try:
            subprocess.run([sys.executable, __file__, "--play", str(folder), "--first", str(seed),
                            "--seconds", str(seconds)], stdin=subprocess.DEVNULL, stdout=output,
                           stderr=output, timeout=RUN_SECONDS, preexec_fn=end_with_parent)
        except subprocess.TimeoutExpired:
            pass
    took = time.monotonic() - begun
    try:
        told = json.loads((folder / "sum.json").read_text())
    except (OSError, ValueError):
        told = {"failed": "it ended without a word: " + (folder / "output").read_text()[-2000:],
                "counts": {}}
    return told["failed"], Counter(told["counts"]), took, folder


def summed(counts, start):
    return sum(number for name, number in counts.items() if name.startswith(start))


def line_of(counts):
    return (f"{summed(counts, 'kill ')} kills, {summed(counts, 'stop ')} stops, "
            f"{summed(counts, 'link ')} link faults, {counts['commits']} commits, "
            f"{counts['rows']} rows compared, {counts['instants']} instants of the bank")


def play_all(seeds, seconds, at_once):
    """@return the sum of all counts, and the seeds that failed."""
    total, failures = Counter(), []

    def play(seed):
        failed, counts, took, folder = play_apart(seed, seconds)
        total.update(counts)
        print(f"oracle {seed}: {'FAILED' if failed else 'right'} after {took:.0f} s, "
              f"{line_of(counts)}", flush=True)
        if failed:
            failures.append(seed)
            shown = "\n  ".join(failed.splitlines()[:SHOWN])
            print(f"  {shown}\n  kept: {folder} (`story` tells it)\n  again: /usr/bin/python3 "
                  f"tests/oracle/oracle.py --runs 1 --first {seed} --seconds {seconds}", flush=True)
        else:
            if not os.environ.get("QIAO_KEEP"):
                shutil.rmtree(folder)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(play, seeds))
    return total, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--first", type=int, default=int(os.environ.get("QIAO_SEED") or 0))
    parser.add_argument("--seconds", type=float, default=35, help="of trouble in each run")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    first = options.first or random.SystemRandom().getrandbits(24)
    if options.play:
        return one_run(first, options.seconds, options.play)
    begun = time.monotonic()
    seeds = range(first, first + options.runs)
    print(f"oracle: {options.runs} runs from seed {first}, {options.at_once} at once", flush=True)
    total, failures = play_all(seeds, options.seconds, options.at_once)
    for name in sorted(total):
        print(f"  {name}: {total[name]}")
    print(f"oracle: {options.runs} runs, {len(failures)} failed, {line_of(total)}; "
          f"{(time.monotonic() - begun) / 60:.1f} minutes")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
