"""``scalekit cache``, with a cache of its own."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from scalekit.ops.cli.caching import stats_lines
from tests.ops.cli.commands import CommandCase, Done
from tests.ports import free_ports
from tests.scenarios.running import Daemon


class WithCacheCase(CommandCase):
    toml = ""

    def setUp(self) -> None:
        super().setUp()
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        config = self.folder / "scalekit.toml"
        config.write_text(self.toml)
        where = ("--listen", self.url, "--state-directory", str(self.state), "--config", str(config))
        self.daemon = Daemon(self.folder / "cache", "scalekit-cache", *where)
        self.addCleanup(self.daemon.clean_up)
        self.daemon.wait_for("listening on http")

    def command(self, *arguments: str) -> Done:
        return self.run_command("cache", *arguments, "--cache", self.url)


class WithCacheTests(WithCacheCase):
    def test_all(self) -> None:
        file = Path(self.folder, "value")
        file.write_bytes(b"<p>\xc3\xa9</p>\n")
        key = "/posts/1?a=b&c=é"
        store = ("put", key, str(file), "--max-age", "60", "--if-error", "9", "--while-revalidating", "5")
        self.assertEqual(self.command(*store, "--tag", 'a "b"')[:2], (0, "stored: 10 bytes\n"))
        self.assertEqual(self.command(*store).stdout, "replaced: 10 bytes\n")
        self.assertEqual(self.command("get", key)[:2], (0, "<p>é</p>\n"))
        told = json.loads(self.command("stats", "--json").stdout)
        self.assertEqual((told["hits"], told["replaced"], told["entries"]), (1, 1, 1))
        for text in ("100.0% of 1 look-ups", "268,435,456", "by something newer"):
            self.assertIn(text, self.command("stats").stdout)
        self.assertIn(f"100.0%   {key}", self.command("top", "-n", "1").stdout)
        self.assertEqual(json.loads(self.command("top", "--json").stdout), [{"key": key, "share": 1.0}])
        said = "purged; it was the cache's purge number 1\n"
        self.assertEqual(self.command("purge", "--prefix", "/posts", "--soft")[:2], (0, said))
        self.assertEqual(self.command("purge", "--tag", "a", "--all").status, 0)
        for arguments, text in (
            (("get", key), "404: There is nothing under this key."),
            (("purge",), "400: There is nothing to purge"),
            (("put", key, str(file), "--max-age", "60", "--tag", "é"), "400: "),
            (("put", key, str(file)), "400: "),
        ):
            done = self.command(*arguments)
            self.assertEqual((done.status, done.stdout), (1, ""), done)
            self.assertTrue(done.stderr.startswith(f"scalekit: {self.url}: {text}"), done.stderr)


class WithoutRedisTests(WithCacheCase):
    # Port 1 (tcpmux) is nobody's.
    toml = '[cache]\ndefault_max_age = "1h"\n[redis]\nurl = "redis://127.0.0.1:1"\n'

    def test_what_others_are_told_later(self) -> None:
        file = Path(self.folder, "value")
        file.write_bytes(b"value")
        self.assertEqual(self.command("put", "/a", str(file))[:2], (0, "stored: 5 bytes\n"))
        said = "purged here, other caches hear of it once Redis is back; it was the cache's purge number 1\n"
        self.assertEqual(self.command("purge", "--all")[:2], (0, said))


class RefusalTests(CommandCase):
    def test_no_url(self) -> None:
        said = self.refused("cache", "top", "--cache", "ftp://a")
        self.assertIn("expected a URL such as https://127.0.0.1:5000", said)


class LinesTests(CommandCase):
    def test_before_anything_was_asked(self) -> None:
        names = "hits misses stale bytes entries tags stored refused voided evicted expired invalidated purges"
        names += " replaced fills reserved_bytes leases waiting"
        (rows,) = stats_lines(dict.fromkeys(names.split(), 0) | {"max_bytes": 1})
        text = io.StringIO()
        Console(file=text, width=200).print(rows)
        self.assertIn(" - of 0 look-ups, 0 of them stale", text.getvalue())
