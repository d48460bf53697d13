"""What .ci/count makes of trial's summary: the numbers of CI's closing line."""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

COUNT = Path(__file__).parent.parent / ".ci" / "count"

# name: (exit status of the suite, the end of its output, "passed failed skipped")
OUTPUTS = {
    "passed": (0, "Ran 5 tests in 0.027s\n\nPASSED (successes=5)\n", "5 0 0"),
    "some skipped": (0, "Ran 5 tests in 0.027s\n\nPASSED (skips=2, successes=3)\n", "3 0 2"),
    "failures and errors": (1, "Ran 4 tests in 1s\n\nFAILED (failures=1, errors=1, skips=1, successes=1)\n", "1 2 1"),
    "what make says after it": (2, "Ran 2 tests in 1s\n\nFAILED (errors=1, successes=1)\nmake: *** [test]\n", "1 1 0"),
    "a warning after a success": (1, "Ran 2 tests in 1s\n\nFAILED (errors=1, successes=2)\n", "1 1 0"),
    "a todo that works": (1, "Ran 2 tests in 1s\n\nFAILED (successes=1, unexpectedSuccesses=1)\n", "1 1 0"),
    "killed after its summary": (124, "Ran 5 tests in 0.027s\n\nPASSED (successes=5)\n", "5 1 0"),
    "crashed": (139, "tests.cache\n  StoreTests\n", "0 1 0"),
    "silent": (0, "", "0 1 0"),
    "no test": (0, "Ran 0 tests in 0.000s\n\nPASSED\n", "0 1 0"),
    "all skipped": (0, "Ran 3 tests in 0.000s\n\nPASSED (skips=3)\n", "0 1 3"),
    "a test that prints a summary": (
        1,
        "Ran 9 tests in 1s\n\nPASSED (successes=9)\nRan 2 tests in 1s\n\nFAILED (errors=1, successes=1)\n",
        "1 1 0",
    ),
}


class ClosingLineTests(SynchronousTestCase):
    def test_outputs(self) -> None:
        counted = {}
        for name, (status, output, _) in OUTPUTS.items():
            finished = subprocess.run(
                [sys.executable, str(COUNT), str(status)], input=output, capture_output=True, text=True, check=True
            )
            counted[name] = finished.stdout.strip()
        self.assertEqual(counted, {name: expected for name, (_, _, expected) in OUTPUTS.items()})
