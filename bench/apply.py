#!/usr/bin/env python3
"""Catching up with a backlog: two agents over TLS against a native subscription, in one run.

Inserts, half as many updates of random rows, a fifth as many deletes of rows inserted long before:
in transactions of a hundred changes, of one, and in a single one. Both sides have done their first
load and stand still while the backlog is made. Qiao is timed from the start of both agents, the
peer from the begin of its walsender (its launcher may wait before), until the last row is visible.
"""

import statistics
import sys
import time
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402
import servers  # noqa: E402

TABLES = bed.WIDE.format(name="person") + "create table done (id integer primary key);"
# One COMMIT for `batch` changes; a change is a row. An id is inserted once, and deleted long after.
MAKE = """
create table pattern as select * from person where id <= 1000;
create unique index on pattern (id);
create table oldest as select 1::bigint as id;
create procedure make_backlog(first bigint, turns integer, batch integer, inserts boolean,
                              updates_every integer, deletes_every integer) language plpgsql as $$
declare
    changes integer := 0;
    old bigint;
    old_most bigint;
    -- Chosen outside the statement: a volatile function in its WHERE would mean a scan.
    chosen bigint;
begin
    select id into old from oldest;
    old_most := old + turns / 5;
    for i in first .. first + turns - 1 loop
        if inserts then
            insert into person select i, name, pinyin, id_number, sex, birth_date, nation, address,
                phone, email, state, score, ratio, unit, created, changed, active, token, remark,
                attributes from pattern where id = 1 + i % 1000;
            changes := changes + 1;
            if changes % batch = 0 then commit; end if;
        end if;
        if updates_every > 0 and i % updates_every = 0 then
            chosen := old_most
                + floor(random() * (case when inserts then i else first end - old_most));
            update person set state = state + 1, changed = now(), score = score + 1
                where id = chosen;
            changes := changes + 1;
            if changes % batch = 0 then commit; end if;
        end if;
        if deletes_every > 0 and i % deletes_every = 0 then
            delete from person where id = old;
            old := old + 1;
            changes := changes + 1;
            if changes % batch = 0 then commit; end if;
        end if;
    end loop;
    update oldest set id = old;
    commit;
end $$;
"""
PEER = "peer"
NATIVE = "native subscription"
# share: of --rows, how many turns; a turn inserts, every second one updates, every fifth deletes.
Case = namedtuple("Case", "title share batch inserts updates_every deletes_every streaming")
CASES = {
    "hundred": Case("100 changes a transaction", 1, 100, True, 2, 5, ("off",)),
    "single": Case("1 change a transaction", 0.6, 1, True, 2, 5, ("off",)),
    "one": Case("one transaction", 0.3, 1 << 30, True, 2, 5, ("off", "on")),
    "inserts": Case("inserts only, 100 a transaction", 0.5, 100, True, 0, 0, ("off",)),
    "updates": Case("updates only, 100 a transaction", 0.5, 100, False, 1, 0, ("off",)),
}


