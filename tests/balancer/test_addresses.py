"""Tests of `scalekit.balancer.addresses`."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.addresses import judge

LISTENERS = [("::", 2000), ("127.0.0.1", 2001), ("10.0.0.1", 2002)]

# claimed, port, peer, and the reason it is refused for; empty: allowed.
ROWS = [
    ("127.0.0.1", 3000, "127.0.0.1", ""),
    ("::1", 3000, "::1", ""),
    ("::1", 3000, "127.0.0.1", ""),  # both ends are on this machine
    ("127.0.0.5", 3000, "127.0.0.1", ""),
    ("::ffff:127.0.0.1", 3000, "127.0.0.1", ""),
    ("10.0.0.7", 3000, "10.0.0.7", ""),
    ("::ffff:10.0.0.7", 3000, "10.0.0.7", ""),
    ("10.0.0.7", 3000, "::ffff:10.0.0.7", ""),
    ("2001:db8::7", 3000, "2001:DB8:0::7", ""),
    ("10.0.0.8", 3000, "10.0.0.7", "foreign"),
    ("10.0.0.8", 3000, "127.0.0.1", "foreign"),
    ("127.0.0.1", 3000, "10.0.0.7", "loopback"),
    ("::1", 3000, "10.0.0.7", "loopback"),
    ("::ffff:127.0.0.1", 3000, "10.0.0.7", "loopback"),
    ("169.254.169.254", 80, "169.254.169.254", "link-local"),
    ("::ffff:169.254.169.254", 80, "169.254.169.254", "link-local"),
    ("fe80::1", 3000, "fe80::1", "link-local"),
    ("fe80::1%eth0", 3000, "fe80::1%eth0", "link-local"),
    ("224.0.0.1", 3000, "224.0.0.1", "multicast"),
    ("::ffff:224.0.0.1", 3000, "224.0.0.1", "multicast"),
    ("ff02::1", 3000, "ff02::1", "multicast"),
    ("0.0.0.0", 3000, "0.0.0.0", "unspecified"),
    ("::", 3000, "::1", "unspecified"),
    ("::ffff:0.0.0.0", 3000, "127.0.0.1", "unspecified"),
    ("255.255.255.255", 3000, "127.0.0.1", "reserved"),
    ("localhost", 3000, "127.0.0.1", "not-literal"),
    ("", 3000, "127.0.0.1", "not-literal"),
    ("127.1", 3000, "127.0.0.1", "not-literal"),
    ("0x7f.0.0.1", 3000, "127.0.0.1", "not-literal"),
    ("2130706433", 3000, "127.0.0.1", "not-literal"),
    ("10.0.0.7", 3000, "somewhere", "unknown-peer"),
    ("127.0.0.1", 2001, "127.0.0.1", "own-listener"),
    ("127.0.0.1", 2000, "127.0.0.1", "own-listener"),  # [::] is every address of this machine
    ("::1", 2000, "::1", "own-listener"),
    ("10.0.0.1", 2000, "10.0.0.1", "own-listener"),
    ("10.0.0.1", 2002, "10.0.0.1", "own-listener"),
    ("10.0.0.7", 2000, "10.0.0.7", ""),  # another machine may use the same port
    ("127.0.0.1", 2002, "127.0.0.1", ""),
]


class JudgeTests(SynchronousTestCase):
    """Which addresses may be registered."""

    def test_rows(self) -> None:
        """Each row of the table gets its verdict, and a sentence if it is refused."""
        for claimed, port, peer, reason in ROWS:
            verdict = judge(claimed, port, peer, "10.0.0.1", LISTENERS)
            self.assertEqual((verdict.reason, verdict.is_allowed), (reason, not reason), (claimed, port, peer))
            self.assertEqual(bool(verdict.detail), bool(reason))

    def test_canonical(self) -> None:
        """What is allowed is handed back in its canonical form."""
        self.assertEqual(judge("::ffff:10.0.0.7", 1, "10.0.0.7", "10.0.0.1", []).host, "10.0.0.7")
        self.assertEqual(judge("2001:DB8:0:0::7", 1, "2001:db8::7", "10.0.0.1", []).host, "2001:db8::7")

    def test_operator(self) -> None:
        """An operator may register others, but nothing that is always refused."""
        for claimed, port, reason in [
            ("10.0.0.8", 3000, ""),
            ("169.254.169.254", 80, "link-local"),
            ("127.0.0.1", 3000, "loopback"),
            ("10.0.0.1", 2000, "own-listener"),
            ("localhost", 3000, "not-literal"),
        ]:
            verdict = judge(claimed, port, "10.0.0.7", "10.0.0.1", LISTENERS, is_operator=True)
            self.assertEqual(verdict.reason, reason, claimed)

    @given(st.ip_addresses(), st.ip_addresses(), st.booleans())
    def test_never(self, claimed: ipaddress._BaseAddress, peer: ipaddress._BaseAddress, is_operator: bool) -> None:
        """Whoever asks: no link-local, multicast or unspecified address, no loopback from elsewhere."""
        verdict = judge(str(claimed), 3000, str(peer), "10.0.0.1", [], is_operator)
        if verdict.is_allowed:
            address, asking = ipaddress.ip_address(verdict.host), ipaddress.ip_address(str(peer))
            self.assertFalse(address.is_link_local or address.is_multicast or address.is_unspecified)
            if address.is_loopback:
                self.assertTrue(asking.is_loopback)
            if not is_operator and not address.is_loopback:
                self.assertEqual(address, getattr(asking, "ipv4_mapped", None) or asking)
