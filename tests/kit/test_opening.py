import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit import kit
from scalekit.errors import ConfigurationFault
from scalekit.places import default_state_directory, whereabouts


class OpenCacheTests(SynchronousTestCase):
    def test_this_machine_s(self) -> None:
        self.patch(os, "environ", {"HOME": self.mktemp()})
        self.assertTrue(repr(kit.open_cache()).startswith("<Cache https://127.0.0.1:5000 "))
        file = Path(whereabouts(default_state_directory(os.environ), "cache"))
        file.parent.mkdir(parents=True)
        file.write_text("https://127.0.0.1:5001\n")
        self.assertTrue(repr(kit.open_cache()).startswith("<Cache https://127.0.0.1:5001 "))

    def test_what_the_environment_names(self) -> None:
        path = Path(self.mktemp())
        path.write_text("write secret\n")
        named = {"SCALEKIT_CACHE": "https://cache:1/", "SCALEKIT_CA": "ca.pem", "SCALEKIT_TOKEN_FILE": str(path)}
        self.patch(os, "environ", {"HOME": self.mktemp(), **named})
        cache = kit.open_cache()
        self.assertTrue(repr(cache).startswith("<Cache https://cache:1 "))
        self.assertEqual((cache._headers(), cache._connections._ca), ({"Authorization": "Bearer secret"}, "ca.pem"))
        path.write_text("read nothing\nwrite another\n")
        self.assertEqual(cache._headers(), {"Authorization": "Bearer another"})
        self.assertTrue(repr(kit.open_cache("http://other:2")).startswith("<Cache http://other:2 "))

    def test_a_token_file_without_one(self) -> None:
        path = Path(self.mktemp())
        path.write_text("read secret\n")
        self.assertNotIn("secret", str(self.assertRaises(ConfigurationFault, kit.open_cache, token_file=str(path))))
