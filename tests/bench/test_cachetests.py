"""What counts as passed, and what the balancer is told."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.cachetests import Test, configuration, report, verdicts
from scalekit.config.loading import load

TESTS = [
    Test("none", "check", ()),
    Test("fresh", "optimal", ("none",)),
    Test("stale", "required", ("fresh", "of another suite")),
    Test("age-parse-0", "required", ()),
    Test("lost", "required", ()),
]


class VerdictTests(SynchronousTestCase):
    def test_what_its_prerequisite_says_nothing_of(self) -> None:
        results = {"none": True, "fresh": ["Assertion", "it was not"], "stale": True, "age-parse-0": True}
        self.assertEqual(
            verdicts(TESTS, results),
            {"none": "", "fresh": "it was not", "stale": "needs fresh", "age-parse-0": "", "lost": "was not run"},
        )

    def test_report(self) -> None:
        results = {
            "none": True,
            "fresh": True,
            "stale": ["Setup", "no"],
            "age-parse-0": ["Assertion", "x"],
            "lost": True,
        }
        self.assertEqual(
            report(TESTS, results, is_npm_edition=False).splitlines(),
            [
                "required stale: no",
                "required age-parse-0: x",
                "required: 1 of 3",
                "optimal: 1 of 1",
                "check: 1 of 1",
            ],
        )
        old = report(TESTS, results, is_npm_edition=True)
        self.assertIn("required age-parse-0: x  [RFC 9111", old)
        self.assertIn("required: 1 of 3; 1 of the others are overtaken", old)


class ConfigurationTests(SynchronousTestCase):
    def test_it_is_one(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for cookies in (True, False):
            config = folder / "scalekit.toml"
            config.write_text(configuration(folder, 1001, 1002, 1003, cookies))
            settings = load(str(config)).balancer
            self.assertTrue(settings.http_cache.enabled)
            self.assertEqual(settings.http_cache.cookies, cookies)
            self.assertEqual([one.port for one in settings.service[0].servers], [1003])
