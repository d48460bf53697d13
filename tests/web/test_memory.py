"""Tests of `scalekit.web.memory`: its exchange treats a body as those on a wire do."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import RequestHead
from scalekit.web.memory import MemoryExchange
from tests.net.body_conformance import PauseAndResume
from tests.net.conversation import Seen


class InMemory:
    """One exchange, and nobody between its client and its responder."""

    def __init__(self, then: Any) -> None:
        self.exchange = MemoryExchange(RequestHead(b"POST", b"/", []), b"abc", is_ended=False)
        self.seen = [Seen(self.exchange)]
        if then is not None:
            then(self.seen[0])

    def settle(self) -> None:
        """Nothing is ever under way."""


class PauseAndResumeTests(PauseAndResume, SynchronousTestCase):
    def posts(self, then: Any = None) -> InMemory:
        return InMemory(then)

    def goes_on(self, it: InMemory) -> None:
        it.exchange.feed(b"def")
        it.exchange.end()
