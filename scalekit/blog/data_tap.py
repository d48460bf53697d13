"""``twistd scalekit-data``: the blog's data service."""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import secrets
import socket
import time
from typing import Any

from twisted.internet import reactor
from twisted.python import usage

from scalekit.blog.data import BODY_LIMIT, Database, DataResource, entry_of
from scalekit.blog.seed import seed
from scalekit.blog.tap import AppOptions
from scalekit.kit.daemons import open_logging
from scalekit.net.addresses import local_names
from scalekit.ops.certificates import add_certificate
from scalekit.ops.daemon import DrainingService, explained_faults
from scalekit.ops.serving import add_private_listener


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 1_000_000:
        raise ValueError("expected a number up to 1,000,000")
    return int(text)


class Options(AppOptions):
    daemon = "scalekit-data"
    sections = ("data",)
    optParameters = [
        ["database", None, None, "The SQLite file; made with a few posts on first start."],
        ["seed-posts", None, 0, "Fill a new database with so many made-up posts instead, for a benchmark.", _count],
        ["seed-comments", None, 0, "And with so many made-up comments.", _count],
    ]
    flag_keys = AppOptions.flag_keys | {"database": "data.database"}

    def postOptions(self) -> None:
        if self["seed-comments"] and not self["seed-posts"]:
            raise usage.UsageError("--seed-comments needs --seed-posts: comments are on posts")
        super().postOptions()


@explained_faults()
def makeService(options: Options) -> DrainingService:
    settings = options.settings
    daemon = DrainingService(options, reactor)
    clock: Any = reactor
    sink = open_logging(settings, "data", daemon, clock)
    posts, comments = options["seed-posts"], options["seed-comments"]
    database = Database(clock, settings.data.database, lambda store: seed(store, time.time(), posts, comments))
    database.setServiceParent(daemon)

    def note(exchange: Any, seconds: float) -> None:
        if exchange.head.normal_path != b"/ping":
            level, message, fields = entry_of(exchange, seconds)
            sink.log(level, message, fields=fields)

    names = local_names(socket.gethostname())
    add_private_listener(
        daemon,
        settings,
        "data",
        DataResource(database, time.time),
        names=names,
        certificate=add_certificate(daemon, options, names, clock, time.time),
        reactor=clock,
        wall=time.time,
        request_name=secrets.token_hex(4).encode(),
        body_limit=BODY_LIMIT,
        outcomes=note,
    )
    return daemon
