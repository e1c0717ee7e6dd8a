#!/usr/bin/env python3
"""A table whose shape changes at the source stands alone, names the statements that let its target
follow, and goes on after them: exact."""

import unittest

import comparison
import scene
import zoo

CATCH_UP_SECONDS = 120
COLUMNS = "(id int primary key, n int not null, v varchar(20) not null, rest text)"
# What is done to each table, and rows that only fit afterwards.
WAYS = {
    "added": ("add column extra int default 7", "insert into {} values (900, 1, 'v', 'r', 8)"),
    "dropped": ("drop column rest", "insert into {} values (900, 1, 'v')"),
    "renamed": ("rename column rest to remains",
                "insert into {} (id, n, v, remains) values (900, 1, 'v', 'kept')"),
    "retyped": ("alter column n type bigint", "insert into {} values (900, 5000000000, 'v', 'r')"),
    "longer": ("alter column v type varchar(40)",
               "insert into {} values (900, 1, 'longer than twenty characters', 'r')"),
    "rekeyed": ("drop constraint rekeyed_pkey, add primary key (id, n)",
                "insert into {} values (900, 1, 'v', 'r'), (900, 2, 'v', 'r')"),
}


class Structure(scene.Scene):
    def setUp(self):
        super().setUp()
        self.state = str(self.folder / "state")
        self.on_source("create schema zoo;" + zoo.MARKER + f"create table zoo.plain {COLUMNS};" +
                       "".join(f"""
            create table zoo.{name} {COLUMNS};
            insert into zoo.{name} select g, g, 'v' || g, 'r' || g from generate_series(1, 200) g;
        """ for name in [*WAYS, "moved"]))
        self.qiao = self.start(*self.sync_words("--follow", "--create", "--table", "*", "--state",
                                                self.state))
        self.caught_up()

    def caught_up(self):
        self.marker_arrives(CATCH_UP_SECONDS, self.qiao.running)

    def tables(self):
        answer = self.one_object("tables", "--from", self.source_url, "--to", self.target_url,
                                 "--state", self.state)
        return {one["table"].partition(".")[2]: one for one in answer["tables"]}

    def at_target(self, *words, name):
        program = self.start(*words, "--from", self.source_url, "--to", self.target_url,
                             "--state", self.state, name=name)
        self.assertEqual(program.wait(120), 0, program.tail())

    def change_rows(self, name):
        self.on_source(f"update zoo.{name} set n = n + 1 where id <= 20;"
                       f"delete from zoo.{name} where id between 30 and 40")

    # Spec: R-48
    # Source: rules 20
    def test_each_change_of_a_table_stops_that_table_until_its_target_has_followed(self):
        for number, (name, (alter, row)) in enumerate(WAYS.items()):
            # A row of the old shape in the transaction of the new one; by a key that is none any
            # more it could not be found.
            old = "" if name == "rekeyed" else f"update zoo.{name} set v = 'before' where id = 1;"
            self.on_source(f"begin; {old} alter table zoo.{name} {alter};"
                           f"{row.format('zoo.' + name)}; commit")
            self.change_rows(name)
            self.on_source(f"insert into zoo.plain values ({number}, 1, 'goes on', '')")
        self.caught_up()
        states = self.tables()
        for name in WAYS:
            with self.subTest(name):
                self.assertEqual(states[name]["state"], "paused", states[name])
                self.assertIn(f'ALTER TABLE "zoo"."{name}"', states[name]["note"])
                self.assertGreater(states[name]["laid_aside"], 10)
                self.say(f"{name}: {states[name]['note']}")
        self.assertEqual(states["plain"]["state"], "live")
        self.assertEqual(self.on_target("select count(*) from zoo.plain"), str(len(WAYS)))
        # A restart knows it, too.
        self.qiao.kill()
        self.qiao = self.start(*self.sync_words("--follow", "--create", "--table", "*", "--state",
                                                self.state))
        self.caught_up()
        for name in WAYS:
            with self.subTest(name):
                self.change_rows(name)
                self.on_target(states[name]["note"])
                self.at_target("tables", "--resume", f"zoo.{name}", name=f"resume-{name}")
                self.change_rows(name)
        self.caught_up()
        states = self.tables()
        for name in WAYS:
            self.assertEqual((states[name]["state"], states[name]["laid_aside"]),
                             ("unproven", 0), states[name])
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        self.at_target("verify", "--repair", name="verify")
        self.assertEqual({one["state"] for one in self.tables().values()}, {"live"})
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    # Spec: R-48
    def test_what_the_target_did_first_stops_nothing(self):
        self.on_target("alter table zoo.added add column extra int")
        self.on_source("alter table zoo.added add column extra int;"
                       "insert into zoo.added values (900, 1, 'v', 'r', 8)")
        self.change_rows("added")
        self.caught_up()
        self.assertIn(self.tables()["added"]["state"], ("live", "unproven"))
        self.assertEqual(self.on_target("select extra from zoo.added where id = 900"), "8")
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())

    # Spec: R-48
    def test_a_shape_that_comes_back_is_a_change_too(self):
        self.on_target("alter table zoo.added drop column rest")
        self.on_source("alter table zoo.added drop column rest")
        self.change_rows("added")
        self.caught_up()
        self.on_source("alter table zoo.added add column rest text;"
                       "update zoo.added set rest = 'again'")
        self.caught_up()
        added = self.tables()["added"]
        self.assertEqual(added["state"], "paused", added)
        self.assertGreater(added["laid_aside"], 100)
        self.on_target(added["note"])
        self.at_target("tables", "--resume", "zoo.added", name="resume")
        self.caught_up()
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    # Spec: R-48
    def test_a_renamed_table_goes_on_under_its_name_and_is_told(self):
        self.on_source("alter table zoo.moved rename to moved_on;"
                       "insert into zoo.moved_on values (900, 1, 'v', 'r')")
        self.caught_up()
        self.assertEqual(self.on_target("select count(*) from zoo.moved"), "201")
        scene.wait_until(lambda: self.tables()["moved"]["state"] == "unproven", CATCH_UP_SECONDS,
                         self.tails)
        # Another one of that name is not mixed up with it.
        self.on_source("create table zoo.moved (id int primary key);"
                       "update zoo.moved_on set n = 7 where id = 900")
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())


if __name__ == "__main__":
    unittest.main(verbosity=2)
