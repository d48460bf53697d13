"""The counters of a service, asked for when somebody looks and not in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import ConfigurationFault, Fault
from scalekit.kit.client import Answer, Client, why_unreachable

# A page with these is made anew every two seconds.
FRESH_SECONDS = 1.5
# Nobody waits: the page has what is known already.
ANSWER_SECONDS = 2.0
# What was told so long ago, because nobody looked, is not told as if it were so now.
OLD_SECONDS = 10.0

_log = Logger()


class NoFigures(Exception):
    """A service tells none: why, in a sentence."""


class LatestFigures:
    """
    :param ask: brings them; what it raises is why there are none.
    """

    def __init__(self, ask: Callable[[], Deferred[dict[str, Any]]], clock: IReactorTime) -> None:
        self._begin = ask
        self._clock = clock
        self._known: dict[str, Any] | str = "Asking."
        self._known_at = self._asked_at = float("-inf")
        self._is_asking = False

    def __call__(self) -> dict[str, Any] | str:
        """What is known, or why there is nothing, in words; begins to ask if that is not of just now."""
        now = self._clock.seconds()
        if not self._is_asking and now - self._asked_at >= FRESH_SECONDS:
            self._asked_at = now
            self._is_asking = True
            maybeDeferred(self._begin).addErrback(_why).addCallback(self._learn)
        return self._known if now - self._known_at < OLD_SECONDS else "Asking."

    def _learn(self, known: dict[str, Any] | str) -> None:
        self._is_asking = False
        self._known = known
        self._known_at = self._clock.seconds()

    def __repr__(self) -> str:
        return f"<LatestFigures {'asking' if self._is_asking else 'at rest'}>"


def _why(failure: Failure) -> str:
    fault = failure.value
    if isinstance(fault, Fault):
        return fault.detail
    if isinstance(fault, ConfigurationFault | NoFigures):
        return str(fault)
    _log.failure("asking for the figures of a service", failure)
    return "Something went wrong here."


class ServiceFigures:
    """
    The ``/v1/stats`` of a service elsewhere.

    :param name: what it is, such as ``cache``.
    :param url: where it is.
    :param mark: what its figures have and those of other services have not.
    :param headers: the fields that show a token to a service on another machine; raises `ConfigurationFault`.
    """

    def __init__(self, name: str, url: str, mark: str, client: Client, headers: Callable[[], dict[str, str]]) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._mark = mark
        self._client = client
        self._headers = headers

    def __call__(self) -> Deferred[dict[str, Any]]:
        """Ask once; fails with `NoFigures`."""
        asked = self._client.fetch("GET", f"{self._url}/v1/stats", seconds=ANSWER_SECONDS, headers=self._headers())
        told: Deferred[dict[str, Any]] = asked.addCallbacks(self._told, self._away)
        return told

    def _told(self, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            raise NoFigures(f"The {self._name} at {self._url} answers {answer.status}.")
        try:
            figures = json.loads(answer.body)
        except ValueError:
            figures = None
        if not isinstance(figures, dict) or self._mark not in figures:
            raise NoFigures(f"What answers at {self._url} is no {self._name} of ours.")
        return figures

    def _away(self, failure: Failure) -> Deferred[dict[str, Any]]:
        return fail(NoFigures(f"The {self._name} does not answer: {why_unreachable(failure)}."))

    def __repr__(self) -> str:
        return f"<ServiceFigures of the {self._name} at {self._url}>"
