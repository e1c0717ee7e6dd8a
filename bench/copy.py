#!/usr/bin/env python3
"""First load of one table: `qiao sync --once` against two bare binary COPY pipes, in one run.

The key is there before the load on both ways. Beside them stands a native subscription's first
sync. Everything is sealed on Qiao's way and nothing on the others'.
"""

import sys

# The standard library has a module of this file's name, and must be asked first.
sys.path.append(sys.path.pop(0))

import os  # noqa: E402
import subprocess  # noqa: E402

import bed  # noqa: E402
import servers  # noqa: E402

TABLE = "person"


class Copy:
    def __init__(self, options, group):
        self.options = options
        self.bed = bed.Bed(group)
        self.bed.fill(TABLE, options.rows)

    def empty_target(self):
        self.bed.at_target(f"drop table if exists {TABLE};" + bed.PERSON.format(name=TABLE))
        self.bed.checkpoint()

    def pipes(self):
        """Two ranges of the key, each read and written by a psql of its own."""
        self.empty_target()
        half = self.options.rows // 2
        form = "(format binary)"
        watch = bed.Watch()
        ends = []
        for where in (f"id <= {half}", f"id > {half}"):
            out = self.psql(self.bed.source,
                            f"copy (select * from {TABLE} where {where}) to stdout {form}",
                            stdout=subprocess.PIPE)
            into = self.psql(self.bed.target, f"copy {TABLE} from stdin {form}",
                             stdin=out.stdout)
            out.stdout.close()
            ends += [out, into]
        if any([end.wait() for end in ends]):
            raise RuntimeError("a COPY pipe failed")
        return watch.stop()

    def psql(self, server, sql, **ends):
        return subprocess.Popen(
            [server.bin / "psql", "-Xqc", sql, self.bed.connection_string(server)],
            env={**os.environ, **self.bed.environment}, **ends)

    def subscription(self):
        """From its first row on, because its workers start when the launcher gets to it."""
        self.empty_target()
        source = self.bed.connection_string(self.bed.source)
        self.bed.at_source(f"create publication peer for table {TABLE}")
        self.bed.at_target(
            f"create subscription peer connection '{source}' publication peer"
            " with (copy_data = true, binary = true, synchronous_commit = off)")
        bed.wait_until(lambda: self.bed.at_target(
            "select count(*) from pg_stat_progress_copy where tuples_processed > 0"
            " union all select count(*) from pg_subscription_rel where srsubstate = 'r'"
        ) != "0\n0", "the subscription's first row")
        watch = bed.Watch()
        bed.wait_until(lambda: self.bed.at_target(
            "select count(*) from pg_subscription_rel where srsubstate not in ('r', 's')") == "0",
            "the subscription's first sync")
        watch.stop()
        self.bed.compare(TABLE)
        self.bed.at_target("drop subscription peer")
        self.bed.at_source("drop publication peer")
        return watch

    def qiao(self):
        """The whole command: from its start to its end."""
        self.empty_target()
        watch = bed.Watch()
        run = self.bed.sync("--once", "--table", f"public.{TABLE}", suite=self.options.suite)
        run.wait()
        watch.stop()
        self.bed.compare(TABLE)
        self.bed.drop()
        watch.own_cpu = run.cpu
        watch.memory = run.memory
        return watch


def line(what, rows, watches, more=""):
    rates = [rows / watch.seconds / 1000 for watch in watches]
    cpu = bed.median([watch.cpu / rows * 1e6 for watch in watches])
    return (f"{what:<28} {bed.spread([w.seconds for w in watches])} s   "
            f"{bed.spread(rates, '{:.0f}')} k rows/s   {cpu:.1f} µs of the machine's CPU a row"
            f"{more}")


def main():
    options = bed.parser(__doc__.split("\n")[0], 500_000).parse_args()
    with servers.Servers() as group:
        bench = Copy(options, group)
        pipes, native, qiao = [], [], []
        for number in range(options.runs):
            print(f"run {number + 1} of {options.runs}", file=sys.stderr)
            # In turn, so that a slower minute of the machine meets all of them.
            pipes.append(bench.pipes())
            native.append(bench.subscription())
            qiao.append(bench.qiao())
        version = bench.bed.source.psql("show server_version")
    rows = options.rows
    own = bed.median([watch.own_cpu / rows * 1e6 for watch in qiao])
    memory = max(watch.memory for watch in qiao) / 1e6

    def ratio(peer):
        return bed.spread([p.seconds / q.seconds for p, q in zip(peer, qiao)])

    bed.publish("copy", options, [
        *bed.heading("copy", options, f"PostgreSQL {version}"),
        line("two binary COPY pipes", rows, pipes),
        line("native subscription", rows, native, "   (timed from its first row)"),
        line(f"qiao sync --once ({options.suite})", rows, qiao),
        "",
        f"ratio to the pipes         {ratio(pipes)}",
        f"ratio to the subscription  {ratio(native)}",
        f"qiao's own CPU             {own:.2f} s a million rows; memory at most {memory:.0f} MB",
    ])
    return 0


if __name__ == "__main__":
    sys.exit(main())
