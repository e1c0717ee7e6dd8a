#!/usr/bin/env python3
"""`qiao sync --mode timestamp`: a view or table by time of change, exact under late commits.

The oracle is SQL: what the view shows at the source, without the rows that its flag calls deleted,
must be what the target's table holds, as text, row by row.
"""

import json
import random
import threading
import time
import unittest

import psycopg2

import comparison
import scene

import agents
import servers

OVERLAP_SECONDS = 4
RUN_SECONDS = 120
CATCH_UP_SECONDS = 60
ROWS = 400
# How the time of change is kept, and what writes it.
STAMPS = {
    "timestamptz": "now()",
    "timestamp": "now()::timestamp",
    "timestamp(0)": "clock_timestamp()",
    "timestamp(3)": "date_trunc('second', now())",
    "varchar(30)": "to_char(now(), 'YYYY-MM-DD HH24:MI:SS')",
    "date": "current_date",
}
SCHEMA = """
    create schema gov;
    create type gov.mood as enum ('glad', 'sad');
    create table gov.region (code int primary key, title text);
    insert into gov.region select i, '区域 ' || i from generate_series(0, 9) i;
    create table gov.person (
        id int, part text, region int, name text, amount numeric(12, 3), mood gov.mood,
        blob bytea, valid char(2), updated_at {type} not null, primary key (id, part));
    create index on gov.person (updated_at);
    create view gov.v_people as
        select p.id, p.part, r.title, p.name, p.amount, p.mood, p.blob, p.valid, p.updated_at
        from gov.person p join gov.region r on r.code = p.region;
    insert into gov.person select i, 'x', i % 10, 'first ' || i, i, 'glad', '\\x00ff', 'Y', {now}
        from generate_series(1, {rows}) i;
    create table gov.no_part_of_it (id int primary key);
"""
SHOWN = "id, part, title, name, amount, mood::text, blob, valid, updated_at"


class Writer(threading.Thread):
    """Transactions of many kinds, some open for longer than a poll or the overlap."""

    def __init__(self, url, seed, now, longest, share):
        super().__init__(daemon=True)
        # Most of its rows are nobody else's, or all would wait for each other's.
        self.share = share
        self.connection = psycopg2.connect(url)
        self.rng = random.Random(seed)
        self.now = now
        self.longest = longest
        self.over = threading.Event()
        self.done = {"committed": 0, "rolled back": 0, "late": 0}
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.transaction()
                self.over.wait(self.rng.uniform(0, 0.05))
        except Exception as failure:  # shown by the test
            self.failure = failure
        finally:
            self.connection.close()

    def transaction(self):
        with self.connection.cursor() as cursor:
            try:
                cursor.execute("set lock_timeout = '100ms'")
                for _ in range(self.rng.randint(1, 4)):
                    cursor.execute(*self.statement())
                self.hold_open()
                if self.rng.random() < 0.15:
                    self.connection.rollback()
                    self.done["rolled back"] += 1
                else:
                    self.connection.commit()
                    self.done["committed"] += 1
            except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
                self.connection.rollback()

    def hold_open(self):
        if self.rng.random() < 0.2:
            self.over.wait(self.rng.uniform(0.1, self.longest))
            self.done["late"] += 1

    def statement(self):
        key = self.rng.randint(1, ROWS * 2)
        if self.rng.random() < 0.9:
            key = key // self.share[1] * self.share[1] + self.share[0]
        value = self.rng.choice(["there", "back", "\\N", "tab\there", "", "行"])
        kind = self.rng.randrange(6)
        if kind == 0:
            # Many rows with one stamp.
            return (f"update gov.person set amount = amount + 1, updated_at = {self.now}"
                    " where id %% 23 = %s and id %% %s = %s",
                    [key % 23, self.share[1], self.share[0]])
        if kind in (1, 2):
            flag = self.rng.choice(["Y", "D", "D", "N", None])
            return (f"update gov.person set valid = %s, updated_at = {self.now} where id = %s",
                    [flag, key])
        if kind == 3:
            return ("insert into gov.person values"
                    f" (%s, %s, %s, %s, %s, 'sad', %s, 'Y', {self.now}) on conflict (id, part)"
                    " do update set name = excluded.name, updated_at = excluded.updated_at",
                    [key, self.rng.choice("xyz"), key % 10, value, key / 8, b"\\\x00"])
        return (f"update gov.person set name = %s, updated_at = {self.now} where id = %s",
                [value, key])

    def stop(self):
        self.over.set()
        self.join()
        if self.failure:
            raise self.failure


