#!/usr/bin/env python3
"""Comparing a table of equal rows at two servers: `qiao verify`, field by field by canonical bytes,
against md5 of each row's text summed up at both servers at once.

The peer says equal or not; Qiao finds the rows that differ, too, and reads both servers at the same
time in the same way. Nothing else runs.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402
import servers  # noqa: E402

TABLE = "person"
MD5 = ("select count(*), sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint::numeric)"
       f" from {TABLE} t")


class Verify:
    def __init__(self, the_bed, rows):
        self.bed = the_bed
        self.rows = rows
        self.bed.fill(TABLE, "wide", rows)
        self.bed.at_target(bed.WIDE.format(name=TABLE))
        copy = subprocess.Popen(
            self.psql(the_bed.source, f"copy {TABLE} to stdout (format binary)"),
            stdout=subprocess.PIPE)
        subprocess.run(self.psql(the_bed.target, f"copy {TABLE} from stdin (format binary)"),
                       stdin=copy.stdout, check=True)
        copy.wait()
        self.bed.at_target(f"vacuum analyze {TABLE}")

    @staticmethod
    def psql(server, sql):
        return [server.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql,
                server.url(bed.DATABASE)]

    def md5(self):
        measure = bed.Measure(self.bed)
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(lambda server: server.psql(MD5, bed.DATABASE), self.bed.servers))
        measure.stop()
        if told[0] != told[1]:
            raise RuntimeError(f"the sides differ: {told}")
        return measure

    def qiao(self):
        measure = bed.Measure(self.bed)
        child = subprocess.Popen(
            [bed.QIAO, "verify", "--from", self.bed.source.url(bed.DATABASE), "--to",
             self.bed.target.url(bed.DATABASE), "--table", f"public.{TABLE}"],
            stdout=subprocess.PIPE, text=True)
        measure.watch(verify=child.pid)
        told, _ = child.communicate()
        measure.stop()
        if child.returncode != 0:
            raise RuntimeError(told)
        return measure

    def lines(self, runs):
        told = {"md5": [], "qiao": []}
        for number in range(runs):
            print(f"run {number + 1} of {runs}", file=sys.stderr)
            for kind in told if number % 2 == 0 else reversed(told):
                told[kind].append(getattr(self, kind)())
        lines = [f"{self.rows:,} equal rows of 20 columns",
                 f"  {'':<24} {'seconds':<24} {'rows/s':<30} CPU, us a row of one side"]
        for kind, name in (("md5", "md5(row::text), both at once"), ("qiao", "qiao verify, exact")):
            lines.append(
                f"  {name:<28} {bed.spread([m.seconds for m in told[kind]]):<24} "
                f"{bed.spread([self.rows / m.seconds for m in told[kind]], '{:,.0f}'):<30} "
                f"{bed.spread([m.cpu / self.rows * 1e6 for m in told[kind]])}")
        ratios = [own.seconds / peer.seconds for peer, own in zip(told["md5"], told["qiao"])]
        memory = max(m.memory["verify"] for m in told["qiao"]) / 1e6
        lines += [f"  time of qiao by the peer's: {bed.spread(ratios)}",
                  f"  peak memory {memory:.0f} MB", ""]
        return lines, {"verify.exact": ratios}


def main():
    made = bed.parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--rows", type=int, default=2_000_000)
    options = made.parse_args()
    with servers.Servers() as group:
        the_bed = bed.Bed(group, options)
        lines = [*bed.machine_lines(Path(__file__).stem), *bed.server_lines(the_bed), ""]
        more, figures = Verify(the_bed, options.rows).lines(options.runs)
    bed.publish("verify", options, lines + more, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
