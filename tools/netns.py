#!/usr/bin/env python3
"""Network namespaces for tests: hosts that reach each other over one cable each, and nothing else.

    with Network(["left", "right"]) as net:
        net["left"].run(["ping", "-c1", net["right"].ip4])
        net.cut("left")     # pulls the cable; net.mend("left") puts it back

Each host is a namespace with its own loopback and one interface `eth0`; a bridge in a further
namespace joins them, so that the machine's own network is not touched. Needs root, or sudo without
a password; NetnsUnavailable says so where neither is there. Everything is removed on exit; what a
killed run has left is removed by the next one.
"""

import os
import pwd
import re
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import process  # noqa: E402

# qiao-<pid>-<start time>-<host>: the owner's identity is in the name.
NAME = re.compile(r"^qiao-(\d+)-(\d+)-(\w+)$")


class NetnsUnavailable(Exception):
    pass


def root_words():
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def ip(*words):
    done = subprocess.run([*root_words(), "ip", *words], text=True, capture_output=True)
    if done.returncode != 0:
        raise NetnsUnavailable(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    """One namespace of a Network."""

    def __init__(self, name, netns, number):
        self.name = name
        self.netns = netns
        self.ip4 = f"10.77.0.{number}"
        self.ip6 = f"fd77::{number}"

    def command(self, words, environment=()):
        """The words that run a command inside as the calling user."""
        inside = ["ip", "netns", "exec", self.netns]
        if os.geteuid() == 0:
            return [*inside, *words]
        user = pwd.getpwuid(os.geteuid())
        keep = [f"--preserve-env={','.join(environment)}"] if environment else []
        drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
        return ["sudo", "-n", *keep, *inside, *drop, "--", *words]

    def run(self, words, **options):
        """subprocess.run inside; `env` is carried in."""
        return subprocess.run(self.command(words, options.get("env") or ()), **options)

    def popen(self, words, **options):
        """subprocess.Popen inside. Its pid may be sudo's: kill by pid_of()."""
        return subprocess.Popen(self.command(words, options.get("env") or ()), **options)

    def pid_of(self, started):
        """The pid of the command itself, below a sudo that waits for it."""
        pid = started.pid
        while os.geteuid() != 0 and Path(f"/proc/{pid}/comm").read_text().strip() == "sudo":
            below = process.children(pid)
            if not below:
                break
            pid = below[0]
        return pid


class Network:
    """Hosts on one bridge; lives as long as the `with` block."""

    def __init__(self, names):
        self._names = list(names)
        self._prefix = "qiao-{pid}-{start}-".format(**process.identity(os.getpid()))
        self._hosts = {}

    def __enter__(self):
        check_permission()
        remove_leftovers()
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def __getitem__(self, name):
        return self._hosts[name]

    def cut(self, name):
        """Packets to and from the host vanish, as when a cable is pulled."""
        ip("-n", self._switch, "link", "set", self._port(name), "down")

    def mend(self, name):
        ip("-n", self._switch, "link", "set", self._port(name), "up")

    @property
    def _switch(self):
        return self._prefix + "switch"

    def _port(self, name):
        return f"port{self._names.index(name) + 1}"

    def _make(self):
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        for number, name in enumerate(self._names, 1):
            host = Host(name, self._prefix + name, number)
            self._hosts[name] = host
            self._add_host(host)

    def _add_host(self, host):
        switch, port = self._switch, self._port(host.name)
        ip("netns", "add", host.netns)
        ip("-n", switch, "link", "add", port, "type", "veth",
           "peer", "name", "eth0", "netns", host.netns)
        ip("-n", switch, "link", "set", port, "master", "bridge")
        ip("-n", switch, "link", "set", port, "up")
        ip("-n", host.netns, "link", "set", "lo", "up")
        ip("-n", host.netns, "address", "add", f"{host.ip4}/24", "dev", "eth0")
        # Without duplicate detection the address serves at once.
        ip("-n", host.netns, "address", "add", f"{host.ip6}/64", "dev", "eth0", "nodad")
        ip("-n", host.netns, "link", "set", "eth0", "up")

    def _remove(self):
        for netns in listed():
            if netns.startswith(self._prefix):
                remove(netns)


def check_permission():
    try:
        ip("netns", "list")
        probe = f"qiao-{os.getpid()}-{process.start_time(os.getpid())}-probe"
        ip("netns", "add", probe)
        ip("netns", "delete", probe)
    except (NetnsUnavailable, FileNotFoundError) as error:
        raise NetnsUnavailable(
            f"network namespaces need root (or sudo without a password) and iproute2: {error}"
        ) from None


def listed():
    return [line.split()[0] for line in ip("netns", "list").splitlines() if line]


def remove(netns):
    """Ends what still runs inside, then deletes the namespace."""
    for pid in ip("netns", "pids", netns).split():
        subprocess.run([*root_words(), "kill", f"-{int(signal.SIGKILL)}", pid], check=False,
                       stderr=subprocess.DEVNULL)
    ip("netns", "delete", netns)


def remove_leftovers():
    """Namespaces whose owner has ended; only ours, told by their name."""
    for netns in listed():
        match = NAME.match(netns)
        if match:
            owner = {"pid": int(match[1]), "start": int(match[2])}
            if not process.is_alive(owner):
                remove(netns)


def main(words):
    """netns.py clean"""
    if words != ["clean"]:
        return f"usage: {main.__doc__}"
    remove_leftovers()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
