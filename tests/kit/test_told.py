"""Tests of `scalekit.kit.told`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.told import LOOPBACK, Balancers, Told, read

#: X-Forwarded-For, and the client in it.
CHAINS = {
    "203.0.113.7": "203.0.113.7",
    "203.0.113.7, 10.0.0.1": "203.0.113.7",
    "203.0.113.7:4711": "203.0.113.7",
    "2001:db8::1": "2001:db8::1",
    "[2001:DB8::1]:4711, 10.0.0.1": "2001:db8::1",
    "": "",
    "unix": "",
    "1.2.3": "",
    "1.2.3.400": "",
    "999999999999": "",
    "203.0.113.7 ; drop": "",
}


def told(**fields: str) -> Told:
    return read(lambda name: fields.get(name.replace("-", "_"), ""))


class ReadTests(SynchronousTestCase):
    def test_the_client(self) -> None:
        for chain, client in CHAINS.items():
            self.assertEqual(told(x_forwarded_for=chain).client, client, chain)

    def test_the_rest(self) -> None:
        fields = {"x_forwarded_proto": "https", "x_request_id": "ab-1", "traceparent": "00-1-2-01"}
        self.assertEqual(told(**fields), ("", "https", "ab-1", "00-1-2-01"))
        self.assertEqual(told(x_forwarded_proto="gopher").scheme, "")

    @given(st.text())
    def test_anything_is_an_address_or_none(self, chain: str) -> None:
        client = told(x_forwarded_for=chain).client
        self.assertTrue(client == "" or set(client) <= set("0123456789abcdef:."))


class BalancersTests(SynchronousTestCase):
    def test_who_is_believed(self) -> None:
        balancers = Balancers([*LOOPBACK, "10.1.0.0/16", "192.0.2.9"])
        for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "192.0.2.9", ""):
            self.assertIn(peer, balancers)
        for peer in ("10.2.0.1", "192.0.2.10", "2001:db8::1", "somebody"):
            self.assertNotIn(peer, balancers)

    def test_what_is_no_network_is_refused(self) -> None:
        self.assertRaises(ValueError, Balancers, ["10.1.0.0/33"])

    def test_repr(self) -> None:
        self.assertEqual(repr(Balancers(["10.0.0.1"])), "<Balancers 10.0.0.1/32>")
