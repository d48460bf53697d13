"""Guard: who may use a private listener."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from scalekit.config.tokens import Grant, Tokens
from scalekit.http.heads import Client, Fields, RequestHead, ResponseHead
from scalekit.web.access import data_role, is_local, registration_role, verdict
from scalekit.web.guard import Guard, grant_of
from scalekit.web.memory import MemoryExchange, ask, respond
from scalekit.web.site import Site

NAMES = frozenset(("cache.example", "192.0.2.1", "2001:db8::1"))
LOCAL = Client("127.0.0.1", 50_000, True, 2001)
FAR = Client("192.0.2.9", 50_000, True, 2001, None, "192.0.2.33")
UNIX = Client("unix", 0, False, 0)

OPERATOR, READER, REGISTRAR = (name * 16 for name in ("o", "r", "g"))
TOKENS = Tokens(((OPERATOR, Grant("operator")), (READER, Grant("read")), (REGISTRAR, Grant("register", "shop"))))


def judge(fields: Fields, host: bytes = b"localhost:2001", client: Client = LOCAL, tokens: Tokens | None = None) -> Any:
    return verdict(RequestHead(b"GET", b"/", fields, host=host), client, NAMES, tokens)


class HostTests(SynchronousTestCase):
    def test_ours(self) -> None:
        for host in (
            b"localhost",
            b"LOCALHOST:2001",
            b"localhost.:2001",
            b"127.0.0.1:2001",
            b"127.8.9.10",
            b"[::1]:2001",
            b"[0:0:0:0:0:0:0:1]",
            b"cache.example:2001",
            b"Cache.Example",
            b"192.0.2.1",
            b"[2001:db8:0::1]:2001",
            b"",  # HTTP/1.0, which no browser speaks
        ):
            self.assertIsNone(judge([], host), host)

    def test_foreign_names_are_misdirected(self) -> None:
        for host in (
            b"evil.example",
            b"localhost.evil.example",
            b"127.0.0.1.evil.example",
            b"10.0.0.1",
            b"[::2]",
            b"[x",
        ):
            self.assertEqual(judge([], host).status, 421, host)

    def test_the_address_that_was_connected_to_is_ours(self) -> None:
        self.assertIsNone(judge([], b"192.0.2.33:2001", FAR))

    def test_over_a_unix_socket_any_host_will_do(self) -> None:
        self.assertIsNone(judge([], b"whatever", UNIX))

    @given(st.binary(max_size=30))
    def test_any_host_is_decided(self, host: bytes) -> None:
        found = judge([], host)
        self.assertTrue(found is None or found.status == 421)


class BrowserTests(SynchronousTestCase):
    def test_sec_fetch_site(self) -> None:
        for value, status in (
            (b"same-origin", None),
            (b"none", None),
            (b"cross-site", 403),
            (b"same-site", 403),
            (b"Cross-Site", 403),
            (b"", 403),
        ):
            found = judge([(b"Sec-Fetch-Site", value)])
            self.assertEqual(found and found.status, status, value)

    def test_origin(self) -> None:
        for value, host, status in (
            (b"https://localhost:2001", b"localhost:2001", None),
            (b"HTTPS://LocalHost:2001", b"localhost:2001", None),
            (b"https://cache.example", b"cache.example:443", None),
            (b"https://[::1]:2001", b"[::1]:2001", None),
            (b"null", b"localhost:2001", 403),
            (b"", b"localhost:2001", 403),
            (b"http://localhost:2001", b"localhost:2001", 403),
            (b"https://localhost:2000", b"localhost:2001", 403),
            (b"https://localhost", b"localhost:2001", 403),
            (b"https://127.0.0.1:2001", b"localhost:2001", 403),
            (b"https://evil.example", b"localhost:2001", 403),
            (b"https://[::1]", b"[::1]:2001", 403),
        ):
            found = judge([(b"Origin", value)], host)
            self.assertEqual(found and found.status, status, (value, host))

    def test_a_second_origin_does_not_hide_a_foreign_one(self) -> None:
        own, foreign = (b"Origin", b"https://localhost:2001"), (b"Origin", b"https://evil.example")
        for fields in ([own, foreign], [foreign, own]):
            self.assertEqual(judge(fields).status, 403)

    def test_host_comes_first(self) -> None:
        """Rebound pages are same-origin with themselves."""
        fields = [(b"Sec-Fetch-Site", b"same-origin"), (b"Origin", b"https://evil.example:2001")]
        self.assertEqual(judge(fields, b"evil.example:2001").status, 421)


class TokenTests(SynchronousTestCase):
    def judge(
        self, method: bytes, path: bytes, token: bytes | None, client: Client = FAR, role_of: Any = data_role
    ) -> Any:
        fields = [] if token is None else [(b"Authorization", b"Bearer " + token)]
        head = RequestHead(method, path, fields, host=b"cache.example")
        found = verdict(head, client, NAMES, TOKENS, role_of)
        return found.role if isinstance(found, Grant) else found and found.status

    def test_table(self) -> None:
        operator, reader, registrar = OPERATOR.encode(), READER.encode(), REGISTRAR.encode()
        for method, path, token, role_of, found in (
            (b"GET", b"/", None, data_role, 401),
            (b"GET", b"/", b"wrong", data_role, 401),
            (b"GET", b"/", b"", data_role, 401),
            (b"GET", b"/", reader, data_role, "read"),
            (b"POST", b"/", reader, data_role, 403),
            (b"POST", b"/v1/keys:get", reader, data_role, "read"),
            (b"GET", b"/invalidate", reader, data_role, 403),
            (b"POST", b"/", operator, data_role, "operator"),
            (b"GET", b"/", registrar, data_role, 403),
            (b"GET", b"/ping", None, data_role, None),
            (b"GET", b"/healthz", None, registration_role, None),
            (b"GET", b"/metrics", None, registration_role, 401),
            (b"GET", b"/register", reader, registration_role, 403),
            (b"GET", b"/register", registrar, registration_role, "register"),
            (b"PUT", b"/v1/services/shop/instances/a", registrar, registration_role, "register"),
            (b"PATCH", b"/v1/services/shop/instances/a", registrar, registration_role, 403),
            (b"PATCH", b"/v1/services/shop/instances/a", operator, registration_role, "operator"),
            (b"GET", b"/v1/services", reader, registration_role, "read"),
            (b"POST", b"/elsewhere", registrar, registration_role, 403),
        ):
            self.assertEqual(self.judge(method, path, token, FAR, role_of), found, (method, path, token))

    def test_on_this_machine_no_token_is_needed_but_a_wrong_one_is_told(self) -> None:
        for client in (LOCAL, UNIX):
            self.assertIsNone(self.judge(b"POST", b"/", None, client))
            self.assertEqual(self.judge(b"POST", b"/", b"wrong", client), 401)
            self.assertEqual(self.judge(b"POST", b"/", OPERATOR.encode(), client), "operator")

    def test_other_schemes_and_two_tokens_are_refused(self) -> None:
        good = (b"Authorization", b"Bearer " + OPERATOR.encode())
        for fields in ([(b"Authorization", b"Basic eDp5")], [good, good], [(b"Authorization", OPERATOR.encode())]):
            self.assertEqual(judge(fields, b"cache.example", FAR, TOKENS).status, 401)
        self.assertEqual(
            judge([(b"authorization", b"bearer " + OPERATOR.encode())], b"cache.example", FAR, TOKENS).role, "operator"
        )

    def test_without_tokens_nobody_is_asked(self) -> None:
        self.assertIsNone(judge([(b"Authorization", b"Bearer x")], b"cache.example", FAR))

    def test_local_addresses(self) -> None:
        for address in ("127.0.0.1", "127.1.2.3", "::1", "unix"):
            self.assertTrue(is_local(address), address)
        for address in ("10.0.0.1", "::2", "", "localhost"):
            self.assertFalse(is_local(address), address)


class GuardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.exchanges: list[Any] = []

    def respond(self, exchange: Any) -> None:
        self.exchanges.append(exchange)
        exchange.answer(ResponseHead(200, []), b"in")

    def ask(self, fields: Fields, client: Client = FAR, **options: Any) -> MemoryExchange:
        return ask(Guard(self, ["Cache.Example"], **options), fields=fields, client=client, host=b"cache.example")  # type: ignore[arg-type]

    def test_who_passes_without_a_token_gets_the_exchange_itself(self) -> None:
        exchange = self.ask([], LOCAL)
        self.assertEqual((exchange.sent, self.exchanges), (b"in", [exchange]))

    def test_who_has_passed_passes_again_and_nobody_else(self) -> None:
        """The same head comes again on a connection; neither another's, nor a guard with other tokens, believes it."""
        head = RequestHead(b"GET", b"/", [], host=b"localhost")
        answers = []
        guards = [Guard(self, tokens=TOKENS) for _ in range(2)]  # type: ignore[arg-type]
        for guard, client in ((0, LOCAL), (0, LOCAL), (0, FAR), (1, LOCAL), (1, FAR)):
            exchange = MemoryExchange(head, client=client)
            respond(guards[guard], exchange)
            answers.append(exchange.status)
        self.assertEqual(answers, [200, 200, 401, 200, 401])

    def test_refused_requests_never_reach_the_responder(self) -> None:
        for fields, tokens, status in (
            ([(b"Sec-Fetch-Site", b"cross-site")], None, 403),
            ([], TOKENS, 401),
        ):
            exchange = self.ask(fields, tokens=tokens)
            self.assertEqual((exchange.status, self.exchanges), (status, []))
            self.assertEqual(exchange.values(b"content-type"), [b"application/problem+json"])
            self.assertEqual(exchange.values(b"www-authenticate"), [b"Bearer"] if status == 401 else [])
            self.assertTrue(exchange.record.reason)

    def test_resources_see_the_grant(self) -> None:
        grants: list[Any] = []

        class Page(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                grants.append(grant_of(request))
                return b""

        guard = Guard(Site(Page()), ["cache.example"], TOKENS)
        for client, fields in ((LOCAL, []), (FAR, [(b"Authorization", b"Bearer " + READER.encode())])):
            self.assertEqual(ask(guard, fields=fields, client=client, host=b"cache.example").status, 200)
        self.assertEqual([grant and grant.role for grant in grants], [None, "read"])
