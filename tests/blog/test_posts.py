"""Tests of `scalekit.blog.posts`."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog.data import DataResource
from scalekit.blog.posts import Posts
from scalekit.blog.store import PostFields
from scalekit.errors import ClientFault, OurFault
from scalekit.kit.client import Client
from tests.blog.fakes import NOW, FakeDatabase
from tests.kit.fakes import FakeClient

FIELDS = PostFields("T", "A", "B")


class PostsTests(SynchronousTestCase):
    """Against the real data service's resource."""

    def setUp(self) -> None:
        database = FakeDatabase()
        self.addCleanup(database.store.close)
        self.posts = Posts("http://data/", Client(StubTreq(DataResource(database.as_database(), lambda: NOW)), Clock()))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fail_to(self, work: Coroutine[Any, Any, Any]) -> ClientFault:
        fault = self.failureResultOf(Deferred.fromCoroutine(work), ClientFault).value
        assert isinstance(fault, ClientFault)
        return fault

    def test_write_and_read(self) -> None:
        post = self.do(self.posts.create(FIELDS))
        self.assertEqual(self.do(self.posts.post(post.id)), post)
        changed = self.do(self.posts.update(post.id, PostFields("New", "A", "B"), post.revision))
        self.assertEqual(self.do(self.posts.page(1)).posts[0].title, "New")
        self.assertGreater(changed.revision, post.revision)

    def test_faults_come_through(self) -> None:
        post = self.do(self.posts.create(FIELDS))
        self.assertEqual(self.fail_to(self.posts.post(99)).status, 404)
        self.assertEqual(self.fail_to(self.posts.update(post.id, FIELDS, 77)).status, 412)
        fault = self.fail_to(self.posts.create(PostFields("", "A", "B")))
        self.assertEqual((fault.status, fault.detail[:6]), (400, "title:"))


class AwayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = FakeClient(Clock())
        self.posts = Posts("http://data", self.client)

    def test_away_slow_broken_or_strange_is_a_503(self) -> None:
        def slow() -> None:
            self.client.clock.advance(5)

        answers = [
            self.client.cut,
            slow,
            lambda: self.client.answer(500, b"oops"),
            lambda: self.client.answer(200, b"{}"),
            lambda: self.client.answer(200, b"<html>"),
        ]
        for answer in answers:
            asked = Deferred.fromCoroutine(self.posts.post(1))
            answer()
            self.assertEqual(self.failureResultOf(asked, OurFault).value.status, 503)
