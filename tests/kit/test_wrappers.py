"""Tests of `scalekit.kit.wrappers`: what is taken from where; with real servers in `tests.scenarios.test_deploys`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit import asgi, wrappers, wsgi
from scalekit.kit.registration import Registration
from scalekit.kit.wrappers import Joining, Settings, server_generation, started_at
from tests.sources import ROOT

NOTHING = Settings()


class Started:
    """Stands in for `ThreadMembership`."""

    def __init__(self, registration: Registration, **parts: Any) -> None:
        self.registration = registration
        self.parts = parts
        self.secret = "abc"
        self.starts = 0
        self.is_leaving = False

    def start(self) -> None:
        self.starts += 1

    def leave(self, drain_seconds: float, then: Any) -> None: ...


class JoiningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.started: list[Started] = []

        def make(registration: Registration, **parts: Any) -> Started:
            self.started.append(Started(registration, **parts))
            return self.started[-1]

        self.patch(wrappers, "ThreadMembership", make)

    def test_without_a_port_somebody_else_registers_it(self) -> None:
        Joining(NOTHING, {}).join()
        self.assertEqual(self.started, [])

    def test_under_scalekit_run_it_is_registered_already(self) -> None:
        Joining(NOTHING._replace(port=3000), {"SCALEKIT_RUN": "3000"}).join()
        self.assertEqual(self.started, [])
        Joining(NOTHING._replace(port=3001), {"SCALEKIT_RUN": "3000"}).join()
        self.assertEqual(len(self.started), 1)

    def test_on_one_machine_a_port_is_enough(self) -> None:
        joining = Joining(NOTHING, {"SCALEKIT_PORT": "3000", "HOME": "/home/me"})
        said = self.started[0].registration
        self.assertEqual((said.balancer, said.id), ("https://127.0.0.1:2001", "127.0.0.1:3000"))
        self.assertEqual((said.service, said.scheme), ("default", "http"))
        self.assertEqual(joining.secret(), "abc")
        self.assertFalse(joining.is_leaving())
        joining.join()
        joining.join()
        self.assertEqual(self.started[0].starts, 1)

    def test_arguments_stand_above_the_environment(self) -> None:
        environ = {"SCALEKIT_PORT": "1", "SCALEKIT_SERVICE": "blog", "SCALEKIT_BALANCER": "http://10.0.0.9:2001/"}
        environ |= {"SCALEKIT_HOSTS": "a.example, b.example", "SCALEKIT_PATH": "/blog"}
        Joining(NOTHING, environ)
        shop = NOTHING._replace(port=2, service="shop", scheme="https", balancer="http://lb")
        Joining(shop._replace(hosts=["shop.example"], path="/shop"), environ)
        said = [each.registration for each in self.started]
        self.assertEqual(
            [(each.hosts, each.path) for each in said],
            [(("a.example", "b.example"), "/blog"), (("shop.example",), "/shop")],
        )
        self.assertEqual(
            [(each.balancer, each.port, each.service, each.scheme) for each in said],
            [("http://10.0.0.9:2001", 1, "blog", "http"), ("http://lb", 2, "shop", "https")],
        )
        self.assertEqual([each.id for each in said], [f"{socket.gethostname()}-1", f"{socket.gethostname()}-2"])

    def test_what_is_wrong_is_told_when_it_is_imported(self) -> None:
        for environ in (
            {"SCALEKIT_BALANCER": "https://lb:20o1"},
            {"SCALEKIT_BALANCER": "https://lb:99999"},
            {"SCALEKIT_PORT": "99999"},
        ):
            self.assertRaises(ValueError, Joining, NOTHING, environ)
        self.assertEqual(self.started, [])

    def test_a_port_that_is_none_is_named(self) -> None:
        """Kubernetes sets this variable itself, for a Service of that name."""
        fault = self.assertRaises(ValueError, Joining, NOTHING, {"SCALEKIT_PORT": "tcp://10.0.0.1:2000"})
        self.assertIn("SCALEKIT_PORT: found 'tcp://10.0.0.1:2000'", str(fault))

    def test_when_the_server_closes_idle_connections(self) -> None:
        """Said, or asked of the server once it has begun."""

        class Server:
            def __init__(self, **settings: float) -> None:
                self.cfg = self.config = SimpleNamespace(**settings)

            def handle_exit(self, number: int, frame: Any) -> None: ...

        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.patch(wrappers, "Termination", lambda *arguments: SimpleNamespace(install=lambda: True))
        rows: list[tuple[str, dict[str, float], float | None, float | None]] = [
            ("uvicorn.server", {"timeout_keep_alive": 7}, None, 7.0),
            ("gunicorn.workers.base", {"keepalive": 2}, None, 2.0),
            ("gunicorn.workers.base", {"keepalive": 2}, 60.0, 60.0),
            ("gunicorn.workers.base", {"keepalive": 0}, None, None),
            ("gunicorn.workers.base", {}, None, None),
            ("hypercorn.run", {"timeout_keep_alive": 7}, None, None),
        ]
        for module, settings, given, expected in rows:
            self.patch(Server.handle_exit, "__module__", module)
            joining = Joining(NOTHING._replace(port=3000, keep_alive=given), {})
            signal.signal(signal.SIGTERM, Server(**settings).handle_exit)
            joining.join()
            self.assertEqual(self.started[-1].registration.keep_alive, expected, module)

    def test_each_reload_is_a_start(self) -> None:
        """The process before has left, and with the same generation nobody would come in any more."""

        class Server:
            config = SimpleNamespace(reload=True, timeout_keep_alive=5)

            def handle_exit(self, number: int, frame: Any) -> None: ...

        self.patch(Server.handle_exit, "__module__", "uvicorn.server")
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.patch(wrappers, "Termination", lambda *arguments: SimpleNamespace(install=lambda: True))
        self.patch(wrappers, "server_generation", lambda: 7)
        signal.signal(signal.SIGTERM, Server().handle_exit)
        for reload, generation in ((True, started_at(os.getpid())), (False, 7)):
            Server.config.reload = reload
            Joining(NOTHING._replace(port=3000), {}).join()
            self.assertEqual(self.started[-1].registration.generation, generation)

    def test_the_secret_that_scalekit_run_was_given(self) -> None:
        file = Path(self.mktemp())
        joining = Joining(NOTHING, {"SCALEKIT_RUN": "3000", "SCALEKIT_SECRET_FILE": str(file)})
        self.assertEqual(joining.secret(), "")
        file.write_text("abc")
        self.assertEqual(joining.secret(), "abc")
        self.assertEqual(Joining(NOTHING, {}).secret(), "")

    def test_the_generation_is_when_the_server_was_started(self) -> None:
        """The same for all workers, and rising with each server."""
        mine = server_generation()
        self.assertEqual(server_generation(), mine)
        self.assertLess(abs(time.time() * 1e6 - mine), 24 * 3600 * 1e6)
        code = "from scalekit.kit.wrappers import server_generation; print(server_generation())"
        environ = {"PYTHONPATH": str(ROOT)}
        later = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True).stdout
        self.assertGreater(int(later), mine)

    def test_whom_it_believes(self) -> None:
        balancers = Joining(NOTHING, {"SCALEKIT_BALANCER": "https://10.0.0.9:2001"}).balancers
        self.assertEqual([peer in balancers for peer in ("127.0.0.1", "10.0.0.9", "10.0.0.8")], [True, True, False])
        balancers = Joining(NOTHING, {"SCALEKIT_TRUSTED_PROXIES": "10.0.0.0/30, 10.0.0.8"}).balancers
        self.assertEqual([peer in balancers for peer in ("10.0.0.2", "10.0.0.8", "10.0.0.9")], [True, True, False])

    def test_the_wrappers(self) -> None:
        self.patch(os, "environ", {})
        wsgi(lambda environ, start_response: [], port=3000)
        self.assertEqual(self.started[0].starts, 1, "when it is imported")

        async def application(scope: Any, receive: Any, send: Any) -> None: ...

        asgi(application, port=3000)
        self.assertEqual(self.started[1].starts, 0, "only when its lifespan begins")
        self.assertRaises(TypeError, asgi, application, prot=3000)

    def test_the_standard_library_is_enough(self) -> None:
        script = Path(self.mktemp())
        script.write_text(
            "import sys; before = set(sys.modules)\n"
            "from scalekit import kit\n"
            "kit.wsgi(lambda environ, start_response: [])\n"
            "print({name.partition('.')[0] for name in set(sys.modules) - before}"
            " - {'scalekit', *sys.stdlib_module_names})\n"
        )
        finished = subprocess.run(
            [sys.executable, str(script.absolute())], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        self.assertEqual((finished.stdout, finished.stderr), ("set()\n", ""))
