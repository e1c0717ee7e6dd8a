#!/usr/bin/env python3
"""`qiao sync --once`: exact after every run, killed or not; `--drop` leaves nothing."""

import json
import shutil
import time
import unittest

import comparison
import scene
import zoo
from workload import Workload

KILLS = 3
# A run ends when it is caught up: this is for a machine that is very busy.
RUN_SECONDS = 120
EMPTY_ALL = """
do $$ begin
    execute (select 'truncate ' || string_agg(oid::regclass::text, ', ') from pg_class
             where relnamespace = 'zoo'::regnamespace and relkind in ('r', 'p'));
end $$;
"""


class SyncOnce(scene.Scene):
    def setUp(self):
        super().setUp()
        self.schema = zoo.KEYED + zoo.MARKER + zoo.random_tables(self.rng, 6)
        self.on_source(self.schema + zoo.USER)
        self.state = self.folder / "state"
        self.words = ("--table", "zoo.*", "--state", str(self.state))

    def work(self, seconds):
        """The application at work while nobody follows."""
        load = Workload(self.app_url(), self.rng.getrandbits(30), pause=0.001,
                        without={("zoo", "marker")})
        load.run_for(seconds)
        self.no_more_from(load)

    def no_more_from(self, load):
        # A run goes up to what is flushed; the writers' last commits may not be, but this one is.
        self.on_source("insert into zoo.marker default values")
        self.assertEqual(load.unexpected, [])
        self.say(f"workload: {load.summary()}")

    def once(self, *more):
        self.run_qiao(*self.sync_words("--once", *self.words, *more), seconds=RUN_SECONDS)
        self.assert_equal()

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    def kill_some_runs(self, *more):
        """Begins a run and kills it, at a moment between its first and its last."""
        for number in range(KILLS):
            program = self.start(*self.sync_words("--once", *self.words, *more))
            moment = self.rng.uniform(0.02, 1.5) * (number + 1) / KILLS
            begun = time.monotonic()
            while program.running() and time.monotonic() - begun < moment:
                time.sleep(0.005)
            self.say(f"kill {number + 1} after {moment:.2f} s"
                     + ("" if program.running() else ": had ended"))
            program.kill()

    # Spec: R-47
    def test_create_gives_columns_the_length_that_an_encoding_of_bytes_needs(self):
        self.on_source("""
            create schema city;
            create table city.person (id int primary key, name varchar(5), code char(3));
            insert into city.person select g, left('欧阳修文忠公', g % 5 + 1), 'abc'
            from generate_series(1, 300) g""")
        name = f"{self.database}_bytes"
        self.target.psql(f"create database {name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
                         " template template0")
        url = self.target.url(name)
        report = self.one_object("sync", "--once", "--create", "--table", "city.*", "--from",
                                 self.source_url, "--to", url, "--state", str(self.folder / "b"))
        self.assertIn("city.person.name", json.dumps(report["findings"]))
        self.assertEqual(comparison.differences(self.source_url, url, [("city", "person")]), [])

    # Spec
    def test_killed_runs_are_completed_by_the_next(self):
        self.work(2)
        self.kill_some_runs("--create")
        self.once("--create")
        for _ in range(2):
            self.work(2)
            self.kill_some_runs("--create")
            self.once("--create")

    def test_changes_during_the_runs_are_carried(self):
        self.work(1)
        # A snapshot sees a table empty that was truncated after it was taken: not in the first run.
        load = Workload(self.app_url(), self.rng.getrandbits(30), without={("zoo", "marker")},
                        pause=0.01, truncate=False).start()
        self.run_qiao(*self.sync_words("--once", "--create", *self.words))
        load.allow_truncate()
        self.run_qiao(*self.sync_words("--once", "--create", *self.words))
        load.stop()
        self.no_more_from(load)
        self.once("--create")

    # -- drop --

    def dump(self, server, *words):
        return comparison.schema_dump(
            server.bin / "pg_dump", server.url(self.database), *words)

    def traces(self, server):
        """Everything in a catalogue that a run could leave; the server is this test's alone."""
        told = self.dump(server)
        for catalogue in ("pg_replication_slots", "pg_publication", "pg_replication_origin",
                          "pg_namespace", "pg_roles", "pg_db_role_setting", "pg_subscription",
                          "pg_event_trigger", "pg_largeobject_metadata"):
            told += server.psql(
                f"select '{catalogue}', to_jsonb(c) - '{{lsn,oid}}'::text[] from {catalogue} c"
                " where to_jsonb(c)->>'nspname' is null"
                " or to_jsonb(c)->>'nspname' !~ '^pg_(toast_)?temp_' order by 2",
                self.database).splitlines()
        return told

    def drop(self):
        self.run_qiao("sync", "--drop", "--from", self.source_url, "--to", self.target_url,
                      "--state", str(self.state))

    def assert_nothing_left(self, server, before):
        self.assertEqual(comparison.dump_differences(before, self.traces(server)), [])

    # Spec
    def test_create_makes_the_sources_schema_and_drop_leaves_only_that(self):
        self.on_source("insert into zoo.numbered (note) values ('a'), ('b');"
                       "insert into zoo.account (owner) select 'x' from generate_series(1, 42)")
        before = self.traces(self.source)
        self.once("--create")
        told = comparison.differences(self.source_url, self.target_url, only=[],
                                      with_sequences=True)
        self.assertEqual(told, [])
        self.drop()
        self.assert_nothing_left(self.source, before)
        self.assertFalse(self.state.exists())
        told = comparison.dump_differences(
            *(self.dump(server, "--no-owner", "--no-privileges")
              for server in (self.source, self.target)))
        self.assertEqual(told, [], "\n".join(told))

    # Spec: R-50
    def test_drop_leaves_both_catalogues_as_they_were(self):
        self.on_target(self.schema)
        self.work(1)
        before = [self.traces(server) for server in (self.source, self.target)]
        self.kill_some_runs()
        self.once()
        self.drop()
        self.assert_nothing_left(self.source, before[0])
        self.assert_nothing_left(self.target, before[1])
        self.assertFalse(self.state.exists())
        # And after it everything can begin again; this time the state folder is lost.
        self.on_target(EMPTY_ALL)
        self.once()
        shutil.rmtree(self.state)
        self.drop()
        self.assert_nothing_left(self.source, before[0])
        self.assert_nothing_left(self.target, before[1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
