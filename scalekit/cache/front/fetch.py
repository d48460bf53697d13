"""
One request of ours to the origin, and all who wait for what comes of it.

To the responders behind the front a `Fetch` is the exchange; it outlives the client that caused it.  Its stages:

========= ============================================= =======================================================
stage     means                                         goes on to
========= ============================================= =======================================================
WAITING   no head has come                              SHARED, ALONE, or OVER: a 304, a fault, nobody is left
SHARED    everybody reads what comes, and it is stored  OVER
ALONE     it is for its leader only, who is connected   (nothing: the front has no more to do with it)
          with the origin as if no cache were there
OVER      all are answered, or on their way             nothing
========= ============================================= =======================================================

The decision falls when the head comes.  Whom it does not suit is released, all in parallel: see `CacheFront.release`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from scalekit.cache.front.bodies import Body
from scalekit.cache.front.renewing import Renewed, renew
from scalekit.cache.front.sharing import Shared, is_fresh_for, tell_failure
from scalekit.cache.front.shelf import Variant
from scalekit.cache.front.sought import Sought
from scalekit.cache.front.streaming import Stream
from scalekit.cache.front.telling import NAME, adopt, with_status
from scalekit.cache.front.waiting import Line, Waiter
from scalekit.cache.rules import status
from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.reuse import Verdict, plan_reuse
from scalekit.cache.rules.stale import ERRORS
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.vary import variant_of
from scalekit.errors import ClientFault, OurFault
from scalekit.http.heads import Amend, Fields, Outcome, RequestHead, ResponseHead
from scalekit.interfaces import IExchange
from scalekit.net.answering import tell_aborted

if TYPE_CHECKING:
    from scalekit.cache.front.front import CacheFront

WAITING, SHARED, ALONE, OVER = range(4)

_UNWANTED = ClientFault(499, "unwanted", "Nobody waits for the answer any more.")


@implementer(IExchange)
class Fetch:
    """
    :param exchange: the client's that causes it.
    :param asked: what the answer is held against; ``head``: what is sent to the origin.
    :param forwarded: why, as ``fwd`` of Cache-Status says it.
    :param variants: what is being validated, or might be, newest first; empty: the conditions, if there are any, are
        the client's.
    :param names: what Vary is known to nominate: others join only with the same values there; None: not known yet.
    :param is_open: whether others may join before its head is here.
    :param is_telling: whether others may expect of the next answers what this one is.
    :param has_client: whether the client waits for it; else it is a refresh behind a stale answer.
    """

    def __init__(
        self,
        front: CacheFront,
        exchange: Any,
        sought: Sought,
        asked: Asked,
        head: RequestHead,
        forwarded: bytes,
        variants: tuple[Variant, ...] = (),
        names: tuple[bytes, ...] | None = None,
        is_open: bool = True,
        has_client: bool = True,
        is_telling: bool = True,
    ) -> None:
        self._front = front
        self.head = head
        self.client = exchange.client
        self.request_id: bytes = exchange.request_id
        self.record = Outcome()
        self.amend: Amend | None = None
        self.sought = sought
        self.asked = asked
        self.is_open = is_open
        self.stage = WAITING
        self.started = front.wall()
        self.line = Line(self._emptied)
        self._forwarded = forwarded
        self._variants = variants
        self._names = names
        self._has_client = has_client
        self._is_telling = is_telling
        self._fill = front.shelf.begin(sought.key)
        self._observer: Any = None
        self._shared: Shared | None = None
        if has_client:
            self.line.leader = Waiter(self.line, exchange, sought, self._fill.since)

    def start(self) -> None:
        """Ask the origin."""
        try:
            self._front.responder.respond(self)
        except Exception as fault:
            observer, self._observer = self._observer, None
            self.fail(fault)
            tell_aborted(observer, fault)

    # Those who wait.

    def takes(self, sought: Sought) -> bool:
        """Whether who seeks this may join."""
        if not self.is_open or self.stage > SHARED or sought.owner != self.sought.owner:
            return False
        if self._shared is None:
            return self.is_same(sought) and not self._front.shelf.was_purged(self._fill)
        stored = self._shared.stored
        if plan_reuse((stored,), sought.asked, self._front.wall()).verdict is not Verdict.FRESH:
            return False
        return not self._front.shelf.was_purged(self._fill, stored.tags)

    def is_same(self, sought: Sought) -> bool:
        """Whether what it will bring is, as far as is known, for who seeks this too."""
        names = self._names
        if sought.owner != self.sought.owner:
            return False
        if names is None or sought is self.sought:
            return True
        return variant_of(names, sought.asked.head.fields) == variant_of(names, self.asked.head.fields)

    def join(self, exchange: Any, sought: Sought) -> None:
        """One more."""
        waiter = Waiter(self.line, exchange, sought, self._front.shelf.store.purges)
        if self._shared is None:
            self.line.joiners.append(waiter)
        else:
            self._shared.serve(waiter, self._front.wall())

    def release_joiners(self) -> None:
        """It takes too long: who has joined may try on his own."""
        self.is_open = False
        self._front.release(self.line.take_joiners())

    def _emptied(self) -> None:
        # What others might join goes on to its head: it may be worth storing, for those who ask again.
        if self.stage == WAITING and not self.is_open:
            self._unwanted()

    # The request's side: it has no body.

    def observe(self, observer: Any) -> None:
        self._observer = observer
        if self.stage == ALONE and self.line.leader is not None:
            self.line.leader.exchange.observe(observer)

    def receive(self, receiver: Any) -> None:
        receiver.end([])

    def discard(self) -> None:
        """There is nothing."""

    def pause(self) -> None:
        """There is nothing."""

    def resume(self) -> None:
        """There is nothing."""

    # The answer's side.

    def inform(self, status: int, fields: Fields) -> None:
        # Early hints may be meant for one user as much as the answer may.
        if self.line.leader is not None:
            self.line.leader.exchange.inform(status, fields)

    def answer(self, head: Any, body: bytes = b"") -> None:
        if self.stage == WAITING:
            if head.length is None:
                head.length = len(body)
            self._arrived(head, Body([body] if body else [], True))

    def begin(self, head: Any) -> None:
        if self.stage == WAITING:
            self._arrived(head, Body())

    def write(self, data: bytes) -> None:
        if self.stage == ALONE:
            self._leader.write(data)
        elif self.stage == SHARED:
            assert self._shared is not None
            stream = self._shared.stream
            stream.write(data)
            self.is_open = self.is_open and stream.is_stored

    def finish(self, trailers: Any = ()) -> None:
        if self.stage == ALONE:
            self._leader.finish(trailers)
        elif self.stage == SHARED:
            assert self._shared is not None
            stream = self._shared.stream
            if stream.length not in (None, stream.body.size):
                self.abort(OurFault(500, "bad-length", "The answer's body is not as long as it says."))
            else:
                self._observer = None
                self._complete(self._shared)
        elif self.stage == WAITING:
            self.fail(OurFault(500, "no-answer", "The answer ended before it had begun."))

    def switch(self, head: Any, receiver: Any) -> None:
        self.fail(OurFault(500, "no-upgrade", "The request asks for no other protocol."))

    def fail(self, fault: Exception) -> None:
        if self.stage != WAITING:
            self.abort(fault)
            return
        self._end()
        if not isinstance(fault, ClientFault):
            self._front.covering.failed(self.sought, None)
        self._cover(None)
        self._fail_line(fault)

    def _fail_line(self, fault: Exception) -> None:
        leader, waiters = self.line.leader, self.line.everybody()
        self.line = Line(self._emptied)
        for waiter in waiters:
            try:
                tell_failure(waiter, fault, self.record, self._forwarded, waiter is leader, self._front.proxy)
            except Exception as mistake:  # the others are told all the same
                waiter.exchange.fail(mistake)

    def abort(self, fault: Exception) -> None:
        if self.stage == WAITING:
            self.fail(fault)
        elif self.stage == ALONE:
            self._leader.abort(fault)
        elif self.stage == SHARED:
            assert self._shared is not None
            self._observer = None
            self._end()
            self._shared.stream.cut(fault)
            self._fail_line(fault)  # there is nobody any more, unless something went wrong here

    @property
    def _leader(self) -> Any:
        """The exchange whose request was sent on."""
        assert self.line.leader is not None
        return self.line.leader.exchange

    # What comes of it.

    def _arrived(self, head: ResponseHead, body: Body) -> None:
        """The head, and perhaps all of it."""
        front = self._front
        if self.amend is not None:
            head = self.amend(head, body.size if body.is_complete else head.length)
        received_at = front.wall()
        if head.status == 304 and self._variants:
            self._unchanged(head, received_at)
            return
        if head.status not in ERRORS:
            front.covering.failures.remove(self.sought.key)
        elif front.covering.failed(self.sought, head.status) is not None:
            # Nor is it stored in the place of what stands in for it.
            self._cover(head.status)
            self._leave_alone(head, body, "stale-if-error")
            return
        made = front.plan(self, head, received_at)
        if isinstance(made, Stored) and front.shelf.reserve(self._fill, made, max(body.charge, head.length or 0)):
            self._share(head, made, body, received_at)
        else:
            self._leave_alone(head, body, "" if isinstance(made, Stored) else made.value)

    def _cover(self, code: int | None) -> None:
        """Answer from what is stale whom that covers."""
        cover = self._front.covering.cover
        self.line.keep(lambda waiter: not cover(waiter.exchange, waiter.sought, code))

    def _share(self, head: ResponseHead, stored: Stored, body: Body, now: float) -> None:
        """It is for everybody whom it suits."""
        front, line = self._front, self.line
        self.stage = SHARED
        self.is_open = True
        keep_room = partial(front.shelf.reserve, self._fill, stored)
        stream = Stream(body, head.length, keep_room, self._hold, self._unwanted, self._has_client)
        shared = self._shared = Shared(stored, stream, self.record, self._forwarded)
        leader, line.leader = line.leader, None
        if leader is not None:
            shared.lead(leader, head, now)
        is_purged = front.shelf.was_purged(self._fill, stored.tags)
        released = self._serve(line.take_joiners(), shared, is_purged, now)
        # What is to be validated each time is waited for in vain.
        front.prospects.note(self.sought, plan_reuse((stored,), self.asked, now).verdict is Verdict.FRESH)
        if body.is_complete:
            self._complete(shared)
        else:
            stream.balance()
        front.release(released, stored.names)

    def _serve(self, joiners: list[Waiter], answer: Shared | Renewed, is_purged: bool, now: float) -> list[Waiter]:
        """Serve those who have joined; returns those whom it does not suit."""
        released: list[Waiter] = []
        for waiter in joiners:
            # Or they have asked after a purge that this was begun before.
            if (is_purged and waiter.since > self._fill.since) or not is_fresh_for(answer.stored, waiter, now):
                released.append(waiter)
            else:
                try:
                    answer.serve(waiter, now)
                except Exception as fault:  # the others are served all the same
                    waiter.exchange.fail(fault)
        return released

    def _leave_alone(self, head: ResponseHead, body: Body, why: str) -> None:
        """It is for the leader only."""
        front = self._front
        # An error, or a part, says nothing of what answers are else; those who wait for it wait in vain all the same.
        is_telling = self._is_telling and head.status < 500 and head.status not in (206, 304, 416)
        if len(self.line) and (self.is_open or is_telling):
            front.prospects.mark(self.sought)
        if is_telling:
            front.prospects.set_precedent(self.sought, False)
        self._end()
        joiners = self.line.take_joiners()
        leader = self.line.leader
        if leader is None:
            self._give_up()
        else:
            self.stage = ALONE
            leader.sought.counts.miss += 1
            exchange = leader.exchange
            adopt(exchange.record, self.record, "miss", self.record.attempts)
            exchange.observe(self._observer)
            head = with_status(head, status.forwarded(NAME, self._forwarded, detail=why))
            if body.is_complete:
                exchange.answer(head, body.whole or b"")
            else:
                exchange.begin(head)
        front.release(joiners)

    def _unchanged(self, head: ResponseHead, received_at: float) -> None:
        """A 304 to conditions of ours."""
        front = self._front
        times = self.started, received_at, front.seconds()
        renewal = renew(front.shelf, self._fill, self._variants, self.asked, head, times, front.policy)
        self._end()
        if renewal is None:
            front.ask_again(self)
            return
        variant, is_kept, is_purged = renewal
        leader, joiners = self.line.leader, self.line.take_joiners()
        renewed = Renewed(variant, self.record, self._forwarded, front.answer_with)
        if leader is not None:
            renewed.lead(leader, received_at)
        front.release(self._serve(joiners, renewed, is_purged, received_at) if is_kept else joiners)

    def again(self, head: RequestHead) -> Fetch:
        """The same once more with another head, for all who wait for this."""
        front, names = self._front, self._names
        how = self.is_open, False, self._is_telling
        fetch = Fetch(front, self, self.sought, self.asked, head, self._forwarded, (), names, *how)
        fetch._has_client = self._has_client
        fetch.line.take_over(self.line)
        return fetch

    def _complete(self, shared: Shared) -> None:
        """All of it is here."""
        stream = shared.stream
        if stream.is_stored:
            variant = Variant(shared.stored, stream.body.packed(), self.sought.owner)
            self._front.shelf.keep(self._fill, variant, self._front.seconds())
        self._end()
        stream.complete()

    def _give_up(self) -> None:
        """Nobody wants the rest."""
        observer, self._observer = self._observer, None
        tell_aborted(observer, _UNWANTED)

    def _end(self) -> None:
        self.stage = OVER
        self._front.forget(self)
        self._front.shelf.abandon(self._fill)

    # For the stream.

    def _hold(self, is_held: bool) -> None:
        if self._observer is not None:
            (self._observer.pause if is_held else self._observer.resume)()

    def _unwanted(self) -> None:
        self._end()
        self._give_up()

    def __repr__(self) -> str:
        stage = ("waiting", "shared", "alone", "over")[self.stage]
        return f"<Fetch {self.sought.key!r} {stage}, {self.line!r}>"
