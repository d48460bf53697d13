"""Configuration from the disk."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import Config, load
from scalekit.config.decode import decode, encode
from scalekit.config.loading import load_password, load_tokens, with_default_places
from scalekit.config.model import Service
from scalekit.errors import ConfigurationFault
from scalekit.places import default_state_directory

SHIPPED = Path(__file__).parent.parent.parent / "conf" / "scalekit.toml"


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir(parents=True)
        self.state = str(self.place / "state")

    def file(self, text: str | bytes) -> str:
        path = self.place / "x.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def fault(self, path: str) -> str:
        return str(self.assertRaises(ConfigurationFault, load, path, self.state))

    def test_no_file_gives_the_defaults_in_their_places(self) -> None:
        config = load(None, self.state)
        self.assertEqual(config.state_directory, self.state)
        self.assertEqual(config.balancer.access_log, os.path.join(self.state, "access.log"))
        self.assertEqual(config.logs.directory, os.path.join(self.state, "logs"))
        self.assertEqual(config.data.database, os.path.join(self.state, "blog.sqlite3"))
        self.assertEqual(config.tls.certificate, "")
        self.assertEqual(config.cache, Config().cache)

    def test_relative_paths_are_beside_the_file(self) -> None:
        path = self.file(
            '[tls]\ncertificate = "a.pem"\nprivate_key = "/k.pem"\n[balancer]\naccess_log="../access"\n'
            '[balancer.upstream_tls]\nca = "ca.pem"'
        )
        config = load(path, self.state)
        self.assertEqual(config.tls.certificate, str(self.place / "a.pem"))
        self.assertEqual(config.tls.private_key, "/k.pem")
        self.assertEqual(config.balancer.access_log, str(self.place.parent / "access"))
        self.assertEqual(config.balancer.upstream_tls.ca, str(self.place / "ca.pem"))

    def test_the_standard_output_is_no_path(self) -> None:
        self.assertEqual(load(self.file('[balancer]\naccess_log = "-"'), self.state).balancer.access_log, "-")

    def test_the_state_directory_of_the_file_the_argument_and_the_environment(self) -> None:
        path = self.file('state_directory = "mine"')
        environ = {"STATE_DIRECTORY": str(self.place / "systemd")}
        self.assertEqual(load(path, None, environ).state_directory, str(self.place / "mine"))
        self.assertEqual(load(path, self.state, environ).state_directory, self.state)
        self.assertEqual(load(None, None, environ).state_directory, str(self.place / "systemd"))

    def test_the_state_directory_is_made_and_private(self) -> None:
        load(None, os.path.join(self.state, "deep"))
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.state, "deep")).st_mode), 0o700)

    def test_a_file_in_place_of_the_state_directory(self) -> None:
        Path(self.state).write_text("")
        for path, reason in ((self.state, "a file in its place"), (self.state + "/deep", "Not a directory")):
            fault = self.assertRaises(ConfigurationFault, load, None, path)
            self.assertEqual(
                str(fault), f"state_directory: found {path} ({reason}), expected a directory that can be written to"
            )

    def test_a_syntax_error_names_the_line(self) -> None:
        path = self.file("[cache]\n\nmax_bytes == 3\n")
        self.assertEqual(self.fault(path), f"{path}: line 3: Invalid value at column 12")
        path = self.file('[cache]\ntoken_file = "a')
        self.assertTrue(self.fault(path).startswith(f"{path}: line 2: "), self.fault(path))

    def test_files_that_are_no_configuration(self) -> None:
        path = self.file(b"a = 1\n# \xff\n")
        self.assertEqual(self.fault(path), f"{path}: line 2: found a byte that is not UTF-8")
        self.assertEqual(self.fault(path + "x"), f"{path}x: cannot be read: No such file or directory")
        self.assertEqual(self.fault(str(self.place)), f"{self.place}: cannot be read: Is a directory")
        self.assertIn("cannot be read", self.fault("a\0b"))
        self.assertIn("over 4194304 bytes", self.fault(self.file(b"#" * 5_000_000)))
        self.assertIn("nested too deeply", self.fault(self.file("a = " + "[" * 100_000)))

    def test_a_value_error_names_the_file(self) -> None:
        path = self.file("[balancer.health]\nrise = 0")
        self.assertEqual(
            self.fault(path), f"{path}: balancer.health.rise: found 0, expected a whole number from 1 to 100"
        )

    def test_token_files(self) -> None:
        path = self.file("read 0123456789abcdef\n")
        self.assertEqual(repr(load_tokens(path, "cache.token_file")), "<Tokens [<Grant read>]>")
        self.assertIsNone(load_tokens("", "cache.token_file"))
        fault = self.assertRaises(ConfigurationFault, load_tokens, path + "x", "cache.token_file")
        self.assertEqual(str(fault), f"cache.token_file: found {path}x: cannot be read: No such file or directory")

    def test_password_files(self) -> None:
        self.assertEqual(load_password(self.file(" open sesame\nmore\n"), "redis.password_file"), "open sesame")
        self.assertEqual(load_password("", "redis.password_file"), "")
        path = self.file("\nx\n")
        fault = self.assertRaises(ConfigurationFault, load_password, path, "redis.password_file")
        self.assertEqual(str(fault), f"redis.password_file: found {path}: an empty first line, expected a password")


class DefaultStateDirectoryTests(SynchronousTestCase):
    def test_the_order(self) -> None:
        environ = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/xdg", "HOME": "/home/me"}
        self.assertEqual(default_state_directory(environ), "/var/lib/a")
        del environ["STATE_DIRECTORY"]
        self.assertEqual(default_state_directory(environ), "/xdg/scalekit")
        environ["XDG_STATE_HOME"] = "relative"
        self.assertEqual(default_state_directory(environ), "/home/me/.local/state/scalekit")

    def test_without_an_environment_the_account_has_a_home(self) -> None:
        found = default_state_directory({})
        self.assertTrue(os.path.isabs(found))
        self.assertTrue(found.endswith("/.local/state/scalekit"))


class ShippedFileTests(SynchronousTestCase):
    """``conf/scalekit.toml`` says every key with its default."""

    def setUp(self) -> None:
        self.text = SHIPPED.read_text("utf-8")
        self.document = tomllib.loads(self.text)

    def test_it_holds_every_key_and_no_other(self) -> None:
        expected = encode(Config())
        expected["balancer"]["service"] = [encode(Service())]  # shown once, though none is there by default
        self.assertEqual(self.keys(self.document), self.keys(expected))

    def test_its_values_are_the_defaults(self) -> None:
        config = decode(self.document, "conf/scalekit.toml")
        self.assertEqual(config.balancer.service, (Service(),))
        self.document["balancer"]["service"] = []
        self.assertEqual(decode(self.document, "conf/scalekit.toml"), Config())

    def test_every_key_has_its_comment_on_one_line(self) -> None:
        for line in self.text.splitlines():
            if "=" in line and not line.startswith("#"):
                self.assertRegex(line, r"^[a-z0-9_]+ = \S.* # \S")
                self.assertLessEqual(len(line), 132)

    def test_it_loads(self) -> None:
        state = self.mktemp()
        self.assertEqual(
            with_default_places(load(str(SHIPPED), state)).logs.directory, os.path.join(os.path.abspath(state), "logs")
        )

    def keys(self, document: object) -> object:
        if isinstance(document, dict):
            return {key: self.keys(value) for key, value in document.items()}
        if isinstance(document, list) and document and isinstance(document[0], dict):
            return [self.keys(item) for item in document]
        return None
