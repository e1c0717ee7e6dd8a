"""Tests of tools/servers.py against a real PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOOLS))
import process  # noqa: E402
import servers  # noqa: E402
from servers import Servers  # noqa: E402

SHOW = "echo $QIAO_PG_0_PID $QIAO_PG_0_DATA; exec sleep 100"


def start_run():
    """servers.py run as a process of its own; returns it, the server's pid and its folder."""
    run = subprocess.Popen(
        [sys.executable, TOOLS / "servers.py", "run", "--no-fsync", "--", "sh", "-c", SHOW],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )
    pid, data = run.stdout.readline().split()
    return run, process.identity(int(pid)), Path(data).parent.parent


def has_server():
    try:
        servers.find_bin()
        return True
    except servers.ServerError:
        return False


@unittest.skipUnless(has_server(), "PostgreSQL is not installed")
class ServersTest(unittest.TestCase):
    def test_server_survives_kill9_and_leaves_nothing(self):
        with Servers() as group:
            server = group.postgres(conf={"work_mem": "7MB"})
            folder = group.folder
            server.psql("create table t(a int); insert into t values (1)")
            server.kill9()
            server.start()
            self.assertEqual(server.psql("select a, current_setting('work_mem') from t"), "1|7MB")
            self.assertEqual(server.psql("show wal_level"), "logical")
            who = server.identity()
            server.kill9()
        self.assertFalse(process.is_alive(who))
        self.assertFalse(folder.exists())

    def test_signals_stop_the_servers(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            run, server, folder = start_run()
            run.send_signal(number)
            self.assertEqual(run.wait(30), 128 + number)
            run.stdout.close()
            self.assertFalse(process.is_alive(server))
            self.assertFalse(folder.exists())

    def test_next_run_removes_what_a_killed_one_left(self):
        run, server, folder = start_run()
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        run.stdout.close()
        self.assertTrue(process.is_alive(server))
        servers.remove_leftovers()
        self.assertFalse(process.is_alive(server))
        self.assertFalse(folder.exists())

    def test_reused_pid_is_never_killed(self):
        bystander = subprocess.Popen(["sleep", "100"])
        folder = servers.temporary_root() / (servers.PREFIX + "reused-pid-test")
        folder.mkdir()
        try:
            gone = {"pid": bystander.pid, "start": 1}
            state = {"owner": gone, "kept": False,
                     "servers": [{"process": gone, "data": "x"}]}
            (folder / "run.json").write_text(json.dumps(state))
            servers.remove_leftovers()
            self.assertIsNone(bystander.poll())
            self.assertFalse(folder.exists())
        finally:
            bystander.kill()
            bystander.wait()


if __name__ == "__main__":
    unittest.main()
