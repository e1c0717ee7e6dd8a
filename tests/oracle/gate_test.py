#!/usr/bin/env python3
"""The gate: what comes out went in, in order, and each fault is the fault of its name."""

import contextlib
import random
import socket
import threading
import unittest

from gate import HOST, Gate

PATIENCE = 10


class Echo:
    """Answers every byte with itself."""

    def __enter__(self):
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)


class GateTest(unittest.TestCase):
    def setUp(self):
        self.echo = self.enterContext(Echo())
        self.gate = self.enterContext(Gate(self.echo.port))

    def dial(self):
        connection = socket.create_connection((HOST, self.gate.port), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def answer(self, connection, count):
        got = b""
        while len(got) < count:
            data = connection.recv(count - len(got))
            if not data:
                break
            got += data
        return got

    def assert_answers(self, connection, data=b"ni hao"):
        connection.sendall(data)
        self.assertEqual(self.answer(connection, len(data)), data)

    def assert_passes_a_lot(self, connection, count=300_000):
        data = random.Random(7).randbytes(count)
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        self.assertEqual(self.answer(connection, count), data)
        sender.join()

    def assert_ends_in_order(self, connection):
        """Behind it the gate has counted all that it let over."""
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(1), b"")

    def assert_turned_away(self, port):
        with self.assertRaises(ConnectionResetError):
            with socket.create_connection((HOST, port), PATIENCE) as connection:
                connection.recv(1)

    def test_bytes_come_out_as_they_went_in(self):
        connection = self.dial()
        self.assert_passes_a_lot(connection)
        self.assert_ends_in_order(connection)
        self.assertEqual(self.gate.seen["there"], self.gate.seen["back"])

    def test_bytes_come_out_whole_and_in_order_however_slow_and_crumbled(self):
        connection = self.dial()
        with self.gate.crumbling(1000), self.gate.slow(0.0001), self.gate.narrow(10_000_000):
            self.assert_passes_a_lot(connection, 100_000)
        self.assert_answers(connection)

    def test_end_of_stream_goes_over(self):
        connection = self.dial()
        self.assert_answers(connection)
        self.assert_ends_in_order(connection)

    def test_cut_resets_every_connection_and_lets_new_ones_in(self):
        connections = [self.dial(), self.dial()]
        for connection in connections:
            self.assert_answers(connection)
        self.assertEqual(self.gate.cut(), 2)
        for connection in connections:
            with self.assertRaises(ConnectionResetError):
                connection.recv(1)
        self.assert_answers(self.dial())

    def test_close_ends_a_connection_in_order(self):
        connection = self.dial()
        self.assert_answers(connection)
        self.assertEqual(self.gate.close(), 1)
        self.assertEqual(connection.recv(1), b"")

    def test_cut_after_a_byte_lets_exactly_so_many_over(self):
        connection = self.dial()
        self.assert_answers(connection)
        before = self.gate.seen["there"]
        self.gate.cut_after(3)
        connection.sendall(b"abcdef")
        with self.assertRaises(ConnectionResetError):
            connection.recv(6)
        self.assertEqual(self.gate.seen["there"] - before, 3)
        self.assert_answers(self.dial())

    def test_silence_swallows_and_spoils_the_connection(self):
        connection = self.dial()
        self.assert_answers(connection)
        with self.gate.silent():
            connection.sendall(b"lost")
            connection.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                connection.recv(1)
        connection.settimeout(PATIENCE)
        with self.assertRaises(ConnectionResetError):
            connection.recv(1)
        self.assertEqual(self.gate.seen["swallowed"], 4)

    def test_nothing_comes_out_behind_what_silence_has_swallowed(self):
        connection = self.dial()
        self.assert_answers(connection)
        cut = self.gate.cut

        def late_cut():
            connection.sendall(b"behind a gap")
            connection.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                connection.recv(1)
            cut()

        self.gate.cut = late_cut
        with self.gate.silent(("there",)):
            connection.sendall(b"lost")
            connection.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                connection.recv(1)
        self.assertEqual(self.gate.seen["swallowed"], len(b"lost" + b"behind a gap"))

    def test_what_is_held_comes_later_and_whole(self):
        connection = self.dial()
        self.assert_answers(connection)
        with self.gate.holding():
            connection.sendall(b"later")
            connection.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                connection.recv(1)
        connection.settimeout(PATIENCE)
        self.assertEqual(self.answer(connection, 5), b"later")

    def test_who_dials_while_it_refuses_is_turned_away_and_the_others_stay(self):
        connection = self.dial()
        self.assert_answers(connection)
        with self.gate.refusing():
            self.assert_turned_away(self.gate.port)
            self.assert_answers(connection)
        self.assert_answers(self.dial())

    def test_a_server_that_is_not_there_resets_who_dials(self):
        with Gate(1) as nowhere:
            self.assert_turned_away(nowhere.port)


if __name__ == "__main__":
    unittest.main(verbosity=2)
