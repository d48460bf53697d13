"""
An app server behind the balancer, as a Twisted service.

Its life::

    privilegedStartService   listens
    startService             registers the port it really has
    drain                    /ping answers 410; the balancer is asked to send nothing more, and says when nothing is in
                             flight; then the listener closes, and what others asked us directly finishes
    stopService              drains, unless that is done, and ends

`BalancedServer` is put together from parts: `scalekit.kit.serving.app_server` puts the usual ones together, and
`scalekit.kit.AppServer` finds them where it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.web.resource import IResource

from scalekit.kit.membership import Membership
from scalekit.kit.ping import PingFirst
from scalekit.web.site import Site

# As long as the balancer itself lets a drain take.
DRAIN_SECONDS = 30.0
# A person who types Ctrl-C waits so long; less than the daemon's own 3 s, so that the listener still closes in order.
HURRIED_DRAIN_SECONDS = 2.0
# What is still under way after the balancer's word comes from somebody who asked us directly.  Without its word it has
# what is left of the time that a drain may take, and no less than this; without a balancer all of it.
FINISH_SECONDS = 2.0

_log = Logger()


class Listening(Protocol):
    """What an app server listens with: a service, such as `scalekit.net.listening.HTTPListening`."""

    def addresses(self) -> list[Any]:
        """The addresses that are really bound, once it has started."""

    def drain(self, seconds: float) -> Any:
        """Accept nothing more, let what is under way finish; a Deferred, perhaps, that fires then, or after so long."""

    def setServiceParent(self, parent: Any) -> None: ...


class BalancedServer(MultiService):
    """
    :param application: an ``IResource``, served by `scalekit.web.site.Site`, or an `IResponder`.
    :param listen: makes the listening service for a responder.
    :param join: makes the membership for the port that was bound; None: it is not registered anywhere.

    :ivar port: the first port that was bound; 0 before the start, and with unix sockets only.
    """

    def __init__(
        self,
        application: Any,
        listen: Callable[[Any], Listening],
        join: Callable[[int], Membership] | None = None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        super().__init__()
        self._front = PingFirst(Site(application) if IResource.providedBy(application) else application)
        self._listening = listen(self._front)
        self._listening.setServiceParent(self)
        self._join = join
        self._drain_seconds = drain_seconds
        self._membership: Membership | None = None
        self._drained: Deferred[None] | None = None
        self.port = 0

    def startService(self) -> None:
        super().startService()
        ports = [getattr(address, "port", 0) for address in self._listening.addresses()]
        self.port = next((port for port in ports if port), 0)
        if self._join is None:
            return
        if not self.port:
            _log.warn("Not registering: a balancer can reach a port, and this app server has none.")
            return
        self._membership = membership = self._join(self.port)
        self._front.secret = lambda: membership.secret
        self._membership.start()

    def drain(self, is_hurried: bool = False) -> Deferred[None]:
        """
        Leave the balancer, wait for what is in flight, stop accepting; fires once that is done, and never fails.

        :param is_hurried: do not wait longer than a person would.
        """
        drained = self._drained
        if drained is None:
            drained = self._drained = Deferred()
            self._front.is_draining = True
            wait = min(self._drain_seconds, HURRIED_DRAIN_SECONDS) if is_hurried else self._drain_seconds
            member = self._membership

            def finish(is_told: bool) -> Deferred[Any]:
                seconds = FINISH_SECONDS if is_told else wait
                if member is not None and not is_told:
                    seconds = max(FINISH_SECONDS, member.seconds_left)
                return maybeDeferred(self._listening.drain, seconds)

            left: Deferred[Any] = member.drain(wait) if member else succeed(False)
            left.addCallback(finish)
            left.addErrback(lambda failure: _log.failure("draining", failure))
            left.addCallback(lambda _: self.give_up())
        # One of its own for each who asks: they do not share what their callbacks make of it.
        done: Deferred[None] = Deferred()
        drained.addCallback(done.callback)
        return done

    def give_up(self) -> None:
        """Do not wait any longer, if a drain is waited for: what is in flight is cut when it stops."""
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def stopService(self) -> Deferred[Any]:
        return self.drain().addCallback(lambda _: MultiService.stopService(self))

    def __repr__(self) -> str:
        state = "draining" if self._front.is_draining else repr(self._membership)
        return f"<BalancedServer on port {self.port}: {state}>"
