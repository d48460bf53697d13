"""The balancer's dashboard in Chromium: live without a reload, drain and weight from the page, nobody's script."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.scenarios import test_browser
from tests.scenarios.running import connect, until

EVIL = "<script>document.title = 'evil'</script><img src=x onerror=\"document.title='evil'\">"


class DashboardTests(test_browser.BrowserCase):
    def register(self, service: str, id: str, **said: Any) -> None:
        body = json.dumps({"generation": 1, "port": self.demo.blogs[0], "ttl": 300, **said}).encode()
        place = f"/v1/services/{service}/instances/{id}"
        self.assertIn(self.demo.ask(self.demo.registration, "PUT", place, body).status, (200, 201))

    def shown(self, expected: str) -> None:
        until(lambda: re.search(expected, self.text()), f"{expected} on the page")

    def text(self) -> str:
        return str(self.browser.run("return document.body.innerText"))

    def shoot(self, name: str) -> None:
        """Keep a picture where somebody wants to look at it; in any case the browser has painted the page."""
        for scheme in ("light", "dark"):
            self.browser.prefer(scheme)
            picture = self.browser.screenshot()
            self.assertTrue(picture.startswith(b"\x89PNG"))
            if os.environ.get("SCALEKIT_SCREENSHOTS"):
                Path(os.environ["SCALEKIT_SCREENSHOTS"], f"{name}-{scheme}.png").write_bytes(picture)

    def test_live(self) -> None:
        browser, demo = self.browser, self.demo
        browser.open(f"https://localhost:{demo.registration}/")
        self.shown(r"\blive\b")
        self.assertIn(f"https://127.0.0.1:{demo.blogs[0]}", self.text())
        browser.run("window.isSame = true")

        # One that comes is seen, and what it says of itself is text.
        self.register("shop", "web-1", meta={"zone": EVIL, "version": "1.4.2"}, path="/shop")
        self.register("shop", "web-2", port=1, meta={"zone": "b"})
        self.shown(r"web-1")
        self.assertIn(EVIL, self.text())
        self.assertFalse(browser.run("return !!document.querySelector('main script, main img, main [onerror]')"))
        self.shown(r"web-1[\s\S]*?up")
        for _ in range(40):
            self.assertEqual(demo.ask(demo.public, "GET", "/").status, 200)
        self.shown(r"[1-9][\d.]*\s*\n?requests/s")
        self.shown("down: |● ?down|down")
        self.check_cache()
        self.check_log()
        self.shoot("dashboard")

        # The operator's: a weight, and taking one out.
        weigh = """
          const input = document.querySelector("[data-weight*='web-1']");
          input.value = '7'; input.dispatchEvent(new Event('change', {bubbles: true}));
        """
        browser.run(weigh)
        until(lambda: self.view("shop", "web-1").get("weight") == 7, "the weight")
        browser.find("[data-drain*='web-1']").click()
        browser.accept()
        until(lambda: not self.view("shop", "web-1"), "web-1 is out")
        self.shown(r"shop web-1\s+draining → ●? ?gone")
        self.assertEqual(browser.run("return document.querySelector(\"[data-drain*='web-1']\")"), None)

        # What SIGHUP brings is seen, and a server of the configuration can be taken back.
        path = demo.state.parent / "scalekit.toml"
        server = f"127.0.0.1:{demo.blogs[0]}"
        fixed = f'[[balancer.service]]\nname = "fixed"\npath = "/fixed"\nservers = ["https://{server}"]\n'
        path.write_text(path.read_text() + fixed)
        demo.send(signal.SIGHUP)
        self.shown("services added: fixed")
        # In one go: between finding and clicking the page may have been brought up to date.
        click = "window.confirm = () => true; document.querySelector(\"[data-{}*='fixed']\").click()"
        browser.run(click.format("drain"))
        until(lambda: self.view("fixed", server).get("state") == "drained", "the server is drained")
        # While it drains the page says already by whom; only then it can be taken back.
        back = "return !!document.querySelector(\"[data-back*='fixed']\")"
        until(lambda: browser.run(back), "it can be taken back")
        browser.run(click.format("back"))
        until(lambda: self.view("fixed", server).get("state") == "up", "the server is back")
        self.assertNotIn("evil", browser.title)
        self.assertTrue(browser.run("return window.isSame"))

    def check_cache(self) -> None:
        """The page shows how the cache does and which keys are hot; what clients have named them is text."""
        for key, times in ((quote(EVIL, safe=""), 3), ("%2Fposts%2F1", 9)):
            place = f"/v1/keys/{key}"
            self.demo.ask(self.demo.cache, "PUT", place, b"value", {"Cache-Control": "max-age=60"})
            for _ in range(times):
                self.demo.ask(self.demo.cache, "GET", place)
        self.demo.ask(self.demo.cache, "DELETE", place)
        self.shown(r"\b1\s+purged|purged\s+1\b")
        self.shown(r"Hottest keys[\s\S]*/posts/1\s+[\d.]+%")
        self.shown(re.escape(EVIL) + r"\s+[\d.]+%")
        self.assertFalse(self.browser.run("return !!document.querySelector('.panel script, .panel img')"))

    def check_log(self) -> None:
        """The page shows how much comes, what was not kept and why, and who follows."""
        body = b'{"Level":"INFO","Source":"shop","Message":"sold"}\nnonsense\n'
        answer = self.demo.ask(self.demo.logs, "POST", "/v1/entries", body)
        self.assertEqual((answer.status, answer.json["accepted"]), (200, 1))
        tail = connect(self.demo.state, self.demo.logs)
        self.addCleanup(tail.close)
        tail.request("GET", "/v1/tail")
        tail.getresponse()
        self.shown(r"\bLog\b[\s\S]*\b1\s+tails|tails\s+1\b")
        self.shown(r"Not kept since its start[\s\S]*malformed\s+1\b")
        self.shown(r"[1-9][\d,]*\s*\n?entries/s|entries/s\s+[1-9]")

    def view(self, service: str, id: str) -> dict[str, Any]:
        """What the balancer says of an instance; empty: it is not there."""
        answer = self.demo.ask(self.demo.registration, "GET", f"/v1/services/{service}/instances/{id}")
        view: dict[str, Any] = answer.json if answer.status == 200 else {}
        return view

    def test_the_balancer_is_gone(self) -> None:
        """The page says so, instead of showing old numbers as new ones."""
        self.browser.open(f"https://localhost:{self.demo.registration}/")
        self.shown(r"\blive\b")
        self.demo.end(signal.SIGINT)  # SIGTERM waits for a load balancer above
        self.shown("the balancer does not answer")
