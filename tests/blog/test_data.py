"""Tests of `scalekit.blog.data`."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from treq.testing import StubTreq
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit.blog.data import Database, DataResource, entry_of
from scalekit.blog.store import PostFields
from scalekit.errors import ConfigurationFault, OurFault
from scalekit.kit.client import Answer, Client
from scalekit.web.memory import ask
from scalekit.web.site import Site
from tests.blog.fakes import NOW, FakeDatabase

POST = {"title": "Title", "author": "Author", "body": "Body"}


class DataResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = FakeDatabase()
        self.addCleanup(self.database.store.close)
        resource = DataResource(self.database.as_database(), lambda: NOW)
        self.client = Client(StubTreq(resource), Clock())

    def ask(self, method: str, path: str, value: Any = None, **headers: str) -> Answer:
        body = None if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        fields = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.successResultOf(
            self.client.fetch(method, f"http://data{path}", seconds=1, body=body, headers=fields)
        )

    def test_create_read_update(self) -> None:
        created = self.ask("POST", "/posts", POST)
        self.assertEqual((created.status, created.get("location")), (201, "/posts/1"))
        self.assertEqual(json.loads(created.body)["created"], "2023-11-14T22:13:20Z")
        shown = self.ask("GET", "/posts/1")
        self.assertEqual(json.loads(shown.body), json.loads(created.body))
        changed = self.ask("PUT", "/posts/1", POST | {"title": "New"})
        self.assertEqual(json.loads(changed.body)["title"], "New")
        listed = json.loads(self.ask("GET", "/posts").body)
        self.assertEqual([post["title"] for post in listed["posts"]], ["New"])

    def test_what_the_log_is_told(self) -> None:
        site = Site(DataResource(self.database.as_database(), lambda: NOW), reactor=Clock())
        for fields, name, kept in (([(b"X-Request-ID", b"ab-1")], "ab-1", {"request_id": "ab-1"}), ([], "-", None)):
            asked = ask(site, b"GET", b"/posts/7?a=b", fields)
            self.assertEqual(entry_of(asked, 0.0015), ("INFO", f"GET /posts/7?a=b 404 1.5ms id={name}", kept))
        asked.record.status = 503
        self.assertEqual(entry_of(asked, 0.0)[0], "ERROR")

    def test_what_has_not_changed_is_a_304(self) -> None:
        self.ask("POST", "/posts", POST)
        self.ask("POST", "/posts", POST)
        for path in ("/posts", "/posts/1"):
            etag = self.ask("GET", path).get("etag") or ""
            for known in (etag, f"W/{etag}"):
                answer = self.ask("GET", path, If_None_Match=known)
                self.assertEqual((answer.status, answer.body), (304, b""))
            self.assertEqual(self.ask("GET", path, If_None_Match='"other-1"').status, 200)
        list_etag, post_etag = (self.ask("GET", path).get("etag") or "" for path in ("/posts", "/posts/1"))
        self.ask("PUT", "/posts/2", POST)
        self.assertEqual(self.ask("GET", "/posts", If_None_Match=list_etag).status, 200)
        self.assertEqual(self.ask("GET", "/posts/1", If_None_Match=post_etag).status, 304)

    def test_a_change_of_what_has_changed_is_a_412(self) -> None:
        etag = self.ask("POST", "/posts", POST).get("etag") or ""
        self.assertEqual(self.ask("PUT", "/posts/1", POST, If_Match=etag).status, 200)
        refused = self.ask("PUT", "/posts/1", POST, If_Match=etag)
        self.assertEqual((refused.status, json.loads(refused.body)["reason"]), (412, "changed"))
        self.assertEqual(self.ask("PUT", "/posts/1", POST, If_Match='"nonsense"').status, 412)
        self.assertEqual(self.ask("PUT", "/posts/1", POST, If_Match="*").status, 200)

    def test_what_is_not_there(self) -> None:
        for path in ("/posts/1", "/posts/0", "/posts/x", "/posts/1/2", "/", "/posts/99999999999999999999"):
            self.assertEqual(self.ask("GET", path).status, 404, path)
        self.assertEqual(self.ask("PUT", "/posts/1", POST).status, 404)
        self.assertEqual(self.ask("DELETE", "/posts").status, 405)

    def test_bad_fields_are_named(self) -> None:
        rows: list[tuple[Any, str]] = [
            ({"title": "T", "author": "A"}, "`body`"),
            (POST | {"title": 3}, "$.title"),
            (POST | {"extra": 1}, "`extra`"),
            (POST | {"title": "  "}, "title: found nothing"),
            (POST | {"author": "x" * 81}, "author: found 81 characters"),
            (POST | {"body": "a\x00b"}, "body: found a control character"),
            (POST | {"title": "a\nb"}, "title: found a control character"),
            ([], "Expected `object`"),
            (b"{", "truncated"),
            (b'{"title":"\\ud800","author":"a","body":"b"}', "surrogate"),
        ]
        for value, expected in rows:
            for method, path in (("POST", "/posts"), ("PUT", "/posts/1")):
                answer = self.ask(method, path, value)
                problem = json.loads(answer.body)
                self.assertEqual((answer.status, problem["reason"]), (400, "bad-field"), value)
                self.assertIn(expected, problem["detail"])
        self.assertTrue(self.database.store.is_empty())

    def test_a_body_too_big(self) -> None:
        self.assertEqual(self.ask("POST", "/posts", b" " * 300_000).status, 413)

    def test_bad_pages(self) -> None:
        for page in ("0", "-1", "x", "99999999999"):
            answer = self.ask("GET", f"/posts?page={page}")
            self.assertEqual(answer.status, 400, page)
            self.assertIn("page: found", json.loads(answer.body)["detail"])
        self.assertEqual(json.loads(self.ask("GET", "/posts?page=7").body)["posts"], [])


class DatabaseTests(TestCase):
    def make(self, path: str) -> Database:
        return Database(reactor, path, lambda store: store.create(PostFields("T", "A", "B"), NOW))  # type: ignore[arg-type]

    async def test_queries_run_in_one_other_thread_in_order(self) -> None:
        database = self.make(self.mktemp())
        database.startService()
        threads = await gatherResults([database.run(lambda store: threading.get_ident()) for _ in range(5)])
        self.assertEqual(len(set(threads)), 1)
        self.assertNotEqual(threads[0], threading.get_ident())
        self.assertEqual(repr(database), "<Database open, 0 waiting>")
        database.stopService()
        self.assertRaises(OurFault, database.run, lambda store: None)

    async def test_too_many_waiting_are_refused(self) -> None:
        database = self.make(self.mktemp())
        database.startService()
        gate = threading.Event()
        waiting = [database.run(lambda store: gate.wait(10)) for _ in range(256)]
        for left in waiting[200:]:
            left.addErrback(lambda failure: None)
            left.cancel()
        fault = self.assertRaises(OurFault, database.run, lambda store: None)
        self.assertEqual(fault.status, 503)
        gate.set()
        await gatherResults(waiting)
        self.assertEqual((await database.run(lambda store: store.page(1))).total, 1)
        database.stopService()

    def test_a_database_that_cannot_be_used_is_a_configuration_fault(self) -> None:
        directory = self.mktemp()
        os.makedirs(directory)
        garbage = self.mktemp()
        with open(garbage, "w") as file:
            file.write("not a database, but long enough to be read as one" * 10)
        for path in (directory, garbage, os.path.join(garbage, "below-a-file")):
            fault = self.assertRaises(ConfigurationFault, self.make(path).startService)
            self.assertIn("data.database: ", str(fault))
