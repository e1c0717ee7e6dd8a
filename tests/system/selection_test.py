#!/usr/bin/env python3
"""Chosen columns and rows of a table: nothing else leaves the source, exact through kills, and what
the choice cannot bring is refused before the application suffers."""

import random
import subprocess
import threading
import time
import unittest

import psycopg2

import scene
import zoo

import agents
import servers

CATCH_UP_SECONDS = 120
FLOW = "north"
CONDITION = "region = 'north'"
RECENT = "day >= '2026-06-01'"
COLUMNS = ["id", "region", "name"]
PEOPLE = "id int primary key, region text, name text"
EVENTS = "id int, day date, note text, primary key (id, day)"
SOURCE = f"""
    create schema zoo; {zoo.MARKER}
    create table zoo.person ({PEOPLE}, secret text not null);
    alter table zoo.person replica identity full;
    create table zoo.event ({EVENTS}) partition by range (day);
    create table zoo.event_old partition of zoo.event for values from ('2026-01-01') to
        ('2026-06-01');
    create table zoo.event_new partition of zoo.event for values from ('2026-06-01') to
        ('2027-01-01');
    create table zoo.plain (id int primary key, v text);
    insert into zoo.person select g, (array['north', 'south', null])[g % 3 + 1], 'n' || g,
        'SECRET' from generate_series(1, 3000) g;
    insert into zoo.event select g, date '2026-01-01' + g % 360, repeat('note', g % 700)
        from generate_series(1, 3000) g;
"""
TARGET = f"""
    create schema zoo; {zoo.MARKER}
    create table zoo.person ({PEOPLE}); create table zoo.event ({EVENTS});
    create table zoo.plain (id int primary key, v text);
"""


class Writer(threading.Thread):
    """Rows that come into the choice, change in it, and leave it."""

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self._url, self._rng = url, random.Random(seed)
        self._enough = threading.Event()
        self.broken, self.done = None, 0

    def run(self):
        try:
            connection = psycopg2.connect(self._url)
            cursor = connection.cursor()
            while not self._enough.is_set():
                try:
                    for _ in range(self._rng.randint(1, 5)):
                        self._change(cursor)
                    keep = self._rng.random() < 0.9
                except psycopg2.errors.IntegrityError:
                    keep = False
                connection.commit() if keep else connection.rollback()
                self.done += keep
            connection.close()
        except psycopg2.Error as error:
            self.broken = error

    def _change(self, cursor):
        region = self._rng.choice(["north", "north", "south", None])
        one = self._rng.randint(1, 4000)
        day = f"2026-{self._rng.randint(1, 12):02}-{self._rng.randint(1, 28):02}"
        kind = self._rng.randrange(6)
        if kind == 0:
            cursor.execute("insert into zoo.person values (%s, %s, 'new', 'SECRET') on conflict"
                           " (id) do update set region = excluded.region", (one, region))
        elif kind == 1:
            cursor.execute("update zoo.person set region = %s, name = name || 'x' where id = %s",
                           (region, one))
        elif kind == 2:
            cursor.execute("update zoo.person set id = id + 10000 where id = %s and not exists"
                           " (select from zoo.person p where p.id = %s)", (one, one + 10000))
        elif kind == 3:
            cursor.execute("delete from zoo.person where id = %s", (one,))
        elif kind == 4:
            cursor.execute("update zoo.event set day = %s where id = %s", (day, one))
        else:
            cursor.execute("insert into zoo.event values (%s, %s, 'new') on conflict do nothing",
                           (one, day))

    def stop(self):
        self._enough.set()
        self.join()


