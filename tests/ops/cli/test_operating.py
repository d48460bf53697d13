"""``scalekit status | drain | explain``, with a balancer of their own."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.cli.asking import Asking, Refused
from scalekit.ops.cli.operating import explain_lines, for_people, service_lines
from tests.balancer import test_tap
from tests.ops.cli.commands import NOW, CommandCase, Done
from tests.ports import free_port
from tests.twistd import ask


class WithBalancerTests(test_tap.BalancerCase, CommandCase):
    def setUp(self) -> None:
        test_tap.BalancerCase.setUp(self)
        self.now = NOW
        self.there = self.app_server()
        self.configure(self.there)
        self.process = self.run_balancer()
        self.port = int(self.app_server().rpartition(":")[2])

    def command(self, *arguments: str) -> Done:
        url = f"https://localhost:{self.private}"
        return self.run_command(*arguments, "--balancer", url, "--ca", str(self.ca))

    def test_looking_and_draining(self) -> None:
        private = self.client(self.private, self.ca)
        target = f"/register?port={self.port}&service=shop&scheme=http&path=/shop"
        self.assertEqual(ask(private, target, "POST")[0].status, 200)
        id = f"127.0.0.1:{self.port}"
        self.eventually(lambda: " up" in self.command("status", "--service", "shop").stdout)
        done = self.command("status")
        self.assertEqual((done.status, done.stderr), (0, ""))
        for text in ("default  */", "shop  */shop", id, self.there, "up", "probes passed"):
            self.assertIn(text, done.stdout)
        done = self.command("status", "--service", "shop", "--json")
        self.assertEqual([one["id"] for one in json.loads(done.stdout)["instances"]], [id])

        done = self.command("explain", "https://a.example/shop/1", "--method", "POST", "--header", "X-A: b")
        for text in (
            "service shop by the route */shop",
            "HTTP cache: there is none",
            id,
            "A POST may not be sent",
            "*/  default",
        ):
            self.assertIn(text, done.stdout)
        done = self.command("explain", "https://a.example/shop/..%2fx", "--json")
        self.assertEqual(json.loads(done.stdout)["status"], 400)
        self.assertIn("400: ", self.command("explain", "https://a b/").stdout)

        done = self.command("drain", "shop", id, "--wait", "5")
        self.assertEqual((done.status, done.stdout), (0, f"{id} of shop is out: nothing in flight\n"))
        configured = self.there.removeprefix("http://")
        self.assertIn(f"{configured} of default is out: ", self.command("drain", "default", configured).stdout)
        self.assertIn(" drained ", self.command("status", "--service", "default").stdout)
        self.assertIn("is out: drained by", self.command("drain", "default", configured).stdout)
        done = self.command("undrain", "default", configured)
        self.assertEqual(done.stdout, f"{configured} of default is joining: taken back by an operator\n", done)
        self.assertEqual(self.command("drain", "shop", id).status, 1)
        self.assertIn("no instances since ", self.command("explain", "https://a.example/shop").stdout)
        self.assertIn("nobody has claimed these routes for ", self.command("status").stdout)
        self.assertEqual(self.command("forget", "shop").stdout, "shop has no routes any more: */shop\n")
        self.assertIn("service default", self.command("explain", "https://a.example/shop").stdout)
        self.assertEqual(self.command("forget", "default").status, 1)
        url = f"https://localhost:{self.private}"
        for arguments, text in [
            (("drain", "shop", id), "404: There is no"),
            (("undrain", "shop", id), "404: There is no"),
            (("status", "--service", "none"), "404: "),
            (("explain", ""), "400: url: "),
        ]:
            done = self.command(*arguments)
            self.assertEqual((done.status, done.stdout, done.stderr.count("\n")), (1, "", 1), done)
            self.assertTrue(done.stderr.startswith(f"scalekit: {url}: {text}"), done.stderr)


class DrainTests(CommandCase):
    """With a balancer that waits for less than it is asked to."""

    def drain(self, *answers: dict[str, Any] | Refused) -> tuple[Done, list[str]]:
        asked: list[str] = []
        left = list(answers)

        def ask(asking: Asking, method: str, target: str, *more: Any) -> dict[str, Any]:
            asked.append(target.rpartition("=")[2])
            self.passed += 20.0
            answer = left.pop(0)
            if isinstance(answer, Refused):
                raise answer
            return answer

        self.patch(Asking, "ask", ask)
        return self.run_command("drain", "shop", "a", "--wait", "60"), asked

    def test_it_is_asked_again(self) -> None:
        busy = {"state": "draining", "in_flight": 1, "reason": "drained"}
        gone = {"state": "gone", "in_flight": 0, "reason": "nothing in flight"}
        done, asked = self.drain(busy, busy, gone)
        self.assertEqual((done.status, done.stdout), (0, "a of shop is out: nothing in flight\n"))
        self.assertEqual(asked, ["60.000", "39.500", "19.000"])
        done, _ = self.drain(busy, Refused("gone", 404))
        self.assertEqual((done.status, done.stdout), (0, "a of shop is out: it has gone\n"))
        done, asked = self.drain(busy, busy, busy)
        self.assertEqual((done.status, done.stdout, len(asked)), (1, "a of shop is draining: 1 in flight\n", 3))
        self.assertEqual(self.drain(busy, Refused("no", 403))[0].stderr, "scalekit: no\n")


class RefusalTests(CommandCase):
    def test_nobody_there(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        self.assertEqual(self.refused("status", "--balancer", url), f"{url}: Connection refused")

    def test_where_the_configuration_says(self) -> None:
        """Its listener, by loopback if it has one, and its state directory; what is said besides goes before."""
        port = free_port()
        file = self.folder / "scalekit.toml"
        for listen, asked in [
            (f'["http://[::]:{port}"]', f"http://127.0.0.1:{port}"),
            (f'["unix:///run/a.sock", "http://127.0.0.2:{port}"]', f"http://127.0.0.2:{port}"),
        ]:
            file.write_text(f"[registration]\nlisten = {listen}\n")
            self.assertEqual(self.refused("status", "--config", str(file)), f"{asked}: Connection refused")
        there = f"http://127.0.0.1:{port}"
        said = self.refused("status", "--config", str(file), "--balancer", there)
        self.assertEqual(said, f"{there}: Connection refused")
        file.write_text('state_directory = "/nowhere"\n[registration]\nlisten = ["https://127.0.0.1:1"]\n')
        self.assertIn(
            "/nowhere/tls/ca.pem: not found, expected the CA of a daemon that has run here, or --ca",
            self.refused("explain", "/", "-c", str(file)),
        )
        file.write_text('[registration]\nlisten = ["unix:///run/a.sock"]\n')
        self.assertIn("--balancer URL is needed", self.refused("status", "--config", str(file)))
        self.assertIn("none.toml", self.refused("status", "--config", str(self.folder / "none.toml")))

    def test_no_authority(self) -> None:
        self.assertIn("/nowhere.pem: not found", self.refused("status", "--ca", "/nowhere.pem"))

    def test_no_url(self) -> None:
        for url in ("127.0.0.1:2001", "unix:///run/a", "https://a:b"):
            self.assertIn("expected", self.refused("explain", "/", "--balancer", url))

    def test_no_token(self) -> None:
        file = self.folder / "tokens"
        file.write_text("# none\nwrite secret-secret-secret\n")
        said = self.refused("status", "--balancer", "http://127.0.0.1:1", "--token-file", str(file))
        self.assertIn("found no token of the role operator or read", said)
        self.assertNotIn("secret-", said)


class ShownTests(SynchronousTestCase):
    def shown(self, *lines: object) -> str:
        output = io.StringIO()
        console = Console(file=output, highlight=False, markup=False, emoji=False, width=200)
        for line in lines:
            console.print(line)
        return output.getvalue()

    def test_what_others_wrote_is_text(self) -> None:
        """Neither markup nor control characters."""
        one = {
            "url": "http://[::1]:9",
            "id": "a",
            "state": "up",
            "in_flight": 1,
            "max_in_flight": 4,
            "weight": 2,
            "share": 0.1,
            "state_seconds": 61.5,
            "reason": "[red]\x1b[2J :smile:",
        }
        view = {"name": "shop", "routes": [], "panic": True, "departed": None, "instances": [one]}
        said = self.shown(*service_lines(view))
        self.assertIn("[red]\ufffd[2J :smile:", said)
        for text in ("no route", "panic", "1 of 4", "2 (10%)", "1 min 1 s", "http://[::1]:9"):
            self.assertIn(text, said)
        self.assertNotIn("\x1b", said)

    def test_no_app_servers(self) -> None:
        view = {"name": "shop", "routes": ["*/"], "panic": False, "departed": None, "instances": []}
        self.assertIn("no app servers", self.shown(*service_lines(view)))
        said = self.shown(*service_lines(view | {"departed": {"seconds": 61.2, "kept_seconds": 538.8}}))
        self.assertIn("nobody has claimed these routes for 1 min 1 s; they are kept for another 8 min 58 s", said)
        self.assertIn("no app servers", said)

    def test_a_refused_request(self) -> None:
        refused = {"status": 400, "detail": "No.", "service": None, "route": None, "near": [], "candidates": []}
        self.assertEqual(self.shown(*explain_lines(refused)), "400: No.\n")

    def test_how_long(self) -> None:
        said = [for_people(seconds) for seconds in (0.9, 59, 60, 3599, 3661, 90000)]
        self.assertEqual(said, ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 1 min", "1 d 1 h"])
