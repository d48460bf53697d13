"""pyOpenSSL's connection and ours do the same: what comes, and what each failure is raised as."""

from __future__ import annotations

import socket
from typing import Any

from OpenSSL import SSL

from scalekit.net.contexts import client_context, forget_errors
from scalekit.net.quick_tls import RECORD_BYTES, QuickConnection
from tests.net.test_tls import Files


class Pairs(Files):
    """A test with two ends of a connection, the server's of the class ``kind``."""

    kind: Any = QuickConnection

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.theirs = socket.socketpair()
        for sock in (self.ours, self.theirs):
            sock.setblocking(False)
            self.addCleanup(sock.close)
        self.server = self.kind(self.server_context(), self.ours)
        self.server.set_accept_state()
        self.client = SSL.Connection(client_context(self.ca), self.theirs)
        self.client.set_connect_state()
        for end in (self.client, self.server) * 3:
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
        self.assertRaises(SSL.WantReadError, self.client.recv, 100)  # takes the tickets
        self.addCleanup(forget_errors)


class SameTests(Pairs):
    def test_what_comes(self) -> None:
        for sent in (b"x", b"hello" * 1000, b"y" * RECORD_BYTES):
            self.assertEqual(self.client.send(sent), len(sent))
            self.assertEqual(self.server.recv(RECORD_BYTES), sent)
            self.assertEqual(self.server.send(sent), len(sent))
            self.assertEqual(self.client.recv(RECORD_BYTES), sent)

    def test_what_is_read_stays_as_it_is(self) -> None:
        self.client.send(b"first")
        first = self.server.recv(RECORD_BYTES)
        self.client.send(b"other")
        self.assertEqual((self.server.recv(RECORD_BYTES), first), (b"other", b"first"))

    def test_a_part(self) -> None:
        self.client.send(b"hello")
        self.assertEqual((self.server.recv(2), self.server.recv(RECORD_BYTES)), (b"he", b"llo"))

    def test_views(self) -> None:
        self.assertEqual(self.server.send(memoryview(b"0123456789")[4:]), 6)
        self.assertEqual(self.client.recv(100), b"456789")

    def test_one_record_at_a_time(self) -> None:
        self.assertEqual(self.server.send(b"z" * 100_000), RECORD_BYTES)

    def test_nothing_there(self) -> None:
        self.assertRaises(SSL.WantReadError, self.server.recv, 100)

    def test_no_room(self) -> None:
        def fill() -> None:
            while True:
                self.server.send(b"z" * RECORD_BYTES)

        self.assertRaises(SSL.WantWriteError, fill)

    def test_the_end(self) -> None:
        self.client.shutdown()
        self.assertRaises(SSL.ZeroReturnError, self.server.recv, 100)

    def test_a_cut(self) -> None:
        self.theirs.close()
        why = self.assertRaises(SSL.SysCallError, self.server.recv, 100)
        self.assertEqual(why.args[0], -1)

    def test_a_write_into_nothing(self) -> None:
        self.theirs.close()
        why = self.assertRaises(SSL.SysCallError, self.server.send, b"x")
        self.assertEqual(why.args[1], "EPIPE")

    def test_nonsense(self) -> None:
        self.theirs.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        why = self.assertRaises(SSL.Error, self.server.recv, 100)
        self.assertIn("decryption failed", str(why))


class MoreTests(Pairs):
    """Another record after one: what none is does not have to be raised, and all else is."""

    def test_it_is_there(self) -> None:
        for sent in (b"one", b"two"):
            self.client.send(sent)
        self.assertEqual((self.server.recv(), self.server.more(), self.server.more()), (b"one", b"two", b""))

    def test_the_end(self) -> None:
        self.client.shutdown()
        self.assertRaises(SSL.ZeroReturnError, self.server.more)

    def test_a_cut(self) -> None:
        self.theirs.close()
        self.assertRaises(SSL.SysCallError, self.server.more)

    def test_nonsense(self) -> None:
        self.theirs.send(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        self.assertRaises(SSL.Error, self.server.more)


class OriginalTests(SameTests):
    """So that what is tried above is what pyOpenSSL does."""

    kind = SSL.Connection
