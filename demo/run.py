#!/usr/bin/env python3
"""Carries real data from one PostgreSQL to another through two agents, and proves it.

    demo/run.py [--keep] [--seconds N] [--persons N] [--suite gm|intl]
    demo/run.py --stop      ends what --keep has left running

QIAO_BIN names the program; default: build/release/qiao.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for part in ("tools", "demo", "tests/system"):
    sys.path.insert(0, str(ROOT / part))
import psycopg2  # noqa: E402

import agents  # noqa: E402
import comparison  # noqa: E402
import data  # noqa: E402
import process  # noqa: E402
import servers  # noqa: E402
from report import Report  # noqa: E402
from writers import Application  # noqa: E402

SEED = 20260101
FLOW = "population"
TABLES = ["division.*", "register.*"]
KEPT = "kept.json"
CONF = {"shared_buffers": "256MB", "max_wal_size": "2GB", "checkpoint_timeout": "15min"}
# For a machine that is very busy; nothing is judged by time.
WAIT_SECONDS = 420


class DemoError(Exception):
    pass


def wait_until(condition, what):
    if not process.wait_until(condition, WAIT_SECONDS):
        raise DemoError(f"waited {WAIT_SECONDS} s for this: {what}")


class Demo:
    """One run. The steps are called in their order."""

    def __init__(self, options, group):
        self.options = options
        self.group = group
        self.qiao = os.environ.get("QIAO_BIN", str(ROOT / "build/release/qiao"))
        self.report = Report()
        self.left = self.right = None

    def start_servers(self):
        self.report.say("启动两个 PostgreSQL", "start two PostgreSQL clusters")
        self.source = self.group.postgres(CONF)
        self.target = self.group.postgres(CONF)
        os.environ["PGPASSFILE"] = self.group.environment()["PGPASSFILE"]
        self.source.psql("create database county")
        self.target.psql("create database city")
        self.source_url = self.source.url("county")
        self.target_url = self.target.url("city")

    def make_data(self):
        self.report.say("取行政区划全表", f"fetch the divisions of China ({data.PACKAGE})")
        data.division_database()
        began = time.monotonic()
        with contextlib.closing(psycopg2.connect(self.source_url)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(data.SCHEMA)
            counts = data.load_divisions(connection)
            data.load_persons(connection, self.options.persons, SEED)
            with connection.cursor() as cursor:
                cursor.execute("select code from division.area where length(code) = 6")
                self.areas = [row[0] for row in cursor]
            connection.rollback()
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("analyze")
        rows = sum(counts.values()) + self.options.persons
        self.report.add("源库造数", "fill the source", rows, time.monotonic() - began)
        detail = ", ".join(f"{level} {count:,}" for level, count in counts.items())
        self.report.say("源库就绪", f"the source has {detail}, person {self.options.persons:,}")
        self.rows = rows

    def make_agents(self):
        port = servers.free_port(["127.0.0.1"])
        self.left, self.right = agents.make_pair(
            self.qiao, self.group.folder / "agents", FLOW, self.source_url, self.target_url,
            tables=TABLES, suite=self.options.suite, port=port)

    def first_load(self):
        self.report.say("启动两个代理,首次装载", "start two agents over TLS 1.3, first load")
        began = time.monotonic()
        for agent in (self.right, self.left):
            agent.start(outlive=self.options.keep)
        wait_until(self.follows, "the first load")
        self.report.add("首次装载(含建表建索引)", "first load, keys and indexes",
                        self.rows, time.monotonic() - began)

    def follows(self):
        self.check_agents()
        flow = self.left.flow(FLOW)
        if flow.get("needs_operator"):
            raise DemoError(f"the flow stopped: {flow['last_error']}")
        return flow.get("state") == "following"

    def check_agents(self):
        for agent in (self.left, self.right):
            if not agent.running():
                raise DemoError(f"an agent ended by itself\n{agent.tail()}")

    def follow(self):
        seconds = self.options.seconds
        self.report.say(f"混合写入 {seconds} 秒", f"a mixed write load for {seconds} s")
        application = Application(self.source_url, self.areas, SEED)
        began = time.monotonic()
        application.start()
        time.sleep(seconds / 2)
        self.kill_one()
        time.sleep(seconds / 2)
        application.stop()
        self.wait_for_marker()
        took = time.monotonic() - began
        self.report.add("跟随变更(至目标可见)", "changes, until visible at the target",
                        application.changes, took)
        self.report.add("其中事务", "in transactions", application.transactions, None)

    def kill_one(self):
        self.report.say("kill -9 目标端代理并重启", "kill -9 the target's agent, start it again")
        self.right.kill()
        self.right.start(outlive=self.options.keep)

    def wait_for_marker(self):
        """The last row committed at the source is visible: so is all before it."""
        self.source.psql("insert into division.province values ('99', '终点')", "county")
        sql = "select count(*) from division.province where code = '99'"

        def there():
            self.check_agents()
            return self.target.psql(sql, "city") == "1"

        wait_until(there, "the last row at the target")

    def verify(self):
        """Field by field: by Qiao where it can, and in any case by a comparison without it."""
        began = time.monotonic()
        if "verify" in subprocess.run([self.qiao, "--help"], text=True,
                                      capture_output=True).stdout:
            self.report.say("逐字段校验:qiao verify", "verify field by field: qiao verify")
            agents.run_qiao(self.qiao, "verify", "--from", self.source_url,
                            "--to", self.target_url, "--level", "field",
                            *(word for table in TABLES for word in ("--table", table)))
            self.report.add("逐字段校验(qiao verify)", "verification by field", self.rows,
                            time.monotonic() - began)
            began = time.monotonic()
        else:
            self.report.say("此版本尚无 qiao verify", "this build has no `qiao verify` yet")
        self.report.say("独立比对(不使用 Qiao)", "compare without any part of Qiao")
        told = comparison.differences(self.source_url, self.target_url)
        if told:
            raise DemoError("the databases differ:\n" + "\n".join(told))
        self.report.add("独立比对", "independent comparison", self.rows,
                        time.monotonic() - began)

    def sizes(self):
        for name, agent in (("源端 source", self.left), ("目标端 target", self.right)):
            status = agent.status()
            if status:
                memory = status["resident_bytes"] / 1e6
                trail = status["trail"]["disk_bytes"] / 1e6
                print(f"{name}: 内存 memory {memory:.0f} MB, 队列 trail {trail:.0f} MB")

    def run(self):
        self.start_servers()
        self.make_data()
        self.make_agents()
        self.first_load()
        self.follow()
        self.verify()
        print("\n" + self.report.table() + "\n")
        self.sizes()
        print("两端完全一致 · both ends are equal")

    # -- ends --

    def end(self):
        """In order: the source's slot and publications go with the cluster."""
        for agent in (self.left, self.right):
            if agent is not None:
                agent.kill()

    def keep(self):
        record = [agent.identity() for agent in (self.left, self.right)]
        (self.group.folder / KEPT).write_text(json.dumps(record))
        self.group.leave_running()
        print(f"""
仍在运行 · still running:
    export PGPASSFILE={os.environ['PGPASSFILE']}
    {self.qiao} status --socket {self.left.socket}
    {self.qiao} status --socket {self.right.socket}
    psql {self.source_url}
    psql {self.target_url}
停止 · stop:
    {sys.executable} {ROOT / 'demo/run.py'} --stop""")


def stop_kept():
    """Ends the agents and servers of runs with --keep."""
    for record in servers.temporary_root().glob(f"{servers.PREFIX}*/{KEPT}"):
        for who in json.loads(record.read_text()):
            process.end(who, (15, 9))
    servers.remove_leftovers(kept=True)


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--stop", action="store_true", help="end what --keep left")
    parser.add_argument("--seconds", type=int, default=10, help="of the write load")
    parser.add_argument("--persons", type=int, default=200_000)
    parser.add_argument("--suite", choices=("gm", "intl"), default="gm")
    return parser.parse_args(words)


def main(words):
    options = parse(words)
    if options.stop:
        stop_kept()
        return 0
    with servers.Servers() as group:
        demo = Demo(options, group)
        try:
            demo.run()
        except (DemoError, agents.AgentError, servers.ServerError, RuntimeError) as failure:
            print(f"demo: {failure}", file=sys.stderr)
            for agent in filter(None, (demo.left, demo.right)):
                print(agent.tail(), file=sys.stderr)
            demo.end()
            return 1
        except BaseException:
            demo.end()
            raise
        if options.keep:
            demo.keep()
        else:
            demo.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
