"""Tests of `scalekit.blog.store`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog.store import PAGE_SIZE, Conflict, Count, PostFields, excerpt, open_store
from tests.blog.fakes import NOW

FIELDS = PostFields("Title", "Author", "Body")


class StoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = open_store(":memory:")
        self.addCleanup(self.store.close)

    def test_create_and_read(self) -> None:
        self.assertTrue(self.store.is_empty())
        post = self.store.create(FIELDS, NOW)
        self.assertEqual(post, self.store.post(post.id))
        self.assertEqual((post.title, post.created, post.updated), ("Title", "2023-11-14T22:13:20Z", post.created))
        self.assertFalse(self.store.is_empty())
        self.assertIsNone(self.store.post(99))

    def test_update(self) -> None:
        post = self.store.create(FIELDS, NOW)
        changed = self.store.update(post.id, PostFields("New", "A", "B"), NOW + 60, post.revision)
        assert changed is not None
        self.assertEqual((changed.title, changed.created), ("New", post.created))
        self.assertEqual(changed.updated, "2023-11-14T22:14:20Z")
        self.assertGreater(changed.revision, post.revision)
        self.assertIsNone(self.store.update(99, FIELDS, NOW))

    def test_an_update_of_what_has_changed_is_a_conflict_and_changes_nothing(self) -> None:
        post = self.store.create(FIELDS, NOW)
        self.store.update(post.id, PostFields("New", "A", "B"), NOW, post.revision)
        before = self.store.list_revision()
        self.assertRaises(Conflict, self.store.update, post.id, FIELDS, NOW, post.revision)
        self.assertEqual(self.store.list_revision(), before)
        found = self.store.post(post.id)
        assert found is not None
        self.assertEqual(found.title, "New")

    def test_every_write_raises_the_revision_of_the_list_and_of_its_post_alone(self) -> None:
        first, second = self.store.create(FIELDS, NOW), self.store.create(FIELDS, NOW)
        before = self.store.list_revision()
        self.store.update(second.id, FIELDS, NOW)
        self.assertEqual(self.store.list_revision(), before + 1)
        self.assertEqual(self.store.post_revision(first.id), first.revision)
        self.assertEqual(self.store.post_revision(second.id), before + 1)
        self.assertIsNone(self.store.post_revision(99))

    def test_pages_newest_first(self) -> None:
        self.store.fill([(PostFields(f"Post {number}", "A", "B"), NOW + number) for number in range(PAGE_SIZE + 2)], [])
        first, second, third = (self.store.page(number) for number in (1, 2, 3))
        self.assertEqual((first.total, first.pages, len(first.posts)), (PAGE_SIZE + 2, 2, PAGE_SIZE))
        self.assertEqual(first.posts[0].title, f"Post {PAGE_SIZE + 1}")
        self.assertEqual([post.title for post in second.posts], ["Post 1", "Post 0"])
        self.assertEqual(third.posts, [])

    def test_counts_beside_the_list(self) -> None:
        self.store.fill(
            [(FIELDS, NOW), (FIELDS, NOW + 40 * 86400)],
            [(1, "Ada", "x", NOW), (1, "Bo", "x", NOW), (2, "Ada", "x", NOW)],
        )
        page = self.store.page(1)
        self.assertEqual(page.discussed, [Count("Title", 2, 1), Count("Title", 1, 2)])
        self.assertEqual(page.readers, [Count("Ada", 2), Count("Bo", 1)])
        self.assertEqual(page.months, [Count("2023-12", 1), Count("2023-11", 1)])
        self.assertEqual([post.comments for post in page.posts], [1, 2])

    def test_comments_oldest_first(self) -> None:
        self.store.fill([(FIELDS, NOW)], [(1, "Late", "x", NOW + 9), (1, "Early", "x", NOW + 1)])
        post = self.store.post(1)
        assert post is not None
        self.assertEqual([comment.author for comment in post.comments], ["Early", "Late"])

    def test_it_survives_being_closed(self) -> None:
        path = self.mktemp()
        store = open_store(path)
        store.create(FIELDS, NOW)
        store.close()
        store = open_store(path)
        self.addCleanup(store.close)
        self.assertFalse(store.is_empty())


class ExcerptTests(SynchronousTestCase):
    def test_short_text_is_one_line(self) -> None:
        self.assertEqual(excerpt("one\n\ntwo  three"), "one two three")

    def test_long_text_is_cut_between_words(self) -> None:
        cut = excerpt("word, " * 100)
        self.assertLessEqual(len(cut), 282)
        self.assertTrue(cut.endswith("word …"), cut)

    def test_one_long_word_is_cut_anywhere(self) -> None:
        self.assertEqual(excerpt("x" * 281), "x" * 280 + " …")
