"""
Programs that some tests need and that pip cannot install: browsers, load generators, certificate tools.

Without one, its tests are skipped; where ``SCALEKIT_TESTS_REQUIRE_ALL`` is set, as in CI, they fail.
"""

import os
import shutil
import sys
from pathlib import Path
from unittest import SkipTest

REQUIRE_ALL = "SCALEKIT_TESTS_REQUIRE_ALL"

#: Where what is not to be installed is unpacked to, see the Makefile; a folder for each program.
UNPACKED = Path(sys.prefix, "debian")

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
    raise missing(program)


def require_unpacked(program: str) -> tuple[str, dict[str, str], Path]:
    """
    Find a program that ``.ci/unpack`` may have unpacked.

    :return: its absolute path; the environment that it needs, by its variables; the folder that stands for ``/``.
    :raise SkipTest: it is neither there nor on PATH.
    :raise AssertionError: as `require`.
    """
    path = shutil.which(program)
    if path is not None:
        return os.path.abspath(path), dict(os.environ), Path("/")
    root = UNPACKED / program
    for found in root.glob(f"usr/*bin/{program}"):
        libraries = sorted({str(library.parent) for library in root.rglob("*.so*")})
        return str(found), os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}, root
    raise missing(program)


def missing(program: str) -> Exception:
    """What is to be raised when a program is not there."""
    reason = f"{program} is not installed"
    if os.environ.get(REQUIRE_ALL):
        return AssertionError(f"{reason}, and {REQUIRE_ALL} is set")
    return SkipTest(reason)
