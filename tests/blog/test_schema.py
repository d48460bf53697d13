"""Tests of `scalekit.blog.schema`."""

from __future__ import annotations

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog import schema


class MigrateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(self.connection.close)

    def version(self) -> int:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def test_a_new_database_is_brought_up_to_date_once(self) -> None:
        schema.migrate(self.connection)
        self.assertEqual(self.version(), len(schema.MIGRATIONS))
        schema.migrate(self.connection)
        self.assertEqual(self.connection.execute("SELECT revision FROM counter").fetchall(), [(0,)])

    def test_only_what_is_new_is_run(self) -> None:
        schema.migrate(self.connection)
        self.connection.execute("INSERT INTO posts VALUES (1, 't', 'a', 'b', 'c', 'u', 0)")
        self.patch(schema, "MIGRATIONS", [*schema.MIGRATIONS, "ALTER TABLE posts ADD COLUMN slug TEXT"])
        schema.migrate(self.connection)
        self.assertEqual(self.connection.execute("SELECT title, slug FROM posts").fetchall(), [("t", None)])

    def test_a_newer_database_is_left_alone(self) -> None:
        self.connection.execute("PRAGMA user_version = 99")
        error = self.assertRaises(ValueError, schema.migrate, self.connection)
        self.assertIn("99", str(error))
