"""
Answers of a store that are not there at once.

What HTTP promises is held to a second time by a store that always answers by a Deferred, as one does that asks Redis.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache import resource
from scalekit.cache.keyvalue import KeyValue, Purged
from scalekit.cache.later import then
from scalekit.cache.store import Put
from scalekit.errors import ClientFault
from scalekit.http.heads import RequestHead
from scalekit.web.memory import MemoryExchange
from tests.cache import test_bulk, test_leasing, test_resource, test_values
from tests.cache.asking import Asking


class _Later(KeyValue):
    """In memory, but by a Deferred."""

    def get(self, *arguments: Any) -> Any:
        return succeed(super().get(*arguments))

    def peek(self, *arguments: Any) -> Any:
        return succeed(super().peek(*arguments))

    def ask(self, *arguments: Any) -> Any:
        return succeed(super().ask(*arguments))

    def wait(self, *arguments: Any) -> Any:
        near = KeyValue.ask
        self.ask = lambda *arguments: near(self, *arguments)  # type: ignore[method-assign]
        try:
            return super().wait(*arguments)
        finally:
            del self.ask

    def put(self, *arguments: Any) -> Any:
        return succeed(super().put(*arguments))

    def refuse(self, *arguments: Any) -> Any:
        return succeed(super().refuse(*arguments))

    def release(self, *arguments: Any) -> Any:
        return succeed(super().release(*arguments))

    def purge(self, *arguments: Any) -> Any:
        return succeed(super().purge(*arguments))


class _LaterMixin(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(resource, "KeyValue", _Later)
        super().setUp()


class ReadTests(_LaterMixin, test_values.ReadTests):
    pass


class StoreTests(_LaterMixin, test_values.StoreTests):
    pass


class DeleteTests(_LaterMixin, test_values.DeleteTests):
    pass


class LeaseTests(_LaterMixin, test_leasing.LeaseTests):
    pass


class PurgeTests(_LaterMixin, test_bulk.PurgeTests):
    pass


class GetManyTests(_LaterMixin, test_bulk.GetManyTests):
    pass


class StockSiteTests(_LaterMixin, test_resource.StockSiteTests):
    pass


class OurSiteTests(_LaterMixin, test_resource.OurSiteTests):
    pass


class ThenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.exchange = MemoryExchange(RequestHead(b"GET", b"/", []))
        self.taken: list[object] = []
        self.waiting: Deferred[object] = Deferred()

    def test_now_and_later(self) -> None:
        then("now", self.taken.append, self.exchange)
        then(self.waiting, self.taken.append, self.exchange)
        self.assertEqual(self.taken, ["now"])
        self.waiting.callback("later")
        self.assertEqual(self.taken, ["now", "later"])

    def test_a_fault(self) -> None:
        def refuse(found: object) -> None:
            raise ClientFault(412, "unmatched", "No.")

        then(self.waiting, refuse, self.exchange)
        self.waiting.callback(None)
        self.assertEqual(self.exchange.status, 412)

    def test_a_fault_of_ours(self) -> None:
        then(self.waiting, self.taken.append, self.exchange)
        self.waiting.errback(ZeroDivisionError())
        self.assertEqual(self.exchange.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_client_leaves(self) -> None:
        then(self.waiting, self.taken.append, self.exchange)
        self.exchange.leave()
        self.assertTrue(self.waiting.called)
        self.assertEqual((self.taken, self.exchange.status), ([], 0))


class _Service(KeyValue):
    """What comes of a purge and a store is the test's to say."""

    outcome: Any = None

    def purge(self, *arguments: Any) -> Any:
        return self.outcome

    def put(self, *arguments: Any) -> Any:
        return self.outcome


class OutcomeTests(Asking, SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(resource, "KeyValue", _Service)
        super().setUp()

    def test_a_purge_that_others_are_told_of_later(self) -> None:
        for outcome, expected in ((Purged.HERE, (202, 202, 202)), (succeed(Purged.EVERYWHERE), (200, 204, 204))):
            self.patch(_Service, "outcome", outcome)
            answers = (
                self.ask("POST", "/v1/purge", body=b'{"keys":["a"]}'),
                self.ask("DELETE", "/v1/keys/a"),
                self.ask("POST", "/invalidate?key=a"),
            )
            self.assertEqual(tuple(answer.status for answer in answers), expected)

    def test_a_client_that_leaves_before_its_value_is_stored(self) -> None:
        stored: Deferred[Put] = Deferred()
        self.patch(_Service, "outcome", stored)
        exchange = self.sending("/v1/keys/a", length=1)
        exchange.feed(b"v")
        exchange.end()
        exchange.leave()
        stored.callback(Put.CREATED)
        self.assertEqual(exchange.status, 0)
