#!/usr/bin/env python3
"""Two flows in opposite directions over the same tables: equal in the end, and silent."""

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

    def equal(self):
        return comparison.differences(self.source_url, self.target_url) == []


if __name__ == "__main__":
    unittest.main(verbosity=2)
