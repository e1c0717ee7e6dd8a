#!/usr/bin/env python3
"""Two agents over TLS, each in a network namespace with its own database: exact after kills.

Where namespaces are not allowed, the same on the loopback, with the link's connections killed
instead of its cable pulled, and a line that says so.
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

import comparison
import scene
import zoo
from workload import Workload

import agents
import netns
import servers

FLOW = "shop"
TABLES = ["zoo.*", "public.*"]
NODES = ("city", "province")
PORT = 7440
CATCH_UP_SECONDS = 120
VERIFY_SECONDS = 120
PGBENCH_SCALE = 1
KILLS_OF_EACH = 5
CUTS = 5
FREE_KEY = -4242  # below every bigint key that the workload makes


class Place:
    """Where the two nodes live: namespaces of their own, or the loopback."""

    def __init__(self, test):
        self.port = PORT
        try:
            if os.geteuid() != 0:
                # What it starts in a namespace lies below a sudo that it may not kill.
                raise netns.NetnsUnavailable("not root")
            self.network = test.enterClassContext(netns.Network(list(NODES)))
        except netns.NetnsUnavailable as reason:
            print(f"  namespaces skipped: not permitted ({reason})", file=sys.stderr)
            self.network = None
            self.port = servers.free_port(["127.0.0.1"])

    def host(self, name):
        return self.network[name] if self.network else None

    def address(self, name):
        return self.network[name].ip4 if self.network else "127.0.0.1"

    def netns(self, name):
        return self.network[name].netns if self.network else None

    def wrap(self, name):
        return self.network[name].command if self.network else None

    def cut(self, agent):
        if self.network:
            self.network.cut(agent.name)
        else:
            # Only the link's sockets: those of the databases stay.
            subprocess.run([*netns.root_words(), "ss", "-K", "sport", "=", f":{self.port}"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def mend(self, agent):
        if self.network:
            self.network.mend(agent.name)


class Agents(scene.Scene):
    @classmethod
    def make_servers(cls):
        cls.place = Place(cls)
        if cls.place.network:
            # On the loopback of its namespace: nobody reaches it from anywhere else.
            return tuple(cls.group.postgres(cls.conf, hosts=("127.0.0.1",),
                                            netns=cls.place.netns(name)) for name in NODES)
        return super().make_servers()

    def setUp(self):
        super().setUp()
        self.on_source(zoo.KEYED + zoo.MARKER + zoo.random_tables(self.rng, 3) + zoo.USER)
        self.pgbench("-i", "-q", "-s", str(PGBENCH_SCALE), "--foreign-keys")
        # pgbench writes no key into its history; nothing else here is without one.
        self.on_source("alter table pgbench_history add id bigserial primary key")
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, self.source_url, self.target_url,
            tables=TABLES, port=self.place.port, names=NODES,
            hosts=tuple(self.place.address(name) for name in NODES),
            wraps=tuple(self.place.wrap(name) for name in NODES))
        self.addCleanup(self.kill_agents)

    def kill_agents(self):
        for agent in (self.left, self.right):
            agent.kill()

    def start_agents(self):
        for agent in (self.left, self.right):
            agent.start()

    def tails(self):
        return self.left.tail() + "\n" + self.right.tail()

    def moving(self):
        return self.left.running() and self.right.running()

    # -- inside the source's namespace --

    def words(self, *words):
        host = self.place.host(NODES[0])
        return host.command(list(words)) if host else list(words)

    def pgbench(self, *words):
        done = subprocess.run(
            self.words(str(self.source.bin / "pgbench"), *words, "-h", str(self.source.folder),
                       "-p", str(self.source.port), "-U", "postgres", self.database),
            text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def start_pgbench(self):
        program = subprocess.Popen(
            self.words(str(self.source.bin / "pgbench"), "-n", "-c", "2", "-R", "150", "-T", "600",
                       "-h", str(self.source.folder), "-p", str(self.source.port),
                       "-U", "postgres", self.database),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=scene.die_with_parent)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def socket_url(self, server, user="postgres"):
        """Through the server's socket, which a namespace does not hide."""
        password = server.password if user == "postgres" else "app"
        return (f"host={server.folder} port={server.port} dbname={self.database} "
                f"user={user} password={password}")

    def assert_equal(self):
        told = comparison.differences(self.socket_url(self.source), self.socket_url(self.target))
        self.assertEqual(told, [], "\n".join(told))

    # -- trouble --

    def kill_left(self):
        self.left.kill()
        self.left.start()

    def kill_right(self):
        self.right.kill()
        self.right.start()

    def cut_link(self):
        agent = self.rng.choice((self.left, self.right))
        self.place.cut(agent)
        time.sleep(self.rng.uniform(0.2, 2.0))
        self.place.mend(agent)

    def following(self):
        self.assertTrue(self.moving(), self.tails())
        flow = self.left.flow(FLOW)
        self.assertFalse(flow.get("needs_operator"), flow.get("last_error"))
        return flow.get("state") == "following"

    # Spec
    def test_exact_after_cut_links_and_killed_agents(self):
        load = Workload(self.socket_url(self.source, "app"), self.rng.getrandbits(30), pause=0.01,
                        without={("zoo", "marker")}, truncate=False).start()
        self.start_agents()
        scene.wait_until(self.following, 120, lambda: f"no first load; {self.tails()}")
        load.allow_truncate()
        pgbench = self.start_pgbench()
        kinds = ([self.kill_left, self.kill_right] * KILLS_OF_EACH + [self.cut_link] * CUTS)
        self.rng.shuffle(kinds)
        for number, trouble in enumerate(kinds):
            time.sleep(self.rng.uniform(0.2, 1.6))
            self.assertTrue(self.moving(), self.tails())
            self.say(f"{number + 1}: {trouble.__name__.replace('_', ' ')}")
            trouble()
        pgbench.kill()
        pgbench.wait()
        load.stop()
        self.say(f"workload: {load.summary()}")
        self.assertEqual(load.unexpected, [])
        self.marker_arrives(CATCH_UP_SECONDS, self.moving)
        self.assert_equal()
        self.heartbeats_come_out()
        self.verify_and_repair()
        self.a_comparison_goes_with_its_agent()
        self.reopen_after_a_lost_slot()
        self.end_in_order()

    def verify(self, *words):
        """Exit status of `qiao verify` by the agents, and the tables that are not equal."""
        done = subprocess.run(
            [scene.QIAO, "verify", "--flow", FLOW, "--socket", str(self.left.socket), "--json",
             *words], text=True, capture_output=True, timeout=VERIFY_SECONDS)
        self.assertIn(done.returncode, (0, 1), done.stderr + done.stdout[-2000:] + self.tails())
        tables = json.loads(done.stdout)["tables"]
        return done.returncode, {table["source"]: table["differences"] for table in tables
                                 if table["verdict"] != "equal"}

    def verify_and_repair(self):
        """Across the link, each agent reading the database that it alone reaches."""
        self.assertEqual(self.verify(), (0, {}))
        self.on_target("update pgbench_accounts set filler = 'other' where aid = 17;"
                       "delete from pgbench_history"
                       " where id = (select min(id) from pgbench_history);"
                       f"insert into zoo.only_key values ({FREE_KEY})")
        status, different = self.verify()
        self.assertEqual((status, set(different)), (1, {
            "public.pgbench_accounts", "public.pgbench_history", "zoo.only_key"}))
        only = different["public.pgbench_accounts"]
        self.assertEqual([(one["key"], one["columns"]) for one in only],
                         [({"aid": "17"}, ["filler"])])
        self.assertEqual(self.verify("--repair"), (0, {}))
        self.assert_equal()

    def a_comparison_goes_with_its_agent(self):
        """Whoever waits for it asks an agent that knows nothing of it: not known, not misused."""
        waiting = subprocess.Popen(
            [scene.QIAO, "verify", "--flow", FLOW, "--socket", str(self.left.socket),
             "--rows-per-second", "1"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        scene.wait_until(lambda: (self.left.flow(FLOW).get("comparison") or {}).get("state")
                         == "running", 60,
                         self.tails)
        waiting.send_signal(signal.SIGSTOP)
        self.kill_left()
        scene.wait_until(self.left.status, 60, self.tails)
        waiting.send_signal(signal.SIGCONT)
        _, told = waiting.communicate(timeout=60)
        self.assertEqual(waiting.returncode, 2, told)
        self.assertIn("agent.not_running", told)
        scene.wait_until(self.following, 60, self.tails)

    # Source: rules 1
    def reopen_after_a_lost_slot(self):
        """Dropped while the agent is down, with changes that nobody will ever send."""
        self.left.kill()
        slot = self.on_source("select slot_name from pg_replication_slots"
                              f" where database = '{self.database}'")
        scene.wait_until(lambda: self.on_source(
            f"select active from pg_replication_slots where slot_name = '{slot}'") == "f", 30,
            "the slot stays in use")
        self.on_source(f"select pg_drop_replication_slot('{slot}');"
                       "update pgbench_accounts set filler = 'unsent' where aid % 1000 = 5;"
                       f"insert into zoo.only_key values ({FREE_KEY})")
        self.left.start()
        scene.wait_until(lambda: self.left.flow(FLOW).get("last_error"), 60, self.tails)
        self.assertEqual(self.left.flow(FLOW)["last_error"]["code"], "capture.position_lost")
        self.assertEqual(self.verify("--repair", "--reopen"), (0, {}))
        self.on_source(f"insert into zoo.only_key values ({FREE_KEY - 1})")
        self.marker_arrives(CATCH_UP_SECONDS, self.moving)
        self.assert_equal()
        scene.wait_until(lambda: not self.right.flow(FLOW)["doubtful"], 30, self.tails)

    def heartbeats_come_out(self):
        scene.wait_until(lambda: self.right.flow(FLOW).get("moving") == "yes", 30,
                         lambda: f"no sign of life: {self.right.flow(FLOW)}")

    def end_in_order(self):
        for agent in (self.left, self.right):
            self.assertEqual(agent.end(), 0, agent.tail())

    @unittest.skipUnless(os.environ.get("QIAO_NETNS", "1") == "1", "switched off")
    def test_each_database_is_reached_by_its_own_agent_alone(self):
        if not self.place.network:
            self.skipTest("not permitted: network namespaces")
        psql = [str(self.target.bin / "psql"), "-XAtc", "select 1", "-h",
                self.place.address(NODES[1]), "-p", str(self.target.port), "-U", "postgres",
                "-d", self.database]
        done = self.place.host(NODES[0]).run(psql, text=True, capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("refused", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
