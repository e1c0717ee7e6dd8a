"""Where a run takes place: two clusters, two agents, and the gate between the agents."""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/system"), str(ROOT / "tools")]
import agents  # noqa: E402
import process  # noqa: E402
import scene  # noqa: E402
import servers  # noqa: E402
from gate import Gate  # noqa: E402

DATABASE = "shop"
FLOW = "shop"


class Fault(Exception):
    """What the product did and may not do."""


class Ground(contextlib.ExitStack):
    def __init__(self, folder, choices):
        super().__init__()
        self.folder = folder
        self.choices = choices
        # One trouble at a time for each of the four.
        self.locks = {name: threading.Lock() for name in ("left", "right", "source", "target")}
        self._counts = Counter()
        self._counting = threading.Lock()
        # A child dies with the thread that has started it.
        self._starter = ThreadPoolExecutor(1)

    def __enter__(self):
        super().__enter__()
        self.callback(self._starter.shutdown)
        self.group = self.enter_context(servers.Servers(fsync=False))
        self.push(self._keep_server_logs)
        self.source = self.group.postgres({**scene.CONF, **self.choices.source_conf})
        self.target = self.group.postgres(scene.CONF)
        for server in (self.source, self.target):
            server.psql(f"create database {DATABASE}")
        port = servers.free_port(["127.0.0.1"])
        self.gates = {"link": self.enter_context(Gate(port, self.choices.seed))}
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, self._way_to("source"), self._way_to("target"),
            tables=["zoo.*", "bank.*", "bulk.*"], port=port, dialled=self.gates["link"].port,
            suite=self.choices.suite, custody=self.choices.custody,
            more={"trail": self.choices.trail})
        self._write_passwords()
        self.environment = {**self.group.environment(), "LANG": "C",
                            "PGPASSFILE": str(self.folder / "pgpass")}
        self.environment_of_commands = {**os.environ, **self.environment}
        self.callback(self.left.kill)
        self.callback(self.right.kill)
        return self

    def _way_to(self, name):
        """The URL of a database for its agent, in some runs through a gate of its own."""
        server = self.server(name)
        if not self.choices.gated_databases:
            return server.url(DATABASE)
        gate = self.gates[name] = self.enter_context(Gate(server.port, self.choices.seed))
        return f"postgresql://postgres@127.0.0.1:{gate.port}/{DATABASE}"

    def _write_passwords(self):
        path = self.folder / "pgpass"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            for name in ("source", "target"):
                server = self.server(name)
                for port in {server.port, self.gates.get(name, server).port}:
                    file.write(f"*:{port}:*:postgres:{server.password}\n")

    def server(self, name):
        return {"source": self.source, "target": self.target}[name]

    def _keep_server_logs(self, *_):
        for server, name in ((self.source, "source"), (self.target, "target")):
            with contextlib.suppress(OSError):
                shutil.copy(server.folder / "log", self.folder / f"{name}.log")

    def count(self, what):
        with self._counting:
            self._counts[what] += 1

    @property
    def counts(self):
        with self._counting:
            return Counter(self._counts)

    # -- the databases --

    @property
    def source_url(self):
        return self._url(self.source)

    @property
    def target_url(self):
        return self._url(self.target)

    def _url(self, server):
        return (f"host=127.0.0.1 port={server.port} dbname={DATABASE} user=postgres "
                f"password={server.password}")

    @property
    def app_url(self):
        return f"host=127.0.0.1 port={self.source.port} dbname={DATABASE} user=app password=app"

    def on_source(self, sql):
        return self.source.psql(sql, DATABASE)

    def on_target(self, sql):
        return self.target.psql(sql, DATABASE)

    # -- the agents --

    def agent(self, name):
        return {"left": self.left, "right": self.right}[name]

    def start_agent(self, name):
        self._starter.submit(self.agent(name).start, self.environment).result()

    def assert_agents_run(self):
        for agent in (self.left, self.right):
            if not agent.running():
                raise Fault(f"agent {agent.name} has ended by itself\n{agent.tail()}")

    # -- kills --

    def kill_agent(self, name, down=0.0, wait=lambda seconds: None):
        with self.locks[name]:
            agent = self.agent(name)
            if not agent.running():
                raise Fault(f"agent {agent.name} has ended by itself\n{agent.tail()}")
            agent.kill()
            wait(down)
            self.start_agent(name)

    def kill_server(self, name, down=0.0, wait=lambda seconds: None):
        with self.locks[name]:
            server = self.server(name)
            server.kill9()
            wait(down)
            server.start()

    def stop_agent(self, name, seconds, wait):
        """SIGSTOP; it goes on later as if nothing had been."""
        with self.locks[name]:
            who = self.agent(name).identity()
            self._freeze([who], seconds, wait)

    def state(self):
        """What both ends say of themselves."""
        told = [agent.tail() + "\n" + json.dumps(agent.flow(FLOW), indent=1)
                for agent in (self.left, self.right)]
        told += [f"{name}:\n" + self.server(name).psql(scene.SESSIONS, DATABASE, check=False)
                 for name in ("source", "target")]
        return "\n".join(told)

    def stop_backend(self, name, pick, seconds, wait):
        """SIGSTOP of one of our sessions' backends at a server. @return whether there was one."""
        with self.locks[name]:
            server = self.server(name)
            pids = server.psql("select pid from pg_stat_activity where application_name like"
                               " 'qiao%' order by backend_start", DATABASE).split()
            if not pids:
                return False
            self._freeze([process.identity(int(pick(pids)))], seconds, wait)
            return True

    def _freeze(self, everyone, seconds, wait):
        stopped = [who for who in everyone if process.is_alive(who)]
        for who in stopped:
            signal_it(who, signal.SIGSTOP)
        try:
            wait(seconds)
        finally:
            for who in stopped:
                signal_it(who, signal.SIGCONT)


def signal_it(who, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(who["pid"], number)
