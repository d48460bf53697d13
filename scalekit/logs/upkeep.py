"""
What is done to volumes when nobody waits for it: sealing those that are closing, and removing the oldest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.logger import Logger

from scalekit.logs.counts import Counts
from scalekit.logs.directory import Directory
from scalekit.logs.output import Output
from scalekit.logs.reading import manifests
from scalekit.logs.retention import Removal, Rules, plan_removals
from scalekit.logs.sealing import seal
from scalekit.logs.threads import Lane
from scalekit.logs.volumes import Manifest

# Late entries of the volume's last minutes still get into it; longer, and an hour's file would not be there for long.
GRACE_SECONDS = 60.0
# How often the volumes are looked at for what is to be removed.
RETENTION_SECONDS = 60.0

_log = Logger()
T = TypeVar("T")


class Upkeep:
    """
    See the module; `look` is called at every tick.

    :param output_lane: where ``output`` is written: what changes it runs there.
    :param lane: where files are read and written that nobody else touches.
    """

    def __init__(
        self,
        directory: Directory,
        output: Output,
        output_lane: Lane,
        lane: Lane,
        counts: Counts,
        rules: Rules,
        *,
        is_compressed: bool,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._directory = directory
        self._output = output
        self._output_lane = output_lane
        self._lane = lane
        self._counts = counts
        self._rules = rules
        self._is_compressed = is_compressed
        self._grace = grace_seconds
        self._closing = 0  # the number of the volume whose grace began at `_since`
        self._since = 0.0
        self._looked_at = float("-inf")
        self._busy: Deferred[None] | None = None

    def look(self, seconds: float, now: int, *, can_seal: bool = True) -> None:
        """
        Begin what is due.

        :param seconds: of a clock that is never set.
        :param now: nanoseconds since the epoch.
        :param can_seal: whether the disk takes anything; what is to be removed is, all the same.
        """
        if self._busy is not None:
            return
        checkpoint = self._output.checkpoint
        if checkpoint.closing is not None and can_seal:
            number = checkpoint.closing.extent.number
            if number != self._closing:
                self._closing, self._since = number, seconds
            # The next volume cannot end before this one is sealed.
            if seconds - self._since >= self._grace or checkpoint.volume.is_full(checkpoint.watermark):
                self._since = seconds
                self._begin(self._seal())
                return
        if seconds - self._looked_at >= RETENTION_SECONDS:
            self._looked_at = seconds
            self._begin(self._retain(now))

    def _begin(self, work: Deferred[Any]) -> None:
        if work.called:
            return
        busy: Deferred[None] = Deferred()
        self._busy = busy

        def end(_: object) -> None:
            self._busy = None
            busy.callback(None)

        work.addBoth(end)

    @inlineCallbacks
    def _seal(self) -> Generator[Deferred[Any], Any, None]:
        try:
            closing = yield self._output_lane.run(self._output.freeze)
            if closing is None:
                return
            manifest: Manifest = yield self._lane.run(
                lambda: seal(self._directory, closing.extent, closing.name, self._is_compressed)
            )
            yield self._output_lane.run(self._output.sealed)
        except Exception as error:
            _log.error("volume {number} cannot be sealed: {error}; later", number=self._closing, error=error)
            yield self._output_lane.run(self._output.thaw)
        else:
            self._counts.sealed += 1
            _log.info("{name} is sealed: {entries} entries", name=manifest.name, entries=manifest.entries)

    @inlineCallbacks
    def _retain(self, now: int) -> Generator[Deferred[Any], Any, None]:
        try:
            removals: Sequence[Removal] = yield self._lane.run(lambda: self._remove(now))
        except Exception as error:
            _log.error("old volumes cannot be removed: {error}; later", error=error)
            return
        for manifest, reason in removals:
            self._counts.expired[reason] += manifest.entries
            _log.info(
                "{name} is removed ({reason}): {entries} entries",
                name=manifest.name,
                reason=reason,
                entries=manifest.entries,
            )

    def _remove(self, now: int) -> list[Removal]:
        size = self._directory.size
        found = [
            replace(manifest, stored=manifest.stored + size(manifest.index)) for manifest in manifests(self._directory)
        ]
        removals = plan_removals(found, self._rules, now, self._directory.free())
        for manifest, _ in removals:
            # The manifest goes last: without it nobody would know that the others have to go.
            for name in reversed(manifest.files):
                with contextlib.suppress(FileNotFoundError):
                    self._directory.remove(name)
        return removals

    def at_leisure(self, call: Callable[[Directory], T]) -> Deferred[T]:
        """What the call returns; it runs where volumes are removed, so that none of them goes meanwhile."""
        return self._lane.run(lambda: call(self._directory))

    def idle(self) -> Deferred[None]:
        """Fires when nothing is under way."""
        if self._busy is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._busy.addCallback(lambda _: waiting.callback(None))
        return waiting

    def __repr__(self) -> str:
        return f"<Upkeep {'busy' if self._busy is not None else 'idle'}>"
