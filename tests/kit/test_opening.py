import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit import kit
from scalekit.errors import ConfigurationFault
from scalekit.kit.opening import token_in


class OpenCacheTests(SynchronousTestCase):
    def test_this_machine_s(self) -> None:
        self.patch(os, "environ", {"HOME": self.mktemp()})
        self.assertTrue(repr(kit.open_cache()).startswith("<Cache https://127.0.0.1:5000 "))

    def test_what_the_environment_names(self) -> None:
        path = Path(self.mktemp())
        path.write_text("write secret\n")
        named = {"SCALEKIT_CACHE": "https://cache:1/", "SCALEKIT_CA": "ca.pem", "SCALEKIT_TOKEN_FILE": str(path)}
        self.patch(os, "environ", {"HOME": self.mktemp(), **named})
        cache = kit.open_cache()
        self.assertTrue(repr(cache).startswith("<Cache https://cache:1 "))
        self.assertEqual((cache._headers, cache._connections._ca), ({"Authorization": "Bearer secret"}, "ca.pem"))
        self.assertTrue(repr(kit.open_cache("http://other:2")).startswith("<Cache http://other:2 "))


class TokenTests(SynchronousTestCase):
    def token(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return token_in(str(path))

    def test_one_that_may_write(self) -> None:
        self.assertEqual(self.token("alone\n"), "alone")
        self.assertEqual(self.token("# ours\n\nread a\nregister:shop b\nwrite c\noperator d\n"), "c")

    def test_none(self) -> None:
        for text in ("", "# nothing\n", "read secret\n"):
            fault = self.assertRaises(ConfigurationFault, self.token, text)
            self.assertNotIn("secret", str(fault))
        self.assertRaises(ConfigurationFault, token_in, "/does/not/exist")
