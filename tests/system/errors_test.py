#!/usr/bin/env python3
"""Rows that a real target refuses wait in order, and come in once the cause is gone: exact."""

import threading
import time
import unittest

import psycopg2

import comparison
import scene
import zoo

CATCH_UP_SECONDS = 120
# The target is narrower than the source, has a check more, and a unique key.
SOURCE = """
    create schema zoo;
    create table zoo.item (id int primary key, name text, amount int, code text);
    create table zoo.part (id int primary key, item int not null references zoo.item, note text);
    create table zoo.plain (id int primary key, v text);
"""
TARGET = """
    create schema zoo;
    create table zoo.item (id int primary key, name varchar(5), amount int check (amount < 100),
        code text unique);
    create table zoo.part (id int primary key, item int not null references zoo.item, note text);
    create table zoo.plain (id int primary key, v text);
"""
CURE = """
    alter table zoo.item alter name type text, drop constraint item_amount_check;
"""


class Errors(scene.Scene):
    def setUp(self):
        super().setUp()
        self.state = str(self.folder / "state")
        self.on_source(SOURCE + zoo.MARKER)
        self.on_target(TARGET + zoo.MARKER)

    def follow(self, on_error="aside"):
        self.qiao = self.start(*self.sync_words(
            "--follow", "--table", "*", "--on-error", on_error, "--state", self.state))

    def at_target(self, command, *words, expect=0, name=None):
        program = self.start(command, "--from", self.source_url, "--to", self.target_url,
                             "--state", self.state, *words, name=name or command)
        self.assertEqual(program.wait(120), expect, program.tail())
        return program.log.read_text()

    def waiting(self):
        return int(self.on_target("select count(*) from qiao.error_row"))

    def caught_up(self):
        self.marker_arrives(CATCH_UP_SECONDS, self.qiao.running)

    def loaded(self):
        """The first marker may come with its own table's load, the second only after all."""
        self.caught_up()
        self.caught_up()

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        # The target's own constraints are not the matter.
        self.assertEqual(told, [], "\n".join(told))

    # Spec: R-51
    # Source: rules 21
    def test_a_skipped_insert_then_update_and_delete_is_as_at_the_source_after_replay(self):
        self.follow()
        self.caught_up()
        self.on_source("insert into zoo.item values (1, 'far too long', 1, 'a')")
        self.on_source("update zoo.item set amount = 2 where id = 1")
        self.on_source("insert into zoo.item values (2, 'fine', 1, 'b')")
        self.caught_up()
        self.assertEqual(self.waiting(), 2)
        self.on_source("delete from zoo.item where id = 1")
        self.caught_up()
        self.assertEqual(self.waiting(), 3)
        told = self.at_target("errors", expect=1)
        self.assertIn("zoo.item [id=1]: drivers.value", told)
        self.assertIn("3 changes wait", told)
        # While the process that applies goes on.
        told = self.at_target("errors", "--replay", name="replay")
        self.assertIn("3 changes applied, 0 still wait", told)
        self.assertEqual(self.waiting(), 0)
        self.on_source("insert into zoo.item values (1, 'anew', 1, 'a')")
        self.caught_up()
        self.assertEqual(self.waiting(), 0)
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Spec: R-51
    # Source: rules 21
    def test_exact_under_load_once_the_cause_is_gone(self):
        self.follow()
        self.caught_up()
        stop = threading.Event()
        failures = []

        def work(seed):
            rng = __import__("random").Random(seed)
            connection = psycopg2.connect(self.source_url)
            connection.autocommit = True
            cursor = connection.cursor()
            while not stop.is_set():
                item = rng.randint(1, 60)
                try:
                    what = rng.randrange(6)
                    if what < 2:
                        cursor.execute(
                            "insert into zoo.item values (%s, %s, %s, %s) on conflict (id) do"
                            " update set name = excluded.name, amount = excluded.amount",
                            (item, "x" * rng.randint(1, 7), rng.randint(1, 110), f"c{item}"))
                    elif what == 2:
                        cursor.execute("update zoo.item set code = %s where id = %s",
                                       (f"n{rng.randint(1, 200)}", item))
                    elif what == 3:
                        cursor.execute("insert into zoo.part values (%s, %s, 'p')",
                                       (rng.randint(1, 300), item))
                    elif what == 4:
                        cursor.execute("delete from zoo.part where id = %s", (rng.randint(1, 300),))
                    else:
                        cursor.execute("delete from zoo.item where id = %s and not exists"
                                       " (select from zoo.part where item = %s)", (item, item))
                except (psycopg2.errors.IntegrityError, psycopg2.errors.DeadlockDetected):
                    pass
                except psycopg2.Error as error:
                    failures.append(str(error))
                    return
                stop.wait(0.003)
            connection.close()

        # The source has the same unique key, so that codes move from row to row.
        self.on_source("create unique index item_code on zoo.item (code)")
        threads = [threading.Thread(target=work, args=(self.rng.getrandbits(30),), daemon=True)
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(3):
            time.sleep(self.rng.uniform(1, 2))
            self.qiao.kill()
            self.follow()
            self.caught_up()
            # Some go in already, others not yet.
            program = self.start("errors", "--from", self.source_url, "--to", self.target_url,
                                 "--state", self.state, "--replay", name=f"early{number}")
            self.assertIn(program.wait(120), (0, 1), program.tail())
        most = self.waiting()
        self.say(f"{most} changes wait")
        self.assertGreater(most, 20)
        self.on_target(CURE)
        program = self.start("errors", "--from", self.source_url, "--to", self.target_url,
                             "--state", self.state, "--replay", name="under-load")
        self.assertIn(program.wait(120), (0, 1), program.tail())
        time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.caught_up()
        told = self.at_target("errors", "--replay", name="last")
        self.assertIn(" 0 still wait", told)
        self.assertEqual(self.waiting(), 0)
        self.caught_up()
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Spec: R-51
    # Source: rules 20
    def test_a_paused_table_goes_on_where_it_stopped(self):
        self.follow()
        self.caught_up()
        self.on_source("insert into zoo.plain select g, 'before' from generate_series(1, 500) g")
        self.caught_up()
        told = self.at_target("tables", "--pause", "zoo.plain", name="pause")
        self.assertIn("zoo.plain: paused", told)
        self.on_source("update zoo.plain set v = 'while paused' where id <= 300;"
                       "delete from zoo.plain where id > 400;"
                       "insert into zoo.item values (1, 'goes', 1, 'a')")
        self.caught_up()
        self.assertEqual(self.waiting(), 400)
        self.assertEqual(self.on_target("select count(*) from zoo.plain where v = 'before'"), "500")
        self.assertEqual(self.on_target("select count(*) from zoo.item"), "1")
        # A truncation while it waits: what was before it does not matter any more.
        self.on_source("truncate zoo.plain; insert into zoo.plain values (7, 'after')")
        self.caught_up()
        self.assertEqual(self.waiting(), 2)
        self.qiao.kill()
        self.follow()
        self.caught_up()
        told = self.at_target("tables", "--resume", "zoo.plain", name="resume")
        self.assertIn("zoo.plain: live", told)
        self.on_source("insert into zoo.plain values (8, 'live')")
        self.caught_up()
        self.assertEqual(self.waiting(), 0)
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Spec: R-51
    # Source: rules 21
    def test_a_comparison_repairs_what_waits(self):
        self.follow()
        self.caught_up()
        self.on_target("insert into zoo.plain values (1, 'of somebody else')")
        self.on_source("insert into zoo.plain values (1, 'a'), (2, 'b')")
        self.on_source("update zoo.plain set v = 'c' where id = 1")
        self.caught_up()
        self.assertEqual(self.waiting(), 2)
        self.assertEqual(self.qiao.end(), 1, self.qiao.tail())
        self.assertIn("apply.errors_open", self.qiao.log.read_text())
        told = self.at_target("errors", "--replay", expect=1, name="replay")
        self.assertIn("apply.existing_row", told)
        self.at_target("verify", "--table", "zoo.plain", "--repair", name="verify")
        self.assertEqual(self.waiting(), 0)
        self.assert_equal()

    # Spec: R-51
    # Source: rules 20, 21
    def test_rows_that_a_first_load_refuses_wait_while_the_others_go_in(self):
        self.on_source("""
            insert into zoo.item select g, case when g % 1000 = 7 then 'far too long' else 'ok' end,
                case when g % 5000 = 9 then 100 else 1 end, case when g = 20000 then 'c1'
                else 'c' || g end from generate_series(1, 20000) g;
            insert into zoo.plain select g, repeat('x', 700) from generate_series(1, 20000) g""")
        refused = 20 + 4 + 1  # too long; the check; one of the two with the code c1
        self.follow()
        self.loaded()
        self.assertEqual(self.waiting(), refused)
        self.assertEqual(self.on_target("select count(*) from zoo.item"), str(20000 - refused))
        self.assertEqual(self.on_target("select count(*) from zoo.plain"), "20000")
        # What comes later for a row that waits goes behind it, a kill between them.
        self.qiao.kill()
        self.on_source("update zoo.item set amount = 3 where id = 1007")
        self.on_source("delete from zoo.item where id = 2007")
        self.on_source("update zoo.item set code = 'free' where id = 1")
        self.follow()
        self.caught_up()
        self.assertEqual(self.waiting(), refused + 2)
        told = self.at_target("errors", expect=1)
        self.assertIn("zoo.item [id=7]: drivers.value", told)
        self.on_target(CURE)
        told = self.at_target("errors", "--replay", name="replay")
        self.assertIn("0 still wait", told)
        self.caught_up()
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Spec: R-51
    def test_a_first_load_ends_at_the_first_refused_row_when_that_is_wanted(self):
        self.on_source("insert into zoo.item values (1, 'ok', 1, 'a'), (2, 'far too long', 1, 'b')")
        self.follow(on_error="stop")
        self.assertEqual(self.qiao.wait(60), 1, self.qiao.tail())
        self.assertIn("drivers.value", self.qiao.log.read_text())
        self.assertEqual(self.waiting(), 0)
        # Once the cause is gone the next start loads the table.
        self.on_target(CURE)
        self.follow()
        self.caught_up()
        self.assert_equal()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Spec: R-51
    def test_what_is_skipped_leaves_the_table_unproven_until_it_is_compared(self):
        self.follow()
        self.caught_up()
        self.on_source("insert into zoo.item values (1, 'far too long', 1, 'a')")
        self.caught_up()
        told = self.at_target("errors", "--skip", "--table", "zoo.item", "--key", "id=1",
                              name="skip")
        self.assertIn("1 changes dropped; zoo.item is unproven", told)
        self.on_source("update zoo.item set name = 'short'")
        self.caught_up()
        told = self.at_target("errors", expect=1)
        self.assertIn("apply.missing_row", told)
        self.assertEqual(self.qiao.end(), 1, self.qiao.tail())
        self.at_target("verify", "--table", "zoo.item", "--repair", name="verify")
        told = self.at_target("tables")
        self.assertIn("zoo.item: live", told)
        self.assertEqual(self.waiting(), 0)
        self.assert_equal()


if __name__ == "__main__":
    unittest.main(verbosity=2)
