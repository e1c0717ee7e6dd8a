#!/usr/bin/env python3
"""Tables and columns under other names at the target: exact, by log, through kills.

The oracle compares each table with the one that it is named at the other end, without Qiao.
"""

import json
import time
import unittest

import comparison
import scene
import zoo
from workload import Workload

import agents
import servers

RUN_SECONDS = 120
CATCH_UP_SECONDS = 60


class Renamed(scene.Scene):
    def differences(self, pairs, columns=None):
        """@param pairs  {(schema, name): (schema, name)}; columns: {source's name: target's}"""
        left, right = comparison.connect(self.source_url), comparison.connect(self.target_url)
        told = []
        try:
            here, there = comparison.tables(left), comparison.tables(right)
            for source, target in sorted(pairs.items()):
                if target not in there:
                    told.append(f"{target} is not there")
                    continue
                names = here[source].columns
                other = [(columns or {}).get(name, name) for name in names]
                mine = comparison.rows(left, here[source], names)
                theirs = comparison.rows(right, there[target], other)
                if mine != theirs:
                    told.append(f"{source} and {target}: {len(mine)} and {len(theirs)} rows")
        finally:
            left.close()
            right.close()
        return told

    # Spec
    def test_every_kind_of_table_is_exact_under_another_name(self):
        self.on_source(zoo.KEYED + zoo.random_tables(self.rng, 4) + zoo.USER)
        roots = self.on_source(
            "select c.relname from pg_class c where relnamespace = 'zoo'::regnamespace"
            " and relkind in ('r', 'p') and not relispartition order by 1").splitlines()
        names = {("zoo", name): ("archive", f"{name}=") for name in roots}
        # Two that change places.
        names["zoo", "parent"], names["zoo", "child"] = ("zoo", "child"), ("zoo", "parent")
        words = ["--create", "--state", str(self.folder / "state")]
        for source, target in names.items():
            words += ["--table", f"{comparison.quote(*source)}={comparison.quote(*target)}"]
        connection = comparison.connect(self.source_url)
        # A partition goes to the schema of its root and keeps its name.
        pairs = {name: names.get(name) or (names[self.root_of(name)][0], name[1])
                 for name in comparison.tables(connection)}
        connection.close()
        for number in range(3):
            load = Workload(self.app_url(), self.rng.getrandbits(30), truncate=number > 0)
            load.run_for(3)
            self.assertEqual([e for e in load.unexpected if not e.startswith("23P01")], [])
            program = self.start(*self.sync_words("--once", *words))
            time.sleep(self.rng.uniform(0.05, 1))
            program.kill()
            # What a run goes up to is what is flushed.
            self.on_source("begin; create table zoo.flush (); drop table zoo.flush; commit")
            self.run_qiao(*self.sync_words("--once", *words), seconds=RUN_SECONDS)
            self.assertEqual(self.differences(pairs), [])

    def root_of(self, name):
        root = self.on_source("select n.nspname, c.relname from pg_class c join pg_namespace n on"
                              " n.oid = relnamespace where c.oid = pg_partition_root("
                              f"'{comparison.quote(*name)}')")
        return tuple(root.split("|"))

    # Spec: R-25
    def test_agents_rename_columns_too_and_must_agree(self):
        self.on_source("create table person (id int primary key, name text, note text);"
                       "insert into person select i, 'n' || i, 'x' from generate_series(1, 500) i")
        self.on_target("create schema other; create table other.people ("
                       " number int primary key, note text, name text)")
        # Two names that change places, and one that is new.
        columns = {"id": "number", "name": "note", "note": "name"}
        renamed = {"public.person": {"to": "other.people", "columns": columns}}
        left, right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", "people", self.source_url, self.target_url,
            tables=["public.person"], port=servers.free_port(["127.0.0.1"]), create=False)
        self.configure(left, renamed)
        self.configure(right, {"public.person": "other.nobody"})
        for agent in (left, right):
            self.addCleanup(agent.kill)
            agent.start()
        scene.wait_until(lambda: "other.nobody here" in json.dumps(left.status() or {}), 30,
                         lambda: left.tail() + json.dumps(left.status()))
        right.kill()
        self.configure(right, renamed)
        right.start()
        # A wrong configuration is not tried again by itself.
        self.run_qiao("status", "--socket", str(left.socket), "--retry", "people")
        pairs = {("public", "person"): ("other", "people")}
        for number in range(4):
            self.on_source(f"update person set name = 'k{number}' where id % 4 = {number};"
                           f"delete from person where id % 40 = {number};"
                           f"update person set id = id + 1000 where id % 50 = 11;"
                           f"insert into person values ({5000 + number}, null, 'new')"
                           + ("; truncate person" if number == 2 else ""))
            time.sleep(self.rng.uniform(0.2, 1.5))
            agent = self.rng.choice([left, right])
            agent.kill()
            agent.start()
        scene.wait_until(lambda: self.differences(pairs, columns) == [], CATCH_UP_SECONDS,
                         lambda: left.tail() + right.tail() + json.dumps(left.status()))
        self.assertEqual(self.on_target("select count(*) from other.people"),
                         self.on_source("select count(*) from person"))
        scene.wait_until(lambda: left.flow("people").get("state") == "following", 60, left.tail)
        compare = ("verify", "--flow", "people", "--socket", str(left.socket))
        self.run_qiao(*compare)
        self.on_target("update other.people set note = 'altered' where number = 5003")
        different = self.start(*compare, name="verify")
        self.assertEqual(different.wait(60), 1, different.tail())
        # By the names that they have at the source.
        self.assertIn("id='5003': differs in name", different.tail())
        part = self.start(*compare, "--table", "public.person", "--range", "id=5003..5004",
                          "--sample", "100", name="part")
        self.assertEqual(part.wait(60), 1, part.tail())
        self.assertIn("id='5003': differs in name", part.tail())
        self.assertIn(": DIFFERENT, 1 difference, 1 / 1 rows", part.tail())

    def configure(self, agent, renamed):
        config = json.loads(agent.config.read_text())
        config["flows"][0]["rename"] = renamed
        agent.config.write_text(json.dumps(config))


if __name__ == "__main__":
    unittest.main(verbosity=2)
