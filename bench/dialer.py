"""
A client that does nothing but TLS handshakes, some at a time: connect, shake hands, say goodbye, wait for the end.

``python -m bench.dialer full|resumed PORT SECONDS AT_ONCE`` prints a `Dialled` as JSON.  Resumed is with the ticket of
a first connection.  It does not verify the certificate, only that the server has its key: that is the client's work.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
import time

import msgspec

#: Sources, so that closed connections' ports (TIME_WAIT, a minute) do not run out.
SOURCES = [f"127.0.0.{number}" for number in range(1, 9)]
NAME = "localhost"
#: Who does not get through in this time is counted as a fault.
PATIENCE_SECONDS = 5.0


class Dialled(msgspec.Struct, frozen=True):
    """What a run has come to; ``otherwise`` were resumed and should not have been, or the other way round."""

    handshakes: int
    seconds: float
    median_us: float
    p99_us: float
    otherwise: int
    faults: int
    agreed: str


class _Dial:
    """One connection."""

    def __init__(self, context: ssl.SSLContext, port: int, source: str, session: ssl.SSLSession | None) -> None:
        self.began = time.perf_counter()
        self.is_shaken = False
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS, (source, 0))
        plain.setblocking(False)
        self.descriptor = plain.fileno()
        self.sock = context.wrap_socket(plain, do_handshake_on_connect=False, server_hostname=NAME, session=session)

    def go_on(self) -> bool:
        """As far as it goes now; whether the connection has ended. Raises OSError."""
        try:
            if not self.is_shaken:
                self.sock.do_handshake()
                self.is_shaken = True
                self.took = time.perf_counter() - self.began
                self.was_resumed = bool(self.sock.session_reused)
            self.sock.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            # After the handshake the server may close as it likes.
            if not self.is_shaken:
                raise
        return True


def dial(port: int, seconds: float, at_once: int, is_resumed: bool) -> Dialled:
    """
    :param at_once: how many handshakes are under way at any time.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # As browsers do: ALPN and SNI are a part of the work.
    context.set_alpn_protocols(["http/1.1"])
    session, agreed = _ticket(context, port)
    times: list[float] = []
    otherwise = faults = number = 0
    poll = select.epoll()
    open_: dict[int, _Dial] = {}

    def begin() -> None:
        nonlocal number, faults
        number += 1
        try:
            new = _Dial(context, port, SOURCES[number % len(SOURCES)], session if is_resumed else None)
        except OSError:
            faults += 1
            return
        open_[new.descriptor] = new
        poll.register(new.descriptor, select.EPOLLIN)
        go_on(new)

    def go_on(one: _Dial) -> None:
        nonlocal otherwise, faults
        try:
            if not one.go_on():
                return
        except OSError:
            faults += 1
        else:
            times.append(one.took)
            otherwise += one.was_resumed is not is_resumed
        del open_[one.descriptor]
        one.sock.close()

    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        while len(open_) < at_once:
            begin()
        for descriptor, _ in poll.poll(PATIENCE_SECONDS):
            go_on(open_[descriptor])
    times.sort()
    median, p99 = (times[len(times) // 2], times[len(times) * 99 // 100]) if times else (0.0, 0.0)
    return Dialled(len(times), elapsed, median * 1e6, p99 * 1e6, otherwise, faults, agreed)


def _ticket(context: ssl.SSLContext, port: int) -> tuple[ssl.SSLSession | None, str]:
    """A session, and what was agreed on; tickets come after the handshake (TLS 1.3), before the first answer."""
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    with context.wrap_socket(plain, server_hostname=NAME) as sock:
        sock.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while sock.recv(4096):
            pass
        cipher = sock.cipher()
        return sock.session, f"{cipher[1]} {cipher[0]}" if cipher else ""


def main(how: str, port: str, seconds: str, at_once: str) -> None:
    """The command."""
    done = dial(int(port), float(seconds), int(at_once), how == "resumed")
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
