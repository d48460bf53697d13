"""A TOML document -> `Config`."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config.decode import all_keys, decode, encode, override
from scalekit.config.model import Balancer, Cache, Config, Service
from scalekit.errors import ConfigurationFault


class DecodeTests(SynchronousTestCase):
    def fault(self, document: dict[str, Any]) -> str:
        return str(self.assertRaises(ConfigurationFault, decode, document, "x.toml"))

    def test_nothing_gives_the_defaults(self) -> None:
        self.assertEqual(decode({}, ""), Config())

    def test_values_reach_their_attributes(self) -> None:
        document = {
            "cache": {"max_bytes": "1KiB"},
            "balancer": {"health": {"fall": 5}, "service": [{"name": "shop", "hosts": ["shop.example"]}]},
        }
        config = decode(document, "")
        self.assertEqual(config.cache, Cache(max_bytes=1024))
        self.assertEqual(config.balancer.health.fall, 5)
        self.assertEqual(config.balancer.service, (Service(name="shop", hosts=("shop.example",)),))

    def test_an_error_is_one_line_that_says_where_what_and_why(self) -> None:
        self.assertEqual(
            self.fault({"cache": {"max_bytes": "1KB"}}),
            'x.toml: cache.max_bytes: found "1KB", expected a size such as "64KiB" or "1GiB", or a number of bytes',
        )
        self.assertTrue(
            self.fault({"balancer": {"service": [{}, {"servers": ["http://a:1", "x"]}]}}).startswith(
                'x.toml: balancer.service[1].servers[1]: found "x", expected a server such as'
            )
        )

    def test_an_algorithm_that_does_not_exist_lists_those_that_do(self) -> None:
        self.assertEqual(
            self.fault({"balancer": {"algorithm": "leastconn"}}),
            'x.toml: balancer.algorithm: found "leastconn", expected "round-robin" or "weighted-round-robin" or '
            '"least-requests" or "two-choices" or "random" or "hash"',
        )

    def test_an_unknown_key_names_the_nearest(self) -> None:
        cases: list[tuple[dict[str, Any], str, str]] = [
            ({"cache": {"max_byte": 1}}, "cache.max_byte", "max_bytes"),
            ({"balancr": {}}, "balancr", "balancer"),
            ({"cache": {"delay": "1s"}}, "cache.delay", "logs.delay, which stands elsewhere"),
            ({"balancer": {"service": [{"host": []}]}}, "balancer.service[0].host", "hosts"),
            ({"log_client": {"zzz": 1}}, "log_client.zzz", "one of url, token_file"),
        ]
        for document, key, nearest in cases:
            self.assertEqual(self.fault(document), f"x.toml: {key}: found an unknown key, expected {nearest}")

    def test_keys_of_later_steps_are_unknown(self) -> None:
        later: list[dict[str, Any]] = [{"redis": {"cache": True}}]
        for document in later:
            self.assertIn("found an unknown key", self.fault(document))

    def test_a_server_name_with_two_certificates(self) -> None:
        entries = [{"names": names, "certificate": "a", "private_key": "b"} for names in (["a"], ["b"], ["c", "A"])]
        self.assertEqual(
            self.fault({"tls": {"sni": entries}}), 'x.toml: tls.sni[2].names: found "a", expected no name of tls.sni[0]'
        )

    def test_certificates_by_server_name(self) -> None:
        entry = {"names": ["Shop.example", "*.example"], "certificate": "a.pem", "private_key": "a.key"}
        config = decode({"tls": {"sni": [entry]}}, "x.toml")
        self.assertEqual(config.tls.sni[0].names, ("shop.example", "*.example"))
        for key in ("certificate", "private_key"):
            document = {"tls": {"sni": [{name: value for name, value in entry.items() if name != key}]}}
            self.assertEqual(self.fault(document), f'x.toml: tls.sni[0].{key}: found "", expected a path')

    def test_what_should_be_a_table(self) -> None:
        self.assertEqual(self.fault({"logs": 3}), "x.toml: logs: found 3, expected a table, [logs]")
        for wrong in ({"name": "a"}, ["a"], "a"):
            self.assertIn("expected tables, each [[balancer.service]]", self.fault({"balancer": {"service": wrong}}))

    def test_two_services_of_one_name(self) -> None:
        self.assertEqual(
            self.fault({"balancer": {"service": [{"name": "a"}, {"name": "a"}]}}),
            'x.toml: balancer.service[1].name: found "a", expected no name twice',
        )

    def test_sinks(self) -> None:
        """Each has a name of its own, and somewhere to go."""
        second = {"name": "b", "url": "http://b.example", "headers": {"X-A": "b"}}
        sinks: list[dict[str, Any]] = [{"url": "https://a.example/otlp/"}, second]
        config = decode({"logs": {"sink": sinks}}, "x.toml")
        self.assertEqual([sink.url for sink in config.logs.sink], ["https://a.example/otlp", "http://b.example"])
        self.assertEqual(config.logs.sink[1].headers, (("X-A", "b"),))
        self.assertIn('x.toml: logs.sink[0].url: found "", expected a URL', self.fault({"logs": {"sink": [{}]}}))
        sinks[1]["name"] = "otlp"
        self.assertEqual(
            self.fault({"logs": {"sink": sinks}}), 'x.toml: logs.sink[1].name: found "otlp", expected no name twice'
        )

    def test_certificate_and_key_go_together(self) -> None:
        self.assertIn('x.toml: tls.private_key: found "", expected', self.fault({"tls": {"certificate": "a.pem"}}))
        self.assertIn('x.toml: tls.certificate: found "", expected', self.fault({"tls": {"private_key": "a.pem"}}))

    def test_a_config_cannot_be_changed(self) -> None:
        with self.assertRaises(AttributeError):
            Config().cache.max_bytes = 1  # type: ignore[misc]

    @given(
        st.builds(
            Cache,
            max_bytes=st.integers(1, 1 << 50),
            expiry_interval=st.integers(1, 10**9).map(lambda value: value / 1000),
            default_max_age=st.one_of(st.none(), st.integers(1, 10**6).map(float)),
            token_file=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
        ),
        st.lists(st.sampled_from(["a", "b", "c.d"]), unique=True).map(
            lambda names: Balancer(service=tuple(Service(name=name) for name in names))
        ),
    )
    def test_every_config_comes_back(self, cache: Cache, balancer: Balancer) -> None:
        config = Config(cache=cache, balancer=balancer)
        self.assertEqual(decode(encode(config), ""), config)


class OverrideTests(SynchronousTestCase):
    def test_one_key_changes(self) -> None:
        config = override(Config(), "balancer.health.fall", 7, "--fall")
        self.assertEqual(config.balancer.health.fall, 7)
        self.assertEqual(
            msgspec.structs.replace(
                config,
                balancer=msgspec.structs.replace(config.balancer, health=Config().balancer.health),
            ),
            Config(),
        )

    def test_a_wrong_value_blames_the_flag(self) -> None:
        fault = self.assertRaises(ConfigurationFault, override, Config(), "cache.max_bytes", "x", "--max-bytes")
        self.assertTrue(str(fault).startswith('--max-bytes: found "x", expected a size'))


class AllKeysTests(SynchronousTestCase):
    def test_keys_of_contract(self) -> None:
        keys = dict(all_keys())
        for key in ["state_directory", "tls.private_key", "balancer.service.servers", "logs.delay", "blog.data"]:
            self.assertIn(key, keys)
