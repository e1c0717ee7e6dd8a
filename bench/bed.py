"""What the benches share: two clusters, tables, two agents, clocks, and results with spread.

Both sides of a bench run in turn on the same two clusters in the same run; a ratio is the native
side's time by Qiao's of the run next to it. CPU is counted by process, so that what else runs on
the machine does not count; wall time has no such protection.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import psycopg2  # noqa: E402

import agents  # noqa: E402
import process  # noqa: E402
import servers  # noqa: E402

RESULTS = ROOT / "bench/results"
QIAO = os.environ.get("QIAO_BIN", str(ROOT / "build/release/qiao"))
CONF = {
    "fsync": "on", "full_page_writes": "on", "shared_buffers": "1GB", "max_wal_size": "4GB",
    "checkpoint_timeout": "30min", "maintenance_work_mem": "256MB", "wal_level": "logical",
    # Segments of the log are used again, as on a server that has run for a while.
    "min_wal_size": "4GB", "max_worker_processes": "16", "wal_retrieve_retry_interval": "100ms",
    "autovacuum": "off", "jit": "off",
}
DATABASE = "bench"
FLOW = "bench"
TICKS = os.sysconf("SC_CLK_TCK")
WAIT_SECONDS = 900

# 20 columns of mixed types, some 550 bytes a row.
WIDE = """
create table {name} (
    id bigint primary key, name varchar(40) not null, pinyin varchar(60),
    id_number char(18) not null, sex smallint, birth_date date, nation varchar(20),
    address varchar(200), phone varchar(20), email varchar(80), state integer,
    score numeric(12,2), ratio double precision, unit bigint, created timestamptz,
    changed timestamptz, active boolean, token uuid, remark text, attributes jsonb);
"""
# Every value follows from the id, so that both sides and all runs have the same rows.
FILL_WIDE = """
insert into {name}
select i,
       substr('王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗', 1 + h % 20, 1)
           || substr('伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平', 1 + h / 20 % 20, 1)
           || substr('建国文华志红玉春海燕子轩浩然梓涵宇欣怡雨', 1 + h / 400 % 20, 1),
       'xing ' || h % 97 || ' ming ' || h % 89,
       110000 + h % 540000 || to_char(date '1950-01-01' + h % 25000, 'YYYYMMDD')
           || lpad((h % 10000)::text, 4, '0'),
       1 + h % 2, date '1950-01-01' + h % 25000,
       (array['汉族', '回族', '满族', '壮族', '藏族', '苗族'])[1 + h % 6],
       '四川省成都市武侯区人民南路' || h % 999 || '号院' || h % 60 || '号楼' || h % 2800 || '室',
       '1' || lpad((h::bigint * 7 % 10000000000)::text, 10, '3'), 'user' || i || '@example.org',
       h % 8, (h % 100000000) / 100.0, (h % 1000003) / 997.0, h % 50000,
       timestamptz '2020-01-01 00:00+08' + h % 150000000 * interval '1 s',
       timestamptz '2024-01-01 00:00+08' + h % 50000000 * interval '1 s',
       h % 3 = 0, md5(i::text)::uuid,
       md5(h::text) || md5((h + 1)::text) || md5((h + 2)::text) || md5((h + 3)::text)
           || md5((h + 4)::text) || md5((h + 5)::text),
       jsonb_build_object('k', h % 1000, 'level', (array['甲', '乙', '丙'])[1 + h % 3],
                          'tags', jsonb_build_array(h % 17, h % 19))
from (select i, abs(hashint8(i) % 2000000000) as h from generate_series({low}, {high}) i) numbers;
"""
NARROW = "create table {name} (id bigint primary key, unit integer, amount bigint);\n"
FILL_NARROW = ("insert into {name} select i, i % 1000, hashint8(i) from "
               "generate_series({low}, {high}) i;\n")
SHAPES = {"wide": (WIDE, FILL_WIDE), "narrow": (NARROW, FILL_NARROW)}


def processor_seconds(pid, with_dead_children=False):
    """Seconds of user and system time of one process and its threads; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15 if with_dead_children else 13])) / TICKS


