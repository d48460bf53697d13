"""Tests of `scalekit.blog.forms`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog.forms import parse_form, refuse_cross_site
from scalekit.blog.store import PostFields
from scalekit.errors import ClientFault

KIND = "application/x-www-form-urlencoded"


class ParseFormTests(SynchronousTestCase):
    def test_fields(self) -> None:
        form = parse_form(KIND + "; charset=utf-8", b"title=+T%C3%A9+&author=A&body=a%0D%0Ab%0D%0A&revision=7&x=1")
        self.assertEqual(form, (PostFields("Té", "A", "a\nb"), 7))

    def test_absent_fields_are_empty(self) -> None:
        self.assertEqual(parse_form(KIND, b""), (PostFields("", "", ""), None))

    def test_revisions_that_are_none(self) -> None:
        for text in (b"-1", b"x", b"", b"9" * 16, "²".encode()):
            body = b"revision=" + b"".join(b"%%%02X" % octet for octet in text)
            self.assertIsNone(parse_form(KIND, body).revision)

    def test_what_cannot_be_read(self) -> None:
        rows = [
            (None, b"", 415),
            ("multipart/form-data; boundary=x", b"", 415),
            ("text/plain", b"title=x", 415),
            (KIND, b"title=%FF", 400),
            (KIND, b"title=\xff", 400),
            (KIND, b"&".join(b"a=%d" % number for number in range(100)), 400),
        ]
        for kind, body, status in rows:
            fault = self.assertRaises(ClientFault, parse_form, kind, body)
            self.assertEqual(fault.status, status, (kind, body))


class RefuseCrossSiteTests(SynchronousTestCase):
    def test_ourselves_the_person_and_programs(self) -> None:
        for fetch_site, origin, host in [
            ("same-origin", "https://localhost:2000", "localhost:2000"),
            ("none", None, "localhost:2000"),
            (None, None, "localhost:2000"),
            (None, "https://blog.example", "blog.example"),
            (None, "https://blog.example", "blog.example:443"),
            (None, "http://BLOG.example:80", "blog.example"),
            (None, "https://[::1]:2000", "[::1]:2000"),
        ]:
            refuse_cross_site(fetch_site, origin, host)

    def test_strangers(self) -> None:
        for fetch_site, origin, host in [
            ("cross-site", None, "localhost:2000"),
            ("same-site", None, "localhost:2000"),
            ("same-origin", "https://evil.example", "localhost:2000"),
            (None, "https://localhost:8000", "localhost:2000"),
            (None, "null", "localhost:2000"),
            (None, "", ""),
            (None, "https://[", "localhost"),
            (None, "https://localhost:99999999", "localhost"),
            (None, "http://blog.example", "blog.example:443"),
        ]:
            fault = self.assertRaises(ClientFault, refuse_cross_site, fetch_site, origin, host)
            self.assertEqual(fault.status, 403)
