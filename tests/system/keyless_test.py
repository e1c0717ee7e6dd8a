#!/usr/bin/env python3
"""`qiao sync --follow` of tables that only a whole row identifies, while their rows are moved about
at the target: exact, killed or not."""

import contextlib
import random
import threading
import time
import unittest

import psycopg2

import comparison
import scene
import zoo

CATCH_UP_SECONDS = 180
PAUSE_SECONDS = (1.0, 3.0)
EQUAL_ROWS = 1000

# `mark` tells rows that a foreign writer of the target has put there.
TABLES = """
create schema zoo;
create type zoo.mood as enum ('sad', 'ok', 'very happy');
create table zoo.equal (a integer, b text, mark integer);
create table zoo.rich (
    a integer, n numeric, f double precision, t text, j json, p point, x bytea, l integer[],
    w timestamptz, d zoo.mood, big text, mark integer);
create table zoo.parts (a integer, b text, mark integer) partition by list (a);
create table zoo.parts_1 partition of zoo.parts for values in (0, 1, 2);
create table zoo.parts_2 partition of zoo.parts for values in (3, 4);
create table zoo.parts_rest partition of zoo.parts default;
"""
NAMES = ("equal", "rich", "parts", "parts_1", "parts_2", "parts_rest")
IDENTITY = "\n".join(f"alter table zoo.{name} replica identity full;" for name in NAMES)
ROWS = f"""
insert into zoo.equal select 1, 'same', null from generate_series(1, {EQUAL_ROWS});
insert into zoo.rich (a) select i % 50 from generate_series(1, 500) i;
insert into zoo.parts select i % 7, null, null from generate_series(1, 700) i;
"""
VALUES = {
    "a": "(random() * 6)::int",
    "b": "(array['x', '', null, 'y'])[ceil(random() * 4)]",
    "n": "(array[1.0, 1.00, 'NaN', null])[ceil(random() * 4)]",
    "f": "(array[0, '-0', 'NaN', 0.1])[ceil(random() * 4)]",
    "t": "(array['', null, 'ä', 'a''b'])[ceil(random() * 4)]",
    "j": "(array['{\"a\": 1}', '{\"a\":1}', null])[ceil(random() * 3)]::json",
    "p": "(array['(1,2)', '(0,-0)', null])[ceil(random() * 3)]::point",
    "x": "(array['\\x00ff', '', null])[ceil(random() * 3)]::bytea",
    "l": "(array['{}', '{1,null}', null])[ceil(random() * 3)]::int[]",
    "w": "(array['infinity', '2026-01-01', null])[ceil(random() * 3)]::timestamptz",
    "d": "(array['ok', 'very happy', null])[ceil(random() * 3)]::zoo.mood",
    # Some are kept out of line, and are not sent when they stay as they were.
    "big": "case when random() < 0.1 then repeat(md5((random() * 3)::int::text), 400) end",
}
COLUMNS = {"equal": ["a", "b"], "parts": ["a", "b"],
           "rich": ["a", "n", "f", "t", "j", "p", "x", "l", "w", "d", "big"]}


class Worker:
    """Does `step` on a connection of its own until it is stopped."""

    def __init__(self, url, seed, pause):
        self.rng = random.Random(seed)
        self.done = 0
        self.unexpected = []
        self._url = url
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stop.set()
        self._thread.join()

    def _run(self):
        with contextlib.closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("set search_path = zoo")
                while not self._stop.is_set():
                    try:
                        self.step(cursor)
                        self.done += 1
                    except psycopg2.errors.DeadlockDetected:
                        pass
                    except psycopg2.Error as error:
                        self.unexpected.append(str(error))
                        return
                    self._stop.wait(self.rng.expovariate(1 / self._pause))


