"""Tests of `scalekit.kit` itself: its map, and what stands at its front."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit import kit
from scalekit.kit.decorating import cached


class KitTests(SynchronousTestCase):
    def test_the_map_names_every_module(self) -> None:
        said = set(re.findall(r"`(\w+)`", kit.__doc__ or ""))
        modules = {path.stem for path in Path(kit.__file__).parent.glob("*.py")} - {"__init__"}
        self.assertEqual(modules - said, set())

    def test_what_is_imported_when_it_is_asked_for(self) -> None:
        self.assertIs(kit.cached, cached)
        for name in kit.__all__:
            self.assertTrue(callable(getattr(kit, name)), name)
        self.assertRaises(AttributeError, getattr, kit, "cache_for_nobody")