class Selection(scene.Scene):
    def setUp(self):
        super().setUp()
        self.state = str(self.folder / "state")
        self.on_source(SOURCE)
        self.on_target(TARGET)

    def words(self, *words):
        return self.sync_words("--table", "zoo.*", "--state", self.state, *words)

    def chosen(self, *words):
        return self.words("--columns", "zoo.person=" + ",".join(COLUMNS), "--where",
                          f"zoo.person={CONDITION}", "--where", f"zoo.event={RECENT}", *words)

    def follow(self, *words):
        self.qiao = self.start(*(words or self.chosen()), "--follow")

    def caught_up(self, running=None):
        self.marker_arrives(CATCH_UP_SECONDS, running or self.qiao.running)

    def assert_chosen(self, people=CONDITION, events=RECENT):
        """What the target has is what the choice means at the source; by no part of Qiao."""
        for table, columns, condition in (("person", "id, region, name", people),
                                          ("event", "id, day, note", events),
                                          ("plain", "id, v", "true")):
            here = self.on_source(f"select {columns} from zoo.{table} where {condition}"
                                  " order by 1, 2")
            there = self.on_target(f"select {columns} from zoo.{table} order by 1, 2")
            self.assertEqual(here, there, table)

    def verify(self, *words, expect, name="verify"):
        program = self.start("verify", "--from", self.source_url, "--to", self.target_url,
                             "--table", "zoo.*", "--state", self.state, *words, name=name)
        self.assertEqual(program.wait(240), expect, program.tail())
        return program.log.read_text()

    # Spec
    # Source: rules 11, 25
    def test_only_what_is_chosen_goes_over_whatever_comes_and_leaves(self):
        self.follow()
        self.caught_up()
        writer = Writer(self.source_url, self.rng.getrandbits(30))
        writer.start()
        for _ in range(3):
            time.sleep(self.rng.uniform(1, 3))
            self.qiao.kill()
            # The choice is kept: who forgets it does not send everything.
            self.follow(*self.words())
        writer.stop()
        self.assertIsNone(writer.broken)
        self.caught_up()
        self.assert_chosen()
        self.say(f"{writer.done} transactions; "
                 f"{self.on_target('select count(*) from zoo.person')} people")
        # Compared as it was chosen; rows that nobody chose are extra, and missing ones missed.
        self.verify(expect=0)
        self.on_target("insert into zoo.person values (90001, 'south', 'stray');"
                       "delete from zoo.event where id in (select min(id) from zoo.event)")
        self.verify(expect=1, name="different")
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        self.verify("--repair", expect=0, name="repair")
        self.assert_chosen()

    # Spec: R-12
    # Source: rules 25
    def test_another_choice_leaves_the_table_unproven_until_it_is_compared(self):
        self.follow()
        self.caught_up()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        self.follow(*self.words("--where", "zoo.person=region = 'south'", "--on-error", "aside"))
        self.caught_up()
        self.on_source("update zoo.person set name = 'moved' where id <= 30")
        self.caught_up()

        def state():
            told = self.one_object("tables", "--from", self.source_url, "--to", self.target_url,
                                   "--state", self.state)
            return {one["table"]: one["state"] for one in told["tables"]}["zoo.person"]
        scene.wait_until(lambda: state() == "unproven", CATCH_UP_SECONDS, self.qiao.tail)
        self.assertEqual(self.qiao.end(), 1, "rows wait")
        self.verify("--repair", expect=0, name="repair")
        self.assert_chosen(people="region = 'south'")
        self.assertEqual(state(), "live")

    # Source: rules 11, 25
    def test_a_choice_that_would_break_the_application_is_refused(self):
        statements = [
            (("--where", "zoo.plain=v = 'x'"), "REPLICA IDENTITY FULL"),
            (("--where", "zoo.plain=id = 1); drop table zoo.plain; select (1"), "not understood"),
            (("--where", "zoo.plain=nosuch = 1"), "not understood"),
            (("--columns", "zoo.plain=v"), "belongs to its key"),
            (("--columns", "zoo.plain=id,nosuch"), "has no column nosuch"),
        ]
        self.on_source("insert into zoo.plain values (1, 'a')")
        for number, (words, said) in enumerate(statements):
            with self.subTest(words=words):
                program = self.start(*self.sync_words("--once", "--table", "zoo.plain", "--state",
                                                      f"{self.state}{number}", *words),
                                     name=f"refused{number}")
                self.assertEqual(program.wait(60), 1, program.tail())
                self.assertIn("capture.table", program.tail())
                self.assertIn(said, program.tail())
                self.on_source("update zoo.plain set v = v || 'x', id = id + 1")
        self.assertEqual(self.on_target("select count(*) from zoo.plain"), "0")

    # Source: rules 11
    def test_a_condition_that_loses_its_columns_is_withdrawn_before_long(self):
        self.follow()
        self.caught_up()
        self.on_source("alter table zoo.person replica identity default")

        def works():
            try:
                self.on_source("update zoo.person set name = 'works' where id = 1")
                return True
            except servers.ServerError:
                return False
        scene.wait_until(works, CATCH_UP_SECONDS, self.qiao.tail)
        self.caught_up()
        told = self.one_object("tables", "--from", self.source_url, "--to", self.target_url,
                               "--state", self.state)
        states = {one["table"]: one["state"] for one in told["tables"]}
        self.assertEqual(states["zoo.person"], "needs_resync")
        self.qiao.kill()

    # Spec
    def test_two_agents_carry_a_choice_and_compare_it(self):
        port = servers.free_port(["127.0.0.1"])
        left, right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, self.source_url, self.target_url,
            tables=["zoo.*"], port=port, create=False,
            at_source={"select": {"zoo.person": {"columns": COLUMNS, "where": CONDITION},
                                  "zoo.event": {"where": RECENT}}})
        for agent in (left, right):
            self.addCleanup(agent.kill)
            agent.start()
        self.caught_up(lambda: left.running() and right.running())
        writer = Writer(self.source_url, self.rng.getrandbits(30))
        writer.start()
        time.sleep(3)
        left.kill()
        left.start()
        writer.stop()
        self.caught_up(lambda: left.running() and right.running())
        self.assert_chosen()
        done = subprocess.run([scene.QIAO, "verify", "--flow", FLOW, "--socket", str(left.socket)],
                              text=True, capture_output=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        scene.wait_until(lambda: left.flow(FLOW).get("green"), CATCH_UP_SECONDS, left.tail)


if __name__ == "__main__":
    unittest.main(verbosity=2)
