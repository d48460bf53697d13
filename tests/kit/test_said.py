"""Tests of `scalekit.kit.said`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.said import Said, said
from scalekit.places import whereabouts

HERE = {"HOME": "/home/ada"}
ELSEWHERE = HERE | {
    "SCALEKIT_PORT": "3001",
    "SCALEKIT_HOST": "10.0.0.7",
    "SCALEKIT_SERVICE": "shop",
    "SCALEKIT_HOSTS": "shop.example, www.shop.example",
    "SCALEKIT_PATH": "/shop",
    "SCALEKIT_BALANCER": "https://lb:2001/",
    "SCALEKIT_CA": "team-ca.pem",
    "SCALEKIT_TOKEN_FILE": "token",
}


class SaidTests(SynchronousTestCase):
    def test_on_one_machine_nothing_is_needed(self) -> None:
        ca = "/home/ada/.local/state/scalekit/tls/ca.pem"
        self.assertEqual(said(HERE), Said(0, "", "default", (), "", "https://127.0.0.1:2001", ca, ""))

    def test_where_a_balancer_here_listens(self) -> None:
        state = self.mktemp()
        file = Path(whereabouts(state, "registration"))
        file.parent.mkdir(parents=True)
        file.write_text("https://127.0.0.1:9001\n")
        self.assertEqual(said({"STATE_DIRECTORY": state}).balancer, "https://127.0.0.1:9001")
        self.assertEqual(said(ELSEWHERE | {"STATE_DIRECTORY": state}).balancer, "https://lb:2001")

    def test_the_environment_says_it(self) -> None:
        hosts = ("shop.example", "www.shop.example")
        expected = Said(3001, "10.0.0.7", "shop", hosts, "/shop", "https://lb:2001", "team-ca.pem", "token")
        self.assertEqual(said(ELSEWHERE), expected)

    def test_arguments_stand_above_it(self) -> None:
        expected = Said(80, "::1", "blog", ("a.example",), "/a", "http://lb:1", "b.pem", "c")
        found = said(
            ELSEWHERE,
            port=80,
            host="::1",
            service="blog",
            hosts=["a.example"],
            path="/a",
            balancer="http://lb:1",
            ca="b.pem",
            token_file="c",
        )
        self.assertEqual(found, expected)

    def test_what_is_wrong(self) -> None:
        self.assertIn("70000", str(self.assertRaises(ValueError, said, HERE, port=70000)))
        self.assertIn("'x'", str(self.assertRaises(ValueError, said, HERE | {"SCALEKIT_PORT": "x"})))
        self.assertIn("'lb'", str(self.assertRaises(ValueError, said, HERE | {"SCALEKIT_BALANCER": "lb"})))
