"""Tests of `scalekit.kit.thread_membership`."""

from __future__ import annotations

import http.client
import logging
import queue
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.registration import Ask, Registration
from scalekit.kit.siblings import HEAR_SECONDS, Siblings
from scalekit.kit.thread_membership import POLL_SECONDS, UNANSWERED_SECONDS, ThreadMembership

INSTANCE = "http://lb:2001/v1/services/shop/instances/web1-3000"
REGISTER = f"PUT {INSTANCE}"
RENEW = f"POST {INSTANCE}/renew?generation=7"
LEAVE = f"POST {INSTANCE}/drain?generation=7&wait=25"


class ThreadMembershipTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[str] = []
        self.answers: list[tuple[int, bytes] | Exception] = []
        self.is_answering = True
        self.now = 0.0
        self.member = ThreadMembership(
            Registration("http://lb:2001", 3000, 7, "web1-3000", "shop", "http"),
            ask=self.ask,
            is_answering=lambda: self.is_answering,
            headers=lambda: {"Authorization": "Bearer x"},
            now=lambda: self.now,
            random=lambda: 0.5,
            sleep=self.sleep,
        )
        self.log: list[str] = []
        watcher = logging.Handler()
        watcher.emit = lambda record: self.log.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("scalekit.kit")
        logger.addHandler(watcher)
        self.addCleanup(logger.removeHandler, watcher)

    def ask(self, ask: Ask, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
        self.assertEqual(headers, {"Authorization": "Bearer x"})
        self.asked.append(f"{ask.method} {ask.url}")
        answer = self.answers.pop(0) if self.answers else (200, b'{"secret": "abc"}')
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def live(self) -> None:
        """Leave, and let the thread's function end by an exception in what comes then."""

        def end() -> None:
            raise StopIteration

        self.member.leave(25.0, end)
        self.assertRaises(StopIteration, self.member.live)

    def test_waits_for_the_port_then_registers_and_stays_registered(self) -> None:
        self.is_answering = False
        self.assertEqual(self.member.step(), POLL_SECONDS)
        self.assertEqual(self.asked, [])
        self.is_answering = True
        self.assertEqual((self.member.step(), self.asked), (5.0, [REGISTER]))
        self.is_answering = False  # it is for the balancer to say that it is down
        self.assertEqual((self.member.step(), self.asked), (5.0, [REGISTER, RENEW]))
        self.assertEqual(repr(self.member), "<ThreadMembership of web1-3000 at http://lb:2001: registered>")
        self.assertEqual(self.member.secret, "abc")

    def test_a_port_that_does_not_answer_is_told_once(self) -> None:
        self.is_answering = False
        for _ in range(3):
            self.member.step()
            self.assertEqual(self.log, [])
            self.now += UNANSWERED_SECONDS / 3
        for _ in range(3):
            self.member.step()
            self.now += UNANSWERED_SECONDS
        (line,) = self.log
        self.assertIn("nobody listens on port 3000", line)

    def test_a_balancer_that_does_not_know_us_any_more_is_told_again_at_once(self) -> None:
        self.member.step()
        self.answers = [(404, b"")]
        self.assertEqual((self.member.step(), self.member.step()), (0.0, 5.0))
        self.assertEqual(self.asked, [REGISTER, RENEW, REGISTER])

    def test_a_service_without_a_route_is_told_once(self) -> None:
        self.answers = [(201, b'{"routes": []}'), (404, b""), (201, b'{"routes": []}')]
        for _ in self.answers[:]:
            self.member.step()
        self.assertEqual(len([line for line in self.log if "no route" in line]), 1)

    def test_one_that_was_taken_out_stays_out(self) -> None:
        """Drained by an operator, for one; a first try may be refused because the clock was set back."""
        self.answers = [(409, b"drained"), (201, b""), (409, b"drained")]
        self.assertEqual([self.member.step() for _ in range(3)], [0.25, 5.0, None])
        self.assertEqual(self.asked, [REGISTER, REGISTER, RENEW])
        self.assertIn("taken us out", self.log[-1])

    def test_its_thread_waits_for_the_end_then(self) -> None:
        self.member.step()

        def step() -> None:
            self.member.leave(25.0, end)

        def end() -> None:
            raise StopIteration

        self.patch(self.member, "step", step)
        self.assertRaises(StopIteration, self.member.live)
        self.assertEqual(self.asked, [REGISTER, LEAVE])

    def test_a_balancer_that_is_away_is_tried_again_and_told_once_a_minute(self) -> None:
        faults: list[tuple[int, bytes] | Exception] = [
            ConnectionRefusedError("refused"),
            http.client.BadStatusLine("x"),
            (503, b"not now"),
        ]
        self.answers = [*faults, *faults]
        spans = []
        for _ in range(6):
            spans.append(self.member.step())
            self.now += 15.0
        self.assertEqual(spans, [0.25, 0.5, 1.0, 2.0, 4.0, 5.0])
        self.assertEqual(len(self.log), 2)
        self.assertIn("refused", self.log[0])
        self.assertEqual(self.member.step(), 5.0)

    def with_sibling(self) -> Siblings:
        """Another worker, which stays; the member has joined."""
        path = Path(self.mktemp())
        self.slept = 0.0

        def sleep(seconds: float) -> None:
            self.slept += seconds

        self.patch(self.member, "_siblings", Siblings(path, sleep))
        other = Siblings(path, sleep)
        for each in (self.member._siblings, other):
            assert each is not None
            each.stay()
        self.member.step()
        return other

    def test_one_of_several_that_is_replaced_leaves_the_port_registered(self) -> None:
        self.with_sibling()
        self.live()
        self.assertFalse(self.member.is_leaving)
        self.assertEqual(self.asked, [REGISTER])
        self.assertAlmostEqual(self.slept, HEAR_SECONDS)

    def test_when_all_of_several_leave_the_port_is_drained(self) -> None:
        other = self.with_sibling()
        self.assertFalse(other.go())
        self.slept = 0.0
        self.live()
        self.assertEqual((self.asked, self.slept), ([REGISTER, LEAVE], 0.0))

    def test_leaves_and_then_says_so(self) -> None:
        self.member.step()
        self.live()
        self.assertTrue(self.member.is_leaving)
        self.assertEqual(self.asked, [REGISTER, LEAVE])

    def test_leaving_without_an_answer(self) -> None:
        """It goes, and says why."""
        answers: list[tuple[int, bytes] | Exception] = [(500, b"broken"), TimeoutError("timed out")]
        for answer in answers:
            self.setUp()
            self.member.step()
            self.answers = [answer]
            self.live()
            self.assertEqual(self.asked, [REGISTER, LEAVE])
            self.assertIn("leaving", self.log[-1])

    def test_a_balancer_that_does_not_wait_as_long_is_asked_again(self) -> None:
        self.member.step()
        self.answers = [(200, b'{"state": "draining", "in_flight": 1}')] * 3
        self.live()
        self.assertEqual(self.asked[1:], [LEAVE, *(LEAVE.replace("25", left) for left in ("24.5", "24", "23.5"))])
        self.assertEqual(self.log[1:], [])

    def test_what_takes_too_long_is_left(self) -> None:
        self.member.step()
        self.answers = [(200, b'{"state": "draining", "in_flight": 1}')] * 100
        self.live()
        self.assertEqual(len(self.asked), 51)
        self.assertIn("something is in flight", self.log[-1])

    def test_whatever_happens_the_server_may_end(self) -> None:
        """It waits for the thread, which nobody sees dying."""
        self.member.step()
        self.answers = [KeyError("nobody has thought of it")]
        self.live()
        self.assertEqual((self.asked, self.log[-1]), ([REGISTER, LEAVE], "leaving the balancer at http://lb:2001"))

    def test_whatever_happens_it_tries_on(self) -> None:
        waited: list[float | None] = []

        def get(timeout: float | None = None) -> Any:
            waited.append(timeout)
            if len(waited) < 3:
                raise queue.Empty
            return 0.0, lambda: self.fail("the thread's end")

        def step() -> float:
            if len(waited) == 1:
                raise KeyError("nobody has thought of it")
            return 5.0

        self.patch(self.member, "_mail", SimpleNamespace(get=get))
        self.patch(self.member, "step", step)
        self.assertRaises(self.failureException, self.member.live)
        self.assertEqual((waited, self.log), ([0.0, 10.0, 5.0], ["registering with the balancer at http://lb:2001"]))

    def test_another_worker_has_left_for_all(self) -> None:
        self.member.step()
        self.answers = [(404, b"")]
        self.live()
        self.assertEqual([line for line in self.log if "leaving" in line], [])

    def test_who_never_came_does_not_leave(self) -> None:
        self.live()
        self.assertEqual(self.asked, [])
