"""The PROXY protocol's header: what it says, in however many pieces it comes, and what is none."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.proxy_protocol import (
    HEADER_BYTES,
    LINE_BYTES,
    BadProxyHeader,
    Endpoint,
    ProxyHeader,
    read_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORT = st.integers(0, 65535)
PAIR = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)


def line(source: Any, destination: Any, sport: int, dport: int) -> bytes:
    return f"PROXY TCP{source.version} {source} {destination} {sport} {dport}\r\n".encode()


def binary(source: Any, destination: Any, sport: int, dport: int, rest: bytes = b"", command: int = 0x21) -> bytes:
    body: bytes = source.packed + destination.packed + sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + rest
    family = 0x11 if source.version == 4 else 0x21
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def shortest(address: Any, port: int) -> Endpoint:
    return Endpoint(str(getattr(address, "ipv4_mapped", None) or address), port)


ONE, OTHER = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("198.51.100.1")


class HeaderTests(SynchronousTestCase):
    def test_examples(self) -> None:
        seen = (Endpoint("192.0.2.1", 56324), Endpoint("198.51.100.1", 443))
        for data, expected in (
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET", ProxyHeader(45, *seen)),
            (b"PROXY UNKNOWN\r\n", ProxyHeader(15)),
            (b"PROXY UNKNOWN ffff::1 anything at all\r\n", ProxyHeader(39)),
            (
                b"PROXY TCP6 ::ffff:192.0.2.1 2001:DB8:0::1 0 65535\r\n",
                ProxyHeader(51, Endpoint("192.0.2.1", 0), Endpoint("2001:db8::1", 65535)),
            ),
            (binary(ONE, OTHER, 56324, 443) + b"\x16\x03", ProxyHeader(28, *seen)),
            (binary(ONE, OTHER, 56324, 443, b"\x03\0\4abcd"), ProxyHeader(35, *seen)),
            (binary(ONE, OTHER, 1, 2, command=0x20), ProxyHeader(28)),
            (SIGNATURE + b"\x20\0\0\0", ProxyHeader(16)),
            (SIGNATURE + b"\x21\0\0\3abc", ProxyHeader(19)),
            (SIGNATURE + b"\x21\x31\0\xd8" + b"x" * 216, ProxyHeader(232)),
        ):
            self.assertEqual(read_header(data), expected, data)

    def test_none(self) -> None:
        good = binary(ONE, OTHER, 1, 2)
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\0",
            b"proxy TCP4",
            b"PROXY\tTCP4",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 056 443\r\n",
            b"PROXY TCP4 192.0.2.01 198.51.100.1 56 443\r\n",
            b"PROXY TCP4  192.0.2.1 198.51.100.1 56 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56 443 \r\n",
            b"PROXY TCP4 ::1 ::1 56 443\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.1 56 443\r\n",
            b"PROXY TCP6 fe80::1%eth0 ::1 56 443\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 56 443\r\n",
            b"PROXY UNKNOWNX\r\n",
            b"PROXY \r\n",
            b"PROXY UNKNOWN " + b"x" * LINE_BYTES,
            SIGNATURE + b"\x11" + good[13:],
            SIGNATURE + b"\x22" + good[13:],
            SIGNATURE + b"\x21\x13\0\0",
            SIGNATURE + b"\x21\x11\0\x0b" + b"x" * 11,
            SIGNATURE + b"\x21\x21\0\x0c" + b"x" * 12,
            SIGNATURE + b"\x21\x11" + (HEADER_BYTES - 15).to_bytes(2, "big"),
        ):
            self.assertRaises(BadProxyHeader, read_header, data)

    def test_the_longest(self) -> None:
        address = ":".join(["ffff"] * 8)
        data = f"PROXY UNKNOWN {address} {address} 65535 65535\r\n".encode()
        self.assertEqual((len(data), read_header(data)), (LINE_BYTES, ProxyHeader(LINE_BYTES)))
        data = binary(ONE, OTHER, 1, 2, b"x" * (HEADER_BYTES - 28))
        self.assertEqual(
            read_header(data), ProxyHeader(HEADER_BYTES, Endpoint("192.0.2.1", 1), Endpoint("198.51.100.1", 2))
        )

    @given(PAIR, PORT, PORT, st.binary(max_size=40), st.booleans())
    def test_what_is_written_is_read(self, pair: Any, sport: int, dport: int, after: bytes, is_line: bool) -> None:
        header = (line if is_line else binary)(pair[0], pair[1], sport, dport)
        expected = ProxyHeader(len(header), shortest(pair[0], sport), shortest(pair[1], dport))
        self.assertEqual(read_header(header + after), expected)

    @given(PAIR, PORT, PORT, st.booleans())
    def test_in_pieces(self, pair: Any, sport: int, dport: int, is_line: bool) -> None:
        """Of each beginning it is said how many bytes to wait for: more than are there, no more than will be."""
        header = (line if is_line else binary)(pair[0], pair[1], sport, dport)
        for size in range(1, len(header)):
            wanted = read_header(header[:size])
            assert isinstance(wanted, int), wanted
            self.assertTrue(size < wanted <= len(header))

    @given(st.one_of(st.binary(max_size=600), st.binary(max_size=600).map(lambda rest: SIGNATURE + b"\x21\x11" + rest)))
    def test_any_bytes(self, data: bytes) -> None:
        try:
            found = read_header(data)
        except BadProxyHeader:
            return
        if isinstance(found, int):
            self.assertTrue(len(data) < found <= HEADER_BYTES)
        else:
            self.assertTrue(found.size <= len(data))
