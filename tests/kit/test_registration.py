"""Tests of `scalekit.kit.registration`: what it says is what the balancer reads."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import consent, members
from scalekit.kit.registration import (
    CHALLENGE,
    RESPONSE,
    Left,
    Registration,
    check_balancer,
    doubt_in,
    id_for,
    new_registration,
    refusal_in,
    response_to,
    secret_in,
    words_in,
)

WE = Registration("https://lb:2001/", 3000, 7, "web1-3000", "shop", "http")
INSTANCE = "https://lb:2001/v1/services/shop/instances/web1-3000"


class RegistrationTests(SynchronousTestCase):
    def test_urls(self) -> None:
        self.assertEqual(WE.register()[:2], ("PUT", INSTANCE))
        self.assertEqual(WE.renew(), ("POST", f"{INSTANCE}/renew?generation=7", None))
        self.assertEqual(WE.drain(30.0), ("POST", f"{INSTANCE}/drain?generation=7&wait=30", None))
        for seconds, wait in {0.0: "0", 0.00001: "0", 12.3456: "12.346", 1e9: "86400"}.items():
            self.assertTrue(WE.drain(seconds).url.endswith(f"&wait={wait}"))
        local = WE._replace(id="[::1]:3000")
        self.assertTrue(local.register().url.endswith("/instances/[::1]:3000"))

    def test_for_people(self) -> None:
        self.assertEqual(str(WE), "web1-3000 of service shop, http on port 3000, at https://lb:2001/")
        more = WE._replace(hosts=("a.example", "*.b.example"), path="/shop")
        self.assertIn(", for a.example, *.b.example, paths below /shop, at ", str(more))

    def test_the_balancer_reads_it(self) -> None:
        said = members.parse_body(WE.register().body or b"", members.RegistrationBody)
        self.assertEqual((said.generation, said.port, said.scheme, said.consent), (7, 3000, "http", True))
        more = WE._replace(keep_alive=60.0, is_vouched=True)
        said = members.parse_body(more.register().body or b"", members.RegistrationBody)
        self.assertEqual((said.keep_alive, said.consent), (60.0, False))
        self.assertEqual((said.hosts, said.path), (None, None))
        more = WE._replace(hosts=("shop.example", "*.shop.example"), path="/shop")
        said = members.parse_body(more.register().body or b"", members.RegistrationBody)
        self.assertEqual((said.hosts, said.path), (["shop.example", "*.shop.example"], "/shop"))

    def test_of_a_new_start(self) -> None:
        made = new_registration(
            "https://lb:2001/",
            3000,
            "web1",
            1_700_000_000.0000012,
            service="shop",
            scheme="http",
            keep_alive=5.0,
            hosts=["a.example"],
            path="/shop",
            max_in_flight=9,
        )
        expected = WE._replace(generation=1_700_000_000_000_001, keep_alive=5.0, hosts=("a.example",), path="/shop")
        self.assertEqual(made, expected._replace(max_in_flight=9))

    def test_the_balancers_url(self) -> None:
        self.assertEqual(check_balancer("https://lb:2001/"), "https://lb:2001")
        self.assertEqual(check_balancer("http://[::1]/behind"), "http://[::1]/behind")
        for url in (
            "https://lb:20o1",
            "https://lb:99999",
            "lb:2001",
            "https://",
            "http://[::1",
            "ftp://lb",
            "http://a:0",
        ):
            with self.assertRaises(ValueError) as caught:
                check_balancer(url)
            self.assertIn(f"balancer: found {url!r}, expected a URL such as https://", str(caught.exception))

    def test_ids(self) -> None:
        for balancer, id in {
            "https://127.0.0.1:2001": "127.0.0.1:3000",
            "https://[::1]:2001": "[::1]:3000",
            "https://10.0.0.1:2001": "web-1-3000",
            "https://lb": "web-1-3000",
        }.items():
            self.assertEqual(id_for(balancer, 3000, "web 1"), id)
        self.assertEqual(id_for("https://lb", 3000, ""), "app-3000")

    @given(st.text(max_size=300), st.integers(1, 65535))
    def test_any_name_makes_an_id(self, name: str, port: int) -> None:
        self.assertIsNotNone(re.fullmatch(members._ID, id_for("https://lb", port, name)))

    def test_doubts(self) -> None:
        for body, doubt in {
            b'{"routes": ["*/"]}': "",
            b"{}": "",
            b"": "",
            b'{"routes": []}': "service shop has no route",
            b'{"routes": [], "note": "hosts were left out"}': "hosts were left out",
        }.items():
            self.assertEqual(doubt_in(body, "shop")[: len(doubt) or None], doubt)

    def test_secrets(self) -> None:
        for body, secret in {
            b'{"secret": "abc"}': "abc",
            b"{}": "",
            b"[]": "",
            b"no": "",
            b'{"secret": 1}': "",
        }.items():
            self.assertEqual(secret_in(body), secret)

    def test_what_is_said_to_our_leaving(self) -> None:
        for status, body, left in [
            (200, b'{"state": "gone", "in_flight": 0}', Left.DONE),
            (200, b"", Left.DONE),
            (404, b'{"detail": "unknown"}', Left.DONE),
            (200, b'{"state": "draining", "in_flight": 1}', Left.NOT_YET),
            (200, b'{"state": "gone", "in_flight": 1}', Left.LATE),
            (409, b'{"state": "draining"}', Left.REFUSED),
            (503, b"", Left.REFUSED),
        ]:
            self.assertIs(Left.of(status, body), left, body)
        self.assertIs(Left.of(404, b"", is_again=True), Left.GONE, "by its deadline, or as nothing was in flight")

    @given(st.text(st.characters(codec="latin-1")), st.text())
    def test_the_balancer_takes_our_response(self, nonce: str, secret: str) -> None:
        self.assertEqual(response_to(nonce, secret).encode(), consent.response_to(nonce, secret))
        self.assertEqual((CHALLENGE.encode(), RESPONSE.encode()), (consent.CHALLENGE, consent.RESPONSE))


class WordsTests(SynchronousTestCase):
    def test_what_the_balancer_has_against_us(self) -> None:
        body = b'{"title":"Forbidden","reason":"foreign","detail":"web1 is at 10.0.0.5, and well."}'
        self.assertEqual(refusal_in(403, body), "answered 403, foreign: web1 is at 10.0.0.5, and well.")
        self.assertEqual(refusal_in(502, b"\xff" + b"x" * 500), "answered 502: \ufffd" + "x" * 299)
        self.assertEqual(refusal_in(400, b'{"reason": 1}'), 'answered 400: {"reason": 1}')

    def test_what_a_variable_lists(self) -> None:
        self.assertEqual(words_in(" a.example,b.example  c.example, "), ("a.example", "b.example", "c.example"))
        self.assertEqual(words_in(""), ())
