#!/usr/bin/env python3
"""What is limited stays within its limits, and nothing is lost by it: a network without IPv4, a
disk budget that is used up, a rate."""

import contextlib
import json
import os
import subprocess
import time
import unittest
from pathlib import Path

import psycopg2

import comparison
import notes
import scene
import zoo

import agents
import servers

FLOW = "shop"
CATCH_UP_SECONDS = 180
TABLES = """
    create schema zoo;
    create table zoo.item (id int primary key, v text);
    insert into zoo.item select g, 'loaded' from generate_series(1, 1000) g;
"""
BUDGET = 8 << 20
# Rows of a kilobyte: many times both budgets together.
FLOOD_ROWS = 60_000
RATE = 2 << 20
RATE_ROWS = 24_000


class TwoAgents(scene.Scene):
    hosts = ("127.0.0.1", "127.0.0.1")
    more = None

    def setUp(self):
        super().setUp()
        self.on_source(TABLES + zoo.MARKER)
        self.make_agents(port=servers.free_port([self.hosts[1]]))
        self.addCleanup(self.kill_agents)
        for agent in (self.left, self.right):
            agent.start()
        self.caught_up()
        scene.wait_until(lambda: self.left.flow(FLOW).get("green"), CATCH_UP_SECONDS, self.tails)

    def make_agents(self, **words):
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, self.source_url, self.target_url,
            tables=["zoo.*"], hosts=self.hosts, more=self.more, **words)

    def kill_agents(self):
        for agent in (self.left, self.right):
            agent.kill()

    def tails(self):
        return self.left.tail() + "\n" + self.right.tail()

    def caught_up(self):
        self.marker_arrives(CATCH_UP_SECONDS, lambda: self.left.running() and self.right.running())

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))


class VersionSix(TwoAgents):
    hosts = ("::1", "::1")

    @classmethod
    def make_servers(cls):
        if "::1" not in servers.loopback_hosts():
            raise unittest.SkipTest("this machine has no IPv6")
        return tuple(cls.group.postgres(cls.conf, hosts=("::1",)) for _ in range(2))

    # Spec: R-76
    def test_agents_and_databases_that_have_no_ipv4_address(self):
        self.on_source("update zoo.item set v = 'changed' where id <= 500;"
                       "delete from zoo.item where id > 900")
        self.caught_up()
        for agent in (self.left, self.right):
            told = subprocess.run(["ss", "-4", "-H", "-tnap"], text=True, capture_output=True)
            self.assertNotIn(f"pid={agent.pid},", told.stdout)
            told = subprocess.run(["ss", "-6", "-H", "-tnap"], text=True, capture_output=True)
            self.assertIn(f"pid={agent.pid},", told.stdout, told.stderr)
        link = self.left.status()["links"][0]
        self.assertIn("[::1]", link["address"])
        self.assert_equal()


class DiskBudget(TwoAgents):
    more = {"trail": {"budget": f"{BUDGET >> 20}MiB", "segment": "1MiB", "grace": "0s"}}

    def on_disk(self, agent):
        return sum(path.stat().st_size for path in (agent.folder / "state").rglob("segment-*"))

    def full(self, agent):
        status = agent.status()
        return status is not None and status["trail"]["waiting"] > 0

    # Spec: R-51
    # Source: rules 10
    def test_a_full_budget_pushes_back_and_clears(self):
        self.target.stop()
        # What cannot be made smaller, in transactions of a megabyte.
        self.on_source("\n".join(
            "insert into zoo.item select g, (select string_agg(md5(random()::text || g || i), '')"
            f" from generate_series(1, 32) i) from generate_series({n}, {n + 999}) g;"
            for n in range(10_000, 10_000 + FLOOD_ROWS, 1000)))
        scene.wait_until(lambda: self.full(self.left), CATCH_UP_SECONDS,
                         lambda: f"{self.left.status()}\n{self.tails()}")
        for _ in range(20):
            for agent in (self.left, self.right):
                self.assertTrue(agent.running(), agent.tail())
                # A segment that is being written, and the packet that fills it.
                self.assertLessEqual(self.on_disk(agent), BUDGET + (2 << 20), agent.status())
            time.sleep(0.1)
        self.say(f"on disk: {self.on_disk(self.left) >> 10} KiB,"
                 f" {self.on_disk(self.right) >> 10} KiB; {self.left.status()['trail']}")
        self.assertFalse(self.left.flow(FLOW)["green"])
        self.assertTrue(self.left.status()["trail"]["nearly_full"])
        self.on_source("update zoo.item set v = 'while full' where id <= 100")
        self.target.start()
        self.caught_up()
        self.assert_equal()
        scene.wait_until(lambda: not self.full(self.left), CATCH_UP_SECONDS, self.tails)
        scene.wait_until(lambda: not self.left.status()["trail"]["nearly_full"],
                         CATCH_UP_SECONDS, self.tails)


