"""Pages off this machine: the form, the cookie, and what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from scalekit.config.tokens import Grant, Tokens
from scalekit.http.heads import Client, ClientCertificate, Fields
from scalekit.web import login as login_module
from scalekit.web.access import registration_role
from scalekit.web.attempts import FORGIVEN_SECONDS, MOST_FAILED
from scalekit.web.guard import Guard, grant_of, has_lapsed, has_session
from scalekit.web.login import Login
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.sessions import SESSION_SECONDS
from scalekit.web.site import Site

FAR = Client("192.0.2.9", 50_000, True, 2001)
CLEAR = Client("192.0.2.9", 50_000, False, 2001)
LOCAL = Client("127.0.0.1", 50_000, True, 2001)
OPERATOR, READER, REGISTRAR = (name * 16 for name in ("o", "r", "g"))
TOKENS = {OPERATOR: Grant("operator"), READER: Grant("read"), REGISTRAR: Grant("register")}
HTML = (b"Accept", b"text/html,*/*;q=0.8")
OURS = (b"Sec-Fetch-Site", b"same-origin")
FORM = (b"Content-Type", b"application/x-www-form-urlencoded")


class Page(Resource):
    """Says what whoever asks may do."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render(self, request: Any) -> bytes:
        self.requests.append(request)
        grant = grant_of(request)
        return f"{grant and grant.role} {has_session(request)}".encode()


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.page = Page()
        root = Resource()
        for path in (b"", b"v1", b"style.css"):
            root.putChild(path, self.page)
        self.login = Login("the page", "/style.css", lambda size: b"k" * size, self.clock.seconds)
        for path, resource in self.login.resources.items():
            root.putChild(path, resource)
        self.site = Site(root, parse_forms=False)
        self.guard = self.guarded(TOKENS)
        self.said: list[str] = []
        observer: Any = lambda event: self.said.append(formatEvent(event))  # noqa: E731
        self.patch(login_module, "_log", Logger(observer=observer))

    def guarded(self, tokens: dict[str, Grant]) -> Guard:
        return Guard(self.site, ["lb.internal"], Tokens(tokens.items()), registration_role, self.login)

    def ask(
        self,
        path: str,
        *fields: tuple[bytes, bytes],
        method: str = "GET",
        body: bytes = b"",
        client: Client = FAR,
    ) -> MemoryExchange:
        sent: Fields = list(fields)
        return ask(self.guard, method.encode(), path.encode(), sent, body, client, b"lb.internal:2001")

    def log_in(self, token: str, *fields: tuple[bytes, bytes], client: Client = FAR) -> MemoryExchange:
        body = urlencode({"token": token}).encode()
        return self.ask("/login", FORM, *(fields or (OURS,)), method="POST", body=body, client=client)

    def cookie(self, token: str = OPERATOR) -> tuple[bytes, bytes]:
        (value,) = self.log_in(token).values(b"set-cookie")
        return b"Cookie", b"other=1; " + value.partition(b";")[0]


