"""What operators do meanwhile: comparisons, repairs of damage, pauses, loads anew.

Each command may fail while a process or a database is down; then it is said again. A comparison
under load may find that it cannot tell. It may never call a table different that is not.
"""

import json
import random
import subprocess
import threading
import time
from collections import Counter, namedtuple

import psycopg2

import scene
from comparison import quote
from ground import FLOW

Operation = namedtuple("Operation", "after kind table seed")
SECONDS = 60
COMPARISON_SECONDS = 8
# What each kind of run lets operators do, with weights; and whether nothing may be laid aside.
Temper = namedtuple("Temper", "name kinds truncates strict")
TEMPERS = [
    Temper("left alone", {}, True, True),
    Temper("left alone", {}, True, True),
    Temper("compared", {"verify": 1}, True, True),
    Temper("loaded anew", {"resync": 2, "verify": 1}, False, True),
    Temper("in many hands", {"verify": 1, "pause": 2, "damage": 3, "resync": 1}, True, False),
    Temper("in many hands", {"verify": 1, "pause": 2, "damage": 3, "resync": 1}, True, False),
]


def schedule(rng, temper, tables, seconds):
    found, now = [], 0.0
    while temper.kinds:
        after = rng.uniform(0.5, 6)
        now += after
        if now > seconds:
            break
        [kind] = rng.choices(list(temper.kinds), list(temper.kinds.values()))
        found.append(Operation(after, kind, rng.choice(tables), rng.getrandbits(32)))
    return found


class Crash(Exception):
    pass


class Commands:
    """`qiao` as operators say it."""

    def __init__(self, ground):
        self._ground = ground

    def run(self, *words, seconds=SECONDS):
        """Exit status and what was printed; None when it took too long."""
        try:
            done = subprocess.run([scene.QIAO, *map(str, words)], text=True, capture_output=True,
                                  timeout=seconds, env=self._ground.environment_of_commands)
        except subprocess.TimeoutExpired:
            return None, ""
        if done.returncode < 0 or "broken invariant" in done.stderr:
            raise Crash(f"qiao {words[0]} ends with {done.returncode}: {done.stderr[-1000:]}")
        return done.returncode, done.stdout + done.stderr

    def tables(self, *words):
        return self.run("tables", "--config", self._ground.right.config, "--flow", FLOW, *words)

    def errors(self, *words):
        return self.run("errors", "--config", self._ground.right.config, "--flow", FLOW, *words)

    def verify(self, *words, seconds=SECONDS):
        """Exit status, and by table what is not equal."""
        status, told = self.run("verify", "--flow", FLOW, "--socket", self._ground.left.socket,
                                "--json", *words, seconds=seconds)
        try:
            tables = json.loads(told)["tables"]
        except (ValueError, KeyError):
            return status, {}, told
        return status, {table["source"]: table for table in tables
                        if table["verdict"] != "equal"}, told


