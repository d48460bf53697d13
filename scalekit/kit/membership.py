"""
An app server's place behind the balancer: taken by registering, kept by renewing, given up by draining.

A balancer that does not know us, as after a restart without its snapshot, answers 404: then we register again.  One
that has known us and answers 409 will not have us any more: an operator has drained us, or another has taken our place.
Then we stay out; whoever is started after us comes with a higher generation.

::

    membership.on_lost = lambda cause: print("no requests come:", cause)
    await membership.register()         # from now on it is renewed
    ...
    is_confirmed = await membership.drain()

`scalekit.kit.open_membership` makes one.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import ConfigurationFault, UpstreamFault
from scalekit.kit.client import Answer, Client, Unreachable, why_unreachable
from scalekit.kit.registration import AGAIN_SECONDS, Ask, Left, Registration, doubt_in, refusal_in, secret_in
from scalekit.kit.rhythm import Rhythm, is_refused

ANSWER_SECONDS = 2.0
# Above the wait that is asked for: the balancer's own deadline must come first, and its answer must get here.
DRAIN_GRACE_SECONDS = 5.0

_log = Logger()


class NotRegistered(UpstreamFault):
    """What `Membership.register` fails with: the balancer will not have us, as ``detail`` says, or we have left."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, "not-registered", detail)


def _nobody(*said: object) -> None:
    """What an event does that nobody listens to."""


