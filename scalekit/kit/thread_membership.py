"""
A `Membership` for servers that have no Twisted reactor: the same rhythm, kept by a thread of its own.

Several worker processes share one port.  Each registers it: the registration is the same for all, its generation too,
so nobody has to be chosen, and nothing is missed when the chosen one dies; it costs one small request per worker and
five seconds.  Once it is drained with that generation, by the last of them that leave or by an operator, none brings
it back.
"""

from __future__ import annotations

import http.client
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from math import inf

from scalekit.errors import ConfigurationFault
from scalekit.kit.registration import AGAIN_SECONDS, Ask, Left, Registration, doubt_in, refusal_in, secret_in
from scalekit.kit.rhythm import Rhythm
from scalekit.kit.siblings import Siblings

# How often the port is tried until it answers: the server listens some milliseconds after the application is loaded.
POLL_SECONDS = 0.1
ANSWER_SECONDS = 2.0
# Without an answer for so long somebody is told: it may be the wrong port, or an application that takes its time.
UNANSWERED_SECONDS = 30.0
# Above the wait that is asked for: the balancer's own deadline must come first, and its answer must get here.
DRAIN_GRACE_SECONDS = 5.0
# After what nobody has thought of: often enough to be seen, and not a log full of it.
UNEXPECTED_SECONDS = 10.0

_log = logging.getLogger("scalekit.kit")


