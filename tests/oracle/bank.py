"""A bank whose books balance at every instant: at the source, and at whatever the target shows.

Tellers move money between accounts and write it into the ledger, in one transaction each, with
savepoints and transactions that come to nothing. Every instant of the target must be an instant
that the source has had: the total is right, each account is what its ledger says, the tellers'
numbers have no gap and never go back.
"""

import random
import threading
from collections import Counter

import psycopg2

from workload import OWN_ERRORS, SERVER_ERRORS

ACCOUNTS = 40
OPENING = 1000
TELLERS = 3
TABLES = f"""
create schema bank;
create table bank.account (id integer primary key, balance bigint not null, note text);
create table bank.teller (id integer primary key, done bigint not null);
create table bank.ledger (
    teller integer, number bigint, leg integer, account integer not null references bank.account,
    amount bigint not null, primary key (teller, number, leg));
insert into bank.account select g, {OPENING}, null from generate_series(1, {ACCOUNTS}) g;
insert into bank.teller select g, 0 from generate_series(1, {TELLERS}) g;
"""
NAMES = [("bank", "account"), ("bank", "teller"), ("bank", "ledger")]
# In one snapshot: the books, what does not balance in them, and what each teller has done.
BOOKS = f"""
    (select sum(balance) from bank.account) as total,
    (select count(*) from bank.account) as accounts,
    (select count(*) from bank.account a
     left join (select account, sum(amount) as moved from bank.ledger group by account) l
         on l.account = a.id
     where a.balance <> {OPENING} + coalesce(l.moved, 0)) as wrong_accounts,
    (select count(*) from (
         select t.id from bank.teller t left join bank.ledger l on l.teller = t.id
         group by t.id, t.done
         having count(l.leg) <> 2 * t.done or coalesce(max(l.number), 0) <> t.done) odd
    ) as wrong_tellers,
    (select array_agg(done order by id) from bank.teller) as done
"""


class Auditor:
    """Looks at the books again and again; what is wrong is told in words."""

    def __init__(self):
        self.instants = 0
        self._done = None

    def look(self, total, accounts, wrong_accounts, wrong_tellers, done):
        told = []
        if (total, accounts) != (ACCOUNTS * OPENING, ACCOUNTS):
            told.append(f"{accounts} accounts hold {total}, not {ACCOUNTS * OPENING}")
        if wrong_accounts or wrong_tellers:
            told.append(f"{wrong_accounts} accounts and {wrong_tellers} tellers are not what "
                        "the ledger says")
        if self._done is not None and any(now < before for now, before in zip(done, self._done)):
            told.append(f"tellers went back from {self._done} to {done}")
        self.instants += 1
        self._done = done
        return [f"bank: {text}" for text in told]


class Teller(threading.Thread):
    """One connection that moves money."""

    def __init__(self, url, number, seed, pause):
        super().__init__(daemon=True)
        self._url, self._number, self._pause = url, number, pause
        self._rng = random.Random(seed)
        self._enough = threading.Event()
        self.commits = 0
        self.refused = Counter()
        self.unexpected = []

    def run(self):
        try:
            self._work()
        except Exception as error:  # nobody else would hear of it
            self.unexpected.append(f"bank: {type(error).__name__}: {error}")

    def _work(self):
        connection = None
        while not self._enough.is_set():
            try:
                if connection is None or connection.closed:
                    connection = psycopg2.connect(self._url)
                    with connection.cursor() as cursor:
                        cursor.execute("set lock_timeout = '30s'")
                    connection.commit()
                self._move(connection)
            except psycopg2.Error as error:
                self._note(error)
                connection = self._begin_again(connection)
            self._enough.wait(self._rng.expovariate(1 / self._pause))
        if connection is not None:
            connection.close()

    def _begin_again(self, connection):
        """The connection if it is still good."""
        try:
            if connection is not None:
                connection.rollback()
                return connection
        except psycopg2.Error:
            pass
        self._enough.wait(0.1)
        return None

    def _note(self, error):
        code = error.pgcode
        if code is None or code in SERVER_ERRORS or code.startswith("08"):
            self.refused["server"] += 1
        elif code in OWN_ERRORS:
            self.refused[code] += 1
        else:
            self.unexpected.append(f"bank: {code}: {error}".strip())

    def _move(self, connection):
        """Some transfers, each of two legs; some are undone and said again otherwise."""
        with connection.cursor() as cursor:
            for _ in range(self._rng.choice([1, 1, 1, 2, 6])):
                if self._rng.random() < 0.2:
                    cursor.execute("savepoint wrong")
                    self._transfer(cursor)
                    cursor.execute("rollback to wrong")
                self._transfer(cursor)
        if self._rng.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()
            self.commits += 1

    def _transfer(self, cursor):
        giver, taker = self._rng.sample(range(1, ACCOUNTS + 1), 2)
        amount = self._rng.randint(1, 50)
        cursor.execute("update bank.teller set done = done + 1 where id = %s returning done",
                       [self._number])
        [number] = cursor.fetchone()
        for leg, (account, change) in enumerate(((giver, -amount), (taker, amount))):
            cursor.execute("update bank.account set balance = balance + %s where id = %s",
                           [change, account])
            cursor.execute("insert into bank.ledger values (%s, %s, %s, %s, %s)",
                           [self._number, number, leg, account, change])

    def stop(self):
        self._enough.set()


class Bank:
    """The tellers at the source."""

    def __init__(self, url, seed, pause):
        self.tellers = [Teller(url, number, f"{seed} teller {number}", pause)
                        for number in range(1, TELLERS + 1)]

    def start(self):
        for teller in self.tellers:
            teller.start()
        return self

    def stop(self):
        for teller in self.tellers:
            teller.stop()
        for teller in self.tellers:
            teller.join(60)
            if teller.is_alive():
                raise RuntimeError("a teller does not end")

    @property
    def unexpected(self):
        return [text for teller in self.tellers for text in teller.unexpected]

    @property
    def commits(self):
        return sum(teller.commits for teller in self.tellers)
