#!/usr/bin/env python3
"""`qiao verify`: what differs is named by table, key and column, and mended; what does not is
called equal, at rest and under load, between two databases and between two agents."""

import datetime
import json
import subprocess
import unittest

import comparison
import scene
import zoo
from workload import Workload

import agents
import servers

EQUAL, DIFFERENT = 0, 1
# Of a table at the target.
UNPROVEN, LIVE = "5", "2"

# Values that careless comparisons take for equal.
TRAPS = """
create schema trap;
create table trap.number (id integer primary key, price numeric, weight float8);
create table trap.word (
    code text, place integer, name zoo.citext, note text, primary key (code, place));
create table trap.twice (a integer, b text);
create table trap.seat (id integer primary key, place integer unique, note text);
create table trap.guest (id integer primary key, seat integer references trap.seat);
create table trap.badge (id integer primary key, number integer not null unique);
create table trap.stamped (id integer primary key, at timestamptz not null, note text);
insert into trap.number select i, 1.0, 0.0 from generate_series(1, 3000) i;
insert into trap.word select 'w' || i, i % 7, 'Beijing', '' from generate_series(1, 3000) i;
insert into trap.twice select i % 50, '张三' from generate_series(1, 500) i;
insert into trap.seat select i, i, 'x' from generate_series(1, 20) i;
insert into trap.guest select i, i from generate_series(1, 20) i;
insert into trap.badge select i, i from generate_series(1, 20) i;
insert into trap.stamped
    select i, now() - i * interval '1 hour', 'x' from generate_series(1, 999) i;
"""

# SQL that alters the target, and what must be named: table, part of the key, columns, kind.
ALTERATIONS = [
    ("update trap.number set price = 1.00 where id = 17",
     ("trap.number", "17", ["price"], "differs")),
    ("update trap.number set weight = '-0.0' where id = 18",
     ("trap.number", "18", ["weight"], "differs")),
    ("update trap.word set name = 'beijing' where code = 'w40'",
     ("trap.word", "w40", ["name"], "differs")),
    ("update trap.word set note = null where code = 'w41'",
     ("trap.word", "w41", ["note"], "differs")),
    ("update trap.word set note = 'x' where code = 'w42'",
     ("trap.word", "w42", ["note"], "differs")),
    ("delete from trap.word where code = 'w43'",
     ("trap.word", "w43", [], "missing_at_target")),
    ("insert into trap.number values (90001, 1, 1)",
     ("trap.number", "90001", [], "extra_at_target")),
    ("insert into trap.twice select * from trap.twice where a = 7 limit 1",
     ("trap.twice", None, [], "copies")),
]

# Of the traps, those that two agents carry.
FOLLOWED = ("number", "word", "stamped", "seat", "guest", "badge")

# Rows hold each other's values of a second unique key: no order puts them right one by one.
CHANGED_PLACES = """
update trap.seat set place = 100 + place where id <= 3;
update trap.seat set place = id % 3 + 1 where id <= 3;
update trap.badge set number = 100 + number where id <= 3;
update trap.badge set number = id % 3 + 1 where id <= 3;
"""


def named(report):
    """(table, key values, columns, kind) of every difference of a report."""
    return [(table["source"], list(one.get("key", {}).values()), one.get("columns", []),
             one["kind"])
            for table in report["tables"] for one in table["differences"]]


