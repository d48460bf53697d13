"""Clients that mix GET, POST, streams and WebSockets, as those of a site do, and note everything that goes wrong."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.scenarios.deploy_app import LINES
from tests.scenarios.running import PATIENCE_SECONDS

CLIENTS = 8
#: That its server goes away (RFC 6455 section 7.4.1): a client comes back.
GOING_AWAY = 1001
#: Between two requests: the cores are for the servers.
PAUSE_SECONDS = 0.02


class Fault(NamedTuple):
    """What was not as it should be; ``name`` is in the request's target, and so in an access log."""

    kind: str
    name: str
    what: str


class MixedLoad:
    """
    Each client has a connection of its own, which is used over and over, and a WebSocket beside it that it never ends.

    Half of the clients have a stream under way at any time; the others take turns at GET, POST and a message to be
    echoed.  A message that was not echoed before the WebSocket was closed with 1001 is said again in the next one.

    :param port: of the load balancer, in clear.
    :param stream_seconds: how long a stream takes.
    :param has_websockets: whether the app servers speak WebSocket.
    :param accepted: codes of close that are no fault.

    :ivar faults: what went wrong.
    :ivar posted: the names of the POSTs that were answered with 200.
    :ivar seconds: how long what went well took, by kind: ``GET``, ``POST``, ``stream``, ``message``, and ``WebSocket``
        for the opening of one.
    :ivar closed: how many WebSockets the other side has closed, by code.
    """

    def __init__(
        self,
        port: int,
        stream_seconds: float,
        has_websockets: bool = True,
        accepted: frozenset[int] = frozenset((GOING_AWAY,)),
    ) -> None:
        self.port = port
        self.stream_seconds = stream_seconds
        self.has_websockets = has_websockets
        self.accepted = accepted
        self.is_over = False
        self.faults: list[Fault] = []
        self.posted: list[str] = []
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.closed: Counter[int] = Counter()
        self._threads = [threading.Thread(target=_Client(self, number).live) for number in range(CLIENTS)]

    def count(self, kind: str) -> int:
        """How many of a kind have gone well."""
        return len(self.seconds[kind])

    def __enter__(self) -> MixedLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.is_over = True
        for thread in self._threads:
            thread.join()


class _Client:
    def __init__(self, load: MixedLoad, number: int) -> None:
        self._load = load
        self._number = number
        self._asked = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=PATIENCE_SECONDS)
        self._sockets = ExitStack()
        self._socket: ClientConnection | None = None

    def live(self) -> None:
        """Until the load is over."""
        try:
            self._ask_on()
        except Exception as why:  # of our own making; who is not there any more finds no faults
            self._load.faults.append(Fault("client", str(self._number), repr(why)))
        finally:
            self._connection.close()
            self._sockets.close()

    def _ask_on(self) -> None:
        load = self._load
        kinds = ("GET", "POST", "message") if load.has_websockets else ("GET", "POST")
        period = 2 * load.stream_seconds
        next_stream = time.monotonic() + period * self._number / CLIENTS
        while not load.is_over:
            kind = kinds[self._asked % len(kinds)]
            if time.monotonic() >= next_stream:
                next_stream = time.monotonic() + period
                kind = "stream"
            self._asked += 1
            name = f"{self._number}-{self._asked}"
            began = time.monotonic()
            fault = self._message(name) if kind == "message" else self._request(kind, name)
            if fault:
                load.faults.append(Fault(kind, name, fault))
            else:
                load.seconds[kind].append(time.monotonic() - began)
            time.sleep(PAUSE_SECONDS)

    def _request(self, kind: str, name: str) -> str:
        """What is wrong with the answer; empty: nothing."""
        path = f"/slow?{name}" if kind == "stream" else f"/{kind}?{name}"
        try:
            self._connection.request(*(("POST", path, name.encode()) if kind == "POST" else ("GET", path)))
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as why:
            self._connection.close()
            return repr(why)
        if answer.status != 200:
            return f"{answer.status} {body[:300]!r}"
        if kind == "POST":
            self._load.posted.append(name)
        if kind == "stream" and body != b"".join(LINES):
            return f"only {body!r}"
        return ""

    def _message(self, name: str) -> str:
        """What is wrong with the echo; empty: nothing."""
        while True:
            try:
                if self._socket is None:
                    began = time.monotonic()
                    self._socket = self._sockets.enter_context(
                        connect(
                            f"ws://127.0.0.1:{self._load.port}/ws?{name}",
                            proxy=None,
                            open_timeout=PATIENCE_SECONDS,
                            ping_interval=None,
                        )
                    )
                    self._load.seconds["WebSocket"].append(time.monotonic() - began)
                self._socket.send(name)
                heard = self._socket.recv(PATIENCE_SECONDS)
            except ConnectionClosed:
                code = self._socket.close_code if self._socket is not None else None
                self._hang_up()
                if code is None or code not in self._load.accepted:
                    return f"the WebSocket was closed with {code}"
                self._load.closed[code] += 1
                continue
            except (OSError, EOFError, WebSocketException) as why:
                self._hang_up()
                return repr(why)
            return "" if heard == name else f"{heard!r} instead of it"

    def _hang_up(self) -> None:
        self._socket = None
        self._sockets.close()
