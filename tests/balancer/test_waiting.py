"""Tests of `scalekit.balancer.waiting`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.waiting import MOST_WAITING, PATIENCE_SECONDS, WaitingLine


class WaitingLineTests(SynchronousTestCase):
    def test_first_come_first_served(self) -> None:
        line: WaitingLine[str] = WaitingLine()
        for one in "abc":
            self.assertTrue(line.join(one, 0.0))
        self.assertEqual([line.next(PATIENCE_SECONDS / 2 - 0.1) for _ in range(4)], ["a", "b", "c", None])

    def test_the_newest_first_once_the_oldest_has_waited_half_its_time(self) -> None:
        line: WaitingLine[str] = WaitingLine(patience_seconds=4.0)
        for at, one in enumerate("abcd"):
            line.join(one, at / 2)
        self.assertEqual(line.next(1.9), "a")
        self.assertEqual(line.next(2.5), "d")
        self.assertEqual(line.next(2.5), "c")
        self.assertEqual(line.next(2.5), "b")

    def test_a_bound(self) -> None:
        line: WaitingLine[int] = WaitingLine()
        self.assertEqual(sum(line.join(one, 0.0) for one in range(2 * MOST_WAITING)), MOST_WAITING)
        self.assertTrue(line.leave(3))
        self.assertFalse(line.leave(3))
        self.assertTrue(line.join(-1, 0.0))

    def test_its_word(self) -> None:
        self.assertEqual(repr(WaitingLine()), "<WaitingLine of 0>")

    @given(
        st.lists(
            st.tuples(st.sampled_from(["join", "leave", "next", "expire"]), st.sampled_from([0.0, 0.3, 1.0, 3.0])),
            max_size=60,
        )
    )
    def test_each_ends_once_and_nobody_waits_too_long(self, steps: list[tuple[str, float]]) -> None:
        line: WaitingLine[int] = WaitingLine(8, 4.0)
        now, since = 0.0, dict[int, float]()
        for number, (step, seconds) in enumerate(steps):
            now += seconds
            if step == "join":
                if line.join(number, now):
                    since[number] = now
                else:
                    self.assertEqual(len(since), 8)
            elif step == "leave" and since:
                self.assertTrue(line.leave(since.popitem()[0]))
            elif step == "next":
                one = line.next(now)
                if one is None:
                    self.assertFalse(since)
                else:
                    oldest = min(since.values())
                    expected = max(since) if now - oldest >= 2.0 else min(since)
                    self.assertEqual(one, expected)
                    del since[one]
            elif step == "expire":
                late = [one for one, at in since.items() if now - at >= 4.0]
                self.assertEqual(line.expire(now), late)
                for one in late:
                    del since[one]
            self.assertEqual(list(line.waiting), sorted(since))
