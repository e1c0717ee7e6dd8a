#!/usr/bin/env python3
"""What takes hours: plays it in portions, and keeps in docs/soak.tsv how much was played.

    tools/soak.py PART[=AMOUNT]…   plays, and adds a line to the record for each part
    tools/soak.py --check          prints its sums; exits 1 when a part is too old or failed

Parts and their amounts: sim (steps), oracle (runs), fuzz (minutes for each target; what is
recorded are those of a processor that the target with the fewest had), asan and
tsan (rounds: unit tests, ten million steps of the simulator, eight runs of the oracle), tables
(of one flow), slow (rounds of the contract, integration and system tests).
"""

import os
import random
import re
import subprocess
import sys
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs/soak.tsv"
AT_ONCE = os.cpu_count() or 1
# What a release is measured by, and how old the newest portion may be.
WANTED = {"sim": 1_000_000_000, "oracle": 100, "kills": 2000, "fuzz": 120, "asan": 1, "tsan": 1,
          "tables": 100_000, "slow": 1}
DAYS_MOST = 60
STEPS_AT_ONCE = 20_000_000
SANITIZED_STEPS = 10_000_000

Portion = namedtuple("Portion", "day commit part amount failed minutes told")
Played = namedtuple("Played", "amount failed told")
Ended = namedtuple("Ended", "told code seconds")
Fuzzed = namedtuple("Fuzzed", "inputs minutes failed")


def output_of(words, **more):
    """What a program prints, as it prints it, its exit code, and its seconds of a processor."""
    print("+", " ".join(map(str, words)), flush=True)
    child = subprocess.Popen(list(map(str, words)), cwd=ROOT, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)
    lines = []
    for line in child.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Ended("".join(lines), child.returncode, used.ru_utime + used.ru_stime)


def build(preset, *targets):
    if output_of([ROOT / "dev", "build", preset, *targets]).code:
        sys.exit(f"soak: {preset} does not build")


def play_sim(steps, preset="sim"):
    build(preset, "qiao_sim")
    first = random.SystemRandom().getrandbits(40)
    portions = -(-steps // STEPS_AT_ONCE)

    def portion(number):
        environment = {**os.environ, "LLVM_PROFILE_FILE": os.devnull}
        told, code, _ = output_of(
            [f"build/{preset}/qiao_sim", "--first", first + number * STEPS_AT_ONCE, "--seeds", 1,
             "--steps", min(steps, STEPS_AT_ONCE), "--go-on", "--shrink"], env=environment)
        made = re.search(r"^simulator: (\d+) steps .* (\d+) seeds", told, re.M)
        failed = re.findall(r"^seed (\d+) fails .*", told, re.M)
        if not made or (code and not failed):
            return 0, 0, [f"seed {first + number * STEPS_AT_ONCE}: it ended by itself"]
        return int(made[1]), int(made[2]), failed

    with ThreadPoolExecutor(AT_ONCE) as pool:
        played = list(pool.map(portion, range(portions)))
    failed = [seed for one in played for seed in one[2]]
    seeds = sum(one[1] for one in played)
    told = f"{seeds} seeds from {first}"
    if failed:
        told += "; failed: " + " ".join(failed)
    return Played(sum(one[0] for one in played), len(failed), told)


def play_oracle(runs, binary="build/release/qiao"):
    if binary == "build/release/qiao":
        build("release", "qiao")
    first = random.SystemRandom().getrandbits(24)
    told, code, _ = output_of(
        ["/usr/bin/python3", "tests/oracle/oracle.py", "--runs", runs, "--first", first],
        env={**os.environ, "QIAO_BIN": str(ROOT / binary)})
    summary = re.search(r"^oracle: \d+ runs, (\d+) failed, (\d+ kills.*);", told, re.M)
    failed = int(summary[1]) if summary else 1
    return Played(runs, max(failed, code), f"{summary[2] if summary else 'no end'}; from {first}")


def fuzz_targets():
    return sorted(path.name for path in (ROOT / "fuzz/corpus").iterdir() if path.is_dir())


def play_fuzz(minutes):
    build("asan", "tests")
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}

    def fuzz(target):
        program = next((ROOT / "build/asan").rglob(f"src/qiao/*/{target}"), None)
        program = program or ROOT / "build/asan" / target
        ended = output_of(
            [program, f"-max_total_time={60 * minutes}", "-rss_limit_mb=2048",
             f"-artifact_prefix=build/asan/{target}-", "-print_final_stats=1", "-verbosity=0",
             f"build/asan/corpus_{target}", f"fuzz/corpus/{target}"], env=environment)
        runs = re.search(r"number_of_executed_units: (\d+)", ended.told)
        return Fuzzed(int(runs[1]) if runs else 0, int(ended.seconds / 60),
                      target if ended.code else None)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        played = list(pool.map(fuzz, fuzz_targets()))
    failed = [one.failed for one in played if one.failed]
    told = f"{len(played)} targets, {sum(one.inputs for one in played)} inputs"
    return Played(min(one.minutes for one in played), len(failed), "; ".join([told, *failed]))


