"""
The tables of the data service, as a list of migrations.

`migrate` runs those that a database has not seen yet, each in one transaction; ``PRAGMA user_version`` counts them.
A published migration is never edited: a change is a new one at the end of the list.
"""

from __future__ import annotations

import sqlite3

MIGRATIONS = [
    # 1: posts and their comments.  `revision` is the value that the one counter had when the post last changed: it
    # makes the ETag of a post, and the counter itself makes the ETag of the list.
    """
    CREATE TABLE posts (
        id INTEGER PRIMARY KEY,
        title TEXT NOT NULL,
        author TEXT NOT NULL,
        body TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        revision INTEGER NOT NULL
    );
    CREATE INDEX posts_newest ON posts (created DESC, id DESC);
    CREATE TABLE comments (
        id INTEGER PRIMARY KEY,
        post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE CASCADE,
        author TEXT NOT NULL,
        body TEXT NOT NULL,
        created TEXT NOT NULL
    );
    CREATE INDEX comments_of_post ON comments (post_id, created);
    CREATE TABLE counter (revision INTEGER NOT NULL);
    INSERT INTO counter VALUES (0);
    """,
]


def migrate(connection: sqlite3.Connection) -> None:
    """
    Bring a database up to date; the connection must be in autocommit mode (``isolation_level=None``).

    Raises ValueError if the database was written by a newer version than this one, which must not touch it.
    """
    (seen,) = connection.execute("PRAGMA user_version").fetchone()
    if seen > len(MIGRATIONS):
        raise ValueError(f"its schema is version {seen}, this program knows versions up to {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[seen:], seen + 1):
        # `executescript` has no parameters, and PRAGMA takes none; the number is ours.
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