class ThreadMembership:
    """
    :param ask: sends a request with these fields, in so many seconds; as `scalekit.kit.asking.fetch`.
    :param is_answering: whether the port answers.
    :param headers: the fields that show a token, as `TokenFile.headers`.
    :param now: as `time.monotonic`.
    :param random: as `random.random`.
    :param sleep: as `time.sleep`.
    :param siblings: the other workers; None: there are none.

    :ivar registration: what is said; may be changed until the start.
    :ivar secret: for answering the challenges of a balancer elsewhere (`response_to`); empty: there are none.
    :ivar is_leaving: whether it leaves, and nobody serves on; ``/ping`` says so.
    """

    def __init__(
        self,
        registration: Registration,
        *,
        ask: Callable[[Ask, Mapping[str, str], float], tuple[int, bytes]],
        is_answering: Callable[[], bool],
        headers: Callable[[], dict[str, str]],
        now: Callable[[], float],
        random: Callable[[], float],
        sleep: Callable[[float], object],
        siblings: Siblings | None = None,
    ) -> None:
        self.registration = registration
        self._ask = ask
        self._is_answering = is_answering
        self._headers = headers
        self._now = now
        self._sleep = sleep
        self._siblings = siblings
        self._rhythm = Rhythm(random)
        # Its put() may be called in a signal's function, whatever was interrupted; an Event's set() may not.
        self._mail: queue.SimpleQueue[tuple[float, Callable[[], object]]] = queue.SimpleQueue()
        self._has_asked = False
        self._is_known = False
        self._has_been_known = False
        self._doubt = ""  # what was told last
        self._unanswered_at: float | None = None  # when that is to be told; None: nothing was tried yet
        self.secret = ""
        self.is_leaving = False

    def start(self) -> None:
        """Register once the port answers, and from now on."""
        if self._siblings is not None:
            self._siblings.stay()
        threading.Thread(target=self.live, name="scalekit membership", daemon=True).start()

    def leave(self, drain_seconds: float, then: Callable[[], object]) -> None:
        """
        Leave the balancer, if nobody else serves the port; signal functions may call this.

        :param drain_seconds: how long what is in flight may take; 0: it is not waited for.
        :param then: called in the membership's thread, when the balancer has said that nothing is in flight, or could
            not be asked, or the time is over.
        """
        self._mail.put((drain_seconds, then))

    def live(self) -> None:
        """What the thread does; whatever happens, whoever waits for our leaving is told in the end."""
        seconds: float | None = 0.0
        while True:
            try:
                drain_seconds, then = self._mail.get(timeout=seconds)
                break
            except queue.Empty:
                try:
                    seconds = self.step()
                except Exception:
                    _log.exception("registering with the balancer at %s", self.registration.balancer)
                    seconds = UNEXPECTED_SECONDS
        try:
            self._leave(drain_seconds)
        except Exception:
            _log.exception("leaving the balancer at %s", self.registration.balancer)
        while True:  # whoever says it again is told at once
            then()
            _, then = self._mail.get()

    def step(self) -> float | None:
        """Do what is to be done now; seconds until the next step, None if we are out, see `scalekit.kit.membership`."""
        if not self._has_asked and not self._is_answering():
            self._tell_unanswered()
            return POLL_SECONDS
        self._has_asked = True
        is_renewal = self._is_known
        ask = self.registration.renew() if is_renewal else self.registration.register()
        try:
            status, body = self._ask(ask, self._headers(), ANSWER_SECONDS)
        except (OSError, http.client.HTTPException, ConfigurationFault) as why:
            return self._failed(str(why))
        if status >= 300:
            self._is_known = False
            if is_renewal and status == 404:  # it was restarted, and remembers nothing
                return 0.0
            cause = refusal_in(status, body)
            if status == 409 and self._has_been_known:
                self._rhythm.is_registered = False
                _log.warning("the balancer has taken us out, and so we stay until the next start: %s", cause)
                return None
            return self._failed(cause, status)
        self._is_known = self._has_been_known = True
        if not is_renewal:
            self.secret = secret_in(body)
            _log.info("registered with the balancer: %s", self.registration)
            doubt = doubt_in(body, self.registration.service)
            if doubt and doubt != self._doubt:
                _log.warning("the balancer has registered us, but %s", doubt)
                self._doubt = doubt
        return self._rhythm.succeeded()

    def _tell_unanswered(self) -> None:
        """Once: the server does not listen where it was said to."""
        now = self._now()
        if self._unanswered_at is None:
            self._unanswered_at = now + UNANSWERED_SECONDS
        elif now >= self._unanswered_at:
            self._unanswered_at = inf
            _log.warning(
                "not registered with the balancer at %s yet: nobody listens on port %d; is it the server's, and this"
                " the address it listens on (SCALEKIT_HOST)?",
                self.registration.balancer,
                self.registration.port,
            )

    def _failed(self, cause: str, status: int = 0) -> float:
        seconds, is_news = self._rhythm.failed(self._now(), cause, status)
        if is_news:
            _log.warning("not registered with the balancer at %s, trying on: %s", self.registration.balancer, cause)
        return seconds

    def _leave(self, drain_seconds: float) -> None:
        if self._siblings is not None and not self._siblings.go():
            return
        self.is_leaving = True
        if not self._has_asked:
            return
        until = self._now() + drain_seconds
        try:
            while self._is_awaited(until):
                self._sleep(AGAIN_SECONDS)
        except (OSError, http.client.HTTPException, ConfigurationFault) as why:
            _log.warning("leaving without the balancer's word: %s", why)
        self._rhythm.is_registered = False

    def _is_awaited(self, until: float) -> bool:
        """Ask to be let go; whether to ask again, as something is in flight, and there is time left."""
        wait_seconds = max(0.0, until - self._now())
        ask = self.registration.drain(wait_seconds)
        status, body = self._ask(ask, self._headers(), wait_seconds + DRAIN_GRACE_SECONDS)
        left = Left.of(status, body)
        if left is Left.NOT_YET and self._now() + AGAIN_SECONDS < until:
            return True
        if left is Left.REFUSED or (left is not Left.DONE and wait_seconds):
            _log.warning("the balancer answered %d to our leaving, %s: %r", status, left.value, body[:300])
        return False

    def __repr__(self) -> str:
        state = "leaving" if self.is_leaving else "registered" if self._rhythm.is_registered else "not registered"
        return f"<ThreadMembership of {self.registration.id} at {self.registration.balancer}: {state}>"