class FormTests(Case):
    def test_who_asks_for_a_page_gets_the_form(self) -> None:
        answer = self.ask("/", HTML)
        self.assertEqual((answer.status, answer.values(b"www-authenticate")), (401, [b"Bearer"]))
        self.assertEqual(answer.values(b"content-type"), [b"text/html; charset=utf-8"])
        self.assertEqual(answer.values(b"cache-control"), [b"no-store"])
        self.assertIn(b"form-action 'self'; frame-ancestors 'none'", answer.values(b"content-security-policy")[0])
        self.assertIn(b'<form method="post" action="/login">', answer.sent)
        self.assertIn(b"/style.css", answer.sent)
        self.assertEqual(self.ask("/style.css").status, 200)
        alone = self.ask("/", HTML, method="HEAD")
        self.assertEqual((alone.status, alone.values(b"content-type")), (401, answer.values(b"content-type")))
        self.assertEqual(answer.record.reason, "no-token")

    def test_programs_get_problem_details(self) -> None:
        for path, fields, method in (("/", [], "GET"), ("/v1", [(b"Accept", b"*/*")], "GET"), ("/v1", [HTML], "POST")):
            answer = self.ask(path, *fields, method=method)
            self.assertEqual((answer.status, b"<form" in answer.sent), (401, False))

    def test_an_app_s_certificate_is_no_login(self) -> None:
        """Whoever has one in its browser may still log in; apps go on as they did."""
        certificate = ClientCertificate("CN=shop", "00" * 32)
        client = Client("192.0.2.9", 50_000, True, 2001, certificate=certificate)
        answer = self.ask("/", HTML, client=client)
        self.assertEqual((answer.status, b"<form" in answer.sent), (403, True))
        self.assertEqual(self.ask("/", HTML, self.cookie(), client=client).sent, b"operator True")
        self.assertEqual(self.ask("/v1/services/a", client=client).status, 403)
        self.assertEqual(self.ask("/v1", self.cookie(READER), client=client).sent, b"read True")

    def test_in_clear_there_is_no_form(self) -> None:
        answer = self.ask("/", HTML, client=CLEAR)
        self.assertEqual((answer.status, b"<form" in answer.sent), (401, False))
        self.assertIn(b"https", answer.sent)
        answer = self.log_in(OPERATOR, client=CLEAR)
        self.assertEqual((answer.status, answer.values(b"set-cookie"), b"<form" in answer.sent), (403, [], False))
        self.assertEqual(self.ask("/", self.cookie(), client=CLEAR).status, 401)

    def test_on_this_machine(self) -> None:
        """Nothing is asked; both paths lead to the page."""
        self.assertEqual(self.ask("/", HTML, client=LOCAL).sent, b"None False")
        for path in ("/login", "/logout"):
            for method in ("GET", "POST"):
                answer = self.ask(path, OURS, method=method, client=LOCAL)
                self.assertEqual((answer.status, answer.values(b"location")), (303, [b"/"]))
                self.assertEqual(answer.values(b"set-cookie"), [])

    def test_what_is_said_is_text(self) -> None:
        page = Login("<i>", '"', lambda size: b"k" * size, self.clock.seconds).page("<script>", CLEAR, "<b>")
        for evil in (b"<script", b"<i>", b"<b>", b'href=""'):
            self.assertNotIn(evil, page)


