"""
Imports go one way::

    plugins -> scalekit.tap, ops.cli -> each feature's tap -> balancer | cache | logs | kit | blog
            -> net | web | ops | config -> http -> interfaces | errors

Features never import each other: what two of them need moves down, what one needs of another is handed in by a tap.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.sources import ROOT, imported, is_within, modules

FEATURES = {"balancer", "cache", "logs", "kit", "blog"}
SHARED = {"net", "web", "ops", "config"}
TAPS = {"tap", "data_tap"}

SEAMS, HTTP, SHARING, FEATURE, TAP, TOP = range(6)

# What no module of a package may import, whatever its layer.
FORBIDDEN = {
    # sans-IO: bytes <-> values
    "scalekit.http": (
        "twisted",
        "zope",
        "socket",
        "ssl",
        "OpenSSL",
        "select",
        "selectors",
        "asyncio",
        "threading",
        "time",
    ),
    "scalekit.errors": ("twisted",),
    # ReverseProxyResource forwards "Transfer-Encoding: chunked" over a body that it has de-chunked
    "scalekit": ("twisted.web.proxy",),
}


def layer(name: str) -> int:
    """The layer of a module of ours, or of something in one."""
    parts = name.split(".")
    if len(parts) == 1 or parts[1].startswith("__"):
        return SEAMS
    if parts[1] == "tap" or parts[1:3] == ["ops", "cli"]:
        return TOP
    if parts[1] in FEATURES:
        return TAP if len(parts) > 2 and parts[2] in TAPS else FEATURE
    return SHARING if parts[1] in SHARED else HTTP if parts[1] == "http" else SEAMS


def wrong_imports(module: str, tree: ast.Module, is_package: bool = False) -> list[str]:
    """The imports of a module of ours that break a rule: one line each, naming the module, the line and the import."""
    wrong = []
    for name, line in imported(module, tree, is_package):
        for package, forbidden in FORBIDDEN.items():
            if is_within(module, package) and any(is_within(name, one) for one in forbidden):
                wrong.append(f"{module}:{line} imports {name}, which nothing in {package} may")
        if not is_within(name, "scalekit"):
            continue
        here, there = layer(module), layer(name)
        package, other = ".".join(module.split(".")[:2]), ".".join(name.split(".")[:2])
        if there > here:
            wrong.append(f"{module}:{line} imports {name}, which is above it")
        elif here == there == FEATURE and package != other:
            wrong.append(f"{module}:{line} imports {name}: features never import each other")
        elif here == there == TAP and package != other:
            wrong.append(f"{module}:{line} imports {name}: a tap may import other features, not their taps")
    return wrong


def is_package(module: str) -> bool:
    return (ROOT / module.replace(".", "/")).is_dir()


def wrong_in(module: str, source: str) -> list[str]:
    return wrong_imports(module, ast.parse(source))


class ImportDirectionTests(SynchronousTestCase):
    def test_one_way(self) -> None:
        wrong = []
        for module, tree in modules("scalekit"):
            wrong += wrong_imports(module, tree, is_package(module))
        if wrong:
            self.fail("\n".join(wrong))

    def test_shared_packages_have_an_order(self) -> None:
        """net, web, ops and config may use each other, but not in a circle."""
        uses: dict[str, set[str]] = {package: set() for package in SHARED}
        for module, tree in modules("scalekit"):
            if layer(module) == SHARING:
                package = module.split(".")[1]
                for name, _ in imported(module, tree, is_package(module)):
                    if is_within(name, "scalekit") and layer(name) == SHARING and name.split(".")[1] != package:
                        uses[package].add(name.split(".")[1])
        try:
            order = list(TopologicalSorter(uses).static_order())
        except CycleError as error:
            self.fail(f"in a circle: {' <- '.join(error.args[1])}")
        self.assertEqual(set(order), SHARED)

    def test_every_folder_is_a_package_with_a_docstring(self) -> None:
        bare = []
        for folder in [ROOT / "scalekit", *(ROOT / "scalekit").rglob("*/")]:
            if any(folder.glob("*.py")):
                top = folder / "__init__.py"
                if not top.exists() or not ast.get_docstring(ast.parse(top.read_text())):
                    bare.append(str(folder.relative_to(ROOT)))
        self.assertEqual(bare, [])

    def test_its_docstring_is_a_map_of_all_that_is_in_it(self) -> None:
        missing = []
        for top in (ROOT / "scalekit").rglob("*/__init__.py"):
            told = ast.get_docstring(ast.parse(top.read_text())) or ""
            inside = [*top.parent.glob("*.py"), *(one.parent for one in top.parent.glob("*/__init__.py"))]
            missing += [str(one.relative_to(ROOT)) for one in inside if one != top and f"`{one.stem}`" not in told]
        self.assertEqual(missing, [])

    def test_plugins_import_twisted_only(self) -> None:
        """twistd imports them whatever it starts: they may cost nothing and never fail."""
        wrong = []
        for module, tree in modules("twisted/plugins"):
            wrong += [
                f"{module}:{line} imports {name}"
                for name, line in imported(module, tree)
                if not is_within(name, "twisted")
            ]
        self.assertEqual(wrong, [])

    def test_plugins_folder_is_no_package(self) -> None:
        """An ``__init__.py`` would hide Twisted's own plugins, or ours."""
        self.assertEqual([str(path) for path in (ROOT / "twisted").rglob("__init__.py")], [])


