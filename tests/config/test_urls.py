"""The URLs of listeners, servers and services."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config.urls import (
    ListenURL,
    RedisURL,
    ServerURL,
    is_host_name,
    is_loopback,
    parse_base_url,
    parse_listen_url,
    parse_redis_url,
    parse_server_url,
)

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


class ListenURLTests(SynchronousTestCase):
    def test_the_three_forms(self) -> None:
        for text, url in {
            "https://[::]:2000": ListenURL("https", "::", 2000),
            "http://127.0.0.1:8080": ListenURL("http", "127.0.0.1", 8080),
            "unix:///run/x.sock": ListenURL("unix", path="/run/x.sock"),
        }.items():
            self.assertEqual(parse_listen_url(text), url)
            self.assertEqual(str(url), text)

    def test_other_spellings_of_the_same(self) -> None:
        self.assertEqual(parse_listen_url("https://localhost:1/"), ListenURL("https", "127.0.0.1", 1))
        self.assertEqual(parse_listen_url("http://[0:0::1]:0"), ListenURL("http", "::1", 0))

    def test_what_is_no_listener(self) -> None:
        for text in [
            "",
            "127.0.0.1:80",
            "http://127.0.0.1",
            "http://:80",
            "http://127.0.0.1:65536",
            "http://127.0.0.1:80/path",
            "http://127.0.0.1:80?x",
            "http://me@127.0.0.1:80",
            "http://::1:80",
            "http://[::g]:80",
            "http://[127.0.0.1]:80",
            "http://example.com:80",
            "http://1.2.3:80",
            "http://256.1.1.1:80",
            "ftp://127.0.0.1:80",
            "http://127.0.0.1:80\n",
            "http://127.0.0.1:-1",
            "unix://run/x.sock",
            "unix:///run/",
            "unix:///" + "x" * 103,
            "unix:///a\0b",
        ]:
            with self.assertRaises(ValueError, msg=text):
                parse_listen_url(text)

    def test_who_can_reach_it(self) -> None:
        local = [
            "http://127.0.0.1:1",
            "http://127.9.9.9:1",
            "http://[::1]:1",
            "unix:///x",
            "http://[::ffff:127.0.0.1]:1",
        ]
        others = ["http://0.0.0.0:1", "http://[::]:1", "http://10.0.0.1:1", "http://[::ffff:10.0.0.1]:1"]
        self.assertEqual([parse_listen_url(text).is_local for text in local], [True] * len(local))
        self.assertEqual([parse_listen_url(text).is_local for text in others], [False] * len(others))

    def test_security(self) -> None:
        self.assertTrue(parse_listen_url("https://[::]:1").is_secure)
        self.assertFalse(parse_listen_url("http://[::]:1").is_secure)
        self.assertFalse(parse_listen_url("unix:///x").is_secure)

    @given(st.sampled_from(["http", "https"]), addresses, st.integers(0, 65535))
    def test_every_listener_comes_back(self, scheme: str, host: str, port: int) -> None:
        url = ListenURL(scheme, host, port)
        self.assertEqual(parse_listen_url(str(url)), url)

    @given(st.text(max_size=40))
    def test_any_text_gives_a_listener_or_a_value_error(self, text: str) -> None:
        try:
            url = parse_listen_url(text)
        except ValueError:
            return
        self.assertEqual(parse_listen_url(str(url)), url)


class ServerURLTests(SynchronousTestCase):
    def test_names_and_default_ports(self) -> None:
        self.assertEqual(parse_server_url("http://App.Example"), ServerURL("http", "app.example", 80))
        self.assertEqual(parse_server_url("https://[::1]/"), ServerURL("https", "::1", 443))
        self.assertEqual(parse_server_url("h2c://127.0.0.1:50051"), ServerURL("h2c", "127.0.0.1", 50051))
        self.assertEqual(str(ServerURL("https", "::1", 443)), "https://[::1]:443")

    def test_socket_files(self) -> None:
        server = parse_server_url("unix:///run/my app.sock")
        self.assertEqual(server, ServerURL("unix", "/run/my app.sock", 0))
        self.assertEqual(str(server), "unix:///run/my app.sock")

    def test_what_is_no_server(self) -> None:
        for text in [
            "unix://x",
            "unix:///x/",
            "unix:///x\ny",
            f"unix:///{'x' * 103}",
            "http://a:0",
            "http://a/b",
            "http://-a:1",
            "http://a..b:1",
            "http://1.2.3:1",
            "h2c://a",
        ]:
            with self.assertRaises(ValueError, msg=text):
                parse_server_url(text)

    @given(
        st.sampled_from(["http", "https", "h2c"]),
        st.one_of(addresses, st.lists(labels, min_size=1, max_size=4).map(".".join)),
        st.integers(1, 65535),
    )
    def test_every_server_comes_back(self, scheme: str, host: str, port: int) -> None:
        url = ServerURL(scheme, host, port)
        self.assertEqual(parse_server_url(str(url)), url)


class RedisURLTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for text, url in {
            "redis://10.0.0.5:6379": RedisURL("10.0.0.5"),
            "redis://[::1]:6380/2": RedisURL("::1", 6380, database=2),
            "unix:///run/redis/redis.sock": RedisURL(path="/run/redis/redis.sock"),
        }.items():
            self.assertEqual((parse_redis_url(text), str(url)), (url, text))
        self.assertEqual(parse_redis_url("redis://Shared/"), RedisURL("shared"))

    def test_whether_it_is_here(self) -> None:
        """Others on this machine share it, and mean the same by 127.0.0.1."""
        for text in ("redis://127.0.0.1", "redis://[::1]", "redis://localhost", "unix:///x"):
            self.assertTrue(parse_redis_url(text).is_local)
        for text in ("redis://10.0.0.1", "redis://shared"):
            self.assertFalse(parse_redis_url(text).is_local)

    def test_what_is_none(self) -> None:
        for text in [
            "",
            "rediss://a",
            "http://a:6379",
            "redis://a:0",
            "redis://a/x",
            "redis://a/123456",
            "redis://:secret@a",
            "unix://x",
            "unix:///a\0",
        ]:
            with self.assertRaises(ValueError, msg=text):
                parse_redis_url(text)


class BaseURLTests(SynchronousTestCase):
    def test_ready_for_a_path_to_be_appended(self) -> None:
        for text, url in {
            "https://127.0.0.1:6000": "https://127.0.0.1:6000",
            "https://Logs.Example/": "https://logs.example",
            "http://[0::1]:80/in/": "http://[::1]:80/in",
        }.items():
            self.assertEqual(parse_base_url(text), url)
            self.assertEqual(parse_base_url(url), url)

    def test_what_is_no_service(self) -> None:
        for text in ["", "logs", "unix:///x", "http://a:0", "http://a/?q", "http://a/#f", "http://a b"]:
            with self.assertRaises(ValueError, msg=text):
                parse_base_url(text)


class HostTests(SynchronousTestCase):
    def test_names(self) -> None:
        good = ["a", "localhost", "shop.example", "my_app", "x-1.example.", "a" * 63]
        bad = ["", ".", "-a", "a-", "a..b", "a" * 64, "A", "é", "a b", "a/b", ".".join(["a" * 60] * 5)]
        self.assertEqual([name for name in good if not is_host_name(name)], [])
        self.assertEqual([name for name in bad if is_host_name(name)], [])

    @given(addresses)
    def test_loopback_is_what_the_standard_library_says(self, text: str) -> None:
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        self.assertEqual(is_loopback(text), (mapped or address).is_loopback)

    def test_a_name_is_no_loopback_address(self) -> None:
        self.assertFalse(is_loopback("localhost"))
