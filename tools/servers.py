#!/usr/bin/env python3
"""Real PostgreSQL servers for the demo, the tests and the benches.

    tools/servers.py run --postgres 2 [--pg-bin DIR …] [--conf k=v …] [--no-fsync] -- COMMAND…
    with Servers() as servers: servers.postgres(conf={"work_mem": "64MB"}).psql("select 1")

Each server has a folder of its own, a port from the kernel and a random password of `postgres`.
When root asks, the servers run as the system's user `postgres`, because PostgreSQL refuses root.
On every exit the servers are stopped by pid and their folders removed; what a killed run has left
is removed by the next one. COMMAND finds QIAO_PG_<n>_URL, _PORT, _PASSWORD, _PID, _DATA and _BIN
(n from 1) and PGPASSFILE in its environment; no URL holds a password.
"""

import argparse
import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import process  # noqa: E402

PREFIX = "qiao-pg-"
START_SECONDS = 60
DEFAULT_CONF = {
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    # Mapped files lie in the data folder and go with it, also after a kill -9.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "'%m [%p] '",
    "timezone": "UTC",
}


class ServerError(Exception):
    pass


def find_bin(version=None):
    """The folder with `postgres` of a major version; the newest one installed without it."""
    root = Path("/usr/lib/postgresql")
    found = sorted((int(p.parent.parent.name) for p in root.glob("[0-9]*/bin/postgres")))
    if version is not None:
        found = [v for v in found if v == int(version)]
    if not found:
        raise ServerError("no PostgreSQL server is installed; run: ./dev setup test")
    return root / str(found[-1]) / "bin"


def temporary_root():
    """A folder whose path is short (a socket's path ends at 107 bytes) and open to `postgres`."""
    chosen = tempfile.gettempdir()
    return Path(chosen if len(chosen) <= 40 and os.geteuid() != 0 else "/tmp")


def free_port(hosts):
    """A port that is free on all hosts at this moment."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            port = 0
            try:
                for host in hosts:
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    sock.bind((host, port))
                    port = sock.getsockname()[1]
                return port
            except OSError:
                continue
    raise ServerError(f"no free port on {hosts}")


def loopback_hosts():
    """127.0.0.1, and ::1 where the machine has it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
        return ("127.0.0.1", "::1")
    except OSError:
        return ("127.0.0.1",)


