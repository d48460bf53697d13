"""
Posts and comments in SQLite: every query of the data service, and nothing else.

A `Store` is used by one thread at a time; `scalekit.blog.data` sees to that.  Times come in as seconds since the epoch
and are kept and given back as RFC 3339 text in UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from scalekit.blog.schema import migrate

PAGE_SIZE = 25  # posts on a page of the list: two or three screens
EXCERPT_LENGTH = 280  # characters: three lines on a wide screen


class PostFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may write of a post."""

    title: str
    author: str
    body: str


class Comment(msgspec.Struct, frozen=True):
    author: str
    body: str
    created: str


class Post(msgspec.Struct, frozen=True):
    """A whole post with its comments, oldest first."""

    id: int
    title: str
    author: str
    body: str
    created: str
    updated: str
    revision: int
    comments: list[Comment] = []


class Summary(msgspec.Struct, frozen=True):
    """A post as the list shows it."""

    id: int
    title: str
    author: str
    created: str
    excerpt: str
    comments: int


class Count(msgspec.Struct, frozen=True):
    """A line of a side bar: the id and title of a post, the name of a reader, or a month, and how many."""

    name: str
    count: int
    id: int = 0


class PostList(msgspec.Struct, frozen=True):
    """One page of the list, newest posts first, and the counts over all posts that stand beside it."""

    revision: int
    page: int
    pages: int
    total: int
    posts: list[Summary]
    discussed: list[Count]
    readers: list[Count]
    months: list[Count]


class Conflict(Exception):
    """The post has changed since the revision that the writer saw."""


def open_store(path: str) -> Store:
    """Open (or make) the database; raises sqlite3.Error, OSError or ValueError if it cannot be used."""
    # Used by one thread at a time, but opened by another: the check of sqlite3 is switched off.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a power cut may cost the last writes, no more
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return Store(connection)


def rfc3339(now: float) -> str:
    """Seconds since the epoch as ``2006-01-02T15:04:05Z``."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """The queries; see the module."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        self._connection.close()

    def is_empty(self) -> bool:
        return bool(self._one("SELECT NOT EXISTS (SELECT 1 FROM posts)")[0])

    def list_revision(self) -> int:
        """Rises with every write; the list is unchanged while it is."""
        revision: int = self._one("SELECT revision FROM counter")[0]
        return revision

    def post_revision(self, post_id: int) -> int | None:
        """None if there is no such post."""
        row = self._connection.execute("SELECT revision FROM posts WHERE id = ?", (post_id,)).fetchone()
        return None if row is None else row[0]

    def page(self, number: int) -> PostList:
        """Page ``number`` (from 1) of the list; empty beyond the last."""
        revision = self.list_revision()  # first: a revision may be older than what it stands for, never newer
        (total,) = self._one("SELECT count(*) FROM posts")
        posts = self._connection.execute(
            "SELECT id, title, author, created, substr(body, 1, ?), "
            "(SELECT count(*) FROM comments WHERE post_id = posts.id) "
            "FROM posts ORDER BY created DESC, id DESC LIMIT ? OFFSET ?",
            (EXCERPT_LENGTH + 1, PAGE_SIZE, (number - 1) * PAGE_SIZE),
        )
        summaries = [Summary(row[0], row[1], row[2], row[3], excerpt(row[4]), row[5]) for row in posts]
        discussed = self._connection.execute(
            "SELECT title, n, id FROM (SELECT post_id, count(*) AS n FROM comments GROUP BY post_id) "
            "JOIN posts ON posts.id = post_id ORDER BY n DESC, id DESC LIMIT 8"
        )
        readers = self._connection.execute(
            "SELECT author, count(*) AS n FROM comments GROUP BY author ORDER BY n DESC, author LIMIT 8"
        )
        months = self._connection.execute(
            "SELECT substr(created, 1, 7) AS month, count(*) FROM posts GROUP BY month ORDER BY month DESC LIMIT 12"
        )
        return PostList(
            revision=revision,
            page=number,
            pages=max(1, -(-total // PAGE_SIZE)),
            total=total,
            posts=summaries,
            discussed=[Count(*row) for row in discussed],
            readers=[Count(*row) for row in readers],
            months=[Count(*row) for row in months],
        )

    def post(self, post_id: int) -> Post | None:
        """A post with its comments; None if there is no such post."""
        row = self._connection.execute(
            "SELECT id, title, author, body, created, updated, revision FROM posts WHERE id = ?", (post_id,)
        ).fetchone()
        if row is None:
            return None
        comments = self._connection.execute(
            "SELECT author, body, created FROM comments WHERE post_id = ? ORDER BY created, id", (post_id,)
        )
        values = [*row, [Comment(*comment) for comment in comments]]
        return Post(*values)

    def create(self, fields: PostFields, now: float) -> Post:
        """Write a new post and return it."""
        with self._connection:
            revision = self._begin()
            cursor = self._connection.execute(
                "INSERT INTO posts (title, author, body, created, updated, revision) VALUES (?, ?, ?, ?, ?, ?)",
                (fields.title, fields.author, fields.body, rfc3339(now), rfc3339(now), revision),
            )
            assert cursor.lastrowid is not None
            post = self.post(cursor.lastrowid)
        assert post is not None
        return post

    def update(self, post_id: int, fields: PostFields, now: float, seen_revision: int | None = None) -> Post | None:
        """
        Replace a post and return it; None if there is no such post.

        :param seen_revision: raises `Conflict` if the post is not at this revision any more; None: write anyway.
        """
        with self._connection:
            revision = self._begin()
            present = self.post_revision(post_id)
            if present is None:
                return None
            if seen_revision is not None and seen_revision != present:
                raise Conflict
            self._connection.execute(
                "UPDATE posts SET title = ?, author = ?, body = ?, updated = ?, revision = ? WHERE id = ?",
                (fields.title, fields.author, fields.body, rfc3339(now), revision, post_id),
            )
            return self.post(post_id)

    def fill(self, posts: Iterable[tuple[PostFields, float]], comments: Iterable[tuple[int, str, str, float]]) -> None:
        """
        Write many posts and comments at once, as a seed.

        :param posts: (fields, time); they are numbered from 1 in an empty database.
        :param comments: (post id, author, body, time).
        """
        with self._connection:
            revision = self._begin()
            self._connection.executemany(
                "INSERT INTO posts (title, author, body, created, updated, revision) VALUES (?, ?, ?, ?, ?, ?)",
                ((p.title, p.author, p.body, rfc3339(at), rfc3339(at), revision) for p, at in posts),
            )
            self._connection.executemany(
                "INSERT INTO comments (post_id, author, body, created) VALUES (?, ?, ?, ?)",
                ((post_id, author, body, rfc3339(at)) for post_id, author, body, at in comments),
            )
        self._connection.execute("ANALYZE")

    def _begin(self) -> int:
        """Begin a transaction (``with self._connection`` ends it) that bumps the counter; its new value."""
        self._connection.execute("BEGIN IMMEDIATE")
        revision: int = self._one("UPDATE counter SET revision = revision + 1 RETURNING revision")[0]
        return revision

    def _one(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        return self._connection.execute(query, parameters).fetchone()


def excerpt(text: str) -> str:
    """The beginning of a text as one line, cut between words."""
    line = " ".join(text.split())
    if len(text) <= EXCERPT_LENGTH:
        return line
    cut = line[:EXCERPT_LENGTH]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(".,;:") + " …"
