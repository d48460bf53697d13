"""
HTTP/2 by clients that people have: curl, nghttp, h2load, httpx, node (fetch, its http2, undici), against a balancer.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import subprocess
from pathlib import Path

import httpx

from tests.requirements import require
from tests.scenarios.running import PATIENCE_SECONDS
from tests.scenarios.test_clients import TEXT, ClientCase, run

#: Asks with node's own http2: many streams on one connection, a body, trailers that nobody sends.
NODE_HTTP2 = """
const http2 = require('http2');
const session = http2.connect(process.argv[1]);
const ask = (path, body) => new Promise((done, failed) => {
  const stream = session.request({':path': path, ':method': body ? 'POST' : 'GET'});
  let status, text = '';
  stream.on('response', headers => status = headers[':status']);
  stream.on('data', piece => text += piece);
  stream.on('end', () => done([status, text]));
  stream.on('error', failed);
  stream.end(body);
});
(async () => {
  const pages = await Promise.all([...Array(150).keys()].map(n => ask('/' + n)));
  const posted = await ask('/x', 'a'.repeat(300000));
  session.close();
  console.log(JSON.stringify({statuses: [...new Set(pages.map(p => p[0]))], posted: posted[0]}));
})();
"""
#: Asks with node's fetch, which is HTTP/1.1.
NODE_FETCH = """
(async () => {
  const answers = await Promise.all([...Array(40).keys()].map(n => fetch(process.argv[1] + n)));
  const texts = await Promise.all(answers.map(answer => answer.text()));
  const posted = await fetch(process.argv[1], {method: 'POST', body: 'a=1'});
  console.log(JSON.stringify({statuses: [...new Set(answers.map(a => a.status))], posted: posted.status}));
})();
"""
#: The same with undici and HTTP/2.
NODE_UNDICI = (
    """
