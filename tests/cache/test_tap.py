"""The daemon: composed in memory, then started by twistd and asked by the standard library's client."""

import http.client
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.eviction import LeastRecentlyUsed, Sieve
from scalekit.cache.s3fifo import S3FIFO
from scalekit.cache.tap import Options, make_cache_root, makeService, steady_seconds
from scalekit.config.model import Cache
from scalekit.http.heads import Client
from scalekit.kit.observer import LogService
from scalekit.net.listening import ListeningService
from scalekit.web import memory

# A hung daemon fails its test and is not left behind.
PATIENCE_SECONDS = 60.0
ELSEWHERE = Client("10.0.0.7", 40000, True, 5000)


class CacheRootTests(SynchronousTestCase):
    def test_as_configured(self) -> None:
        clock = Clock()
        cache = make_cache_root(Cache(max_bytes=80_000, expiry_interval=7.0, default_max_age=9.0), clock)
        self.assertEqual(repr(cache.service), "<CacheService every 7 s: " + repr(cache.store) + ">")
        self.assertEqual(cache.store.max_bytes, 80_000)
        self.assertTrue(list(cache.collector.collect()))
        self.assertIsInstance(cache.store._held.eviction, S3FIFO)

    def test_what_leaves_when_it_is_full(self) -> None:
        for name, policy in (("lru", LeastRecentlyUsed), ("sieve", Sieve), ("s3-fifo", S3FIFO)):
            cache = make_cache_root(Cache(eviction=name), Clock())
            self.assertIsInstance(cache.store._held.eviction, policy)


class SteadySecondsTests(SynchronousTestCase):
    def test_never_back(self) -> None:
        seconds = [steady_seconds() for _ in range(1000)]
        self.assertEqual(seconds, sorted(seconds))