class Postgres:
    """One cluster. Made by Servers.postgres(); already running when you get it."""

    def __init__(self, folder, bin_dir, conf, hosts, netns, record):
        self.folder = folder
        self.data = folder / "data"
        self.bin = Path(bin_dir)
        self.password = secrets.token_hex(16)
        self.hosts = hosts
        self.port = None
        self._conf = {**DEFAULT_CONF, **conf}
        self._netns = netns
        self._record = record
        self._process = None
        self._identity = None

    # -- what tests use --

    @property
    def pid(self):
        return self._identity["pid"] if self._identity else None

    def url(self, database="postgres", user="postgres"):
        """Without a password: libpq takes it from PGPASSFILE."""
        host = f"[{self.hosts[0]}]" if ":" in self.hosts[0] else self.hosts[0]
        return f"postgresql://{user}@{host}:{self.port}/{database}"

    def psql(self, sql, database="postgres", user="postgres", check=True):
        """Runs SQL through the server's socket; returns the rows as `a|b` lines."""
        done = subprocess.run(
            [self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
             "-p", str(self.port), "-U", user, "-d", database],
            input=sql, text=True, capture_output=True, env=self.client_environment(),
        )
        if check and done.returncode != 0:
            raise ServerError(f"psql: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def client_environment(self):
        return {**os.environ, "PGPASSFILE": str(self.folder.parent / "pgpass"),
                "PGCONNECT_TIMEOUT": "10"}

    def start(self):
        """Starts it, and waits until it takes connections. A used port stays the same."""
        for _ in range(5):
            first = self.port is None
            if first:
                self.port = free_port(self.hosts)
            self._spawn()
            if self._wait_ready():
                self._record()
                return
            log = self.log_tail()
            if not (first and "could not bind" in log):
                break
            self.port = None
        raise ServerError(f"PostgreSQL did not start in {self.data}:\n{log}")

    def stop(self, number=signal.SIGINT):
        """Fast shutdown: open sessions are ended, the log is flushed."""
        if self._identity is None:
            return
        process.end(self._identity, (number, signal.SIGQUIT, signal.SIGKILL))
        self._reap()

    def restart(self):
        self.stop()
        self.start()

    def kill9(self):
        """Kills the postmaster and all its children at once, as a crash of the machine would."""
        if self._identity is None:
            return
        os.kill(self.pid, signal.SIGSTOP)
        everyone = [process.identity(pid) for pid in process.children(self.pid)]
        everyone.append(self._identity)
        for who in reversed(everyone):
            if process.is_alive(who):
                os.kill(who["pid"], signal.SIGKILL)
        self._process.wait()
        if not process.wait_until(lambda: not any(map(process.is_alive, everyone)), 30):
            raise ServerError("a server process outlived SIGKILL")
        self._reap()

    def log_tail(self, lines=20):
        log = self.folder / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    # -- inside --

    def identity(self):
        return self._identity

    def initialise(self):
        pwfile = self.folder / "pw"
        pwfile.write_text(self.password + "\n")
        self._give(self.folder)
        self._give(pwfile, 0o600)
        done = subprocess.run(
            [*as_server_user(), self.bin / "initdb", "-D", self.data, "-U", "postgres",
             "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync",
             f"--pwfile={pwfile}"],
            cwd=self.folder, text=True, capture_output=True,
        )
        pwfile.unlink()
        if done.returncode != 0:
            raise ServerError(f"initdb failed: {done.stderr.strip()}")
        with open(self.data / "postgresql.conf", "a") as conf:
            for name, value in self._conf.items():
                conf.write(f"{name} = {quoted(value)}\n")
        if set(self.hosts) - set(loopback_hosts()):
            with open(self.data / "pg_hba.conf", "a") as hba:
                for database in ("all", "replication"):
                    hba.write(f"host {database} all samenet scram-sha-256\n")

    def remove_shared_memory(self):
        """After a kill -9 the kernel keeps a small segment, named in postmaster.pid."""
        try:
            line = (self.data / "postmaster.pid").read_text().splitlines()[6]
        except (OSError, IndexError):
            return
        subprocess.run([*as_server_user(), "ipcrm", "-m", line.split()[1]],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _spawn(self):
        with open(self.folder / "log", "a") as log:
            self._process = subprocess.Popen(
                [*as_server_user(self._netns), self.bin / "postgres", "-D", self.data,
                 "-p", str(self.port), "-k", self.folder,
                 "-c", f"listen_addresses={','.join(self.hosts)}"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # Ctrl-C is for us; the server is stopped by us, in order.
                start_new_session=True,
            )
        self._identity = process.identity(self._process.pid)
        self._record()

    def _wait_ready(self):
        def settled():
            return self._process.poll() is not None or self._says_ready()

        process.wait_until(settled, START_SECONDS)
        if self._process.poll() is None and self._says_ready():
            return True
        self.stop()
        return False

    def _says_ready(self):
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self.pid)

    def _reap(self):
        if self._process is not None:
            self._process.wait()
        self._process = None
        self._identity = None
        self._record()

    def _give(self, path, mode=0o700):
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(path, user.pw_uid, user.pw_gid)
        os.chmod(path, mode)


def quoted(value):
    """A configuration value as the file wants it; values already quoted stay as they are."""
    text = str(value)
    return text if text.startswith("'") else "'" + text.replace("'", "''") + "'"


class Servers:
    """A set of servers that lives as long as the `with` block."""

    def __init__(self, fsync=True):
        self._fsync = fsync
        self._kept = False
        self._servers = []
        self.folder = None

    def __enter__(self):
        remove_leftovers()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=temporary_root()))
        self._write_state()
        # `postgres` may pass through to its own folder, and see nothing of ours.
        self.folder.chmod(0o711)
        self._old_handlers = catch_signals()
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave servers behind.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        try:
            if not self._kept:
                self.stop_all()
        finally:
            restore_signals(self._old_handlers)
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def postgres(self, conf=None, bin_dir=None, version=None, hosts=None, netns=None):
        """Makes and starts a cluster. `netns` names a network namespace (see netns.py)."""
        folder = self.folder / f"p{len(self._servers) + 1}"
        folder.mkdir()
        settings = {"fsync": "on" if self._fsync else "off", **(conf or {})}
        server = Postgres(folder, bin_dir or find_bin(version), settings,
                          tuple(hosts or loopback_hosts()), netns, self._write_state)
        self._servers.append(server)
        server.initialise()
        server.start()
        self.write_pgpass()
        return server

    def environment(self):
        """What a child process needs to find the servers."""
        values = {"PGPASSFILE": str(self.folder / "pgpass")}
        for number, server in enumerate(self._servers):
            values.update({
                f"QIAO_PG_{number}_URL": server.url(),
                f"QIAO_PG_{number}_PORT": str(server.port),
                f"QIAO_PG_{number}_PASSWORD": server.password,
                f"QIAO_PG_{number}_PID": str(server.pid),
                f"QIAO_PG_{number}_DATA": str(server.data),
                f"QIAO_PG_{number}_BIN": str(server.bin),
            })
        return values

    def stop_all(self):
        failed = []
        for server in reversed(self._servers):
            try:
                server.stop()
                server.remove_shared_memory()
            except (RuntimeError, OSError) as error:
                failed.append(str(error))
        if failed:
            raise ServerError("; ".join(failed))
        shutil.rmtree(self.folder, ignore_errors=True)

    def leave_running(self):
        """The servers outlive this program; `tools/servers.py clean --kept` ends them."""
        self._kept = True
        self._write_state()

    def write_pgpass(self):
        path = self.folder / "pgpass"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            for server in self._servers:
                file.write(f"*:{server.port}:*:postgres:{server.password}\n")

    def _write_state(self):
        state = {
            "owner": process.identity(os.getpid()),
            "kept": self._kept,
            "servers": [
                {"process": s.identity(), "data": str(s.data)} for s in self._servers
            ],
        }
        # Of its own: servers are started and ended by several threads.
        new = self.folder / f"run.json.{threading.get_ident()}"
        new.write_text(json.dumps(state))
        new.rename(self.folder / "run.json")


