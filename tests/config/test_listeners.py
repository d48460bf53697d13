"""A ``listen`` entry: a URL, or a table with a URL and what is different there."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import load
from scalekit.config.changes import changed_keys
from scalekit.config.decode import decode, encode
from scalekit.config.listeners import LISTENERS, SYSLOG_LISTENERS
from scalekit.config.urls import ListenURL
from scalekit.errors import ConfigurationFault

WHOLE = {
    "url": "https://[::]:2000",
    "certificate": "a.pem",
    "private_key": "a.key",
    "client_ca": "clients.pem",
    "client_certificates": "optional",
    "proxy_protocol_from": ["10.0.0.0/8", "::1/128"],
}


class ListenerTests(SynchronousTestCase):
    def fault(self, *entries: Any) -> str:
        document = {"balancer": {"listen": list(entries)}}
        return str(self.assertRaises(ConfigurationFault, decode, document, "x.toml"))

    def test_a_whole_table(self) -> None:
        networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))
        self.assertEqual(
            decode({"balancer": {"listen": [WHOLE]}}, "x.toml").balancer.listen,
            (ListenURL("https", "::", 2000, "", "a.pem", "a.key", "clients.pem", "optional", networks),),
        )

    def test_a_url_in_a_table_is_that_url(self) -> None:
        self.assertEqual(LISTENERS.read([{"url": "http://127.0.0.1:1"}]), (ListenURL("http", "127.0.0.1", 1),))

    def test_whoever_names_an_authority_wants_certificates(self) -> None:
        [listener] = LISTENERS.read([{"url": "https://[::]:1", "client_ca": "ca.pem"}])
        self.assertEqual((listener.client_certificates, listener.demands_certificates), ("required", True))

    def test_faults_name_the_key(self) -> None:
        url = "https://[::]:1"
        for entry, expected in (
            ({"url": "x"}, '.url: found "x", expected a URL such as'),
            ({}, ".url: found none, expected a URL such as"),
            ({"url": url, "client_cert": ""}, ".client_cert: found an unknown key, expected client_c"),
            ({"url": url, "zzzz": ""}, ".zzzz: found an unknown key, expected one of url, certificate,"),
            ({"url": url, "certificate": 1}, ".certificate: found 1, expected a path"),
            ({"url": url, "certificate": "a"}, '.private_key: found "", expected a path, because certificate is set'),
            ({"url": url, "private_key": "a"}, '.certificate: found "", expected a path, because private_key is set'),
            (
                {"url": url, "client_certificates": "required"},
                '.client_ca: found "", expected a path, because client_certificates is set',
            ),
            (
                {"url": url, "client_ca": "a", "client_certificates": "no"},
                '.client_certificates: found "no", expected "required" or "optional"',
            ),
            (
                {"url": "http://[::]:1", "client_ca": "a"},
                '.client_ca: found "a", expected no such key, because the listener is not https',
            ),
            (
                {"url": url, "proxy_protocol_from": ["10.0.0.1/8"]},
                '.proxy_protocol_from[0]: found "10.0.0.1/8", expected a network',
            ),
            (
                {"url": "unix:///x", "proxy_protocol_from": ["::1"]},
                '.proxy_protocol_from: found ["::1"], expected no such key',
            ),
            (["a"], ': found ["a"], expected a URL such as'),
        ):
            fault = self.fault("http://127.0.0.1:9", entry)
            self.assertTrue(fault.startswith(f"x.toml: balancer.listen[1]{expected}"), fault)

    def test_a_port_is_listened_on_once(self) -> None:
        fault = self.fault("https://[::]:1", {"url": "https://[::]:1", "client_ca": "a"})
        self.assertEqual(fault, 'x.toml: balancer.listen[1]: found "https://[::]:1", expected no listener twice')

    def test_paths_are_relative_to_the_file(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "x.toml").write_text(
            '[balancer]\nlisten = [{ url = "https://[::]:0", client_ca = "c/a.pem" }]\n'
            '[[tls.sni]]\ncertificate = "s.pem"\nprivate_key = "/s.key"\n'
        )
        config = load(str(folder / "x.toml"), str(folder / "state"))
        [listener] = config.balancer.listen
        self.assertEqual((listener.client_ca, listener.certificate), (str(folder / "c" / "a.pem"), ""))
        [entry] = config.tls.sni
        self.assertEqual((entry.certificate, entry.private_key), (str(folder / "s.pem"), "/s.key"))

    @given(st.sets(st.sampled_from(sorted(WHOLE))))
    def test_what_is_shown_is_read_again(self, keys: set[str]) -> None:
        keys |= {"url", "client_ca"}
        keys |= {"private_key", "certificate"} if keys & {"private_key", "certificate"} else set()
        config = decode({"balancer": {"listen": [{key: WHOLE[key] for key in keys}]}}, "x.toml")
        self.assertEqual(decode(encode(config), "x.toml"), config)


class SyslogListenerTests(SynchronousTestCase):
    """``syslog`` of ``[logs]``."""

    def fault(self, *entries: Any) -> str:
        return str(self.assertRaises(ConfigurationFault, decode, {"logs": {"syslog": list(entries)}}, "x.toml"))

    def test_urls(self) -> None:
        """None at all, too; the transports of one port are listeners of their own."""
        self.assertEqual(SYSLOG_LISTENERS.read([]), ())
        found = SYSLOG_LISTENERS.read(["udp://127.0.0.1:5514", "tcp://localhost:5514", "tls://[::1]:6514"])
        self.assertEqual(
            [str(url) for url in found], ["udp://127.0.0.1:5514", "tcp://127.0.0.1:5514", "tls://[::1]:6514"]
        )
        self.assertEqual([url.is_secure for url in found], [False, False, True])

    def test_tables(self) -> None:
        tables = [
            {"url": "udp://[::]:514", "allow_from": ["10.0.0.0/8"]},
            {"url": "tcp://[::]:514", "allow_from": ["10.0.0.0/8"], "proxy_protocol_from": ["10.0.0.1/32"]},
            {"url": "tls://[::]:6514", "client_ca": "/ca.pem", "client_certificates": "required"},
        ]
        config = decode({"logs": {"syslog": tables}}, "x.toml")
        self.assertEqual(SYSLOG_LISTENERS.show(config.logs.syslog), tables)
        self.assertEqual(config.logs.syslog[0].allow_from, (ipaddress.ip_network("10.0.0.0/8"),))

    def test_faults_name_the_key(self) -> None:
        url = "tls://127.0.0.1:1"
        optional = {"url": "tls://[::]:1", "client_ca": "a", "client_certificates": "optional"}
        open_to_all = ".allow_from: found none, expected the networks that may send, because"
        for entry, expected in (
            ("https://127.0.0.1:1", ': found "https://127.0.0.1:1", expected a URL such as "udp://127.0.0.1:5514"'),
            ("udp://127.0.0.1", ': found "udp://127.0.0.1", expected a URL such as'),
            ("udp://[::]:514", f"{open_to_all} udp://[::]:514 is not on loopback"),
            (optional, f"{open_to_all} tls://[::]:1 is not on loopback"),
            ({"url": url, "allow_for": []}, ".allow_for: found an unknown key, expected allow_from"),
            (
                {"url": "tcp://127.0.0.1:1", "client_ca": "a"},
                '.client_ca: found "a", expected no such key, because the listener is not tls',
            ),
            (
                {"url": "udp://127.0.0.1:1", "proxy_protocol_from": ["::1"]},
                '.proxy_protocol_from: found ["::1"], expected no such key, because UDP has no connections',
            ),
            ({}, '.url: found none, expected a URL such as "udp://'),
        ):
            fault = self.fault("udp://127.0.0.1:9", entry)
            self.assertTrue(fault.startswith(f"x.toml: logs.syslog[1]{expected}"), fault)
        self.assertIn("expected no value twice", self.fault("udp://127.0.0.1:9", "udp://localhost:9"))

    def test_paths_and_changes(self) -> None:
        """As of all listeners: relative to the file; a file is read again, all else needs a restart."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "x.toml").write_text('[logs]\nsyslog = [{ url = "tls://127.0.0.1:0", client_ca = "a.pem" }]\n')
        config = load(str(folder / "x.toml"), str(folder / "state"))
        self.assertEqual(config.logs.syslog[0].client_ca, str(folder / "a.pem"))
        (folder / "x.toml").write_text('[logs]\nsyslog = [{ url = "tls://127.0.0.1:0", client_ca = "b.pem" }]\n')
        other = load(str(folder / "x.toml"), str(folder / "state"))
        self.assertEqual(changed_keys(config, other), [])
        (folder / "x.toml").write_text('[logs]\nsyslog = ["tls://127.0.0.1:0"]\n')
        self.assertEqual(changed_keys(config, load(str(folder / "x.toml"), str(folder / "state"))), ["logs.syslog"])
