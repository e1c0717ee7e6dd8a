#!/usr/bin/env python3
"""First load of one table: two agents over TLS against two bare pipes and a native subscription.

The pipes are two binary COPY from server to server, each of half the keys, without a check or a
disk between. Subscription and Qiao are timed from their command to the moment when the table
follows the source: the subscription from CREATE SUBSCRIPTION, Qiao from the start of both agents.
The table is at the target with its primary key, and empty.
"""

import subprocess
import sys
from pathlib import Path

# The standard library has a module of this file's name, and must be asked first.
sys.path.append(sys.path.pop(0))

import bed  # noqa: E402
import servers  # noqa: E402


class Copy:
    def __init__(self, the_bed, shape, rows):
        self.bed = the_bed
        self.shape = shape
        self.table = f"person_{shape}"
        self.rows = rows
        self.bed.fill(self.table, shape, rows)
        self.bytes = int(self.bed.at_source(f"select pg_table_size('{self.table}')"))

    def empty_target(self):
        make = bed.SHAPES[self.shape][0].format(name=self.table)
        self.bed.at_target(f"drop table if exists {self.table}; {make}")
        self.bed.checkpoint()

    def pipes(self):
        self.empty_target()
        half = self.rows // 2
        measure = bed.Measure(self.bed)
        ends = [end for part in (f"id <= {half}", f"id > {half}") for end in self.pipe(part)]
        for end in ends:
            if end.wait() != 0:
                raise RuntimeError("a pipe broke")
        measure.stop()
        self.bed.compare(self.table)
        return measure

    def pipe(self, part):
        way_out = self.psql(
            self.bed.source, f"copy (select * from {self.table} where {part}) to stdout"
            " (format binary)", stdout=subprocess.PIPE)
        way_in = self.psql(self.bed.target, f"copy {self.table} from stdin (format binary)",
                           stdin=way_out.stdout)
        way_out.stdout.close()
        return way_out, way_in

    @staticmethod
    def psql(server, sql, **ends):
        return subprocess.Popen(
            [server.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql,
             server.url(bed.DATABASE)], env=server.client_environment(), **ends)

    def native(self):
        self.empty_target()
        source = self.bed.connection_string(self.bed.source)
        self.bed.at_source(f"create publication peer for table {self.table}")
        with self.bed.asking(self.bed.target) as ask:
            measure = bed.Measure(self.bed)
            self.bed.at_target(f"create subscription peer connection '{source}' publication peer"
                               f" with (copy_data = true, {bed.NATIVE})")
            bed.wait_until(lambda: ask(
                "select bool_and(srsubstate in ('r', 's')) from pg_subscription_rel"),
                "the subscription's first sync")
            measure.stop()
        self.bed.compare(self.table)
        self.bed.at_target("drop subscription peer")
        self.bed.at_source("drop publication peer")
        return measure

    def qiao(self):
        self.empty_target()
        self.bed.make_agents([f"public.{self.table}"])
        with self.bed.asking(self.bed.target) as ask:
            measure = bed.Measure(self.bed)
            self.bed.start_agents(measure)
            bed.wait_until(lambda: self.is_live(ask), "the first load", self.bed.check_agents)
            measure.stop()
        self.bed.compare(self.table)
        self.bed.forget_agents()
        return measure

    def is_live(self, ask):
        if ask("select to_regclass('qiao.table_state') is null"):
            return False
        # 2: loaded, and followed from its position on.
        return ask("select coalesce(bool_and(status = 2), false) from qiao.table_state")

    def lines(self, runs):
        told = {"pipes": [], "native": [], "qiao": []}
        for number in range(runs):
            print(f"{self.shape}: run {number + 1} of {runs}", file=sys.stderr)
            # In turn, so that a slower minute of the machine meets all.
            for kind, measures in told.items():
                measures.append(getattr(self, kind)())
        title = f"{self.shape} table: {self.rows:,} rows, {self.bytes / 1e6:.0f} MB"
        peers = {"two bare pipes": told["pipes"], "native subscription": told["native"]}
        figures = {f"copy.{self.shape}.pipes": bed.faster(told["pipes"], told["qiao"]),
                   f"copy.{self.shape}.native": bed.faster(told["native"], told["qiao"])}
        return bed.result_lines(title, self.rows, peers, told["qiao"]), figures


def main():
    made = bed.parser(__doc__.split("\n")[0])
    made.add_argument("--wide", type=int, default=2_000_000, help="rows of the wide table")
    made.add_argument("--narrow", type=int, default=2_000_000, help="rows of the narrow table")
    options = made.parse_args()
    with servers.Servers() as group:
        the_bed = bed.Bed(group, options)
        figures = {}
        lines = bed.heading(Path(__file__).stem, options, the_bed)
        for shape, rows in (("wide", options.wide), ("narrow", options.narrow)):
            more, told = Copy(the_bed, shape, rows).lines(options.runs)
            lines += more
            figures |= told
    bed.publish("copy", options, lines, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
