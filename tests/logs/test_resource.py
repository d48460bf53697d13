"""The routes of port 6000, under our own Site, and below a path of a stock one."""

from __future__ import annotations

import gc
import gzip
import json
import weakref
from collections.abc import Sequence
from typing import Any

import zstandard

from scalekit.http.heads import RequestHead
from scalekit.interfaces import IResponder
from scalekit.logs import quarantine, taking
from scalekit.logs.bodies import BODY_LIMIT, VALUES_LIMIT
from scalekit.logs.budget import Budget
from scalekit.logs.resource import LogResource
from scalekit.logs.taking import Front
from scalekit.web.memory import MemoryExchange, ask, respond
from scalekit.web.site import Site
from tests.logs.collecting import CollectorCase

GOOD = b'{"Level":"INFO","Timestamp":"2023-11-14T22:13:20Z","Source":"shop","Message":"sold"}'


class LogResourceTests(CollectorCase):
    """`LogResource`."""

    settings = {"memory_bytes": 100_000, "segment_bytes": 1_000_000}

    def setUp(self) -> None:
        super().setUp()
        self.site: IResponder = Site(LogResource(self.collector), BODY_LIMIT)

    def post(
        self,
        path: bytes,
        body: bytes,
        kind: bytes = b"",
        coding: bytes = b"",
        method: bytes = b"POST",
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> MemoryExchange:
        """Ask, and do not let the disk work yet."""
        fields = [*fields, (b"Content-Type", kind)] if kind else [*fields]
        fields += [(b"Content-Encoding", coding)] if coding else []
        return ask(self.site, method, path, fields, body)

    def done(self, exchange: MemoryExchange) -> tuple[int, Any]:
        """Let the disk work; the status and the decoded answer."""
        while self.lanes[0].step():
            pass
        self.assertTrue(exchange.is_finished)
        return exchange.status, json.loads(exchange.sent)

    def test_one_entry(self) -> None:
        """200 once it is on disk and not before; then it gets into the file."""
        exchange = self.post(b"/", GOOD, b"application/json; charset=utf-8")
        self.assertFalse(exchange.is_finished)
        self.assertEqual(self.done(exchange), (200, {"accepted": 1}))
        self.assertEqual(self.done(self.post(b"/", GOOD)), (200, {"accepted": 1}))  # as Go sends it
        self.clock.advance(2)
        self.lanes[1].step()
        self.assertEqual(self.directory.read("log.txt"), b"2023-11-14 22:13:20;INFO;shop;sold\n" * 2)

    def test_malformed(self) -> None:
        """400 that names the field; counted."""
        for body, word in ((b"{}", "Level"), (b"nonsense", "JSON"), (GOOD.replace(b"2023", b"x"), "Timestamp")):
            status, answer = self.done(self.post(b"/", body))
            self.assertEqual(status, 400)
            self.assertIn(word, answer["detail"])
        self.assertEqual(self.collector.counts.rejected, 3)

    def test_batches(self) -> None:
        """NDJSON, also gzip, and arrays: good ones are taken, bad ones named."""
        answer = {"accepted": 2, "rejected": [{"line": 2, "error": "Level: missing."}], "rejected_count": 1}
        lines = b"\n".join([GOOD, b"{}", GOOD])
        array = b"[%s]" % b",".join([GOOD, b"{}", GOOD])
        for body, kind, coding in (
            (lines, b"application/x-ndjson", b""),
            (lines, b"", b""),
            (gzip.compress(lines), b"application/x-ndjson", b"gzip"),
            (array, b"application/json", b""),
        ):
            self.assertEqual(self.done(self.post(b"/v1/entries", body, kind, coding)), (200, answer))
        self.assertEqual((self.collector.counts.accepted, self.collector.counts.rejected), (8, 4))
        nothing = {"accepted": 0, "rejected": [], "rejected_count": 0}
        self.assertEqual(self.done(self.post(b"/v1/entries", b"")), (200, nothing))

    def test_quarantine(self) -> None:
        """Malformed entries are kept with what is wrong, without secrets, up to a bound."""
        body = b'{"Level":"INFO"}\n\xff\x1b password=x\n' + GOOD
        sizes = []
        for _ in range(3):
            self.done(self.post(b"/v1/entries", body))
            self.lanes[2].step()
            sizes.append(self.directory.size("quarantine-lines.txt"))
            self.patch(quarantine, "LINES_BYTES", sizes[0] + 1)
        self.assertEqual(sizes, [sizes[0], 2 * sizes[0], 2 * sizes[0]])
        lines = self.directory.read("quarantine-lines.txt").decode().splitlines()
        self.assertEqual(lines[0], '2023-11-14 22:13:20;WARN;line 1;Source: missing. {"Level":"INFO"}')
        self.assertTrue(lines[1].endswith("\\\\xff\\x1b password=[redacted]"), lines[1])

    def test_refusals(self) -> None:
        """Types that another origin's page may send, codings, sizes, methods, paths."""
        bomb = gzip.compress(bytes(2_000_000))
        brackets = b"[%b]" % (b"{}," * VALUES_LIMIT)
        for path, body, kind, coding, method, status in (
            (b"/", brackets, b"", b"", b"POST", 413),
            (b"/v1/entries", brackets, b"application/json", b"", b"POST", 413),
            (b"/v1/entries", brackets, b"application/x-ndjson", b"", b"POST", 413),
            (b"/v1/entries", zstandard.compress(b"x") * 20_000, b"", b"zstd", b"POST", 413),
            (b"/", GOOD, b"text/plain", b"", b"POST", 415),
            (b"/", GOOD, b"application/x-www-form-urlencoded", b"", b"POST", 415),
            (b"/", GOOD, b"application/x-ndjson", b"", b"POST", 415),
            (b"/v1/entries", GOOD, b"text/plain", b"", b"POST", 415),
            (b"/v1/entries", GOOD, b"", b"br", b"POST", 415),
            (b"/v1/entries", bomb, b"", b"gzip", b"POST", 413),
            (b"/v1/entries", b"\n" * 20_000, b"", b"", b"POST", 413),
            (b"/v1/entries", b"7", b"application/json", b"", b"POST", 400),
            (b"/v1/entries", b"", b"", b"", b"PUT", 405),
            (b"/", b"", b"", b"", b"DELETE", 405),
            (b"/v1", b"", b"", b"", b"POST", 404),
            (b"/v1/other", b"", b"", b"", b"POST", 404),
            (b"//", b"", b"", b"", b"POST", 404),
        ):
            answered, answer = self.done(self.post(path, body, kind, coding, method))
            self.assertEqual((answered, answer["status"]), (status, status), (path, kind, coding, method))

    def test_zstd(self) -> None:
        """Like gzip."""
        body = zstandard.compress(GOOD + b"\n" + GOOD)
        self.assertEqual(self.done(self.post(b"/v1/entries", body, b"", b"zstd"))[1]["accepted"], 2)

    def test_strict(self) -> None:
        """All or none."""
        body = b"\n".join([GOOD, b"{}", GOOD])
        status, answer = self.done(self.post(b"/v1/entries?strict=1", body))
        self.assertEqual((status, answer["rejected"]), (400, [{"line": 2, "error": "Level: missing."}]))
        self.assertEqual((self.collector.counts.accepted, self.collector.counts.rejected), (0, 3))
        self.assertEqual(self.done(self.post(b"/v1/entries?strict=1", GOOD))[0], 200)
        self.assertEqual(self.done(self.post(b"/v1/entries?strict=0", body))[0], 200)

    def test_exactly_once(self) -> None:
        """A repeat is acknowledged and not written; a gap is 409, a name that is none 400."""
        for name, status, word in (
            (b"app/1", 200, '"accepted"'),
            (b"app/1", 200, "repeated"),
            (b"app/3", 409, "Batch 2"),
        ):
            answered, answer = self.done(self.post(b"/v1/entries", GOOD, fields=[(b"X-Scalekit-Batch", name)]))
            self.assertEqual(answered, status)
            self.assertIn(word, json.dumps(answer))
        self.assertEqual(self.done(self.post(b"/", GOOD, fields=[(b"X-Scalekit-Batch", b"app")]))[0], 400)
        self.assertEqual(self.collector.counts.accepted, 1)

    def test_budget(self) -> None:
        """Of each source: 429 with Retry-After, and others are not touched."""
        self.collector._budget = Budget(1)
        for _ in range(11):
            self.assertEqual(self.done(self.post(b"/", GOOD))[0], 200)
        exchange = self.post(b"/", GOOD)
        self.assertEqual(self.done(exchange)[0], 429)
        self.assertIn((b"retry-after", b"1"), [(name.lower(), value) for name, value in exchange.fields])
        self.assertEqual(self.done(self.post(b"/", GOOD.replace(b"shop", b"till")))[0], 200)
        self.clock.advance(1)
        self.assertEqual(self.done(self.post(b"/", GOOD))[0], 200)
        self.assertEqual(self.collector.counts.over_budget, 1)

    def test_busy(self) -> None:
        """503 with Retry-After, as problem details."""
        big = GOOD.replace(b"sold", b"x" * 110_000)
        self.done(self.post(b"/", big))
        exchange = self.post(b"/", GOOD)
        self.assertEqual((self.done(exchange)[0], exchange.status), (503, 503))
        self.assertIn((b"retry-after", b"1"), [(name.lower(), value) for name, value in exchange.fields])

    def test_a_client_that_leaves(self) -> None:
        """Its entry stays on its way."""
        exchange = self.post(b"/", GOOD)
        exchange.leave()
        self.lanes[0].step()
        self.assertEqual(self.collector.counts.accepted, 1)


class FrontTests(LogResourceTests):
    """`Front`: the same answers."""

    def setUp(self) -> None:
        super().setUp()
        resource = LogResource(self.collector)
        self.site = Front(Site(resource, BODY_LIMIT), resource.takers)

    def test_nothing_is_left_of_a_request(self) -> None:
        """For the garbage collector, by whom all others would be held up."""
        gc.disable()
        self.addCleanup(gc.enable)
        for body in (GOOD, b"nonsense"):
            exchange = self.post(b"/", body)
            self.done(exchange)
            left = weakref.ref(exchange)
            del exchange
            self.assertIsNone(left(), body)

    def test_bodies_on_their_way_have_a_bound(self) -> None:
        """Who sends more than there is room for gets 503, whoever is done or gone leaves room."""
        self.patch(taking, "RECEIVING_LIMIT", 100_000)

        def begin(size: int) -> MemoryExchange:
            head = RequestHead(b"POST", b"/", [], host=b"localhost", length=1_000_000)
            exchange = MemoryExchange(head, b" " * size, is_ended=False)
            respond(self.site, exchange)
            return exchange

        first, second = begin(60_000), begin(30_000)
        self.assertEqual(begin(20_000).status, 503)
        self.assertEqual(self.collector.counts.refused["memory"], 1)
        second.feed(b" " * 20_000)
        self.assertEqual((second.status, first.status), (503, 0))
        third = begin(30_000)
        first.leave()
        begin(60_000).end()  # 400: it is empty
        self.assertEqual((third.status, self.collector.receiving_bytes), (0, 30_000))
        third.feed(GOOD)
        third.end()
        self.assertEqual(self.done(third), (200, {"accepted": 1}))
        self.assertEqual(self.collector.receiving_bytes, 0)