class Apply:
    def __init__(self, the_bed, rows):
        self.bed = the_bed
        self.rows = rows
        self.next_id = rows + 1
        self.number = 0
        self.bed.fill("person", "wide", rows)
        self.bed.at_source("create table done (id integer primary key);" + MAKE)

    def first_loads(self):
        """Both have the tables and stand still afterwards."""
        self.bed.target.psql(f"create database {PEER}")
        self.at_peer(TABLES)
        self.bed.at_source("create publication peer for table person, done")
        source = self.bed.connection_string(self.bed.source)
        self.at_peer(f"create subscription peer connection '{source}' publication peer"
                     f" with ({bed.NATIVE})")
        bed.wait_until(lambda: self.at_peer(
            "select count(*) from pg_subscription_rel where srsubstate <> 'r'") == "0",
            "the subscription's first sync")
        self.stop_native()
        self.bed.at_target(TABLES)
        self.bed.make_agents(["public.person", "public.done"])
        self.bed.start_agents(bed.Measure(self.bed))
        bed.wait_until(lambda: self.bed.agents[0].flow(bed.FLOW).get("state") == "following",
                       "the first load", self.bed.check_agents)
        self.bed.end_agents()

    def at_peer(self, sql):
        return self.bed.target.psql(sql, PEER)

    def make_backlog(self, case):
        """Returns how many changes it has."""
        before = self.changed_rows()
        self.number += 1
        turns = int(self.rows * case.share)
        self.bed.at_source(
            f"set synchronous_commit = off; call make_backlog({self.next_id}, {turns},"
            f" {case.batch}, {case.inserts}, {case.updates_every}, {case.deletes_every})")
        self.next_id += turns if case.inserts else 0
        self.bed.at_source(f"insert into done values ({self.number})")
        return self.changed_rows() - before

    def changed_rows(self):
        # What a session did is counted when it ends, which psql's has.
        time.sleep(1)
        return int(self.bed.at_source(
            "select n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables"
            " where relname = 'person'"))

    def until_done(self, database, check=None):
        with self.bed.asking(self.bed.target, database) as ask:
            sql = f"select count(*) from done where id = {self.number}"
            bed.wait_until(lambda: ask(sql) == 1, "the last row", check)

    def native(self, streaming):
        self.at_peer(f"alter subscription peer set (streaming = {streaming})")
        self.bed.settle()
        with self.bed.asking(self.bed.source) as ask:
            self.at_peer("alter subscription peer enable")
            bed.wait_until(lambda: ask("select count(*) from pg_stat_replication") > 0,
                           "the subscription's walsender")
            measure = bed.Measure(self.bed)
        self.until_done(PEER)
        measure.stop()
        self.stop_native()
        self.bed.compare("person", PEER)
        return measure

    def stop_native(self):
        self.at_peer("alter subscription peer disable")
        bed.wait_until(lambda: self.at_peer(
            "select count(*) from pg_stat_subscription where pid is not null") == "0",
            "the subscription's end")

    def qiao(self):
        self.bed.settle()
        measure = bed.Measure(self.bed)
        self.bed.start_agents(measure)
        self.until_done(bed.DATABASE, self.bed.check_agents)
        measure.stop()
        self.bed.end_agents()
        self.bed.compare("person")
        return measure

    def lines(self, name, runs):
        """Of each way that the peer has, in turn; the better one is what counts."""
        case = CASES[name]
        lines, ratios = [], []
        for streaming in case.streaming:
            native, qiao, changes = [], [], 0
            for number in range(runs):
                print(f"{name}, streaming {streaming}: run {number + 1} of {runs}",
                      file=sys.stderr)
                changes = self.make_backlog(case)
                # Each goes first in turn: the second finds the log in memory.
                for kind in ("native", "qiao") if number % 2 == 0 else ("qiao", "native"):
                    if kind == "native":
                        native.append(self.native(streaming))
                    else:
                        qiao.append(self.qiao())
            peer = f"; the peer with streaming {streaming}" if len(case.streaming) > 1 else ""
            title = f"{name}: {changes:,} changes, {case.title}{peer}"
            lines += bed.result_lines(title, changes, {NATIVE: native}, qiao)
            ratios.append(bed.faster(native, qiao))
        return lines, {f"apply.{name}": min(ratios, key=statistics.median)}


def main():
    made = bed.parser(__doc__.split("\n")[0])
    made.add_argument("--rows", type=int, default=1_000_000,
                      help="of the table, and inserted in a backlog of 1.7 times as many changes")
    made.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = made.parse_args()
    with servers.Servers() as group:
        the_bed = bed.Bed(group, options)
        figures = {}
        lines = bed.heading(Path(__file__).stem, options, the_bed)
        bench = Apply(the_bed, options.rows)
        bench.first_loads()
        for name in options.cases:
            more, told = bench.lines(name, options.runs)
            lines += more
            figures |= told
        the_bed.forget_agents()
    bed.publish("apply", options, lines, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
