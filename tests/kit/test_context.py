"""Tests of `scalekit.kit.context`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.context import context, current


class ContextTests(SynchronousTestCase):
    def test_inner_fields_win_and_all_end(self) -> None:
        with context(request_id="1", a=1):
            with context(a=2):
                self.assertEqual(current(), {"request_id": "1", "a": 2})
            self.assertEqual(current(), {"request_id": "1", "a": 1})
        self.assertEqual(current(), {})

    def test_it_follows_a_coroutine_that_waits(self) -> None:
        seen = []

        async def answer(number: int, waiting: Deferred[None]) -> None:
            with context(request_id=number):
                await waiting
                seen.append(current()["request_id"])

        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        for number, waiting in enumerate(waits):
            Deferred.fromCoroutine(answer(number, waiting))
        for waiting in reversed(waits):
            waiting.callback(None)
        self.assertEqual((seen, current()), ([1, 0], {}))
