#!/usr/bin/env python3
"""All benches one after the other, and the table of what must be reached and what is.

Writes every result, and the table, to bench/results/. `--share 0.2` takes a fifth of all rows, for
a look; figures that count are those of the whole.
"""

import json
import statistics
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402

# figure: as a bench tells it. must, aim: by suite; what is less is better where `less` says so.
Bar = namedtuple("Bar", "figure what must aim less", defaults=(False,))


def both(value):
    return {"gm": value, "intl": value}


BARS = (
    Bar("copy.wide.pipes", "first load: speed by two bare pipes'",
        {"gm": 0.65, "intl": 0.75}, {"gm": 0.8, "intl": 0.9}),
    Bar("apply.hundred", "backlog, 100 a transaction: speed by native's",
        {"gm": 1.0, "intl": 1.1}, {"gm": 1.2, "intl": 1.35}),
    Bar("apply.single", "backlog, 1 a transaction: speed by native's",
        {"gm": 1.3, "intl": 1.4}, {"gm": 1.6, "intl": 1.6}),
    Bar("apply.one", "one transaction: speed by native's better way", both(1.1), both(1.4)),
    Bar("latency.200", "p99 at 200 transactions/s: by what is allowed", both(1), both(1), True),
    Bar("latency.2000", "p99 at 2,000 transactions/s: by what is allowed", both(1), both(1), True),
    Bar("keyless.200000.by_key", "keyless, 200,000 rows: speed by updates by key's",
        both(0.25), both(0.6)),
    Bar("keyless.2000000.by_key", "keyless, 2,000,000 rows: the same", both(0.25), both(0.6)),
    Bar("verify.exact", "comparison, exact: time by md5(row::text)'s", both(0.6), both(0.45), True),
)
# Options that say how many rows, and how many.
SIZES = {
    "copy": {"--wide": 2_000_000, "--narrow": 2_000_000},
    "apply": {"--rows": 1_000_000},
    "latency": {},
    "keyless": {"--updates": 200_000},
    "verify": {"--rows": 2_000_000},
    "cipher": {},
}


def run(name, options):
    sizes = [word for option, rows in SIZES[name].items()
             for word in (option, str(int(rows * options.share)))]
    command = [sys.executable, "-B", str(bed.ROOT / f"bench/{name}.py"), "--write", "--runs",
               str(options.runs), "--suite", options.suite, *sizes]
    print("+", *command[2:], flush=True)
    subprocess.run(command, check=True)
    return json.loads((bed.RESULTS / f"{name}-{options.suite}.json").read_text())


def row(bar, suite, figures):
    values = figures.get(bar.figure)
    if not values:
        return f"  {bar.what:<58} {'not measured':<22}"
    middle = statistics.median(values)
    must, aim = bar.must[suite], bar.aim[suite]

    def holds(limit):
        return middle <= limit if bar.less else middle >= limit

    state = "aim" if holds(aim) else "must" if holds(must) else "SHORT"
    return f"  {bar.what:<58} {bed.spread(values):<22} {must:<6} {aim:<6} {state}"


def main():
    made = bed.parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--share", type=float, default=1, help="of all rows")
    made.add_argument("--benches", nargs="+", choices=SIZES, default=list(SIZES))
    options = made.parse_args()
    figures = {}
    for name in options.benches:
        figures |= run(name, options)
    lines = [*bed.machine_lines("all"), f"suite    {options.suite}", "",
             f"  {'':<58} {'measured':<22} {'must':<6} aim"]
    lines += [row(bar, options.suite, figures) for bar in BARS]
    options.write = True
    bed.publish("all", options, lines, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
