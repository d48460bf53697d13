"""Programs that speak syslog, and the log daemon: what they are given is in the log, once, as they have meant it."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.requirements import require, require_unpacked
from tests.scenarios.daemons import ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, Daemon, until

COUNT = 200


class SyslogScenarioTests(SynchronousTestCase):
    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="scalekit-"))  # short: a socket's path has 107 bytes
        self.addCleanup(shutil.rmtree, self.folder)
        self.http, self.udp, self.tcp, self.tls, self.trusting = free_ports(5)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(self.folder / "machines.pem"))
        (self.folder / "scalekit.toml").write_text(
            f'[logs]\nlisten = ["http://127.0.0.1:{self.http}"]\ndelay = "0s"\nflush_interval = "50ms"\n'
            f'syslog = ["udp://127.0.0.1:{self.udp}", "tcp://127.0.0.1:{self.tcp}", "tls://127.0.0.1:{self.tls}", '
            f'{{ url = "tls://127.0.0.1:{self.trusting}", client_ca = "machines.pem" }}]\n'
        )
        state = self.folder / "state"
        arguments = ["--config", str(self.folder / "scalekit.toml"), "--state-directory", str(state)]
        daemon = Daemon(self.folder, "scalekit-logs", *arguments)
        self.addCleanup(daemon.clean_up)
        self.ca = state / "tls" / "ca.pem"
        until(lambda: is_listening(self.http), "the log listens")

    def found(self, query: str, count: int) -> list[dict[str, Any]]:
        """The entries that a query finds, oldest first, once there are so many."""

        def entries() -> list[dict[str, Any]] | None:
            url = f"http://127.0.0.1:{self.http}/v1/query?order=asc&limit=1000&q={quote(query)}"
            lines = [json.loads(line) for line in ask(url)[1].splitlines()]
            return lines if len(lines) >= count else None

        found: list[dict[str, Any]] = until(entries, f"{count} entries for {query}")
        self.assertEqual(len(found), count)
        return found

    def start_program(self, arguments: list[str], environ: dict[str, str]) -> None:
        """A daemon of somebody else's, until the end of the test."""
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ
        )
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.process = process

    def write(self, path: Path, program: str) -> None:
        """Write messages with numbers to the socket of such a daemon."""

        def is_there() -> bool:
            assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
            return path.exists()

        until(is_there, f"{program} listens")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(path))
            for number in range(COUNT):
                sender.send(f"<139>Nov  3 22:14:15 {program}[{os.getpid()}]: message {number}".encode())

    def check(self, entries: list[dict[str, Any]], **expected: str) -> None:
        """Each message is there once, with these fields."""
        self.assertEqual(
            Counter(entry["Message"] for entry in entries), {f"message {number}": 1 for number in range(COUNT)}
        )
        for entry in entries:
            self.assertEqual(entry["Level"], "ERROR")
            found = entry["Fields"] | {"procid": entry["Fields"].get("procid")}
            for name, value in (
                {"facility": "local1", "severity": "err", "procid": str(os.getpid())} | expected
            ).items():
                self.assertEqual(found[name], value)

    def test_logger(self) -> None:
        """util-linux' logger, in all its forms; a request's id in structured data finds its message."""
        logger = require("logger")
        for arguments in (
            ["--udp", "--port", str(self.udp), "--rfc3164"],
            ["--udp", "--port", str(self.udp), "--rfc5424"],
            ["--tcp", "--port", str(self.tcp), "--rfc3164"],
            ["--tcp", "--port", str(self.tcp), "--octet-count", "--rfc5424"],
        ):
            common = ["--server", "127.0.0.1", "--tag", "lager", "--priority", "local3.warning", "--id=77"]
            subprocess.run([logger, *common, *arguments, "sold; not\tbought"], check=True, timeout=60)
        host = socket.gethostname().partition(".")[0]
        for entry in self.found("source:lager", 4):
            self.assertEqual((entry["Level"], entry["Message"]), ("WARN", "sold; not\tbought"))
            fields = entry["Fields"]
            self.assertEqual((fields["facility"], fields["severity"], fields["procid"]), ("local3", "warning", "77"))
            self.assertEqual(fields["host"].partition(".")[0], host)
        told = ["--rfc5424", "--sd-id", "trace@32473", "--sd-param", 'request_id="5f2c-42"', "sold"]
        subprocess.run([logger, "-n", "127.0.0.1", "-T", "-P", str(self.tcp), *told], check=True, timeout=60)
        [entry] = self.found("request_id=5f2c-42", 1)
        self.assertEqual(entry["Fields"]["data"]["trace@32473"], {"request_id": "5f2c-42"})

    def test_python(self) -> None:
        """The standard library's SysLogHandler, with its NULs; over TCP tracebacks come whole after the first."""
        for kind, port in ((socket.SOCK_DGRAM, self.udp), (socket.SOCK_STREAM, self.tcp)):
            handler = logging.handlers.SysLogHandler(("127.0.0.1", port), "local2", kind)
            handler.setFormatter(logging.Formatter(f"python{port}: %(message)s"))
            logger = logging.getLogger(f"tests.syslog.{port}")
            logger.propagate = False
            logger.addHandler(handler)
            self.addCleanup(logger.removeHandler, handler)
            self.addCleanup(handler.close)
            logger.error("no café")
            try:
                raise ValueError("no")
            except ValueError:
                logger.exception("it went wrong")
            logger.critical("the end")
            entries = self.found(f"source:python{port}", 3)
            whole = {entry["Message"].partition("\n")[0]: entry for entry in entries}
            self.assertEqual(set(whole), {"no café", "it went wrong", "the end"})
            self.assertTrue(whole["it went wrong"]["Message"].endswith("\nValueError: no"))
            self.assertEqual((whole["no café"]["Level"], whole["the end"]["Level"]), ("ERROR", "PANIC"))
            self.assertEqual(whole["the end"]["Fields"]["facility"], "local2")

    def test_client_certificates(self) -> None:
        """Where they are required, nobody without one is heard."""
        context = ssl.create_default_context(cafile=self.ca)
        for is_known in (False, True):
            if is_known:
                self.authority.issue_cert("web1.internal").configure_cert(context)
            with (
                contextlib.suppress(OSError),  # with TLS 1.3 a client hears of its refusal after its first words
                socket.create_connection(("127.0.0.1", self.trusting), PATIENCE_SECONDS) as sock,
                context.wrap_socket(sock, server_hostname="127.0.0.1") as sender,
            ):
                sender.sendall(b"<14>1 - - known - - - %d" % is_known)
                sender.unwrap()
        [entry] = self.found("source:known", 1)
        self.assertEqual(entry["Message"], "1")

    def test_rsyslog(self) -> None:
        """Over TCP as it forwards by itself, and over TLS in RFC 5424 with counts; it checks our certificate."""
        path, environ, root = require_unpacked("rsyslogd")
        [modules] = root.glob("usr/lib/*/rsyslog")
        place = self.folder / "rsyslog.sock"
        (self.folder / "rsyslog.conf").write_text(
            f"""
            module(load="imuxsock" SysSock.Use="off")
            input(type="imuxsock" Socket="{place}" RateLimit.Interval="0")
            global(workDirectory="{self.folder}" defaultNetstreamDriverCAFile="{self.ca}")
            template(name="plain" type="list") {{
                constant(value="<") property(name="pri") constant(value=">") property(name="timereported")
                constant(value=" ") property(name="hostname") constant(value=" plain-")
                property(name="syslogtag") property(name="msg")
            }}
            action(type="omfwd" target="127.0.0.1" port="{self.tcp}" protocol="tcp" template="plain")
            action(
                type="omfwd" target="127.0.0.1" port="{self.tls}" protocol="tcp" TCP_Framing="octet-counted"
                template="RSYSLOG_SyslogProtocol23Format"
                StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name"
                StreamDriverPermittedPeers="localhost"
            )
            """
        )
        arguments = ["-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "rsyslog.pid")]
        self.start_program([path, *arguments, "-M", str(modules)], environ)
        self.write(place, "rsys")
        self.check(self.found("source:plain-rsys", COUNT))
        self.check(self.found("source:rsys", COUNT))

    def test_syslog_ng(self) -> None:
        """Over TCP in its own old form, and over TLS in RFC 5424 with counts; it checks our certificate."""
        path, environ, root = require_unpacked("syslog-ng")
        place = self.folder / "ng.sock"
        (self.folder / "ng.conf").write_text(
            f"""@version: 3.38
            options {{ keep-hostname(yes); }};
            source s {{ unix-dgram("{place}"); }};
            destination old {{
                network(
                    "127.0.0.1" port({self.tcp}) transport("tcp")
                    template("<$PRI>$DATE $HOST old-$MSGHDR$MSG\\n") template-escape(no)
                );
            }};
            destination new {{
                syslog("localhost" port({self.tls}) transport("tls") tls(ca-file("{self.ca}")));
            }};
            log {{ source(s); destination(old); }};
            log {{ source(s); destination(new); }};
            """
        )
        arguments = ["-F", "--no-caps", "--stderr", "-f", str(self.folder / "ng.conf")]
        for option, name in (("-R", "ng.persist"), ("-p", "ng.pid"), ("-c", "ng.ctl")):
            arguments += [option, str(self.folder / name)]
        modules = ":".join(str(library.parent) for library in root.glob("usr/lib/**/libafsocket.so"))
        self.start_program([path, *arguments, f"--module-path={modules}"], environ)
        self.write(place, "ng")
        self.check(self.found("source:old-ng", COUNT))
        self.check(self.found("source:ng", COUNT))
