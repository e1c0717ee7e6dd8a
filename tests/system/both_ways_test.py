#!/usr/bin/env python3
"""Two flows in opposite directions over the same tables: equal in the end, and silent."""

import random
import threading
import time
import unittest

import psycopg2

import comparison
import scene

CATCH_UP_SECONDS = 120
SILENT_SECONDS = 10
# So late a session that has become idle tells its last counts.
COUNTS_SECONDS = 12
TABLES = """
    create schema zoo;
    create table zoo.person (id int primary key, name text, n int);
    create table zoo.big (id int primary key, v text);
"""
WRITTEN = """
    select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables where schemaname = 'zoo'
"""


class Writer(threading.Thread):
    """Changes rows of its own; each side's keys are the other's neighbours."""

    def __init__(self, url, parity, rng):
        super().__init__(daemon=True)
        self._url, self._parity, self._rng = url, parity, rng
        self._enough = threading.Event()
        self.commits = 0
        self.broken = None

    def run(self):
        try:
            connection = psycopg2.connect(self._url)
            number = 0
            while not self._enough.is_set():
                with connection, connection.cursor() as cursor:
                    for _ in range(self._rng.randint(1, 8)):
                        number += 1
                        self._change(cursor, number)
                self.commits += 1
            connection.close()
        except psycopg2.Error as error:
            self.broken = error

    def _change(self, cursor, number):
        own = self._rng.randint(1, number) * 2 + self._parity
        kind = self._rng.randrange(10)
        if kind < 5:
            cursor.execute("insert into zoo.person values (%s, %s, 0)",
                           (number * 2 + self._parity, f"by {self._parity}"))
        elif kind < 8:
            cursor.execute("update zoo.person set n = n + 1 where id = %s", (own,))
        elif kind < 9:
            cursor.execute("delete from zoo.person where id = %s", (own,))
        else:
            # Above logical_decoding_work_mem: it travels ahead of its commit.
            cursor.execute(
                "insert into zoo.big select %s + g * 2, repeat('b', 400)"
                " from generate_series(1, 300) g on conflict do nothing",
                (number * 1000 + self._parity,))

    def stop(self):
        self._enough.set()
        self.join()


class Clash(threading.Thread):
    """Changes the same few rows as the other side."""

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self._url, self._rng = url, random.Random(seed)
        self._enough = threading.Event()
        self.broken = None

    def run(self):
        try:
            connection = psycopg2.connect(self._url)
            connection.autocommit = True
            cursor = connection.cursor()
            while not self._enough.is_set():
                cursor.execute("update zoo.person set n = %s where id = %s",
                               (self._rng.randrange(10_000), self._rng.randint(7, 20)))
                time.sleep(0.02)
            connection.close()
        except psycopg2.Error as error:
            self.broken = error

    def stop(self):
        self._enough.set()
        self.join()


