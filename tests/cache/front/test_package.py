"""The map in the package's docstring is what there is."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import scalekit.cache.front


class MapTests(SynchronousTestCase):
    def test_every_module_is_named(self) -> None:
        there = {path.stem for path in Path(scalekit.cache.front.__file__).parent.glob("[a-z]*.py")}
        named = set(re.findall(r"(?<!`)`(\w+)`", scalekit.cache.front.__doc__ or "")) - {"CacheFront"}
        self.assertEqual(there ^ named, set())
