"""What every log service does that the kit sends its batches to."""

from __future__ import annotations

from typing import Any

from scalekit.kit.entries import entry_line
from scalekit.kit.posting import Answer
from scalekit.kit.spool import Batch

DAY_SECONDS = 24 * 3600.0
TAKEN = Answer(200)


class Conformance:
    """To be mixed into a TestCase."""

    assertEqual: Any

    def post(self, batch: Batch) -> Answer:
        raise NotImplementedError

    def taken(self) -> list[tuple[str, str, str]]:
        """Level, source and message of all that was taken so far, in order."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def send(self, number: int, *messages: str, client: str = "me") -> tuple[int, str]:
        """Status and reason of the answer."""
        lines = [entry_line("INFO", 1_700_000_000.0, "shop", message) for message in messages]
        answer = self.post(Batch(client, number, b"".join(line + b"\n" for line in lines)))
        return answer.status, answer.reason

    def messages(self) -> list[str]:
        return [message for _, _, message in self.taken()]

    def test_what_is_taken(self) -> None:
        lines = [entry_line("WARN", 1_700_000_000.0, "shop", "two", {"a": 1}), entry_line("INFO", 1.7e9, "blog", "é")]
        self.assertEqual(self.post(Batch("me", 1, b"\n".join(lines) + b"\n")), TAKEN)
        self.assertEqual(self.taken(), [("WARN", "shop", "two"), ("INFO", "blog", "é")])
        self.assertEqual(self.post(Batch("me", 2, b"")), TAKEN)

    def test_each_batch_once(self) -> None:
        """Whatever comes again; the first number of a client is right, whatever it is."""
        self.assertEqual([self.send(number, f"{number}") for number in (7, 8)], [(200, "")] * 2)
        self.assertEqual([self.send(number, "again") for number in (8, 7, 1)], [(200, "")] * 3)
        self.assertEqual(self.send(1, "other", client="you"), (200, ""))
        self.assertEqual(self.messages(), ["7", "8", "other"])

    def test_a_gap(self) -> None:
        self.send(1, "one")
        self.assertEqual(self.send(3, "three"), (409, "batch-gap"))
        self.assertEqual(self.send(2, "two"), (200, ""))
        self.assertEqual(self.send(3, "three"), (200, ""))
        self.assertEqual(self.messages(), ["one", "two", "three"])

    def test_a_client_is_forgotten_after_a_day(self) -> None:
        self.send(1, "one")
        self.advance(DAY_SECONDS - 60.0)
        self.assertEqual(self.send(3, "three"), (409, "batch-gap"))
        self.advance(120.0)
        self.assertEqual(self.send(3, "three"), (200, ""))

    def test_what_is_no_entry_is_left_out(self) -> None:
        good = entry_line("INFO", 1_700_000_000.0, "shop", "good")
        bad = (b"{}", b"nonsense", b"7", b'{"Level":"INFO","Source":"shop"}', b"\xff")
        self.assertEqual(self.post(Batch("me", 1, b"\n".join([*bad, good, b""]))), TAKEN)
        self.assertEqual(self.messages(), ["good"])

    def test_a_name_that_is_none(self) -> None:
        self.assertEqual(self.send(1, "m", client="a b"), (400, "bad-batch"))
        self.assertEqual(self.messages(), [])