def peak_memory(pid):
    """Bytes that the process had in memory at most; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def cluster_seconds(server):
    """Of a postmaster, of the processes that it has, and of those that it had."""
    return (processor_seconds(server.pid, with_dead_children=True)
            + sum(map(processor_seconds, process.children(server.pid))))


class Measure:
    """From its making to stop(): wall time, CPU of the servers, CPU and memory of Qiao."""

    def __init__(self, bed):
        self._bed = bed
        self._servers = list(map(cluster_seconds, bed.servers))
        self._own = {}
        self.memory = {}
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self.began = time.monotonic()

    def watch(self, **pids):
        """@param pids  Qiao's processes by name, begun within this measure."""
        self._pids = pids
        self._sampler.start()

    def _sample(self):
        while not self._ended.wait(0.1):
            self._look()

    def _look(self):
        for name, pid in self._pids.items():
            self._own[name] = max(self._own.get(name, 0), processor_seconds(pid))
            self.memory[name] = max(self.memory.get(name, 0), peak_memory(pid))

    def stop(self):
        self.seconds = time.monotonic() - self.began
        if self._sampler.is_alive():
            self._ended.set()
            self._sampler.join()
            self._look()
        #: Seconds of a processor: of the source's cluster, of the target's, of each agent.
        self.servers = [now - before for now, before in
                        zip(map(cluster_seconds, self._bed.servers), self._servers)]
        self.own = dict(self._own)
        return self

    @property
    def cpu(self):
        return sum(self.servers) + sum(self.own.values())


