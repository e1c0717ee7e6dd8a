#!/usr/bin/env python3
"""The random tables and the choices of a run: the same seed gives the same, and all kinds come."""

import random
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/system"), str(ROOT / "tools")]
try:
    import psycopg2  # noqa: F401
except ImportError:
    raise unittest.SkipTest("psycopg2 is not installed") from None
import servers  # noqa: E402
import tables  # noqa: E402
import values  # noqa: E402
from choices import Choices  # noqa: E402

SEEDS = 300
KINDS = [
    "generated always as identity", "replica identity full", "replica identity using index",
    r'create table "zoo"."append ', "partition by list", "partition by range", "partition by hash",
    "attach partition", r"generated always as \(", "add unique", "deferrable initially deferred",
    "where another > 0", r"lower\(other\)", "nulls not distinct", "exclude using gist",
    "on delete cascade", "on delete set null", "on update cascade", "drop column gone",
    "set storage", "not null default", r'primary key \("[^"]*", "[^"]*"',
]


def schema(seed):
    return tables.schema(random.Random(seed))


def has_server():
    try:
        servers.find_bin()
        return True
    except servers.ServerError:
        return False


class TablesTest(unittest.TestCase):
    def test_the_same_seed_makes_the_same_tables(self):
        self.assertEqual(schema("7"), schema("7"))
        self.assertNotEqual(schema("7"), schema("8"))

    def test_every_kind_and_every_type_comes(self):
        everything = "\n".join(schema(str(seed)) for seed in range(SEEDS))
        for kind in KINDS:
            self.assertRegex(everything, kind)
        missing = [one for one in values.MAKERS
                   if not re.search(rf'" {re.escape(one)}[, )]', everything)]
        self.assertEqual(missing, [])

    def test_names_are_those_of_whole_tables(self):
        text = schema("3")
        names = tables.names(text)
        self.assertEqual(len(names), len(set(names)))
        for schema_name, name in tables.append_only(text):
            self.assertIn(f"{schema_name}.{name}", names)
        self.assertFalse([name for name in names if re.search(r" p\d", name)])

    @unittest.skipUnless(has_server(), "PostgreSQL is not installed")
    def test_a_server_takes_all_of_them(self):
        with servers.Servers(fsync=False) as group:
            server = group.postgres()
            for seed in range(25):
                server.psql(f"create database d{seed}")
                server.psql(schema(str(seed)), f"d{seed}")


class ChoicesTest(unittest.TestCase):
    def test_a_seed_says_what_a_run_does(self):
        one, other = Choices(11, 30), Choices(11, 30)
        self.assertEqual(str(one), str(other))
        self.assertEqual(one.faults, other.faults)
        self.assertEqual(one.operations, other.operations)
        self.assertNotEqual(one.faults, Choices(12, 30).faults)

    def test_runs_have_enough_kills(self):
        kills = sum(fault.kind.startswith("kill") for seed in range(100)
                    for fault in Choices(seed, 35).faults)
        self.assertGreater(kills / 100, 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
