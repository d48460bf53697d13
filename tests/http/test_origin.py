from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import Client, Fields
from scalekit.http.origin import is_within, origin_lines

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
PEER = Client("10.0.0.1", 5555, False, 2000)


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
