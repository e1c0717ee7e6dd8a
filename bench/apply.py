#!/usr/bin/env python3
"""A backlog of changes: `qiao sync --follow` against a native subscription, in one run.

Inserts, half as many updates of random rows, a fifth as many deletes of rows from long before, in
transactions of --batch changes. Both have done their first load; the backlog is made while both
stand still. The subscription is timed from its first row, Qiao from the start of its process,
both until the last row is visible.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402
import servers  # noqa: E402

TABLES = """
create table done (id integer primary key);
"""
# One COMMIT for so many changes; a change is a row.
MAKE = """
create procedure make_backlog(first bigint, inserts integer, batch integer) language plpgsql as $$
declare
    changes integer := 0;
    last bigint := first + inserts - 1;
    -- Chosen outside the statement: a volatile function in its WHERE would mean a scan.
    chosen bigint;
begin
    for i in first .. last loop
        insert into person select i, name, pinyin, id_number, sex, birth_date, nation, address,
            phone, email, state, score, ratio, unit, created, changed, active, token, remark,
            attributes from pattern where id = 1 + i % 1000;
        changes := changes + 1;
        if changes % batch = 0 then commit; end if;
        if i % 2 = 0 then
            chosen := first / 2 + floor(random() * (i - first / 2));
            update person set state = state + 1, changed = now(), score = score + 1
                where id = chosen;
            changes := changes + 1;
            if changes % batch = 0 then commit; end if;
        end if;
        if i % 5 = 0 then
            delete from person where id = (i - first) / 5 + (first - 1) / {inserts} * {inserts} / 5;
            changes := changes + 1;
            if changes % batch = 0 then commit; end if;
        end if;
    end loop;
    commit;
end $$;
"""
PEER = "peer"


class Apply:
    def __init__(self, options, group):
        self.options = options
        self.bed = bed.Bed(group)
        self.next_id = options.rows + 1
        self.number = 0
        self.bed.fill("person", options.rows)
        self.bed.at_source(TABLES + MAKE.format(inserts=options.rows)
                           + "create table pattern as select * from person where id <= 1000;"
                           + "create unique index on pattern (id);")

    def qiao_words(self):
        return ("--table", "public.person", "--table", "public.done")

    def first_loads(self):
        """Both have the table and stand still afterwards."""
        self.bed.target.psql(f"create database {PEER}")
        self.at_peer(bed.PERSON.format(name="person") + TABLES)
        self.bed.at_source("create publication peer for table person, done")
        source = self.bed.connection_string(self.bed.source)
        self.at_peer(f"create subscription peer connection '{source}' publication peer with"
                     " (binary = true, streaming = off, synchronous_commit = off)")
        bed.wait_until(lambda: self.at_peer(
            "select count(*) from pg_subscription_rel where srsubstate <> 'r'") == "0",
            "the subscription's first sync")
        self.at_peer("alter subscription peer disable")
        self.bed.sync("--once", "--create", *self.qiao_words(), suite=self.options.suite).wait()

    def at_peer(self, sql):
        return self.bed.target.psql(sql, PEER)

    def make_backlog(self):
        """Returns how many changes it has."""
        before = self.changed_rows()
        self.number += 1
        self.bed.at_source(f"set synchronous_commit = off; call make_backlog({self.next_id},"
                           f" {self.options.rows}, {self.options.batch})")
        self.first_id = self.next_id
        self.next_id += self.options.rows
        self.bed.at_source(f"insert into done values ({self.number})")
        self.bed.checkpoint()
        return self.changed_rows() - before

    def changed_rows(self):
        # What a session did is counted when it ends, which psql's has.
        time.sleep(1)
        return int(self.bed.at_source(
            "select n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables"
            " where relname = 'person'"))

    def subscription(self):
        self.at_peer("alter subscription peer enable")
        first = f"select count(*) from person where id = {self.first_id}"
        bed.wait_until(lambda: self.at_peer(first) == "1", "the subscription's first row")
        watch = bed.Watch()
        self.wait_for_last(self.at_peer)
        watch.stop()
        self.at_peer("alter subscription peer disable")
        bed.wait_until(lambda: self.at_peer(
            "select count(*) from pg_stat_subscription where pid is not null") == "0",
            "the subscription's end")
        return watch

    def wait_for_last(self, ask):
        sql = f"select count(*) from done where id = {self.number}"
        bed.wait_until(lambda: ask(sql) == "1", "the last row")

    def qiao(self):
        watch = bed.Watch()
        run = self.bed.sync("--follow", *self.qiao_words(), suite=self.options.suite)
        self.wait_for_last(self.bed.at_target)
        watch.stop()
        watch.own_cpu = run.read_cpu()
        watch.memory = run.memory
        run.end()
        return watch

    def one_run(self):
        changes = self.make_backlog()
        # Each goes first in turn: the second finds the log in memory.
        if self.number % 2:
            native, qiao = self.subscription(), self.qiao()
        else:
            qiao, native = self.qiao(), self.subscription()
        self.bed.compare("person")
        for watch in (native, qiao):
            watch.changes = changes
        return native, qiao


def line(what, watches, more=""):
    rates = [watch.changes / watch.seconds / 1000 for watch in watches]
    cpu = [watch.cpu / watch.changes * 1e6 for watch in watches]
    return (f"{what:<24} {bed.spread([w.seconds for w in watches])} s   "
            f"{bed.spread(rates, '{:.0f}')} k changes/s   "
            f"{bed.spread(cpu, '{:.1f}')} µs of the machine's CPU a change{more}")


def main():
    made = bed.parser(__doc__.split("\n")[0], 300_000)
    made.add_argument("--batch", type=int, default=100, help="changes in a transaction")
    options = made.parse_args()
    with servers.Servers() as group:
        bench = Apply(options, group)
        bench.first_loads()
        native, qiao = [], []
        for number in range(options.runs):
            print(f"run {number + 1} of {options.runs}", file=sys.stderr)
            one, other = bench.one_run()
            native.append(one)
            qiao.append(other)
        version = bench.bed.source.psql("show server_version")
    ratio = bed.spread([n.seconds / q.seconds for n, q in zip(native, qiao)])
    own = bed.spread([watch.own_cpu / watch.changes * 1e6 for watch in qiao])
    memory = max(watch.memory for watch in qiao) / 1e6
    bed.publish("apply", options, [
        *bed.heading("apply", options, f"PostgreSQL {version}"),
        f"backlog  {qiao[0].changes:,} changes a run in transactions of {options.batch}; "
        "subscription: binary, streaming off, synchronous_commit off",
        "",
        line("native subscription", native, "   (timed from its first row)"),
        line(f"qiao sync ({options.suite})", qiao),
        "",
        f"ratio           {ratio}",
        f"qiao's own CPU  {own} s a million changes; memory at most {memory:.0f} MB",
    ])
    return 0


if __name__ == "__main__":
    sys.exit(main())