class BothWays(scene.Scene):
    # Spec: R-01. Source: rules 16
    def test_two_opposite_flows_end_equal_and_silent(self):
        for run in (self.on_source, self.on_target):
            run(TABLES)
            run(f"alter database {self.database} set logical_decoding_work_mem = '64kB'")
        there = self.sync_words("--follow", "--table", "*", "--state", str(self.folder / "there"))
        back = ("sync", "--from", self.target_url, "--to", self.source_url, "--follow", "--table",
                "*", "--state", str(self.folder / "back"))
        flows = {"there": there, "back": back}
        running = {name: self.start(*words, name=name) for name, words in flows.items()}
        for program in running.values():
            scene.wait_until(lambda: program.says("following"), 60, program.tail)
        writers = [Writer(url, parity, self.rng)
                   for parity, url in enumerate((self.source_url, self.target_url))]
        for writer in writers:
            writer.start()
        for _ in range(4):
            time.sleep(self.rng.uniform(0.5, 1.5))
            name = self.rng.choice(list(flows))
            self.assertTrue(running[name].running(), running[name].tail())
            running[name].kill()
            running[name] = self.start(*flows[name], name=name)
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.broken)
        self.say(f"commits: {[writer.commits for writer in writers]}")
        scene.wait_until(self.equal, CATCH_UP_SECONDS, self.tails)
        time.sleep(COUNTS_SECONDS)
        before = [self.on_source(WRITTEN), self.on_target(WRITTEN)]
        time.sleep(SILENT_SECONDS)
        self.assertEqual([self.on_source(WRITTEN), self.on_target(WRITTEN)], before)
        self.assertTrue(self.equal())
        for program in running.values():
            self.assertEqual(program.end(), 0, program.tail())

    def both(self, *words):
        there = self.sync_words("--follow", "--table", "*", "--state", str(self.folder / "there"))
        back = ("sync", "--from", self.target_url, "--to", self.source_url, "--follow", "--table",
                "*", "--state", str(self.folder / "back"))
        running = {name: self.start(*ends, "--foreign-changes", "report", "--on-error", "aside",
                                    *words, name=name)
                   for name, ends in (("there", there), ("back", back))}
        for program in running.values():
            scene.wait_until(lambda: program.says("following"), 60, program.tail)
        return running

    def waiting(self, run):
        """Names of rows that wait in an error table."""
        return set(run("select key_text from qiao.error_row").splitlines())

    # Spec: R-01
    # Source: rules 16, 21
    def test_no_row_that_both_sides_have_changed_is_overwritten_in_silence(self):
        for run in (self.on_source, self.on_target):
            run(TABLES + "alter table zoo.person replica identity full;")
        running = self.both()
        self.on_source("insert into zoo.person select g, 'both', 0 from generate_series(1, 40) g")
        scene.wait_until(self.equal, CATCH_UP_SECONDS, self.tails)
        for program in running.values():
            self.assertEqual(program.end(), 0, program.tail())
        # What each finds when the other comes back.
        self.on_source("update zoo.person set n = 1 where id <= 3;"
                       "delete from zoo.person where id = 5;"
                       "insert into zoo.person values (91, 'a')")
        self.on_target("update zoo.person set n = 2 where id in (1, 5, 6);"
                       "insert into zoo.person values (91, 'b')")
        running = self.both()
        both_sides = {"id=1", "id=5", "id=91"}
        for run in (self.on_source, self.on_target):
            scene.wait_until(lambda: self.waiting(run) == both_sides, CATCH_UP_SECONDS, self.tails)
            self.assertEqual(run("select n from zoo.person where id in (2, 3, 6) order by id"),
                             "1\n1\n2")
        self.assertEqual(self.on_source("select n from zoo.person where id = 1"), "1")
        self.assertEqual(self.on_target("select n from zoo.person where id = 1"), "2")
        told = self.start("errors", "--from", self.source_url, "--to", self.target_url, "--state",
                          str(self.folder / "there"), name="errors")
        self.assertEqual(told.wait(60), 1, told.tail())
        self.assertIn("zoo.person [id=1]: apply.foreign_change", told.log.read_text())
        # Both at work on few rows: each row is equal in the end, or somebody is told.
        writers = [Clash(url, self.rng.getrandbits(30))
                   for url in (self.source_url, self.target_url)]
        for writer in writers:
            writer.start()
        time.sleep(4)
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.broken)
        self.on_source("insert into zoo.big values (1, 'last')")
        self.on_target("insert into zoo.big values (2, 'last')")
        scene.wait_until(lambda: self.on_target("select count(*) from zoo.big") == "2"
                         and self.on_source("select count(*) from zoo.big") == "2",
                         CATCH_UP_SECONDS, self.tails)
        told = self.waiting(self.on_source) | self.waiting(self.on_target)
        rows = [dict(line.split("|", 1)
                     for line in run("select id, n from zoo.person").splitlines())
                for run in (self.on_source, self.on_target)]
        different = {key for key in rows[0].keys() | rows[1].keys()
                     if rows[0].get(key) != rows[1].get(key)}
        self.say(f"{len(different)} rows differ, {len(told)} are told")
        self.assertGreater(len(different), 1)
        self.assertLessEqual({f"id={key}" for key in different}, told)
        for program in running.values():
            self.assertEqual(program.end(), 1, "rows wait")

    def equal(self):
        return comparison.differences(self.source_url, self.target_url) == []


if __name__ == "__main__":
    unittest.main(verbosity=2)
