"""``twistd scalekit-blog``: a blog app server behind the balancer."""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import Any

from twisted.internet import reactor

from scalekit.blog.app import FORM_BYTES, Blog
from scalekit.blog.fragments import MAX_AGE_SECONDS, Build, Fragment, Fragments
from scalekit.blog.posts import ANSWER_SECONDS, Posts
from scalekit.config import Config
from scalekit.kit import cached
from scalekit.kit.cache import AsyncCache
from scalekit.kit.daemons import open_client, open_logging
from scalekit.kit.serving import app_server
from scalekit.kit.token_file import TokenFile
from scalekit.net.addresses import local_names
from scalekit.ops.certificates import add_certificate
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults
from scalekit.places import is_here
from scalekit.web.site import Site


class AppOptions(DaemonOptions):
    """The options of an application on the kit: environment variables stand in for its flags."""

    environ = os.environ
    optParameters = [
        ["logs", None, None, "URL of the log service; or SCALEKIT_LOGS."],
        ["logs-token-file", None, None, "What a log service elsewhere wants to see."],
        [
            "ca",
            None,
            None,
            "PEM file of the CA that our peers are checked with; or SCALEKIT_CA. Default: the local CA.",
        ],
    ]
    flag_keys = {
        "logs": "log_client.url",
        "logs-token-file": "log_client.token_file",
        "ca": "balancer.upstream_tls.ca",
    }
    variables: Mapping[str, str] = {"logs": "SCALEKIT_LOGS", "ca": "SCALEKIT_CA"}

    def postOptions(self) -> None:
        for flag, variable in self.variables.items():
            if self[flag] is None:
                self[flag] = self.environ.get(variable) or None
        super().postOptions()


class Options(AppOptions):
    daemon = "scalekit-blog"
    sections = ("blog",)
    optParameters = [
        ["balancer", None, None, "URL of the balancer's registration port; or SCALEKIT_BALANCER."],
        ["service", None, None, "The service to register as; or SCALEKIT_SERVICE."],
        ["cache", None, None, "URL of the cache service; or SCALEKIT_CACHE."],
        ["data", None, None, "URL of the data service; or SCALEKIT_DATA."],
        ["token-file", None, None, "What a balancer or a cache elsewhere wants to see; or SCALEKIT_TOKEN_FILE."],
    ]
    flag_keys = {
        **AppOptions.flag_keys,
        **{name: f"blog.{name}" for name in ("balancer", "service", "cache", "data")},
        "token-file": "blog.token_file",
    }
    variables = {
        **AppOptions.variables,
        **{name: f"SCALEKIT_{name.upper()}" for name in ("balancer", "service", "cache", "data")},
        "token-file": "SCALEKIT_TOKEN_FILE",
    }


@explained_faults()
def makeService(options: Options) -> DrainingService:
    settings = options.settings
    daemon = DrainingService(options, reactor)
    first = settings.blog.listen[0]
    client = open_client(settings, reactor)
    sink = open_logging(settings, f"blog:{first.port or first.path}", daemon, _clock)
    posts = Posts(settings.blog.data, client)
    token = TokenFile(settings.blog.token_file if is_shown(settings, settings.blog.cache) else "", None)
    token.headers()  # what is wrong with the file is told at the start
    cache = AsyncCache(settings.blog.cache, client, _clock, token.headers)
    reactor.callWhenRunning(cache.warm_up)
    fragments = Fragments(kept_in(cache), lambda tags: cache.purge(tags=tags), _clock)

    def name() -> str:
        """Host and port, as bound."""
        host = f"[{first.host}]" if ":" in first.host else first.host
        return f"{host}:{server.port}" if host else first.path

    server = app_server(
        Site(Blog(posts, fragments, sink, _clock, name), limit=FORM_BYTES, parse_forms=False),
        settings.blog.listen,
        client=client,
        reactor=reactor,
        wall=time.time,
        random=random.random,
        tls=add_certificate(daemon, options, local_names(socket.gethostname()), _clock, time.time),
        balancer=settings.blog.balancer,
        service=settings.blog.service,
        token_file=settings.blog.token_file if is_shown(settings, settings.blog.balancer) else "",
        host_name=socket.gethostname(),
    )
    server.setServiceParent(daemon)
    daemon.on_drain(server.drain)
    daemon.on_drain(lambda is_hurried: fragments.stop())
    return daemon


def is_shown(settings: Config, url: str) -> bool:
    """Whether a token is shown there: on this machine none is wanted, and a wrong one is refused."""
    return bool(settings.blog.token_file) and not is_here(url)


def kept_in(cache: AsyncCache) -> Callable[[str, str, Build], Awaitable[Fragment]]:
    """
    (path, tag, build) -> the piece: from this cache, or made, by one app server at a time.

    Whoever waits for another does so for as long as the data service may take to answer.
    """

    @cached(
        cache,
        max_age=MAX_AGE_SECONDS,
        key=lambda path, tag, build: path,
        tags=lambda path, tag, build: [tag],
        type=Fragment,
        wait_seconds=ceil(ANSWER_SECONDS),
    )
    async def kept(path: str, tag: str, build: Build) -> Fragment:
        return await build()

    return kept


_clock: Any = reactor
