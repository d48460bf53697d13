"""Tests of `scalekit.balancer.dashboard`: rates, what is shown, the page, and its routes."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.dashboard.overview import Overview
from scalekit.balancer.dashboard.page import page, seconds_for_people
from scalekit.balancer.dashboard.rates import OLDEST_SECONDS, SAMPLES, Rates
from scalekit.balancer.dashboard.resource import STYLESHEET, Dashboard
from scalekit.balancer.events import EventLog
from scalekit.balancer.instance import Registration
from scalekit.balancer.listing import Listing
from scalekit.balancer.registrar import RegistrarResource
from scalekit.balancer.roster import Endpoint, Roster
from scalekit.balancer.routes import Routing
from scalekit.config.tokens import Grant, Tokens
from scalekit.http.heads import Client
from scalekit.web.access import registration_role
from scalekit.web.answers import Absent
from scalekit.web.guard import Guard
from scalekit.web.login import Login
from scalekit.web.memory import ask
from scalekit.web.site import Site

BOUNDS = (0.001, 0.01, 0.1)
HTML = (b"Accept", b"text/html,application/xhtml+xml,*/*;q=0.8")


class RatesTests(SynchronousTestCase):
    def test_two_samples(self) -> None:
        rates = Rates(BOUNDS)
        counts = {"shop": {"a": [5, 5, 0, 0], "b": [0, 0, 0, 0]}}
        rates.take(counts, 0.0)
        self.assertIsNone(rates.of("shop"))
        counts["shop"]["a"] = [5, 105, 0, 0]
        counts["shop"]["b"] = [0, 0, 0, 1]
        rates.take(counts, 0.5)  # of just now
        self.assertIsNone(rates.of("shop"))
        rates.take(counts, 10.0)
        self.assertEqual([round(each or 0.0, 6) for each in rates.of("shop", "a") or ()], [10.0, 0.0055, 0.00991])
        self.assertEqual(rates.of("shop", "b"), (0.1, 0.1, 0.1))
        both = rates.of("shop")
        assert both is not None
        self.assertAlmostEqual(both.per_second, 10.1)
        self.assertEqual(rates.of("shop", "none"), (0.0, None, None))

    def test_only_what_is_new(self) -> None:
        """The window moves on, and one that was closed for long begins anew."""
        rates = Rates(BOUNDS)
        for second in range(2 * SAMPLES):
            rates.take({"shop": {"a": [1, 0, 0, 0]}}, float(second))
        self.assertEqual(rates.of("shop", "a"), (0.0, None, None))
        rates.take({}, 2 * SAMPLES + OLDEST_SECONDS)
        self.assertIsNone(rates.of("shop", "a"))

    def test_counted_from_nothing(self) -> None:
        rates = Rates(BOUNDS)
        rates.take({"shop": {"a": [9, 0, 0, 0]}}, 0.0)
        rates.take({"shop": {"a": [2, 0, 0, 0]}}, 1.0)
        self.assertEqual(rates.of("shop", "a"), (0.0, None, None))

    @given(st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any), st.floats(0, 1), st.floats(0, 1))
    def test_quantiles(self, counts: list[int], one: float, other: float) -> None:
        """Within the bounds, and in order."""
        low, high = (Rates(BOUNDS).quantile(counts, part) for part in sorted((one, other)))
        self.assertTrue(0 <= low <= high <= BOUNDS[-1])


class Tags(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.said += data


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.roster = Roster(lambda: 0.5)
        routing = Routing()
        events = EventLog("run", lambda: 1_800_000_000.0)
        self.roster.observe(events.transition)
        self.roster.observe_notices(events.notice)
        self.counts: dict[str, dict[str, list[int]]] = {}
        self.overview = Overview(
            self.roster,
            Listing(self.roster, routing, self.clock),
            events,
            lambda: self.counts,
            Rates(BOUNDS),
            lambda service: 3,
            self.clock.seconds,
            [self],
        )
        self.root = RegistrarResource(
            self.roster, routing, self.clock, list, str, Absent(), dashboard=Dashboard(self.overview)
        )
        self.site = Site(self.root)

    def view(self) -> dict[str, Any]:
        """A panel of another feature."""
        table = {"head": ["Key", "Hits"], "rows": [["/a", "9"]]}
        return {"name": "Cache", "alarm": "Too hot.", "facts": [("75%", "hits")], "note": "", **table}

    def ask(self, path: str, *fields: tuple[bytes, bytes], method: bytes = b"GET") -> Any:
        return ask(self.site, method, path.encode(), list(fields), client=Client("127.0.0.1", 1, True, 2001))

    def add(self, id: str = "a", **more: Any) -> Any:
        port = 1000 + len(self.roster.instances("shop"))
        return self.roster.enrol("shop", Registration(id, Endpoint("http", "127.0.0.1", port), 1, **more), 0.0)


class OverviewTests(Case):
    def test_all_of_it(self) -> None:
        self.counts = {"shop": {"a": [0, 0, 0, 0]}}
        instance = self.add()
        for status in (200, 200, 500):
            self.roster.probed(instance, status, f"answered {status}", 0.0)
        instance.health.told, instance.health.told_at = "answered 500", 0.0
        self.overview.view()
        self.clock.advance(2.0)
        self.counts["shop"]["a"] = [0, 10, 0, 0]
        view = self.overview.view()
        (shop,) = (each for each in view["services"] if each["name"] == "shop")
        (one,) = shop["instances"]
        self.assertEqual(one["probes"], {"recent": "++-", "last": "answered 500", "seconds": 2.0})
        self.assertEqual(one["rate"]["per_second"], 5.0)
        self.assertEqual((shop["rate"], shop["waiting"], shop["total"]), (one["rate"], 3, 1))
        self.assertEqual(view["panels"], [self.view()])
        self.assertEqual([event["after"] for event in view["events"]], ["joining", "up"])
        self.assertEqual(json.loads(self.ask("/v1/overview").sent)["services"][1]["name"], "shop")

    def test_many_readers(self) -> None:
        """It is made once a second for all of them; what they have done themselves is seen at once."""
        instance = self.add()
        view = self.overview.view()
        body = self.ask("/", HTML).sent
        instance.in_flight = 1
        self.assertIs(self.overview.view(), view)
        self.assertEqual(self.ask("/", HTML).sent, body)
        self.roster.reweigh(instance, 9)
        self.assertIsNot(self.overview.view(), view)
        self.assertIn(b'value="9"', self.ask("/", HTML).sent)
        instance.in_flight = 17
        self.clock.advance(1.0)
        self.assertIn(b">17<", self.ask("/", HTML).sent)

    def test_too_many(self) -> None:
        for number in range(510):
            self.roster.register("shop", Endpoint("http", "127.0.0.1", 1000 + number), 0.0)
        view = self.overview.view()
        self.assertEqual(view["hidden"], {"services": 0, "instances": 10})
        self.assertIn("10 app servers", page(view))


class PageTests(Case):
    def test_for_browsers_and_for_others(self) -> None:
        self.add(meta={"zone": "b"})
        answer = self.ask("/", HTML)
        fields = {name.lower(): value for name, value in answer.fields}
        self.assertEqual(fields[b"content-type"], b"text/html; charset=utf-8")
        self.assertIn(b"default-src 'none'; script-src 'self'", fields[b"content-security-policy"])
        self.assertEqual(fields[b"vary"], b"Accept")
        for accept in ([], [(b"Accept", b"*/*")], [(b"Accept", b"text/plain")]):
            answer = self.ask("/", *accept)
            self.assertTrue(answer.sent.startswith(b"default  */\n"), answer.sent)

    def test_nothing_inline_and_nobody_else(self) -> None:
        """What the policy forbids is not there, and every address of the page is a path of ours."""
        self.add(meta={"zone": "b"})
        found = Tags(self.ask("/", HTML).sent.decode())
        for tag, attributes in found.tags:
            for name, value in attributes.items():
                self.assertFalse(name.startswith("on") or name == "style", (tag, name))
                if name in ("src", "href", "action"):
                    self.assertTrue(value == "data:," or str(value).startswith("/"), value)
            if tag in ("link", "script") and attributes.get("href") != "data:,":
                answer = self.ask(str(attributes.get("href") or attributes.get("src")))
                self.assertEqual(answer.status, 200)
                self.assertNotIn(b"http", answer.sent)
                tag_field = dict(answer.fields)[b"ETag"]
                path = str(attributes.get("href") or attributes.get("src"))
                self.assertEqual(self.ask(path, (b"If-None-Match", tag_field)).status, 304)

    @given(st.text(min_size=1))
    def test_whatever_others_say_is_text(self, evil: str) -> None:
        view = {
            "name": evil,
            "routes": [evil],
            "panic": True,
            "departed": None,
            "available": 1,
            "total": 1,
            "waiting": 1,
            "rate": {"per_second": 1.5, "p50": None, "p99": 2.0},
        }
        one = {
            "id": evil,
            "url": f"http://{evil}:1",
            "static": False,
            "state": evil,
            "reason": evil,
            "state_seconds": 90061.0,
            "in_flight": 0,
            "max_in_flight": 3,
            "generation": 1,
            "share": 0.5,
            "weight": 1,
            "meta": {evil: evil},
            "rate": view["rate"],
            "probes": {"recent": "+-", "last": evil, "seconds": 1.0},
        }
        event = {"event": "transition", "at": 0.0, "service": evil, "id": evil, "before": evil, "after": evil}
        events = [event | {"reason": evil}, {"event": "panic", "at": 0.0, "service": "", "detail": evil}]

        hidden = {"services": 0, "instances": 0}
        table = {"head": [evil, evil], "rows": [[evil, evil]]}
        panel = {"name": evil, "alarm": evil, "facts": [(evil, evil)], "note": evil, **table}

        def shape(view: dict[str, Any], one: dict[str, Any]) -> list[tuple[str, list[str]]]:
            services = [view | {"instances": [one]}]
            shown = Tags(page({"services": services, "hidden": hidden, "panels": [panel], "events": events}))
            return [(tag, sorted(attributes)) for tag, attributes in shown.tags]

        tame_one = one | dict.fromkeys(("id", "scheme", "address", "state", "reason"), "down") | {"meta": {"x": "x"}}
        self.assertEqual(shape(view, one), shape(view | {"name": "x", "routes": ["x"]}, tame_one))

    def test_panels(self) -> None:
        said = Tags(self.ask("/", HTML).sent.decode()).said
        for text in ("Cache", "Too hot.", "75%", "hits", "/a"):
            self.assertIn(text, said)

    def test_drain_and_weight(self) -> None:
        """The places that the page names are those of the API, whatever an id has in it."""
        self.add("127.0.0.1:1000")
        self.roster.settle_static("shop", [Endpoint("http", "::1", 9)], 0.0)
        tags = Tags(self.ask("/", HTML).sent.decode()).tags
        place, static = (attributes["data-drain"] for _, attributes in tags if "data-drain" in attributes)
        self.assertEqual(len([1 for _, attributes in tags if "data-weight" in attributes]), 2)
        for each in (place, static):
            answer = self.ask(f"{each}/drain", method=b"POST")
            self.assertEqual(answer.status, 200, answer.sent)
        tags = Tags(self.ask("/", HTML).sent.decode()).tags
        self.assertEqual([attributes["data-back"] for _, attributes in tags if "data-back" in attributes], [static])

    def test_elsewhere(self) -> None:
        """Off this machine it needs a token as everything does."""
        guard = Guard(self.site, ["10.0.0.1"], Tokens([("r" * 16, Grant("read"))]), registration_role)
        client = Client("10.0.0.7", 1, True, 2001)
        for path in (b"/", b"/v1/overview", b"/dashboard.js"):
            self.assertEqual(ask(guard, b"GET", path, [HTML], client=client, host=b"10.0.0.1:2001").status, 401)
            token = (b"Authorization", b"Bearer " + b"r" * 16)
            answer = ask(guard, b"GET", path, [HTML, token], client=client, host=b"10.0.0.1:2001")
            self.assertEqual(answer.status, 200)

    def test_who_may_only_look(self) -> None:
        """Neither weight nor drain is offered; who has logged in can log out."""
        self.add()
        tokens = Tokens([("r" * 16, Grant("read")), ("o" * 16, Grant("operator"))])
        login = Login("dashboard", STYLESHEET, lambda size: b"k" * size, self.clock.seconds)
        guard = Guard(self.site, ["10.0.0.1"], tokens, registration_role, login)
        client = Client("10.0.0.7", 1, True, 2001)
        shown = []
        for token in ("r" * 16, "o" * 16):
            cookie = (b"Cookie", login.log_in(token.encode(), client))
            bearer = (b"Authorization", b"Bearer " + token.encode())
            for field in (cookie, bearer):
                text = ask(guard, b"GET", b"/", [HTML, field], client=client, host=b"10.0.0.1:2001").sent
                shown.append((b"data-drain" in text, b"data-weight" in text, b'action="/logout"' in text))
        self.assertEqual(shown, [(False, False, True), (False, False, False), (True, True, True), (True, True, False)])
        self.assertIn(b'<form method="post" action="/login">', ask(guard, b"GET", b"/", [HTML], client=client).sent)
        self.assertNotIn(b"/logout", self.ask("/", HTML).sent)

    def test_seconds(self) -> None:
        said = [seconds_for_people(seconds) for seconds in (None, 0.0004, 0.038, 2.5)]
        self.assertEqual(said, ["&ndash;", "0.4 ms", "38 ms", "2.5 s"])