class Verifying(scene.Scene):
    def verify(self, *words, expect, seconds=240):
        """The report of `qiao verify --json`; its exit status must be `expect`."""
        done = subprocess.run([scene.QIAO, "verify", *words, "--json"], text=True,
                              capture_output=True, timeout=seconds)
        self.assertIn(done.returncode, expect if isinstance(expect, tuple) else (expect,),
                      done.stderr[-2000:] + self.told(done.stdout))
        return json.loads(done.stdout)

    @staticmethod
    def told(report):
        """What a message of a failed test needs of a report."""
        try:
            return "\n".join(
                f"{table['source']}: {table['verdict']} {table.get('doubt', '')} "
                f"{table.get('error', '')} {table['differences'][:5]}"
                for table in json.loads(report)["tables"])
        except (ValueError, KeyError):
            return report[-3000:]

    def alter_target(self):
        for sql, _ in ALTERATIONS:
            self.on_target(sql)

    def assert_named(self, report, alterations=ALTERATIONS):
        found = named(report)
        for sql, (table, key, columns, kind) in alterations:
            self.assertTrue(
                any(one[0] == table and (key is None or key in one[1]) and one[2] == columns
                    and one[3] == kind for one in found),
                f"not named: {sql}\n{found}")
        self.assertEqual(len(found), len(alterations), found)

    def assert_puts_places_right(self, ends):
        self.on_target(CHANGED_PLACES)
        tables = ("--table", "trap.seat", "--table", "trap.badge")
        repaired = self.verify(*ends, *tables, "--repair", expect=EQUAL)
        self.assertEqual({one["table"]: one["changes"] for one in repaired["repairs"]},
                         {"trap.seat": 3, "trap.badge": 3})
        self.assert_equal_by_others(only=[("trap", "seat"), ("trap", "badge")])

    def assert_equal_by_others(self, only=None):
        self.assertEqual(
            comparison.differences(self.source_url, self.target_url, only=only), [])


