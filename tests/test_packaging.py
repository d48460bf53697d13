"""
What a user gets: a wheel built from this tree, installed into a new environment, shows all six daemons to ``twistd``.

Dependencies are not fetched again: the new environment sees those of the one that runs the tests.  Only Twisted is
copied, because our plugins are installed into its folder.
"""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.sources import ROOT, imported, modules

DAEMONS = {f"scalekit-{name}" for name in ("all", "balancer", "blog", "cache", "data", "logs")}

# What a build reads.
BUILT_FROM = ("scalekit", "twisted", "setup.cfg", "pyproject.toml", "LICENSE", "README.rst")

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")

# A build or an installation takes a few seconds; far more than that on a busy machine.
DEADLINE_SECONDS = 120


def run(*command: str | Path, folder: Path) -> str:
    """Run a program without this process's Python settings; its output, or an AssertionError that shows it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    if finished.returncode != 0:
        raise AssertionError(f"{command}: exit status {finished.returncode}\n{finished.stdout}")
    return finished.stdout


def copy_sources(folder: Path) -> None:
    """Copy what a build reads, so that the build leaves nothing in the checkout and finds no leftovers there."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "dropin.cache")
    for name in BUILT_FROM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, folder / name)


def needed() -> set[str]:
    """Every file of ours that an installation needs, relative to the root."""
    files = set()
    for folder in (ROOT / "scalekit", ROOT / "twisted" / "plugins"):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache":
                files.add(path.relative_to(ROOT).as_posix())
    return files


# Requirements whose import is not called as they are.
IMPORTED_AS = {
    "opentelemetry-proto": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "protobuf": "google",
    "pyopenssl": "OpenSSL",
    "service-identity": "service_identity",
    "zope.interface": "zope",
}


class RequirementTests(SynchronousTestCase):
    def test_what_is_imported_is_required(self) -> None:
        """What the package imports is installed with it, and nothing else is."""
        settings = configparser.ConfigParser()
        settings.read(ROOT / "setup.cfg")
        # Only for those who share their registrations by Redis, or whose apps send OTLP as protobuf.
        extras = [settings["options.extras_require"][name] for name in ("redis", "otlp")]
        lines = "\n".join([settings["options"]["install_requires"], *extras]).split("\n")
        required = {match[0] for line in lines if (match := re.match(r"[\w.-]+", line))}
        top = {name.partition(".")[0] for module, tree in modules("scalekit") for name, _ in imported(module, tree)}
        foreign = top - set(sys.stdlib_module_names) - {"scalekit", ""}
        self.assertEqual(foreign, {IMPORTED_AS.get(name, name) for name in required})


class WheelTests(SynchronousTestCase):
    """Built and installed once for all of them, by whichever runs first."""

    built: ClassVar[Path | None] = None

    def setUp(self) -> None:
        cls = type(self)
        if cls.built is None:
            folder = Path(self.mktemp()).absolute()
            sources = folder / "sources"
            sources.mkdir(parents=True)
            copy_sources(sources)
            # As pip has both built (PEP 517).  The test extra brings setuptools, so nothing is fetched to build with.
            build = "from setuptools import build_meta as b; b.build_wheel('..'); b.build_sdist('..')"
            run(sys.executable, "-c", build, folder=sources)
            cls.built = folder
        self.folder = cls.built
        [self.wheel] = self.folder.glob("*.whl")

    def install(self) -> Path:
        """A new environment with the wheel and our dependencies in it; the path of its python."""
        place = self.folder / "environment"
        python = place / "bin" / "python"
        if not place.exists():
            venv.create(place, symlinks=True)
            [site] = place.glob("lib/python*/site-packages")
            ours = Path(sysconfig.get_path("purelib"))
            shutil.copytree(ours / "twisted", site / "twisted", ignore=shutil.ignore_patterns("__pycache__", "test"))
            run(*PIP, "--python", python, "install", "--no-index", "--no-deps", self.wheel, folder=self.folder)
            # A line of a .pth file is a folder in which no .pth file is read: not the one of our editable installation.
            (site / "dependencies.pth").write_text(f"{ours}\n")
        return python

    def test_wheel_has_every_file(self) -> None:
        with zipfile.ZipFile(self.wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        self.assertEqual(names, needed())

    def test_sdist_has_every_file(self) -> None:
        [path] = self.folder.glob("*.tar.gz")
        with tarfile.open(path) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        self.assertEqual(needed() - names, set())
        self.assertEqual({"LICENSE", "pyproject.toml", "setup.cfg"} - names, set())

    def test_installed_copy_is_used(self) -> None:
        where = run(self.install(), "-c", "import scalekit; print(scalekit.__file__)", folder=self.folder).strip()
        self.assertTrue(Path(where).is_relative_to(self.folder / "environment"), where)

    def test_twistd_lists_every_daemon(self) -> None:
        shown = run(self.install(), *TWISTD, "--help", folder=self.folder)
        self.assertEqual(DAEMONS - set(shown.split()), set())

    def test_every_daemon_can_be_chosen(self) -> None:
        """Its module is in the wheel and can be imported from there: ``--help`` shows its own options."""
        python = self.install()

        def show(daemon: str) -> str:
            return run(python, *TWISTD, daemon, "--help", folder=self.folder)

        with ThreadPoolExecutor() as threads:
            for daemon, shown in zip(DAEMONS, threads.map(show, DAEMONS), strict=True):
                self.assertIn("--config", shown, daemon)
