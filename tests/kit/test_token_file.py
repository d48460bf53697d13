"""Tests of `scalekit.kit.token_file`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.kit.token_file import TokenFile

#: What a file holds, and the token that service ``shop`` shows.
FILES = {
    "alone-0123456789\n": "alone-0123456789",
    "# ours\n\n  alone-0123456789  \n": "alone-0123456789",
    "register:shop 0123456789abcdef\n": "0123456789abcdef",
    "read aaaaaaaaaaaaaaaa\nregister:blog bbbbbbbbbbbbbbbb\nregister cccccccccccccccc\n": "cccccccccccccccc",
    "operator dddddddddddddddd\n": "dddddddddddddddd",
}


class TokenFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.file = TokenFile(str(self.path), "shop")

    def test_found(self) -> None:
        for text, token in FILES.items():
            self.path.write_text(text)
            self.assertEqual(self.file.headers(), {"Authorization": f"Bearer {token}"}, text)

    def test_for_writing(self) -> None:
        file = TokenFile(str(self.path), None)
        self.path.write_text("register aaaaaaaaaaaaaaaa\nread bbbbbbbbbbbbbbbb\nwrite cccccccccccccccc\n")
        self.assertEqual(file.headers(), {"Authorization": "Bearer cccccccccccccccc"})
        self.path.write_text("register aaaaaaaaaaaaaaaa\n")
        self.assertIn("no token for writing", str(self.assertRaises(ConfigurationFault, file.headers)))

    def test_none_is_needed(self) -> None:
        self.assertEqual(TokenFile("", "shop").headers(), {})

    def test_none_is_found(self) -> None:
        for text in ("", "# nothing\n", "register:blog bbbbbbbbbbbbbbbb\n", "read aaaaaaaaaaaaaaaa\n"):
            self.path.write_text(text)
            fault = self.assertRaises(ConfigurationFault, self.file.headers)
            self.assertIn(f"no token for service shop in {self.path}", str(fault))
            self.assertNotIn("bbbb", str(fault))

    def test_no_file(self) -> None:
        fault = self.assertRaises(ConfigurationFault, self.file.headers)
        self.assertIn(str(self.path), str(fault))
        self.path.write_bytes(b"\xff")
        self.assertRaises(ConfigurationFault, self.file.headers)