class TwoDatabases(Verifying):
    def between(self, *words):
        return ("--from", self.source_url, "--to", self.target_url, *words)

    def setUp(self):
        super().setUp()
        self.on_source(zoo.KEYED + zoo.MARKER + zoo.random_tables(self.rng, 2) + TRAPS)
        workload = Workload(self.source_url, self.rng.getrandbits(31), writers=1, truncate=False)
        workload.run_for(2)
        self.run_qiao(*self.sync_words("--create", "--table", "*", "--once"))

    def test_names_every_difference_and_a_repair_mends_it(self):
        report = self.verify(*self.between(), expect=EQUAL)
        self.assertGreaterEqual(len(report["tables"]), 15)
        self.assertEqual(named(report), [])
        self.verify(*self.between("--level", "table"), expect=EQUAL)
        self.alter_target()
        self.assert_named(self.verify(*self.between(), expect=DIFFERENT))
        self.verify(*self.between("--table", "trap.word", "--level", "table"), expect=DIFFERENT)
        only = self.verify(*self.between("--table", "trap.number"), expect=DIFFERENT)
        self.assertEqual({table["source"] for table in only["tables"]}, {"trap.number"})
        repaired = self.verify(*self.between("--repair"), expect=EQUAL)
        self.assertEqual(len(repaired["before"]), 3)
        changes = {one["table"]: one["changes"] for one in repaired["repairs"]}
        # The keyless table is emptied and sent again.
        self.assertEqual(changes, {"trap.number": 3, "trap.word": 4, "trap.twice": 501})
        self.assertEqual(named(self.verify(*self.between(), expect=EQUAL)), [])
        self.run_qiao(*self.sync_words("--table", "*", "--once"))
        self.verify(*self.between(), expect=EQUAL)

    def test_a_repair_mends_rows_that_hold_each_others_unique_values(self):
        self.assert_puts_places_right(self.between())

    def test_calls_nothing_different_while_rows_are_written(self):
        follow = self.start(*self.sync_words("--table", "*", "--follow"), name="follow")
        self.marker_arrives(60, follow.running)
        workload = Workload(self.source_url, self.rng.getrandbits(31), writers=2, truncate=False)
        workload.start()
        for _ in range(2):
            report = self.verify(*self.between(), expect=(EQUAL, 2))
            self.assertEqual(named(report), [])
        self.on_target("update trap.word set note = 'y' where code = 'w50'")
        report = self.verify(*self.between("--table", "trap.word"), expect=DIFFERENT)
        self.assertEqual([one[1:3] for one in named(report)], [(["w50", "1"], ["note"])])
        workload.stop()
        self.assertEqual(follow.end(), 0, follow.tail())


    # Spec: R-36
    def test_a_sample_is_the_same_rows_again_by_its_seed(self):
        self.on_target("update trap.stamped set note = 'y'; update trap.twice set b = '李四'")
        sample = ("--table", "trap.stamped", "--sample", "5", "--sample-seed")
        report = self.verify(*self.between(*sample, "7"), expect=DIFFERENT)
        table = report["tables"][0]
        self.assertEqual(table["part"], {"sample_percent": 5, "sample_seed": 7, "range": None})
        self.assertEqual(table["source_rows"], table["target_rows"])
        self.assertIn(table["source_rows"], range(20, 90))
        self.assertEqual(len(named(report)), table["source_rows"])
        again = self.verify(*self.between(*sample, "7"), expect=DIFFERENT)
        self.assertEqual(sorted(named(again)), sorted(named(report)))
        other = self.verify(*self.between(*sample, "8"), expect=DIFFERENT)
        self.assertNotEqual(sorted(named(other)), sorted(named(report)))
        keyless = self.verify(*self.between("--table", "trap.twice", "--sample", "40"),
                              expect=DIFFERENT)
        self.assertLess(keyless["tables"][0]["source_rows"], 500)
        # Every table of the sync, whatever its key and types.
        self.on_target("update trap.stamped set note = 'x'; update trap.twice set b = '张三'")
        report = self.verify(*self.between("--sample", "12.5"), expect=EQUAL)
        self.assertGreaterEqual(len(report["tables"]), 15)
        self.assertEqual(len({table["part"]["sample_seed"] for table in report["tables"]}), 1)

    # Spec: R-36
    def test_a_hot_range_is_compared_and_mended_and_the_rest_is_not(self):
        self.on_target("update trap.stamped set note = 'y' where id % 10 = 0;"
                       "update trap.stamped set at = '2020-01-01' where id = 21")
        stamped = ("--table", "trap.stamped")
        by_id = self.verify(*self.between(*stamped, "--range", "id=100..121"), expect=DIFFERENT)
        self.assertEqual(sorted(one[1] for one in named(by_id)),
                         [["100"], ["110"], ["120"]])
        recent = ("--recent", "at=24h")
        report = self.verify(*self.between(*stamped, *recent), expect=DIFFERENT)
        self.assertEqual({(one[1][0], *one[2], one[3]) for one in named(report)},
                         {("10", "note", "differs"), ("20", "note", "differs"),
                          ("21", "at", "differs")})
        self.assertFalse(report["whole"])
        repaired = self.verify(*self.between(*stamped, *recent, "--repair"), expect=EQUAL)
        self.assertEqual(repaired["repairs"][0]["changes"], 3)
        whole = self.verify(*self.between(*stamped), expect=DIFFERENT)
        self.assertTrue(whole["whole"])
        self.assertEqual(len(named(whole)), 97)
        text = self.said("--from", self.source_url, "--to", self.target_url, *stamped, *recent,
                         "--sample", "50", "--sample-seed", "3")
        self.assertIn("trap.stamped: equal in part", text)
        self.assertIn("only: 50 % of rows (seed 3); trap.stamped.at from '20", text)

    def test_a_range_that_cannot_be_is_told_with_a_next_step(self):
        for words, status, code in [
                (("--range", "id=1..2"), 64, "--range wants one table"),
                (("--table", "trap.*", "--range", "id=1..2"), 64, "--range wants one table"),
                (("--sample", "0"), 64, "0.01 to 100"),
                (("--sample", ""), 64, "0.01 to 100"),
                (("--table", "trap.number", "--range", "id=1"), 64, "COLUMN=FROM..TO"),
                (("--table", "trap.number", "--recent", "id=1w"), 64, "2h or 7d"),
                (("--table", "trap.number", "--range", "number=1.."), 2, "drivers.no_table"),
                (("--table", "trap.number", "--range", "id=soon.."), 2, "drivers.bound"),
                (("--table", "trap.number", "--recent", "id=1d"), 2, "drivers.bound")]:
            done = subprocess.run([scene.QIAO, "verify", *self.between(*words)], text=True,
                                  capture_output=True)
            self.assertEqual(done.returncode, status, f"{words}\n{done.stdout}{done.stderr}")
            self.assertIn(code, done.stdout + done.stderr)
            self.assertRegex(done.stdout + done.stderr, "→|next:")

    def said(self, *words):
        done = subprocess.run([scene.QIAO, "verify", *words], text=True, capture_output=True)
        self.assertEqual(done.returncode, EQUAL, done.stdout + done.stderr)
        return done.stdout