class Application(Worker):
    """Changes rows at the source by chance, several in a transaction."""

    def step(self, cursor):
        table = self.rng.choice(list(COLUMNS))
        columns = COLUMNS[table]
        cursor.execute("begin")
        for _ in range(self.rng.choice([1, 1, 3, 10])):
            kind = self.rng.choice("uuuuudi")
            some = (f"(tableoid, ctid) in (select tableoid, ctid from {table} order by random()"
                    f" limit {self.rng.choice([1, 1, 5, 40])} for update skip locked)")
            if table == "parts":
                # A row that moves to another partition cannot be locked by who waited for it.
                cursor.execute("lock parts in share row exclusive mode")
            if kind == "i":
                cursor.execute(
                    f"insert into {table} ({', '.join(columns)}) select "
                    f"{', '.join(VALUES[column] for column in columns)}"
                    f" from generate_series(1, {self.rng.choice([1, 5, 40])})")
            elif kind == "d":
                cursor.execute(f"delete from {table} where {some}")
            else:
                chosen = self.rng.sample(columns, self.rng.randint(1, len(columns)))
                cursor.execute(f"update {table} set " + ", ".join(
                    f"{column} = {VALUES[column]}" for column in chosen) + f" where {some}")
        cursor.execute("rollback" if self.rng.random() < 0.1 else "commit")


class Foreigner(Worker):
    """Moves the target's rows, and has rows of its own there for a while."""

    def step(self, cursor):
        table = self.rng.choice(list(COLUMNS))
        leaf = self.rng.choice(["parts_1", "parts_2", "parts_rest"]) if table == "parts" else table
        kind = self.rng.randrange(6)
        if kind == 0:
            cursor.execute(f"vacuum full {table}")
        elif kind == 1:
            cursor.execute(f"cluster {leaf} using place_{leaf}")
        elif kind == 2:
            cursor.execute(f"update {table} set mark = mark where random() < 0.2")
        elif kind == 3:
            cursor.execute(
                f"insert into {table} (a, mark) select (random() * 6)::int, 1"
                " from generate_series(1, 200)")
        elif kind == 4:
            cursor.execute(f"delete from {table} where mark = 1")
        else:
            # The same rows, elsewhere.
            cursor.execute(f"with gone as (delete from {table} where random() < 0.05 returning *)"
                           f" insert into {table} select * from gone")


class Keyless(scene.Scene):
    # Spec
    # Source: rules 22
    def test_exact_while_rows_are_moved_at_the_target(self):
        self.on_source(TABLES + IDENTITY + zoo.MARKER + ROWS)
        self.words = self.sync_words(
            "--follow", "--create", "--table", "*", "--state", str(self.folder / "state"))
        self.follow()
        self.caught_up()
        scene.wait_until(lambda: self.qiao.says("following"), CATCH_UP_SECONDS, self.tails)
        self.on_target("".join(f"create index place_{name} on zoo.{name} (a);"
                               for name in ("equal", "rich", "parts_1", "parts_2", "parts_rest")))
        workers = [Application(self.source_url, self.rng.getrandbits(30), 0.01) for _ in range(2)]
        workers.append(Foreigner(self.target_url, self.rng.getrandbits(30), 0.1))
        for worker in workers:
            worker.start()
        for number in range(2):
            time.sleep(self.rng.uniform(*PAUSE_SECONDS))
            self.assertTrue(self.qiao.running(), self.qiao.tail())
            self.say(f"kill {number + 1}")
            self.qiao.kill()
            self.follow()
        time.sleep(PAUSE_SECONDS[1])
        for worker in workers:
            worker.stop()
            self.assertEqual(worker.unexpected, [])
        self.say(f"{workers[0].done + workers[1].done} transactions,"
                 f" {workers[2].done} disturbances")
        self.caught_up()
        for table in COLUMNS:
            self.on_target(f"delete from zoo.{table} where mark = 1")
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    def follow(self):
        self.qiao = self.start(*self.words)

    def caught_up(self):
        self.marker_arrives(CATCH_UP_SECONDS, self.qiao.running)


if __name__ == "__main__":
    unittest.main(verbosity=2)
