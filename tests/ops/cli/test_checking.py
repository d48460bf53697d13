"""``scalekit check-config``."""

from __future__ import annotations

import sqlite3

from tests.net.wire import AUTHORITY
from tests.ops.cli.commands import CommandCase


class CheckTests(CommandCase):
    def check(self, text: str) -> str:
        return self.refused("check-config", "--config", self.configured(text))

    def test_fine(self) -> None:
        self.assertEqual(self.run_command("check-config"), (0, "the defaults: fine\n", ""))
        file = self.configured("[cache]\nmax_bytes = 1000\n")
        self.assertEqual(self.run_command("check-config", "--config", file), (0, f"{file}: fine\n", ""))

    def test_a_key(self) -> None:
        self.assertIn("cache.max_byte: found an unknown key, expected max_bytes", self.check("[cache]\nmax_byte = 1\n"))

    def test_a_private_listener(self) -> None:
        self.assertIn("cache.token_file", self.check('[cache]\nlisten = ["https://[::]:5000"]\n'))

    def test_a_token_file(self) -> None:
        self.assertIn("/nowhere: cannot be read", self.check('[cache]\ntoken_file = "/nowhere"\n'))

    def test_a_password(self) -> None:
        redis = '[redis]\npassword_file = "/nowhere"\n'
        self.assertEqual(self.run_command("check-config", "--config", self.configured(redis)).status, 0)
        self.assertIn(
            "redis.password_file: found /nowhere: cannot be read",
            self.check(redis + 'url = "redis://127.0.0.1:6379"\n'),
        )

    def test_places_to_write_to(self) -> None:
        (self.folder / "file").write_text("")
        (self.folder / "text").write_text("no database")
        for text, expected in (
            ('[balancer]\naccess_log = "none/access.log"\n', "balancer.access_log: found {}/none/access.log, expected"),
            ('[logs]\ndirectory = "file"\n', "logs.directory: found {}/file, expected a directory"),
            ('[logs]\ndirectory = "file/a/b"\n', "logs.directory: found {}/file/a/b, expected a directory"),
            ('[log_client]\ntoken_file = "none"\n', "token file: found {}/none ("),
            ('[[logs.sink]]\nurl = "https://a"\ntoken_file = "none"\n', "token file: found {}/none ("),
            ('[[logs.sink]]\nurl = "https://a"\nca = "none"\n', "logs.sink[0].ca: found {}/none, expected a PEM"),
            ('[data]\ndatabase = "."\n', "data.database: found {} (Is a directory), expected an SQLite database"),
            ('[data]\ndatabase = "none/blog"\n', "data.database: found {}/none/blog (nothing there), expected"),
            ('[data]\ndatabase = "text"\n', "data.database: found {}/text (something else), expected"),
        ):
            self.assertIn(expected.format(self.folder), self.check(text))
        sqlite3.connect(self.folder / "blog").execute("CREATE TABLE x (y)").connection.close()
        for database in ("blog", "new", "file"):
            text = f'[balancer]\naccess_log = "-"\n[logs]\ndirectory = "a/b"\n[data]\ndatabase = "{database}"\n'
            self.assertEqual(self.run_command("check-config", "--config", self.configured(text)).status, 0)
        self.assertFalse((self.folder / "a").exists() or (self.folder / "new").exists())

    def test_certificates(self) -> None:
        issued = AUTHORITY.issue_cert("a.example")
        issued.cert_chain_pems[0].write_to_path(self.folder / "a.pem")
        issued.private_key_pem.write_to_path(self.folder / "a.key")
        token = self.folder / "t"
        token.write_text("read " + "t" * 32 + "\n")
        token.chmod(0o600)
        good = 'certificate = "a.pem"\nprivate_key = "a.key"\n'
        bad = 'certificate = "b.pem"\nprivate_key = "b.key"\n'
        file = self.configured(f"[tls]\n{good}[[tls.sni]]\n{good}")
        self.assertEqual(self.run_command("check-config", "--config", file).status, 0)
        missing = f"{self.folder}/b.pem: No such file or directory, expected a readable PEM file"
        url = 'url = "https://[::]:2000"'
        for text, key in (
            (f"[tls]\n{bad}", "tls.certificate"),
            (f"[[tls.sni]]\n{good}[[tls.sni]]\n{bad}", "tls.sni[1].certificate"),
            (f"[tls]\n{good.replace('a.key', 'b.pem')}", "tls.private_key"),
            (
                f'[cache]\nlisten = [{{ {url}, certificate = "b.pem", private_key = "a.key" }}]\ntoken_file = "t"\n',
                "cache.listen[0].certificate",
            ),
            (f'[balancer]\nlisten = [{{ {url}, client_ca = "b.pem" }}]\n', "balancer.listen[0].client_ca"),
            ('[balancer.upstream_tls]\nca = "b.pem"\n', "balancer.upstream_tls.ca"),
        ):
            self.assertEqual(self.check(text), f"{key}: {missing}")

    def test_names_of_certificates(self) -> None:
        for name, names in (("a", ["a.example", "*.a.example"]), ("b", ["a.example"]), ("none", [])):
            issued = AUTHORITY.issue_cert(*names, common_name="a.example")
            issued.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
            issued.private_key_pem.write_to_path(self.folder / f"{name}.key")
        entry = '[[tls.sni]]\ncertificate = "{0}.pem"\nprivate_key = "{0}.key"\n'
        self.assertEqual(
            self.check(entry.format("none")),
            f"tls.sni[0].names: found none, and none in {self.folder}/none.pem, expected the names it is for",
        )
        for text, doubts in (
            (entry.format("a") + 'names = ["a.example", "x.a.example", "*.a.example"]\n', []),
            (
                entry.format("a") + entry.format("b"),
                ["b.pem is not served for a.example, as {0}/a.pem is: expected each name once, in names"],
            ),
            (
                entry.format("b") + 'names = ["b.example"]\n',
                ["b.pem is served for b.example, and is not for that name: clients will not accept it"],
            ),
        ):
            done = self.run_command("check-config", "--config", self.configured(text))
            self.assertEqual(done.status, 0)
            expected = [f"warning: {self.folder}/{doubt.format(self.folder)}" for doubt in doubts]
            self.assertEqual(done.stderr.splitlines(), expected)
