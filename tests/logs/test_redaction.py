"""Secrets are taken out, and nothing else."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.columns import columns_of
from scalekit.logs.entry import MESSAGE_LIMIT, Entry
from scalekit.logs.redaction import MARK, RULES, redact, suspected

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
SECRETS = (
    ("authorization", "> Authorization: Basic dXNlcjpwdw== <", "> Authorization: Basic [redacted] <"),
    ("authorization", 'authorization="Token abc", x', 'authorization="Token [redacted]", x'),
    ("authorization", "used Bearer 0123456789abcdef.", "used Bearer [redacted]"),
    ("assignment", "login?user=a&password=p%20w&x=1", "login?user=a&password=[redacted]&x=1"),
    ("assignment", 'got {"api_key": "abc def", "n": 1}', 'got {"api_key": [redacted], "n": 1}'),
    ("assignment", "AWS_SECRET=abc DB_PWD='x y'", "AWS_SECRET=[redacted] DB_PWD=[redacted]"),
    ("url", "to postgres://app:s3cr3t@db/shop failed", "to postgres://app:[redacted]@db/shop failed"),
    ("aws", "key AKIAIOSFODNN7EXAMPLE.", "key [redacted]."),
    ("jwt", f"session={JWT};", "session=[redacted];"),
    ("pem", f"read {PEM} from", "read [redacted] from"),
    ("pem", PEM[:40], "[redacted]"),
    ("card", "card 4111 1111 1111 1111 declined", "card [redacted] declined"),
    ("card", "5500-0000-0000-0004,", "[redacted],"),
)
HARMLESS = (
    "the password was wrong; secret santa; bearer of news; asia",
    "at 1700000000123456789 ns, 1700000000123 ms, 1700000000123456 us",
    "order 4111111111111112, phone +44 20 7946 0958, 0000000000000000, 4444444444444444",
    "https://host:80/a@b mail a@b.example; see postgres://db/shop",
    "eyJ and eyJhbGciOiJIUzI1NiJ9 alone; AKIA, AKIA123",
    "tokens=5 author=me passing=yes",
)
CARDS = ("4111111111111111", "\x014111111111111111", "5500-0000-0000-0004", "4111 1111 1111 1112", "41111111111111112")


class RedactTests(SynchronousTestCase):
    """`redact`."""

    def setUp(self) -> None:
        self.counts: Counter[str] = Counter()

    def message(self, text: str) -> str:
        """What becomes of a message."""
        entry = Entry(1, "INFO", "s", "m")
        return redact([entry, Entry(1, "INFO", "s", text)], self.counts)[1].message

    def test_secrets(self) -> None:
        """Each by its rule, counted once an entry."""
        for rule, text, expected in SECRETS:
            self.counts.clear()
            self.assertEqual(self.message(text), expected)
            self.assertEqual(self.counts, {rule: 1}, text)

    def test_what_only_looks_like_one(self) -> None:
        """Stays; and a batch without any is the same object."""
        for text in HARMLESS:
            self.assertEqual(self.message(text), text)
        self.assertEqual(self.counts, {})
        entries = columns_of([Entry(1, "INFO", "s", "sold", '{"n":1}')])
        self.assertIs(redact(entries, self.counts), entries)

    def test_fields(self) -> None:
        """By their names, and by what is in them, however deep; the JSON stays JSON."""
        fields = {
            "user": "a",
            "Password": 'x"y',
            "db.api-key": 7,
            "request": {"headers": [{"cookie": "sid=1"}, "Authorization: Bearer abcdefgh"], "card": 4111111111111111},
            "passwords_tried": 3,
            "n": 1.5,
            "none": None,
            "yes": True,
        }
        entry = redact([Entry(1, "INFO", "s", "m", json.dumps(fields))], self.counts)[0]
        self.assertEqual(
            json.loads(entry.fields or ""),
            fields
            | {
                "Password": MARK,
                "db.api-key": MARK,
                "request": {"headers": [{"cookie": MARK}, f"Authorization: Bearer {MARK}"], "card": MARK},
            },
        )
        self.assertEqual(self.counts, {"assignment": 3, "authorization": 1, "card": 1})

    @given(st.lists(st.text(st.sampled_from('4156 -\x01\u2028e"\\'), min_size=12) | st.sampled_from(CARDS), max_size=3))
    def test_card_numbers_in_fields(self, values: list[str]) -> None:
        """Are found as they are in messages, whatever stands before them; ids that are as long stay."""
        pattern, replacement = RULES["card"]
        fields = {f"n{place}": value for place, value in enumerate(values)}
        entry = redact([Entry(1, "INFO", "s", "m", json.dumps(fields))], self.counts)[0]
        expected = {name: pattern.sub(replacement, value) for name, value in fields.items()}
        self.assertEqual(json.loads(entry.fields or ""), expected)

    @given(
        st.lists(st.sampled_from([text for _, text, _ in SECRETS] + [*HARMLESS, " ", ";"])).map(" ".join) | st.text()
    )
    def test_the_look_at_the_whole_misses_nothing(self, text: str) -> None:
        """What a rule would change is among what it suspects."""
        rules = suspected(text.encode(errors="replace"))
        for rule, (pattern, replacement) in RULES.items():
            if pattern.sub(replacement, text) != text:
                self.assertIn(rule, rules)

    def test_no_text_takes_long(self) -> None:
        """The largest texts, made of what each rule begins with: a rule that is not linear would take minutes."""
        pieces = ["eyJ", "eyJa-", "eyJaaaaaaa.", "://", "://a:", "-----BEGIN PRIVATE KEY-----", "4", "4 ", "bearer "]
        pieces += ['password="', "authorization", "Authorization: ", "AKIA", "4111111111111", "passwd =  ", "passwd"]
        for piece in pieces:
            self.message(piece * (MESSAGE_LIMIT // len(piece)))