def as_server_user(netns=None):
    """The words before a server's command; each replaces itself, so that the pid stays."""
    words = []
    if netns is not None:
        words += ["ip", "netns", "exec", netns]
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise ServerError("there is no user postgres; run: ./dev setup test") from None
        words += ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
    elif netns is not None:
        raise ServerError("a server in a network namespace needs root")
    return words


def remove_leftovers(kept=False):
    """Ends and removes what earlier runs of this user left when they were killed.

    @param kept  also what leave_running() left on purpose.
    """
    for folder in temporary_root().glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.geteuid():
                remove_leftover(folder, kept)


def remove_leftover(folder, kept=False):
    try:
        state = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        # Another run may be about to write its state: leave a young folder alone.
        if time.time() - folder.stat().st_mtime > 600:
            shutil.rmtree(folder, ignore_errors=True)
        return
    if process.is_alive(state["owner"]) or (state["kept"] and not kept):
        return
    for server in state["servers"]:
        if server["process"]:
            process.end(server["process"])
    shutil.rmtree(folder, ignore_errors=True)


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def catch_signals():
    """Turns the signals that end a program into SystemExit, so that `with` blocks are left."""
    def leave(number, _):
        raise SystemExit(128 + number)

    try:
        return {number: signal.signal(number, leave) for number in ENDING_SIGNALS}
    except ValueError:  # not the main thread: its owner sees to the signals
        return {}


def restore_signals(handlers):
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_command(command, environment):
    """Runs a child to its end; when we are told to end, it is told first."""
    child = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    return 128 - code if code < 0 else code


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start servers, run a command, stop them")
    run.add_argument("--postgres", type=int, default=1, metavar="N")
    run.add_argument("--pg-bin", action="append", default=[], metavar="DIR",
                     help="folder with postgres; several are dealt out in turn")
    run.add_argument("--conf", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--no-fsync", action="store_true")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND…")
    clean = commands.add_parser("clean", help="remove what killed runs have left")
    clean.add_argument("--kept", action="store_true", help="also what was left on purpose")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    if options.command == "clean":
        remove_leftovers(options.kept)
        return 0
    command = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not command:
        raise ServerError("run wants a command after --")
    conf = dict(setting.split("=", 1) for setting in options.conf)
    with Servers(fsync=not options.no_fsync) as servers:
        for number in range(options.postgres):
            bins = options.pg_bin
            servers.postgres(conf=conf, bin_dir=bins[number % len(bins)] if bins else None)
        return run_command(command, servers.environment())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ServerError as failure:
        sys.exit(f"servers: {failure}")
