"""
An app server's place behind the balancer: taken by registering, kept by registering again, given up by draining.

The tutorial's routes have no heartbeat from the app, and registering is idempotent; so registering every five seconds
is what brings an app server back after the balancer was restarted.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import ConfigurationFault
from scalekit.kit.client import Answer, Client, Unreachable, why_unreachable
from scalekit.kit.rhythm import Rhythm

ANSWER_SECONDS = 2.0
# Above the wait that is asked for: the balancer's own deadline must come first, and its answer must get here.
DRAIN_GRACE_SECONDS = 5.0

_log = Logger()


class Membership:
    """
    Registers a port of this machine with the balancer, and keeps it registered.

    :param balancer_url: of the registration service, such as ``https://127.0.0.1:2001``.
    :param port: what we listen on; the balancer takes the address from the connection.
    :param scheme: what we speak there, ``https`` or ``http``.
    :param random: as `random.random`.
    :param keep_alive: seconds after which our server closes an idle connection; None: the balancer need not know.
    :param headers: the fields that show a token, as `TokenFile.headers`; asked for at each request.
    """

    def __init__(
        self,
        balancer_url: str,
        port: int,
        *,
        client: Client,
        clock: IReactorTime,
        random: Callable[[], float],
        service: str = "default",
        scheme: str = "https",
        keep_alive: float | None = None,
        headers: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._url = balancer_url.rstrip("/")
        self._query = {"port": str(port), "service": service, "scheme": scheme}
        if keep_alive is not None:
            self._query["keep_alive"] = f"{keep_alive:g}"
        self._client = client
        self._clock = clock
        self._headers = headers
        self._rhythm = Rhythm(random)
        self._next: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._is_leaving = False

    @property
    def is_registered(self) -> bool:
        """Whether the balancer has taken our last registration."""
        return self._rhythm.is_registered

    def start(self) -> None:
        """Register now, and from now on; never fails, but tries until `drain`."""
        self._beat()

    def drain(self, wait_seconds: float = 30.0) -> Deferred[bool]:
        """
        Leave: fires when the balancer has confirmed that nothing is in flight here, with True; or with False when it
        could not be asked, or did not come to that within ``wait_seconds``.
        """
        self._is_leaving = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        # A registration under way must be over first, or it could arrive after we have left.
        return (self._asking or succeed(None)).addCallback(lambda _: self._leave(wait_seconds))

    def _leave(self, wait_seconds: float) -> Deferred[bool]:
        seconds = wait_seconds + DRAIN_GRACE_SECONDS

        def left(answer: Answer) -> bool:
            self._rhythm.is_registered = False
            if answer.status >= 300:
                _log.warn("The balancer answered {status} to our leaving.", status=answer.status)
            return answer.status < 300

        def unreachable(failure: Failure) -> bool:
            _log.warn("Leaving without the balancer's word: {cause}", cause=why_unreachable(failure))
            self._rhythm.is_registered = False
            return False

        return self._post("unregister", seconds, wait=f"{wait_seconds:g}").addCallbacks(left, unreachable)

    def _beat(self) -> None:
        self._next = None

        def judge(answer: Answer) -> float:
            if answer.status < 300:
                return self._registered()
            return self._failed(f"answered {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}")

        def unreachable(failure: Failure) -> float:
            return self._failed(why_unreachable(failure))

        def unexpected(failure: Failure) -> float:
            _log.failure("registering with {url}", failure, url=self._url)
            return self._rhythm.failed(self._clock.seconds())[0]

        def plan(seconds: float) -> None:
            self._asking = None
            if not self._is_leaving:
                self._next = self._clock.callLater(seconds, self._beat)

        asking = self._post("register", ANSWER_SECONDS).addCallbacks(judge, unreachable)
        self._asking = asking.addErrback(unexpected).addCallback(plan)
        if self._asking.called:  # it was quicker than we
            self._asking = None

    def _registered(self) -> float:
        """Note a success; seconds to the next beat."""
        if not self.is_registered:
            _log.info("Registered with the balancer at {url}: {query}", url=self._url, query=self._query)
        return self._rhythm.succeeded()

    def _failed(self, cause: str) -> float:
        """Note a failure, and say so once a minute; seconds to the next try."""
        seconds, is_news = self._rhythm.failed(self._clock.seconds())
        if is_news:
            _log.warn("Not registered with the balancer, trying on: {cause}", cause=cause)
        return seconds

    def _post(self, action: str, seconds: float, **more: str) -> Deferred[Answer]:
        try:
            headers = self._headers()
        except ConfigurationFault as fault:
            return fail(Unreachable(str(fault)))
        url = f"{self._url}/{action}?{urlencode(self._query | more)}"
        return self._client.fetch("POST", url, seconds=seconds, headers=headers)

    def __repr__(self) -> str:
        state = "leaving" if self._is_leaving else "registered" if self.is_registered else "not registered"
        return f"<Membership of port {self._query['port']} at {self._url}: {state}>"
