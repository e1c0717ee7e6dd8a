"""Looks at the target and at both agents for as long as a run lasts, and notes what may never be.

The checkpoint never goes back, the bank's books balance in every snapshot, and nothing waits for an
operator that no operator has caused.
"""

import json
import re
import socket
import threading

import psycopg2

import bank

LOADING, LIVE = 1, 2
LOOK = f"""
select epoch, position_text,
    (select array_agg(array[status::text, joined_at_text]) from qiao.table_state
     where schema_name = 'bank') as states,
    (select count(*) from qiao.table_state where status = {LOADING}) as loading,
    (select count(*) from qiao.error_row) as aside, {bank.BOOKS}
from qiao.checkpoint
"""
PAUSE = 0.05
# What neither a kill nor a line may bring about: history that is lost, torn or in two versions.
NEVER = re.compile(r"trail\.damaged|engine\.forked|engine\.custody_went_back|engine\.chain"
                   r"|capture\.(position_lost|slot_missing|identity)|packet\.|crypto\.")
PATIENCE = 5


def lsn(text):
    """'1/AB' as a number; what is none lies before all."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16) if low else 0


def ask(path, words="status"):
    """What an agent answers at its socket; None while nobody does."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(path))
            line.sendall(words.encode() + b"\n")
            told = b""
            while data := line.recv(1 << 16):
                told += data
        return json.loads(told)
    except (OSError, ValueError):
        return None


class Watch(threading.Thread):
    """@param strict  whether anything laid aside is a fault: no operator has been at work."""

    def __init__(self, url, sockets, strict, tell):
        super().__init__(daemon=True)
        self._url, self._sockets, self._strict, self._tell = url, sockets, strict, tell
        self._told = {}
        self._enough = threading.Event()
        self._auditor = bank.Auditor()
        self._place = (0, 0)
        self.looks = 0
        self.loading = False
        self.found = []

    @property
    def instants(self):
        """How many snapshots of the target had the bank whole."""
        return self._auditor.instants

    def is_following(self):
        """Whether the source's agent says so now."""
        flows = (ask(self._sockets[0]) or {}).get("flows", ())
        return any(flow["state"] == "following" for flow in flows)

    def run(self):
        try:
            self._work()
        except Exception as error:  # nobody else would hear of it
            self.found.append(f"watch: {type(error).__name__}: {error}")

    def _work(self):
        connection = None
        while not self._enough.is_set():
            try:
                if connection is None:
                    connection = psycopg2.connect(self._url)
                    connection.autocommit = True
                self._look(connection)
            except psycopg2.errors.UndefinedTable:
                pass
            except psycopg2.Error:
                connection = None
            self._enough.wait(PAUSE)
            self.looks += 1
            if self.looks % 10 == 0:
                self._ask_agents()
        if connection is not None:
            connection.close()

    def stop(self):
        self._enough.set()
        self.join(30)

    def _note(self, *told):
        for text in told:
            if len(self.found) < 20 and text not in self.found:
                self.found.append(text)

    def _look(self, connection):
        with connection.cursor() as cursor:
            cursor.execute(LOOK)
            rows = cursor.fetchall()
        if len(rows) != 1:
            self._note(f"{len(rows)} checkpoints")
            return
        epoch, position, states, loading, aside, *books = rows[0]
        self.loading = loading > 0
        place = (epoch, lsn(position))
        if place < self._place:
            self._note(f"the checkpoint went back from {self._place} to {place}")
        self._place = place
        if aside and self._strict:
            self._note(f"{aside} changes laid aside")
        whole = states and len(states) == len(bank.NAMES) and all(
            int(status) == LIVE and lsn(joined) <= place[1] for status, joined in states)
        if whole:
            self._note(*self._auditor.look(*books))

    def _ask_agents(self):
        for path in self._sockets:
            for flow in (ask(path) or {}).get("flows", ()):
                self._tell_state(path.stem, flow)
                if flow["needs_operator"]:
                    self._note(f"{path.stem} waits for an operator: {flow['last_error']}")
                if flow["went_back"]:
                    self._note(f"{path.stem}: a peer went back {flow['went_back']} times")
                if flow["divergences"] and self._strict:
                    self._note(f"{path.stem}: {flow['divergences']} divergences")

    def _tell_state(self, name, flow):
        """For whoever reads the story: when it was what."""
        for error in (flow["last_error"], *(stage["last_error"] for stage in flow["stages"])):
            if error and NEVER.match(error["code"]):
                self._note(f"{name}: {error}")
        code = (flow["last_error"] or {}).get("code", "")
        state = f"{flow['state']} {code} {flow['next_try_seconds'] or ''}"
        if self._told.get(name) != state:
            self._told[name] = state
            self._tell(f"    {name}: {state}")