def play_sanitized(preset, rounds):
    """Unit tests, simulator and oracle under a sanitizer."""
    build(preset)
    failed, told = 0, []
    for _ in range(rounds):
        failed += output_of(["ctest", "--test-dir", f"build/{preset}", "-L", "^(unit|fuzz)$",
                             "--output-on-failure", "--parallel", AT_ONCE]).code != 0
        for part in (play_sim(SANITIZED_STEPS, preset), play_oracle(8, f"build/{preset}/qiao")):
            failed += part.failed
            told.append(part.told)
    return Played(rounds, failed, "; ".join(told))


def play_tables(tables):
    build("release")
    failed = output_of(["/usr/bin/python3", "tests/system/many_tables_test.py"],
                       env={**os.environ, "QIAO_TABLES": str(tables),
                            "QIAO_BIN": str(ROOT / "build/release/qiao")}).code
    return Played(tables, int(failed != 0), "tables of one flow")


def play_slow(rounds):
    failed, seeds = 0, []
    for _ in range(rounds):
        seeds.append(str(random.SystemRandom().getrandbits(24)))
        code = output_of([ROOT / "dev", "test", "contract", "integration", "system"],
                         env={**os.environ, "QIAO_SEED": seeds[-1]})[1]
        failed += code != 0
    return Played(rounds, failed, "seeds " + " ".join(seeds))


PLAY = {"sim": play_sim, "oracle": play_oracle, "fuzz": play_fuzz,
        "asan": lambda rounds: play_sanitized("asan", rounds),
        "tsan": lambda rounds: play_sanitized("tsan", rounds),
        "tables": play_tables, "slow": play_slow}


def commit():
    """What is played; with a + where the sources differ from it."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, text=True, capture_output=True,
                              check=True).stdout.strip()
    changed = git("status", "--porcelain", "--", "src", "tests", "fuzz", "cmake")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def play(part, amount):
    here, begun = commit(), time.monotonic()
    played = PLAY[part](amount)
    minutes = (time.monotonic() - begun) / 60
    portion = Portion(date.today().isoformat(), here, part, played.amount, played.failed,
                      f"{minutes:.0f}", played.told)
    with open(RECORD, "a", encoding="utf-8") as record:
        record.write("\t".join(map(str, portion)) + "\n")
    print(f"soak: {part}: {played.amount}, {played.failed} failed, {minutes:.0f} minutes; "
          f"{played.told}", flush=True)
    return played.failed


def portions(text):
    for line in text.splitlines():
        if line and not line.startswith("#"):
            cells = line.split("\t")
            yield Portion(*cells[:3], int(cells[3]), int(cells[4]), *cells[5:])


def check(text, today):
    """The record's sums as lines, and whether each part that was ever played was played lately and
    without a failure."""
    told, right = [], True
    for part in PLAY:
        mine = [one for one in portions(text) if one.part == part]
        newest = mine[-1] if mine else None
        days = (today - date.fromisoformat(newest.day)).days if newest else None
        lately = newest is not None and days <= DAYS_MOST and newest.failed == 0
        amount = sum(one.amount for one in mine if one.failed == 0)
        word = "right" if lately and amount >= WANTED[part] else "short" if lately else (
            "never played" if newest is None else "FAILED" if newest.failed else "too old")
        age = "" if newest is None else f", the newest of {newest.day} at {newest.commit}"
        told.append(f"soak: {part}: {amount} of {WANTED[part]}{age}: {word}")
        right &= lately or newest is None
    kills = sum(int(found[1]) for one in portions(text) if one.part == "oracle" and not one.failed
                if (found := re.match(r"(\d+) kills", one.told)))
    told.append(f"soak: kills of the oracle: {kills} of {WANTED['kills']}")
    return told, right


def main(words):
    if words == ["--check"]:
        told, right = check(RECORD.read_text(encoding="utf-8"), date.today())
        print("\n".join(told))
        return 0 if right else 1
    wanted = [word.partition("=") for word in words or PLAY]
    unknown = [name for name, _, amount in wanted if name not in PLAY or not (
        amount or "1").isdigit()]
    if unknown:
        print(f"soak: no part {', '.join(unknown)}; there are: {' '.join(PLAY)}", file=sys.stderr)
        return 2
    failed = [play(name, int(amount or WANTED[name])) for name, _, amount in wanted]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
