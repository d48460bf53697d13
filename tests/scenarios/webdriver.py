"""
A browser, driven over WebDriver: Chromium by chromedriver, with a home and a profile of its own.

The protocol is JSON over HTTP (W3C WebDriver, section 6); what a test needs of it fits here.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.requirements import require
from tests.scenarios.running import PATIENCE_SECONDS, kill_session, until

FLAGS = [
    "--headless",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1200,900",
]
#: The key of an element's id in JSON (section 12.1).
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Stale(AssertionError):
    """The page that this element was on is not shown any more."""


class Element:
    """An element of the page that is shown."""

    def __init__(self, browser: Browser, reference: str) -> None:
        self._browser = browser
        self._path = f"/element/{reference}"

    @property
    def text(self) -> str:
        return str(self._browser.command("GET", f"{self._path}/text"))

    def click(self) -> None:
        self._browser.command("POST", f"{self._path}/click", {})

    def fill(self, text: str) -> None:
        """Type into an input, in place of what is there."""
        self._browser.command("POST", f"{self._path}/clear", {})
        self._browser.command("POST", f"{self._path}/value", {"text": text})


class Browser:
    """
    :param home: a new directory for it.
    :param ca: a certificate authority that it trusts, as its user would add it.
    """

    def __init__(self, home: Path, ca: Path) -> None:
        chromium, chromedriver, certutil = require("chromium"), require("chromedriver"), require("certutil")
        database = home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        where = ["-d", f"sql:{database}"]
        subprocess.run([certutil, *where, "-N", "--empty-password"], check=True)
        subprocess.run([certutil, *where, "-A", "-t", "C,,", "-n", "scalekit", "-i", str(ca)], check=True)
        self._session = ""
        with open(home / "chromedriver", "wb") as output:
            self._driver = subprocess.Popen(
                [chromedriver, "--port=0"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=home,
                env=os.environ | {"HOME": str(home)},
                start_new_session=True,
            )
        try:
            said = home / "chromedriver"
            self._port = int(
                until(lambda: re.search(r"successfully on port (\d+)", said.read_text()), "chromedriver's port")[1]
            )
            options = {"binary": chromium, "args": [*FLAGS, f"--user-data-dir={home / 'profile'}"]}
            always = {"browserName": "chrome", "goog:chromeOptions": options, "acceptInsecureCerts": False}
            self._session = self.command("POST", "", {"capabilities": {"alwaysMatch": always}})["sessionId"]
        except BaseException:
            self.close()
            raise

    def command(self, method: str, path: str, parameters: dict[str, Any] | None = None) -> Any:
        """
        One command of the session.

        :raises AssertionError: the driver refused it, or the page could not be loaded.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        try:
            place = f"/session/{self._session}{path}" if self._session else f"/session{path}"
            connection.request(method, place, None if parameters is None else json.dumps(parameters))
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            refused = Stale if value["error"] == "stale element reference" else AssertionError
            raise refused(f"{path} {parameters}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def open(self, url: str) -> None:
        """Go to a page, and wait until it has loaded."""
        self.command("POST", "/url", {"url": url})

    @property
    def url(self) -> str:
        return str(self.command("GET", "/url"))

    @property
    def title(self) -> str:
        return str(self.command("GET", "/title"))

    def find(self, selector: str) -> Element:
        """The first element of this CSS selector."""
        found = self.command("POST", "/element", {"using": "css selector", "value": selector})
        return Element(self, found[_ELEMENT])

    def text(self, selector: str = "body") -> str:
        """Of the first element of this CSS selector, on whichever page is shown."""
        while True:
            try:
                return self.find(selector).text
            except Stale:  # another page has come between the two
                continue

    @property
    def protocol(self) -> str:
        """What the page came by, as ALPN calls it."""
        script = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
        return str(self.command("POST", "/execute/sync", {"script": script, "args": []}))

    def prefer(self, scheme: str) -> None:
        """Say that its user likes ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command(
            "POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        )

    def accept(self) -> None:
        """Say yes to what the page asks in a dialog of the browser's."""
        self.command("POST", "/alert/accept", {})

    def run(self, script: str) -> Any:
        """What this piece of JavaScript returns."""
        return self.command("POST", "/execute/sync", {"script": script, "args": []})

    def screenshot(self) -> bytes:
        """What it shows, as PNG."""
        return base64.b64decode(self.command("GET", "/screenshot"))

    def close(self) -> None:
        """End it, and all its processes."""
        try:
            if self._session:
                self.command("DELETE", "")
        finally:
            kill_session(self._driver.pid)
            self._driver.wait(PATIENCE_SECONDS)
