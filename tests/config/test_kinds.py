"""Each kind of value: what it takes, what it refuses, and that what it shows it reads again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import kinds
from scalekit.config.decode import all_keys
from scalekit.config.kinds import Kind, Mismatch
from scalekit.config.listeners import LISTENERS
from scalekit.config.urls import ListenURL

# kind: (values it reads, with what they become; values it refuses)
TABLE: dict[str, tuple[Kind, list[tuple[Any, Any]], list[Any]]] = {
    "boolean": (kinds.BOOLEAN, [(True, True), (False, False)], [1, 0, "true", None, []]),
    "duration": (kinds.DURATION, [("5s", 5.0), ("250ms", 0.25)], ["0s", "", 5, 5.0, "5", True, ["5s"], "-1s"]),
    "duration or zero": (kinds.DURATION_OR_ZERO, [("0s", 0.0), ("1m", 60.0)], [0, "", "0"]),
    "size": (kinds.SIZE, [("64KiB", 65536), (7, 7), ("7", 7)], [0, "0", -1, True, 1.0, "1KB", "", None]),
    "number": (kinds.whole_number(1, 3), [(1, 1), (3, 3)], [0, 4, True, "1", 1.0]),
    "choice": (kinds.choice("a", "b"), [("a", "a")], ["c", "", 1, ["a"]]),
    "optional": (kinds.optional(kinds.DURATION), [("", None), ("5s", 5.0)], ["x", 0, "0s", None]),
    "hash on": (
        kinds.HASH_ON,
        [("client", "client"), ("header:X-User", "header:X-User"), ("cookie:a", "cookie:a")],
        ["", "header", "header:", "cookie:a b", "cookie:a=", "query:a", 1],
    ),
    "cookie": (kinds.COOKIE_NAME, [("a", "a"), ("__Host-a.b", "__Host-a.b")], ["", "a b", "a=", "a;", "é", 1]),
    "headers": (
        kinds.HEADERS,
        [({}, ()), ({"X-Team": "shop", "X-Empty": ""}, (("X-Team", "shop"), ("X-Empty", "")))],
        ["", [], {"a b": "c"}, {"a": 1}, {"a": "b\r\nc: d"}, {"a": " b"}, {"": "b"}, {"a": "é"}],
    ),
    "well status": (kinds.WELL_STATUS, [(200, 200), (499, 499)], [199, 410, 500, True, "200", 2.0, None]),
    "ping text": (kinds.PING_TEXT, [("", ""), ('"UP" é', '"UP" é')], ["x" * 257, "a\nb", 1]),
    "path": (kinds.PATH, [("", ""), ("a/b", "a/b")], [1, "a\0b"]),
    "route": (kinds.ROUTE_PATH, [("/", "/"), ("/api/v1", "/api/v1")], ["", "api", "//", "/a//b", "/..", "/a?b", "/é"]),
    "listeners": (
        LISTENERS,
        [
            (["http://127.0.0.1:1"], (ListenURL("http", "127.0.0.1", 1),)),
            (["http://127.0.0.1:0", "http://127.0.0.1:0"], (ListenURL("http", "127.0.0.1", 0),) * 2),
        ],
        [[], "http://127.0.0.1:1", [1], ["http://127.0.0.1:1", "http://localhost:1"]],
    ),
    "base url": (kinds.BASE_URL, [("http://a/", "http://a")], ["", "a", 1]),
    "optional base url": (kinds.OPTIONAL_BASE_URL, [("", ""), ("http://a", "http://a")], ["a", 1]),
    "hosts": (
        kinds.HOSTS,
        [([], ()), (["Shop.example", "*.example"], ("shop.example", "*.example"))],
        [["*"], ["a.*"], ["a:80"], "a", ["a", "A"]],
    ),
    "service": (kinds.SERVICE_NAME, [("a", "a"), ("Shop-2.x_y", "Shop-2.x_y")], ["", "-a", "a b", "a/b", "a" * 65, 1]),
}


class KindTests(SynchronousTestCase):
    def test_what_each_kind_reads(self) -> None:
        for name, (kind, good, _bad) in TABLE.items():
            for value, expected in good:
                found = kind.read(value)
                self.assertEqual((name, found), (name, expected))
                self.assertIs(type(found), type(expected))

    def test_what_each_kind_refuses(self) -> None:
        for name, (kind, _good, bad) in TABLE.items():
            for value in bad:
                with self.assertRaises(Mismatch, msg=f"{name}: {value!r}"):
                    kind.read(value)

    def test_what_each_kind_shows_it_reads_again(self) -> None:
        for kind, good, _bad in TABLE.values():
            for _value, expected in good:
                self.assertEqual(kind.read(kind.show(expected)), expected)

    def test_an_error_in_a_list_names_the_place(self) -> None:
        with self.assertRaises(Mismatch) as caught:
            LISTENERS.read(["http://127.0.0.1:1", "x"])
        self.assertEqual(caught.exception.place, "[1]")
        self.assertEqual(caught.exception.found, '"x"')

    def test_host_bits_are_refused_with_what_is_meant(self) -> None:
        with self.assertRaises(Mismatch) as caught:
            kinds.NETWORKS.read(["10.1.2.3/8"])
        self.assertIn("10.0.0.0/8", caught.exception.expected)

    def test_a_network_that_is_none(self) -> None:
        for value in ["10.0.0.0/33", "x", "10.0.0/8", "", 7]:
            with self.assertRaises(Mismatch):
                kinds.NETWORKS.read([value])

    @given(st.one_of(st.ip_addresses(), st.sampled_from(["10.0.0.0/8", "fd00::/8", "0.0.0.0/0"])).map(str))
    def test_every_network_comes_back(self, text: str) -> None:
        networks = kinds.NETWORKS.read([text])
        self.assertEqual(kinds.NETWORKS.read(kinds.NETWORKS.show(networks)), networks)

    @given(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.datetimes()),
            lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=2)),
            max_leaves=4,
        )
    )
    def test_no_value_breaks_a_kind(self, value: object) -> None:
        for path, kind in all_keys():
            try:
                found = kind.read(value)
            except Mismatch as mismatch:
                self.assertNotIn("\n", mismatch.found, path)
                self.assertTrue(mismatch.found.isascii())
            else:
                self.assertEqual(kind.read(kind.show(found)), found)


class ShownTests(SynchronousTestCase):
    def test_one_short_line(self) -> None:
        self.assertEqual(kinds.shown("a\nb\u2028"), '"a\\nb\\u2028"')
        self.assertEqual(len(kinds.shown("x" * 1000)), 60)
        self.assertEqual(kinds.shown({"a": 1}), "a table")
