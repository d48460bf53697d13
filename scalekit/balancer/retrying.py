"""
Whether a request may be sent once more: the rules, and a budget that keeps retries from becoming a second flood.

At most one retry, on another instance.  Not counted is the replay on a fresh connection of what met a close on a kept
one: nobody was asked twice.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from scalekit.http.heads import ResponseHead

#: The first instance, and one more.
MOST_ATTEMPTS = 2

#: RFC 9110 section 9.2.2: doing it twice is the same as doing it once.
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))

#: Each request earns so much of a retry: what is down for everybody gets a fifth more requests, not twice as many.
#: Finagle's default, and Envoy's budget_percent.
EARNED = 0.2
#: A service with little traffic may retry too.  A killed app server takes with it what is in flight, all at once: of
#: eight requests that come first of all, three retries lose five (`tests.scenarios.test_killed`).  Three is Envoy's
#: min_retry_concurrency, which counts those that are being retried at one moment, and not those of ten seconds.  Under
#: load it is nothing: at 1,000 requests/s ten seconds earn 2,000.
LEAST = 20.0
#: What was earned longer ago is gone, so that a quiet night pays for no storm in the morning; Finagle's.
KEPT_SECONDS = 10


class Refusal(StrEnum):
    """Why a request that has failed is not sent again; false where it may be."""

    NONE = ""
    METHOD = "method"  # doing it twice may be more than doing it once, and it may have been done
    BODY = "body"  # more has come than is kept
    ANSWER_BEGUN = "answer-begun"  # the client has some of the answer, or the app server has begun one
    TIMEOUT = "timeout"  # it has had its time
    UPGRADE = "upgrade"  # what may become a tunnel is sent once
    RETRY_AFTER = "retry-after"  # the app server says when
    ATTEMPTS = "attempts"  # it has been sent again already
    NOBODY_ELSE = "nobody-else"  # no other instance takes requests, or has room
    BUDGET = "budget"  # too much is being retried


def after_failure(
    method: bytes, is_kept: bool, is_certain: bool, has_answered: bool, is_timeout: bool, is_upgrade: bool
) -> Refusal:
    """
    Whether what got no answer may be sent once more, here or elsewhere.

    :param is_kept: whether all that has come of its body is there to be sent again.
    :param is_certain: whether it is certain that nothing was done: no connection, or HTTP/2 has said so.
    :param has_answered: whether a byte of an answer has come.
    """
    if not is_kept:
        return Refusal.BODY
    if is_certain:
        return Refusal.NONE
    if is_upgrade:
        return Refusal.UPGRADE
    if has_answered:
        return Refusal.ANSWER_BEGUN
    if is_timeout:
        return Refusal.TIMEOUT
    return Refusal.NONE if method in IDEMPOTENT else Refusal.METHOD


def after_answer(method: bytes, is_kept: bool, has_informed: bool, head: ResponseHead, is_upgrade: bool) -> Refusal:
    """
    Whether what was answered with 502, 503 or 504 may be sent once more.

    :param has_informed: whether the client has got an interim answer.
    """
    if method not in IDEMPOTENT:
        return Refusal.METHOD
    if not is_kept:
        return Refusal.BODY
    if is_upgrade:
        return Refusal.UPGRADE
    if has_informed:
        return Refusal.ANSWER_BEGUN
    if head.status == 504:
        return Refusal.TIMEOUT
    if head.status == 503 and head.get(b"retry-after") is not None:
        return Refusal.RETRY_AFTER
    return Refusal.NONE


class RetryBudget:
    """
    A bucket of retries.  It holds what the requests of the last ten seconds have earned, and `LEAST` in any case.

    :ivar requests: how many there were; whoever sends one adds 1.
    """

    __slots__ = ("_recent", "_seen", "_slices", "_tokens", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self._seen = 0
        self._tokens = LEAST
        self._slices: deque[tuple[int, int]] = deque()  # second, and how many requests came in it
        self._recent = 0

    def settle(self, now: float) -> None:
        """Take in what has come, and let go of what is old; called a few times a second."""
        fresh, self._seen = self.requests - self._seen, self.requests
        slices, second = self._slices, int(now)
        if fresh:
            self._recent += fresh
            if slices and slices[-1][0] == second:
                fresh_before = slices.pop()[1]
                slices.append((second, fresh_before + fresh))
            else:
                slices.append((second, fresh))
        while slices and slices[0][0] <= second - KEPT_SECONDS:
            self._recent -= slices.popleft()[1]
        self._tokens = min(self._tokens + EARNED * fresh, max(LEAST, EARNED * self._recent))

    def spend(self, now: float) -> bool:
        """Take one retry; whether there was one."""
        self.settle(now)
        # Of sums of 0.2, some are just below a whole number.
        if self._tokens < 1.0 - 1e-6:
            return False
        self._tokens -= 1.0
        return True

    def __repr__(self) -> str:
        return f"<RetryBudget {self._tokens:.1f} left after {self.requests} requests>"