class FullDisk(TwoAgents):
    """Each agent's state folder is a file system of its own, which somebody else fills."""

    size = 48 << 20

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("not permitted: mounting")
        self.mounted = []
        super().setUp()

    def make_agents(self, **words):
        folder = self.folder / "nodes"
        self.mounted = [folder / name / "state" for name in ("county", "city")]

        def within(state):
            return lambda command: [
                "unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mkdir -p "$0" && mount -t tmpfs -o mode=0700,size="$1" own "$0" && shift &&'
                ' exec "$@"', str(state), str(self.size), *command]

        super().make_agents(wraps=tuple(within(state) for state in self.mounted), **words)

    def inside(self, agent, state):
        return Path(f"/proc/{agent.pid}/root{state}")

    def fill(self, agent, state):
        ballast = self.inside(agent, state) / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while file.write(b"b" * 65536):
                pass
        return ballast

    def told(self, agent):
        status = agent.status() or {}
        return "trail.disk_full" in json.dumps(status)

    # Spec: R-52
    def test_a_disk_that_is_full_is_told_and_nothing_is_lost(self):
        for number, agent in enumerate((self.left, self.right)):
            self.say(f"{agent.name} has no room")
            ballast = self.fill(agent, self.mounted[number])
            first = 10_000 * (number + 1)
            self.on_source(f"insert into zoo.item select g, repeat('full', 500) from"
                           f" generate_series({first}, {first + 4999}) g;"
                           "update zoo.item set v = v || '!' where id % 10 = 3")
            scene.wait_until(lambda: self.told(agent), CATCH_UP_SECONDS, self.tails)
            self.assertTrue(agent.running(), agent.tail())
            scene.wait_until(lambda: not self.left.flow(FLOW).get("green"), CATCH_UP_SECONDS,
                             self.tails)
            _, output = self.status_text(agent)
            notes.told(self, f"disk full: {agent.name}", "trail.disk_full", output)
            ballast.unlink()
            self.caught_up()
            self.assert_equal()
        scene.wait_until(lambda: self.left.flow(FLOW).get("green"), CATCH_UP_SECONDS, self.tails)

    def status_text(self, agent):
        done = subprocess.run([scene.QIAO, "status", "--socket", str(agent.socket)], text=True,
                              capture_output=True, env={**os.environ, "LANG": "C"})
        return done.returncode, done.stdout + done.stderr


