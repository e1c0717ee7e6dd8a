#!/usr/bin/env python3
"""A database of very many tables, at servers with room for few locks: created, published, loaded
and followed some hundred at a time, over kills; exact. QIAO_TABLES says how many."""

import os
import time
import unittest

import scene
import zoo

TABLES = int(os.environ.get("QIAO_TABLES", "2000"))
# A thousand tables a second are made at best, and few a second on a busy machine.
SECONDS = 300 + TABLES // 10
AT_ONCE = 200
MAKE = """
    do $$ begin for i in {first}..{last} loop
        execute format('create table zoo.t%s (id int primary key, v text not null default %L,'
                       ' n int check (n >= 0))', i, 'v' || i);
        execute format('insert into zoo.t%s (id, n) values (1, {first}), (2, null)', i);
    end loop; end $$
"""
CONTENT = """
    select md5(string_agg(c.relname || query_to_xml(
        format('select * from zoo.%I order by id', c.relname), true, false, '')::text, ''
        order by c.relname)) || count(*)
    from pg_class c where c.relnamespace = 'zoo'::regnamespace and c.relname in
        (select 't' || i from generate_series({first}, {last}) i)
"""


class ManyTables(scene.Scene):
    conf = {**scene.CONF, "max_locks_per_transaction": "10"}

    def ranges(self):
        for first in range(0, TABLES, AT_ONCE):
            yield {"first": first, "last": min(first + AT_ONCE, TABLES) - 1}

    def follow(self):
        self.qiao = self.start(*self.sync_words("--follow", "--create", "--table", "zoo.*",
                                                "--state", str(self.folder / "state")))

    def caught_up(self):
        self.marker_arrives(SECONDS, self.qiao.running)

    def made(self):
        return int(self.on_target(
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'zoo' and c.relkind = 'r'"))

    def resident(self):
        with open(f"/proc/{self.qiao.process.pid}/status", encoding="ascii") as status:
            return next(line for line in status if line.startswith("VmHWM")).split()[1]

    def change_some(self):
        for number in self.rng.sample(range(TABLES), min(TABLES, 500)):
            self.on_source(self.rng.choice((
                f"insert into zoo.t{number} values (3, 'new', 7)",
                f"update zoo.t{number} set v = v || '!', n = 5 where id = 1",
                f"delete from zoo.t{number} where id = 2")))

    # Spec: R-34
    def test_very_many_tables_are_created_loaded_followed_and_compared(self):
        self.on_source("create schema zoo" + ";" + zoo.MARKER)
        for some in self.ranges():
            self.on_source(MAKE.format(**some))
        started = time.monotonic()
        for share in (0.3, 1):
            # Once while the tables are made, once while they are loaded.
            self.follow()
            scene.wait_until(lambda: self.made() >= share * TABLES, SECONDS, self.qiao.tail)
            time.sleep(self.rng.uniform(0, 3))
            self.qiao.kill()
            self.say(f"killed with {self.made()} tables")
        self.follow()
        for _ in range(2):
            self.caught_up()
        self.say(f"{TABLES} tables, followed after {time.monotonic() - started:.0f} s, "
                 f"{int(self.resident()) >> 10} MiB resident")
        self.change_some()
        self.caught_up()
        for some in self.ranges():
            text = CONTENT.format(**some)
            self.assertEqual(self.on_target(text), self.on_source(text), some)
        self.assertEqual(self.qiao.end(), 0, self.qiao.tail())
        compared = self.start("verify", "--from", self.source_url, "--to", self.target_url,
                              "--table", "zoo.*", "--state", str(self.folder / "state"),
                              name="verify")
        self.assertEqual(compared.wait(SECONDS), 0, compared.tail())
        self.assertIn(f"{TABLES + 1} equal, 0 different", compared.log.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
