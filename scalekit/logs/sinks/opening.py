"""The sinks that a configuration names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from scalekit.config.model import LogSink
from scalekit.errors import ClientFault, ConfigurationFault
from scalekit.logs.collector import Collector
from scalekit.logs.otlp.forms import EXTRA, JSON, PROTOBUF, Form, form_of
from scalekit.logs.sinks.forwarder import Forwarder
from scalekit.logs.sinks.otlp import Fetches, OTLPDestination, Target
from scalekit.logs.threads import Lane

_PATH = "/v1/logs"


class Surroundings(NamedTuple):
    """
    What sinks take of their process.

    :ivar reactor: their clock; ``wall``: seconds since the epoch; ``random``: as `random.random`.
    :ivar make_id: a name that no other log has.
    :ivar make_lane: (name) -> a lane of its own.
    :ivar make_client: (path of a PEM file, None for the system's authorities) -> what asks.
    :ivar token_headers: (path of a token file) -> the fields that show it.
    """

    reactor: Any
    wall: Callable[[], float]
    random: Callable[[], float]
    make_id: Callable[[], str]
    make_lane: Callable[[str], Lane]
    make_client: Callable[[str | None], Fetches]
    token_headers: Callable[[str], Callable[[], dict[str, str]]]


def open_sinks(settings: Sequence[LogSink], collector: Collector, around: Surroundings) -> list[Forwarder]:
    """Those of ``[[logs.sink]]``, not yet started; raises `ConfigurationFault`."""
    return [_open(each, form, collector, around) for each, form in zip(settings, check_sinks(settings), strict=True)]


def check_sinks(settings: Sequence[LogSink]) -> list[Form]:
    """The form that each of them writes; raises `ConfigurationFault` if one cannot be opened."""
    return [_check(each, f"logs.sink[{index}]") for index, each in enumerate(settings)]


def _check(settings: LogSink, place: str) -> Form:
    if settings.ca and not os.access(settings.ca, os.R_OK):
        raise ConfigurationFault(f"{place}.ca: found {settings.ca}, expected a PEM file that can be read")
    try:
        return form_of(PROTOBUF if settings.encoding == "protobuf" else JSON)
    except ClientFault:
        needed = f"pip install '{EXTRA}', or \"json\""
        raise ConfigurationFault(f'{place}.encoding: found "protobuf", expected {needed}') from None


def _open(settings: LogSink, form: Form, collector: Collector, around: Surroundings) -> Forwarder:
    url = settings.url if settings.url.endswith(_PATH) else settings.url + _PATH
    token, fixed = around.token_headers(settings.token_file), dict(settings.headers)
    target = Target(url, lambda: {**fixed, **token()}, form, settings.compression, settings.timeout)
    client = around.make_client(settings.ca or None)
    return Forwarder(
        settings.name,
        OTLPDestination(client, target, around.wall),
        collector,
        around.make_lane(f"logs sink {settings.name}"),
        around.reactor,
        around.wall,
        around.random,
        around.make_id,
        settings.held,
    )
