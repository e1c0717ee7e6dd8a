#!/usr/bin/env python3
"""A first load goes by folder to a target that never sees the source, then the log is followed.

Exports and imports are killed on the way, the folder is damaged in every way, and after all both
ends are compared without any part of Qiao.
"""

import json
import shutil
import subprocess
import time
import unittest

import agents_test
import comparison
import scene
import zoo
from workload import Workload

import agents
import servers

FLOW = "shop"
TABLES = ["zoo.*"]
NODES = agents_test.NODES
KILLS = 4
RUN_SECONDS = 180
SECRET = "510107198803127539"
# Two parts of more than 64 MiB together, and a value that nobody may read on the way.
BULK = f"""
create table zoo.bulk (id bigint primary key, body text);
insert into zoo.bulk select i, md5(i::text) || repeat('x', 500) from generate_series(1, 140000) i;
insert into zoo.bulk values (0, '{SECRET}');
analyze;
"""


class Carried(scene.Scene):
    """What both ways of naming the stream have in common."""

    def setUp(self):
        super().setUp()
        self.on_source(zoo.KEYED + zoo.MARKER + zoo.random_tables(self.rng, 3) + BULK + zoo.USER)
        self.carried = self.folder / "carried"

    def start_work(self, url):
        load = Workload(url, self.rng.getrandbits(30), pause=0.005,
                        without={("zoo", "marker"), ("zoo", "bulk")}, truncate=False)
        return load.start()

    def end_work(self, load):
        load.stop()
        self.say(f"workload: {load.summary()}")
        self.assertEqual(load.unexpected, [])

    def qiao(self, *words):
        """To its end: status, what it said to people, and its object."""
        done = subprocess.run(self.wrap([scene.QIAO, *words, "--json"]), text=True,
                              capture_output=True, timeout=RUN_SECONDS)
        return done.returncode, done.stderr, json.loads(done.stdout or "{}")

    def wrap(self, words):
        return words

    def works(self, *words):
        status, said, told = self.qiao(*words)
        self.assertEqual(status, 0, said)
        return told

    def refused(self, code, *words):
        status, said, told = self.qiao(*words)
        self.assertEqual(status, 1, said)
        self.assertEqual(told["error"]["code"], code, said)
        return said

    def killed(self, *words, most):
        """kill -9 at some moment; False when it came to its end before."""
        program = self.start(*words, name="killed", wrap=self.wrap)
        moment = self.rng.uniform(0.02, most)
        begun = time.monotonic()
        while program.running() and time.monotonic() - begun < moment:
            time.sleep(0.005)
        was = program.running()
        program.kill()
        return was

    def export_with_kills(self, words):
        """Into a folder each; what a kill leaves is refused, the last is whole."""
        for number in range(KILLS):
            folder = self.folder / f"cut{number}"
            cut = self.killed(*words, "--export", str(folder), most=2.5)
            if cut and not (folder / "manifest.load").exists():
                self.refused("engine.carried_incomplete", *self.import_words(folder))
                if folder.exists() and any(folder.iterdir()):
                    self.refused("engine.carried_not_empty", *words, "--export", str(folder))
        told = self.works(*words, "--export", str(self.carried))
        self.say(f"exported {told['rows']} rows, {told['bytes']} bytes, {told['files']} files")
        self.assertTrue(any(left["kind"] == "replication slot" for left in told["leftovers"]))
        return told

    def assert_sealed(self):
        self.assertEqual(self.carried.stat().st_mode & 0o777, 0o700)
        for path in self.carried.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)
            content = path.read_bytes()
            for form in (SECRET.encode(), SECRET[::-1].encode(), SECRET.encode().hex().encode(),
                         b"everything", b"full_keyed"):
                # Not assertNotIn, which would print the file.
                self.assertFalse(form in content, f"{form} in {path}")

    def untouched(self):
        """Nothing of ours or theirs is at the target."""
        return self.on_target("select count(*) from pg_namespace where nspname in ('zoo', 'qiao')")

    def refuses_every_damage(self, words):
        files = sorted(self.carried.iterdir())
        for path in files:
            kept = path.read_bytes()
            other = self.rng.choice([one for one in files if one != path])
            flipped = bytearray(kept)
            flipped[self.rng.randrange(len(kept))] ^= 1 << self.rng.randrange(8)
            for content in (bytes(flipped), kept[:self.rng.randrange(len(kept))],
                            other.read_bytes()):
                path.write_bytes(content)
                status, said, told = self.qiao(*words)
                self.assertEqual(status, 1, said)
                self.assertIn(told["error"]["code"],
                              ("engine.carried_damaged", "packet.too_new"), said)
                self.assertIn(path.name, said)
            path.unlink()
            self.refused("engine.carried_incomplete" if path.name == "manifest.load"
                         else "engine.carried_missing", *words)
            path.write_bytes(kept)
            path.chmod(0o600)
            if len(files) > 12 and self.rng.random() < 0.7:
                continue
            double = self.carried / f"x{path.name}"
            shutil.copy(path, double)
            self.assertIn(double.name, self.refused("engine.carried_foreign", *words))
            double.unlink()
        self.assertEqual(self.untouched(), "0")

    def assert_counted(self, told, exported):
        self.assertEqual(told["rows"], exported["rows"])
        for table in told["tables"]:
            self.assertEqual(table["counted"], table["exported"], table)
        states = self.on_target(
            "select string_agg(distinct status || ' ' || generation, ',') from qiao.table_state")
        self.assertEqual(states, f"2 {exported['generation']}")


