#!/usr/bin/env python3
"""A table is loaded anew while its flow runs, at whose word it may be: exact under load."""

import json
import random
import threading
import time
import unittest

import psycopg2

import comparison
import scene
import zoo

import agents
import servers

CATCH_UP_SECONDS = 120
TABLES = """
    create schema zoo;
    create table zoo.item (id int primary key, v text, n int);
    create table zoo.other (id int primary key, v text, n int);
    insert into zoo.item select g, repeat('item', 50), 0 from generate_series(1, 20000) g;
    insert into zoo.other select g, 'other', 0 from generate_series(1, 500) g;
"""
LIVE, NEEDS_RESYNC, ASKED = 2, 4, 6


class Writer(threading.Thread):
    """Changes both tables in the same transactions."""

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self._url, self._rng = url, random.Random(seed)
        self._enough = threading.Event()
        self.broken = None

    def run(self):
        try:
            connection = psycopg2.connect(self._url)
            cursor = connection.cursor()
            while not self._enough.is_set():
                for _ in range(self._rng.randint(1, 8)):
                    self._change(cursor)
                connection.commit()
                time.sleep(0.005)
            connection.close()
        except psycopg2.Error as error:
            self.broken = error

    def _change(self, cursor):
        table = self._rng.choice(("zoo.item", "zoo.other"))
        key, n = self._rng.randint(1, 30000), self._rng.randrange(10_000)
        if self._rng.random() < 0.3:
            cursor.execute(f"delete from {table} where id = %s", (key,))
        else:
            cursor.execute(f"insert into {table} values (%s, 'w', %s) on conflict (id)"
                           " do update set n = excluded.n", (key, n))

    def stop(self):
        self._enough.set()
        self.join()


class Resync(scene.Scene):
    def setUp(self):
        super().setUp()
        self.on_source(TABLES + zoo.MARKER)

    def status_of(self, table):
        return int(self.on_target(
            f"select status from qiao.table_state where table_name = '{table}'") or -1)

    def generation_of(self, table):
        return int(self.on_target(
            f"select generation from qiao.table_state where table_name = '{table}'"))

    def is_anew(self, table, before):
        def loaded():
            return self.status_of(table) == LIVE and self.generation_of(table) > before
        scene.wait_until(loaded, CATCH_UP_SECONDS,
                         lambda: f"{table} is {self.status_of(table)}; {self.tails()}")

    def damage(self):
        """What no change of the source would ever mend."""
        self.on_target("delete from zoo.item where id % 7 = 1; update zoo.item set v = 'altered'"
                       " where id % 7 = 2; insert into zoo.item select -g, 'strange', 0 from"
                       " generate_series(1, 50) g")

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))


class OneProcess(Resync):
    def setUp(self):
        super().setUp()
        self.state = str(self.folder / "state")

    def follow(self):
        # Changes meet what was damaged until it is gone.
        self.qiao = self.start(*self.sync_words("--follow", "--create", "--table", "zoo.*",
                                                "--on-error", "aside", "--state", self.state))
        self.caught_up()
        self.caught_up()

    def caught_up(self):
        self.marker_arrives(CATCH_UP_SECONDS, self.qiao.running)

    def resync(self, table):
        self.run_qiao("tables", "--from", self.source_url, "--to", self.target_url, "--state",
                      self.state, "--resync", table, name="tables")

    # Spec: R-51
    # Source: rules 20
    def test_a_table_is_loaded_anew_beside_the_changes_that_go_on(self):
        self.follow()
        writers = [Writer(self.source_url, self.rng.getrandbits(30)) for _ in range(2)]
        for writer in writers:
            writer.start()
        for number in range(3):
            self.say(f"{number + 1}")
            before = self.generation_of("item")
            self.damage()
            self.resync("zoo.item")
            if number == 1:
                # Somewhere in the load; the next start goes on with it.
                time.sleep(self.rng.uniform(0.5, 4))
                self.qiao.kill()
                self.follow()
            self.is_anew("item", before)
            self.assertEqual(self.generation_of("other"), 1, "the other one was left alone")
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.broken)
        self.caught_up()
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Source: rules 11, 20
    def test_a_table_that_lost_its_key_comes_back_when_it_is_asked_for(self):
        self.follow()
        self.on_source("alter table zoo.other drop constraint other_pkey")
        scene.wait_until(lambda: self.status_of("other") == NEEDS_RESYNC, CATCH_UP_SECONDS,
                         self.tails)
        self.on_source("update zoo.other set v = 'without a key' where id <= 10")
        before = self.generation_of("other")
        self.resync("zoo.other")
        self.is_anew("other", before)
        self.on_source("insert into zoo.other values (90000, 'after the resync', 1)")
        self.caught_up()
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())


