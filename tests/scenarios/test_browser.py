"""The blog of the demo in Chromium, which trusts the local CA; and a page of another origin that means no good."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.http_servers import Answers, serving
from tests.requirements import require
from tests.scenarios.running import Demo, until
from tests.scenarios.webdriver import Browser


class BrowserCase(SynchronousTestCase):
    """A demo with two blogs, and a browser whose user trusts its CA."""

    def setUp(self) -> None:
        for program in ("chromium", "chromedriver", "certutil"):
            require(program)
        directory = Path(self.mktemp()).absolute()
        self.demo = Demo(directory)
        self.addCleanup(self.demo.clean_up)
        self.demo.greeted()
        home = directory / "home"
        self.browser = Browser(home, self.demo.state / "tls" / "ca.pem")
        self.addCleanup(self.browser.close)
        self.blog = f"https://localhost:{self.demo.public}"


class BlogTests(BrowserCase):
    def look(self, path: str, expected: str) -> str:
        """
        Load a page, which has this text each time, until both app servers have shown it and it has come from the cache.

        A look into the cache that takes over 50 ms is a miss, which a busy machine may need more than once.

        :return: where the first came from.
        """
        servers, sources = set(), []
        both = {f"127.0.0.1:{port}" for port in self.demo.blogs}

        def is_settled() -> bool:
            self.browser.open(self.blog + path)
            self.assertIn(expected, self.browser.text("body"))
            servers.add(self.browser.text("#server"))
            sources.append(self.browser.text("#source"))
            return servers == both and sources[-1] == "from the cache"

        until(is_settled, f"{path} from the cache, and by both")
        return sources[0]

    def write(self, title: str, author: str, text: str) -> None:
        """Fill in the form that is shown, and send it."""
        for name, value in (("input[name=title]", title), ("input[name=author]", author), ("textarea", text)):
            self.browser.find(name).fill(value)
        form = self.browser.url
        self.browser.find("form button").click()
        until(lambda: self.browser.url != form, "the page after the form")

    def test_a_visitor_reads_writes_and_changes_a_post(self) -> None:
        """Both app servers answer, second views come from the cache, and what has changed is seen at once."""
        self.browser.open(f"{self.blog}/")
        self.assertEqual(self.browser.title, "Posts · The Scaling Blog")
        self.assertEqual(self.browser.protocol, "h2")
        self.assertEqual(self.browser.text("#source"), "freshly made")
        self.look("/", "One server was fine until Tuesday")

        self.browser.find("h2 a").click()
        self.assertEqual(self.browser.url, f"{self.blog}/posts/4")
        self.look("/posts/4", "in the morning")

        self.browser.find(".top .button").click()
        self.write("Written <here> & now", "Eve", "The first.\n\nAnd the über second.")
        self.assertEqual(self.browser.url, f"{self.blog}/posts/5")
        self.assertEqual(self.browser.text("h1"), "Written <here> & now")
        self.assertEqual(self.look("/", "Written <here> & now"), "freshly made")
        self.look("/posts/5", "And the über second.")

        self.browser.find(".meta a").click()
        self.assertEqual(self.browser.url, f"{self.blog}/posts/5/edit")
        self.write("Written again", "Eve", "All new.")
        self.assertEqual(self.browser.url, f"{self.blog}/posts/5")
        self.assertEqual(self.browser.text("h1"), "Written again")
        for port in self.demo.blogs:
            self.browser.open(f"https://127.0.0.1:{port}/posts/5")
            self.assertEqual(self.browser.text("h1"), "Written again")
            self.browser.open(f"https://127.0.0.1:{port}/")
            self.assertEqual(self.browser.text(".summary h2"), "Written again")
        self.look("/", "Written again")

    def test_a_stranger_to_the_ca_is_warned(self) -> None:
        """So that the test above says something about certificates."""
        home = Path(self.mktemp()).absolute()
        ca = home.with_suffix(".pem")
        trustme.CA().cert_pem.write_to_path(str(ca))
        stranger = Browser(home, ca)
        self.addCleanup(stranger.close)
        stranger.open(f"{self.blog}/")
        self.assertIn("ERR_CERT_AUTHORITY_INVALID", stranger.text())


#: Runs in the page of another origin: every way that a page has of sending a request to somebody else, to each target.
ATTACK = """
const targets = %s;
const tried = [];
const within = (promise) => Promise.race([promise, new Promise((done) => setTimeout(done, 5000))]);
const quietly = (promise) => within(promise.catch(() => null));
const loaded = (element, place) => within(new Promise((done) => {
  element.onload = element.onerror = done;
  document.body.append(element);
  place();
}));
for (const {url, body} of targets) {
  for (const credentials of ["omit", "include"])
    for (const referrerPolicy of ["no-referrer", "unsafe-url"])
      for (const mode of ["no-cors", "cors"]) {
        tried.push(quietly(fetch(url, {mode, credentials, referrerPolicy})));
        tried.push(quietly(fetch(url, {mode, credentials, referrerPolicy, method: "POST", body})));
      }
  tried.push(quietly(fetch(url, {mode: "cors", method: "POST", body, headers: {"Cache-Control": "max-age=60"}})));
  tried.push(quietly(fetch(url, {mode: "cors", method: "POST", body, headers: {"Content-Type": "application/json"}})));
  tried.push(quietly(fetch(url, {mode: "no-cors", method: "POST", body: new URLSearchParams(body)})));
  navigator.sendBeacon(url, body);
  for (const kind of ["img", "script", "iframe"]) {
    const element = document.createElement(kind);
    tried.push(loaded(element, () => { element.src = url; }));
  }
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  tried.push(loaded(sheet, () => { sheet.href = url; }));
  const urlencoded = "application/x-www-form-urlencoded";
  for (const [method, enctype] of [["get", ""], ["post", "text/plain"], ["post", urlencoded]]) {
    const frame = document.createElement("iframe");
    frame.name = `frame${Math.random()}`;
    const form = document.createElement("form");
    form.action = url; form.method = method; form.target = frame.name;
    if (enctype) form.enctype = enctype;
    // As plain text, the JSON itself: its first "=" is the one between the field's name and its value.
    const fields = enctype === "text/plain"
      ? [[body.split("=")[0], body.split("=").slice(1).join("=")]]
      : [...new URLSearchParams(body), ...new URL(url).searchParams];
    for (const [name, value] of fields) {
      const field = document.createElement("input");
      field.name = name; field.value = value;
      form.append(field);
    }
    document.body.append(form);
    tried.push(loaded(frame, () => form.submit()));
  }
}
Promise.all(tried).then(() => { document.title = "tried all"; });
"""


class ForeignPageTests(BrowserCase):
    def targets(self) -> list[dict[str, str]]:
        """What the page would like to change, and with which body."""
        demo = self.demo
        entry = json.dumps(
            {"Level": "INFO", "Timestamp": "2026-01-01T00:00:00Z", "Source": "evil=", "Message": "evil entry"}
        )
        form = "title=evil+post&author=evil&body=evil"
        registration = f"https://127.0.0.1:{demo.registration}"
        return [
            {"url": f"{registration}/register?port={demo.data}", "body": ""},
            {"url": f"https://localhost:{demo.registration}/register?port={demo.data}", "body": ""},
            {"url": f"{registration}/unregister?port={demo.blogs[0]}", "body": ""},
            {"url": f"{registration}/v1/services/default/instances/127.0.0.1:{demo.blogs[0]}/drain", "body": ""},
            {"url": f"https://127.0.0.1:{demo.cache}/invalidate?key=/kept", "body": ""},
            {"url": f"https://localhost:{demo.cache}/invalidate?key=/kept", "body": ""},
            {"url": f"https://127.0.0.1:{demo.cache}/?key=/evil", "body": "evil"},
            {"url": f"https://127.0.0.1:{demo.logs}/", "body": entry},
            {"url": f"https://localhost:{demo.logs}/v1/entries", "body": entry},
            {"url": f"https://127.0.0.1:{demo.data}/posts", "body": '{"title":"evil","author":"e=","body":"evil"}'},
            {"url": f"https://127.0.0.1:{demo.data}/posts/1", "body": '{"title":"evil","author":"e=","body":"evil"}'},
            {"url": f"{self.blog}/posts", "body": form},
            {"url": f"{self.blog}/posts/1", "body": form + "&revision=1"},
            {"url": f"https://127.0.0.1:{demo.blogs[0]}/posts", "body": form},
        ]

    def state(self) -> dict[str, Any]:
        """All that the page could have changed."""
        demo = self.demo
        posts = demo.ask(demo.data, "GET", "/posts").json
        return {
            "instances": demo.instances(),
            "kept": demo.ask(demo.cache, "GET", "/?key=/kept").body,
            "evil key": demo.ask(demo.cache, "GET", "/?key=/evil").status,
            "posts": posts,
            "first post": demo.ask(demo.data, "GET", "/posts/1").body,
        }

    def refusals(self) -> dict[int, float]:
        """How many requests each private listener with numbers of its own has refused."""
        counts = {}
        for port in (self.demo.cache, self.demo.logs):
            text = self.demo.ask(port, "GET", "/metrics").body.decode()
            lines = [line for line in text.splitlines() if line.startswith("scalekit_requests") and "4xx" in line]
            counts[port] = sum(float(line.rpartition(" ")[2]) for line in lines)
        return counts

    @contextmanager
    def page(self, context: ssl.SSLContext | None = None) -> Iterator[int]:
        """Serve the page on a port of 127.0.0.1."""
        body = f"<!DOCTYPE html><title>trying</title><body><script>{ATTACK % json.dumps(self.targets())}</script>"

        class Page(Answers):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

        with serving(Page, context) as port:
            yield port

    def test_it_changes_nothing(self) -> None:
        """Not from another site, not from a name that leads here, not from another port of this very host."""
        demo = self.demo
        # The same requests work for programs: what is refused below is refused for where it comes from.
        stored = demo.ask(demo.cache, "POST", "/?key=/kept", b"kept", {"Cache-Control": "max-age=600"})
        self.assertEqual(stored.status, 201)
        self.assertEqual(demo.ask(demo.registration, "GET", f"/register?port={demo.blogs[1]}").status, 200)
        before = self.state()
        self.assertEqual(before["kept"], b"kept")

        tls = demo.state / "tls"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        refused = self.refusals()
        with self.page() as clear, self.page(context) as secure:
            for origin in (
                f"http://127.0.0.1:{clear}",
                f"http://evil.localhost:{clear}",
                f"https://localhost:{secure}",
                f"https://127.0.0.1:{secure}",
            ):
                self.browser.open(origin)
                until(lambda: self.browser.title == "tried all", f"{origin} tried all")
                self.assertEqual(self.state(), before, origin)
                more = self.refusals()
                for port, count in more.items():
                    # Four variants of GET and of POST by fetch, four elements, three forms, and the beacon, at least.
                    self.assertGreater(count - refused[port], 16, f"{origin} at {port}")
                refused = more
        demo.end(signal.SIGINT)  # SIGTERM waits for a load balancer above
        log = (demo.state / "logs" / "log.txt").read_text()
        self.assertNotIn("evil entry", log)
        self.assertIn("POST /posts 403", log)