class Operators(threading.Thread):
    """Do one thing after the other."""

    def __init__(self, ground, operations, tell):
        super().__init__(daemon=True)
        self._ground, self._operations, self._tell = ground, operations, tell
        self._commands = Commands(ground)
        self._enough = threading.Event()
        # Tables whose rows may differ for a while.
        self.touched = set()
        self.counts = Counter()
        self.found = []
        # The kind of what is being done.
        self.busy = None

    def run(self):
        kinds = {"verify": self._verify, "pause": self._pause, "resync": self._resync,
                 "damage": self._damage}
        try:
            for operation in self._operations:
                if self._enough.wait(operation.after):
                    return
                self._tell(f"  operator: {operation.kind} {operation.table}")
                self.busy = operation.kind
                kinds[operation.kind](operation.table, random.Random(operation.seed))
                self.busy = None
        except Exception as error:  # the run fails with it
            self.found.append(f"operator: {type(error).__name__}: {error}")

    def stop(self):
        self._enough.set()
        self.join(3 * SECONDS)
        if self.is_alive():
            raise RuntimeError("the operators do not end")

    def _until(self, command, *words):
        """Says it until it works, or all ends. Statuses: 0 done, 1 done and something waits."""
        while not self._enough.is_set():
            status, told = command(*words)
            if status == 0:
                return True
            self._enough.wait(0.3)
        self._tell(f"  operator: given up {words}: {told.strip()[-200:]}")
        return False

    # -- what they do --

    def _compare(self, *words):
        """Until it is told; a process that dies meanwhile takes the comparison with it."""
        deadline = time.monotonic() + COMPARISON_SECONDS
        while True:
            status, different, told = self._commands.verify(*words)
            if status is None:
                self._tell(f"a comparison does not end\n{self._ground.state()}")
            if status in (0, 1) or self._enough.is_set() or time.monotonic() > deadline:
                return status, different
            self.counts["comparisons broken off"] += 1
            self._enough.wait(0.2)

    def _verify(self, table, rng):
        words = ["--table", table] if rng.random() < 0.5 else []
        before = set(self.touched)
        status, different = self._compare(*words)
        self.counts[f"comparison under load: {status}"] += 1
        wrong = {name: one for name, one in different.items()
                 if one["verdict"] == "different" and name not in before | self.touched}
        if wrong:
            self.found.append(f"a comparison calls equal tables different: {json.dumps(wrong)}")

    def _pause(self, table, rng):
        self.touched.add(table)
        if self._until(self._commands.tables, "--pause", table):
            self.counts["pauses"] += 1
            self._enough.wait(rng.uniform(0.2, 4))
            # 1: it flows again, and some of its changes are refused.
            self._commands.tables("--resume", table)

    def _resync(self, table, rng):
        self.touched.add(table)
        if self._until(self._commands.tables, "--resync", table):
            self.counts["resyncs"] += 1

    def _damage(self, table, rng):
        self.touched.add(table)
        while not self._enough.is_set():
            try:
                done = damage(self._ground.target_url, table, rng)
                break
            except psycopg2.Error as error:
                if error.pgcode is not None and not error.pgcode.startswith(("57", "08", "40")):
                    self._tell(f"  operator: no damage: {error.pgcode} {error}".strip())
                self._enough.wait(0.3)
        else:
            return
        self.counts["rows damaged"] += done
        self._enough.wait(rng.uniform(0, 2))
        status, _ = self._compare("--table", table, "--repair")
        self.counts[f"repair under load: {status}"] += 1


LEAF = """
    select c.oid::regclass::text from pg_partition_tree(%s::regclass) p join pg_class c
        on c.oid = p.relid where p.isleaf
    union select %s::regclass::text where not exists (select from pg_partition_tree(%s::regclass)
        where isleaf) order by 1
"""
FREE = """
    select a.attname from pg_attribute a where a.attrelid = %s::regclass and a.attnum > 0
      and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
      and not exists (select from pg_index i where i.indrelid = a.attrelid and i.indisunique
                      and (a.attnum = any (i.indkey) or i.indexprs is not null))
      and not exists (select from pg_constraint x where x.conrelid = a.attrelid
                      and x.contype = 'x' and a.attnum = any (x.conkey))
      and a.attname <> 'place'
    order by 1
"""


def damage(url, table, rng):
    """A foreign hand in a table of the target. @return how many rows it has spoilt."""
    name = quote(*table.split(".", 1))
    with psycopg2.connect(url) as connection:
        with connection.cursor() as cursor:
            # Neither keys nor our own waiting stop it.
            cursor.execute("set session_replication_role = replica; set lock_timeout = '2s'")
            cursor.execute(LEAF, [name] * 3)
            leaf = rng.choice([row[0] for row in cursor])
            cursor.execute(FREE, [leaf])
            free = [row[0] for row in cursor]
            some = f"ctid in (select ctid from {leaf} order by random() limit {rng.randint(1, 9)})"
            if free and rng.random() < 0.6:
                column = quote(rng.choice(free))
                cursor.execute(f"update {leaf} set {column} = (select {column} from {leaf}"
                               f" order by random() limit 1) where {some}")
            else:
                cursor.execute(f"delete from {leaf} where {some}")
            done = cursor.rowcount
    connection.close()
    return done
