"""Proxy-Status: every reason that the balancer can give has its word in RFC 9209."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import scalekit
from scalekit.errors import ClientFault, Fault, OurFault, UpstreamFault
from scalekit.http.heads import RequestHead
from scalekit.http.problems import problem_answer
from scalekit.http.proxy_status import UPSTREAM_TYPES, error_type, generated, passed_on

PACKAGE = Path(scalekit.__file__).parent
#: What makes a fault of an app server: its name, and which argument is the reason.
MAKERS = {"UpstreamFault": 1, "_busy": 0, "TLSFault": 0}
#: Where the reason is no literal: it is another fault's, or one of a maker above.
HANDED_ON = {"balancer/forward.py", "balancer/proxy.py", "net/connecting.py", "net/tls_transports.py"}
#: What only a probe hears: no client is answered with it.
PROBED = {"ping-too-long", "ping-timeout", "ping-text", "no-consent", "no-grpc"}


def reasons() -> Iterator[tuple[str, str]]:
    """Every reason of an `UpstreamFault` in our sources, with the file that gives it."""
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "failure_reason":
                for each in ast.walk(node):
                    if isinstance(each, ast.Return) and isinstance(each.value, ast.Tuple):
                        yield from texts(each.value.elts[0], place)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                yield from texts(node.args[min(MAKERS[node.func.id], len(node.args) - 1)], place)


def texts(node: ast.expr, place: str) -> Iterator[tuple[str, str]]:
    """The literals that an expression may be."""
    if isinstance(node, ast.IfExp):
        yield from texts(node.body, place)
        yield from texts(node.orelse, place)
    elif isinstance(node, ast.Constant):
        yield str(node.value), place
    else:
        assert place in HANDED_ON, f"{place}: {ast.unparse(node)} is a reason that this test cannot read"


class TypeTests(SynchronousTestCase):
    def test_every_reason_of_an_upstream_fault(self) -> None:
        found = {reason: place for reason, place in reasons() if reason not in PROBED}
        self.assertGreater(len(found), 15)
        unknown = {reason: place for reason, place in found.items() if reason not in UPSTREAM_TYPES}
        self.assertEqual(unknown, {}, "which error type of RFC 9209 is that?")
        self.assertEqual(set(UPSTREAM_TYPES) - set(found), set(), "nobody gives these")

    def test_types(self) -> None:
        """They are those of section 2.3; of what is not known, it is the safe one."""
        for fault, expected in (
            (UpstreamFault(502, "connect-refused", ""), "connection_refused"),
            (UpstreamFault(504, "connect-timeout", ""), "connection_timeout"),
            (UpstreamFault(504, "answer-timeout", ""), "http_response_timeout"),
            (UpstreamFault(503, "no-app-servers", ""), "destination_unavailable"),
            (UpstreamFault(502, "never-heard-of", ""), "proxy_internal_error"),
            (ClientFault(400, "bad-host", ""), "http_request_error"),
            (ClientFault(413, "body-too-large", ""), "http_request_error"),
            (ClientFault(508, "loop", ""), "proxy_loop_detected"),
            (OurFault(500, "internal", ""), "proxy_internal_error"),
            (OurFault(501, "no-tunnel", ""), "http_upgrade_failed"),
        ):
            self.assertEqual(error_type(fault), expected)


class FieldTests(SynchronousTestCase):
    def test_values(self) -> None:
        fault = UpstreamFault(502, "connect-refused", "")
        name, value = generated(b"scalekit-a1", fault)
        self.assertEqual(name, b"Proxy-Status")
        self.assertEqual(value, b'scalekit-a1; error=connection_refused; details="connect-refused"')
        self.assertEqual(passed_on(b"scalekit-a1", 503), (b"Proxy-Status", b"scalekit-a1; received-status=503"))

    def test_whose_answers_have_it(self) -> None:
        """Those of a proxy; a daemon that answers for itself has no next hop."""
        head = RequestHead(b"GET", b"/", [])
        bad: Fault = ClientFault(400, "bad-host", "")
        for fault, proxy, expected in (
            (bad, b"", None),
            (bad, b"me", b'me; error=http_request_error; details="bad-host"'),
            (UpstreamFault(503, "no-route", ""), b"", b'scalekit; error=destination_not_found; details="no-route"'),
            (UpstreamFault(503, "no-route", ""), b"me", b'me; error=destination_not_found; details="no-route"'),
        ):
            answer, _ = problem_answer(fault, head, b"id", proxy=proxy)
            self.assertEqual(answer.get(b"proxy-status"), expected)
