#!/usr/bin/env python3
"""Updates of a table without a key and with rows that are equal: two agents over TLS against a
native subscription, which reads the table for each row, and against updates by key.

The updates by key go to a copy of the table that has one, a hundred a transaction and a pipeline,
from a client beside the server: what a target can take row by row. Qiao is timed from the start of
both agents, so that making its map of rows is counted, the subscription from the begin of its
walsender, both until the last row is visible. The subscription gets few updates: it would take
hours.
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402
import servers  # noqa: E402

PEER = "peer"
LOOSE = bed.WIDE.replace(" primary key", "")
DONE = "create table done (id integer primary key);"
PIPELINE = 100
MAKE = """
create procedure make_updates(count integer, rows bigint, batch integer) language plpgsql as $$
declare
    chosen bigint;
begin
    for i in 1 .. count loop
        chosen := 1 + floor(random() * rows);
        update {name} set state = state + 1, changed = now() where id = chosen;
        if i % batch = 0 then commit; end if;
    end loop;
    commit;
end $$;
"""


class Keyless:
    """One table of so many rows, of which every hundredth is there twice."""

    def __init__(self, the_bed, rows):
        self.bed = the_bed
        self.rows = rows
        self.table = f"loose_{rows}"
        self.number = 0
        source = self.bed.connection_string(self.bed.source)
        fill = bed.FILL_WIDE.format(name=self.table, low=1, high=rows)
        self.bed.at_source(
            LOOSE.format(name=self.table) + fill
            + f"insert into {self.table} select * from {self.table} where id % 100 = 0;"
            + f"alter table {self.table} replica identity full;"
            + f"create index on {self.table} (id);" + DONE
            + "drop procedure if exists make_updates;" + MAKE.format(name=self.table))
        self.bed.at_source(f"vacuum analyze {self.table}")
        for database in (bed.DATABASE, PEER):
            self.at_target(LOOSE.format(name=self.table) + DONE, database)
        self.bed.at_source(f"create publication peer for table {self.table}, done")
        self.at_target(f"create subscription peer connection '{source}' publication peer"
                       f" with ({bed.NATIVE})")
        bed.wait_until(lambda: self.at_target(
            "select count(*) from pg_subscription_rel where srsubstate <> 'r'") == "0",
            "the subscription's first sync")
        self.stop_native()
        self.bed.make_agents([f"public.{self.table}", "public.done"])
        self.bed.start_agents(bed.Measure(self.bed))
        bed.wait_until(lambda: self.bed.agents[0].flow(bed.FLOW).get("state") == "following",
                       "the first load", self.bed.check_agents)
        self.bed.end_agents()

    def at_target(self, sql, database=PEER):
        return self.bed.target.psql(sql, database)

    def make(self, updates):
        self.number += 1
        self.bed.at_source(f"set synchronous_commit = off;"
                           f"call make_updates({updates}, {self.rows}, {PIPELINE})")
        self.bed.at_source(f"insert into done values ({self.number})")

    def until_done(self, database):
        with self.bed.asking(self.bed.target, database) as ask:
            sql = f"select count(*) from done where id = {self.number}"
            bed.wait_until(lambda: ask(sql) == 1, "the last row")

    def native(self, updates):
        self.make(updates)
        self.bed.settle()
        with self.bed.asking(self.bed.source) as ask:
            self.at_target("alter subscription peer enable")
            bed.wait_until(lambda: ask("select count(*) from pg_stat_replication") > 0,
                           "the subscription's walsender")
            measure = bed.Measure(self.bed)
        self.until_done(PEER)
        measure.stop()
        self.stop_native()
        self.bed.compare(self.table, PEER)
        return measure

    def stop_native(self):
        self.at_target("alter subscription peer disable")
        bed.wait_until(lambda: self.at_target(
            "select count(*) from pg_stat_subscription where pid is not null") == "0",
            "the subscription's end")

    def qiao(self, updates):
        self.make(updates)
        self.bed.settle()
        measure = bed.Measure(self.bed)
        self.bed.start_agents(measure)
        self.until_done(bed.DATABASE)
        measure.stop()
        self.bed.end_agents()
        self.bed.compare(self.table)
        return measure

    def by_key(self, updates):
        """Of the same rows, each once, with a key."""
        self.at_target(f"drop table if exists keyed; create table keyed as select distinct on (id)"
                       f" * from {self.table}; alter table keyed add primary key (id);",
                       bed.DATABASE)
        lines = [f"\\set i{n} random(1, {self.rows})" for n in range(PIPELINE)]
        lines += ["\\startpipeline", "begin;"]
        lines += [f"update keyed set state = state + 1, changed = now() where id = :i{n};"
                  for n in range(PIPELINE)]
        lines += ["commit;", "\\endpipeline"]
        self.bed.settle()
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write("\n".join(lines) + "\n")
            script.flush()
            measure = bed.Measure(self.bed)
            subprocess.run(
                [self.bed.target.bin / "pgbench", "-n", "-M", "prepared", "-f", script.name,
                 "-t", str(updates // PIPELINE), "--random-seed", str(random.getrandbits(30)),
                 self.bed.target.url(bed.DATABASE)],
                check=True, capture_output=True, env=self.bed.target.client_environment())
            measure.stop()
        self.at_target("drop table keyed", bed.DATABASE)
        return measure

    def forget(self):
        self.bed.forget_agents()
        self.at_target("drop subscription peer")
        self.bed.at_source(f"drop publication peer; drop table {self.table}, done")
        for database in (bed.DATABASE, PEER):
            self.at_target(f"drop table {self.table}, done", database)

    def lines(self, updates, few, runs):
        rates = {"native": [], "by_key": [], "qiao": []}
        costs = {kind: [] for kind in rates}
        memory = 0
        for number in range(runs):
            print(f"{self.rows:,} rows: run {number + 1} of {runs}", file=sys.stderr)
            for kind in rates:
                count = few if kind == "native" else updates
                measure = getattr(self, kind)(count)
                rates[kind].append(count / measure.seconds)
                costs[kind].append(measure.cpu / count * 1e6)
                memory = max([memory, *measure.memory.values()])
        told = {"native": f"native, FULL, {few} updates", "by_key": "row by row, by key",
                "qiao": "qiao, two agents"}
        lines = [f"{self.rows:,} rows and {self.rows // 100:,} of them twice, {updates:,} updates,"
                 f" {PIPELINE} a transaction",
                 f"  {'':<30} {'updates/s':<32} CPU of servers and agents, us an update"]
        for kind, name in told.items():
            lines.append(f"  {name:<30} {bed.spread(rates[kind], '{:,.0f}'):<32} "
                         f"{bed.spread(costs[kind], '{:,.1f}')}")
        figures = {}
        for kind in ("native", "by_key"):
            ratios = [own / peer for own, peer in zip(rates["qiao"], rates[kind])]
            figures[f"keyless.{self.rows}.{kind}"] = ratios
            lines.append(f"  qiao to {told[kind]:<30} {bed.spread(ratios)}")
        lines.append(f"  peak memory of an agent {memory / 1e6:.0f} MB")
        return [*lines, ""], figures


def main():
    made = bed.parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--rows", type=int, nargs="+", default=[200_000, 2_000_000])
    made.add_argument("--updates", type=int, default=200_000)
    options = made.parse_args()
    with servers.Servers() as group:
        the_bed = bed.Bed(group, options)
        the_bed.target.psql(f"create database {PEER}")
        figures = {}
        lines = bed.heading(Path(__file__).stem, options, the_bed)
        for rows in options.rows:
            bench = Keyless(the_bed, rows)
            # The subscription takes 0.1 s a million rows and update.
            few = max(20, 100_000_000 // rows)
            more, told = bench.lines(options.updates, few, options.runs)
            lines += more
            figures |= told
            bench.forget()
    bed.publish("keyless", options, lines, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
