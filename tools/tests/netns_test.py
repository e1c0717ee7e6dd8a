"""Tests of tools/netns.py; skipped where namespaces are not permitted."""

import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import netns  # noqa: E402

LISTEN = """
import socket
s = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    s.accept()[0].close()
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 7000), timeout=2)"
PYTHON = "/usr/bin/python3"


def permitted():
    try:
        netns.check_permission()
        return True
    except netns.NetnsUnavailable:
        return False


@unittest.skipUnless(permitted(), "network namespaces are not permitted here")
class NetworkTest(unittest.TestCase):
    def reaches(self, host, address):
        done = host.run([PYTHON, "-c", CONNECT, address], stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def test_hosts_reach_each_other_until_the_cable_is_cut(self):
        with netns.Network(["left", "right"]) as net:
            server = net["right"].popen([PYTHON, "-c", LISTEN], stdout=subprocess.PIPE, text=True)
            self.assertEqual(server.stdout.readline(), "ready\n")
            self.assertTrue(self.reaches(net["left"], net["right"].ip4))
            self.assertTrue(self.reaches(net["left"], net["right"].ip6))
            self.assertFalse(self.reaches(net["left"], "127.0.0.1"))
            net.cut("right")
            self.assertFalse(self.reaches(net["left"], net["right"].ip4))
            net.mend("right")
            self.assertTrue(self.reaches(net["left"], net["right"].ip4))
        server.wait(10)  # leaving the network ends what ran inside
        server.stdout.close()
        self.assertEqual([n for n in netns.listed() if n.startswith("qiao-")], [])

    def test_next_run_removes_what_a_killed_one_left(self):
        code = (
            f"import sys, time; sys.path.insert(0, {str(Path(netns.__file__).parent)!r})\n"
            "import netns\n"
            "with netns.Network(['a']) as net:\n"
            "    print(net['a'].netns, flush=True); time.sleep(100)\n"
        )
        owner = subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
        name = owner.stdout.readline().strip()
        owner.kill()
        owner.wait()
        owner.stdout.close()
        self.assertIn(name, netns.listed())
        time.sleep(0.05)
        netns.remove_leftovers()
        self.assertNotIn(name, netns.listed())


if __name__ == "__main__":
    unittest.main()