class CompositionTests(SynchronousTestCase):
    """``makeService`` opens nothing; what would be asked on a socket is asked here of the listeners' factory."""

    def make(self, *arguments: str) -> Any:
        self.directory = Path(self.mktemp()).absolute()
        options = Options()
        options.parseOptions(["--state-directory", str(self.directory), *arguments])
        return makeService(options)

    def responder(self, daemon: Any) -> Any:
        (listening,) = (service for service in daemon if isinstance(service, ListeningService))
        return listening._factory

    def token_file(self, *lines: str) -> str:
        path = Path(self.mktemp())
        path.write_text("\n".join(lines))
        return str(path)

    def status(
        self, daemon: Any, method: bytes, target: bytes, token: bytes = b"", *fields: tuple[bytes, bytes]
    ) -> int:
        given = [(b"Cache-Control", b"max-age=60"), *fields]
        if token:
            given.append((b"Authorization", b"Bearer " + token))
        return memory.ask(self.responder(daemon), method, target, given, b"", ELSEWHERE).status

    def test_tokens_off_this_machine(self) -> None:
        tokens = self.token_file("read reader-reader-reader", "write writer-writer-writer")
        daemon = self.make("--listen", "http://0.0.0.0:0", "--token-file", tokens)
        reader, writer = b"reader-reader-reader", b"writer-writer-writer"
        for method, target, token, status in (
            (b"GET", b"/?key=a", b"", 401),
            (b"GET", b"/?key=a", b"wrong-wrong-wrong", 401),
            (b"POST", b"/?key=a", reader, 403),
            (b"POST", b"/?key=a", writer, 201),
            (b"GET", b"/?key=a", reader, 200),
            (b"GET", b"/?key=a", writer, 200),
            (b"POST", b"/invalidate?key=a", reader, 403),
            (b"GET", b"/invalidate?key=a", writer, 403),
            (b"GET", b"/?key=a", reader, 200),
            (b"POST", b"/invalidate?key=a", writer, 204),
            (b"GET", b"/?key=a", reader, 404),
            (b"PUT", b"/v1/keys/a", reader, 403),
            (b"PUT", b"/v1/keys/a", writer, 201),
            (b"GET", b"/v1/keys/a", b"", 401),
            (b"GET", b"/v1/keys/a", reader, 200),
            (b"GET", b"/v1/stats", b"", 401),
            (b"GET", b"/v1/stats", reader, 200),
            (b"POST", b"/v1/purge", b"", 401),
            (b"POST", b"/v1/purge", reader, 403),
            (b"POST", b"/v1/purge", writer, 400),
            (b"POST", b"/v1/keys:get", reader, 400),
            (b"DELETE", b"/v1/keys/a", reader, 403),
            (b"DELETE", b"/v1/keys/a", writer, 204),
            (b"DELETE", b"/v1/leases/x", reader, 403),
        ):
            self.assertEqual(self.status(daemon, method, target, token), status, (method, target, token))

    def test_new_tokens_without_a_restart(self) -> None:
        tokens = self.token_file("write former-former-former")
        daemon = self.make("--listen", "http://0.0.0.0:0", "--token-file", tokens)
        self.assertEqual(self.status(daemon, b"POST", b"/?key=a", b"former-former-former"), 201)
        Path(tokens).write_text("write latter-latter-latter\n")
        daemon.reload()
        self.assertEqual(self.status(daemon, b"GET", b"/?key=a", b"former-former-former"), 401)
        self.assertEqual(self.status(daemon, b"GET", b"/?key=a", b"latter-latter-latter"), 200)

    def test_wrong_tokens_are_not_taken(self) -> None:
        tokens = self.token_file("write former-former-former")
        daemon = self.make("--listen", "http://0.0.0.0:0", "--token-file", tokens)
        Path(tokens).write_bytes(b"write \xff")
        daemon.reload()
        Path(tokens).unlink()
        daemon.reload()
        self.assertEqual(self.status(daemon, b"POST", b"/?key=a", b"former-former-former"), 201)

    def test_no_reload_opens_a_port_that_others_can_reach(self) -> None:
        """The new configuration is right for the ports it names, but those are not open before the next start."""
        tokens, config = self.token_file("write some-token-or-other"), Path(self.mktemp())
        config.write_text(f'[cache]\nlisten = ["http://0.0.0.0:0"]\ntoken_file = "{Path(tokens).absolute()}"\n')
        daemon = self.make("--config", str(config))
        config.write_text("[cache]\n")
        daemon.reload()
        self.assertEqual(self.status(daemon, b"GET", b"/?key=a"), 401)

    def test_pages_of_other_origins(self) -> None:
        daemon = self.make()
        for field in ((b"Origin", b"https://evil.example"), (b"Sec-Fetch-Site", b"cross-site")):
            self.assertEqual(self.status(daemon, b"POST", b"/invalidate?key=a", b"", field), 403)

    def test_certificate_renewed_at_reload(self) -> None:
        daemon = self.make()
        before = (self.directory / "tls" / "server.pem").read_bytes()
        (self.directory / "tls" / "server.pem").unlink()
        daemon.reload()
        self.assertNotEqual((self.directory / "tls" / "server.pem").read_bytes(), before)

    def test_no_certificate_where_none_is_needed(self) -> None:
        self.make("--listen", "http://127.0.0.1:0")
        self.assertFalse((self.directory / "tls").exists())

    def test_operational_routes(self) -> None:
        daemon = self.make()
        self.assertEqual(self.status(daemon, b"POST", b"/?key=a"), 201)
        for target in (b"/ping", b"/healthz", b"/readyz", b"/metrics"):
            self.assertEqual(self.status(daemon, b"GET", target), 200, target)
        lines = memory.ask(self.responder(daemon), b"GET", b"/metrics").sent.splitlines()
        self.assertIn(b'scalekit_cache_puts_total{result="stored"} 1.0', lines)
        daemon.is_draining = True
        self.assertEqual(self.status(daemon, b"GET", b"/readyz"), 503)
        self.assertEqual(self.status(daemon, b"GET", b"/ping"), 200)

    def test_probes_need_no_token(self) -> None:
        daemon = self.make("--listen", "http://0.0.0.0:0", "--token-file", self.token_file("read some-token-or-other"))
        self.assertEqual(self.status(daemon, b"GET", b"/ping"), 200)
        self.assertEqual(self.status(daemon, b"GET", b"/metrics"), 401)

    def test_log_service(self) -> None:
        path = Path(self.mktemp())
        path.write_text('[log_client]\nurl = "https://127.0.0.1:6000"\n')
        self.assertEqual([type(one) for one in self.make("--config", str(path))][-1], LogService)
        self.assertNotIn(LogService, [type(one) for one in self.make()])
        self.assertEqual(reactor.getDelayedCalls(), [])


