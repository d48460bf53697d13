"""
Programs that some tests need and that pip cannot install: browsers, load generators, certificate tools.

Without one, its tests are skipped; where ``SCALEKIT_TESTS_REQUIRE_ALL`` is set, as in CI, they fail.
"""

import os
import shutil
from unittest import SkipTest

REQUIRE_ALL = "SCALEKIT_TESTS_REQUIRE_ALL"

# Other names that distributions give the same program.
ALSO_CALLED = {"chromium": ("chromium-browser", "google-chrome", "google-chrome-stable")}


def require(program: str) -> str:
    """
    Find a program.

    :return: its absolute path.
    :raise SkipTest: it is not on PATH; the reason names it.
    :raise AssertionError: the same where ``SCALEKIT_TESTS_REQUIRE_ALL`` is set and not empty.
    """
    for name in (program, *ALSO_CALLED.get(program, ())):
        path: str | None = shutil.which(name)
        if path is not None:
            return os.path.abspath(path)
    reason = f"{program} is not installed"
    if os.environ.get(REQUIRE_ALL):
        raise AssertionError(f"{reason}, and {REQUIRE_ALL} is set")
    raise SkipTest(reason)
