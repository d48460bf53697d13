"""
`Producing`: what ``twisted.web`` resources take for a consumer, of one exchange: their producers go at its pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.logger import Logger

from scalekit.errors import OurFault

_log = Logger()


class Producing:
    """
    Mix in before what the exchange tells to `pause` and to `resume` as its observer.

    :param cooperate: `twisted.internet.task.cooperate`, or another Cooperator's.
    """

    def __init__(self, cooperate: Any) -> None:
        self._cooperate = cooperate
        self._is_paused = False
        self._producer: Any = None

    def fail(self, fault: Any) -> None:
        """The producer has raised."""
        raise NotImplementedError

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{producer!r} registered before {self._producer!r} was unregistered")
        self._producer = producer if streaming else _Pull(producer, self, self._cooperate)
        if self._is_paused:
            self._producer.pauseProducing()

    def unregisterProducer(self) -> None:
        producer, self._producer = self._producer, None
        if isinstance(producer, _Pull):
            producer.stop()

    def pause(self) -> None:
        self._is_paused = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume(self) -> None:
        self._is_paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    def _stop_producing(self) -> None:
        """Nobody takes anything any more."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()


class _Pull:
    """Drives a pull producer: one `resumeProducing` a turn, for as long as there is room."""

    def __init__(self, producer: Any, consumer: Producing, cooperate: Any) -> None:
        self._producer = producer
        self._consumer = consumer
        self._is_over = False
        self._task = cooperate(self._produce())

    def _produce(self) -> Iterator[None]:
        while not self._is_over:
            try:
                self._producer.resumeProducing()
            except Exception:
                _log.failure("producing with {producer}", producer=self._producer)
                self._is_over = True
                self._consumer.fail(OurFault(500, "producer", "Something went wrong here."))
                return
            yield

    def pauseProducing(self) -> None:
        self._task.pause()

    def resumeProducing(self) -> None:
        self._task.resume()

    def stop(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._task.stop()

    def stopProducing(self) -> None:
        self.stop()
        self._producer.stopProducing()