class Unproven(Verifying):
    # Spec: R-36
    def test_no_part_proves_a_table_whatever_it_mends(self):
        for run in (self.on_source, self.on_target):
            run("create schema zoo;" + zoo.MARKER + TRAPS.replace("zoo.citext", "text"))
        self.on_target("update trap.number set price = 2 where id % 100 = 0")
        ends = ("--from", self.source_url, "--to", self.target_url)
        tables = ("--table", "trap.number", "--table", "zoo.marker")
        follow = self.start("sync", *ends, "--follow", "--existing", *tables, name="follow")
        scene.wait_until(lambda: follow.says("following"), 60, follow.tail)
        self.marker_arrives(60, follow.running)
        follow.end()
        self.assertEqual(self.states(), UNPROVEN)
        for part in (("--range", "id=1..1000"), ("--sample", "100"), ("--range", "id=..9999")):
            report = self.verify(*ends, "--table", "trap.number", *part, "--repair",
                                 expect=EQUAL)
            self.assertEqual([one["error"] for one in report["repairs"]],
                             [None] * len(report["repairs"]))
            self.assertEqual(self.states(), UNPROVEN)
        self.assertEqual(self.verify(*ends, "--table", "trap.number", "--repair",
                                     expect=EQUAL)["repairs"], [])
        self.assertEqual(self.states(), LIVE)

    def states(self):
        return self.on_target("select status from qiao.table_state"
                              " where table_name = 'number'")


