"""
A balancer in memory, for the tests of applications: it registers, drains and refuses as the real one, and asks nobody.

::

    balancer = AsyncMemoryBalancer(Clock())                     # or the reactor
    server = kit.AppServer(Shop(), client=balancer)             # or kit.open_membership(3000, client=balancer)
    ...
    balancer.instances("default")                               # [<Member default 127.0.0.1:3000 … up>]
    balancer.drain("default", "127.0.0.1:3000")                 # as an operator does

`AsyncMemoryBalancer` is what `scalekit.kit.membership` asks, `MemoryBalancer.ask` what `scalekit.kit.thread_membership`
does.  Both are fronts of `scalekit.kit.memory_members.Members`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from scalekit.errors import ClientFault
from scalekit.kit.client import Answer, Client, Unreachable
from scalekit.kit.memory_members import Member, Members, Told, refused
from scalekit.kit.registration import Ask


class _Front:
    """
    What a test sees and does.

    :ivar is_away: whether nobody answers.
    :ivar asked: what was asked, with the fields that came with it, in order.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._members = Members()
        self._refusal: ClientFault | None = None
        self._change = threading.Condition()  # of the members, which it guards
        self.is_away = False
        self.asked: list[tuple[Ask, Mapping[str, str]]] = []

    def instances(self, service: str = "default") -> list[Member]:
        """Who is registered, who leaves last."""
        with self._change:
            self._members.expire(self._now())
            return self._members.instances(service)

    def find(self, service: str, id: str) -> Member | None:
        """One of them; None: there is none of this id, or it is gone."""
        return next((one for one in self.instances(service) if one.id == id), None)

    def set_in_flight(self, service: str, id: str, count: int) -> None:
        """So many requests are with it; without any, one that drains is gone.  Raises KeyError if it is not known."""
        with self._change:
            self._known(service, id).in_flight = count
            self._changed()

    def drain(self, service: str, id: str) -> None:
        """An operator drains it: its generation does not come back.  Raises KeyError if it is not known."""
        with self._change:
            self._known(service, id)
            self._members.leave(service, id, None, self._now())
            self._changed()

    def lapse(self, service: str, id: str) -> None:
        """Its lease is over now.  Raises KeyError if it is not known."""
        with self._change:
            member = self._known(service, id)
            if member.state == "up":
                member.until = self._now()

    def forget(self) -> None:
        """Know nobody any more, as after a restart without a snapshot."""
        with self._change:
            self._members.clear()
            self._changed()

    def refuse(self, status: int, reason: str, detail: str = "") -> None:
        """Answer so to all that comes, until `accept`."""
        self._refusal = ClientFault(status, reason, detail)

    def accept(self) -> None:
        """Answer again as always."""
        self._refusal = None

    def _answer(self, ask: Ask, headers: Mapping[str, str]) -> Told:
        self.asked.append((ask, dict(headers)))
        if self._refusal is not None:
            return refused(self._refusal)
        return self._members.answer(ask.method, ask.url, ask.body, self._now())

    def _known(self, service: str, id: str) -> Member:
        self._members.expire(self._now())
        member = self._members.find(service, id)
        if member is None:
            raise KeyError((service, id))
        return member

    def _is_gone(self, member: Member) -> bool:
        self._members.expire(self._now())
        return member.state == "gone"

    def _changed(self) -> None:
        """Somebody may wait for it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._members!r}>"


class MemoryBalancer(_Front):
    """
    For threads.

    :param now: as `time.monotonic`; without it no time passes, and no lease is over.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(now)

    def ask(self, ask: Ask, headers: Mapping[str, str], seconds: float, ca: str = "") -> tuple[int, bytes]:
        """As `scalekit.kit.asking.fetch`; who waits for the end of a drain waits in real time."""
        with self._change:
            if self.is_away:
                raise ConnectionRefusedError(f"{ask.url}: the balancer is away")
            told = self._answer(ask, headers)
            self._changed()
            member = told.member
            if member is None or not told.wait_seconds:
                return told.status, told.body
            self._change.wait_for(lambda: self._is_gone(member), min(seconds, told.wait_seconds))
            told = self._members.told(member)
            return told.status, told.body

    def _changed(self) -> None:
        self._change.notify_all()


class AsyncMemoryBalancer(_Front, Client):
    """
    For Twisted.

    :param clock: by which leases are over, and nobody waits for ever.
    """

    def __init__(self, clock: IReactorTime) -> None:
        _Front.__init__(self, clock.seconds)
        Client.__init__(self, None, clock)
        self._waiting: list[Deferred[None]] = []  # for a change

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]:
        """See `Client.fetch`."""
        if self.is_away:
            return fail(Unreachable(f"{url}: the balancer is away"))
        told = self._answer(Ask(method, url, body), headers or {})
        self._changed()
        if told.member is None or not told.wait_seconds:
            return succeed(_as_answer(told))
        return Deferred.fromCoroutine(self._await(told.member, self._now() + min(seconds, told.wait_seconds)))

    async def _await(self, member: Member, until: float) -> Answer:
        while not self._is_gone(member) and self._now() < until:
            changed: Deferred[None] = Deferred()
            self._waiting.append(changed)
            timer = self._clock.callLater(until - self._now(), self._changed)
            try:
                await changed
            finally:
                if timer.active():
                    timer.cancel()
        return _as_answer(self._members.told(member))

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            changed.callback(None)


def _as_answer(told: Told) -> Answer:
    return Answer(told.status, Headers({"Content-Type": ["application/json"]}), told.body)