const {Agent, fetch, setGlobalDispatcher} = require('undici');
setGlobalDispatcher(new Agent({allowH2: true}));
"""
    + NODE_FETCH
)
UNDICI = "undici@6.21.0"


class H2ClientCase(ClientCase):
    def versions(self) -> set[str]:
        """The HTTP versions in the access log."""
        return {line["version"] for line in self.balancer.access_log()}

    def node(self, script: str, url: str, folder: Path | None = None) -> object:
        environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(self.balancer.ca)}
        finished = subprocess.run(
            [require("node"), "--no-warnings", "-e", script, url],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            env=environment,
            cwd=folder,
        )
        self.assertEqual((finished.returncode, finished.stderr), (0, b""))
        return json.loads(finished.stdout)


class CurlTests(H2ClientCase):
    def test_every_way(self) -> None:
        upload = self.folder / "upload"
        upload.write_bytes(TEXT * 100)
        for option, is_secure, version in (
            ("--http2", True, b"2"),
            ("--http2", False, b"1.1"),  # it asks for an upgrade, which RFC 9113 has done away with
            ("--http2-prior-knowledge", False, b"2"),
            ("--http2-prior-knowledge", True, b"2"),
            ("--http1.1", True, b"1.1"),
        ):

            def ask(*arguments: str, path: str = "/page", option: str = option, is_secure: bool = is_secure) -> bytes:
                url = self.balancer.url(path, is_secure)
                ca = str(self.balancer.ca)
                finished = run("curl", "-sS", option, "--cacert", ca, "-w", "\n%{http_version}", *arguments, url)
                self.assertEqual((finished.returncode, finished.stderr), (0, b""), option)
                return finished.stdout

            pages = {ask() for _ in range(4)}
            self.assertEqual(pages, {b"%d /page\n\n%b" % (port, version) for port in self.ports})
            for _ in self.ports:
                answer, _, told = ask("-T", str(upload), path="/x").rpartition(b"\n")
                self.assertEqual(told, version)
                self.assertTrue(answer == TEXT * 100 or json.loads(answer)["size"] == len(TEXT) * 100)
            self.assertIn(b"200", ask("--head").splitlines()[0])
        self.assert_fine(35)
        self.assertEqual(self.versions(), {"1.1", "2"})

    def test_many_at_once_on_one_connection(self) -> None:
        url = self.balancer.url("/page/[1-150]")
        finished = run("curl", "-sSv", "--http2", "-Z", "--cacert", str(self.balancer.ca), url)
        self.assertEqual(finished.returncode, 0)
        self.assertEqual(len(re.findall(rb"\d+ /page/\d+\n", finished.stdout)), 150)
        self.assert_fine(150)


class ToolTests(H2ClientCase):
    def test_nghttp(self) -> None:
        for url in (self.balancer.url("/page"), self.balancer.url("/page", False)):
            finished = run("nghttp", "-nv", url)
            self.assertEqual(finished.returncode, 0, finished.stderr)
            self.assertIn(b":status: 200", finished.stdout)
            self.assertNotIn(b"PROTOCOL_ERROR", finished.stdout)
        posted = self.folder / "posted"
        posted.write_bytes(TEXT)
        finished = run("nghttp", "-nv", "-d", str(posted), self.balancer.url("/x"))
        self.assertIn(b":status: 200", finished.stdout)
        self.assert_fine(3)

    def test_h2load(self) -> None:
        for is_secure in (True, False):
            finished = run("h2load", "-n", "4000", "-c", "8", "-m", "16", self.balancer.url("/load", is_secure))
            self.assertIn(b" 4000 succeeded, 0 failed, 0 errored", finished.stdout, finished.stdout)
        self.assert_fine(8000)

    def test_httpx(self) -> None:
        context = ssl.create_default_context(cafile=self.balancer.ca)

        async def ask_many() -> list[httpx.Response]:
            # In one thread: from several it sends streams out of order now and then, which ends the connection.
            async with httpx.AsyncClient(verify=context, http2=True, timeout=PATIENCE_SECONDS) as client:
                return await asyncio.gather(*[client.get(self.balancer.url("/page")) for _ in range(200)])

        answers = asyncio.run(ask_many())
        with httpx.Client(verify=context, http2=True, timeout=PATIENCE_SECONDS) as client:
            self.assertEqual({answer.http_version for answer in answers}, {"HTTP/2"})
            self.assertEqual({answer.content for answer in answers}, {b"%d /page\n" % port for port in self.ports})
            for _ in self.ports:
                posted = client.post(self.balancer.url("/x"), content=iter([TEXT, TEXT]))
                self.assertTrue(posted.content == TEXT * 2 or posted.json()["size"] == len(TEXT) * 2)
            for framing in ("length", "chunked", "close"):
                sizes = set()
                for _ in self.ports:
                    with client.stream("GET", self.balancer.url(f"/bytes?size=3000000&framing={framing}")) as answer:
                        sizes.add(sum(map(len, answer.iter_bytes())))
                self.assertIn(3_000_000, sizes)
        self.assert_fine(208)
        self.assertEqual(self.versions(), {"2"})


class NodeTests(H2ClientCase):
    def test_its_own(self) -> None:
        fine = {"statuses": [200], "posted": 200}
        self.assertEqual(self.node(NODE_HTTP2, self.balancer.url("")), fine)
        self.assertEqual(self.versions() or {"2"}, {"2"})
        self.assertEqual(self.node(NODE_FETCH, self.balancer.url("/")), fine)
        self.assert_fine(192)

    def test_undici(self) -> None:
        folder = self.folder / "undici"
        folder.mkdir()
        installed = subprocess.run(
            [require("npm"), "install", "--no-audit", "--no-fund", "--silent", UNDICI],
            cwd=folder,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
        self.assertEqual(installed.returncode, 0, installed.stderr)
        self.assertEqual(self.node(NODE_UNDICI, self.balancer.url("/"), folder), {"statuses": [200], "posted": 200})
        self.assert_fine(41)
        self.assertEqual(self.versions(), {"2"})
