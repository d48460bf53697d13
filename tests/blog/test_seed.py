"""Tests of `scalekit.blog.seed`."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog.data import post_fields
from scalekit.blog.seed import POSTS, seed
from scalekit.blog.store import PostFields, Store, open_store
from tests.blog.fakes import NOW


class SeedTests(SynchronousTestCase):
    def store(self) -> Store:
        store = open_store(":memory:")
        self.addCleanup(store.close)
        return store

    def test_a_few_posts_to_read(self) -> None:
        store = self.store()
        self.assertTrue(seed(store, NOW))
        page = store.page(1)
        self.assertEqual([post.title for post in page.posts], [post[0] for post in reversed(POSTS)])
        self.assertEqual(sum(post.comments for post in page.posts), sum(len(post[3]) for post in POSTS))

    def test_a_database_with_posts_is_left_alone(self) -> None:
        store = self.store()
        store.create(PostFields("Mine", "A", "B"), NOW)
        self.assertFalse(seed(store, NOW, 100, 100))
        self.assertEqual(store.page(1).total, 1)

    def test_made_up_posts_are_the_same_everywhere(self) -> None:
        first, second = self.store(), self.store()
        for store in (first, second):
            seed(store, NOW, 50, 400)
        page = first.page(1)
        self.assertEqual((page.total, page), (50, second.page(1)))
        posts = [first.post(number) for number in range(1, 51)]
        self.assertEqual(sum(len(post.comments) for post in posts if post is not None), 400)

    def test_made_up_posts_could_have_been_written(self) -> None:

        store = self.store()
        seed(store, NOW, 30, 0)
        for number in range(1, 31):
            post = store.post(number)
            assert post is not None
            post_fields(msgspec.json.encode(PostFields(post.title, post.author, post.body)))
