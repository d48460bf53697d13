"""Tests of `scalekit.blog.pages`."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog import pages
from scalekit.blog.forms import Form
from scalekit.blog.seed import seed
from scalekit.blog.store import Comment, Count, Post, PostFields, PostList, Summary, open_store
from tests.blog.fakes import NOW

EVIL = "<script>alert('x')</script>\"&"
WHEN = "2023-11-14T22:13:20Z"
VOID = {"meta", "link", "input", "br"}


class Checker(HTMLParser):
    """Checks that every element is closed, and collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.text = ""
        self.feed(html)
        self.close()
        if self.open:
            raise AssertionError(f"not closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            raise AssertionError(f"closes {tag} in {self.open}")

    def handle_data(self, data: str) -> None:
        self.text += data


def post_of(text: str) -> Post:
    return Post(7, text, text, text, WHEN, WHEN, 3, [Comment(text, text, WHEN)])


def list_of(text: str, page: int = 1, number_of_pages: int = 1) -> PostList:
    return PostList(
        3, page, number_of_pages, 1, [Summary(7, text, text, WHEN, text, 2)], [Count(text, 2, 7)], [Count(text, 1)],
        [Count("2023-11", 1)],
    )  # fmt: skip


class PagesTests(SynchronousTestCase):
    def whole(self, main: str, title: str = "Title") -> Checker:
        return Checker(pages.page(title, main, pages.Answered("127.0.0.1:3001", "cache", 0.00123)).decode())

    def test_nothing_from_outside_becomes_markup(self) -> None:
        form = Form(PostFields(EVIL, EVIL, EVIL), 3)
        for main in (
            pages.list_fragment(list_of(EVIL)),
            pages.post_fragment(post_of(EVIL)),
            pages.form("Edit", "/posts/7", form, EVIL, PostFields(EVIL, EVIL, EVIL)),
            pages.sorry("Sorry", EVIL),
        ):
            page = self.whole(main, EVIL)
            self.assertNotIn("script", page.tags)
            self.assertIn(EVIL, page.text)

    def test_the_foot_says_who_answered_from_where_and_how_fast(self) -> None:
        text = " ".join(self.whole("").text.split())
        self.assertIn("Answered by 127.0.0.1:3001 from the cache in 1.2 ms", text)

    def test_the_form_brings_back_what_was_written(self) -> None:
        page = Checker(pages.form("Edit", "/posts/7", Form(PostFields(EVIL, "Ada", "\nfirst line empty"), 3)))
        self.assertEqual(page.attributes["value"], ["3", EVIL, "Ada"])
        self.assertIn("\n\nfirst line empty", page.text)

    def test_paragraphs_and_line_breaks(self) -> None:
        html = pages.post_fragment(Post(7, "T", "A", "one\ntwo\n\n\n\nthree", WHEN, WHEN, 3))
        self.assertIn("<p>one<br>\ntwo</p>\n<p>three</p>", html)
        self.assertNotIn("comments", html)

    def test_a_changed_post_says_so(self) -> None:
        post = msgspec.structs.replace(post_of("x"), updated="2023-12-01T00:00:00Z")
        self.assertIn("changed", pages.post_fragment(post))
        self.assertIn("1 December 2023", pages.post_fragment(post))

    def test_newer_and_older(self) -> None:
        def links(page: int) -> list[str]:
            found = Checker(pages.list_fragment(list_of("x", page, 3))).attributes
            return [link for link in found["href"] if "posts" not in link]

        self.assertEqual(links(1), ["/?page=2"])
        self.assertEqual(links(2), ["/", "/?page=3"])
        self.assertEqual(links(3), ["/?page=2"])

    def test_an_empty_list(self) -> None:
        page = self.whole(pages.list_fragment(PostList(0, 1, 1, 0, [], [], [], [])))
        self.assertIn("Write the first post.", page.text)

    def test_the_real_posts(self) -> None:
        store = open_store(":memory:")
        self.addCleanup(store.close)
        seed(store, NOW)
        self.whole(pages.list_fragment(store.page(1)))
        for number in range(1, 5):
            post = store.post(number)
            assert post is not None
            self.assertIn(post.title, self.whole(pages.post_fragment(post)).text)
