"""
OTLP over HTTP as a destination: batches as ExportLogsServiceRequest, and what its answers mean.

Of the answers 400, 413 and 422 are about the batch.  All others that are no success may be another one the next time,
also those that only a person can set right (401, 403, 404): the entries wait meanwhile.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

import zstandard
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import ConfigurationFault, UpstreamFault
from scalekit.interfaces import ILogDestination
from scalekit.logs.otlp.answers import read_response, read_status
from scalekit.logs.otlp.forms import Form
from scalekit.logs.otlp.mapping import record_of, resource_of
from scalekit.logs.sinks.backlog import Leaving
from scalekit.logs.sinks.outcomes import Delivered, Later, Outcome, Refused

_REFUSALS = (400, 413, 422)
_FAST = 1  # text of logs becomes a sixth; the best level makes it a ninth in ten times the time
_ZSTD_LEVEL = 1


class Answered(Protocol):
    """A whole answer."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    def get(self, name: str) -> str | None: ...


class Fetches(Protocol):
    """One request with one deadline: `scalekit.kit.client.Client`. Fails with `UpstreamFault`."""

    close: Callable[[], Any]

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Any]: ...


class Target(NamedTuple):
    """
    Where it goes, and how.

    :ivar url: all of it, with ``/v1/logs``.
    :ivar headers: further fields, asked for at each request; raises `ConfigurationFault`.
    :ivar coding: ``gzip``, ``zstd`` or ``none``.
    :ivar seconds: for a request and its whole answer.
    """

    url: str
    headers: Callable[[], dict[str, str]]
    form: Form
    coding: str
    seconds: float


@implementer(ILogDestination)
class OTLPDestination:
    """
    :param client: its connections are this destination's own.
    :param wall: seconds since the epoch, for dates in Retry-After.
    """

    def __init__(self, client: Fetches, target: Target, wall: Callable[[], float]) -> None:
        self._client = client
        self._target = target
        self._wall = wall

    def pack(self, entries: Sequence[tuple[str, Leaving]]) -> bytes:
        resources: dict[str, dict[str, Any]] = {}
        records = []
        for uid, (_, time, received, entry) in entries:
            source = entry.source
            resource = resources.get(source)
            if resource is None:
                resource = resources[source] = resource_of(source)
            records.append(record_of(time, received, entry, uid, resource))
        body = self._target.form.write(records)
        if self._target.coding == "gzip":
            packer = zlib.compressobj(_FAST, wbits=31)
            return packer.compress(body) + packer.flush()
        if self._target.coding == "zstd":
            return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(body)
        return body

    def send(self, packed: bytes) -> Deferred[Outcome]:
        target = self._target
        headers = {"Content-Type": target.form.media_type.decode()}
        if target.coding != "none":
            headers["Content-Encoding"] = target.coding
        try:
            headers |= target.headers()
        except ConfigurationFault as fault:
            return succeed(Later(str(fault)))
        asked = self._client.fetch("POST", target.url, seconds=target.seconds, headers=headers, body=packed)
        return asked.addCallbacks(self._understand, self._away)

    def _understand(self, answer: Answered) -> Outcome:
        kind = self._target.form.media_type
        if 200 <= answer.status < 300:
            told = read_response(kind, answer.body)
            return Delivered(max(0, told.number), told.text)
        if (answer.get("content-type") or "").partition(";")[0].strip().lower().encode() != kind:
            kind = b""  # whoever answers in between: its body is shown as it is
        text = f"{answer.status} {read_status(kind, answer.body)}".strip()
        if answer.status in _REFUSALS:
            return Refused(text)
        return Later(text, retry_after(answer.get("retry-after"), self._wall()))

    def _away(self, failure: Failure) -> Outcome:
        why = failure.value
        if isinstance(why, CancelledError):
            return Later("it was given up")
        return Later(why.detail if isinstance(why, UpstreamFault) else f"{type(why).__name__}: {why}")

    def close(self) -> Deferred[Any]:
        closed: Deferred[Any] = succeed(None).addCallback(lambda _: self._client.close())
        return closed

    def __repr__(self) -> str:
        return f"<OTLPDestination {self._target.url} in {self._target.form.media_type.decode()}>"


def retry_after(value: str | None, now: float) -> float:
    """
    Seconds that a Retry-After asks for (RFC 9110 section 10.2.3), a number or a date; 0.0 for none.

    :param now: seconds since the epoch.
    """
    if value is None:
        return 0.0
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
