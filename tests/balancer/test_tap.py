"""``twistd scalekit-balancer``, a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socketserver
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.http_servers import Answers, serve
from tests.ports import free_port
from tests.twistd import DaemonCase, ask, json_lines

AUTHORITY = trustme.CA()


class AppServer(Answers):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"here")


class SocketFileApp(AppServer):
    disable_nagle_algorithm = False  # an option of TCP


class BalancerCase(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        self.public, self.private = free_port(), free_port()
        self.config = self.state / "scalekit.toml"
        self.access_log = self.state / "access.log"
        self.ca = self.state / "team-ca.pem"
        AUTHORITY.cert_pem.write_to_path(str(self.ca))

    def configure(self, server: str, *lines: str, fall: int = 3) -> None:
        """Lines are keys of ``[balancer]``."""
        self.renew()
        self.config.write_text(
            '[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\n'
            f'[registration]\nlisten = ["https://127.0.0.1:{self.private}"]\n'
            f'[balancer]\nlisten = ["https://127.0.0.1:{self.public}"]\n' + "\n".join(lines) + "\n"
            f'[[balancer.service]]\nservers = ["{server}"]\n[balancer.health]\ninterval = "200ms"\nfall = {fall}\n'
        )

    def renew(self) -> None:
        """Put another certificate into the place of the present one."""
        pair = AUTHORITY.issue_cert("localhost")
        pair.cert_chain_pems[0].write_to_path(str(self.state / "server.pem"))
        pair.private_key_pem.write_to_path(str(self.state / "server.key"))

    def app_server(self) -> str:
        return f"http://127.0.0.1:{serve(self, AppServer)}"

    def run_balancer(self) -> subprocess.Popen[bytes]:
        process = self.start("scalekit-balancer", "--config", str(self.config))
        self.eventually(lambda: self.client(self.public, self.ca))
        return process

    def served(self, client: http.client.HTTPConnection) -> bool:
        answer, body = ask(client, "/")
        return answer.status == 200 and body == b"here"


class ServingTests(BalancerCase):
    def test_metrics_access_log_and_a_clean_end(self) -> None:
        self.configure(self.app_server())
        process = self.run_balancer()
        client = self.client(self.public, self.ca)
        self.eventually(lambda: self.served(client))
        private = self.client(self.private, self.ca)
        self.assertEqual([ask(private, path)[0].status for path in ("/healthz", "/readyz", "/metrics")], [200] * 3)
        found = {
            (sample.name, *sample.labels.values())
            for family in text_string_to_metric_families(ask(private, "/metrics")[1].decode())
            for sample in family.samples
            if sample.value
        }
        self.assertIn(("scalekit_requests_total", "default", "2xx"), found)
        self.assertIn(("scalekit_connections_open", "balancer"), found)
        self.assertIn(("scalekit_connections_open", "registration"), found)
        ask(client, "/last?x=1")
        self.end(process)
        last = json_lines(self.access_log)[-1]
        self.assertEqual(
            (last["target"], last["status"], last["sent"], last["service"], last["tls"]),
            ("/last?x=1", 200, 4, "default", True),
        )

    def test_a_sticky_service(self) -> None:
        """Its key survives a restart, and with it the cookies."""
        self.configure(self.app_server())
        self.config.write_text(
            self.config.read_text().replace("[[balancer.service]]", "[[balancer.service]]\nsticky = true")
        )
        process = self.run_balancer()
        client = self.client(self.public, self.ca)
        self.eventually(lambda: self.served(client))
        first, _ = ask(self.client(self.public, self.ca), "/")
        cookie = first.headers["Set-Cookie"].partition(";")[0]
        self.assertIn("Secure", first.headers["Set-Cookie"])
        self.assertEqual((self.state / "sticky.key").stat().st_mode & 0o777, 0o600)
        self.end(process)
        self.run_balancer()
        client = self.client(self.public, self.ca)
        self.eventually(lambda: self.served(client))
        client.request("GET", "/", headers={"Cookie": cookie})
        self.assertIsNone(client.getresponse().headers["Set-Cookie"])

    def test_an_app_server_on_a_socket_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # ours may be too long for a socket's name
            path = os.path.join(folder, "app.sock")
            app = socketserver.ThreadingUnixStreamServer(path, SocketFileApp)
            app.daemon_threads = True
            thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                self.configure(f"unix://{path}")
                self.run_balancer()
                client = self.client(self.public, self.ca)
                self.eventually(lambda: self.served(client))
                shown = ask(self.client(self.private, self.ca), "/")[1].decode()
                self.assertIn(f"  unix://{path}  ", shown)
            finally:
                app.shutdown()
                app.server_close()
                thread.join()

    def test_the_access_log_on_stdout(self) -> None:
        self.configure("http://127.0.0.1:1", 'access_log = "-"')
        process = self.run_balancer()
        ask(self.client(self.public, self.ca), "/seen")
        said = self.end(process)
        (line,) = (line for line in said.splitlines() if line.startswith("{"))
        self.assertEqual(json.loads(line)["target"], "/seen")

    def test_clients_are_not_told_where_app_servers_stand(self) -> None:
        nobody = free_port()
        self.configure(f"http://127.0.0.1:{nobody}", fall=100)  # not out before it was tried
        process = self.run_balancer()
        client = self.client(self.public, self.ca)
        answer, body = self.eventually(lambda: found if (found := ask(client, "/"))[0].status == 502 else None)
        self.assertEqual(json.loads(body)["detail"], "No connection to an app server could be opened.")
        told = f"{answer.getheaders()} {body.decode()}"
        self.assertNotIn(str(nobody), told)
        self.assertNotIn("twisted", told.lower())
        self.assertIn(f"connect-refused: 127.0.0.1:{nobody}: Connection refused", self.end(process))


class HangUpTests(BalancerCase):
    """SIGHUP."""

    def setUp(self) -> None:
        super().setUp()
        self.configure(self.app_server())
        self.process = self.run_balancer()

    def serial(self, client: http.client.HTTPConnection) -> str:
        assert isinstance(client.sock, ssl.SSLSocket)
        certificate = client.sock.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])

    def hang_up(self) -> None:
        os.kill(self.process.pid, signal.SIGHUP)

    def test_new_connections_get_the_new_certificate_and_old_ones_go_on(self) -> None:
        old = self.client(self.public, self.ca)
        self.eventually(lambda: self.served(old))
        local = old.sock.getsockname()
        self.renew()
        self.hang_up()
        self.eventually(lambda: self.serial(self.client(self.public, self.ca)) != self.serial(old))
        self.assertNotEqual(self.serial(self.client(self.private, self.ca)), self.serial(old))
        self.assertTrue(self.served(old))
        self.assertEqual(old.sock.getsockname(), local)
        self.end(self.process)

    def test_the_access_log_goes_on_in_a_new_file(self) -> None:
        client = self.client(self.public, self.ca)
        self.eventually(lambda: self.served(client))
        rotated = self.access_log.rename(f"{self.access_log}.1")
        self.hang_up()
        self.eventually(self.access_log.exists)
        ask(client, "/after")
        self.end(self.process)
        self.assertEqual(json_lines(self.access_log)[-1]["target"], "/after")
        self.assertNotIn("/after", [line["target"] for line in json_lines(Path(rotated))])

    def test_what_is_wrong_is_one_line_and_nothing_changes(self) -> None:
        client = self.client(self.public, self.ca)
        self.eventually(lambda: self.served(client))
        before = self.serial(client)
        good = self.config.read_text()
        self.replace(self.config, good + "odd = 1\n")
        self.hang_up()
        self.eventually(lambda: "balancer.health.odd: found an unknown key" in self.said())
        self.replace(self.config, good)
        self.replace(self.state / "server.key", "nonsense")
        self.hang_up()
        self.eventually(lambda: "server.key: found no private key" in self.said())
        self.assertEqual(self.serial(self.client(self.public, self.ca)), before)
        self.assertTrue(self.served(client))
        self.assertNotIn("Traceback", self.end(self.process))

    def replace(self, path: Path, text: str) -> None:
        """As it should be done: whoever reads meanwhile gets the one or the other, whole."""
        fresh = self.state / "fresh"
        fresh.write_text(text)
        fresh.rename(path)
