"""The reactor without log contexts behaves like Twisted's; in processes of their own, since each has one reactor."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

ECHO = """
import socket
from scalekit.net import loop
loop.install()
loop.install()
from twisted.internet import protocol, reactor
assert type(reactor) is loop.QuickReactor, reactor
{body}
reactor.callLater(15, lambda: (print("too late"), reactor.stop()))
reactor.run()
"""


class TheReactor(SynchronousTestCase):
    def run_with(self, body: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", ECHO.format(body=body)], capture_output=True, text=True, timeout=30, check=False
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_it_serves_and_closes(self) -> None:
        self.assertEqual(
            self.run_with("""
class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
        self.transport.loseConnection()
class Ask(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"x" * 100)
    def dataReceived(self, data):
        print(len(data))
    def connectionLost(self, reason):
        print(reason.type.__name__)
        reactor.stop()
factory = protocol.ServerFactory.forProtocol(Echo)
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
reactor.connectTCP("127.0.0.1", port.getHost().port, protocol.ClientFactory.forProtocol(Ask))
""").split(),
            ["100", "ConnectionDone"],
        )

    def test_a_read_that_raises_costs_its_connection_and_is_logged(self) -> None:
        heard = self.run_with("""
from twisted.logger import globalLogPublisher
globalLogPublisher.addObserver(lambda event: print(event["log_failure"].type.__name__) if "log_failure" in event else 0)
class Raise(protocol.Protocol):
    def dataReceived(self, data):
        raise ZeroDivisionError
    def connectionLost(self, reason):
        print("lost", reason.type.__name__)
class Ask(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(b"x")
    def connectionLost(self, reason):
        reactor.stop()
port = reactor.listenTCP(0, protocol.ServerFactory.forProtocol(Raise), interface="127.0.0.1")
reactor.connectTCP("127.0.0.1", port.getHost().port, protocol.ClientFactory.forProtocol(Ask))
""")
        self.assertIn("ZeroDivisionError\n", heard)
        self.assertIn("lost ZeroDivisionError\n", heard)

    def test_a_connection_closed_by_one_that_came_before_it_is_passed_over(self) -> None:
        self.assertEqual(
            self.run_with("""
# Two connections are readable in the same turn; whichever is served first ends both.
import os
ends = []
heard = []
class Killing(protocol.Protocol):
    def connectionMade(self):
        ends.append(self)
    def dataReceived(self, data):
        heard.append(data)
        for each in ends:
            each.transport.connectionLost(__import__("twisted").python.failure.Failure(ZeroDivisionError()))
        reactor.callLater(0.1, lambda: (print(len(heard)), reactor.stop()))
pairs = [socket.socketpair() for _ in range(2)]
for ours, theirs in pairs:
    reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, protocol.ServerFactory.forProtocol(Killing))
for ours, theirs in pairs:
    theirs.send(b"x")
""").split(),
            ["1"],
        )

    def test_signals_and_interrupted_polls_do_not_end_it(self) -> None:
        self.assertEqual(
            self.run_with("""
import os, signal
got = []
reactor.callWhenRunning(lambda: signal.signal(signal.SIGUSR1, lambda *a: got.append(1)))
reactor.callLater(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
reactor.callLater(0.2, lambda: (print(len(got)), reactor.stop()))
""").split(),
            ["1"],
        )

    def test_connections_that_we_opened_are_read_first_and_sent_to_last(self) -> None:
        self.assertEqual(
            self.run_with("""
# Both are readable in one turn: the peer of neither has an answer before both have been heard.
import tempfile
from scalekit.net.connecting import connect
folder = tempfile.TemporaryDirectory()
listening = socket.socket(socket.AF_UNIX)
listening.bind(folder.name + "/s")
listening.listen(2)
peers, order = [], []
class Asked(protocol.Protocol):
    def connectionMade(self):
        peer, _ = listening.accept()
        peer.setblocking(False)
        peers.append(peer)
        if len(peers) == 2:
            for each in peers:
                each.send(b"go")
    def dataReceived(self, data):
        order.append("heard")
        self.transport.write(b"answer")
        for peer in peers:
            try:
                peer.recv(100)
                order.append("arrived")
            except BlockingIOError:
                pass
        if order.count("heard") == 2:
            reactor.at_turn_end(last)
def last():
    for peer in peers:
        order.append(peer.recv(100).decode())
    print(*order)
    reactor.stop()
for _ in range(2):
    connect(reactor, folder.name + "/s", Asked(), print)
""").split(),
            ["heard", "heard", "answer", "answer"],
        )
