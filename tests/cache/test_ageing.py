from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.ageing import LONGEST_SECONDS, Lifetimes, lifetimes, takes_stale
from scalekit.errors import ClientFault

# One row each: the Cache-Control fields of a request, and the lifetime.
GOOD = [
    ([b"maxage=60"], 60),
    ([b"max-age=60"], 60),
    ([b"Max-Age=60"], 60),
    ([b"MAXAGE=60"], 60),
    ([b'max-age="60"'], 60),
    ([b'max-age="\\60"'], 60),
    ([b"max-age=0"], 0),
    ([b"max-age=007"], 7),
    ([b"public, max-age=60"], 60),
    ([b"max-age=60,public"], 60),
    ([b" ,, max-age=60\t, "], 60),
    ([b"public", b"max-age=60"], 60),
    ([b'ext="a, max-age=5", max-age=60'], 60),
    ([b"max-age=60, maxage=60"], 60),
    ([b"must-revalidate, s-maxage=5, max-age=60"], 60),
    ([b"max-age=86400000000000"], LONGEST_SECONDS),  # the tutorial's day in nanoseconds
    ([b"max-age=315360000"], LONGEST_SECONDS),
    ([b"max-age=315360001"], LONGEST_SECONDS),
    ([b"max-age=" + b"9" * 5000], LONGEST_SECONDS),
    ([b"max-age=" + b"0" * 5000 + b"5"], 5),
]

# Cache-Control fields, and the reason they are refused for.
BAD = [
    ([], "no-age"),
    ([b""], "no-age"),
    ([b"public"], "no-age"),
    ([b"s-maxage=60"], "no-age"),
    ([b"max-age"], "bad-age"),
    ([b'max-age=""'], "bad-age"),
    ([b"max-age=-1"], "bad-age"),
    ([b"max-age=+1"], "bad-age"),
    ([b"max-age=1.5"], "bad-age"),
    ([b"max-age=1e3"], "bad-age"),
    ([b"max-age=1_000"], "bad-age"),
    ([b"max-age=soon"], "bad-age"),
    ([b'max-age=" 60"'], "bad-age"),
    ([b"max-age=60, max-age=61"], "bad-age"),
    ([b"max-age=60", b"maxage=61"], "bad-age"),
    ([b"max-age="], "bad-cache-control"),
    ([b"max-age = 60"], "bad-cache-control"),
    ([b"max-age=60 public"], "bad-cache-control"),
    ([b"max-age=60;"], "bad-cache-control"),
    ([b"=60"], "bad-cache-control"),
    ([b'max-age="60'], "bad-cache-control"),
    ([b"max-age=\xd9\xa6"], "bad-cache-control"),
    ([b"no-store"], "no-store"),
    ([b"max-age=60, No-Store"], "no-store"),
]


class LifetimesTests(SynchronousTestCase):
    def test_good(self) -> None:
        for values, expected in GOOD:
            self.assertEqual(lifetimes(values), Lifetimes(expected), values)

    def test_bad(self) -> None:
        for values, reason in BAD:
            fault = self.assertRaises(ClientFault, lifetimes, values)
            self.assertEqual((fault.status, fault.reason), (400, reason), values)

    def test_default_is_for_what_is_absent(self) -> None:
        self.assertEqual(lifetimes([], 2.5).max_age, 2.5)
        self.assertEqual(lifetimes([b"public"], 2.5).max_age, 2.5)
        self.assertEqual(lifetimes([b"max-age=7"], 2.5).max_age, 7)
        self.assertEqual(lifetimes([], 1e12).max_age, LONGEST_SECONDS)

    def test_default_is_not_for_what_is_wrong(self) -> None:
        for values, reason in BAD:
            if reason != "no-age":
                self.assertEqual(self.assertRaises(ClientFault, lifetimes, values, 5.0).reason, reason, values)

    def test_windows(self) -> None:
        self.assertEqual(
            lifetimes([b"max-age=60, stale-while-revalidate=5", b'Stale-If-Error="86400000000000"']),
            Lifetimes(60, 5, LONGEST_SECONDS),
        )
        for value in (b"stale-while-revalidate", b"stale-if-error=x", b"stale-if-error=1, stale-if-error=2"):
            self.assertEqual(self.assertRaises(ClientFault, lifetimes, [value], 5.0).reason, "bad-age", value)

    def test_takes_stale(self) -> None:
        for values, takes in (([], False), ([b"max-stale"], False), ([b"a", b"Stale-If-Error"], True)):
            self.assertIs(takes_stale(values), takes)

    def test_error_tells_the_place(self) -> None:
        fault = self.assertRaises(ClientFault, lifetimes, [b"public, max-age=60;"])
        self.assertIn("byte 7", fault.detail)
        self.assertIn("'-1'", self.assertRaises(ClientFault, lifetimes, [b"max-age=-1"]).detail)

    @given(st.lists(st.binary(max_size=80), max_size=3))
    def test_anything_is_an_age_or_a_fault(self, values: list[bytes]) -> None:
        try:
            age = lifetimes(values).max_age
        except ClientFault as fault:
            self.assertEqual(fault.status, 400)
        else:
            self.assertTrue(0 <= age <= LONGEST_SECONDS)