class TwoAgents(Verifying):
    def setUp(self):
        super().setUp()
        self.on_source(zoo.KEYED + zoo.MARKER + TRAPS)
        # Streams are named by flow and nodes, and their slots are the server's.
        self.flow = self.database
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", self.flow, self.source_url, self.target_url,
            tables=["zoo.*", *(f"trap.{name}" for name in FOLLOWED)],
            port=servers.free_port(["127.0.0.1"]))
        self.addCleanup(self.left.kill)
        self.addCleanup(self.right.kill)
        self.left.start()
        self.right.start()
        # A table is there as soon as it is loaded; the flow follows when all are.
        scene.wait_until(
            lambda: self.left.flow(self.flow).get("state") == "following", 90, self.tails)
        self.marker_arrives(60)

    def tails(self):
        return f"{self.left.tail()}\n{self.right.tail()}\n{self.left.flow(self.flow)}"

    def by_agent(self, *words):
        return ("--flow", self.flow, "--socket", str(self.left.socket), *words)

    def test_each_reads_its_own_database_and_repairs_travel_as_packets_under_load(self):
        self.verify(*self.by_agent(), expect=EQUAL)
        workload = Workload(self.source_url, self.rng.getrandbits(31), writers=2, truncate=False)
        workload.start()
        report = self.verify(*self.by_agent(), expect=(EQUAL, 2))
        self.assertEqual(named(report), [])
        alterations = [one for one in ALTERATIONS if "trap.twice" not in one[0]]
        for sql, _ in alterations:
            self.on_target(sql)
        found = self.verify(*self.by_agent("--table", "trap.*"), expect=DIFFERENT)
        self.assert_named(found, alterations)
        repaired = self.verify(*self.by_agent("--table", "trap.*", "--repair"), expect=EQUAL)
        self.assertEqual([one["error"] for one in repaired["repairs"]], [None, None])
        workload.stop()
        self.marker_arrives(60)
        self.verify(*self.by_agent(), expect=EQUAL)
        saved = list((self.left.folder / "state/reports").glob(f"verify-{self.flow}-*.json"))
        self.assertGreaterEqual(len(saved), 4)

    def test_a_repair_by_packets_mends_rows_that_hold_each_others_unique_values(self):
        self.assert_puts_places_right(self.by_agent())

    # Spec: R-35
    def test_a_flow_is_compared_by_its_calendar_and_is_not_green_while_it_differs(self):
        self.on_target("update trap.number set price = price + 1 where id = 77")
        self.assertEqual(self.compared_now(repair=False)["state"], "different")
        self.assertFalse(self.left.flow(self.flow)["green"])
        self.assertEqual(self.compared_now(repair=True)["state"], "equal")
        scene.wait_until(lambda: self.left.flow(self.flow)["green"], 60, self.tails)
        reports = list((self.left.folder / "state/reports").glob("verify-*.json"))
        self.assertGreaterEqual(len(reports), 2)

    # Spec: R-36
    def test_a_part_over_the_link_and_by_calendar_makes_nothing_green(self):
        self.on_target("update trap.stamped set note = 'y' where id in (10, 30, 900)")
        found = self.compared_now(repair=False, sample=100)
        self.assertEqual(found["state"], "different")
        self.assertTrue(found["part"].startswith("100 % of rows (seed "), found)
        self.assertFalse(self.left.flow(self.flow)["green"])
        stamped = ("--table", "trap.stamped")
        report = self.verify(*self.by_agent(*stamped, "--recent", "at=2d"), expect=DIFFERENT)
        self.assertEqual(sorted(one[1] for one in named(report)), [["10"], ["30"]])
        report = self.verify(*self.by_agent(*stamped, "--recent", "at=2d", "--repair"),
                             expect=EQUAL)
        self.assertEqual(report["repairs"][0]["changes"], 2)
        self.verify(*self.by_agent(*stamped, "--range", "id=31..900"), expect=EQUAL)
        flow = self.left.flow(self.flow)
        self.assertEqual(flow["comparison"]["state"], "equal")
        self.assertEqual(flow["comparison"]["part"], "id from '31' to '900'")
        self.assertEqual(flow["comparison"]["different_tables"], ["trap.stamped"])
        self.assertFalse(flow["green"])
        self.left.kill()
        self.left.start()
        scene.wait_until(lambda: self.left.flow(self.flow).get("state") == "following", 60,
                         self.tails)
        flow = self.left.flow(self.flow)
        self.assertEqual(flow["comparison"]["different_tables"], ["trap.stamped"])
        self.assertFalse(flow["green"], "a restart does not make it equal")
        report = self.verify(*self.by_agent(*stamped, "--repair"), expect=EQUAL)
        self.assertEqual(report["repairs"][0]["changes"], 1)
        scene.wait_until(lambda: self.left.flow(self.flow)["green"], 60, self.tails)

    def compared_now(self, repair, **more):
        """At this very minute, taken by a reload; the next one if it has just ended."""
        before = (self.left.flow(self.flow).get("comparison") or {}).get("ended_at")
        seen = []

        def outcome():
            found = self.left.flow(self.flow).get("comparison")
            if found and found["state"] not in ("running", "failed"):
                # The one of before may still be there, or what is known of it without a time.
                seen.extend([found] if found["ended_at"] not in (before, None) else [])
            return seen

        for _ in range(3):
            config = json.loads(self.left.config.read_text())
            config["flows"][0]["verify"] = {
                "at": datetime.datetime.now().strftime("%H:%M"), "repair": repair, **more}
            self.left.config.write_text(json.dumps(config))
            agents.run_qiao(scene.QIAO, "status", "--socket", self.left.socket, "--reload")
            try:
                scene.wait_until(outcome, 20, self.tails)
                return seen[0]
            except TimeoutError:
                continue
        raise AssertionError(self.left.flow(self.flow))

    def test_a_flow_that_is_not_there_and_a_table_that_it_does_not_carry_are_refused(self):
        done = subprocess.run([scene.QIAO, "verify", "--flow", "other", "--socket",
                               str(self.left.socket)], text=True, capture_output=True)
        self.assertEqual(done.returncode, 64, done.stderr)
        self.assertIn("agent.no_flow", done.stderr)
        done = subprocess.run([scene.QIAO, "verify", *self.by_agent("--table", "trap.twice")],
                              text=True, capture_output=True)
        self.assertNotIn(done.returncode, (EQUAL, DIFFERENT), done.stdout)
        self.assertIn("drivers.no_table", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
