"""What a log of purges makes of what it hears, without a Redis; `tests.cache.test_shared` has one."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import Purge
from scalekit.interfaces import IPurgeObserver

PURGE = [b"by", b"another", b"is", b"key", b"name", b"a", b"soft", b"0"]
STORED = [b"by", b"another", b"is", b"stored", b"key", b"b"]
PURGED = ("purged", Purge(Kind.KEY, b"a"))


@implementer(IPurgeObserver)
class Observer:
    def __init__(self, *raising: str) -> None:
        self.raising = set(raising)
        self.told: list[Any] = []

    def _is_told(self, name: str, *what: Any) -> None:
        self.told.append((name, *what))
        if name in self.raising:
            raise ValueError(name)

    def purged(self, purge: Purge) -> None:
        self._is_told("purged", purge)

    def changed(self, key: bytes) -> None:
        self._is_told("changed", key)

    def doubted(self) -> None:
        self._is_told("doubted")


class Stream:
    """Redis as far as XREAD goes."""

    def execute_command(self, name: str, *arguments: Any) -> Deferred[Any]:
        purges, stores = arguments[-2:]
        found = [
            [b"cache:purges", [] if purges == b"1-0" else [(b"1-0", PURGE)]],
            [b"cache:stores", [] if stores == b"2-0" else [(b"2-0", STORED)]],
        ]
        return succeed([row for row in found if row[1]])


class HearingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = PurgeLog(cast(Any, None), "cache:", "run", cast(Any, Clock()), lambda: 0.0)

    def hear(self, *observers: Observer) -> Deferred[bool]:
        for observer in observers:
            self.log.observe(observer)
        return Deferred.fromCoroutine(self.log._hear(Stream()))

    def test_once(self) -> None:
        observer = Observer()
        self.assertTrue(self.successResultOf(self.hear(observer)))
        self.assertFalse(self.successResultOf(self.hear()))
        self.assertEqual(observer.told, [PURGED, ("changed", b"b")])

    def test_one_that_raises_doubts_all_it_has_and_the_others_hear_it(self) -> None:
        odd, other = Observer("purged"), Observer()
        self.successResultOf(self.hear(odd, other))
        self.assertEqual(odd.told, [PURGED, ("doubted",), ("changed", b"b")])
        self.assertEqual(other.told, [PURGED, ("changed", b"b")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_could_not_be_told_at_all_is_read_again(self) -> None:
        odd = Observer("purged", "doubted")
        self.failureResultOf(self.hear(odd), ValueError)
        odd.raising.clear()
        self.successResultOf(self.hear())
        self.assertEqual(odd.told, [PURGED, ("doubted",), PURGED, ("changed", b"b")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
