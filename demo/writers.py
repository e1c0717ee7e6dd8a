"""The demo's application: registers, corrects and removes persons, and renames villages."""

import random
import threading

import psycopg2

import data

PAUSE_SECONDS = 0.002


class Writer:
    """One session of the application on a thread of its own."""

    def __init__(self, url, areas, persons, seed):
        self._url = url
        self._ids = persons
        self._rng = random.Random(seed)
        self._persons = data.Persons(areas, seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.changes = 0
        self.transactions = 0
        self.failure = None

    def start(self):
        self._thread.start()

    def stop(self):
        self._stop.set()

    def join(self):
        self._thread.join(60)
        if self._thread.is_alive():
            raise RuntimeError("a statement of the application hangs")

    def _run(self):
        try:
            connection = psycopg2.connect(self._url)
            while not self._stop.wait(self._rng.expovariate(1 / PAUSE_SECONDS)):
                self._transaction(connection)
            connection.close()
        except psycopg2.Error as error:
            self.failure = str(error)

    def _transaction(self, connection):
        done = 0
        try:
            with connection.cursor() as cursor:
                for _ in range(self._rng.choice((1, 1, 3, 10))):
                    done += self._change(cursor)
            if self._rng.random() < 0.05:
                connection.rollback()
                return
            connection.commit()
        except psycopg2.errors.DeadlockDetected:
            connection.rollback()
            return
        self.changes += done
        self.transactions += 1

    def _change(self, cursor):
        """One statement; says how many rows it changed."""
        kind = self._rng.choices(
            (self._register, self._correct, self._renumber, self._remove, self._rename_village),
            (4, 8, 1, 2, 2))[0]
        kind(cursor)
        return max(cursor.rowcount, 0)

    def _register(self, cursor):
        columns = ", ".join(data.PERSON_COLUMNS)
        columns_and_values = f"({columns}) values (%s, %s, %s, %s, %s, %s, %s)"
        cursor.execute(f"insert into register.person {columns_and_values}"
                       " on conflict do nothing", self._persons.next())

    def _some_id(self):
        return self._rng.randrange(1, self._ids + 1)

    def _correct(self, cursor):
        cursor.execute(
            "update register.person set phone = %s, updated_at = now(),"
            " attributes = attributes || %s::jsonb where id = %s",
            (f"1{self._rng.randrange(10**10):010}",
             '{"核实": true, "次数": %d}' % self._rng.randrange(100), self._some_id()))

    def _renumber(self, cursor):
        """A corrected ID number: a second unique key changes."""
        number = self._persons.next()[0]
        cursor.execute(
            "update register.person set id_number = %s where id = %s"
            " and not exists (select from register.person where id_number = %s)",
            (number, self._some_id(), number))

    def _remove(self, cursor):
        cursor.execute("delete from register.person where id = %s", (self._some_id(),))

    def _rename_village(self, cursor):
        cursor.execute(
            "update division.village set name = left(name || '(新)', 60) where code ="
            " (select code from division.village where code >= %s order by code limit 1)",
            (f"{self._rng.randrange(11, 66)}{self._rng.randrange(10**10):010}",))


class Application:
    """Several writers at once."""

    def __init__(self, url, areas, persons, seed, sessions=3):
        """@param seed  that of the register; the writers' series are others."""
        self.writers = [Writer(url, areas, persons, seed + 1 + number)
                        for number in range(sessions)]

    def start(self):
        for writer in self.writers:
            writer.start()

    def stop(self):
        """Ends all; raises when a statement failed, because Qiao may never cause that."""
        for writer in self.writers:
            writer.stop()
        for writer in self.writers:
            writer.join()
        failures = [writer.failure for writer in self.writers if writer.failure]
        if failures:
            raise RuntimeError(f"a statement of the application failed: {failures[0]}")

    @property
    def changes(self):
        return sum(writer.changes for writer in self.writers)

    @property
    def transactions(self):
        return sum(writer.transactions for writer in self.writers)
