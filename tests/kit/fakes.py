"""A client whose requests the test answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from scalekit.kit.client import Answer, Client, TooLate, Unreachable


class FakeClient(Client):
    """Keeps each request; the oldest unanswered one is answered by `answer` or `cut`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(None, clock)
        self.clock = clock
        self.requests: list[str] = []
        self.bodies: list[bytes | None] = []
        self.headers: list[dict[str, str]] = []
        self.waiting: list[Deferred[Answer]] = []

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]:
        self.requests.append(f"{method} {url}")
        self.bodies.append(body)
        self.headers.append(headers or {})
        result: Deferred[Answer] = Deferred()
        self.waiting.append(result)

        def late(failure: Any) -> Any:
            if result in self.waiting:
                self.waiting.remove(result)
            raise TooLate("no answer in time")

        return result.addTimeout(seconds, self.clock, onTimeoutCancel=lambda result, _: late(result))

    def answer(self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        fields = Headers({name: [value] for name, value in (headers or {}).items()})
        self.waiting.pop(0).callback(Answer(status, fields, body))
        self.clock.advance(0.0)  # what was put off to the next turn

    def cut(self) -> None:
        self.waiting.pop(0).errback(Unreachable("connection refused"))
        self.clock.advance(0.0)
