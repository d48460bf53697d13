from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import Client, Fields
from scalekit.http.origin import is_told_otherwise, is_within, origin_address, origin_lines

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PEER = Client("10.0.0.1", 5555, False, 2000)

NEAR = ["10.0.0.2", "10.9.9.9:80", "[fd00::1]:4711", "fd00::2"]
FAR = ["192.0.2.9", "1.1.1.1:99", "[2001:db8::1]:1", "2001:db8::2"]
NONSENSE = ["", "unknown", "_hidden", "a b", "evil<script>", '"']
HOPS = st.lists(st.sampled_from([*NEAR, *FAR, *NONSENSE]), max_size=6)


def told(fields: Fields, client: Client = PEER, host: bytes = b"a.example") -> dict[str, str]:
    lines = origin_lines(host, client, fields, TRUSTED).decode("latin-1").removesuffix("\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


class OriginTests(SynchronousTestCase):
    def test_our_own_word(self) -> None:
        self.assertEqual(
            {
                "Forwarded": 'for=192.0.2.1;host="a.example:8";proto=https',
                "X-Forwarded-For": "192.0.2.1",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "a.example:8",
                "X-Forwarded-Port": "2000",
            },
            told([], Client("192.0.2.1", 1, True, 2000), b"a.example:8"),
        )

    def test_nodes(self) -> None:
        for address, node in (("::1", 'for="[::1]"'), ("unix", "for=_unix")):
            self.assertTrue(told([], Client(address, 1, False, 2000))["Forwarded"].startswith(node + ";"))

    def test_whether_it_is_told_otherwise(self) -> None:
        """Of the host, the port and the scheme by which a cache knows a request."""
        https = (b"x-forwarded-proto", b"https")
        for fields, expected in (
            ([], False),
            ([(b"x-forwarded-host", b"a.example:8")], False),
            ([(b"x-forwarded-host", b"evil.example, A.example:8")], False),
            ([(b"x-forwarded-host", b"evil.example")], True),
            ([(b"x-forwarded-host", b"a.example")], True),
            ([(b"x-forwarded-port", b"8")], False),
            ([(b"x-forwarded-port", b"2000")], False),
            ([(b"x-forwarded-port", b"80")], False),
            ([(b"x-forwarded-port", b"443")], True),
            ([(b"x-forwarded-port", b"443"), https], False),
            ([(b"x-forwarded-port", b"80"), https], True),
            ([(b"forwarded", b"for=192.0.2.9")], False),
            ([(b"forwarded", b'for=192.0.2.9;host="a.example:8";proto=http')], False),
            ([(b"forwarded", b"for=192.0.2.9; Host=evil.example")], True),
            ([(b"forwarded", b"proto=https;for=192.0.2.9")], True),
            ([(b"forwarded", b"proto=HTTPS;for=192.0.2.9"), https], False),
            # Left of the first who is not trusted: the app server does not hear of it.
            ([(b"forwarded", b"for=1.1.1.1;host=evil, for=192.0.2.9")], False),
        ):
            self.assertIs(is_told_otherwise(b"a.example:8", PEER, fields, TRUSTED), expected, fields)

    def test_without_a_host(self) -> None:
        found = told([], host=b"")
        self.assertNotIn("X-Forwarded-Host", found)
        self.assertEqual("for=10.0.0.1;proto=http", found["Forwarded"])

    def test_the_chain_is_believed_up_to_the_first_who_is_not_trusted(self) -> None:
        for values, expected in (
            ([b"192.0.2.9"], "192.0.2.9, 10.0.0.1"),
            ([b"1.1.1.1, 192.0.2.9"], "192.0.2.9, 10.0.0.1"),
            ([b"1.1.1.1, 192.0.2.9, 10.0.0.2"], "192.0.2.9, 10.0.0.2, 10.0.0.1"),
            ([b"1.1.1.1", b"192.0.2.9", b"10.0.0.2"], "192.0.2.9, 10.0.0.2, 10.0.0.1"),
            ([b"10.9.9.9,10.0.0.2"], "10.9.9.9, 10.0.0.2, 10.0.0.1"),
            ([b"192.0.2.9:4711"], "192.0.2.9:4711, 10.0.0.1"),
            ([b"[fd00::1]:80"], "[fd00::1]:80, 10.0.0.1"),
            ([b"2001:db8::1"], "2001:db8::1, 10.0.0.1"),
            ([b"1.1.1.1, nonsense, 10.0.0.2"], "10.0.0.2, 10.0.0.1"),
            ([b"evil<script>"], "10.0.0.1"),
            ([b","], "10.0.0.1"),
        ):
            self.assertEqual(
                expected, told([(b"x-forwarded-for", value) for value in values])["X-Forwarded-For"], values
            )

    def test_forwarded_too(self) -> None:
        ours = 'for=10.0.0.1;host="a.example";proto=http'
        for value, kept in (
            (b"for=192.0.2.9;proto=https", ["for=192.0.2.9;proto=https"]),
            (b'for=1.1.1.1, for="192.0.2.9:99";host="b,c"', ['for="192.0.2.9:99";host="b,c"']),
            (b'FOR="[fd00::7]:1", for=10.0.0.3', ['FOR="[fd00::7]:1"', "for=10.0.0.3"]),
            (b"for=1.1.1.1, for=_hidden, for=10.0.0.3", ["for=_hidden", "for=10.0.0.3"]),
            (b"for=1.1.1.1, for=unknown", ["for=unknown"]),
            (b"for=1.1.1.1, proto=https", []),
            (b'for="1.1.1.1, for=10.0.0.3', []),
        ):
            self.assertEqual(", ".join([*kept, ours]), told([(b"forwarded", value)])["Forwarded"], value)

    def test_what_the_peer_says_of_its_own_side(self) -> None:
        found = told(
            [
                (b"x-forwarded-proto", b"http, https"),
                (b"x-forwarded-host", b"evil.example"),
                (b"x-forwarded-host", b"b.example"),
                (b"x-forwarded-port", b"443"),
            ]
        )
        self.assertEqual(
            ("https", "b.example", "443"),
            (found["X-Forwarded-Proto"], found["X-Forwarded-Host"], found["X-Forwarded-Port"]),
        )

    def test_nonsense_of_it_is_replaced(self) -> None:
        found = told(
            [(b"x-forwarded-proto", b"gopher"), (b"x-forwarded-host", b"a b"), (b"x-forwarded-port", b"70000")]
        )
        self.assertEqual(
            ("http", "a.example", "2000"),
            (found["X-Forwarded-Proto"], found["X-Forwarded-Host"], found["X-Forwarded-Port"]),
        )

    def test_hops_that_are_looked_at_are_bounded(self) -> None:
        found = told([(b"x-forwarded-for", b"10.0.0.2," * 3000), (b"forwarded", b"for=10.0.0.2," * 3000)])
        self.assertEqual(33, len(found["X-Forwarded-For"].split(",")))
        self.assertEqual(33, len(found["Forwarded"].split(",")))

    def test_networks(self) -> None:
        for address, expected in (
            ("10.1.2.3", True),
            ("11.1.2.3", False),
            ("fd00::1", True),
            ("unix", False),
            ("", False),
        ):
            self.assertEqual(expected, is_within(address, TRUSTED))


class ForgeryTests(SynchronousTestCase):
    """Whoever is not trusted can write what he likes into the fields that he sends; it changes nothing."""

    @given(HOPS, st.sampled_from(FAR), st.lists(st.sampled_from(NEAR), max_size=3))
    def test_what_stands_left_of_a_stranger_does_not_count(
        self, forged: list[str], stranger: str, near: list[str]
    ) -> None:
        chain = [stranger, *near]
        expected = ", ".join([*chain, "10.0.0.1"])
        told_one = told([(b"x-forwarded-for", ", ".join([*forged, *chain]).encode())])
        told_two = told(
            [(b"x-forwarded-for", ", ".join(forged).encode()), (b"x-forwarded-for", ", ".join(chain).encode())]
        )
        self.assertEqual((told_one["X-Forwarded-For"], told_two["X-Forwarded-For"]), (expected, expected))

    @given(st.lists(st.sampled_from(["for=1.1.1.1", "for=10.0.0.7", "proto=x", 'host="a,b"', "for=_h"]), max_size=5))
    def test_nor_in_forwarded(self, forged: list[str]) -> None:
        chain = ["for=192.0.2.9;proto=https", 'for="10.0.0.2:99"']
        found = told([(b"forwarded", ", ".join([*forged, *chain]).encode())])["Forwarded"]
        self.assertEqual(found, ", ".join([*chain, 'for=10.0.0.1;host="a.example";proto=http']))

    @given(HOPS)
    def test_only_the_first_of_what_is_kept_may_be_a_stranger(self, hops: list[str]) -> None:
        *kept, own = told([(b"x-forwarded-for", ",".join(hops).encode())])["X-Forwarded-For"].split(", ")
        self.assertEqual(own, "10.0.0.1")
        self.assertEqual(kept, [hop for hop in hops if hop][len([hop for hop in hops if hop]) - len(kept) :])
        self.assertEqual([hop for hop in kept[1:] if hop not in NEAR], [])
        self.assertEqual([hop for hop in kept if hop in NONSENSE], [])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [b"forwarded", *(b"x-forwarded-" + end for end in (b"for", b"proto", b"host", b"port"))]
                ),
                # What a value may hold; the reader sees to that.
                st.binary(max_size=30).map(lambda raw: bytes(octet for octet in raw if octet > 31 and octet != 127)),
            ),
            max_size=6,
        )
    )
    def test_there_is_one_line_of_each_whatever_is_told(self, fields: Fields) -> None:
        lines = origin_lines(b"a.example", PEER, fields, TRUSTED)
        names = [line.partition(b":")[0] for line in lines.removesuffix(b"\r\n").split(b"\r\n")]
        self.assertEqual(
            names, [b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port"]
        )
        self.assertEqual(lines.count(b"\n"), 5)

    def test_who_has_asked_in_the_first_place(self) -> None:
        for fields, expected in (
            ([], "10.0.0.1"),
            ([(b"x-forwarded-for", b"1.1.1.1, 192.0.2.9:80, 10.0.0.2")], "192.0.2.9"),
            ([(b"x-forwarded-for", b"nonsense")], "10.0.0.1"),
            ([(b"forwarded", b'for="[2001:db8::1]:4711"'), (b"x-forwarded-for", b"192.0.2.9")], "2001:db8::1"),
        ):
            self.assertEqual(expected, origin_address(PEER, fields, TRUSTED))
