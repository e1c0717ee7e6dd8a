"""A few huge transactions, of tens of thousands of rows, open for seconds, with parts undone."""

import random
import threading

import psycopg2

from workload import OWN_ERRORS, SERVER_ERRORS

TABLES = """
create schema bulk;
create table bulk.item (id bigint primary key, n integer not null, body text);
"""
MOST = 20_000
STEPS = {
    "insert": 5, "update": 3, "delete": 2, "wait": 2, "undone": 2, "many savepoints": 1,
}


class Bulk(threading.Thread):
    """One connection; rows of `most` at the most are there at a time."""

    def __init__(self, url, seed, pause, most=MOST):
        super().__init__(daemon=True)
        self._url, self._pause, self._most = url, pause, most
        self._rng = random.Random(seed)
        self._enough = threading.Event()
        self._next = 1
        self.busy = False
        self.commits = 0
        self.rows = 0
        self.unexpected = []

    def run(self):
        try:
            self._work()
        except Exception as error:  # nobody else would hear of it
            self.unexpected.append(f"bulk: {type(error).__name__}: {error}")

    def _work(self):
        while not self._enough.is_set():
            self._enough.wait(self._rng.uniform(0, 2 * self._pause))
            if self._enough.is_set():
                break
            try:
                connection = psycopg2.connect(self._url)
                try:
                    self.busy = True
                    self._transaction(connection)
                finally:
                    self.busy = False
                    connection.close()
            except psycopg2.Error as error:
                self._note(error)

    def _note(self, error):
        code = error.pgcode
        if not (code is None or code in SERVER_ERRORS | OWN_ERRORS or code.startswith("08")):
            self.unexpected.append(f"bulk: {code}: {error}".strip())

    def _transaction(self, connection):
        rows = 0
        with connection.cursor() as cursor:
            cursor.execute("select count(*), coalesce(max(id), 0) from bulk.item")
            held, self._next = cursor.fetchone()
            if held > self._most:
                cursor.execute("delete from bulk.item where id % 3 > 0")
                rows += cursor.rowcount
            for _ in range(self._rng.randint(2, 6)):
                if self._enough.is_set():
                    break
                [step] = self._rng.choices(list(STEPS), list(STEPS.values()))
                rows += self._step(cursor, step)
        if self._rng.random() < 0.2:
            connection.rollback()
            return
        connection.commit()
        self.commits += 1
        self.rows += rows

    def _step(self, cursor, step):
        if step == "insert":
            return self._insert(cursor, self._rng.choice([500, 5000, 10_000]))
        if step == "update":
            cursor.execute("update bulk.item set n = n + 1 where id %% %s = 0",
                           [self._rng.choice([2, 5, 50])])
        elif step == "delete":
            cursor.execute("delete from bulk.item where id %% 17 = %s", [self._rng.randrange(17)])
        elif step == "wait":
            self._enough.wait(self._rng.uniform(0, 2))
            return 0
        elif step == "undone":
            cursor.execute("savepoint undone")
            self._insert(cursor, self._rng.choice([500, 5000]))
            cursor.execute("update bulk.item set n = -1 where id % 3 = 0")
            cursor.execute("rollback to undone")
            return 0
        else:
            return sum(self._small_one(cursor) for _ in range(self._rng.choice([50, 400])))
        return cursor.rowcount

    def _small_one(self, cursor):
        cursor.execute("savepoint small")
        self._insert(cursor, 1)
        if self._rng.random() < 0.3:
            cursor.execute("rollback to small")
            return 0
        return 1

    def _insert(self, cursor, count):
        width = self._rng.choice([0, 100, 700])
        # Digests, so that no compression makes it small.
        cursor.execute(
            "insert into bulk.item select %s + g, 0, (select string_agg(md5((g * 97 + i)::text),"
            " '') from generate_series(1, %s) i) from generate_series(1, %s) g",
            [self._next, width // 32, count])
        self._next += count
        return count

    def stop(self):
        self._enough.set()
        self.join(120)
        if self.is_alive():
            raise RuntimeError("the huge transaction does not end")
