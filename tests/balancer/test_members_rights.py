"""Who may do what at ``/v1/services`` of the private port."""

from __future__ import annotations

from twisted.logger import capturedLogs

from scalekit.balancer.instance import LEASE_SECONDS
from scalekit.balancer.roster import State
from tests.balancer.registering import NEIGHBOUR, OPERATOR, SHOP, SHOWN, THERE, A, MembersCase


class RightsTests(MembersCase):
    """Off this machine."""

    def test_tokens(self) -> None:
        self.assertEqual(self.put(client=THERE)[0], 401)
        self.assertEqual(self.put(client=THERE, token=SHOP)[0], 201)
        other = A.replace("shop", "blog")
        self.refused(403, "token-scope", "PUT", other, {"generation": 1, "port": 1}, THERE, SHOP)
        self.refused(403, "token-scope", "POST", f"{other}/renew", None, THERE, SHOP)
        self.refused(403, "token-role", "PATCH", A, {"weight": 2}, THERE, SHOP)
        self.assertEqual(self.ask("PATCH", A, {"weight": 2}, THERE, OPERATOR)[1]["weight"], 2)

    def test_certificates(self) -> None:
        """One that the listener has verified registers, and is no operator."""
        self.assertEqual(self.put(client=SHOWN)[0], 201)
        self.refused(403, "token-role", "PATCH", A, {"weight": 2}, SHOWN)
        with capturedLogs() as logged:
            self.put(client=SHOWN, address="10.0.0.8")
        self.assertEqual(logged[-1]["peer"], "10.0.0.7 (CN=shop)")

    def test_without_tokens(self) -> None:
        """Where certificates alone let in, they do not make operators."""
        self.guard._tokens = None
        self.assertEqual(self.put(client=SHOWN)[0], 201)
        self.refused(403, "operator", "PATCH", A, {"weight": 2}, SHOWN)

    def test_only_ones_own(self) -> None:
        """What is at another address is an operator's, or this machine's, to touch."""
        self.put(client=THERE, token=SHOP)
        for method, target in [("POST", f"{A}/renew"), ("POST", f"{A}/drain"), ("DELETE", f"{A}?generation=1")]:
            self.refused(403, "foreign", method, target, None, NEIGHBOUR, SHOP)
        self.assertEqual(self.ask("POST", f"{A}/renew")[0], 200)

    def test_two_of_one_name(self) -> None:
        """Who is well stays, whatever another machine of its name says; a real move is taken after the lease."""
        self.put(client=THERE, token=SHOP)
        self.rise()
        detail = self.refused(403, "foreign", "PUT", A, {"generation": 2, "port": 3000}, NEIGHBOUR, SHOP)
        self.assertEqual(detail, "a is at 10.0.0.7, and well.")
        self.assertEqual(self.put(client=THERE, token=SHOP)[0], 200, "it may say its own again")
        self.clock.advance(LEASE_SECONDS)
        self.roster.expire(self.clock.seconds())
        self.assertIs(self.instance().state, State.SUSPECT)
        self.assertEqual(self.put(2, client=NEIGHBOUR, token=SHOP)[1]["address"], "10.0.0.8")
        self.rise()
        self.assertEqual(self.put(3, client=THERE, token=OPERATOR)[1]["address"], "10.0.0.7")
        self.rise()
        self.assertEqual(self.put(4)[1]["address"], "127.0.0.1")

    def test_one_that_is_not_well_may_move(self) -> None:
        """Before it has been up, when it is down, and while it leaves."""
        self.put(client=THERE, token=SHOP)
        self.assertEqual(self.put(2, client=NEIGHBOUR, token=SHOP)[1]["address"], "10.0.0.8")
        self.rise()
        for _ in range(3):
            self.roster.probed(self.instance(), None, "connection refused", self.clock.seconds())
        self.assertEqual(self.put(3, client=THERE, token=SHOP)[1]["address"], "10.0.0.7")
        self.rise()
        self.instance().in_flight = 1
        self.ask("POST", f"{A}/drain", None, THERE, SHOP)
        self.assertEqual(self.put(4, client=NEIGHBOUR, token=SHOP)[1]["address"], "10.0.0.8")

    def rise(self) -> None:
        instance = self.instance()
        instance.has_consented = True
        for _ in range(2):
            self.roster.probed(instance, 200, "answered 200", self.clock.seconds())
        self.assertIs(instance.state, State.UP)

    def test_routes(self) -> None:
        self.assertIn("note", self.put(client=THERE, token=SHOP, path="/x")[1])
        self.assertIsNone(self.instance().claim)
        self.assertNotIn("note", self.put(client=THERE, token=OPERATOR, path="/x")[1])

    def test_consent(self) -> None:
        """Elsewhere an app gets a secret, the same each time; an operator may do without."""
        self.assertEqual(self.put(client=THERE, token=SHOP)[1]["secret"], "secret-0")
        self.assertEqual(self.put(client=THERE, token=SHOP)[1]["secret"], "secret-0")
        self.assertFalse(self.instance().has_consented)
        good = {"generation": 2, "port": 3000, "consent": False}
        self.refused(403, "consent", "PUT", A, good, THERE, SHOP)
        self.assertNotIn("secret", self.ask("PUT", A, good, THERE, OPERATOR)[1])
        self.assertTrue(self.instance().has_consented)
        self.assertNotIn("secret", repr(self.ask("GET", "/v1/services")[1]))
