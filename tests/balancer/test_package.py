"""What the balancer's docstrings tell of it is what there is: the map of the package, and the table of states."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import scalekit.balancer
from scalekit.balancer import instance
from scalekit.balancer.instance import State
from tests.balancer.test_roster_machine import ALLOWED

IN_BRACKETS = re.compile(r"\([^)]*\)")


class MapTests(SynchronousTestCase):
    def test_every_module_is_named(self) -> None:
        folder = Path(scalekit.balancer.__file__).parent
        there = {path.stem for path in folder.glob("[a-z]*.py")}
        there |= {path.parent.name for path in folder.glob("*/__init__.py")}
        named = set(re.findall(r"``(\w+)``", scalekit.balancer.__doc__ or ""))
        self.assertEqual(there ^ named, set())


class TableTests(SynchronousTestCase):
    def test_it_is_what_the_machine_holds_the_roster_to(self) -> None:
        """The rows of the table, a state and what it goes on to; a row without a state goes on with the one before."""
        _, _, rows, _ = re.split(r"^=[= ]+\n", instance.__doc__ or "", flags=re.MULTILINE)
        texts: dict[str, str] = {}
        state = ""
        for line in rows.splitlines():
            state = line[:12].strip() or state
            texts[state] = f"{texts.get(state, '')} {line[52:]}"
        found = {
            State(state): {State(word) for word in re.findall(r"\w+", IN_BRACKETS.sub("", text))}
            for state, text in texts.items()
        }
        self.assertEqual(found, {state: after for state, after in ALLOWED.items() if state is not None})