class BetweenAgents(Carried):
    """By the configurations of two agents, each in a network namespace with its own database."""

    @classmethod
    def make_servers(cls):
        cls.place = agents_test.Place(cls)
        if cls.place.network:
            return tuple(cls.group.postgres(cls.conf, hosts=("127.0.0.1",),
                                            netns=cls.place.netns(name)) for name in NODES)
        return super().make_servers()

    def setUp(self):
        super().setUp()
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, self.source_url, self.target_url,
            tables=TABLES, port=self.place.port, names=NODES, load="carried",
            hosts=tuple(self.place.address(name) for name in NODES),
            wraps=tuple(self.place.wrap(name) for name in NODES))
        self.addCleanup(lambda: [agent.kill() for agent in (self.left, self.right)])
        self.node = NODES[0]

    def wrap(self, words):
        wrap = self.place.wrap(self.node)
        return wrap(words) if wrap else words

    def socket_url(self, server, user="postgres"):
        password = server.password if user == "postgres" else "app"
        return (f"host={server.folder} port={server.port} dbname={self.database} "
                f"user={user} password={password}")

    def tails(self):
        return self.left.tail() + "\n" + self.right.tail()

    def state_is(self, wanted):
        self.assertTrue(self.left.running() and self.right.running(), self.tails())
        return self.left.flow(FLOW).get("state") == wanted

    def import_words(self, folder):
        return ("sync", "--config", str(self.right.config), "--flow", FLOW,
                "--import", str(folder), "--create")

    # Spec
    def test_the_export_goes_by_folder_to_a_target_that_never_sees_the_source(self):
        work = self.start_work(self.socket_url(self.source, "app"))
        words = ("sync", "--config", str(self.left.config), "--flow", FLOW)
        exported = self.export_with_kills(words)
        self.assert_sealed()

        # The flow that is to follow waits, whatever is started too early.
        self.left.start()
        self.right.start()
        scene.wait_until(lambda: self.state_is("awaiting_load"), 60, self.tails)
        self.node = NODES[1]
        self.refused("common.storage_locked", *self.import_words(self.carried))
        self.right.end()
        self.on_target("drop schema if exists qiao cascade")

        words = self.import_words(self.carried)
        self.refuses_every_damage(words)
        self.refused("engine.carried_damaged", *words, "--digest", "00" * 32)
        kills = sum(self.killed(*words, most=3.0) for _ in range(KILLS))
        self.say(f"{kills} imports killed")
        told = self.works(*words, "--digest", exported["digest"])
        self.assert_counted(told, exported)
        again = self.works(*words)
        self.assertEqual((again["rows_loaded"], again["rows"]), (0, told["rows"]))

        work.allow_truncate()
        self.right.start()
        scene.wait_until(lambda: self.state_is("following"), 120, self.tails)
        self.assertEqual(self.left.flow(FLOW)["load"]["parts"], 0, "nothing came by the link")
        time.sleep(1)
        self.end_work(work)
        self.marker_arrives(120)
        told = comparison.differences(self.socket_url(self.source), self.socket_url(self.target))
        self.assertEqual(told, [], "\n".join(told))
        self.assert_counted_generation(exported)
        self.assertEqual(self.left.end(), 0)
        self.assertEqual(self.right.end(), 0)
        self.refused("engine.carried_following", *words)

    def assert_counted_generation(self, exported):
        self.assertEqual(self.on_target("select distinct generation from qiao.table_state"),
                         str(exported["generation"]))


