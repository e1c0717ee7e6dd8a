#!/usr/bin/env python3
"""What the log does not tell makes a table unproven; a comparison proves it again."""

import unittest

import comparison
import scene

TABLES = """
    create schema zoo;
    create table zoo.marker (id serial primary key);
    create table zoo.parts (id int, region int, v text, primary key (id, region))
        partition by list (region);
    create table zoo.parts_1 partition of zoo.parts for values in (1);
    create table zoo.loses_key (id int primary key, v text);
    insert into zoo.parts select g, 1, 'loaded' from generate_series(1, 100) g;
    insert into zoo.loses_key select g, 'loaded' from generate_series(1, 100) g;
"""
UNPROVEN, NEEDS_RESYNC, LIVE = 5, 4, 2


class Doubt(scene.Scene):
    def setUp(self):
        super().setUp()
        self.state = str(self.folder / "state")
        self.on_source(TABLES)

    def follow(self):
        self.qiao = self.start(*self.sync_words("--follow", "--create", "--table", "*", "--state",
                                                self.state))
        self.marker_arrives(60, self.qiao.running)

    def status_of(self, table):
        return int(self.on_target(
            f"select status from qiao.table_state where table_name = '{table}'"))

    def becomes(self, table, status):
        scene.wait_until(lambda: self.status_of(table) == status, 60,
                         lambda: f"{table} is {self.status_of(table)}; {self.tails()}")

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    # Source: rules 23
    def test_a_partition_attached_with_rows_is_told_and_repaired(self):
        self.follow()
        self.on_source("""
            create table zoo.parts_2 (id int not null, region int not null, v text);
            insert into zoo.parts_2 select g, 2, 'brought along' from generate_series(1, 50) g;
            alter table zoo.parts attach partition zoo.parts_2 for values in (2)""")
        self.becomes("parts", UNPROVEN)
        self.on_target("create table zoo.parts_2 partition of zoo.parts for values in (2)")
        self.on_source("insert into zoo.parts values (1000, 1, 'goes on'), (1000, 2, 'here too')")
        self.marker_arrives(60, self.qiao.running)
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        self.assertIn("zoo.parts: unproven", self.qiao.log.read_text())
        repair = self.start("verify", "--from", self.source_url, "--to", self.target_url,
                            "--table", "zoo.parts", "--state", self.state, "--repair",
                            name="verify")
        self.assertEqual(repair.wait(120), 0, repair.tail())
        self.assertEqual(self.status_of("parts"), LIVE, repair.tail())
        self.assert_equal()

    PARTITIONS = {
        "truncated": "truncate zoo.parts_1",
        "detached": "alter table zoo.parts detach partition zoo.parts_1",
        "attached": """
            create table zoo.parts_2 (id int not null, region int not null, v text);
            insert into zoo.parts_2 select g, 2, 'brought along' from generate_series(1, 50) g;
            alter table zoo.parts attach partition zoo.parts_2 for values in (2)""",
    }

    def once(self):
        # By name: what was detached is a table of its own for a star.
        tables = [word for name in ("parts", "marker", "loses_key")
                  for word in ("--table", f"zoo.{name}")]
        run = self.start(*self.sync_words("--once", "--create", *tables, "--state", self.state))
        self.assertEqual(run.wait(60), 0, run.tail())
        return run

    # Source: rules 6, 23
    def test_what_happens_to_partitions_is_told_whether_anything_runs_or_not(self):
        for number, (kind, change) in enumerate(self.PARTITIONS.items()):
            # While a flow runs an attached one is above.
            for running in (True, False) if kind == "truncated" else (False,):
                with self.subTest(kind, running=running):
                    self.anew(number, running)
                    self.once()
                    self.assertEqual(self.status_of("parts"), LIVE)
                    if running:
                        self.follow()
                    self.on_source(change)
                    if running:
                        self.becomes("parts", UNPROVEN)
                        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
                    else:
                        self.assertIn("zoo.parts: unproven", self.once().log.read_text())
                    if kind == "attached":
                        self.on_target("create table if not exists zoo.parts_2 partition of"
                                       " zoo.parts for values in (2)")
                    repair = self.start("verify", "--from", self.source_url, "--to",
                                        self.target_url, "--table", "zoo.parts", "--state",
                                        self.state, "--repair", name="verify")
                    self.assertEqual(repair.wait(120), 0, repair.tail())
                    self.assertEqual(self.status_of("parts"), LIVE)
                    count = "select count(*), sum(id) from zoo.parts"
                    self.assertEqual(self.on_target(count), self.on_source(count))

    def anew(self, number, running):
        if number or not running:
            self.run_qiao("sync", "--drop", "--from", self.source_url, "--to", self.target_url,
                          "--state", self.state)
            for run in (self.on_source, self.on_target):
                run("drop schema zoo cascade")
            self.on_source(TABLES)

    # Source: rules 11, 20
    def test_a_table_that_lost_its_key_is_withdrawn_and_loaded_anew(self):
        self.follow()
        self.on_source("alter table zoo.loses_key drop constraint loses_key_pkey")
        self.becomes("loses_key", NEEDS_RESYNC)
        self.on_source("update zoo.loses_key set v = 'changed without a key' where id <= 10;"
                       "insert into zoo.parts values (2000, 1, 'others go on')")
        self.marker_arrives(60, self.qiao.running)
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        self.assertIn("zoo.loses_key: its changes do not come any more",
                      self.qiao.log.read_text())
        self.follow()
        self.becomes("loses_key", LIVE)
        self.on_source("insert into zoo.loses_key values (1001, 'after the resync')")
        self.marker_arrives(60, self.qiao.running)
        self.assert_equal()


if __name__ == "__main__":
    unittest.main(verbosity=2)
