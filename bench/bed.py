"""What the benches share: two clusters, the table of persons, clocks, and results with spread.

Both sides of a bench run on the same two clusters in the same run; a figure is a ratio of medians.
"""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import servers  # noqa: E402

QIAO = os.environ.get("QIAO_BIN", str(ROOT / "build/release/qiao"))
CONF = {
    "fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB",
    "checkpoint_timeout": "30min", "maintenance_work_mem": "256MB", "wal_level": "logical",
    "max_worker_processes": "16", "wal_retrieve_retry_interval": "100ms",
    "autovacuum": "off", "jit": "off",
}
DATABASE = "bench"
TICKS = os.sysconf("SC_CLK_TCK")
WAIT_SECONDS = 900

# 20 columns of mixed types, some 550 bytes a row.
PERSON = """
create table {name} (
    id bigint primary key, name varchar(40) not null, pinyin varchar(60),
    id_number char(18) not null, sex smallint, birth_date date, nation varchar(20),
    address varchar(200), phone varchar(20), email varchar(80), state integer,
    score numeric(12,2), ratio double precision, unit bigint, created timestamptz,
    changed timestamptz, active boolean, token uuid, remark text, attributes jsonb);
"""
# Every value follows from the id, so that both sides and all runs have the same rows.
FILL = """
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
from (select i, abs(hashint8(i) % 2000000000) as h from generate_series({low}, {high}) i) numbers
"""


def machine_cpu():
    """Busy seconds of all cores so far."""
    fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    user, nice, system, _, _, irq, soft = map(int, fields[:7])
    return (user + nice + system + irq + soft) / TICKS


def process_cpu(pid):
    """Seconds of user and system time of one process and its threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory(pid):
    """Bytes that the process had in memory at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class Watch:
    """Wall time and the machine's CPU between two moments."""

    def __init__(self):
        self.began = time.monotonic()
        self._cpu = machine_cpu()

    def stop(self):
        self.seconds = time.monotonic() - self.began
        self.cpu = machine_cpu() - self._cpu
        return self


class Qiao:
    """One run of the product; its CPU and memory are read while it lives."""

    def __init__(self, words, environment, log):
        self._log = open(log, "ab")
        self.log = Path(log)
        self.process = subprocess.Popen(
            [QIAO, *words], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            env={**os.environ, **environment})
        self.memory = 0
        self.cpu = 0.0
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()

    def _sample(self):
        while self.process.poll() is None:
            try:
                self.memory = max(self.memory, peak_memory(self.process.pid))
                self.cpu = max(self.cpu, process_cpu(self.process.pid))
            except OSError:
                return
            time.sleep(0.05)

    def read_cpu(self):
        """Seconds so far."""
        self.cpu = max(self.cpu, process_cpu(self.process.pid))
        return self.cpu

    def wait(self):
        code = self.process.wait(WAIT_SECONDS)
        self._watch.join()
        self._log.close()
        if code != 0:
            raise RuntimeError(f"qiao ended with {code}:\n{self.log.read_text()[-2000:]}")

    def end(self):
        self.process.terminate()
        self.wait()


class Bed:
    """The two clusters and how they are spoken to."""

    def __init__(self, group):
        self.group = group
        self.source = group.postgres(CONF)
        self.target = group.postgres(CONF)
        self.environment = group.environment()
        for server in (self.source, self.target):
            server.psql(f"create database {DATABASE}")

    def at_source(self, sql):
        return self.source.psql(sql, DATABASE)

    def at_target(self, sql):
        return self.target.psql(sql, DATABASE)

    def fill(self, name, rows):
        """Makes and fills a table at the source."""
        self.at_source(PERSON.format(name=name) + FILL.format(name=name, low=1, high=rows))
        self.at_source(f"vacuum analyze {name}")

    def checkpoint(self):
        self.source.psql("checkpoint")
        self.target.psql("checkpoint")

    def connection_string(self, server):
        return (f"host={server.hosts[0]} port={server.port} dbname={DATABASE} user=postgres "
                f"password={server.password}")

    def sync(self, *words, suite):
        """Starts `qiao sync` between the two databases."""
        folder = self.group.folder
        return Qiao(["sync", "--from", self.source.url(DATABASE), "--to",
                     self.target.url(DATABASE), "--state", str(folder / "state"),
                     "--suite", suite, *words], self.environment, folder / "qiao.log")

    def drop(self):
        """Removes every trace of a run."""
        folder = self.group.folder
        subprocess.run([QIAO, "sync", "--drop", "--from", self.source.url(DATABASE), "--to",
                        self.target.url(DATABASE), "--state", str(folder / "state")],
                       env={**os.environ, **self.environment}, check=True,
                       stdout=subprocess.DEVNULL)

    def compare(self, name):
        """Same number of rows and same sum of row hashes on both sides."""
        sql = f"select count(*), sum(hash_record_extended(t, 0)) from {name} t"
        here, there = self.at_source(sql), self.at_target(sql)
        if here != there:
            raise RuntimeError(f"{name}: the sides differ: {here} and {there}")


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WAIT_SECONDS} s for {what}")
        time.sleep(0.02)


def median(values):
    return statistics.median(values)


def spread(values, form="{:.2f}"):
    """`median [least..most]`"""
    return f"{form.format(median(values))} [{form.format(min(values))}..{form.format(max(values))}]"


def parser(about, rows):
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--rows", type=int, default=rows)
    made.add_argument("--runs", type=int, default=3)
    made.add_argument("--suite", choices=("gm", "intl"), default="gm")
    made.add_argument("--write", action="store_true", help="into bench/results/")
    return made


def heading(name, options, servers_version):
    """When, where, how: the lines before every result."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    command = f"./dev bench {name} {' '.join(sys.argv[1:])}".strip()
    version = subprocess.run([QIAO, "--version"], text=True, capture_output=True).stdout.strip()
    return [
        f"date     {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"command  {command}",
        f"machine  {os.cpu_count()} cores, {model}, Linux {platform.release()}",
        f"servers  {servers_version}; " + ", ".join(f"{k}={v}" for k, v in CONF.items()),
        f"qiao     {version}, suite {options.suite}, {options.rows:,} rows, {options.runs} runs",
        "",
    ]


def publish(name, options, lines):
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.write:
        folder = ROOT / "bench/results"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.txt").write_text(text)
