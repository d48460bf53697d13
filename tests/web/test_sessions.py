"""Sessions: whose cookie is good, where, and for how long."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config.tokens import Grant, Tokens
from scalekit.web import sessions as sessions_module
from scalekit.web.sessions import SESSION_SECONDS, Sessions

OPERATOR, READER = b"o" * 16, b"r" * 16
OPERATORS = [(OPERATOR.decode(), Grant("operator"))]
TOKENS = Tokens([*OPERATORS, (READER.decode(), Grant("read"))])
HERE = "192.0.2.9"


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        numbers = count(1)
        self.sessions = Sessions(lambda size: next(numbers).to_bytes(size, "big"))

    def role(self, value: bytes, tokens: Tokens = TOKENS, address: str = HERE, now: float = 0.0) -> str | None:
        grant = self.sessions.grant(value, tokens, address, now)
        return None if grant is None else grant.role

    def test_it_allows_what_its_token_does(self) -> None:
        self.assertEqual(self.role(self.sessions.begin(OPERATOR, HERE, 0.0)), "operator")
        self.assertEqual(self.role(self.sessions.begin(READER, HERE, 0.0)), "read")

    def test_it_says_nothing_of_its_token(self) -> None:
        self.assertNotIn(OPERATOR, self.sessions.begin(OPERATOR, HERE, 0.0))

    def test_its_end(self) -> None:
        value = self.sessions.begin(OPERATOR, HERE, 100.0)
        self.assertEqual(self.role(value, now=100.0 + SESSION_SECONDS - 1), "operator")
        self.assertIsNone(self.role(value, now=100.0 + SESSION_SECONDS))

    def test_without_its_token_it_is_over(self) -> None:
        value = self.sessions.begin(READER, HERE, 0.0)
        self.assertIsNone(self.role(value, Tokens(OPERATORS)))

    def test_it_is_good_at_one_address(self) -> None:
        self.assertIsNone(self.role(self.sessions.begin(OPERATOR, HERE, 0.0), address="192.0.2.10"))

    def test_of_another_process(self) -> None:
        value = Sessions(lambda size: b"x" * size).begin(OPERATOR, HERE, 0.0)
        self.assertIsNone(self.role(value))

    def test_ended(self) -> None:
        """Before its time, for whoever has it; another of the same token goes on."""
        value, other = (self.sessions.begin(OPERATOR, HERE, 0.0) for _ in range(2))
        self.assertFalse(self.sessions.end(value, TOKENS, "192.0.2.10", 0.0))
        self.assertEqual(self.role(value), "operator")
        self.assertTrue(self.sessions.end(value, TOKENS, HERE, 0.0))
        self.assertFalse(self.sessions.end(value, TOKENS, HERE, 0.0))
        self.assertEqual((self.role(value), self.role(other)), (None, "operator"))
        self.assertFalse(self.sessions.end(b"garbage", TOKENS, HERE, 0.0))

    def test_more_ended_than_are_remembered(self) -> None:
        """None of them comes back: all others end as well."""
        self.patch(sessions_module, "MOST_ENDED", 2)
        values = [self.sessions.begin(OPERATOR, HERE, 0.0) for _ in range(4)]
        for value in values[:3]:
            self.assertTrue(self.sessions.end(value, TOKENS, HERE, 1.0))
        self.assertEqual([self.role(value, now=1.0) for value in values], [None] * 4)
        late = SESSION_SECONDS + 2.0
        for _ in range(4):  # those whose time is over need not be remembered
            late += SESSION_SECONDS
            value, other = (self.sessions.begin(OPERATOR, HERE, late) for _ in range(2))
            self.assertTrue(self.sessions.end(value, TOKENS, HERE, late))
            self.assertEqual(self.role(other, now=late), "operator")

    @given(st.binary(max_size=100), st.integers(0, 80), st.integers(1, 255))
    def test_whatever_else_is_none(self, garbage: bytes, place: int, change: int) -> None:
        self.assertIsNone(self.role(garbage))
        value = bytearray(self.sessions.begin(OPERATOR, HERE, 1_700_000_000.0))
        value[place % len(value)] ^= change
        # The last character of base64 has two bits that say nothing.
        if place % len(value) not in (10 + 1 + 21, len(value) - 1):
            self.assertIsNone(self.role(bytes(value), now=1_700_000_001.0))
