"""Tests of `scalekit.kit.testing`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.asking import fetch
from scalekit.kit.registration import Ask
from scalekit.kit.testing import running
from scalekit.places import local_url


class RunningTests(SynchronousTestCase):
    def test_it_serves_until_the_end(self) -> None:
        with running('[[balancer.service]]\nname = "shop"\nhosts = ["shop.example"]') as here:
            os.kill(here.pid, 0)
            status, body = fetch(Ask("GET", f"{here.balancer}/v1/services"), {}, 60.0, here.ca)
            self.assertEqual(status, 200)
            self.assertIn(b"shop.example", body)
            self.assertEqual(fetch(Ask("GET", here.url), {}, 60.0, here.ca)[0], 503)
            found = [local_url(here.state_directory, part, "") for part in ("registration", "cache", "logs")]
            self.assertEqual(found, list(here[1:4]))  # by applications that are told nothing
            self.assertEqual({url for url in here[:4] if url in here.environ.values()}, set(here[1:4]))
        self.assertRaises(ProcessLookupError, os.kill, here.pid, 0)
        self.assertFalse(Path(here.state_directory).exists())

    def test_what_it_says_when_it_cannot_start(self) -> None:
        with self.assertRaises(RuntimeError) as raised, running("[balancer.nonsense]"):
            self.fail("it has started")
        self.assertIn("nonsense", str(raised.exception))