class BetweenUrls(Carried):
    """By the two URLs of a sync. While the load comes in, the source's server is down."""

    def setUp(self):
        super().setUp()
        keys = self.folder / "keys"
        keys.mkdir()
        agents.run_qiao(scene.QIAO, "key", "wrap", "carrier", "--suite", "intl", "--out", keys)
        agents.run_qiao(scene.QIAO, "key", "wrap", "other", "--suite", "intl", "--out", keys)
        self.keys = keys
        self.state = ("--state", str(self.folder / "state"))

    def export_words(self):
        return self.sync_words("--table", "zoo.*", "--suite", "intl", "--recipient",
                               str(self.keys / "carrier-wrap.pub"), *self.state)

    def import_words(self, folder, key="carrier"):
        return self.sync_words("--import", str(folder), "--wrapping-key",
                               str(self.keys / f"{key}-wrap.key"), "--create", *self.state)

    def follow_words(self):
        return self.sync_words("--once", "--table", "zoo.*", *self.state)

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    # Spec
    def test_exact_when_the_source_was_away_meanwhile(self):
        work = self.start_work(self.app_url())
        older = self.works(*self.export_words(), "--export", str(self.folder / "older"))
        time.sleep(1)
        exported = self.export_with_kills(self.export_words())
        self.assertGreater(exported["generation"], older["generation"])
        self.assert_sealed()
        time.sleep(0.5)
        self.end_work(work)
        printed = agents.run_qiao(scene.QIAO, "key", "public", self.keys / "carrier-wrap.key")
        self.assertEqual(printed.stdout, (self.keys / "carrier-wrap.pub").read_text())

        self.source.stop()
        words = self.import_words(self.carried)
        self.refused("crypto.wrong_key", *self.import_words(self.carried, key="other"))
        elsewhere = list(words)
        elsewhere[elsewhere.index("--to") + 1] = self.target_url.replace("shop", "other")
        self.refused("engine.carried_other_stream", *elsewhere)
        self.on_target("create schema zoo; create table zoo.only_key (id bigint primary key);"
                       "insert into zoo.only_key values (1)")
        self.refused("engine.target_not_empty", *words)
        self.on_target("drop schema zoo cascade")
        self.on_target("drop schema qiao cascade")
        kills = sum(self.killed(*words, most=3.0) for _ in range(KILLS))
        self.say(f"{kills} imports killed")
        self.assert_counted(self.works(*words), exported)
        self.refused("engine.carried_older", *self.import_words(self.folder / "older"))

        self.source.start()
        told = self.works(*self.follow_words())
        self.assertEqual(told["rows_loaded"], 0)
        self.assert_equal()
        self.refused("engine.carried_following", *words)

    def test_a_newer_load_takes_the_place_of_an_older_one(self):
        self.works(*self.export_words(), "--export", str(self.folder / "older"))
        self.works(*self.import_words(self.folder / "older"))
        self.on_source("insert into zoo.only_key values (7); delete from zoo.bulk where id > 1000")
        time.sleep(1.1)
        exported = self.works(*self.export_words(), "--export", str(self.carried))
        self.assert_counted(self.works(*self.import_words(self.carried)), exported)
        self.works(*self.follow_words())
        self.assert_equal()

    # Spec: R-25
    def test_names_go_with_the_load_and_with_what_follows(self):
        tables = ("--table", "zoo.only_key=zoo.renamed", "--table", "zoo.marker")
        words = self.sync_words(*tables, "--suite", "intl", "--recipient",
                                str(self.keys / "carrier-wrap.pub"), *self.state)
        self.on_source("insert into zoo.only_key select generate_series(1, 50)")
        self.works(*words, "--export", f"{self.carried}/")
        shutil.rmtree(self.folder / "state")
        told = self.works(*self.import_words(self.carried))
        self.assertIn("zoo.renamed", [table["target"] for table in told["tables"]])
        self.on_source("insert into zoo.only_key select generate_series(51, 60)")
        # The state folder of the import knows the name that is not given here.
        self.works(*self.sync_words("--table", "zoo.only_key", "--table", "zoo.marker",
                                    *self.state))
        self.assertEqual(self.on_target("select count(*) from zoo.renamed"), "60")

    def test_wrong_words_are_told_before_anything_is_done(self):
        ends = self.sync_words()
        for words in (("sync",), ("sync", "--from", "x"), (*ends, "--export", "a"),
                      (*ends, "--export", "a", "--table", "zoo.*"),
                      (*ends, "--import", "a"), (*ends, "--digest", "00", "--table", "zoo.*"),
                      (*ends, "--config", "f", "--flow", "g", "--export", "a"),
                      ("sync", "--config", "f", "--export", "a"),
                      ("sync", "--config", "f", "--flow", "g", "--suite", "gm", "--export", "a"),
                      (*self.export_words(), "--export", "a", "--create"),
                      (*self.export_words(), "--export", "a", "--follow")):
            self.assertEqual(self.qiao(*words)[0], 64, words)

    def test_a_slot_that_was_lost_on_the_way_is_told_and_leaves_no_gap(self):
        self.works(*self.export_words(), "--export", str(self.carried))
        self.works(*self.import_words(self.carried))
        self.on_source("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
        self.on_source("insert into zoo.only_key values (7)")
        status, said, _ = self.qiao(*self.follow_words())
        self.assertEqual(status, 1, said)
        self.assertIn("capture.position_lost", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
