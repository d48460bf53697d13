"""
Clients that people have, unchanged, against a balancer with an app server of the kit and one of the standard library.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import requests

from tests.requirements import require
from tests.scenarios.daemons import Balancer, ScenarioCase
from tests.scenarios.running import PATIENCE_SECONDS, until
from tests.scenarios.stock_app import blocks
from tests.web.decoders import decoded

TEXT = b"a page that is worth being compressed, " * 1000
PAGE_BYTES = b"".join(blocks(300_000))
#: What curl --version calls it, and how it is asked for; as we like them.
CODINGS = ((b"zstd", b"zstd"), (b"brotli", b"br"), (b"libz", b"gzip"))


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end; what it prints."""
    return subprocess.run([require(program), *arguments], capture_output=True, timeout=PATIENCE_SECONDS)


class ClientCase(ScenarioCase):
    """A balancer with two app servers."""

    balancer: Balancer

    def setUp(self) -> None:
        super().setUp()
        self.balancer = self.start_balancer()
        stock, _ = self.start_stock_app()
        self.balancer.register(stock)
        kit, _ = self.start_kit_app(self.balancer, scheme="https")
        self.ports = {stock, kit}
        self.balancer.await_up(*self.ports)

    def assert_fine(self, requests: int) -> None:
        """The balancer has answered so many requests, all of them well, and logged no fault."""
        until(lambda: len(self.balancer.access_log()) >= requests, "all requests are in the access log")
        # wrk leaves in the middle of its last requests.
        lines = [line for line in self.balancer.access_log() if line["reason"] != "client-gone"]
        self.assertEqual([line for line in lines if line["status"] >= 400 or line["reason"]], [])
        self.assertNotIn("Traceback", self.balancer.stdout)


class CurlTests(ClientCase):
    """curl, over TLS verified by the local CA, and in clear."""

    def curl(self, path: str, *arguments: str, is_secure: bool = True, http: str = "1.1") -> bytes:
        url = self.balancer.url(path, is_secure)
        finished = run("curl", "-sS", f"--http{http}", "--cacert", str(self.balancer.ca), *arguments, url)
        self.assertEqual((finished.returncode, finished.stderr), (0, b""))
        return finished.stdout

    def test_every_way_to_ask(self) -> None:
        upload = self.folder / "upload"
        upload.write_bytes(TEXT * 20)  # over a megabyte: curl waits for 100 Continue by itself
        for is_secure in (True, False):
            answers = {self.curl("/page", is_secure=is_secure) for _ in range(4)}
            self.assertEqual(answers, {b"%d /page\n" % port for port in self.ports})
            for path in ("/posted", "/posted"):  # once to each app server
                answer = self.curl(path, "-d", "a=1&b=2", is_secure=is_secure)
                self.assertTrue(answer == b"a=1&b=2" or json.loads(answer)["size"] == 7, answer)
            head = self.curl("/page", "--head", is_secure=is_secure)
            self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
            self.assertRegex(head.lower(), rb"content-length: \d+\r\n")
            for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
                for _ in self.ports:
                    answer = self.curl("/upload", "-T", str(upload), *extra, is_secure=is_secure)
                    self.assert_received(answer, upload, "chunked" if "chunked" in str(extra) else "length")
            self.assertIn(b" /page\n", self.curl("/page", is_secure=is_secure, http="1.0"))
        self.assert_fine(28)

    def assert_received(self, answer: bytes, upload: Path, framing: str) -> None:
        content = upload.read_bytes()
        if answer != content:  # the kit's app server answers with the body, the other one tells of it
            told = json.loads(answer)
            self.assertEqual((told["size"], told["framing"]), (len(content), framing))

    def test_expect_continue_is_answered(self) -> None:
        for version in ("1.1", "2"):
            asked = ["-d", "a=1", "-H", "Expect: 100-continue", "--expect100-timeout", "20", self.balancer.url("/x")]
            answer = run("curl", "-sSv", f"--http{version}", "--cacert", str(self.balancer.ca), *asked)
            statuses = re.findall(rb"< HTTP/([0-9.]+) ([0-9]+)", answer.stderr)
            self.assertEqual(statuses, [(version.encode(), b"100"), (version.encode(), b"200")])

    def test_standard_input_is_sent_in_chunks(self) -> None:
        command = [require("curl"), "-sS", "--cacert", str(self.balancer.ca), "-T", "-", self.balancer.url("/x")]
        for _ in self.ports:
            answer = subprocess.run(command, input=TEXT, capture_output=True, timeout=PATIENCE_SECONDS).stdout
            self.assertTrue(answer == TEXT or json.loads(answer)["framing"] == "chunked", answer[:100])

    def test_compressed(self) -> None:
        # Whichever this curl was built with, best first as we like them.
        features = run("curl", "--version").stdout.split()
        expected = next(coding for name, coding in CODINGS if name in features)
        for framing in ("length", "chunked", "close"):
            self.assertEqual(self.ask_for_page(framing, "--compressed"), (expected, PAGE_BYTES))

    def test_each_coding(self) -> None:
        known = run("curl", "--version").stdout.split()
        for name, coding in CODINGS:
            asked = ["-H", "Accept-Encoding: " + coding.decode()]
            got, body = self.ask_for_page("length", *asked)
            self.assertEqual(got, coding)
            self.assertEqual(decoded(coding, body), PAGE_BYTES)
            if name in known:
                for version in ("1.1", "2"):
                    page = self.ask_for_page("chunked", "--compressed", *asked, http=version)
                    self.assertEqual(page, (coding, PAGE_BYTES))

    def ask_for_page(self, framing: str, *arguments: str, http: str = "1.1") -> tuple[bytes, bytes]:
        """Content-Encoding and body of the app server that has such a page; the kit's answers with a line."""
        heads = self.folder / "heads"
        for _ in self.ports:
            path = f"/bytes?size={len(PAGE_BYTES)}&framing={framing}"
            body = self.curl(path, *arguments, "-D", str(heads), http=http)
            coding = re.search(rb"\ncontent-encoding: (\w+)\r", heads.read_bytes().lower())
            if coding is not None:
                return coding[1], body
        self.fail("nobody coded the page")

    def test_one_connection_for_many(self) -> None:
        urls = [self.balancer.url(f"/{number}") for number in range(20)]
        finished = run("curl", "-sSv", "--cacert", str(self.balancer.ca), *urls)
        self.assertEqual(finished.returncode, 0)
        self.assertEqual(len(finished.stdout.splitlines()), 20)
        self.assertEqual(finished.stderr.count(b"Connected to"), 1)