class TwoAgents(Resync):
    def setUp(self):
        super().setUp()
        # A slot is the server's: another test's flow of the same name would have it.
        self.flow = f"anew-{self.database}"
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", self.flow, self.source_url, self.target_url,
            tables=["zoo.*"], port=servers.free_port(["127.0.0.1"]))
        for agent in (self.left, self.right):
            self.addCleanup(agent.kill)
            agent.start()

    def running(self):
        return self.left.running() and self.right.running()

    def tails(self):
        told = [f"{agent.name}: {agent.flow(self.flow)}\n{agent.tail()}"
                for agent in (self.left, self.right)]
        return "\n".join([*told, super().tails()])

    # Spec: R-51
    # Source: rules 20
    def test_the_targets_operator_asks_and_the_source_loads(self):
        for _ in range(2):
            self.marker_arrives(CATCH_UP_SECONDS, self.running)
        writer = Writer(self.source_url, self.rng.getrandbits(30))
        writer.start()
        before = self.generation_of("item")
        self.damage()
        self.run_qiao("tables", "--config", str(self.right.config), "--flow", self.flow, "--resync",
                      "zoo.item", name="tables")
        if self.rng.random() < 0.5:
            self.say("the target's agent is killed meanwhile")
            time.sleep(self.rng.uniform(0.5, 4))
            self.right.kill()
            self.right.start()
        self.is_anew("item", before)
        writer.stop()
        self.assertIsNone(writer.broken)
        self.marker_arrives(CATCH_UP_SECONDS, self.running)
        self.assert_equal()
        scene.wait_until(lambda: self.left.flow(self.flow).get("green"), CATCH_UP_SECONDS,
                         lambda: str(self.left.flow(self.flow)))

    # Spec: R-34
    # Source: rules 13
    def test_a_table_is_added_under_load_while_the_target_goes_on(self):
        self.left.kill()
        settings = json.loads(self.left.config.read_text())
        everything = settings["flows"][0]["tables"]
        settings["flows"][0]["tables"] = ["zoo.item", "zoo.marker"]
        self.left.config.write_text(json.dumps(settings))
        self.on_target("drop schema if exists zoo cascade; drop schema if exists qiao cascade")
        self.right.kill()
        self.left.start()
        self.right.start()
        for _ in range(2):
            self.marker_arrives(CATCH_UP_SECONDS, self.running)
        writers = [Writer(self.source_url, self.rng.getrandbits(30)) for _ in range(2)]
        for writer in writers:
            writer.start()
        settings["flows"][0]["tables"] = everything
        self.left.config.write_text(json.dumps(settings))
        self.assertEqual(self.left.end(), 0, self.left.tail())
        self.left.start()
        for number in range(3):
            time.sleep(self.rng.uniform(0.3, 2))
            self.say(f"kill {number + 1}")
            agent = self.rng.choice((self.left, self.right))
            agent.kill()
            agent.start()
        scene.wait_until(lambda: self.status_of("other") == LIVE, CATCH_UP_SECONDS, self.tails)
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.broken)
        self.marker_arrives(CATCH_UP_SECONDS, self.running)
        self.assert_equal()
        self.assertTrue(self.running())


if __name__ == "__main__":
    unittest.main(verbosity=2)
