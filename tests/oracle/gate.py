"""A gate that TCP connections pass through, and that can treat them as bad lines do.

    with Gate(port) as gate: dial gate.port; gate.cut(); with gate.silent(): …

All sockets belong to one event loop on a thread of its own; the methods may be called from any
thread. What goes wrong is the line's fault alone: every byte that comes out went in, in order.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter

PIECE = 64 << 10
HOST = "127.0.0.1"
WAYS = ("there", "back")
BACKLOG = 64


class Line:
    """One connection: what dialled, and the connection made for it."""

    def __init__(self, near, far):
        self.near, self.far = near, far
        self.tasks = []
        self.finished = 0
        self.torn = set()  # ways that have lost bytes: nothing more comes out of them

    def ends(self, way):
        return (self.near, self.far) if way == "there" else (self.far, self.near)

    def reset(self):
        """Both ends are told by RST; what lay in the buffers is lost."""
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        for end in (self.near, self.far):
            end.close()


class Rules:
    """How the lines behave at present."""

    def __init__(self):
        self.refusing = False
        self.silent = set()  # ways whose bytes are swallowed
        self.held = False  # nothing moves, nothing is lost
        self.lag = 0.0  # seconds that each piece takes
        self.rate = None  # bytes a second
        self.left = None  # bytes until a cut
        self.pieces = PIECE  # the most that goes over at once


class Gate:
    def __init__(self, to_port, seed=0):
        self._to_port = to_port
        self._rng = random.Random(seed)
        self._rules = Rules()
        self._lines = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener = socket.create_server((HOST, 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        # Bytes that went through, by way, connections, and what became of them.
        self.seen = Counter()

    def __enter__(self):
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- faults: at once --

    def cut(self):
        """Every connection ends by RST. @return how many there were."""
        return self._do(lambda: self._drop_all(Line.reset))

    def close(self):
        """Every connection ends by FIN, in the middle of whatever it was saying."""
        return self._do(lambda: self._drop_all(Line.close))

    def cut_after(self, count):
        """Let `count` more bytes go over, and cut that connection there."""
        self._do(lambda: setattr(self._rules, "left", count))

    # -- faults: for a time --

    def refusing(self):
        """Who dials is turned away; what there is goes on."""
        return self._while("refusing", True)

    @contextlib.contextmanager
    def silent(self, ways=WAYS):
        """Half-open: bytes are swallowed. Lines that lost some are never used again."""
        with self._while("silent", set(ways)):
            yield
        self.cut()

    def holding(self):
        """Nothing moves; later it goes on where it was."""
        return self._while("held", True)

    def slow(self, seconds):
        return self._while("lag", seconds)

    def narrow(self, bytes_a_second):
        return self._while("rate", bytes_a_second)

    def crumbling(self, bytes_most):
        """What is written comes in small pieces."""
        return self._while("pieces", bytes_most)

    @contextlib.contextmanager
    def _while(self, rule, value):
        normal = getattr(Rules(), rule)
        self._do(lambda: setattr(self._rules, rule, value))
        try:
            yield
        finally:
            self._do(lambda: setattr(self._rules, rule, normal))

    # -- inside the loop --

    def _do(self, action):
        """Runs it in the loop's thread; its result."""
        async def run():
            return action()
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _end(self):
        self._drop_all(Line.reset)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        self._listening.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._listener.close()

    def _drop_all(self, how):
        dropped = len(self._lines)
        for line in list(self._lines):
            self._drop(line, how)
        return dropped

    def _drop(self, line, how):
        if line in self._lines:
            self._lines.discard(line)
            self._loop.create_task(self._bury(line, how))

    async def _bury(self, line, how):
        """Sockets are closed once nobody waits for them: their numbers are given out again."""
        for task in line.tasks:
            task.cancel()
        await asyncio.gather(*line.tasks, return_exceptions=True)
        how(line)

    async def _listen(self):
        self._listening = asyncio.current_task()
        while True:
            near, _ = await self._loop.sock_accept(self._listener)
            near.setblocking(False)
            self._loop.create_task(self._welcome(near))

    async def _welcome(self, near):
        far = socket.socket()
        far.setblocking(False)
        line = Line(near, far)
        if self._rules.refusing:
            self.seen["refused"] += 1
            line.reset()
            return
        try:
            await self._loop.sock_connect(far, (HOST, self._to_port))
        except OSError:
            line.reset()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen["connections"] += 1
        self._lines.add(line)
        line.tasks = [self._loop.create_task(self._pump(line, way)) for way in WAYS]

    async def _pump(self, line, way):
        source, sink = line.ends(way)
        try:
            while True:
                data = await self._loop.sock_recv(source, PIECE)
                if not data:
                    break
                await self._carry(line, sink, data, way)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(line, Line.reset)
            return
        line.finished += 1
        if line.finished == len(WAYS):
            self._drop(line, Line.close)

    async def _carry(self, line, sink, data, way):
        most = self._rules.pieces
        for start in range(0, len(data), most):
            piece = data[start:start + most]
            if way in self._rules.silent:
                line.torn.add(way)
            if way in line.torn:
                self.seen["swallowed"] += len(piece)
                continue
            while self._rules.held:
                await asyncio.sleep(0.01)
            if self._rules.lag:
                await asyncio.sleep(self._rules.lag * self._rng.uniform(0.5, 1.5))
            if self._rules.rate:
                await asyncio.sleep(len(piece) / self._rules.rate)
            await self._send(line, sink, piece, way)

    async def _send(self, line, sink, piece, way):
        left = self._rules.left
        if left is None:
            await self._loop.sock_sendall(sink, piece)
            self.seen[way] += len(piece)
            return
        self._rules.left = max(0, left - len(piece))
        await self._loop.sock_sendall(sink, piece[:left])
        self.seen[way] += min(left, len(piece))
        if left <= len(piece):
            self._rules.left = None
            raise ConnectionResetError("cut after the last byte that was allowed")
