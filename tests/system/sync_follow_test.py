#!/usr/bin/env python3
"""`qiao sync --follow` under a random workload: exact after kills of everything, harmless."""

import contextlib
import time
import unittest

import psycopg2

import comparison
import scene
import zoo
from workload import Workload

# Between two kills: long enough to get going again most times, and not every time.
PAUSE_SECONDS = (0.3, 2.0)
CATCH_UP_SECONDS = 120
OF_QIAO = "application_name ilike 'qiao%' or backend_type = 'walsender'"
# With a key and no identity: a deleted row that comes again would meet itself at the target.
LEFT_ALONE = {("zoo", "marker"), ("zoo", "keyless_nothing")}


class SyncFollow(scene.Scene):
    def setUp(self):
        super().setUp()
        self.words = self.sync_words(
            "--follow", "--create", "--table", "*", "--state", str(self.folder / "state"))

    def make_zoo(self):
        self.on_source(zoo.KEYED + zoo.INHERITED + zoo.KEYLESS + zoo.MARKER
                       + zoo.random_tables(self.rng, 4) + zoo.USER)

    def follow(self):
        self.qiao = self.start(*self.words)

    def workload(self, **options):
        return Workload(self.app_url(), self.rng.getrandbits(30), without=LEFT_ALONE, **options)

    def caught_up(self, seconds=CATCH_UP_SECONDS):
        self.marker_arrives(seconds, self.qiao.running)

    def assert_equal(self, without=()):
        told = comparison.differences(self.source_url, self.target_url, without=without)
        self.assertEqual(told, [], "\n".join(told))

    # Spec
    def test_exact_after_kills_of_program_sessions_and_servers(self):
        self.make_zoo()
        # TRUNCATE is no part of a snapshot: see sync_once_test for one during the first load.
        load = self.workload(pause=0.01, truncate=False).start()
        self.follow()
        kinds = [self.kill_program, self.crash_source, self.crash_target] * 2 + [
            self.end_source_sessions, self.end_target_sessions]
        self.rng.shuffle(kinds)
        for number, kill in enumerate(kinds):
            if number == len(kinds) // 3:
                self.caught_up()
                # The marker can have come with the load, which may have tables to go.
                scene.wait_until(lambda: self.qiao.says("following"), CATCH_UP_SECONDS, self.tails)
                load.allow_truncate()
            time.sleep(self.rng.uniform(*PAUSE_SECONDS))
            self.assertTrue(self.qiao.running(), self.qiao.tail())
            self.say(f"{number + 1}: {kill.__name__.replace('_', ' ')}")
            kill()
        load.stop()
        self.say(f"workload: {load.summary()}")
        self.assertEqual(load.unexpected, [])
        self.caught_up()
        self.assert_equal(without=zoo.KEYLESS_TABLES)
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    def kill_program(self):
        self.qiao.kill()
        self.follow()

    def end_source_sessions(self):
        scene.terminate_backends(self.source, OF_QIAO)

    def end_target_sessions(self):
        scene.terminate_backends(self.target, OF_QIAO)

    def crash_source(self):
        self.source.kill9()
        self.source.start()

    def crash_target(self):
        self.target.kill9()
        self.target.start()

    # Spec: R-18
    def test_every_statement_of_an_application_succeeds(self):
        self.make_zoo()
        self.follow()
        self.caught_up()
        load = self.workload(pause=0.002)
        load.run_for(4)
        self.assertEqual(load.unexpected, [])
        self.say(f"workload: {load.summary()}")
        self.caught_up()
        self.assert_equal(without=zoo.KEYLESS_TABLES)
        with contextlib.closing(psycopg2.connect(self.app_url())) as connection:
            connection.autocommit = True
            tables = self.tables(connection)
            for verb, statement in self.statements():
                for table, column in tables:
                    self.succeeds(connection, verb, statement, table, column)
        # All are empty at the source now; what keyless tables get from here on is carried.
        self.on_source("insert into zoo.keyless select i, 'b' from generate_series(1, 50) i;"
                       "insert into zoo.keyless_nothing values (1, 'x'), (2, null);"
                       "insert into zoo.keyless_parts values (1, 'x'), (2, 'y')")
        self.caught_up()
        self.assert_equal(without={("zoo", "unlogged")})
        self.tables_without_key_are_named()

    def tables_without_key_are_named(self):
        check = self.start("check", "--from", self.source_url, "--to", self.target_url,
                           "--table", "*", name="check")
        check.wait(60)
        findings = check.log.read_text()
        for table in ("keyless", "keyless_nothing", "keyless_parts"):
            self.assertRegex(findings, rf"(?m)^warning .*\bzoo\.{table}: .*UPDATE")
        self.assertRegex(findings, r"(?m)^\w+ .*\bzoo\.unlogged: ")
        self.assertNotRegex(findings, r"(?m)^(warning|error) .*\bzoo\.by_index: ")

    # The whole old row is in the log; of equal rows any one is meant.
    def test_a_keyless_table_with_full_identity_is_carried_with_its_duplicates(self):
        self.on_source("create schema zoo;" + zoo.MARKER + zoo.KEYLESS_FULL + "insert into"
                       " zoo.keyless_full values (1, 'a'), (2, 'b'), (2, 'b'), (2, null)")
        self.follow()
        self.caught_up()
        self.on_source("update zoo.keyless_full set b = 'c' where a = 1;"
                       "insert into zoo.keyless_full values (2, 'b'), (3, '');"
                       "delete from zoo.keyless_full where ctid = ("
                       "    select ctid from zoo.keyless_full where b = 'b' limit 1);"
                       "update zoo.keyless_full set a = a + 1 where ctid = ("
                       "    select ctid from zoo.keyless_full where b = 'b' limit 1)")
        self.caught_up()
        self.assert_equal()

    def statements(self):
        return [
            ("update", "update {table} set {column} = {column}"),
            ("delete", "delete from {table} where {column} is not distinct from "
                       "(select {column} from {table} limit 1)"),
            ("truncate", "truncate {table} cascade"),
        ]

    def tables(self, connection):
        """(quoted name, a column that can be set) of every table, partitioned ones and leaves."""
        with connection.cursor() as cursor:
            cursor.execute(
                "select n.nspname, c.relname, (select a.attname from pg_attribute a where"
                " a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
                " and a.attgenerated = '' and a.attidentity <> 'a' order by a.attnum limit 1)"
                " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                " where n.nspname = 'zoo' and c.relkind in ('r', 'p')"
                " and c.relname <> 'marker'")
            return [(comparison.quote(schema, name), comparison.quote(column))
                    for schema, name, column in cursor]

    def succeeds(self, connection, verb, statement, table, column):
        # Types without equality are compared as text.
        column_text = f"({column})::text" if verb == "delete" else column
        with connection.cursor() as cursor, self.subTest(verb=verb, table=table):
            with contextlib.suppress(psycopg2.errors.ForeignKeyViolation):
                cursor.execute(statement.format(table=table, column=column_text))


if __name__ == "__main__":
    unittest.main(verbosity=2)
