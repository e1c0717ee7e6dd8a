#!/usr/bin/env python3
"""Tables with as many columns as PostgreSQL has room for."""

import unittest

import comparison
import scene

COLUMNS = 1600
SECONDS = 120


class Wide(scene.Scene):
    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    def test_a_table_of_1600_columns_is_created_loaded_and_followed(self):
        names = [f"c{number}" for number in range(1, COLUMNS)]
        self.on_source("create schema zoo; create table zoo.marker (id serial primary key);"
                       "create table zoo.wide (id int primary key, "
                       + ", ".join(f"{name} int" for name in names) + ");"
                       f"insert into zoo.wide select g, {', '.join(['g'] * len(names))}"
                       " from generate_series(1, 300) g")
        state = str(self.folder / "state")
        words = self.sync_words("--follow", "--create", "--table", "*", "--state", state)
        qiao = self.start(*words)
        self.marker_arrives(SECONDS, qiao.running)
        changes = (f"update zoo.wide set {', '.join(f'{name} = {name} + 1' for name in names[::3])}"
                   " where id % 3 = 0;"
                   "update zoo.wide set id = -id, c7 = null where id % 7 = 0;"
                   "delete from zoo.wide where id % 11 = 0;"
                   f"insert into zoo.wide (id, c1, c1599) select g, g, {COLUMNS}"
                   " from generate_series(1000, 1100) g")
        self.on_source(changes)
        qiao.kill()
        qiao = self.start(*words)
        self.marker_arrives(SECONDS, qiao.running)
        self.assert_equal()
        self.on_source("alter table zoo.wide replica identity full;"
                       "update zoo.wide set c1599 = -1 where id between 1000 and 1010")
        self.marker_arrives(SECONDS, qiao.running)
        self.assert_equal()
        self.assertEqual(qiao.end(), 0, qiao.tail())
        self.run_qiao("verify", "--from", self.source_url, "--to", self.target_url, "--table",
                      "zoo.wide", "--state", state, name="verify")


if __name__ == "__main__":
    unittest.main(verbosity=2)