class Bed:
    """The two clusters, how they are spoken to, and the agents between them."""

    def __init__(self, group, options):
        self.group = group
        self.options = options
        self.source = group.postgres(CONF)
        self.target = group.postgres(CONF)
        self.servers = (self.source, self.target)
        os.environ["PGPASSFILE"] = group.environment()["PGPASSFILE"]
        for server in self.servers:
            server.psql(f"create database {DATABASE}")
        self.agents = ()
        self._agents_folder = group.folder / "agents"

    # -- databases --

    def at_source(self, sql):
        return self.source.psql(sql, DATABASE)

    def at_target(self, sql):
        return self.target.psql(sql, DATABASE)

    @contextlib.contextmanager
    def asking(self, server, database=DATABASE):
        """A function that runs SQL on one connection and gives the first field."""
        with contextlib.closing(psycopg2.connect(server.url(database))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()

            def ask(sql):
                cursor.execute(sql)
                return cursor.fetchone()[0]

            yield ask

    def fill(self, name, shape, rows):
        """Makes and fills a table at the source."""
        make, fill = SHAPES[shape]
        self.at_source(make.format(name=name) + fill.format(name=name, low=1, high=rows))
        self.at_source(f"vacuum analyze {name}")

    def checkpoint(self):
        for server in self.servers:
            server.psql("checkpoint")

    def settle(self):
        """So that nobody pays for what the run before has left to be written."""
        self.checkpoint()
        os.sync()
        time.sleep(3)

    def connection_string(self, server):
        return (f"host={server.hosts[0]} port={server.port} dbname={DATABASE} user=postgres "
                f"password={server.password}")

    def compare(self, name, database=DATABASE):
        """Same number of rows and same sum of row hashes on both sides."""
        sql = f"select count(*), sum(hash_record_extended(t, 0)) from {name} t"
        here, there = self.at_source(sql), self.target.psql(sql, database)
        if here != there:
            raise RuntimeError(f"{name}: the sides differ: {here} and {there}")

    # -- Qiao --

    def make_agents(self, tables):
        """Keys and files of a new flow; nothing is started."""
        self.agents = agents.make_pair(
            QIAO, self._agents_folder, FLOW, self.source.url(DATABASE),
            self.target.url(DATABASE), tables=tables, suite=self.options.suite, create=False,
            port=servers.free_port(["127.0.0.1"]))

    def start_agents(self, measure):
        source, target = self.agents
        target.start()
        source.start()
        measure.watch(source=source.pid, target=target.pid)

    def check_agents(self):
        for agent in self.agents:
            if not agent.running():
                raise RuntimeError(f"agent {agent.name} ended by itself\n{agent.tail()}")
            flow = agent.flow(FLOW)
            if flow.get("needs_operator"):
                raise RuntimeError(f"the flow stopped: {flow['last_error']}")

    def end_agents(self):
        for agent in self.agents:
            agent.end()

    def forget_agents(self):
        """Removes every trace of the flow, so that the next one begins from nothing."""
        for agent in self.agents:
            agent.kill()
        shutil.rmtree(self._agents_folder, ignore_errors=True)
        wait_until(lambda: self.at_source(
            "select count(*) from pg_replication_slots where active and slot_name ~ '^qiao_'"
        ) == "0", "the end of Qiao's sessions")
        self.at_source("""
            select pg_drop_replication_slot(slot_name) from pg_replication_slots
                where slot_name ~ '^qiao_';
            do $$ declare one name; begin
                for one in select pubname from pg_publication where pubname ~ '^qiao_' loop
                    execute format('drop publication %I', one);
                end loop;
            end $$;""")
        self.at_target("drop schema if exists qiao cascade")


def wait_until(condition, what, check=None):
    """Polls every 20 ms; `check`, now and then, may find that waiting is in vain."""
    begin = looked = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now - begin > WAIT_SECONDS:
            raise RuntimeError(f"waited {WAIT_SECONDS} s for {what}")
        if check and now - looked > 2:
            check()
            looked = now
        time.sleep(0.02)


# -- results --


def spread(values, form="{:.2f}"):
    """`median [least..most]`"""
    middle = form.format(statistics.median(values))
    return f"{middle} [{form.format(min(values))}..{form.format(max(values))}]"


def faster(peer, qiao):
    """How many times as fast Qiao is, run by run."""
    return [other.seconds / own.seconds for other, own in zip(peer, qiao)]


def result_lines(title, rows, peers, qiao):
    """@param peers  Measures of the runs by the peer's name, in the order in which they alternated
    with Qiao's."""
    memory = {name: max(q.memory[name] for q in qiao) / 1e6 for name in qiao[0].memory}

    def cost(runs, part):
        return statistics.median(map(part, runs)) / rows * 1e6

    lines = [title, f"  {'':<20} {'seconds':<24} {'rows/s':<30} CPU, us a row"]
    for name, runs in (*peers.items(), ("qiao, two agents", qiao)):
        parts = [f"all {cost(runs, lambda m: m.cpu):.1f}",
                 f"source server {cost(runs, lambda m: m.servers[0]):.1f}",
                 f"target server {cost(runs, lambda m: m.servers[1]):.1f}"]
        parts += [f"{agent} agent {cost(runs, lambda m, a=agent: m.own[a]):.1f}"
                  for agent in runs[0].own]
        lines.append(
            f"  {name:<20} {spread([m.seconds for m in runs]):<24} "
            f"{spread([rows / m.seconds for m in runs], '{:,.0f}'):<30} " + ", ".join(parts))
    for name, runs in peers.items():
        ratios = faster(runs, qiao)
        lines.append(f"  qiao to {name:<22} {spread(ratios)}   (above 1: Qiao is faster)")
    lines.append("  peak memory          "
                 + ", ".join(f"{name} agent {value:.0f} MB" for name, value in memory.items()))
    return [*lines, ""]


def parser(about):
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--runs", type=int, default=3, help="pairs of native and Qiao")
    made.add_argument("--suite", choices=("gm", "intl"), default="gm")
    made.add_argument("--write", action="store_true", help="into bench/results/ too")
    return made


def machine_lines(name):
    """When, where, how."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    command = f"./dev bench {name} {' '.join(sys.argv[1:])}".strip()
    version = subprocess.run([QIAO, "--version"], text=True, capture_output=True).stdout.strip()
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"date     {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"command  {command}",
        f"machine  {os.cpu_count()} cores, {model}, Linux {platform.release()}; load {load}",
        f"qiao     {version}",
    ]


def server_lines(bed):
    return [f"servers  PostgreSQL {bed.source.psql('show server_version')}, two clusters; "
            + ", ".join(f"{key}={value}" for key, value in CONF.items())]


def heading(name, options, bed):
    """The lines before every result of agents beside a subscription."""
    return [
        *machine_lines(name), *server_lines(bed),
        f"native   CREATE SUBSCRIPTION over 127.0.0.1, without TLS and encryption; {NATIVE}",
        f"agents   two, over TLS 1.3, suite {options.suite}, packets sealed, chained and synced to"
        " both trails",
        "",
    ]


NATIVE = "binary = true, streaming = off, synchronous_commit = off"


def publish(name, options, lines, figures):
    """@param figures  what bench/all.py looks at: values of the runs by a name."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    print(text, end="", flush=True)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}-{options.suite}.txt").write_text(text)
        (RESULTS / f"{name}-{options.suite}.json").write_text(json.dumps(figures, indent=1) + "\n")
