"""The log's page in Chromium: search, levels, histogram, live; what entries hold is text."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.requirements import require
from tests.scenarios.running import Daemon, connect, exchange, is_listening, until
from tests.scenarios.test_login import Elsewhere
from tests.scenarios.webdriver import Browser

TOKEN = "readers-token-of-this-test"
EVIL = "<script>document.title = 'evil'</script><img src=x onerror=\"document.title='evil'\">"


class LogPageTests(SynchronousTestCase):
    def setUp(self) -> None:
        for program in ("chromium", "chromedriver", "certutil"):
            require(program)
        folder = Path(self.mktemp()).absolute()
        self.state = folder / "state"
        self.port, self.far = free_ports(2)
        self.url = f"https://localhost:{self.port}"
        folder.mkdir(parents=True)
        (folder / "tokens").write_text(f"read {TOKEN}\n")
        (folder / "scalekit.toml").write_text(
            f'state_directory = "{self.state}"\n[logs]\ntoken_file = "{folder / "tokens"}"\n'
            f'listen = ["https://127.0.0.1:{self.port}",'
            f' {{ url = "https://127.0.0.1:{self.far}", proxy_protocol_from = ["127.0.0.1"] }}]\n'
        )
        daemon = Daemon(folder / "logs", "scalekit-logs", "--config", str(folder / "scalekit.toml"))
        self.addCleanup(daemon.clean_up)
        until(lambda: is_listening(self.port) and is_listening(self.far), "the log listens")
        self.browser = Browser(folder / "home", self.state / "tls" / "ca.pem")
        self.addCleanup(self.browser.close)

    def write(self, *entries: tuple[str, str, str], **others: str) -> None:
        """Entries: level, source, message, and what all of them have beside that."""
        lines = [
            json.dumps({"Level": level, "Source": source, "Message": said, **others}) for level, source, said in entries
        ]
        connection = connect(self.state, self.port)
        self.addCleanup(connection.close)
        answer = exchange(connection, "POST", "/v1/entries", "\n".join(lines).encode())
        self.assertEqual(answer.json["accepted"], len(entries))

    def rows(self) -> list[str]:
        script = "return [...document.querySelectorAll('#rows p')].map((each) => each.textContent)"
        found: list[str] = self.browser.run(script)
        return found

    def shows(self, *messages: str) -> None:
        until(lambda: self.rows() == list(messages), f"{messages}, not {self.rows()}")

    def shoot(self, name: str) -> None:
        """Keep a picture where somebody wants to look at it; in any case the browser has painted the page."""
        for scheme in ("light", "dark"):
            self.browser.prefer(scheme)
            picture = self.browser.screenshot()
            self.assertTrue(picture.startswith(b"\x89PNG"))
            if os.environ.get("SCALEKIT_SCREENSHOTS"):
                Path(os.environ["SCALEKIT_SCREENSHOTS"], f"{name}-{scheme}.png").write_bytes(picture)

    def test_from_another_machine(self) -> None:
        """The form first; then search and tail go by its cookie, until somebody logs out."""
        self.write(("INFO", "shop", "sold one"), Timestamp="0001-01-01T00:00:00Z")
        elsewhere = Elsewhere(self.far)
        self.addCleanup(elsewhere.close)
        browser = self.browser
        browser.open(f"https://localhost:{elsewhere.port}/?live=1")
        self.assertNotIn("sold", browser.text())
        browser.find("#token").fill(TOKEN)
        self.shoot("log-login")
        browser.find("button").click()
        first = "sold one said=0001-01-01T00:00:00Z"
        self.shows(first)
        browser.find("#live").click()
        until(lambda: browser.text("#link") == "live", "live")
        self.write(("INFO", "shop", "sold two"))
        self.shows("sold two", first)

        # What comes while the connection is gone is there once it is back, and nothing twice.
        elsewhere.cut()
        self.write(("INFO", "shop", "sold three"))
        self.shows("sold three", "sold two", first)
        browser.find("header form button").click()
        until(lambda: "Token" in browser.text(), "the form")

    def test_the_page(self) -> None:
        """One after the other, as somebody would."""
        browser = self.browser
        self.write(("INFO", "shop", "sold one"), ("WARN", "shop", f"\x1b[31mred {EVIL}"), ("ERROR", "blog", "no room"))
        browser.open(f"{self.url}/")
        evil = f"\\x1b[31mred {EVIL}"
        self.shows("no room", evil, "sold one")
        self.assertFalse(browser.run("return !!document.querySelector('#rows script, #rows img, [onerror]')"))
        until(lambda: browser.run("return document.querySelectorAll('#bars i').length"), "the histogram")
        self.shoot("log")

        # Words, levels, a source that is clicked; what is searched for is in the address.
        browser.find("#q").fill("sold")
        browser.find("#search button").click()
        self.shows("sold one")
        browser.find("#q").fill('"no')
        browser.find("#search button").click()
        until(lambda: "At character 1 of the query" in browser.text("#said"), "what is wrong")
        browser.find("#q").fill("")
        browser.find("#levels .INFO").click()
        self.shows("no room", evil)
        browser.find("#rows li.ERROR .source").click()
        self.shows("no room")
        self.assertIn("levels=DEBUG%2CWARN", browser.url)
        self.assertIn("blog", browser.url)
        browser.open(str(browser.run("return document.getElementById('permalink').href")))
        self.shows("no room")
        browser.open(str(browser.run("return document.querySelector('#rows a').href")))
        self.shows("no room", evil, "sold one")
        self.assertTrue(re.search(r"#n3$", browser.url))

        # Live: two hundred, each twenty of them shown before the next are written.
        browser.open(f"{self.url}/?q=-sold&live=1")
        until(lambda: browser.text("#link") == "live", "live")
        expected = ["no room", evil]
        self.shows(*expected)
        for first in range(0, 200, 20):
            batch = [f"n{first + each}" for each in range(20)]
            self.write(*(("INFO", "shop", said) for said in batch), ("INFO", "shop", "sold two"))
            expected = [*reversed(batch), *expected]
            self.shows(*expected)
        self.shoot("log-live")
        browser.find("#live").click()
        until(lambda: browser.text("#link") == "not live", "no longer live")
        self.assertEqual(browser.title, "scalekit log")
