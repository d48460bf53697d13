"""Tests of `bench.emit`."""

from __future__ import annotations

import logging

from twisted.trial.unittest import SynchronousTestCase

from bench.emit import BURST, log_for, percentile


class EmitTests(SynchronousTestCase):
    def test_percentiles(self) -> None:
        values = [float(number) for number in range(1000)]
        self.assertEqual([percentile(values, share) for share in (0.5, 0.99, 1.0)], [500.0, 990.0, 999.0])

    def test_each_entry_has_its_number_and_its_time(self) -> None:
        records: list[logging.LogRecord] = []
        took = log_for(0.0001, records.append)
        self.assertEqual(len(took), len(records))
        self.assertEqual([record.args[0] for record in records if record.args][:BURST], list(range(BURST)))  # type: ignore[index]