class LoginTests(Case):
    def test_in_and_out(self) -> None:
        answer = self.log_in(f" {OPERATOR}\n")
        self.assertEqual((answer.status, answer.values(b"location")), (303, [b"/"]))
        (cookie,) = answer.values(b"set-cookie")
        value, *attributes = cookie.split(b"; ")
        self.assertEqual(sorted(attributes), [b"HttpOnly", b"Max-Age=28800", b"Path=/", b"SameSite=Strict", b"Secure"])
        self.assertNotIn(OPERATOR.encode(), cookie)
        field = (b"Cookie", value)
        self.assertEqual(self.ask("/", HTML, field).sent, b"operator True")
        (request,) = self.page.requests
        self.assertFalse(has_lapsed(request))

        self.assertEqual(self.ask("/logout", field, method="POST").status, 403)  # from nowhere
        self.assertEqual(self.ask("/", field).status, 200)
        answer = self.ask("/logout", field, OURS, method="POST")
        self.assertIn(b"Max-Age=0", answer.values(b"set-cookie")[0])
        self.assertEqual(self.ask("/", HTML, field).status, 401)
        self.assertTrue(has_lapsed(request))
        self.assertEqual(self.ask("/logout", field, OURS, method="POST").status, 303)
        self.assertEqual(self.said, ["login of 192.0.2.9: <Grant operator>", "logout of 192.0.2.9"])

    def test_it_ends(self) -> None:
        cookie = self.cookie()
        self.clock.advance(SESSION_SECONDS)
        self.assertEqual(self.ask("/", cookie).status, 401)

    def test_tokens_that_are_read_again(self) -> None:
        """A session goes on, and ends with its token."""
        operator, reader = self.cookie(), self.cookie(READER)
        self.guard = self.guarded({OPERATOR: TOKENS[OPERATOR]})
        self.assertEqual([self.ask("/", cookie).status for cookie in (operator, reader)], [200, 401])
        self.assertEqual(self.log_in(READER).status, 401)

    def test_roles(self) -> None:
        """What a session may do is what its token may."""
        reader = self.cookie(READER)
        self.assertEqual(self.ask("/v1", reader).sent, b"read True")
        self.assertEqual(self.ask("/v1", reader, OURS, method="POST").status, 403)
        answer = self.log_in(REGISTRAR)
        self.assertEqual((answer.status, answer.values(b"set-cookie")), (403, []))
        self.assertIn(b"register", answer.sent)

    def test_changes_come_from_the_page(self) -> None:
        """The cookie comes along whoever has made the request: it must say that the page has."""
        cookie = self.cookie()
        own, foreign = (b"Origin", b"https://lb.internal:2001"), (b"Origin", b"https://lb.internal:2000")
        for fields, status in (
            ([OURS], 200),
            ([own], 200),
            ([own, OURS], 200),
            ([], 403),
            ([(b"Sec-Fetch-Site", b"none")], 403),
            ([(b"Sec-Fetch-Site", b"none"), own], 403),
            ([(b"Sec-Fetch-Site", b"same-site")], 403),
            ([OURS, (b"Sec-Fetch-Site", b"cross-site")], 403),
            ([foreign], 403),
            ([OURS, foreign], 403),
            ([(b"Origin", b"null")], 403),
        ):
            self.assertEqual(self.ask("/v1", cookie, *fields, method="POST").status, status, fields)
            logged_in = self.log_in(OPERATOR, *fields, FORM)
            self.assertEqual(logged_in.status, 303 if status == 200 else 403, fields)
        # Whoever shows the token itself is no browser that is led astray.
        token = (b"Authorization", b"Bearer " + OPERATOR.encode())
        self.assertEqual(self.ask("/v1", token, method="POST").sent, b"operator False")

    def test_what_is_no_form(self) -> None:
        answer = self.ask("/login", OURS, method="POST", body=b"token=" + OPERATOR.encode())
        self.assertEqual(answer.status, 415)
        answer = self.ask("/login", OURS, FORM, method="POST", body=b"token=" + b"x" * 5000)
        self.assertEqual(answer.status, 413)
        self.assertEqual(self.ask("/login", OURS, FORM, method="POST", body=b"\xff=%zz&&").status, 401)


class FailedTests(Case):
    def test_one_line_each_and_then_it_waits(self) -> None:
        for number in range(MOST_FAILED):
            answer = self.log_in("wrong" * 5)
            self.assertEqual((answer.status, answer.values(b"www-authenticate")), (401, [b"Bearer"]))
            self.assertIn(b"<form", answer.sent)
            self.assertEqual(len(self.said), number + 1)
        self.assertNotIn("wrong", "".join(self.said))
        self.assertIn("it has to wait now", self.said[-1])
        answer = self.log_in(OPERATOR)
        self.assertEqual((answer.status, answer.values(b"retry-after")), (429, [b"30"]))
        self.assertEqual((answer.values(b"set-cookie"), len(self.said)), ([], MOST_FAILED))
        other = Client("192.0.2.10", 50_000, True, 2001)
        self.assertEqual(self.log_in(OPERATOR, client=other).status, 303)
        self.clock.advance(FORGIVEN_SECONDS)
        self.assertEqual(self.log_in(OPERATOR).status, 303)
        self.assertEqual(self.log_in("").status, 401)
