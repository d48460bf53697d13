"""Negotiation: Accept and Accept-Encoding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.negotiation import media_weight, pick_coding, prefers_text

# Accept-Encoding, what is offered, what is picked.
CODINGS = (
    (None, b"gzip", None),
    (b"", b"gzip", None),
    (b"gzip", b"gzip", b"gzip"),
    (b"GZIP", b"gzip", b"gzip"),
    (b"x-gzip", b"gzip", b"gzip"),
    (b"deflate, gzip;q=1.0, *;q=0.5", b"gzip", b"gzip"),
    (b"gzip, deflate, br, zstd", b"zstd br gzip", b"zstd"),
    (b"gzip, br;q=0.9", b"br gzip", b"gzip"),
    (b"gzip, deflate, br", b"zstd br gzip", b"br"),
    (b"gzip;q=1.0, identity; q=0.5, *;q=0", b"zstd br gzip", b"gzip"),
    (b"zstd;q=0.4, br;q=0.5, gzip;q=0.6", b"zstd br gzip", b"gzip"),
    (b"zstd;q=0, br;q=0, *", b"zstd br gzip", b"gzip"),
    (b"*;q=0.1, br", b"zstd br gzip", b"br"),
    (b"*", b"zstd br gzip", b"zstd"),
    (b"identity, *;q=0.5", b"zstd br gzip", None),
    (b"dcb, dcz, compress, deflate", b"zstd br gzip", None),
    (b"gzip;q=0", b"gzip", None),
    (b"gzip;q=0.000", b"gzip", None),
    (b"gzip;q=0, *", b"gzip", None),
    (b"gzip;q=0, *", b"br gzip", b"br"),
    (b"*", b"gzip", b"gzip"),
    (b"*;q=0", b"gzip", None),
    (b"br", b"gzip", None),
    (b"identity", b"gzip", None),
    (b"identity;q=0.5, gzip;q=0.5", b"gzip", b"gzip"),
    (b"identity, gzip;q=0.5", b"gzip", None),
    (b"identity;q=0", b"gzip", None),
    (b"identity;q=0, *", b"gzip", b"gzip"),
    (b"gzip ; q=0.3 , ,", b"gzip", b"gzip"),
    (b"gzip;Q=1", b"gzip", b"gzip"),
    # Malformed: the plain form is what every client can read.
    (b"gzip;q=2", b"gzip", None),
    (b"gzip;q=-1", b"gzip", None),
    (b"gzip;q=0.1234", b"gzip", None),
    (b"gzip;q=", b"gzip", None),
    (b"gzip q=1", b"gzip", None),
    (b"gzip, br;q=x", b"gzip", None),
    (b";q=1", b"gzip", None),
)


class PickCodingTests(SynchronousTestCase):
    def test_table(self) -> None:
        for accepted, offered, picked in CODINGS:
            self.assertEqual(pick_coding(accepted, offered.split()), picked, accepted)

    @given(st.binary(max_size=80))
    def test_any_bytes_give_an_offered_coding_or_none(self, accepted: bytes) -> None:
        self.assertIn(pick_coding(accepted, (b"br", b"gzip")), (None, b"br", b"gzip"))

    @given(
        st.lists(
            st.tuples(st.sampled_from([b"gzip", b"br", b"identity", b"*", b"zstd"]), st.integers(0, 1000)), max_size=6
        )
    )
    def test_what_is_refused_is_never_picked_and_the_best_is(self, wanted: list[tuple[bytes, int]]) -> None:
        accepted = b", ".join(b"%s;q=%d.%03d" % (name, weight // 1000, weight % 1000) for name, weight in wanted)
        weights = {name: max(w for n, w in wanted if n == name) for name, _ in wanted}
        picked = pick_coding(accepted, (b"br", b"gzip"))
        weight = {coding: weights.get(coding, weights.get(b"*", 0)) for coding in (b"br", b"gzip")}
        if picked is None:
            self.assertTrue(max(weight.values()) == 0 or weights.get(b"identity", 0) > max(weight.values()))
        else:
            self.assertGreater(weight[picked], 0)
            self.assertEqual(weight[picked], max(weight.values()))


class MediaTests(SynchronousTestCase):
    def test_the_most_exact_range_counts(self) -> None:
        accept = b"text/*;q=0.3, text/plain;q=0.7, */*;q=0.1"
        for kind, weight in ((b"text/plain", 0.7), (b"text/html", 0.3), (b"image/png", 0.1)):
            self.assertEqual(media_weight(accept, kind), weight)

    def test_no_or_malformed_accept_takes_anything(self) -> None:
        for accept in (None, b"", b"text", b"a/b;q=7"):
            self.assertEqual(media_weight(accept, b"text/plain"), 1.0)

    def test_who_prefers_text(self) -> None:
        for accept, wanted in (
            (None, False),
            (b"*/*", False),
            (b"text/plain", True),
            (b"text/*", True),
            (b"text/plain, application/json", False),
            (b"text/plain, application/json;q=0.5", True),
            (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
            (b"application/json", False),
        ):
            self.assertEqual(prefers_text(accept), wanted, accept)

    @given(st.binary(max_size=80))
    def test_any_bytes_are_decided(self, accept: bytes) -> None:
        self.assertIsInstance(prefers_text(b"text/" + accept), bool)