class SourceLimits(TwoAgents):
    """The source is somebody's production: what the flow takes of it has bounds and is shown."""

    limits = {"connections": 6, "rows_per_second": 20_000, "statement_time": "2s"}

    def setUp(self):
        # Nothing starts here: the first load is what is watched.
        scene.Scene.setUp(self)
        self.on_source(TABLES + zoo.MARKER)
        self.on_source("insert into zoo.item select g, repeat('x', 100) from"
                       " generate_series(1001, 60000) g")
        self.make_agents(port=servers.free_port([self.hosts[1]]),
                         at_source={"source_limits": self.limits, "readers": 8})
        self.addCleanup(self.kill_agents)

    def ours(self):
        return int(self.on_source("select count(*) from pg_stat_activity where datname ="
                                  " current_database() and application_name like 'qiao%'"))

    # Spec: R-50
    def test_connections_rows_and_statements_stay_within_their_bounds_and_are_shown(self):
        # Somebody holds the table: a statement of ours that waits is ended, and tried again.
        self.on_source("create table zoo.held (id int primary key)")
        with self.held("zoo.held"):
            self.right.start()
            self.left.start()
            scene.wait_until(lambda: "common.deadline_passed" in json.dumps(self.left.status()),
                             CATCH_UP_SECONDS, self.tails)
        most, rates = 0, []

        def loaded():
            nonlocal most
            most = max(most, self.ours())
            usage = self.left.flow(FLOW).get("source_usage") or {}
            rates.append(usage.get("rows_per_second", {}).get("now", 0))
            return self.left.flow(FLOW).get("green")
        scene.wait_until(loaded, CATCH_UP_SECONDS, self.tails)
        self.caught_up()
        self.assert_equal()
        usage = self.left.flow(FLOW)["source_usage"]
        self.say(f"{most} connections seen, {max(rates)} rows/s most; {usage}")
        self.assertLessEqual(most, self.limits["connections"])
        self.assertLessEqual(usage["connections"]["most"], self.limits["connections"])
        self.assertGreaterEqual(usage["connections"]["now"], 2)
        self.assertGreater(max(rates), 1000)
        # Chunks are large: a second may take the end of one and the whole next one.
        self.assertLessEqual(max(rates), 2 * self.limits["rows_per_second"])
        self.assertGreater(usage["statement_seconds"]["longest"], 1.9)
        done = subprocess.run([scene.QIAO, "status", "--socket", str(self.left.socket)], text=True,
                              capture_output=True, env={**os.environ, "LANG": "C"})
        self.assertRegex(done.stdout, r"at the source: connections \d of 6 \(most \d\)")

    @contextlib.contextmanager
    def held(self, table):
        connection = psycopg2.connect(self.source_url)
        connection.cursor().execute(f"lock table {table} in access exclusive mode")
        try:
            yield
        finally:
            connection.close()


class Rate(TwoAgents):
    more = {"rates": [{"rate": f"{RATE >> 20}MiB"}]}

    # Spec: R-77
    def test_a_limit_of_two_mebibytes_a_second_is_kept(self):
        def sent():
            status = self.left.status()
            self.assertEqual(status["links"][0]["rate_limit"], RATE)
            return status["links"][0]["bytes_out"], time.monotonic()

        self.on_source("\n".join(
            "insert into zoo.item select g, (select string_agg(md5(random()::text || g || i), '')"
            f" from generate_series(1, 32) i) from generate_series({n}, {n + 999}) g;"
            for n in range(10_000, 10_000 + RATE_ROWS, 1000)))
        before, begun = sent()
        time.sleep(5)
        after, ended = sent()
        rate = (after - before) / (ended - begun)
        # How near it comes from below is a matter of the machine.
        self.say(f"{rate / (1 << 20):.2f} MiB/s of {RATE >> 20}")
        self.assertGreater(rate, 0)
        self.assertLess(rate, RATE * 1.1)
        self.caught_up()
        self.assert_equal()


class FlowRate(TwoAgents):
    # Spec: R-77
    def test_a_flows_own_rate_is_taken_and_given_up_while_it_runs(self):
        self.set_rates([{"rate": "64KiB", "flow": FLOW}])
        scene.wait_until(lambda: self.left.flow(FLOW).get("rate_limit") == 64 << 10,
                         CATCH_UP_SECONDS, self.tails)
        begun = time.monotonic()
        self.on_source("insert into zoo.item select g, (select string_agg(md5(random()::text || g"
                       " || i), '') from generate_series(1, 32) i)"
                       " from generate_series(10000, 10400) g")
        self.caught_up()
        # 400 kB in half that form: never faster than its rate.
        self.assertGreater(time.monotonic() - begun, 200 / 64)
        self.set_rates([])
        scene.wait_until(lambda: self.left.flow(FLOW).get("rate_limit") == 0,
                         CATCH_UP_SECONDS, self.tails)
        self.on_source("update zoo.item set v = v || 'more'")
        self.caught_up()
        self.assert_equal()

    def set_rates(self, rates):
        config = json.loads(self.left.config.read_text())
        config["rates"] = rates
        self.left.config.write_text(json.dumps(config))
        agents.run_qiao(scene.QIAO, "status", "--socket", self.left.socket, "--reload")


if __name__ == "__main__":
    unittest.main(verbosity=2)
