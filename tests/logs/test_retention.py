"""Which volumes go."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.retention import Rules, plan_removals
from scalekit.logs.volumes import Manifest


def volume(number: int, stored: int = 10) -> Manifest:
    """The volume of this number, whose last entry is of that nanosecond."""
    return Manifest(str(number), number, 1, 1, 0, stored, number, number, number, number)


class RetentionTests(SynchronousTestCase):
    """`plan_removals`."""

    def test_rules(self) -> None:
        """Each of the three alone, and none; always the oldest."""
        volumes = [volume(number) for number in (1, 2, 3, 4)]
        for rules, free, expected in (
            (Rules(), 0, []),
            (Rules(age=7), 0, [(1, "age"), (2, "age")]),
            (Rules(stored=25), 0, [(1, "bytes"), (2, "bytes")]),
            (Rules(stored=40), 0, []),
            (Rules(free=100), 85, [(1, "free-space"), (2, "free-space")]),
            (Rules(free=100), 100, []),
            (Rules(age=8, stored=20), 0, [(1, "age"), (2, "bytes")]),
        ):
            found = [(removal.manifest.number, removal.reason) for removal in plan_removals(volumes, rules, 10, free)]
            self.assertEqual(found, expected, rules)
