"""
Time, chance and environment come in as arguments.

Only the composition roots (each feature's ``tap``, ``scalekit.tap``, ``ops.cli``) take the process's own clock, random
source, environment and reactor; everything else is given them.  A mere mention counts, called or not: the default
argument ``clock=time.monotonic`` is a clock that a test can forget to replace.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from tests.sources import dotted, imported, is_within, known_names, modules

AMBIENT = {
    "clock": (
        *(f"time.{name}" for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "sleep")),
        *(f"time.{name}_ns" for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")),
        *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
        "datetime.date.today",
        "twisted.python.runtime.seconds",
    ),
    "chance": ("random", "secrets", "os.urandom", "uuid.uuid1", "uuid.uuid4"),
    "environment": (
        *(
            f"os.{name}"
            for name in ("environ", "environb", "getenv", "getenvb", "putenv", "unsetenv", "path.expanduser")
        ),
        "pathlib.Path.home",
        "socket.gethostname",
        "socket.getfqdn",
        "platform.node",
    ),
    # the last two use it without a word
    "reactor": (
        "twisted.internet.reactor",
        "twisted.internet.threads.deferToThread",
        "twisted.internet.task.react",
    ),
}

# What looks at a clock or at the system's randomness when it is called with fewer arguments than this.
AMBIENT_WITHOUT = {
    "random.Random": 1,
    "time.gmtime": 1,
    "time.localtime": 1,
    "time.ctime": 1,
    "time.asctime": 1,
    "time.strftime": 2,
    "email.utils.formatdate": 1,
    "twisted.web.http.datetimeToString": 1,
}

# (module, name): why it cannot be an argument.  Keep it short.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("scalekit.net.loop", "time.monotonic"): "the reactor is the clock that all others are given",
}


def is_root(module: str) -> bool:
    # Applications call these of the kit with nothing, or nothing but themselves.
    names = ("wrappers", "opening", "logs", "joining", "testing")
    called_bare = [f"scalekit.kit.{name}" for name in names]
    return module.rpartition(".")[2] in {"tap", "data_tap"} or module in ("scalekit.ops.cli", *called_bare)


def kind(name: str) -> tuple[str, str] | None:
    """What an ambient dotted name is (``clock``, ``chance``, …) and the name to report; None for any other."""
    for what, names in AMBIENT.items():
        for one in names:
            if is_within(name, one) and name not in AMBIENT_WITHOUT:
                return what, ".".join(name.split(".")[: max(2, one.count(".") + 1)])
    return None


def mentions(module: str, tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Each ambient thing that a module imports, mentions or calls: line, what it is, name.  May repeat itself."""
    known = known_names(tree)
    names = [(name, line) for name, line in imported(module, tree) if "." in name]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.append((dotted(node, known) or "", node.lineno))
        elif isinstance(node, ast.Call):
            called = dotted(node.func, known) or ""
            if len(node.args) + len(node.keywords) < AMBIENT_WITHOUT.get(called, 0):
                yield node.lineno, "chance" if called == "random.Random" else "clock", f"{called}()"
    for name, line in names:
        found = kind(name)
        if found is not None:
            yield line, *found


def told(found: Iterable[tuple[str, int, str, str]]) -> list[str]:
    """The same as lines for people, without the exceptions; each has the name of its module first."""
    return [
        f"{module}:{line} takes its own {what}: {name}"
        for module, line, what, name in found
        if (module, name) not in EXCEPTIONS
    ]


def ambient(module: str, tree: ast.Module) -> list[str]:
    """What is told of a module, each once."""
    return told((module, *found) for found in sorted(set(mentions(module, tree))))


@cache
def all_mentions() -> list[tuple[str, int, str, str]]:
    """Those of every module, with its name."""
    return [(module, *found) for module, tree in modules("scalekit") for found in set(mentions(module, tree))]


class AmbientTests(SynchronousTestCase):
    def test_only_composition_roots(self) -> None:
        found = told(one for one in sorted(all_mentions()) if not is_root(one[0]))
        if found:
            self.fail("\n".join(found))

    def test_exceptions_are_needed(self) -> None:
        used = {(module, name) for module, _, _, name in all_mentions()}
        self.assertEqual(set(EXCEPTIONS) - used, set())


# One line of source each, and what is reported of it.
SAMPLES = {
    "import time\nnow = time.time()": "clock: time.time",
    "from time import monotonic as clock": "clock: time.monotonic",
    "import time as t\ndef f(clock=t.monotonic): pass": "clock: time.monotonic",
    "import datetime\nd = datetime.datetime.now(datetime.UTC)": "clock: datetime.datetime.now",
    "from datetime import datetime\nd = datetime.now()": "clock: datetime.datetime.now",
    "from datetime import date as d\ntoday = d.today()": "clock: datetime.date.today",
    "import time\nparts = time.gmtime()": "clock: time.gmtime()",
    "from email.utils import formatdate\nvalue = formatdate()": "clock: email.utils.formatdate()",
    "import random\nx = random.random()": "chance: random.random",
    "from random import choice": "chance: random.choice",
    "from random import Random\nr = Random()": "chance: random.Random()",
    "import secrets\nx = secrets.token_hex()": "chance: secrets.token_hex",
    "import os\nx = os.urandom(8)": "chance: os.urandom",
    "import os\nx = os.environ.get('HOME')": "environment: os.environ",
    "import os.path\nx = os.path.expanduser('~')": "environment: os.path.expanduser",
    "from pathlib import Path\nx = Path.home() / 'state'": "environment: pathlib.Path.home",
    "from twisted.internet import reactor": "reactor: twisted.internet.reactor",
    "def f():\n    from twisted.internet import reactor": "reactor: twisted.internet.reactor",
    "import twisted.internet.reactor as r": "reactor: twisted.internet.reactor",
    "from twisted.internet import threads as t\nt.deferToThread(f)": "reactor: twisted.internet.threads.deferToThread",
}

CLEAN = (
    "import time\nd = time.gmtime(now)",
    "from random import Random\ndef f(random: Random): return random.random()",
    "import random\ndef f(chance: random.Random): return chance.choice([1])",
    "from random import Random\nr = Random(7)",
    "from datetime import UTC, datetime\nd = datetime.fromtimestamp(now, UTC)",
    "def f(time, clock): return time.time() + clock.monotonic()",
    "import os\nos.fsync(3)",
    "from twisted.internet.interfaces import IReactorTime",
)


class CheckerTests(SynchronousTestCase):
    """The check above finds what it looks for, and nothing else."""

    def test_found(self) -> None:
        found = {}
        for source in SAMPLES:
            found[source] = [
                line.partition(" takes its own ")[2] for line in ambient("scalekit.sample", ast.parse(source))
            ]
        self.assertEqual(found, {source: [expected] for source, expected in SAMPLES.items()})

    def test_clean(self) -> None:
        for source in CLEAN:
            self.assertEqual(ambient("scalekit.sample", ast.parse(source)), [], source)

    def test_roots(self) -> None:
        roots = ["scalekit.tap", "scalekit.cache.tap", "scalekit.blog.data_tap", "scalekit.ops.cli"]
        others = ["scalekit.ops.daemon", "scalekit.net.tap_dance", "scalekit.cache.store", "scalekit"]
        self.assertEqual([module for module in roots + others if is_root(module)], roots)
