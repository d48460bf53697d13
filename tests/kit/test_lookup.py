"""The lease protocol as conversations: what is to be done next, and what came of it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.lookup import Build, Built, GiveBack, Keep, Look, Looked, finding

ASK = Look("k", 10)
WAIT = Look("k", 10, 1)
LAST = Look("k", takes_stale=True)
MADE = Built("made")


class FindingTests(SynchronousTestCase):
    def talk(self, *turns: tuple[Any, Any], is_error_covered: bool = False) -> Any:
        """Each turn is the command expected, and what came of it; the result, or what it raised."""
        steps = finding("k", 10, 3, is_error_covered)
        command: Any = next(steps)
        for number, (expected, came) in enumerate(turns):
            self.assertEqual(command, expected, number)
            try:
                command = steps.throw(came) if isinstance(came, Exception) else steps.send(came)
            except StopIteration as end:
                self.assertEqual(number, len(turns) - 1)
                return end.value
            except ZeroDivisionError as why:
                self.assertEqual(number, len(turns) - 1)
                return why
        self.fail(f"it goes on with {command}")

    def test_hit(self) -> None:
        self.assertEqual(self.talk((ASK, Looked(b"1"))), b"1")

    def test_made_under_a_lease(self) -> None:
        found = self.talk((ASK, Looked(None, "t")), (Build(), MADE), (Keep("k", MADE, "t"), None))
        self.assertEqual(found, MADE)

    def test_stale_and_nobody_makes_it(self) -> None:
        found = self.talk((ASK, Looked(b"old", "t")), (Build(), MADE), (Keep("k", MADE, "t"), None))
        self.assertEqual(found, MADE)

    def test_somebody_else_makes_it(self) -> None:
        self.assertEqual(self.talk((ASK, Looked(None)), (WAIT, Looked(None)), (WAIT, Looked(b"1"))), b"1")

    def test_somebody_else_has_given_it_back(self) -> None:
        turns = (ASK, Looked(None)), (WAIT, Looked(None, "t")), (Build(), MADE), (Keep("k", MADE, "t"), None)
        self.assertEqual(self.talk(*turns), MADE)

    def test_it_takes_too_long(self) -> None:
        waits = [(WAIT, Looked(None))] * 3
        self.assertEqual(self.talk((ASK, Looked(None)), *waits, (Build(), MADE)), MADE)

    def test_of_what_cannot_be_kept_nobody_waits(self) -> None:
        self.assertEqual(self.talk((ASK, Looked(None, is_unkept=True)), (Build(), MADE)), MADE)
        turns = (ASK, Looked(None)), (WAIT, Looked(None, is_unkept=True)), (Build(), MADE)
        self.assertEqual(self.talk(*turns), MADE)

    def test_no_cache(self) -> None:
        self.assertEqual(self.talk((ASK, None), (Build(), MADE)), MADE)
        self.assertEqual(self.talk((ASK, Looked(None)), (WAIT, None), (Build(), MADE)), MADE)

    def test_it_cannot_be_made(self) -> None:
        why = ZeroDivisionError()
        self.assertIs(self.talk((ASK, None), (Build(), why)), why)
        self.assertIs(self.talk((ASK, Looked(None, "t")), (Build(), why), (GiveBack("t"), True)), why)

    def test_no_bytes_can_be_made_of_it(self) -> None:
        why = ZeroDivisionError()
        turns = (ASK, Looked(None, "t")), (Build(), MADE), (Keep("k", MADE, "t"), why), (GiveBack("t"), True)
        self.assertIs(self.talk(*turns), why)

    def test_it_cannot_be_made_but_something_stale_is_there(self) -> None:
        why = ZeroDivisionError()
        self.assertEqual(self.talk((ASK, Looked(b"old", "t")), (Build(), why), (GiveBack("t"), True)), b"old")
        turns = (ASK, Looked(None, "t")), (Build(), why), (GiveBack("t"), True)
        self.assertEqual(self.talk(*turns, (LAST, Looked(b"old")), is_error_covered=True), b"old")
        for nothing in (None, Looked(None)):
            self.assertIs(self.talk(*turns, (LAST, nothing), is_error_covered=True), why)