class ReactorTests(SynchronousTestCase):
    def test_no_reactor_at_import(self) -> None:
        """An application that imports the kit, or anything else of ours but a tap, still chooses its reactor."""
        names = [module for module, _ in modules("scalekit") if layer(module) < TAP]
        script = Path(self.mktemp())
        script.write_text(
            "import importlib, sys\n"
            f"for name in {names!r}:\n"
            "    importlib.import_module(name)\n"
            "    if 'twisted.internet.reactor' in sys.modules:\n"
            "        sys.exit(f'{name} installs a reactor')\n"
        )
        finished = subprocess.run(
            [sys.executable, str(script.absolute())], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        self.assertEqual(finished.returncode, 0, finished.stderr)


class CheckerTests(SynchronousTestCase):
    """The checks above find what they look for."""

    def test_upwards(self) -> None:
        self.assertEqual(
            wrong_in("scalekit.net.server", "import re\n\nfrom scalekit.cache import store\n"),
            ["scalekit.net.server:3 imports scalekit.cache.store, which is above it"],
        )
        self.assertEqual(len(wrong_in("scalekit.errors", "from scalekit.http.heads import RequestHead")), 1)
        self.assertEqual(len(wrong_in("scalekit.cache.store", "import scalekit.cache.tap")), 1)
        self.assertEqual(len(wrong_in("scalekit.cache.tap", "import scalekit.tap")), 1)
        self.assertEqual(len(wrong_in("scalekit.ops.daemon", "from scalekit.ops import cli")), 1)

    def test_sideways(self) -> None:
        self.assertEqual(
            wrong_in("scalekit.cache.store", "from scalekit.logs.entry import Entry"),
            ["scalekit.cache.store:1 imports scalekit.logs.entry.Entry: features never import each other"],
        )
        self.assertEqual(len(wrong_in("scalekit.cache.tap", "import scalekit.logs.tap")), 1)

    def test_hidden(self) -> None:
        hidden = "def later():\n    from ..logs.entry import Entry\n"
        self.assertEqual(len(wrong_in("scalekit.cache.store", hidden)), 1)
        self.assertEqual(len(wrong_in("scalekit.cache.store", "if TYPE_CHECKING:\n    import scalekit.tap")), 1)

    def test_relative_in_a_package(self) -> None:
        tree = ast.parse("from ..logs import entry\nfrom .store import Store\nfrom . import tap")
        names = [name for name, _ in imported("scalekit.cache", tree, is_package=True)]
        self.assertEqual(names, ["scalekit.logs.entry", "scalekit.cache.store.Store", "scalekit.cache.tap"])

    def test_forbidden_outside(self) -> None:
        self.assertEqual(
            wrong_in("scalekit.http.parser", "from twisted.logger import Logger\nimport time\nimport socketserver"),
            [
                "scalekit.http.parser:1 imports twisted.logger.Logger, which nothing in scalekit.http may",
                "scalekit.http.parser:2 imports time, which nothing in scalekit.http may",
            ],
        )
        self.assertEqual(len(wrong_in("scalekit.balancer.proxy", "from twisted.web import proxy")), 1)

    def test_allowed(self) -> None:
        for module, source in {
            "scalekit.tap": "from scalekit.balancer import tap\nimport scalekit.kit.logs",
            "scalekit.ops.cli": "import scalekit.cache.tap",
            "scalekit.cache.tap": "from scalekit.kit.logs import LogClient\nfrom twisted.internet import reactor",
            "scalekit.blog.data_tap": "from scalekit.blog import data, tap\nfrom scalekit import __version__",
            "scalekit.cache.resource": "from scalekit.web import answers\nfrom .store import Store",
            "scalekit.http.parser": "from scalekit.errors import ClientFault\nfrom scalekit.http import heads",
        }.items():
            self.assertEqual(wrong_in(module, source), [], module)
