"""Two servers and the program between them, as the system tests use them."""

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import servers  # noqa: E402

QIAO = os.environ.get("QIAO_BIN", str(ROOT / "build/release/qiao"))
# Exit status of a test program that cannot run here.
SKIPPED = 77
# What the servers of kill tests need: small, and quick to come back.
CONF = {"shared_buffers": "64MB", "max_connections": "60", "deadlock_timeout": "200ms",
        "wal_receiver_status_interval": "1s", "wal_sender_timeout": "10s",
        "autovacuum_naptime": "5s"}
SESSIONS = """
    select pid, backend_type, state, wait_event_type, wait_event,
           coalesce(now() - xact_start, now() - state_change), pg_blocking_pids(pid),
           left(query, 300)
    from pg_stat_activity where pid <> pg_backend_pid() and backend_type in
        ('client backend', 'walsender');
    select slot_name, active_pid, restart_lsn, confirmed_flush_lsn, pg_current_wal_lsn()
    from pg_replication_slots
"""


def die_with_parent():
    """In a child: a test that is killed leaves no program behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def wait_until(condition, seconds, what):
    """Polls; raises with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what() if callable(what) else what)
        time.sleep(0.05)


class Program:
    """One run of qiao; its output goes to a file."""

    def __init__(self, words, log, wrap=lambda words: words):
        self.words = [QIAO, *words]
        self.log = Path(log)
        with open(self.log, "ab") as file:
            self.process = subprocess.Popen(
                wrap(self.words), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                preexec_fn=die_with_parent)

    def wait(self, seconds):
        """Exit status; when it does not end in time it is killed and that raises."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{' '.join(self.words[:2])} does not end; {self.tail()}") from None

    def running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, seconds=30):
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(seconds)

    def says(self, phase):
        """Whether its newest line tells that it is in this phase."""
        lines = self.log.read_text(errors="replace").splitlines()
        return bool(lines) and lines[-1].startswith(phase)

    def tail(self, lines=15):
        text = self.log.read_text(errors="replace").splitlines()
        return "its last lines:\n" + "\n".join(text[-lines:])


class Scene(unittest.TestCase):
    """A source and a target server for the class; a database and a folder for each test."""

    conf = CONF
    tests_begun = 0

    @classmethod
    def setUpClass(cls):
        cls.group = cls.enterClassContext(servers.Servers())
        cls.source, cls.target = cls.make_servers()
        os.environ["PGPASSFILE"] = cls.group.environment()["PGPASSFILE"]

    @classmethod
    def make_servers(cls):
        return cls.group.postgres(cls.conf), cls.group.postgres(cls.conf)

    def setUp(self):
        self.seed = int(os.environ.get("QIAO_SEED") or random.SystemRandom().getrandbits(31))
        self.rng = random.Random(self.seed)
        self.say(f"replay: QIAO_SEED={self.seed} QIAO_BIN={QIAO} /usr/bin/python3 "
                 f"{sys.argv[0]} {self.id().partition('.')[2]}")
        self.folder = Path(tempfile.mkdtemp(prefix="qiao-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.environ["XDG_STATE_HOME"] = str(self.folder)
        Scene.tests_begun += 1
        self.database = f"shop{Scene.tests_begun}"
        for server in (self.source, self.target):
            server.psql(f"create database {self.database}")
        self.programs = []
        self.addCleanup(self.kill_programs)

    def kill_programs(self):
        for program in self.programs:
            if program.running():
                program.kill()

    def say(self, text):
        print(f"  {text}", file=sys.stderr, flush=True)

    # -- the databases --

    @property
    def source_url(self):
        return self.source.url(self.database)

    @property
    def target_url(self):
        return self.target.url(self.database)

    def app_url(self):
        """As the application's user of zoo.USER; libpq reads no password file for it."""
        return (f"host=127.0.0.1 port={self.source.port} dbname={self.database} "
                "user=app password=app")

    def on_source(self, sql):
        return self.source.psql(sql, self.database)

    def on_target(self, sql):
        return self.target.psql(sql, self.database)

    def marker_arrives(self, seconds, moving=lambda: True):
        """Commits a row that comes after everything else, and waits for it at the target."""
        number = self.on_source("insert into zoo.marker default values returning id")

        def there():
            if not moving():
                raise AssertionError(f"the program ended while it was waited for; {self.tails()}")
            try:
                return self.on_target(f"select 1 from zoo.marker where id = {number}") == "1"
            except servers.ServerError:
                return False

        wait_until(there, seconds, lambda: f"marker {number} did not arrive; {self.tails()}")

    def tails(self):
        return "\n".join([*(program.tail() for program in self.programs[-2:]), self.sessions()])

    def sessions(self):
        """What Qiao's sessions at both servers are doing, for a message of a failed test."""
        return "\n".join(f"{title}:\n" + server.psql(SESSIONS, self.database, check=False)
                         for title, server in (("source", self.source), ("target", self.target)))

    # -- the program --

    def start(self, *words, name="qiao", wrap=lambda words: words):
        program = Program(words, self.folder / f"{name}.log", wrap)
        self.programs.append(program)
        return program

    def run_qiao(self, *words, seconds=120, name="qiao"):
        """To its end; a failure shows its last lines."""
        program = self.start(*words, name=name)
        status = program.wait(seconds)
        self.assertEqual(status, 0, f"qiao {words[0]}: {program.tail()}")
        return program

    def sync_words(self, *words):
        return ("sync", "--from", self.source_url, "--to", self.target_url, *words)

    def one_object(self, *words, seconds=120):
        """The object that a command prints with --json."""
        done = subprocess.run([QIAO, *words, "--json"], text=True, capture_output=True,
                              timeout=seconds)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return json.loads(done.stdout)


def terminate_backends(server, where):
    """pg_terminate_backend on sessions that `where` (SQL over pg_stat_activity) picks."""
    try:
        return int(server.psql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            f"where pid <> pg_backend_pid() and ({where})"))
    except servers.ServerError:
        return 0
