"""The caching front between clients and an origin."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.cache.front.fronted import Case, Fronted, get
from tests.net.h2_conversation import H2Conversation


class HitTests(Case):
    def test_a_miss_is_stored_and_then_hit(self) -> None:
        first = self.it.fill(b"/x", b"hello")
        self.assertEqual((first.status, first.body, first.said), (200, b"hello", b"fwd=uri-miss; ttl=60; stored"))
        self.it.passes(10)
        client = self.it.client()
        heard = client.gets(b"/x")
        self.assertEqual((heard.status, heard.body, heard.age, heard.said), (200, b"hello", 10, b"hit; ttl=50"))
        again = client.gets(b"/x")
        self.assertEqual(again.data, heard.data)
        self.assertEqual(len(self.it.asked), 1)
        record = client.records[0]
        self.assertEqual((record.service, record.cache, record.status, record.sent), ("web", "hit", 200, 5))

    def test_no_longer_fresh(self) -> None:
        self.it.fill(b"/x", b"one")
        self.it.passes(61)
        client = self.it.client()
        client.says(get(b"/x"))
        self.it.origin.answers(b"two")
        heard = client.heard()
        self.assertEqual((heard.body, heard.said), (b"two", b"fwd=stale; ttl=60; stored"))

    def test_each_request_looks_once(self) -> None:
        self.it.fill(b"/x", b"hello", b"max-age=60", 200, (b"ETag", b'"v1"'))
        self.it.get(b"/x")
        self.it.get(b"/x", b'If-None-Match: "v1"')
        stats = self.it.store.stats()
        self.assertEqual((stats.hits, stats.stale, stats.misses), (2, 0, 1))
        self.it.passes(61)
        self.it.get(b"/x")
        stats = self.it.store.stats()
        self.assertEqual((stats.hits, stats.stale, stats.misses), (3, 1, 1))

    def test_head_from_get(self) -> None:
        self.it.fill(b"/x", b"hello")
        heard = self.it.get(b"/x", method=b"HEAD")
        self.assertEqual((heard.status, heard.body, heard.said), (200, b"", b"hit; ttl=60"))
        self.assertIn(b"Content-Length: 5\r\n", heard.head)

    def test_a_service_that_is_not_cached(self) -> None:
        client = self.it.client()
        client.says(get(host=b"plain"))
        self.it.origin.answers()
        self.assertNotIn(b"Cache-Status", client.heard().data)
        self.assertIs(self.it.origin.exchange.record, client.records[0])

    def test_conditions_and_ranges(self) -> None:
        self.it.fill(b"/x", b"0123456789", b"max-age=60", 200, (b"ETag", b'"v1"'))
        self.assertEqual(self.it.get(b"/x", b'If-None-Match: "v1"').status, 304)
        heard = self.it.get(b"/x", b"Range: bytes=2-4")
        self.assertEqual((heard.status, heard.body), (206, b"234"))
        self.assertEqual(self.it.get(b"/x", b"Range: bytes=20-").status, 416)
        self.assertEqual(len(self.it.asked), 1)

    def test_only_if_cached(self) -> None:
        heard = self.it.get(b"/x", b"Cache-Control: only-if-cached")
        self.assertEqual((heard.status, heard.said), (504, b'detail="only-if-cached"'))
        self.assertEqual(self.it.asked, [])


class HTTP2Tests(SynchronousTestCase):
    def test_streams_of_one_connection(self) -> None:
        conversation = H2Conversation()
        it = Fronted(clock=conversation.clock)
        conversation.factory.respond = it.front.respond
        streams = [conversation.asks() for _ in range(3)]
        it.origin.begins(b"max-age=60", 6)
        it.origin.exchange.write(b"one")
        self.assertEqual(len(it.asked), 1)
        self.assertEqual([event[0] for event in conversation.hears()], ["answered"] * 3 + ["data"] * 3)
        streams.append(conversation.asks())
        it.origin.exchange.write(b"two")
        it.origin.exchange.finish()
        bodies = dict.fromkeys(streams, b"")
        for event in conversation.hears():
            if event[0] == "data":
                bodies[event[1]] += event[2]
        self.assertEqual(bodies, dict.fromkeys(streams[:3], b"two") | {streams[3]: b"onetwo"})
        conversation.asks()
        answered = conversation.hears()[0]
        self.assertIn((b"cache-status", b"scalekit; hit; ttl=60"), answered[2])
        self.assertIn((b"content-length", b"6"), answered[2])


class ColdTests(Case):
    def test_many_cold_clients_are_one_request(self) -> None:
        clients = [self.it.client() for _ in range(20)]
        for client in clients:
            client.says(get(b"/x"))
        self.it.passes(1)
        self.it.origin.answers(b"hello")
        heard = [client.heard() for client in clients]
        self.assertEqual([one.body for one in heard], [b"hello"] * 20)
        self.assertEqual(heard[0].said, b"fwd=uri-miss; ttl=59; stored")
        self.assertEqual({one.said for one in heard[1:]}, {b"fwd=uri-miss; ttl=59; collapsed"})
        self.assertEqual(len(self.it.asked), 1)

    def test_private_answers_are_waited_for_in_parallel(self) -> None:
        for wave in (10, 10):
            clients = [self.it.client() for _ in range(wave)]
            before = len(self.it.asked)
            for client in clients:
                client.says(get(b"/x"))
            self.it.passes(0.5)
            for asked in self.it.asked[before:]:
                asked.answers(b"mine", b"private")
            # Of the first wave nine have waited for the one; then, as in the second, each has asked.
            self.it.passes(0.4)
            for asked in self.it.asked[before:]:
                asked.answers(b"mine", b"private")
            self.assertEqual([client.heard().body for client in clients], [b"mine"] * 10)
        self.assertEqual(len(self.it.asked), 20)

    def test_a_stream_is_joined_from_its_start(self) -> None:
        first, second = self.it.client(), self.it.client()
        first.says(get(b"/x"))
        self.it.origin.begins()
        self.it.origin.exchange.write(b"one")
        self.assertEqual(first.heard().body, b"3\r\none\r\n")
        self.it.passes(0.5)
        second.says(get(b"/x"))
        self.assertEqual(second.heard().body, b"3\r\none\r\n")
        self.it.origin.exchange.write(b"two")
        self.it.origin.exchange.finish()
        for client in (first, second):
            self.assertEqual(client.hears(), b"3\r\ntwo\r\n0\r\n\r\n")
        self.assertEqual(self.it.get(b"/x").body, b"onetwo")
        self.assertEqual(len(self.it.asked), 1)