class TwistdTests(SynchronousTestCase):
    client: http.client.HTTPConnection

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        self.directory = Path(self.mktemp()).absolute()
        twistd = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "scalekit-cache")
        process = subprocess.Popen(
            [*twistd, "--state-directory", str(self.directory), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()

        def end() -> None:
            watchdog.cancel()
            watchdog.join()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

        self.addCleanup(end)
        return process

    def port(self, process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            found = re.search(r"listening on https?://[^ ]*:(\d+)\n", line)
            if found:
                return int(found[1])
        self.fail("it did not start: " + "".join(lines))
        raise AssertionError

    def ask(
        self, method: str, target: str, fields: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        self.client.request(method, target, body, fields or {})
        answer = self.client.getresponse()
        return answer.status, answer.read()

    def test_the_tutorial_over_tls(self) -> None:
        process = self.start("--listen", "https://127.0.0.1:0")
        port = self.port(process)
        trust = ssl.create_default_context(cafile=str(self.directory / "tls" / "ca.pem"))
        self.client = http.client.HTTPSConnection("localhost", port, context=trust, timeout=PATIENCE_SECONDS)
        self.addCleanup(self.client.close)
        age = {"cache-control": "maxage=86400000000000"}
        large = b"\0x" * 500_000
        self.assertEqual(self.ask("GET", "/?key=posts")[0], 404)
        self.assertEqual(self.ask("POST", "/?key=posts", age, b"first"), (201, b""))
        self.assertEqual(self.ask("GET", "/?key=posts"), (200, b"first"))
        self.assertEqual(self.ask("POST", "/?key=posts", age, large), (204, b""))
        self.assertEqual(self.ask("GET", "/?key=posts"), (200, large))
        self.assertEqual(self.ask("HEAD", "/?key=posts"), (200, b""))
        self.assertEqual(self.ask("POST", "/?key=posts", {}, b"x")[0], 400)
        self.assertEqual(self.ask("PUT", "/?key=posts", age, b"x")[0], 405)
        self.assertEqual(self.ask("GET", "/invalidate?key=posts"), (204, b""))
        self.assertEqual(self.ask("GET", "/?key=posts")[0], 404)
        self.assertEqual(self.ask("GET", "/ping")[0], 200)
        self.assertIn(b'scalekit_requests_total{service="",status="4xx"}', self.ask("GET", "/metrics")[1])
        self.assertEqual(self.ask("GET", "/?key=posts", {"Host": "evil.example"})[0], 421)
        self.client.close()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
        self.assertEqual(process.returncode, 0, output)

    def test_in_clear_and_small(self) -> None:
        process = self.start("--listen", "http://127.0.0.1:0", "--max-bytes", "1MiB")
        self.client = http.client.HTTPConnection("127.0.0.1", self.port(process), timeout=PATIENCE_SECONDS)
        self.addCleanup(self.client.close)
        self.assertEqual(self.ask("POST", "/?key=a", {"Cache-Control": "max-age=60"}, b"x" * 200_000)[0], 413)
        self.client.close()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
        self.assertEqual(process.returncode, 0, output)

    def test_what_is_wrong_is_one_line_and_status_1(self) -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        started = [
            (self.start(*arguments), part)
            for arguments, part in (
                (("--max-bytes", "much"), "--max-bytes"),
                (("--listen", "http://0.0.0.0:0"), "cache.token_file"),
                (("--listen", "http://0.0.0.0:0", "--token-file", "/does/not/exist"), "/does/not/exist"),
                (("--listen", url), f"cannot listen on {url}"),
            )
        ]
        for process, part in started:
            output, _ = process.communicate()
            self.assertEqual(process.returncode, 1, output)
            told = [line for line in output.splitlines() if not re.match(r"\d{4}-\d\d-\d\d", line)]
            self.assertEqual(len(told), 1, output)
            self.assertIn(part, told[0])
