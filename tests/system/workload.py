"""Applications at work: random transactions in several connections at once.

Inserts, updates, deletes, changed and swapped keys, values stored out of line kept and changed,
NULLs, savepoints, rollbacks, TRUNCATE. What an application may always meet (a taken key, a
deadlock, a server that stops) is counted; every other error is kept in `unexpected`, and none may
come from Qiao.
"""

import random
import threading
import time
from collections import Counter

import psycopg2

import shape
import values
from comparison import quote

# Of the application's own making: keys taken, references missing, conflicts with its likes.
OWN_ERRORS = {"23505", "23503", "23514", "23P01", "40001", "40P01"}
# The server goes or comes.
SERVER_ERRORS = {"57P01", "57P02", "57P03"}
ROWS_MOST = 1500
SESSION = """
    set search_path = pg_catalog; set lock_timeout = '30s'; set synchronous_commit = off;
    set client_min_messages = error;
"""


class Lost(Exception):
    """The connection is gone."""


class Writer:
    """One connection of the application, on a thread of its own."""

    def __init__(self, url, tables, seed, pause, truncate, append_only):
        self.thread = threading.Thread(target=self._run_to_its_end, daemon=True)
        self._url = url
        self._tables = tables
        self._rng = random.Random(seed)
        self._pause = pause
        self.truncate = truncate
        self._append_only = append_only
        self._stop_asked = threading.Event()
        self._cursor = None
        self.done = Counter()
        self.refused = Counter()
        self.unexpected = []
        self.commits = 0

    def ask_stop(self):
        self._stop_asked.set()

    def _run_to_its_end(self):
        try:
            self._run()
        except Exception as error:  # nobody else would hear of it
            self.unexpected.append(f"{type(error).__name__}: {error}")

    def _run(self):
        connection = None
        while not self._stop_asked.is_set():
            try:
                if connection is None:
                    connection = psycopg2.connect(self._url)
                    self._cursor = connection.cursor()
                    self._cursor.execute(SESSION)
                    connection.commit()
                self._transaction(connection)
            except (psycopg2.OperationalError, psycopg2.InterfaceError, Lost) as error:
                self._note(error)
                connection = None
                self._stop_asked.wait(0.1)
            self._stop_asked.wait(self._rng.expovariate(1 / self._pause))
        if connection is not None:
            connection.close()

    def _transaction(self, connection):
        steps = self._rng.choice([1, 1, 1, 2, 5, 20])
        try:
            for _ in range(steps):
                self._step()
            if self._rng.random() < 0.1:
                connection.rollback()
            else:
                connection.commit()
                self.commits += 1
        except psycopg2.Error as error:
            if connection.closed:
                raise Lost(error.pgcode) from error
            self._note(error)
            connection.rollback()

    def _step(self):
        """One statement, often inside a savepoint that may be rolled back."""
        if self._rng.random() < 0.3:
            self._sql("savepoint s")
            try:
                self._change()
            except psycopg2.IntegrityError as error:
                self._note(error)
                self._sql("rollback to s")
            if self._rng.random() < 0.2:
                self._sql("rollback to s")
            elif self._rng.random() < 0.5:
                self._sql("release s")
        else:
            self._change()

    def _note(self, error):
        code = getattr(error, "pgcode", None)
        if code is None or code in SERVER_ERRORS or code.startswith("08"):
            self.refused["server"] += 1
        elif code in OWN_ERRORS:
            self.refused[code] += 1
        else:
            self.unexpected.append(f"{code}: {error}".strip())

    # -- changes --

    def _change(self):
        table = self._rng.choice(self._tables)
        actions = {self._insert: 6}
        if table.name not in self._append_only:
            actions |= {self._update: 6, self._delete: 3, self._change_key: 1, self._swap_keys: 1,
                        self._delete_and_insert: 1}
        if not any(c.key or c.unique for c in table.columns):
            actions[self._double] = 4
        if self.truncate:
            actions[self._empty] = 0.05
        action = self._rng.choices(list(actions), list(actions.values()))[0]
        action(table)

    def _sql(self, text, parameters=()):
        self._cursor.execute(text, parameters)
        return self._cursor.rowcount

    def _count(self, table, verb, rows):
        if rows > 0:
            self.done[table.name, verb] += rows

    def _insert(self, table):
        rows = self._rng.choice([1, 1, 3, 30])
        columns = [c for c in table.columns
                   if not c.generated and (not c.always or self._rng.random() < 0.1)]
        overriding = "overriding system value" if any(c.always for c in columns) else ""
        names = ", ".join(quote(c.name) for c in columns)
        lines, parameters = [], []
        for _ in range(rows):
            expressions = [self._expression(table, c, parameters) for c in columns]
            lines.append("(" + ", ".join(expressions) + ")")
        if not columns:
            lines, names = [], ""
        conflict = ""
        if table.immediate and self._rng.random() < 0.5:
            conflict = "on conflict do nothing"
        values_text = "values " + ", ".join(lines) if lines else "default values"
        names = f"({names})" if names else ""
        done = self._sql(f"insert into {quote(*table.name)} {names} {overriding} "
                         f"{values_text} {conflict}", parameters)
        self._count(table, "insert", done)
        if self._rng.random() < 0.2 and table.name not in self._append_only:
            self._thin_out(table)

    def _expression(self, table, column, parameters):
        """SQL for a new value; what it needs is added to `parameters`."""
        for reference in table.references:
            if column.name in reference.columns:
                target = reference.target_columns[reference.columns.index(column.name)]
                if column.nullable and self._rng.random() < 0.2:
                    return "null"
                return (f"(select {quote(target)} from {quote(*reference.table)}"
                        f" order by random() limit 1)")
        if column.nullable and self._rng.random() < 0.15:
            return "null"
        make = values.key_value if column.key or column.unique else values.value
        parameters.append(make(self._rng, column.type))
        return f"%s::{column.type}"

    def _some(self, table, count):
        """SQL for a few rows at random; a row's place is told by leaf and ctid."""
        return (f"(tableoid, ctid) in (select tableoid, ctid from {quote(*table.name)}"
                f" order by random() limit {count})")

    def _update(self, table):
        free = [c for c in table.columns if not c.key and not c.generated and not c.always]
        if not free:
            return
        changed = self._rng.sample(free, self._rng.randint(1, min(3, len(free))))
        parameters = []
        parts = [f"{quote(c.name)} = {self._expression(table, c, parameters)}" for c in changed]
        count = self._rng.choice([1, 1, 2, 10])
        if any(c.unique for c in changed):
            count = 1
        done = self._sql(f"update {quote(*table.name)} set {', '.join(parts)} "
                         f"where {self._some(table, count)}", parameters)
        self._count(table, "update", done)

    def _delete(self, table):
        count = self._rng.choice([1, 1, 2, 25])
        done = self._sql(f"delete from {quote(*table.name)} where {self._some(table, count)}")
        self._count(table, "delete", done)

    def _double(self, table):
        """Rows that are equal to others."""
        names = ", ".join(quote(c.name) for c in table.columns if not c.generated)
        if names:
            self._count(table, "double", self._sql(
                f"insert into {quote(*table.name)} ({names}) select {names}"
                f" from {quote(*table.name)} order by random() limit 5"))

    def _delete_and_insert(self, table):
        """A row goes, and another comes with its key."""
        keys = [c for c in table.columns if c.key]
        if not keys:
            return
        name = quote(*table.name)
        self._sql(f"select {', '.join(quote(c.name) + '::text' for c in keys)} from {name}"
                  " order by random() limit 1")
        old = self._cursor.fetchone()
        if old is None:
            return
        self._sql(f"delete from {name} where "
                  + " and ".join(f"{quote(c.name)} = %s::{c.type}" for c in keys), old)
        columns = [c for c in table.columns if not c.generated]
        parameters, expressions = [], []
        for column in columns:
            if column.key:
                parameters.append(old[keys.index(column)])
                expressions.append(f"%s::{column.type}")
            else:
                expressions.append(self._expression(table, column, parameters))
        done = self._sql(f"insert into {name} ({', '.join(quote(c.name) for c in columns)})"
                         f" overriding system value values ({', '.join(expressions)})", parameters)
        self._count(table, "delete and insert", done)

    def _thin_out(self, table):
        self._sql(f"delete from {quote(*table.name)} where (tableoid, ctid) in ("
                  f"select tableoid, ctid from {quote(*table.name)} order by random()"
                  f" offset {ROWS_MOST})")

    def _change_key(self, table):
        keys = [c for c in table.columns if c.key and not c.always]
        if not keys:
            return
        parameters = []
        chosen = self._rng.choice(keys)
        done = self._sql(
            f"update {quote(*table.name)} set {quote(chosen.name)} = "
            f"{self._expression(table, chosen, parameters)} where {self._some(table, 1)}",
            parameters)
        self._count(table, "change key", done)

    def _swap_keys(self, table):
        """Two rows change places through a third key, in one transaction."""
        if len(table.key) != 1 or any(c.key and c.always for c in table.columns):
            return
        [column] = [c for c in table.columns if c.key]
        name, key = quote(*table.name), quote(column.name)
        self._sql(f"select {key}::text from {name} order by random() limit 2")
        two = [row[0] for row in self._cursor.fetchall()]
        if len(two) < 2:
            return
        between = values.key_value(self._rng, column.type)
        for old, new in ((two[0], between), (two[1], two[0]), (between, two[1])):
            done = self._sql(f"update {name} set {key} = %s::{column.type} "
                             f"where {key} = %s::{column.type}", [new, old])
            self._count(table, "swap", done)

    def _empty(self, table):
        names = {table.name}
        waiting = [table]
        known = {each.name: each for each in self._tables}
        while waiting:
            for name in waiting.pop().referenced_by:
                if name not in names and name in known:
                    names.add(name)
                    waiting.append(known[name])
        listed = ", ".join(quote(*name) for name in sorted(names))
        # A table with checks still to come is not truncated.
        self._sql("set constraints all immediate")
        self._sql(f"truncate {listed}")
        self._sql("set constraints all deferred")
        self._count(table, "truncate", 1)


