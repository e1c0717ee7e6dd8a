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
import re
import shlex
import signal
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
import planted  # noqa: E402
import process  # noqa: E402
import servers  # noqa: E402
from report import Report  # noqa: E402
from writers import Application  # noqa: E402

SEED = 20260101
FLOW = "population"
TABLES = ["division.*", "register.*"]
NAMES = [f"division.{level}" for level, _ in data.LEVELS] + ["register.person"]
# A person whose ID number is looked for in every file afterwards.
PLANTED_DIGITS = "51010719880312753"
PLANTED = PLANTED_DIGITS + data.check_digit(PLANTED_DIGITS)
KEPT = "kept.json"
CONF = {"shared_buffers": "256MB", "max_wal_size": "2GB", "checkpoint_timeout": "15min"}
# For a machine that is very busy; nothing is judged by time.
WAIT_SECONDS = 420
DOWN_SECONDS = 2


class DemoError(Exception):
    pass


# What is told in words; anything else is a mistake of this program.
FAILURES = (DemoError, data.DataError, agents.AgentError, servers.ServerError, psycopg2.Error,
            RuntimeError, OSError)


class Demo:
    """One run. The steps are called in their order."""

    def __init__(self, options, group):
        self.options = options
        self.group = group
        self.qiao = os.environ.get("QIAO_BIN", str(ROOT / "build/release/qiao"))
        self.report = Report()
        self.left = self.right = None

    def run(self):
        self.start_servers()
        self.make_data()
        self.make_agents()
        self.first_load()
        self.follow()
        self.verify()
        self.compare()
        counted = self.count()
        self.look_for_secrets()
        print(f"\n{self.report.steps()}\n\n{self.report.counts(counted)}\n")
        self.sizes()
        self.report.show("两端完全一致", "both ends are equal")

    # -- steps --

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
        self.report.say(f"获取行政区划全表(npm 包 {data.PACKAGE})",
                        f"fetch the divisions of China (npm package {data.PACKAGE})")
        data.division_database()
        self.report.say("填充源库", "fill the source")
        began = time.monotonic()
        with contextlib.closing(psycopg2.connect(self.source_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(data.SCHEMA)
                counts = data.load_divisions(connection)
                self.areas = data.load_persons(connection, self.options.persons, SEED)
                cursor.execute(data.CONSTRAINTS)
                self.plant(cursor)
                cursor.execute("analyze")
        self.rows = sum(counts.values()) + self.options.persons + 1
        self.report.add("填充源库", "fill the source", self.rows, time.monotonic() - began)
        self.report.say(
            f"源库就绪:行政区划 {sum(counts.values()):,} 行(其中村级 {counts['village']:,}),"
            f"人口 {self.options.persons:,} 行",
            f"the source has {sum(counts.values()):,} divisions ({counts['village']:,} villages) "
            f"and {self.options.persons:,} persons")

    def plant(self, cursor):
        cursor.execute(
            "insert into register.person (id_number, name, sex, birth_date, area, attributes)"
            " values (%s, '植入', '男', '1988-03-12', '510107', %s)",
            (PLANTED, json.dumps({"证件": PLANTED}, ensure_ascii=False)))

    def make_agents(self):
        port = servers.free_port(["127.0.0.1"])
        self.left, self.right = agents.make_pair(
            self.qiao, self.group.folder / "agents", FLOW, self.source_url, self.target_url,
            tables=TABLES, suite=self.options.suite, port=port)

    def first_load(self):
        self.report.say("启动两个代理(TLS 1.3,双向证书),首次装载",
                        "start two agents (TLS 1.3, both certificates), first load")
        began = time.monotonic()
        self.right.start()
        self.left.start()
        self.wait(lambda: self.left.flow(FLOW).get("state") == "following", "the first load")
        self.report.add("首次装载,含建表、索引、外键", "first load, with indexes and foreign keys",
                        self.rows, time.monotonic() - began)

    def follow(self):
        seconds = self.options.seconds
        self.report.say(f"混合写入 {seconds} 秒", f"a mixed write load for {seconds} s")
        application = Application(self.source_url, self.areas, self.options.persons, SEED)
        began = time.monotonic()
        application.start()
        time.sleep(seconds / 2)
        # Through log and trail too, not only in the first load.
        self.source.psql("update register.person set phone = '13800000000' "
                         f"where id_number = '{PLANTED}'", "county")
        self.kill_one()
        time.sleep(max(0, seconds / 2 - DOWN_SECONDS))
        application.stop()
        wrote = time.monotonic() - began
        self.report.add("源库写入的变更", "changes written at the source",
                        application.changes, wrote)
        self.wait_for_last_row()
        self.report.say(f"{application.transactions:,} 个事务,{application.changes:,} 行变更已到达目标",
                        f"{application.transactions:,} transactions with {application.changes:,} "
                        "changed rows have reached the target")

    def kill_one(self):
        self.report.say(f"kill -9 目标端代理,{DOWN_SECONDS} 秒后重启",
                        f"kill -9 the target's agent, start it again after {DOWN_SECONDS} s")
        self.right.kill()
        time.sleep(DOWN_SECONDS)
        self.right.start()

    def wait_for_last_row(self):
        """The last row committed at the source is visible: so is all before it."""
        with contextlib.closing(psycopg2.connect(self.target_url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()

            def there():
                cursor.execute("select count(*) from division.province where code = '99'")
                return cursor.fetchone() == (1,)

            self.source.psql("insert into division.province values ('99', '终点')", "county")
            began = time.monotonic()
            self.wait(there, "the last row at the target")
        self.rows += 1
        self.report.add("最后一行提交后到达目标", "last commit until it is at the target", None,
                        time.monotonic() - began)

    def verify(self):
        """Field by field, by Qiao: each agent reads its own database only."""
        self.report.say("逐字段校验:qiao verify", "verify field by field: qiao verify")
        began = time.monotonic()
        self.differences_found()
        self.report.add("逐字段校验(qiao verify)", "verification by field (qiao verify)",
                        self.rows, time.monotonic() - began)
        self.find_and_repair()

    def find_and_repair(self):
        """A comparison that never finds anything proves nothing."""
        sql = "select min(code) from division.village where code > '510107'"
        code = self.target.psql(sql, "city")
        self.report.say(f"篡改目标端一个字段(村 {code}),再校验并修复",
                        f"falsify one field at the target (village {code}), verify, repair")
        self.target.psql("update division.village set name = name || '?' "
                         f"where code = '{code}'", "city")
        found = self.differences_found()
        if found != [("division.village", {"code": code}, ["name"])]:
            raise DemoError(f"qiao verify should find one falsified field, and found {found}")
        if self.differences_found("--repair"):
            raise DemoError("qiao verify --repair has not mended the falsified field")
        self.report.say("找到且仅找到该字段,已修复", "that field and no other was found, and mended")

    def differences_found(self, *more):
        """[(table, key, columns)]"""
        told = agents.run_qiao(self.qiao, "verify", "--flow", FLOW, "--socket", self.left.socket,
                               "--level", "field", "--json", *more, check=False)
        if told.returncode not in (0, 1):
            raise DemoError(f"qiao verify: {told.stdout}{told.stderr}")
        return [(table["target"], one.get("key"), one.get("columns", []))
                for table in json.loads(told.stdout)["tables"] for one in table["differences"]]

    def compare(self):
        """Nobody need believe Qiao."""
        self.report.say("独立比对(不使用 Qiao)", "compare without any part of Qiao")
        began = time.monotonic()
        told = comparison.differences(self.source_url, self.target_url)
        if told:
            raise DemoError("the databases differ:\n" + "\n".join(told))
        self.report.add("独立逐字段比对", "independent comparison by field", self.rows,
                        time.monotonic() - began)

    def count(self):
        """[(table, rows at the source, rows at the target)]"""
        sql = " union all ".join(
            f"select {number}, count(*) from {name}" for number, name in enumerate(NAMES))
        found = []
        for server, database in ((self.source, "county"), (self.target, "city")):
            told = server.psql(sql + " order by 1", database)
            found.append([int(line.split("|")[1]) for line in told.splitlines()])
        if found[0] != found[1]:
            raise DemoError(f"the counts differ: {found}")
        return list(zip(NAMES, *found))

    def look_for_secrets(self):
        """The planted ID number and the servers' passwords, in all that the agents have."""
        self.report.say("在代理的全部文件中查找植入的证件号和口令",
                        "look for the planted ID number and the passwords in the agents' files")
        secrets = {"the ID number": PLANTED, "a password": self.source.password,
                   "the other password": self.target.password}
        told, files, size = planted.leaks(
            secrets, [self.group.folder / "agents"], [self.left.pid, self.right.pid])
        if told:
            raise DemoError("a secret is readable:\n" + "\n".join(told))
        self.report.say(f"{files} 个文件,{size / 1e6:.1f} MB,未发现",
                        f"{files} files, {size / 1e6:.1f} MB: in none of them")

    def sizes(self):
        for chinese, english, agent in (("源端", "source", self.left),
                                        ("目标端", "target", self.right)):
            status = agent.status()
            if status:
                memory, trail = status["resident_bytes"] / 1e6, status["trail"]["disk_bytes"] / 1e6
                self.report.show(f"{chinese}代理:内存 {memory:.0f} MB,队列缓存 {trail:.1f} MB",
                                 f"{english} agent: memory {memory:.0f} MB, trail {trail:.1f} MB")

    # -- waiting --

    def wait(self, condition, what):
        """Until the condition holds; fails early when nothing will come any more."""
        deadline = time.monotonic() + WAIT_SECONDS
        looked = 0
        while not condition():
            now = time.monotonic()
            if now > deadline:
                raise DemoError(f"waited {WAIT_SECONDS} s for this: {what}")
            if now - looked > 2:
                self.check_agents()
                looked = now
            time.sleep(0.1)

    def check_agents(self):
        for agent in (self.left, self.right):
            if not agent.running():
                raise DemoError(f"agent {agent.name} ended by itself")
            flow = agent.flow(FLOW)
            if flow.get("needs_operator"):
                raise DemoError(f"the flow stopped: {flow['last_error']}")

    # -- ends --

    def end(self):
        """Slot and publications go with the clusters."""
        for agent in (self.left, self.right):
            if agent is not None:
                agent.kill()

    def keep(self):
        """Up to here the agents die with this program; from here they live on."""
        for agent in (self.left, self.right):
            agent.end()
            agent.start(outlive=True)
        record = [agent.identity() for agent in (self.left, self.right)]
        (self.group.folder / KEPT).write_text(json.dumps(record))
        self.group.leave_running()
        qiao = shlex.quote(self.qiao)
        self.report.show("\n仍在运行:", "\nstill running:")
        print(f"""    export PGPASSFILE={os.environ['PGPASSFILE']}
    {qiao} status --socket {self.left.socket}
    {qiao} status --socket {self.right.socket}
    psql {self.source_url}
    psql {self.target_url}""")
        self.report.show("停止并删除:", "stop and remove it:")
        print("    ./dev demo --stop")


def stop_kept():
    """Ends the agents and servers of runs with --keep."""
    for record in servers.temporary_root().glob(f"{servers.PREFIX}*/{KEPT}"):
        if record.stat().st_uid == os.geteuid():
            for who in json.loads(record.read_text()):
                process.end(who, (signal.SIGTERM, signal.SIGKILL))
    servers.remove_leftovers(kept=True)


def print_minutes(report, spent, run_seconds):
    """@param spent  'install build', in seconds, as ./dev measured them."""
    install, build = (float(seconds) for seconds in spent.split())
    each = [seconds / 60 for seconds in (install, build, run_seconds)]
    report.show("分钟:安装 {:.1f},构建 {:.1f},运行 {:.1f},合计 {:.1f}".format(*each, sum(each)),
                "minutes: install {:.1f}, build {:.1f}, run {:.1f}, total {:.1f}".format(
                    *each, sum(each)))


def parse(words):
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--stop", action="store_true", help="end what --keep left")
    parser.add_argument("--seconds", type=int, default=10, help="of the write load")
    parser.add_argument("--persons", type=int, default=200_000)
    parser.add_argument("--suite", choices=("gm", "intl"), default="gm")
    return parser.parse_args(words)


def show(options, group):
    demo = Demo(options, group)
    try:
        demo.run()
        if options.keep:
            demo.keep()
        else:
            demo.end()
    except BaseException as failure:
        # A second Ctrl-C must not leave agents behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, servers.ENDING_SIGNALS)
        demo.end()
        if not isinstance(failure, FAILURES):
            raise
        print(f"demo: {failure}", file=sys.stderr)
        for agent in filter(None, (demo.left, demo.right)):
            print(agent.tail(), file=sys.stderr)
        return 1
    return 0


def main(words):
    options = parse(words)
    if options.stop:
        stop_kept()
        return 0
    began = time.monotonic()
    with servers.Servers() as group:
        outcome = show(options, group)
    if "QIAO_SPENT" in os.environ:
        print_minutes(Report(), os.environ["QIAO_SPENT"], time.monotonic() - began)
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
