"""The dashboard from another machine, in Chromium: the form, what a session may do, and its end."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.requirements import require
from tests.scenarios.running import PATIENCE_SECONDS, Daemon, is_listening, until
from tests.scenarios.webdriver import Browser

OPERATOR = "operators-token-of-this-test"


class Elsewhere:
    """
    A port whose connections reach another one as if they came from another machine (PROXY protocol).

    :ivar port: where it listens.
    """

    def __init__(self, port: int, address: str = "192.0.2.9") -> None:
        self._target = port
        self._greeting = f"PROXY TCP4 {address} 192.0.2.1 40000 {port}\r\n".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            far.sendall(self._greeting)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=_pump, args=(source, sink)))
                self._threads[-1].start()

    def cut(self) -> None:
        """End all connections that there are."""
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended by itself

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for sock in self._sockets:
            sock.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction has ended both


class LoginTests(SynchronousTestCase):
    def setUp(self) -> None:
        for program in ("chromium", "chromedriver", "certutil"):
            require(program)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        public, self.private = ports = free_ports(2)
        (self.folder / "tokens").write_text(f"operator {OPERATOR}\n")
        (self.folder / "scalekit.toml").write_text(
            f'state_directory = "{self.folder / "state"}"\n'
            f'[balancer]\nlisten = ["https://127.0.0.1:{public}"]\n'
            f'[[balancer.service]]\nname = "shop"\npath = "/shop"\nservers = ["http://127.0.0.1:1"]\n'
            f'[registration]\ntoken_file = "{self.folder / "tokens"}"\n'
            f'listen = [{{ url = "https://127.0.0.1:{self.private}", proxy_protocol_from = ["127.0.0.1"] }}]\n'
        )
        daemon = Daemon(self.folder, "scalekit-balancer", "--config", str(self.folder / "scalekit.toml"))
        self.addCleanup(daemon.clean_up)
        self.daemon = daemon
        until(lambda: all(map(is_listening, ports)), "the balancer listens")
        self.elsewhere = Elsewhere(self.private)
        self.addCleanup(self.elsewhere.close)
        self.ca = daemon.state / "tls" / "ca.pem"

    def ask(self, path: str, **fields: str) -> tuple[int, bytes]:
        """As a program on the other machine."""
        context = ssl.create_default_context(cafile=self.ca)
        connection = http.client.HTTPSConnection(
            "localhost", self.elsewhere.port, timeout=PATIENCE_SECONDS, context=context
        )
        try:
            connection.request("GET", path, headers=fields)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def shoot(self, browser: Browser, name: str) -> None:
        """See `tests.scenarios.test_dashboard`."""
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            picture = browser.screenshot()
            self.assertTrue(picture.startswith(b"\x89PNG"))
            if os.environ.get("SCALEKIT_SCREENSHOTS"):
                Path(os.environ["SCALEKIT_SCREENSHOTS"], f"{name}-{scheme}.png").write_bytes(picture)

    def test_in_and_out(self) -> None:
        for path in ("/", "/v1/services", "/v1/events", "/v1/overview", "/dashboard.js", "/metrics"):
            self.assertEqual(self.ask(path)[0], 401, path)
        self.assertEqual(self.ask("/", Authorization=f"Bearer {OPERATOR}")[0], 200)
        browser = Browser(self.folder / "home", self.ca)
        self.addCleanup(browser.close)
        page = f"https://localhost:{self.elsewhere.port}/"
        browser.open(page)
        self.assertNotIn("shop", browser.text())
        browser.find("#token").fill("not-the-token-of-this-test")
        browser.find("button").click()
        until(lambda: "not one of those" in browser.text(), "the refusal")
        self.shoot(browser, "login")
        browser.find("#token").fill(OPERATOR)
        browser.find("button").click()

        # The page is live: its script, the events and the API go by the cookie alone, which no script can read.
        until(lambda: browser.run("return document.getElementById('link')?.className") == "on", "live")
        self.assertEqual(browser.url, page)
        self.assertEqual(browser.run("return document.cookie"), "")
        self.assertIn("shop", browser.text())
        stream = "return new Promise(done => new EventSource('/v1/events').onopen = () => done('open'))"
        self.assertEqual(browser.run(stream), "open")
        browser.run("""
          const input = document.querySelector("[data-weight]");
          input.value = '7'; input.dispatchEvent(new Event('change', {bubbles: true}));
        """)
        token = {"Authorization": f"Bearer {OPERATOR}"}

        def weight() -> int:
            (service,) = (s for s in json.loads(self.ask("/v1/services", **token)[1])["services"] if s["instances"])
            return int(service["instances"][0]["weight"])

        until(lambda: weight() == 7, "the weight")
        self.shoot(browser, "logged-in")

        browser.find("header form button").click()
        until(lambda: browser.run("return !!document.getElementById('token')"), "the form again")
        browser.open(page)
        self.assertNotIn("shop", browser.text())

        # A session that is over while the page is open: the form comes by itself.
        browser.find("#token").fill(OPERATOR)
        browser.find("button").click()
        until(lambda: browser.run("return document.getElementById('link')?.className") == "on", "live again")
        browser.command("DELETE", "/cookie")
        until(lambda: browser.run("return !!document.getElementById('token')"), "the form, by itself")
        said = self.daemon.stdout
        lines = {"refused login of 192.0.2.9: bad-token": 1, " login of 192.0.2.9: <Grant operator>": 2, "logout of": 1}
        for line, count in lines.items():
            self.assertEqual(said.count(line), count, said)
        self.assertNotIn(OPERATOR, said)
