"""Pairs: how they are read, and for which names they would be chosen."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.net.contexts import Credentials
from scalekit.net.pairs import ClientCA, Ending, Pair, check_names, doubtful_names
from tests.net.wire import AUTHORITY


class PairTests(SynchronousTestCase):
    def made(self, *inside: str, names: tuple[str, ...] = ()) -> tuple[Pair, Credentials]:
        file = Path(self.mktemp())
        AUTHORITY.issue_cert(*inside, common_name="site").private_key_and_cert_chain_pem.write_to_path(file)
        pair = Pair(file, file, names, "tls.sni[3]")
        return pair, pair.read()

    def doubts(self, *chosen: tuple[Pair, Credentials]) -> list[str]:
        return list(doubtful_names(chosen))

    def test_faults_name_the_key(self) -> None:
        nowhere = Path("nowhere.pem")
        for read, start in (
            (Pair(nowhere, nowhere, place="tls").read, "tls.certificate: nowhere.pem: No such file"),
            (Pair(nowhere, nowhere).read, "nowhere.pem: No such file"),
            (ClientCA(nowhere, key="x.client_ca").read, "x.client_ca: nowhere.pem: No such file"),
        ):
            fault = str(self.assertRaises(ConfigurationFault, read))
            self.assertTrue(fault.startswith(start), fault)

    def test_one_that_no_name_chooses(self) -> None:
        fault = str(self.assertRaises(ConfigurationFault, check_names, *self.made()))
        self.assertTrue(fault.startswith("tls.sni[3].names: found none, and none in "), fault)
        check_names(*self.made("a.example"))
        check_names(*self.made(names=("a.example",)))

    def test_no_doubts(self) -> None:
        exact, wildcard = self.made("a.example"), self.made("*.example", names=("*.example", "b.example"))
        self.assertEqual(self.doubts(exact, wildcard, exact), [])

    def test_a_name_that_the_certificate_is_not_for(self) -> None:
        [doubt] = self.doubts(self.made("*.example", names=("a.example", "a.b.example")))
        self.assertIn("is served for a.b.example, and is not for that name", doubt)

    def test_a_name_in_two(self) -> None:
        one, other = self.made("a.example", "b.example"), self.made("A.example", "c.example")
        [doubt] = self.doubts(one, other)
        self.assertIn(f"{other[0].certificate} is not served for a.example, as {one[0].certificate} is", doubt)
        self.assertEqual(self.doubts(one, (other[0]._replace(names=("c.example",)), other[1])), [])


class EndingTests(SynchronousTestCase):
    def test_as_text(self) -> None:
        end = datetime(2026, 11, 23, tzinfo=UTC)
        self.assertEqual(str(Ending("shop.example", Path("a.pem"), end)), "a.pem")
        self.assertEqual(str(Ending("CN=team", Path("a.pem"), end, True)), "CN=team in a.pem")
