"""Problem details."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.heads import RequestHead
from scalekit.http.problems import problem_answer, problem_body


class ProblemTests(SynchronousTestCase):
    def test_json_says_what_why_and_which(self) -> None:
        head, body = problem_answer(
            UpstreamFault(503, "no-app-servers", "No app servers found"), RequestHead(b"GET", b"/", []), b"id-7", 2
        )
        self.assertEqual((head.status, head.length), (503, len(body)))
        self.assertEqual(head.get(b"content-type"), b"application/problem+json")
        self.assertEqual(head.get(b"cache-control"), b"no-store")
        self.assertIn(b"No app servers found", body)
        self.assertEqual(
            json.loads(body),
            {
                "type": "about:blank",
                "title": "Service Unavailable",
                "status": 503,
                "detail": "No app servers found",
                "reason": "no-app-servers",
                "request_id": "id-7",
                "attempts": 2,
            },
        )

    def test_when_to_come_back(self) -> None:
        for seconds, line in ((None, None), (5, b"5")):
            head, _ = problem_answer(UpstreamFault(503, "queue-full", "Busy.", seconds), None, b"")
            self.assertEqual(head.get(b"retry-after"), line)

    def test_text_for_who_asks_for_text(self) -> None:
        request = RequestHead(b"GET", b"/", [(b"Accept", b"text/plain")])
        head, body = problem_answer(UpstreamFault(503, "no-app-servers", "No app servers found"), request, b"id-7")
        self.assertEqual(head.get(b"content-type"), b"text/plain; charset=utf-8")
        self.assertEqual(body, b"503 Service Unavailable: No app servers found (no-app-servers)\nrequest id-7\n")

    def test_what_is_allowed_instead(self) -> None:
        """RFC 9110 section 15.5.6: said even where nothing is, as to CONNECT."""
        fault = ClientFault(405, "method-not-allowed", "CONNECT is not allowed here.")
        self.assertEqual(problem_answer(fault, None, b"")[0].get(b"allow"), b"")
        self.assertEqual(problem_answer(fault, None, b"", allowed=b"GET")[0].get(b"allow"), b"GET")

    def test_a_request_without_a_head(self) -> None:
        head, body = problem_answer(ClientFault(400, "bad-host", "Two Hosts."), None, b"")
        self.assertEqual(head.status, 400)
        self.assertEqual(set(json.loads(body)), {"type", "title", "status", "detail", "reason"})

    def test_more_members(self) -> None:
        _, body = problem_body(None, 400, "bad-entry", "No such level.", extra={"field": "Level"})
        told = json.loads(body)
        self.assertEqual(told["field"], "Level")
        self.assertEqual(set(told), {"type", "title", "status", "detail", "reason", "field"})

    def test_an_unusual_status_has_a_title_too(self) -> None:
        _, body = problem_body(None, 499, "client-gone", "x")
        self.assertEqual(json.loads(body)["title"], "Error")

    @given(
        st.one_of(st.none(), st.sampled_from([b"text/plain", b"*/*"]), st.binary(max_size=20)),
        st.integers(400, 599),
        st.text(max_size=30).filter(lambda text: text.isprintable()),
        st.binary(max_size=12).filter(lambda raw: b"\n" not in raw),
        st.integers(0, 9),
    )
    def test_anything_can_be_told(
        self, accept: bytes | None, status: int, detail: str, request_id: bytes, attempts: int
    ) -> None:
        kind, body = problem_body(accept, status, "a-reason", detail, request_id, attempts)
        self.assertTrue(body.endswith(b"\n"))
        if kind == b"application/problem+json":
            told = json.loads(body)
            self.assertEqual((told["status"], told["detail"], told["reason"]), (status, detail, "a-reason"))
            self.assertEqual(told.get("request_id", "").encode("latin-1"), request_id)
            self.assertEqual(told.get("attempts", 0), attempts)
        else:
            self.assertEqual(kind, b"text/plain; charset=utf-8")
            self.assertIn(detail, body.decode())
            self.assertIn("(a-reason)", body.decode())
