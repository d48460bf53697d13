"""Tests of `scalekit.config.changes`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import Config
from scalekit.config.changes import changed_keys, is_within
from scalekit.config.decode import decode


def configured(**document: Any) -> Config:
    return decode(document, "x.toml")


class ChangedKeysTests(SynchronousTestCase):
    def test_tables_in_tables(self) -> None:
        old = configured(balancer={"health": {"fall": 4}, "algorithm": "random"})
        new = configured(balancer={"health": {"rise": 4}, "algorithm": "random"}, cache={"max_bytes": "1MiB"})
        self.assertEqual(changed_keys(old, new), ["balancer.health.rise", "balancer.health.fall", "cache.max_bytes"])
        self.assertEqual(changed_keys(new, new), [])

    def test_a_list_of_tables_is_one_key(self) -> None:
        self.assertEqual(
            changed_keys(configured(), configured(balancer={"service": [{"name": "a"}, {"name": "b"}]})),
            ["balancer.service"],
        )

    def test_files_of_listeners_are_read_again_but_a_listener_does_not_get_any(self) -> None:
        def listening(*listen: Any) -> Config:
            return configured(cache={"listen": list(listen)})

        plain: dict[str, Any] = {"url": "https://127.0.0.1:1"}
        one = plain | {"certificate": "/a.pem", "private_key": "/a.key"}
        other = plain | {"certificate": "/b.pem", "private_key": "/a.key", "client_ca": "/c.pem"}
        for old, new, keys in (
            (one, other, []),
            (plain, one, ["cache.listen"]),
            (one, plain["url"], ["cache.listen"]),
            (one, one | {"url": "https://127.0.0.1:2"}, ["cache.listen"]),
            (one, one | {"proxy_protocol_from": ["10.0.0.0/8"]}, ["cache.listen"]),
        ):
            self.assertEqual(changed_keys(listening(old), listening(new)), keys, (old, new))


class IsWithinTests(SynchronousTestCase):
    def test_keys_and_tables(self) -> None:
        for key, expected in (
            ("tls", True),
            ("tls.sni", True),
            ("tlsx", False),
            ("cache.max_bytes", True),
            ("cache", False),
            ("cache.max_bytes_more", False),
        ):
            self.assertEqual(is_within(key, ("tls", "cache.max_bytes")), expected, key)