class SyncTimestamp(scene.Scene):
    def prepare(self, kind=None):
        self.kind = kind or self.rng.choice(sorted(STAMPS))
        self.say(f"stamps are {self.kind}")
        self.on_source(SCHEMA.format(type=self.kind, now=STAMPS[self.kind], rows=ROWS))
        self.state = self.folder / "state"

    def words(self, *more, url=None, table="gov.v_people"):
        return ("sync", "--from", url or self.source_url, "--to", self.target_url, "--mode",
                "timestamp", "--column", "updated_at", "--key", "id,part", "--valid", "valid",
                "--deleted", "D", "--table", table, "--overlap", str(OVERLAP_SECONDS),
                "--every", "1", "--create", "--state", str(self.state), *more)

    def writers(self, count=4, longest=OVERLAP_SECONDS * 2):
        return [Writer(self.source_url, self.rng.getrandbits(30), STAMPS[self.kind], longest,
                       (number, count)) for number in range(count)]

    def stop(self, writers):
        for writer in writers:
            writer.stop()
        told = {word: sum(writer.done[word] for writer in writers) for word in writers[0].done}
        self.say(f"transactions: {told}")
        self.assertGreater(told["late"], 0)

    # -- the oracle --

    def rows(self, url, sql):
        connection = comparison.connect(url)
        taken = comparison.Chunks()
        try:
            with connection.cursor() as cursor:
                cursor.copy_expert(f"copy ({sql}) to stdout", taken)
        finally:
            connection.close()
        return sorted(b"".join(taken.parts).splitlines())

    def both(self, target="gov.v_people"):
        source = self.rows(self.source_url, f"select {SHOWN} from gov.v_people"
                           " where valid is distinct from 'D'")
        return source, self.rows(self.target_url, f"select {SHOWN} from {target}")

    def assert_equal(self, target="gov.v_people"):
        source, there = self.both(target)
        missing, extra = set(source) - set(there), set(there) - set(source)
        self.assertEqual((len(source), sorted(missing)[:5], sorted(extra)[:5]),
                         (len(there), [], []))
        return len(source)

    def marker_arrives(self, seconds, moving=lambda: True):
        """A last row; what was committed before it is there when it is."""
        number = self.rng.randrange(1 << 30)
        self.on_source("insert into gov.person values "
                       f"({number}, 'm', 1, 'marker', 0, 'glad', '', 'Y', {STAMPS[self.kind]})")
        scene.wait_until(
            lambda: self.on_target(f"select 1 from gov.v_people where id = {number}") == "1",
            seconds, lambda: f"the marker did not arrive; {self.tails()}")
        self.assertTrue(moving())

    # Spec: H-28, H-30, H-31, R-34, R-52
    def test_following_a_view_is_exact_through_late_commits_and_kills(self):
        for kind in self.rng.sample(sorted(STAMPS), 2):
            with self.subTest(kind):
                self.on_source("drop schema if exists gov cascade")
                self.on_target("drop schema if exists gov, qiao cascade")
                self.prepare(kind)
                self.state = self.folder / kind.replace("(", "-").strip(")")
                self.follow_through_kills()

    def follow_through_kills(self):
        writers = self.writers()
        program = self.start(*self.words("--follow"))
        for number in range(6):
            time.sleep(self.rng.uniform(0.3, 3))
            self.assertTrue(program.running(), program.tail())
            self.say(f"kill {number + 1}")
            program.kill()
            program = self.start(*self.words("--follow"))
        time.sleep(OVERLAP_SECONDS)
        self.stop(writers)
        self.marker_arrives(CATCH_UP_SECONDS, program.running)
        self.say(f"{self.assert_equal()} rows are equal")
        self.assertEqual(program.end(), 0, program.tail())

    # Spec: H-28, H-30, H-31, R-35, R-49
    def test_runs_to_the_end_are_exact_each_time_killed_or_not(self):
        self.prepare()
        self.run_qiao(*self.words("--once"), seconds=RUN_SECONDS)
        self.assert_equal()
        for _ in range(3):
            writers = self.writers(3, longest=2)
            time.sleep(2)
            killed = self.start(*self.words("--once"))
            time.sleep(self.rng.uniform(0.05, 0.8))
            killed.kill()
            self.stop(writers)
            self.run_qiao(*self.words("--once"), seconds=RUN_SECONDS)
            self.assert_equal()

    def test_killed_first_loads_begin_again(self):
        self.prepare()
        self.on_source("insert into gov.person select i, 'big', 1, repeat('x', 200), 1, 'sad', '',"
                       f" 'Y', {STAMPS[self.kind]} from generate_series(1000, 120000) i")
        for _ in range(4):
            program = self.start(*self.words("--once"))
            time.sleep(self.rng.uniform(0.1, 1.2))
            program.kill()
        self.run_qiao(*self.words("--once"), seconds=RUN_SECONDS)
        self.assertGreater(self.assert_equal(), 100000)

    def test_a_table_takes_its_primary_key_and_another_name(self):
        self.prepare("timestamptz")
        words = ("sync", "--from", self.source_url, "--to", self.target_url, "--mode",
                 "timestamp", "--column", "updated_at", "--valid", "valid", "--deleted", "D",
                 "--table", "gov.person=other.people", "--create")
        self.run_qiao(*words)
        self.on_source("update gov.person set valid = 'D', updated_at = now() where id < 50;"
                       "update gov.person set name = 'new', updated_at = now() where id > 300")
        self.run_qiao(*words)
        shown = "id, part, region, name, amount, mood::text, blob, valid, updated_at"
        self.assertEqual(
            self.rows(self.source_url, f"select {shown} from gov.person where valid <> 'D'"),
            self.rows(self.target_url, f"select {shown} from other.people"))
        compare = ("verify", *[word for word in words[1:] if word != "--create"])
        self.run_qiao(*compare)
        self.on_target("update other.people set amount = amount + 1 where id = 120")
        different = self.start(*compare, name="verify")
        self.assertEqual(different.wait(RUN_SECONDS), 1)
        self.assertIn("amount", different.tail())
        self.run_qiao(*words, "--drop")
        self.assertEqual(self.on_target("select to_regclass('qiao.checkpoint')"), "")

    # Spec: H-28, H-30, H-31
    def test_two_agents_carry_a_view(self):
        self.prepare()
        left, right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", "people", self.source_url, self.target_url,
            tables=["gov.v_people"], port=servers.free_port(["127.0.0.1"]))
        self.configure(left, mode="timestamp", rename={"gov.v_people": "other.people"}, timestamp={
            "column": "updated_at", "key": ["id", "part"], "valid": "valid", "deleted": ["D"],
            "overlap": f"{OVERLAP_SECONDS}s", "every": "500ms"})
        self.configure(right, rename={"gov.v_people": "other.people"})
        for agent in (left, right):
            self.addCleanup(agent.kill)
            agent.start()
        writers = self.writers(3)
        for _ in range(3):
            time.sleep(self.rng.uniform(1, 3))
            agent = self.rng.choice([left, right])
            agent.kill()
            agent.start()
        self.stop(writers)

        def equal():
            try:
                source, target = self.both("other.people")
                return source == target
            except psycopg2.Error:
                return False

        scene.wait_until(equal, CATCH_UP_SECONDS, lambda: left.tail() + right.tail())
        compare = ("verify", "--flow", "people", "--socket", str(left.socket))
        self.run_qiao(*compare)
        self.run_qiao(*compare, "--recent", "updated_at=1h", "--sample", "50")
        self.assert_proves(left, right, compare)

    def assert_proves(self, left, right, compare):
        """A table that is in doubt, as after a skip, until it has been compared."""
        right.end()
        self.on_target("update qiao.table_state set status = 5")
        right.start()
        scene.wait_until(lambda: left.flow("people").get("state") == "following",
                         CATCH_UP_SECONDS, left.tail)
        self.run_qiao(*compare)
        scene.wait_until(lambda: self.on_target("select status from qiao.table_state") == "2",
                         CATCH_UP_SECONDS, left.tail)

    def configure(self, agent, **settings):
        config = json.loads(agent.config.read_text())
        config["flows"][0].update(settings)
        agent.config.write_text(json.dumps(config))

    # Spec: H-30
    def test_what_comes_later_than_promised_is_warned_of_and_brought_by_reading_again(self):
        self.prepare("timestamptz")
        # This user does not see which transactions of others are open.
        self.on_source("create role reader login password 'reader'; grant usage on schema gov to"
                       " reader; grant select on gov.v_people to reader")
        self.addCleanup(self.drop_reader)
        url = self.source_url.replace("postgres@", "reader:reader@", 1)
        run = self.run_qiao(*self.words("--once", url=url))
        self.assertIn("cannot be seen", run.tail(40))
        late = psycopg2.connect(self.source_url)
        late.cursor().execute(
            "update gov.person set name = 'late', updated_at = now() where id = 7")
        time.sleep(OVERLAP_SECONDS + 2)
        self.on_source("update gov.person set name = 'on time', updated_at = now() where id = 8")
        self.run_qiao(*self.words("--once", url=url))
        late.commit()
        late.close()
        self.run_qiao(*self.words("--once", url=url))
        source, target = self.both()
        self.assertEqual(len(set(source) - set(target)), 1, "this is what the warning is for")
        self.run_qiao(*self.words("--once", "--read-again", url=url))
        self.assert_equal()

    def drop_reader(self):
        self.on_source("drop owned by reader; drop role reader")

    # Spec: H-29, H-30
    def test_rows_that_break_what_is_declared_of_them_are_refused_before_the_load(self):
        self.prepare("timestamptz")
        self.on_source("create view gov.doubled as select * from gov.v_people union all"
                       " select * from gov.v_people where id = 5")
        program = self.start(*self.words("--once", table="gov.doubled"))
        self.assertNotEqual(program.wait(RUN_SECONDS), 0)
        self.assertIn("capture.table", program.tail())
        self.assertIn("more than one row", program.tail())
        for table, words in (("gov.doubled", ["more than one row"]), ("gov.v_people", [])):
            check = self.start("check", "--from", self.source_url, "--mode", "timestamp",
                               "--column", "updated_at", "--key", "id,part", "--valid", "valid",
                               "--deleted", "D", "--table", table, name=table)
            self.assertEqual(check.wait(RUN_SECONDS), 1 if words else 0, check.tail(40))
            for word in words:
                self.assertIn(word, check.tail(40))


if __name__ == "__main__":
    unittest.main(verbosity=2)