class PythonTests(ClientCase):
    """requests and httpx."""

    def test_requests(self) -> None:
        with requests.Session() as session:
            session.trust_env = False  # REQUESTS_CA_BUNDLE would stand above what follows
            session.verify = str(self.balancer.ca)
            pages = {session.get(self.balancer.url("/page"), timeout=PATIENCE_SECONDS).content for _ in range(4)}
            self.assertEqual(pages, {b"%d /page\n" % port for port in self.ports})
            for body in (TEXT, iter([TEXT, TEXT]), {"a": "1"}):
                posted = session.post(self.balancer.url("/x"), data=body, timeout=PATIENCE_SECONDS)
                self.assertEqual(posted.status_code, 200)
                self.assertTrue(posted.content)
            self.assertEqual(session.head(self.balancer.url("/page"), timeout=PATIENCE_SECONDS).content, b"")
            self.assertEqual(session.get(self.balancer.url("/page", False), timeout=PATIENCE_SECONDS).status_code, 200)
        self.assert_fine(9)

    def test_httpx(self) -> None:
        context = ssl.create_default_context(cafile=self.balancer.ca)
        with httpx.Client(verify=context, timeout=PATIENCE_SECONDS) as client:
            with ThreadPoolExecutor(8) as threads:
                pages = set(threads.map(lambda _: client.get(self.balancer.url("/page")).content, range(200)))
            self.assertEqual(pages, {b"%d /page\n" % port for port in self.ports})
            for _ in self.ports:
                posted = client.post(self.balancer.url("/x"), content=iter([TEXT, TEXT]))
                self.assertTrue(posted.content == TEXT * 2 or posted.json()["size"] == len(TEXT) * 2)
            for _ in self.ports:
                with client.stream("GET", self.balancer.url("/bytes?size=1000000&framing=chunked")) as answer:
                    self.assertEqual(answer.http_version, "HTTP/1.1")
                    self.assertIn(sum(map(len, answer.iter_bytes())), (1_000_000, len(b"12345 /bytes\n")))
            self.assertEqual(client.get(self.balancer.url("/page", False)).status_code, 200)
        self.assert_fine(205)


class LoadTests(ClientCase):
    """ab and wrk."""

    def ab(self, *arguments: str, is_secure: bool) -> None:
        finished = run("ab", "-q", "-n", "400", "-c", "8", *arguments, self.balancer.url("/load/0", is_secure))
        printed = finished.stdout.decode()
        self.assertEqual(finished.returncode, 0, finished.stderr)
        # -l: both app servers name their port, so answers may differ in length.
        self.assertRegex(printed, r"Complete requests: +400\n", printed)
        self.assertRegex(printed, r"Failed requests: +0\n", printed)
        self.assertNotIn("Non-2xx", printed)
        if "-k" in arguments:
            self.assertRegex(printed, r"Keep-Alive requests: +400\n", printed)

    def test_ab(self) -> None:
        posted = self.folder / "posted"
        posted.write_bytes(b"a=1&b=2")
        for is_secure in (True, False):
            self.ab("-l", "-k", is_secure=is_secure)
            self.ab("-l", is_secure=is_secure)
            self.ab("-l", "-k", "-p", str(posted), is_secure=is_secure)
        self.assert_fine(2400)

    def test_wrk(self) -> None:
        for is_secure in (True, False):
            finished = run("wrk", "-t1", "-c8", "-d1s", self.balancer.url("/load", is_secure))
            printed = finished.stdout.decode()
            self.assertEqual(finished.returncode, 0, printed)
            count = re.search(r"(\d+) requests in", printed)
            self.assertGreater(int(count[1]) if count else 0, 100, printed)
            self.assertNotIn("Non-2xx", printed)
            self.assertNotIn("Socket errors", printed)
        self.assert_fine(200)
