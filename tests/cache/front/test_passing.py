"""Requests that no cache may answer."""

from __future__ import annotations

from scalekit.errors import UpstreamFault
from tests.cache.front.fronted import Case, get


class PassedTests(Case):
    def passes(
        self, *lines: bytes, method: bytes, path: bytes = b"/x", control: bytes = b"", status: int = 200
    ) -> bytes:
        client = self.it.client()
        client.says(get(path, *lines, method=method))
        self.it.origin.answers(b"", control, status)
        return client.heard().said

    def test_a_change_invalidates(self) -> None:
        self.it.fill(b"/x")
        self.assertEqual(self.passes(b"Content-Length: 0", method=b"POST", status=400), b"fwd=method")
        self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=60")
        self.passes(b"Content-Length: 0", method=b"POST")
        self.it.fill(b"/x", b"new")
        self.assertEqual(len(self.it.asked), 4)

    def test_a_change_invalidates_groups(self) -> None:
        self.it.fill(b"/x", b"", b"max-age=60", 200, (b"Cache-Groups", b'"posts"'))
        client = self.it.client()
        client.says(get(b"/y", b"Content-Length: 0", method=b"POST"))
        self.it.origin.answers(b"", b"", 200, (b"Cache-Group-Invalidation", b'"posts"'))
        self.it.fill(b"/x", b"new")
        self.assertEqual(self.it.get(b"/x").body, b"new")

    def test_options_and_a_get_with_a_body_do_not(self) -> None:
        self.it.fill(b"/x")
        self.passes(method=b"OPTIONS")
        self.assertEqual(self.passes(b"Content-Length: 2", b"", method=b"GET")[:0], b"")
        self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=60")

    def test_a_head_that_tells_of_another(self) -> None:
        self.it.fill(b"/x", b"old", b"max-age=60", 200, (b"ETag", b'"v1"'))
        client = self.it.client()
        client.says(get(b"/x", b"Cache-Control: no-cache", method=b"HEAD"))
        self.it.origin.answers(b"", b"max-age=100", 200, (b"ETag", b'"v2"'))
        self.it.fill(b"/x", b"new")
        self.assertEqual(self.it.get(b"/x").body, b"new")

    def test_what_may_be_answered_for_another_target_is_not_kept_and_tells_nothing(self) -> None:
        self.it.fill(b"/x", b"mine", b"max-age=60", 200, (b"ETag", b'"v1"'))
        for path, method in ((b"/x", b"GET"), (b"/x", b"HEAD"), (b"/y", b"GET")):
            client = self.it.client()
            client.says(get(path, b"X-Original-URL: /admin", method=method))
            self.it.origin.answers(b"" if method == b"HEAD" else b"other", b"max-age=600", 200, (b"ETag", b'"v2"'))
            self.assertEqual(client.heard().said, b"fwd=bypass")
        self.assertEqual(self.it.get(b"/x").body, b"mine")
        self.it.fill(b"/y", b"mine")
        self.assertEqual(self.it.get(b"/y").body, b"mine")

    def test_faults_say_it_too(self) -> None:
        client = self.it.client()
        client.says(get(b"/x", b"Content-Length: 0", method=b"POST"))
        self.it.origin.exchange.fail(UpstreamFault(503, "no-app-servers", "None."))
        heard = client.heard()
        self.assertEqual((heard.status, heard.said), (503, b"fwd=method"))
        self.assertEqual(client.outcomes, [(b"/x", 503, "no-app-servers")])
        client = self.it.client()
        client.says(get(b"/x", b"Content-Length: 0", method=b"POST"))
        self.it.origin.begins()
        self.it.origin.exchange.fail(UpstreamFault(502, "answer-cut", "Cut."))
        client.settle()
        self.assertTrue(client.was_cut)
