"""Tests of `scalekit.blog.app`: whole exchanges in memory, against the real data service's resource."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import msgspec
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog import pages
from scalekit.blog.app import Blog
from scalekit.blog.data import DataResource
from scalekit.blog.posts import Posts
from scalekit.blog.seed import seed
from scalekit.blog.store import PostFields
from scalekit.kit.client import Client
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site
from tests.blog.fakes import NOW, FakeCache, FakeDatabase, FakeSink
from tests.kit.fakes import FakeClient

FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
NEW = {"title": "New title", "author": "Ada", "body": "New text"}


class BlogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cache = FakeCache()
        self.sink = FakeSink()
        self.database = FakeDatabase()
        self.addCleanup(self.database.store.close)
        seed(self.database.store, NOW)
        client = Client(StubTreq(DataResource(self.database.as_database(), lambda: NOW)), self.clock)
        self.site = self.server("127.0.0.1:3001", client)

    def server(self, name: str, client: Client) -> Site:
        posts = Posts("http://data", client)
        fragments = self.cache.fragments(self.clock)
        self.addCleanup(fragments.stop)
        return Site(Blog(posts, fragments, self.sink, self.clock, lambda: name), reactor=self.clock)

    def get(self, target: str, method: str = "GET", site: Site | None = None) -> MemoryExchange:
        return ask(site or self.site, method.encode(), target.encode())

    def post(self, target: str, values: dict[str, str], *fields: tuple[bytes, bytes]) -> MemoryExchange:
        return ask(self.site, b"POST", target.encode(), [FORM, *fields], urlencode(values).encode())

    def foot(self, exchange: MemoryExchange) -> str:
        text = exchange.sent.decode()
        return " ".join(re.findall(r'<b id="(?:server|source)">([^<]*)', text))

    def test_the_list_and_a_post_are_made_once_then_remembered(self) -> None:
        for path in ("/", "/posts/2"):
            first, second = self.get(path), self.get(path)
            self.assertEqual((first.status, second.status), (200, 200))
            self.assertEqual(self.foot(first), "127.0.0.1:3001 freshly made")
            self.assertEqual(self.foot(second), "127.0.0.1:3001 from the cache")
        self.assertEqual(set(self.cache.stored), {"/", "/posts/2"})

    def test_the_data_service_is_told_the_requests_id(self) -> None:
        """Each its own, also of those that are answered side by side."""
        client = FakeClient(self.clock)
        site = self.server("127.0.0.1:3001", client)
        for number, fields in enumerate(([(b"X-Request-ID", b"ab-1")], [(b"X-Request-ID", b"x" * 200)], [])):
            ask(site, b"GET", b"/posts/%d" % (number + 1), fields)
        self.assertEqual([sent.get("X-Request-ID") for sent in client.headers], ["ab-1", "x" * 100, None])

    def test_what_is_cached_is_the_piece_not_the_page(self) -> None:
        self.get("/posts/2")
        self.assertNotIn(b"Answered by", self.cache.stored["/posts/2"])

    def test_the_key_is_the_path_alone(self) -> None:
        self.get("/posts/2?utm=1")
        self.assertEqual(self.foot(self.get("/posts/2?x=2")), "127.0.0.1:3001 from the cache")
        self.get("/?x=1")
        self.assertEqual(self.foot(self.get("/?page=1")), "127.0.0.1:3001 from the cache")

    def test_older_pages_are_not_cached(self) -> None:
        self.assertEqual(self.get("/?page=2").status, 404)
        seed_more(self.database)
        second = self.get("/?page=2")
        self.assertEqual((second.status, self.foot(second)), (200, "127.0.0.1:3001 made for you"))
        self.assertEqual(self.cache.stored, {})

    def test_an_update_is_seen_at_once(self) -> None:
        self.get("/")
        self.get("/posts/2")
        answer = self.post("/posts/2", NEW)
        self.assertEqual((answer.status, answer.values(b"location")), (303, [b"/posts/2"]))
        for path in ("/", "/posts/2"):
            shown = self.get(path)
            self.assertIn(b"New title", shown.sent)
            self.assertIn("freshly made", self.foot(shown))

    def test_a_new_post_is_seen_at_once(self) -> None:
        self.get("/")
        answer = self.post("/posts", NEW)
        self.assertEqual((answer.status, answer.values(b"location")), (303, [b"/posts/5"]))
        self.assertIn(b"New text", self.get("/posts/5").sent)
        self.assertIn(b"New title", self.get("/").sent)

    def test_the_redirect_waits_for_the_invalidation(self) -> None:
        self.cache.is_held = True
        answer = self.post("/posts/2", NEW)
        self.assertEqual(answer.status, 0)
        for release in self.cache.held:
            release()
        self.assertEqual(answer.status, 303)

    def test_forms(self) -> None:
        self.assertIn(b'action="/posts"', self.get("/posts/new").sent)
        edit = self.get("/posts/2/edit").sent.decode()
        self.assertIn('action="/posts/2"', edit)
        self.assertIn('name="revision" value="1"', edit)
        self.assertIn("Two app servers and who tells the balancer", edit)

    def test_a_form_with_a_fault_comes_back_with_what_was_written(self) -> None:
        for path in ("/posts", "/posts/2"):
            answer = self.post(path, NEW | {"title": "  "})
            self.assertEqual(answer.status, 400)
            self.assertIn(b"title: found nothing", answer.sent)
            self.assertIn(b"New text", answer.sent)

    def test_a_post_that_somebody_else_changed_meanwhile(self) -> None:
        self.post("/posts/2", NEW | {"title": "Theirs", "revision": "1"})
        answer = self.post("/posts/2", NEW | {"title": "Mine", "revision": "1"})
        self.assertEqual(answer.status, 412)
        for text in (b"Theirs", b"Mine", b"Somebody else", b'name="revision" value="2"'):
            self.assertIn(text, answer.sent)
        self.assertEqual(self.post("/posts/2", NEW | {"title": "Mine", "revision": "2"}).status, 303)

    def test_pages_of_other_sites_cannot_write(self) -> None:
        for fields in ((b"Origin", b"https://evil.example"), (b"Sec-Fetch-Site", b"cross-site")):
            for path in ("/posts", "/posts/2"):
                self.assertEqual(self.post(path, NEW, fields).status, 403)
        self.assertEqual(self.database.store.page(1).total, 4)
        self.assertEqual(self.post("/posts", NEW, (b"Origin", b"https://localhost")).status, 303)

    def test_what_is_not_there_and_what_is_not_taken(self) -> None:
        for path in ("/nothing", "/posts/99", "/posts/0", "/posts/2/", "/posts/99/edit", "/style.css"):
            exchange = self.get(path)
            self.assertEqual(exchange.status, 404, path)
            self.assertIn(b"Nothing here", exchange.sent)
        self.assertEqual(self.post("/posts/99", NEW).status, 404)
        refused = self.get("/posts/2", "DELETE")
        self.assertEqual((refused.status, refused.values(b"allow")), (405, [b"GET, HEAD, POST"]))
        self.assertEqual(self.get("/posts").status, 405)
        self.assertEqual(ask(self.site, b"POST", b"/posts", [(b"Content-Type", b"text/plain")], b"x").status, 415)

    def test_head(self) -> None:
        exchange = self.get("/", "HEAD")
        self.assertEqual((exchange.status, exchange.sent), (200, b""))

    def test_the_stylesheet_is_kept_for_a_year_under_its_own_name(self) -> None:
        ours, other = self.get(pages.STYLE_PATH), self.get("/style-0123456789ab.css")
        self.assertEqual((ours.status, ours.sent), (200, other.sent))
        self.assertEqual(ours.values(b"cache-control"), [b"public, max-age=31536000, immutable"])
        self.assertEqual(other.values(b"cache-control"), [b"no-store"])
        self.assertIn(pages.STYLE_PATH.encode(), self.get("/").sent)

    def test_pages_are_nobody_else_s_and_run_no_script(self) -> None:
        exchange = self.get("/")
        self.assertEqual(exchange.values(b"cache-control"), [b"private, no-cache"])
        self.assertIn(b"default-src 'none'", exchange.values(b"content-security-policy")[0])

    def test_every_request_is_a_line_in_the_log(self) -> None:
        self.get("/")
        ask(self.site, b"GET", b"/?x=1", [(b"X-Request-ID", b"abc")])
        self.get("/nothing")
        self.post("/posts/2", NEW)
        self.assertEqual(
            [re.sub(r"[0-9.]+ms", "_", entry) for entry in self.sink.entries],
            [
                "INFO GET / 200 _ fresh id=-",
                "INFO GET /?x=1 200 _ cache id=abc",
                "INFO GET /nothing 404 _ direct id=-",
                "INFO POST /posts/2 303 _ direct id=-",
            ],
        )
        self.assertEqual(self.sink.fields, [None, {"request_id": "abc"}, None, None])

    def test_without_the_data_service_what_is_cached_is_shown_and_the_rest_says_sorry(self) -> None:
        self.get("/")
        client = FakeClient(self.clock)
        site = self.server("127.0.0.1:3002", client)
        self.assertEqual(self.foot(self.get("/", site=site)), "127.0.0.1:3002 from the cache")
        exchange = self.get("/posts/3", site=site)
        client.cut()
        self.assertEqual((exchange.status, exchange.values(b"retry-after")), (503, [b"1"]))
        self.assertIn(b"Come back in a moment", exchange.sent)
        self.assertIn("ERROR GET /posts/3 503", self.sink.entries[-1])

    def test_a_reader_who_leaves_is_no_fault_of_ours(self) -> None:
        waiting: Deferred[None] = Deferred()
        self.patch(self.cache, "look", lambda look: waiting)
        exchange = self.get("/posts/2")
        exchange.leave()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.sink.entries, [])

    def test_a_writer_who_leaves_has_written_all_the_same(self) -> None:
        self.get("/posts/2")
        client = FakeClient(self.clock)
        site = self.server("127.0.0.1:3002", client)
        exchange = ask(site, b"POST", b"/posts/2", [FORM], urlencode(NEW).encode())
        exchange.leave()
        self.assertEqual(len(client.waiting), 1, "the request to the data service goes on")
        changed = self.database.store.update(2, PostFields("New title", "A", "B"), NOW)
        client.answer(200, msgspec.json.encode(changed))
        self.assertEqual(self.cache.told[-1], "purge post:2 posts")
        self.assertIn(b"New title", self.get("/posts/2").sent)

    def test_the_cache_forgets_also_when_nobody_knows_what_became_of_the_writing(self) -> None:
        client = FakeClient(self.clock)
        site = self.server("127.0.0.1:3002", client)
        exchange = ask(site, b"POST", b"/posts/2", [FORM], urlencode(NEW).encode())
        client.cut()
        self.assertEqual(exchange.status, 503)
        self.assertEqual(self.cache.told[-1], "purge post:2 posts")

    def test_our_own_fault_is_a_page_and_a_traceback_in_the_log(self) -> None:
        self.patch(pages, "post_fragment", lambda post: 1 / 0)
        exchange = self.get("/posts/2")
        self.assertEqual(exchange.status, 500)
        self.assertIn(b"That is our fault", exchange.sent)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


def seed_more(database: FakeDatabase) -> None:

    database.store.fill([(PostFields(f"Post {number}", "A", "B"), NOW - number) for number in range(30)], [])
