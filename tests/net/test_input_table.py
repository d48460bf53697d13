"""
The table of inputs sent raw over a socket: each gets its answer, and no app server sees anything of what is refused.

The clients are plain sockets in threads, so nothing of ours helps them to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scalekit.http.targets import normalise
from tests.http.input_table import TABLE, Got, Row, head, rows
from tests.net.listener import (
    LAST,
    ListenerTestCase,
    ProxyTestCase,
    answers,
    statuses,
)


class InputTableTests(ListenerTestCase):
    """Against a responder that remembers what it saw."""

    async def check(self, cut: Callable[[bytes], Iterable[bytes]], among: Iterable[Row]) -> None:
        wrong = []
        recorder = self.responder
        for row in among:
            recorder.taken.clear()
            received = await self.send(*cut(row.sent + LAST))
            expected = row.taken + [Got(target=b"/last")] * (not row.closes)
            # Whether a body that comes in pieces is asked for by a 100 depends on how much of it was there in time.
            final = [status for status in statuses(received) if status != 100]
            if final != self.expected_statuses(row) or recorder.taken != expected:
                wrong.append(f"{row.name}: {recorder.taken}, answered {received[:300]!r}")
            elif row.expected[-1:] == (400,) and b"Connection: close" not in received:
                wrong.append(f"{row.name}: the answer does not say that it is the last: {received!r}")
        if wrong:
            self.fail("\n".join(wrong))

    async def test_whole(self) -> None:
        await self.check(lambda data: [data], rows())

    async def test_byte_by_byte(self) -> None:
        await self.check(
            lambda data: [data[i : i + 1] for i in range(len(data))], (r for r in rows() if len(r.sent) < 150)
        )

    async def test_what_is_refused_by_its_head_is_seen_by_no_responder(self) -> None:
        for group, members in TABLE.items():
            for row in members:
                if row.taken or group in ("bad chunks", "trailers"):
                    continue
                await self.send(row.sent + LAST)
                self.assertEqual(0, self.responder.begun, row.name)

    async def test_each_refusal_is_a_problem_with_a_reason(self) -> None:
        for _, members in TABLE.items():
            refusal = next((row for row in members if not row.taken), None)
            if refusal is not None:
                status, lines, body = answers(await self.send(refusal.sent))[0]
                self.assertEqual(refusal.expected, (status,))
                self.assertIn(b"Content-Type: application/problem+json", lines)
                self.assertIn(b'"reason":', body)

    async def test_the_persistence_of_http_1_0_is_said_aloud(self) -> None:
        kept = answers(await self.send(head(b"Connection: keep-alive", start=b"GET / HTTP/1.0") + LAST))
        self.assertIn(b"Connection: keep-alive", kept[0][1])
        self.assertIn(b"Connection: close", answers(await self.send(head(start=b"GET / HTTP/1.0")))[0][1])


class ProxiedTableTests(ProxyTestCase):
    """Of what is refused nothing whole arrives at an app server."""

    async def test_whole(self) -> None:
        wrong = []
        for group, members in TABLE.items():
            for row in members:
                self.backend.received.clear()
                self.backend.complete.clear()
                received = await self.send(row.sent + LAST)
                expected = [item.target for item in row.taken] + [b"/last"] * (not row.closes)
                if statuses(received) != self.expected_statuses(row) or self.backend.complete != expected:
                    wrong.append(f"{row.name}: {self.backend.complete}, answered {received[:300]!r}")
                elif not expected and self.backend.received and group not in ("bad chunks", "trailers"):
                    wrong.append(f"{row.name}: the app server saw {bytes(self.backend.received)!r}")
        if wrong:
            self.fail("\n".join(wrong))

    async def test_paths_that_mean_two_routes(self) -> None:
        for path in (
            b"/x/..%2fadmin",
            b"/x/..%2Fadmin/y",
            b"/x%2f..%2fadmin",
            b"/x\\..\\admin",
            b"/\\admin",
            b"//admin",
            b"/x/%2e%2e%2fadmin",
            b"/..;/admin",
            b"/;/admin",
            b"/x/..;a=b/admin",
            b"/admin/..%2fx",
            b"/admin%2fx",
            b"/admin;x",
            b"/./%2fadmin",
            b"/admin/../x",
            b"/x/%2e%2e/admin",
        ):
            received = await self.send(head(b"Connection: close", start=b"GET %b HTTP/1.1" % path))
            self.assertEqual([400], statuses(received), path)
            self.assertEqual(b"", bytes(self.backend.received), path)

    async def test_paths_that_look_odd_and_mean_one_route(self) -> None:
        for path in (
            b"/a%2fb",
            b"/a//b",
            b"/a/./b",
            b"/a/../b",
            b"/100%",
            b"/a;b=c",
            b"/%2e",
            b"/admin/%2e/x",
            b"/a?../admin",
        ):
            self.backend.complete.clear()
            received = await self.send(head(b"Connection: close", start=b"GET %b HTTP/1.1" % path))
            self.assertEqual(([200], [path]), (statuses(received), self.backend.complete), normalise(path))