class Membership:
    """
    Registers a port of this machine with the balancer, and keeps it registered.

    :param registration: what is said to the balancer.
    :param random: as `random.random`.
    :param headers: the fields that show a token, as `TokenFile.headers`; asked for at each request.

    :ivar secret: for answering the challenges of a balancer elsewhere (`response_to`); empty: there are none.
    :ivar on_secret: called with each new secret.
    :ivar on_registered: called when the balancer has taken us: the first time, and when we are in again.
    :ivar on_lost: called with the cause, for people, when we were registered and could not renew that: the balancer is
        away, or will not have us any more.
    :ivar on_refused: called with what the balancer has against us, once for each cause; where it is final (`register`
        has failed, or we were taken out) nothing more is tried.
    :ivar on_drained: called when `drain` is over, with what it fires with.
    """

    def __init__(
        self,
        registration: Registration,
        *,
        client: Client,
        clock: IReactorTime,
        random: Callable[[], float],
        headers: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._registration = registration
        self._client = client
        self._clock = clock
        self._headers = headers
        self._rhythm = Rhythm(random)
        self._next: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._is_leaving = False
        self._until = 0.0
        self._is_known = False
        self._has_been_known = False
        self._doubt = ""  # what was told last
        self.secret = ""
        self._taken_out = ""  # why, once we are
        self._waiting: list[Deferred[None]] = []  # for the first registration
        self.on_secret: Callable[[str], object] = _nobody
        self.on_registered: Callable[[], object] = _nobody
        self.on_lost: Callable[[str], object] = _nobody
        self.on_refused: Callable[[str], object] = _nobody
        self.on_drained: Callable[[bool], object] = _nobody

    @property
    def seconds_left(self) -> float:
        """Of what `drain` may take."""
        return max(0.0, self._until - self._clock.seconds())

    @property
    def is_registered(self) -> bool:
        """Whether the balancer has taken our last registration."""
        return self._rhythm.is_registered

    def start(self) -> None:
        """Register now, and from now on; never fails, but tries until `drain`, or until we are taken out."""
        self._beat()

    def register(self) -> Deferred[None]:
        """
        Register now and stay so: fires when the balancer has taken us, at once if it has.

        A balancer that is away, or has too much to do, is waited for: `Deferred.addTimeout` ends the waiting, not the
        trying.  One that has something against us (4xx, but for 408 and 429) is not asked again; after the cause is
        mended this may be called anew.  Fails with `NotRegistered`: that, or we have left, or were taken out.
        """
        if self._is_leaving or self._taken_out:
            return fail(NotRegistered(self._taken_out or "it has left the balancer"))
        if self.is_registered:
            return succeed(None)
        registered: Deferred[None] = Deferred(lambda waiting: self._waiting.remove(waiting))
        self._waiting.append(registered)
        if self._asking is None and self._next is None:
            self._beat()
        return registered

    def drain(self, wait_seconds: float = 30.0) -> Deferred[bool]:
        """
        Leave: fires when the balancer has confirmed that nothing is in flight here, with True; or with False when it
        could not be asked, or did not come to that within ``wait_seconds``.

        A balancer whose own waits are shorter is asked again.
        """
        self._is_leaving = True
        self._until = self._clock.seconds() + wait_seconds
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._release(NotRegistered("it has left the balancer"))

        def drained(is_confirmed: bool) -> Deferred[bool]:
            self._tell(self.on_drained, is_confirmed)
            # A reactor that only waits for this to stop would otherwise close the connection that still delivers it.
            return deferLater(self._clock, 0.0, lambda: is_confirmed)

        # A registration under way must be over first, or it could arrive after we have left.
        return (self._asking or succeed(None)).addCallback(lambda _: self._leave()).addCallback(drained)

    def _leave(self, is_again: bool = False) -> Deferred[bool]:
        wait_seconds = self.seconds_left

        def told(answer: Answer) -> bool | Deferred[bool]:
            self._rhythm.is_registered = False
            left = Left.of(answer.status, answer.body, is_again)
            if left is Left.NOT_YET and self.seconds_left > AGAIN_SECONDS:
                pause: Deferred[None] = deferLater(self._clock, AGAIN_SECONDS)
                return pause.addCallback(lambda _: self._leave(is_again=True))
            if left is Left.REFUSED or (left in (Left.NOT_YET, Left.LATE) and wait_seconds):
                _log.warn(
                    "The balancer answered {status} to our leaving: {left}", status=answer.status, left=left.value
                )
            return left is Left.DONE

        def unreachable(failure: Failure) -> bool:
            _log.warn("Leaving without the balancer's word: {cause}", cause=why_unreachable(failure))
            self._rhythm.is_registered = False
            return False

        asked = self._ask(self._registration.drain(wait_seconds), wait_seconds + DRAIN_GRACE_SECONDS)
        return asked.addCallbacks(told, unreachable)

    def _beat(self) -> None:
        self._next = None
        is_renewal = self._is_known

        def judge(answer: Answer) -> float | None:
            if answer.status < 300:
                return self._registered(b"" if is_renewal else answer.body)
            self._is_known = False
            if is_renewal and answer.status == 404:
                _log.info("The balancer does not know us any more, registering again.")
                return 0.0
            cause = refusal_in(answer.status, answer.body)
            if answer.status == 409 and self._has_been_known:
                was_registered, self._rhythm.is_registered = self.is_registered, False
                self._taken_out = cause
                _log.warn("The balancer has taken us out, and so we stay until the next start: {cause}", cause=cause)
                self._refused(was_registered, cause)
                return None
            return self._failed(cause, answer.status)

        def unreachable(failure: Failure) -> float | None:
            return self._failed(why_unreachable(failure))

        def unexpected(failure: Failure) -> float:
            _log.failure("registering with {url}", failure, url=self._registration.balancer)
            return self._rhythm.failed(self._clock.seconds())[0]

        def plan(seconds: float | None) -> None:
            self._asking = None
            if seconds is not None and not self._is_leaving:
                self._next = self._clock.callLater(seconds, self._beat)

        ask = self._registration.renew() if is_renewal else self._registration.register()
        asking = self._ask(ask, ANSWER_SECONDS).addCallbacks(judge, unreachable)
        self._asking = asking.addErrback(unexpected).addCallback(plan)
        if self._asking.called:  # it was quicker than we
            self._asking = None

    def _registered(self, body: bytes) -> float:
        """Note a success; seconds to the next beat."""
        was_registered = self.is_registered
        if not was_registered:
            _log.info("Registered with the balancer: {registration!s}", registration=self._registration)
        self._is_known = self._has_been_known = True
        doubt = doubt_in(body, self._registration.service)
        if doubt and doubt != self._doubt:
            _log.warn("The balancer has registered us, but {doubt}.", doubt=doubt)
            self._doubt = doubt
        secret = secret_in(body)
        if secret and secret != self.secret:
            self.secret = secret
            self.on_secret(secret)
        seconds = self._rhythm.succeeded()
        if not was_registered and not self._is_leaving:
            self._tell(self.on_registered)
            self._release(None)
        return seconds

    def _failed(self, cause: str, status: int = 0) -> float | None:
        """Note a failure, and say so as often as `Rhythm` has it; seconds to the next try, None: there is none."""
        was_registered = self.is_registered
        is_refusal = is_refused(status)
        is_final = is_refusal and bool(self._waiting)
        seconds, is_news = self._rhythm.failed(self._clock.seconds(), cause, status)
        if is_news and not is_final:
            _log.warn("Not registered with the balancer, trying on: {cause}", cause=cause)
        if is_refusal and (is_news or is_final):
            self._refused(was_registered, cause)
        elif was_registered:
            self._tell(self.on_lost, cause)
        # Whoever was told and asks anew at once waits as long as anybody.
        return None if is_final and not self._waiting else seconds

    def _refused(self, was_registered: bool, cause: str) -> None:
        if was_registered:
            self._tell(self.on_lost, cause)
        self._tell(self.on_refused, cause)
        self._release(NotRegistered(cause))

    def _release(self, fault: NotRegistered | None) -> None:
        """Let go those who wait for the first registration."""
        waiting, self._waiting = self._waiting, []
        for registered in waiting:
            if fault is None:
                registered.callback(None)
            else:
                registered.errback(fault)

    def _tell(self, listener: Callable[..., object], *said: object) -> None:
        """An event: what an application makes of it changes nothing here."""
        try:
            listener(*said)
        except Exception:
            _log.failure("telling of {registration!s}", registration=self._registration)

    def _ask(self, ask: Ask, seconds: float) -> Deferred[Answer]:
        try:
            headers = self._headers()
        except ConfigurationFault as fault:
            return fail(Unreachable(str(fault)))
        return self._client.fetch(ask.method, ask.url, seconds=seconds, headers=headers, body=ask.body)

    def __repr__(self) -> str:
        state = "leaving" if self._is_leaving else "registered" if self.is_registered else "not registered"
        return f"<Membership of {self._registration.id} at {self._registration.balancer}: {state}>"