class Workload:
    """Several writers on the tables of a schema; use it as a context or by start() and stop()."""

    def __init__(self, url, seed, writers=3, pause=0.004, without=(), truncate=True,
                 append_only=()):
        with psycopg2.connect(url) as connection:
            tables = shape.read(connection)
        connection.close()
        chosen = [table for name, table in sorted(tables.items()) if name not in without]
        self.writers = [Writer(url, chosen, seed * 1000 + number, pause, truncate,
                               append_only)
                        for number in range(writers)]

    def start(self):
        for writer in self.writers:
            writer.thread.start()
        return self

    def allow_truncate(self):
        for writer in self.writers:
            writer.truncate = True

    def stop(self):
        """Ends all writers; the last commit of each has returned."""
        for writer in self.writers:
            writer.ask_stop()
        for writer in self.writers:
            writer.thread.join(60)
            if writer.thread.is_alive():
                raise RuntimeError("a writer does not end")

    def run_for(self, seconds):
        self.start()
        time.sleep(seconds)
        self.stop()

    @property
    def unexpected(self):
        return [text for writer in self.writers for text in writer.unexpected]

    @property
    def done(self):
        return sum((writer.done for writer in self.writers), Counter())

    @property
    def commits(self):
        return sum(writer.commits for writer in self.writers)

    def summary(self):
        refused = sum((writer.refused for writer in self.writers), Counter())
        return f"{self.commits} commits, {sum(self.done.values())} rows, refused {dict(refused)}"
