#!/usr/bin/env python3
"""Targets that have the rows already: followed without a load, and proven by a comparison."""

import subprocess
import unittest

import comparison
import scene

TABLES = """
    create schema zoo;
    create table zoo.marker (id serial primary key);
    create table zoo.person (id int primary key, name text);
    insert into zoo.person select g, 'there before ' || g from generate_series(1, 2000) g;
"""
SECONDS = 120
UNPROVEN, LIVE = 5, 2
TABLE_STATES = "select string_agg(distinct status::text, ' ') from qiao.table_state"


class Existing(scene.Scene):
    def setUp(self):
        super().setUp()
        for run in (self.on_source, self.on_target):
            run(TABLES)
        self.there = ("--from", self.source_url, "--to", self.target_url)
        self.back = ("--from", self.target_url, "--to", self.source_url)

    def state(self, ends):
        return str(self.folder / ("there" if ends is self.there else "back"))

    def follow(self, ends, *words):
        program = self.start("sync", *ends, "--follow", "--table", "zoo.person", "--table",
                             "zoo.marker", "--state", self.state(ends), *words,
                             name="there" if ends is self.there else "back")
        scene.wait_until(lambda: program.says("following"), SECONDS, program.tail)
        return program

    def prove(self, ends):
        done = subprocess.run(
            [scene.QIAO, "verify", *ends, "--table", "zoo.*", "--state", self.state(ends),
             "--repair"], text=True, capture_output=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    def test_no_row_is_loaded_and_a_comparison_mends_what_differs(self):
        self.on_target("update zoo.person set name = 'other' where id % 50 = 0;"
                       "delete from zoo.person where id = 7")
        follow = self.follow(self.there, "--existing", "--on-error", "aside")
        self.assertEqual(self.on_target(TABLE_STATES), str(UNPROVEN))
        self.on_source("update zoo.person set name = 'followed' where id between 5 and 10;"
                       "delete from zoo.person where id = 11;"
                       "insert into zoo.person values (5000, 'new')")
        self.marker_arrives(SECONDS, follow.running)
        self.assertEqual(follow.end(), 1, follow.tail())
        self.assertIn("0 rows loaded", follow.log.read_text())
        self.assertIn("zoo.person: unproven", follow.log.read_text())
        self.prove(self.there)
        self.assertEqual(self.on_target(TABLE_STATES), str(LIVE))
        self.assert_equal()
        follow = self.follow(self.there)
        self.marker_arrives(SECONDS, follow.running)
        self.assert_equal()

    # Spec: R-01. Source: rules 16
    def test_a_second_direction_begins_between_ends_that_are_equal(self):
        programs = [self.follow(ends, "--existing") for ends in (self.there, self.back)]
        for number in range(5):
            self.on_source(f"insert into zoo.person values ({6000 + 2 * number}, 'by the source');"
                           f"update zoo.person set name = 'source' where id = {100 + number}")
            self.on_target(f"insert into zoo.person values ({6001 + 2 * number}, 'by the target');"
                           f"update zoo.person set name = 'target' where id = {200 + number}")
        scene.wait_until(
            lambda: comparison.differences(self.source_url, self.target_url) == [], SECONDS,
            self.tails)
        for program in programs:
            self.assertEqual(program.end(), 0, program.tail())
        for ends in (self.there, self.back):
            self.prove(ends)
        self.assert_equal()


if __name__ == "__main__":
    unittest.main(verbosity=2)
