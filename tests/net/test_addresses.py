"""This machine's names are found without asking anybody."""

import ipaddress
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.net import addresses
from scalekit.net.addresses import canonical_name, interface_addresses, local_names


class LocalNamesTests(SynchronousTestCase):
    def names(self, host: str, hosts: str | None = "") -> list[str]:
        path = Path(self.mktemp())
        if hosts is not None:
            path.write_text(hosts)
        self.patch(addresses, "interface_addresses", lambda: [ipaddress.ip_address("10.0.0.7")])
        return local_names(host, path)

    def test_bare_name(self) -> None:
        self.assertEqual(self.names("Web1"), ["localhost", "web1", "web1.local", "127.0.0.1", "::1", "10.0.0.7"])

    def test_whole_name(self) -> None:
        self.assertEqual(self.names("web1.example."), ["localhost", "web1.example", "127.0.0.1", "::1", "10.0.0.7"])

    def test_hosts_file(self) -> None:
        hosts = "127.0.0.1 localhost\n127.0.1.1\tweb1.example web1 www # web1.comment\n10.0.0.8 web2.example web2\n"
        self.assertEqual(self.names("web1", hosts)[1:4], ["web1", "web1.example", "web1.local"])

    def test_nothing_to_find(self) -> None:
        for host in ("", "not a name", "-", "localhost", "x" * 64):
            self.assertEqual(self.names(host, None), ["localhost", "127.0.0.1", "::1", "10.0.0.7"])


class CanonicalNameTests(SynchronousTestCase):
    def test_names(self) -> None:
        for text, name in {
            "Web1.Example.": "web1.example",
            "under_score": "under_score",
            "a..b": "",
            "*.example": "",
            "bücher.example": "",
            "a" * 63 + ".b": "a" * 63 + ".b",
            "a" * 64: "",
            "a\n": "",
        }.items():
            self.assertEqual(canonical_name(text), name)


class InterfaceAddressesTests(SynchronousTestCase):
    def test_loopback_is_among_them(self) -> None:
        found = interface_addresses()
        self.assertIn(ipaddress.ip_address("127.0.0.1"), found)
        self.assertEqual(len(set(found)), len(found))
        self.assertEqual([one for one in found if one.version == 6 and one.is_link_local], [])

    def test_no_way_to_find_them(self) -> None:
        def refuse() -> None:
            raise OSError(1, "getifaddrs")

        self.patch(addresses, "_getifaddrs", refuse)
        self.assertEqual(interface_addresses(), [])
