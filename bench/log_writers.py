"""
Clients of the log in a process of their own: each writes numbered entries, one request at a time, over TLS.

``python -m bench.log_writers PORT LABEL SECONDS WRITERS BATCH RATE`` prints a `Written` as JSON in the end.  A batch of
1 is a single entry to ``POST /``, more are NDJSON.  RATE is entries a second of all writers together; 0: as many as are
taken.  The n-th entry of a writer has the message ``LABEL-WRITER n ...`` and a time within the last half second; the
writer goes on to the next request when it has its 200, so what was acknowledged is a number for each writer.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

import msgspec

#: What an access log's line is about.
TEXT = "GET /posts/1234 200 in 23 ms from app-3 at 10.0.0.3:8001, 5120 bytes, attempt 1"
#: Who hears nothing for so long gives up: the log is gone.
PATIENCE_SECONDS = 30.0
SPREAD_SECONDS = 0.5


class Written(msgspec.Struct):
    """
    What a run has come to.

    :ivar acknowledged: how many entries of each writer were; its first ones.
    :ivar sent: how many of each writer were sent.
    :ivar refusals: answers that were no 200; their entries were sent again.
    """

    label: str
    acknowledged: list[int]
    sent: list[int]
    seconds: float
    p50_ms: float
    p99_ms: float
    refusals: int


def _connected(port: int) -> socket.socket:
    """Also to a log that is still starting; raises OSError."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


class _Writer:
    def __init__(self, port: int, label: str, batch: int, random: Random, context: ssl.SSLContext) -> None:
        plain = _connected(port)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(plain, server_hostname="localhost")
        self.label = label
        self._batch = batch
        self._random = random
        self._target = b"/" if batch == 1 else b"/v1/entries"
        self._kind = b"application/json" if batch == 1 else b"application/x-ndjson"
        self._answer = b""
        self.acknowledged = 0
        self.sent = 0
        self.refusals = 0
        self.began = 0.0
        self.took: list[float] = []

    def _body(self) -> bytes:
        now = time.time() - SPREAD_SECONDS
        second = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        source = self.label.partition("-")[0]
        micros = [int(self._random.random() * 1_000_000) for _ in range(self._batch)]
        lines = [
            f'{{"Level":"INFO","Timestamp":"{second}.{micro:06d}Z","Source":"{source}",'
            f'"Message":"{self.label} {number} {TEXT}"}}'
            for number, micro in enumerate(micros, self.acknowledged)
        ]
        return "\n".join(lines).encode()

    def send(self) -> None:
        """The next request, or the same entries again after a refusal."""
        body = self._body()
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
        self.sent = max(self.sent, self.acknowledged + self._batch)
        self._answer = b""
        self.began = time.perf_counter()
        self.sock.sendall(head % (self._target, self._kind, len(body)) + body)

    def receive(self) -> bool:
        """What has come; whether the answer is whole.  Raises OSError."""
        self.sock.settimeout(0)
        try:
            data = self.sock.recv(65536)
        except ssl.SSLWantReadError:  # a ticket for the next session, say
            return False
        finally:
            self.sock.settimeout(PATIENCE_SECONDS)
        if not data:
            raise ConnectionResetError
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return False
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return False
        self.took.append(time.perf_counter() - self.began)
        if head.startswith(b"HTTP/1.1 200"):
            self.acknowledged += self._batch
        else:
            self.refusals += 1
        return True


def write(
    port: int,
    label: str,
    seconds: float,
    writers: int,
    batch: int,
    rate: float = 0.0,
    begun: Callable[[], None] = lambda: None,
) -> Written:
    """
    Write until the time is over or the log is gone.

    :param rate: entries a second of all writers; 0.0: as many as are taken.
    :param begun: is called when all writers are connected.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    random = Random(label)
    all_of_them = [_Writer(port, f"{label}-{number}", batch, random, context) for number in range(writers)]
    begun()
    began = time.perf_counter()
    end = began + seconds
    poll = select.epoll()
    by_descriptor = {writer.sock.fileno(): writer for writer in all_of_them}
    due: list[_Writer] = list(all_of_them)
    under_way = 0
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    try:
        while due or under_way:
            now = time.perf_counter()
            if now > end:
                due = []
            while due and (not rate or sum(each.sent for each in all_of_them) < rate * (now - began)):
                due.pop(0).send()
                under_way += 1
            if not due and not under_way:
                break
            for descriptor, _ in poll.poll(0.002 if due else PATIENCE_SECONDS):
                writer = by_descriptor[descriptor]
                # TLS may hold more than epoll knows of; but an answer is small, and comes in one record.
                if writer.receive():
                    due.append(writer)
                    under_way -= 1
    except OSError:
        pass  # killed
    finally:
        poll.close()
        for writer in all_of_them:
            writer.sock.close()
    took = sorted(one for writer in all_of_them for one in writer.took) or [0.0]
    return Written(
        label,
        [writer.acknowledged for writer in all_of_them],
        [writer.sent for writer in all_of_them],
        time.perf_counter() - began,
        took[len(took) // 2] * 1000,
        took[int(len(took) * 0.99)] * 1000,
        sum(writer.refusals for writer in all_of_them),
    )


if __name__ == "__main__":
    _port, _label, _seconds, _writers, _batch, _rate = sys.argv[1:]
    result = write(int(_port), _label, float(_seconds), int(_writers), int(_batch), float(_rate))
    print(msgspec.json.encode(result).decode())
