"""Tests of `scalekit.balancer.routes`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.routes import MEMO_LIMIT, Claim, RouteTable, Routing, bare_host, normal_prefix, plan_routes

CONFIGURED = (
    Claim.of("shop", ["shop.example", "*.shop.example"], "/"),
    Claim.of("api", ["shop.example"], "/api"),
    Claim.of("deep", ["*.deep.shop.example"], "/"),
    Claim.of("anywhere", [], "/anywhere"),
    Claim.of("six", ["[::1]"], "/"),
)

# host, path, service
ROWS = [
    (b"shop.example", b"/", "shop"),
    (b"SHOP.Example:2000", b"/posts/1", "shop"),
    (b"shop.example.", b"/", "shop"),
    (b"shop.example.:2000", b"/", "shop"),
    (b"shop.example", b"/api", "api"),
    (b"shop.example", b"/api/", "api"),
    (b"shop.example", b"/api/v1", "api"),
    (b"shop.example", b"/apix", "shop"),  # not at a segment boundary
    (b"shop.example", b"/API", "shop"),  # paths are case-sensitive
    (b"a.shop.example", b"/api", "shop"),
    (b"a.b.shop.example", b"/", "shop"),
    (b"a.deep.shop.example", b"/", "deep"),  # the longer wildcard wins
    (b"deep.shop.example", b"/", "shop"),  # a wildcard is not the name itself
    (b"xshop.example", b"/", "default"),
    (b"other.example", b"/anywhere/1", "anywhere"),
    (b"shop.example", b"/anywhere/1", "shop"),  # the more exact host wins, then the longer path
    (b"other.example", b"/", "default"),
    (b"[::1]:2000", b"/", "six"),
    (b"[::2]:2000", b"/", "default"),
    (b"", b"/", "default"),
    (b"*", b"*", "default"),
    (b"shop.example", b"*", "shop"),
    (b"." * 300, b"/", "default"),
    (b"a." * 10000 + b"shop.example", b"/", "default"),  # no host name is that long
]


class RouteTests(SynchronousTestCase):
    """Host and path to service."""

    def test_rows(self) -> None:
        """Each row finds its service, also the second time."""
        table = plan_routes(CONFIGURED, ())
        for host, path, service in ROWS * 2:
            route = table.route(host, path)
            self.assertEqual(route and route.service, service, (host[:40], path))

    def test_default_alone(self) -> None:
        """Without any configuration everything goes to the default service."""
        table = plan_routes((), ())
        self.assertEqual([table.route(host, path) for host, path, _ in ROWS], [table.routes[0]] * len(ROWS))
        self.assertEqual(repr(table), "<RouteTable <*/ -> default>>")

    def test_configured_default(self) -> None:
        """A default service that is configured gets only what is configured."""
        table = plan_routes([Claim.of("default", ["a.example"], "/")], ())
        self.assertIsNone(table.route(b"b.example", b"/"))
        self.assertIsNotNone(table.route(b"a.example", b"/"))

    def test_fall_through(self) -> None:
        """A host whose routes do not fit the path leaves the request to the routes of any host."""
        table = plan_routes([Claim.of("api", ["a.example"], "/api")], ())
        route = table.route(b"a.example", b"/other")
        self.assertEqual(route and route.service, "default")

    def test_registered(self) -> None:
        """A registered service gets what it claims, unless the configuration says otherwise or somebody was first."""
        claims = [
            Claim.of("shop", [], "/stolen"),  # configured: its claim does not count
            Claim.of("api", ["shop.example"], "/"),  # taken by the configuration, as is everything of api
            Claim.of("blog", ["blog.example"], "/"),
            Claim.of("late", ["blog.example"], "/"),
            Claim.of("blog", ["blog.example"], "/"),
            Claim.of("greedy", [], "/"),  # default gets any host
        ]
        table = plan_routes(CONFIGURED, claims)
        for host, path, service in [*ROWS, (b"blog.example", b"/", "blog"), (b"x.example", b"/stolen", "default")]:
            route = table.route(host, path)
            self.assertEqual(route and route.service, service)
        self.assertEqual([route.service for route in table.refused], ["late", "greedy"])
        services = {route.service for route in table.routes}
        self.assertEqual((services & {"blog", "late"}), {"blog"})

    def test_memory_is_bounded(self) -> None:
        """However many hosts clients make up, only so many are remembered."""
        table = plan_routes(CONFIGURED, ())
        for number in range(3 * MEMO_LIMIT):
            table.route(b"%d.example" % number, b"/")
            self.assertLessEqual(len(table._memo), MEMO_LIMIT)
        table.route(b"x" * 20000, b"/")
        self.assertNotIn(b"x" * 20000, table._memo)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([(), ("a.b",), ("*.b",), ("*.a.b",), ("c",)]),
                st.lists(st.sampled_from("xy"), max_size=3).map(lambda parts: "/" + "/".join(parts)),
            ),
            max_size=12,
        ),
        st.sampled_from([b"a.b", b"b", b"c", b"q.a.b", b"z"]),
        st.lists(st.sampled_from(["x", "y", "xy"]), max_size=4).map(lambda parts: ("/" + "/".join(parts)).encode()),
    )
    def test_like_a_search(self, wanted: list[tuple[tuple[str, ...], str]], host: bytes, path: bytes) -> None:
        """The table finds what a look at every single route finds."""
        table = plan_routes([Claim.of(f"s{n}", *one) for n, one in enumerate(wanted)], ())
        best = None
        for route in table.routes:
            is_wild = route.host.startswith(b"*.")
            if route.host and route.host != host and not (is_wild and host.endswith(route.host[1:])):
                continue
            if (path + b"/").startswith(route.prefix + b"/"):
                rank = (2 if route.host and not is_wild else 1 if is_wild else 0, len(route.host), len(route.prefix))
                if best is None or rank > best[0]:
                    best = (rank, route)
        self.assertEqual(table.route(host, path), best and best[1])


class ClaimTests(SynchronousTestCase):
    """What can be claimed."""

    def test_normal_form(self) -> None:
        """Hosts in lower case and once, paths without a slash at the end."""
        self.assertEqual(
            Claim.of("a", ["B.example", "b.example.", "*.C.example", "[::1]", "127.0.0.1"], "/x/"),
            Claim("a", ("b.example", "*.c.example", "[::1]", "127.0.0.1"), "/x"),
        )
        self.assertEqual(normal_prefix("/"), "/")

    def test_wrong(self) -> None:
        """What no request can match is refused with a sentence that quotes it."""
        for host in ("", "a b", "a/b", "a:80", "*", "a.*.b", "*.*.b", "a..b", "-a", "é", "[x]", "[::1"):
            error = self.assertRaises(ValueError, Claim.of, "a", [host], "/")
            self.assertIn(repr(host), str(error))
        for path in ("", "x", "/a?b", "/a#b", "/a/../b", "/./a", "/a//b", "/%41", "/a b", "/é", "/a\n"):
            error = self.assertRaises(ValueError, Claim.of, "a", [], path)
            self.assertIn(repr(path), str(error))

    def test_bare_host(self) -> None:
        """Port, case and final dot are no part of the name."""
        for host, bare in [(b"A.B:1", b"a.b"), (b"a.b.", b"a.b"), (b"[::1]:80", b"[::1]"), (b"[::1]", b"[::1]")]:
            self.assertEqual(bare_host(host), bare)


class RoutingTests(SynchronousTestCase):
    """The table in force."""

    def test_settle(self) -> None:
        """The table is replaced whole; the old one goes on to answer what it did."""
        routing = Routing()
        old = routing.table
        routing.settle([Claim.of("blog", ["blog.example"], "/")])
        new = routing.table.route(b"blog.example", b"/")
        self.assertEqual(new and new.service, "blog")
        self.assertEqual(old.route(b"blog.example", b"/"), old.routes[0])
        self.assertIn("<blog.example/ -> blog>", repr(routing))

    def test_reconfigure(self) -> None:
        """Another configuration, and what is claimed goes on to be claimed."""
        routing = Routing([Claim.of("shop", ["shop.example"], "/")])
        routing.settle([Claim.of("blog", ["blog.example"], "/")])
        routing.reconfigure([Claim.of("shop", ["store.example"], "/"), Claim.of("api", [], "/api")])
        self.assertEqual(
            repr(routing.table),
            "<RouteTable <store.example/ -> shop> <*/api -> api> <*/ -> default> <blog.example/ -> blog>>",
        )
        routing.settle([])
        self.assertEqual([route.service for route in routing.table.routes], ["shop", "api", "default"])

    def test_empty(self) -> None:
        """A table without a row has no route."""
        self.assertIsNone(RouteTable().route(b"a", b"/"))
