"""Two agents for the demo, the tests and the benches: their keys, files, processes and status.

A configuration is written as JSON, which is YAML.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import process  # noqa: E402

PR_SET_PDEATHSIG = 1


class AgentError(Exception):
    pass


def die_with_parent():
    """In a child: when its starter is killed, it is too."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_qiao(qiao, *words, check=True):
    done = subprocess.run([qiao, *map(str, words)], text=True, capture_output=True)
    if check and done.returncode != 0:
        raise AgentError(f"qiao {words[0]}: {done.stderr.strip()}")
    return done


def make_keys(qiao, folder, hosts, suite="gm"):
    """A CA, a certificate and a pair of wrapping keys for each node of {name: address}."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run_qiao(qiao, "key", "ca", "ca", "--out", folder)
    for name, host in hosts.items():
        run_qiao(qiao, "key", "node", name, "--ca", folder / "ca", "--host", host,
                 "--out", folder)
        run_qiao(qiao, "key", "wrap", name, "--suite", suite, "--out", folder)


class Agent:
    """One node: its folder, configuration file, log and process."""

    def __init__(self, qiao, name, folder, keys, config, wrap=None):
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(mode=0o700, parents=True)
        self.log = self.folder / "log"
        self.config = self.folder / "agent.yaml"
        # A socket's path ends at 107 bytes.
        self.socket = folder / f"{name}.sock"
        self._qiao = qiao
        # Words before the command, for a network namespace.
        self._wrap = wrap or (lambda words: words)
        self._process = None
        text = json.dumps({
            "node": name,
            "state": str(self.folder / "state"),
            "tls": {"certificate": str(keys / f"{name}.crt"), "key": str(keys / f"{name}.key"),
                    "ca": str(keys / "ca.crt")},
            "wrapping_key": str(keys / f"{name}-wrap.key"),
            "status": {"socket": str(self.socket)},
            **config,
        }, indent=2)
        self.config.write_text(text + "\n")

    @property
    def pid(self):
        return self._process.pid if self._process else None

    def identity(self):
        return process.identity(self.pid)

    def start(self, environment=None, outlive=False):
        """@param outlive  it goes on when this program is gone."""
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self._wrap([str(self._qiao), "agent", "--config", str(self.config)]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True, preexec_fn=None if outlive else die_with_parent)

    def running(self):
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self, seconds=30):
        """In order; says how it ended."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AgentError(f"agent {self.name} does not end\n{self.tail()}") from None

    def status(self):
        """What `qiao status --json` says; None while nobody answers."""
        done = run_qiao(self._qiao, "status", "--socket", self.socket, "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def flow(self, name):
        """One flow's part of the status; {} while there is none."""
        status = self.status() or {}
        return next((f for f in status.get("flows", ()) if f["name"] == name), {})

    def tail(self, lines=15):
        if not self.log.exists():
            return ""
        text = self.log.read_text(errors="replace").splitlines()
        return f"agent {self.name}:\n" + "\n".join(text[-lines:])


def endpoint(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def make_pair(qiao, folder, flow, source_url, target_url, *, tables, suite="gm", port, dialled=None,
              hosts=("127.0.0.1", "127.0.0.1"), wraps=(None, None), names=("county", "city"),
              create=True, load="link", heartbeat="1s", custody="hop", at_source=None,
              at_target=None, more=None):
    """The agents of one flow, the target listening; not yet started.

    @param dialled  the port that the source dials, where something stands between; None: `port`
    @param at_source  more settings of the source's flow, like `select`
    @param at_target  whether the target lets its source create; None: as the source wants it
    @param more  parts of both configurations, like `trail`
    """
    source, target = names
    keys = folder / "keys"
    make_keys(qiao, keys, dict(zip(names, hosts)), suite)
    left = Agent(qiao, source, folder, keys, {
        "peers": [{"name": target, "address": endpoint(hosts[1], dialled or port)}],
        "flows": [{"name": flow, "role": "source", "peer": target, "database": source_url,
                   "tables": tables, "create": create, "load": load, "suite": suite,
                   "custody": custody,
                   "receiver_key": str(keys / f"{target}-wrap.pub"), "heartbeat": heartbeat,
                   **(at_source or {})}],
        **(more or {}),
    }, wraps[0])
    right = Agent(qiao, target, folder, keys, {
        "listen": endpoint(hosts[1], port),
        "flows": [{"name": flow, "role": "target", "peer": source, "database": target_url,
                   "create": create if at_target is None else at_target}],
        **(more or {}),
    }, wraps[1])
    return left, right
