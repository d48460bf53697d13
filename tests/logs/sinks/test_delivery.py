"""What a sink sends next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.sinks.delivery import BATCH_ENTRIES, LATER_MOST_SECONDS, REFUSED_IN_A_ROW, Delivery, Step
from scalekit.logs.sinks.outcomes import Delivered, Later, Refused


class DeliveryTests(SynchronousTestCase):
    """`Delivery`."""

    def setUp(self) -> None:
        self.delivery = Delivery(lambda: 1.0)

    def test_later(self) -> None:
        """The same again, after spans that double, up to 30 s; an end of the trouble begins anew."""
        waits = []
        for _ in range(8):
            self.assertIs(self.delivery.answered(Later("away"), 10, 100.0), Step.AGAIN)
            waits.append(self.delivery.wait(100.0))
        self.assertEqual(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0])
        self.assertEqual((self.delivery.trouble, self.delivery.retries), ("away", 8))
        self.assertIs(self.delivery.answered(Delivered(), 10, 200.0), Step.DONE)
        self.assertEqual((self.delivery.trouble, self.delivery.wait(200.0), self.delivery.sent), ("", 0.0, 10))
        self.delivery.answered(Later("away"), 10, 200.0)
        self.assertEqual(self.delivery.wait(200.0), 0.5)

    def test_when_it_is_told_to(self) -> None:
        """Not sooner than the other side says, within reason."""
        self.delivery.answered(Later("busy", 7.0), 1, 100.0)
        self.assertEqual(self.delivery.wait(100.0), 7.0)
        self.delivery.answered(Later("busy", 1e9), 1, 100.0)
        self.assertEqual(self.delivery.wait(100.0), LATER_MOST_SECONDS)

    def test_jitter(self) -> None:
        """All of the span is possible."""
        delivery = Delivery(lambda: 0.0)
        delivery.answered(Later("away"), 1, 100.0)
        self.assertEqual(delivery.wait(100.0), 0.0)

    def test_partial_success(self) -> None:
        """Is counted, and never more than there were."""
        self.delivery.answered(Delivered(2, "odd"), 10, 0.0)
        self.delivery.answered(Delivered(99), 10, 0.0)
        self.assertEqual((self.delivery.sent, self.delivery.rejected), (8, 12))

    @given(st.integers(1, 3000), st.sets(st.integers(0, 2999), max_size=5))
    def test_bad_entries_are_found(self, count: int, bad: set[int]) -> None:
        """Each goes aside alone, all others arrive in order, in few requests."""
        bad = {number for number in bad if number < count}
        delivery = Delivery(lambda: 1.0)
        cursor, requests = 0, 0
        arrived: list[int] = []
        aside: list[int] = []
        while cursor < count:
            batch = range(cursor, min(count, cursor + delivery.limit))
            requests += 1
            outcome = Refused("odd") if bad.intersection(batch) else Delivered()
            step = delivery.answered(outcome, len(batch), 0.0)
            self.assertEqual(delivery.wait(0.0), 0.0)
            if step is Step.AGAIN:
                continue
            cursor = batch[-1] + 1
            (aside if step is Step.ASIDE else arrived).extend(batch)
        self.assertEqual(aside, sorted(bad))
        self.assertEqual(arrived, [number for number in range(count) if number not in bad])
        self.assertEqual((delivery.refused, delivery.sent), (len(bad), len(arrived)))
        self.assertLessEqual(requests, 4 + count // BATCH_ENTRIES + 50 * len(bad))

    def test_who_refuses_everything(self) -> None:
        """Is slowly not asked any more: it is not the entries then."""
        for _ in range(REFUSED_IN_A_ROW):
            self.assertIs(self.delivery.answered(Refused("no such tenant"), 1, 0.0), Step.ASIDE)
            self.assertEqual((self.delivery.wait(0.0), self.delivery.trouble), (0.0, ""))
        for seconds in (0.5, 1.0, 2.0):
            self.assertIs(self.delivery.answered(Refused("no such tenant"), 1, 0.0), Step.ASIDE)
            self.assertEqual((self.delivery.wait(0.0), self.delivery.trouble), (seconds, "no such tenant"))
        self.delivery.answered(Delivered(), 1, 0.0)
        self.delivery.answered(Refused("odd"), 1, 100.0)
        self.assertEqual(self.delivery.wait(100.0), 0.0)
