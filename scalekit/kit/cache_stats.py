"""The counters of a cache service elsewhere, asked for when somebody looks and not in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from scalekit.errors import ConfigurationFault
from scalekit.kit.client import Answer, Client, why_unreachable

# A page with these is made anew every two seconds.
FRESH_SECONDS = 1.5
# Nobody waits: the page has what is known already.
ANSWER_SECONDS = 2.0
# What was told so long ago, because nobody looked, is not told as if it were so now.
OLD_SECONDS = 10.0


class CacheStats:
    """
    :param url: of the cache service.
    :param headers: the fields that show a token to a cache on another machine.
    """

    def __init__(self, url: str, client: Client, clock: IReactorTime, headers: Callable[[], dict[str, str]]) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._clock = clock
        self._headers = headers
        self._known: dict[str, Any] | str = "Asking."
        self._known_at = self._asked_at = float("-inf")
        self._is_asking = False

    def __call__(self) -> dict[str, Any] | str:
        """What is known, and begin to ask if that is not of just now: its ``/v1/stats``, or why there is nothing."""
        now = self._clock.seconds()
        if not self._is_asking and now - self._asked_at >= FRESH_SECONDS:
            self._asked_at = now
            self._ask()
        return self._known if now - self._known_at < OLD_SECONDS else "Asking."

    def _ask(self) -> None:
        try:
            headers = self._headers()
        except ConfigurationFault as fault:
            self._learn(str(fault))
            return
        self._is_asking = True

        def told(answer: Answer) -> None:
            if answer.status != 200:
                self._learn(f"The cache at {self._url} answers {answer.status}.")
                return
            try:
                stats = json.loads(answer.body)
            except ValueError:
                stats = None
            is_ours = isinstance(stats, dict) and "hottest" in stats
            self._learn(stats if is_ours else f"What answers at {self._url} is no cache of ours.")

        def away(failure: Failure) -> None:
            self._learn(f"The cache does not answer: {why_unreachable(failure)}.")

        def ended(result: object) -> object:
            self._is_asking = False
            return result

        asked = self._client.fetch("GET", f"{self._url}/v1/stats", seconds=ANSWER_SECONDS, headers=headers)
        asked.addCallbacks(told, away).addBoth(ended)

    def _learn(self, known: dict[str, Any] | str) -> None:
        self._known = known
        self._known_at = self._clock.seconds()

    def __repr__(self) -> str:
        return f"<CacheStats of {self._url}>"
