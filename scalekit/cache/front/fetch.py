"""
One request of ours to the origin, and all who wait for what comes of it.

To the responders behind the front a `Fetch` is the exchange; it outlives the client that caused it.  Its stages:

========= ============================================= =======================================================
stage     means                                         goes on to
========= ============================================= =======================================================
WAITING   no head has come                              SHARED, ALONE, or OVER: a 304, an error covered, a fault
SHARED    everybody reads what comes, and it is stored  OVER
ALONE     it is for its leader only, who is connected   (nothing: the front has no more to do with it)
          with the origin as if no cache were there
OVER      all are answered, or on their way             nothing
========= ============================================= =======================================================

The decision falls when the head comes.  Whom it does not suit is released, all in parallel: see `CacheFront.release`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from scalekit.cache.front.bodies import Body
from scalekit.cache.front.shelf import Variant
from scalekit.cache.front.sought import Sought
from scalekit.cache.front.streaming import Stream
from scalekit.cache.front.telling import NAME, adopt, fail, with_status
from scalekit.cache.rules import answering, status
from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.reuse import Verdict, plan_reuse
from scalekit.cache.rules.stale import ERRORS
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.validation import plan_refresh
from scalekit.cache.rules.vary import variant_of
from scalekit.errors import OurFault, UpstreamFault
from scalekit.http.heads import Amend, Fields, Outcome, RequestHead, ResponseHead
from scalekit.interfaces import IAnswerObserver, IExchange
from scalekit.net.answering import tell_aborted

if TYPE_CHECKING:
    from scalekit.cache.front.front import CacheFront

WAITING, SHARED, ALONE, OVER = range(4)

_UNWANTED = UpstreamFault(502, "unwanted", "Nobody waits for the answer any more.")


@implementer(IAnswerObserver)
class Waiter:
    """
    A client that waits for the head.

    :param since: the number of the latest purge when it came.
    """

    __slots__ = ("exchange", "fetch", "since", "sought")

    def __init__(self, fetch: Fetch, exchange: Any, sought: Sought, since: int) -> None:
        self.fetch = fetch
        self.exchange = exchange
        self.sought = sought
        self.since = since
        exchange.observe(self)

    def aborted(self, fault: Exception) -> None:
        self.fetch.left(self)

    def pause(self) -> None:
        """Nothing is being sent yet."""

    def resume(self) -> None:
        """Nothing is being sent yet."""


@implementer(IExchange)
class Fetch:
    """
    :param exchange: the client's that causes it.
    :param head: what is sent to the origin.
    :param forwarded: why, as ``fwd`` of Cache-Status says it.
    :param variants: what is being validated, or might be, newest first; empty: the conditions, if there are any, are
        the client's.
    :param is_open: whether others may join.
    :param has_client: whether the client waits for it; else it is a refresh behind a stale answer.

    :ivar names: what Vary is known to nominate: others join only with the same values there; None: not known yet.
    """

    upgrade = b""

    def __init__(
        self,
        front: CacheFront,
        exchange: Any,
        sought: Sought,
        asked: Asked,
        head: RequestHead,
        forwarded: bytes,
        variants: tuple[Variant, ...] = (),
        is_open: bool = True,
        has_client: bool = True,
    ) -> None:
        self._front = front
        self.head = head
        self.client = exchange.client
        self.request_id: bytes = exchange.request_id
        self.record = Outcome()
        self.amend: Amend | None = None
        self.sought = sought
        self.asked = asked
        self.forwarded = forwarded
        self.variants = variants
        self.is_open = is_open
        self.has_client = has_client
        self.stage = WAITING
        self.started = front.wall()
        self.fill = front.shelf.begin(sought.key)
        self.waiters: list[Waiter] = []
        self.leader: Waiter | None = None
        self._observer: Any = None
        self._stored: Stored | None = None
        self._stream: Stream | None = None
        self.names: tuple[bytes, ...] | None = None
        if has_client:
            self.leader = Waiter(self, exchange, sought, self.fill.since)
            self.waiters.append(self.leader)

    @classmethod
    def after(cls, first: Fetch, head: RequestHead) -> Fetch:
        """The same once more with another head, for all who wait for the first."""
        asked = first.asked
        again = cls(first._front, first, first.sought, asked, head, first.forwarded, (), first.is_open, False)
        again.has_client = first.has_client
        again.names = first.names
        again.leader, again.waiters = first.leader, first.waiters
        for waiter in again.waiters:
            waiter.fetch = again
        first.leader, first.waiters = None, []
        return again

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
        if not self.is_open or self.stage > SHARED:
            return False
        stored = self._stored
        if stored is not None:
            verdict = plan_reuse((stored,), sought.asked, self._front.wall()).verdict
            if verdict is not Verdict.FRESH:
                return False
        elif self.names is not None and not self._is_same_variant(sought):
            return False
        return not self._front.shelf.was_purged(self.fill, () if stored is None else stored.tags)

    def is_same(self, sought: Sought) -> bool:
        """Whether what it will bring is as far as is known for who seeks this, too."""
        return self.names is None or self._is_same_variant(sought)

    def _is_same_variant(self, sought: Sought) -> bool:
        names = self.names or ()
        return sought is self.sought or variant_of(names, sought.asked.head.fields) == variant_of(
            names, self.asked.head.fields
        )

    def join(self, exchange: Any, sought: Sought) -> None:
        """One more."""
        waiter = Waiter(self, exchange, sought, self._front.shelf.store.purges)
        if self._stored is None:
            self.waiters.append(waiter)
        else:
            self._serve(waiter, self._stored)

    def left(self, waiter: Waiter) -> None:
        """A client is gone before it was answered."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)
        if waiter is self.leader:
            self.leader = None

    def release_joiners(self) -> None:
        """It takes too long: who has joined may try on his own."""
        self.is_open = False
        joiners = [waiter for waiter in self.waiters if waiter is not self.leader]
        self.waiters = [] if self.leader is None else [self.leader]
        self._front.release(joiners)

    # The request's side: it has no body.

    def observe(self, observer: Any) -> None:
        self._observer = observer
        if self.stage == ALONE and self.leader is not None:
            self.leader.exchange.observe(observer)

    def receive(self, receiver: Any) -> None:
        receiver.end([])

    def discard(self) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    # The answer's side.

    def inform(self, status: int, fields: Fields) -> None:
        # Early hints may be meant for one user as much as the answer may.
        if self.leader is not None:
            self.leader.exchange.inform(status, fields)

    def answer(self, head: Any, body: bytes = b"") -> None:
        if self.stage == WAITING:
            if head.length is None and self.head.method != b"HEAD":
                head.length = len(body)
            self._arrived(head, Body([body] if body else [], True))

    def begin(self, head: Any) -> None:
        if self.stage == WAITING:
            self._arrived(head, Body())

    def write(self, data: bytes) -> None:
        if self.stage == ALONE:
            assert self.leader is not None
            self.leader.exchange.write(data)
        elif self.stage == SHARED:
            assert self._stream is not None
            self._stream.write(data)
            self.is_open = self.is_open and self._stream.is_stored

    def finish(self, trailers: Any = ()) -> None:
        if self.stage == ALONE:
            assert self.leader is not None
            self.leader.exchange.finish(trailers)
        elif self.stage == SHARED:
            assert self._stream is not None
            if self._stream.length not in (None, self._stream.body.size):
                self.abort(OurFault(500, "bad-length", "The answer's body is not as long as it says."))
                return
            self._observer = None
            self._complete(self._stream)
        elif self.stage == WAITING:
            self.fail(OurFault(500, "no-answer", "The answer ended before it had begun."))

    def switch(self, head: Any, receiver: Any) -> None:
        self.fail(OurFault(500, "no-upgrade", "The request asks for no other protocol."))

    def fail(self, fault: Exception) -> None:
        if self.stage != WAITING:
            self.abort(fault)
            return
        self._end()
        self._cover(None)
        leader, waiters, self.waiters = self.leader, self.waiters, []
        for waiter in waiters:
            is_leader = waiter is leader
            self._count(waiter)
            said = status.forwarded(NAME, self.forwarded, is_collapsed=not is_leader)
            fail(waiter.exchange, fault, said, self._front.proxy)

    def abort(self, fault: Exception) -> None:
        if self.stage == WAITING:
            self.fail(fault)
        elif self.stage == ALONE:
            assert self.leader is not None
            self.leader.exchange.abort(fault)
        elif self.stage == SHARED:
            assert self._stream is not None
            self._observer = None
            self._end()
            self._stream.cut(fault)

    # What comes of it.

    def _arrived(self, head: ResponseHead, body: Body) -> None:
        """The head, and perhaps all of it."""
        front = self._front
        if self.amend is not None:
            head = self.amend(head, body.size if body.is_complete else head.length)
        received_at = front.wall()
        if head.status == 304 and self.variants:
            self._unchanged(head, received_at)
            return
        if head.status in ERRORS:
            self._cover(head.status)
        stored = front.plan(self, head, received_at)
        if isinstance(stored, Stored) and self._has_room(head, body):
            self._share(head, stored, body)
        else:
            self._leave_alone(head, body, "" if isinstance(stored, Stored) else stored.value)

    def _has_room(self, head: ResponseHead, body: Body) -> bool:
        size = body.charge if head.length is None else max(body.charge, head.length)
        return self._front.shelf.store.reserve(self.fill, size)

    def _share(self, head: ResponseHead, stored: Stored, body: Body) -> None:
        """It is for everybody whom it suits."""
        front = self._front
        self.stage = SHARED
        self._stored = stored
        stream = self._stream = Stream(body, head.length, self._keep_room, self._hold, self._unwanted, self.has_client)
        is_purged = front.shelf.was_purged(self.fill, stored.tags)
        released: list[Waiter] = []
        waiters, self.waiters = self.waiters, []
        now = front.wall()
        for waiter in waiters:
            if waiter is self.leader:
                self._serve_leader(waiter, head)
            elif (is_purged and waiter.since > self.fill.since) or (
                plan_reuse((stored,), waiter.sought.asked, now).verdict is not Verdict.FRESH
            ):
                released.append(waiter)
            else:
                self._serve(waiter, stored)
        if plan_reuse((stored,), self.asked, now).verdict is not Verdict.FRESH and not stored.names:
            front.mark(self.sought.key)  # each is to be validated, so that waiting is in vain
        else:
            front.unmark(self.sought.key)
        if body.is_complete:
            self._complete(stream)
        else:
            stream.balance()
        front.release(released, stored.names)

    def _serve_leader(self, waiter: Waiter, head: ResponseHead) -> None:
        stored = self._stored
        assert stored is not None
        self._count(waiter)
        if waiter.sought.asked.conditions:
            self._serve_part(waiter, stored, False)
        else:
            said = status.forwarded(NAME, self.forwarded, None, stored.fresh_until - self._front.wall(), True)
            self._send_to(waiter, with_status(head, said), 0, None)

    def _serve(self, waiter: Waiter, stored: Stored) -> None:
        self._count(waiter)
        self._serve_part(waiter, stored, True)

    def _serve_part(self, waiter: Waiter, stored: Stored, is_collapsed: bool) -> None:
        """As its conditions and its range say."""
        now = self._front.wall()
        asked = waiter.sought.asked
        assert self._stream is not None
        size = self._stream.body.size if self._stream.body.is_complete else self._stream.length
        said = status.forwarded(NAME, self.forwarded, None, stored.fresh_until - now, not is_collapsed, is_collapsed)
        if size is None and not answering.is_not_modified(stored, asked):
            age = (b"Age", b"%d" % stored.age(now))
            head = ResponseHead(stored.status, [*stored.fields, age], None, stored.reason, True)
            self._send_to(waiter, with_status(head, said), 0, None)
            return
        found = answering.answer(stored, asked, size or 0, now)
        self._send_to(waiter, with_status(found.head, said), found.first, found.last + 1)

    def _send_to(self, waiter: Waiter, head: ResponseHead, first: int, end: int | None) -> None:
        assert self._stream is not None
        exchange = waiter.exchange
        body = self._stream.body
        whole = body.whole if body.is_complete else None
        if end is not None and end <= first:
            exchange.answer(head)
        elif whole is not None:
            exchange.answer(head, whole[first:end])
        else:
            exchange.begin(head)
            self._stream.read(exchange, first, end)

    def _leave_alone(self, head: ResponseHead, body: Body, why: str) -> None:
        """It is for the leader only."""
        front = self._front
        self.stage = ALONE
        front.forget(self)
        front.shelf.abandon(self.fill)
        if self.is_open and self.waiters:
            front.mark(self.sought.key)
        leader = self.leader
        joiners = [waiter for waiter in self.waiters if waiter is not leader]
        self.waiters = []
        if leader is None:
            self.stage = OVER
            self._give_up()
        else:
            self._count(leader)
            exchange = leader.exchange
            exchange.observe(self._observer)
            head = with_status(head, status.forwarded(NAME, self.forwarded, detail=why))
            if body.is_complete:
                exchange.answer(head, body.whole or b"")
            else:
                exchange.begin(head)
        front.release(joiners)

    def _unchanged(self, head: ResponseHead, received_at: float) -> None:
        """A 304 to conditions of ours."""
        front = self._front
        stored = tuple(variant.stored for variant in self.variants)
        refresh = plan_refresh(stored, self.asked, head, self.started, received_at, front.policy)
        if refresh is None:
            # It is about nothing that is here.
            self._end()
            front.ask_again(self)
            return
        matched = self.variants[stored.index(refresh.matched)]
        leader, waiters, self.waiters = self.leader, self.waiters, []
        made, merged = refresh.stored, refresh.head
        if isinstance(made, Stored):
            variant = Variant(made, matched.body, self.sought.service)
            front.shelf.keep(self.fill, variant, front.seconds())
        else:
            front.shelf.invalidate(self.sought.key, front.seconds())
            variant = Variant(
                Stored(merged.status, merged.reason, merged.fields, received_at), matched.body, self.sought.service
            )
        is_purged = front.shelf.was_purged(self.fill, variant.stored.tags)
        self._end()
        released: list[Waiter] = []
        for waiter in waiters:
            is_suiting = (
                plan_reuse((made,), waiter.sought.asked, received_at).verdict is Verdict.FRESH
                if isinstance(made, Stored)
                else False
            )
            if waiter is leader:
                waiter.sought.counts.revalidated += 1
                adopt(waiter.exchange.record, self.record, "revalidated", self.record.attempts)
            elif is_suiting and not (is_purged and waiter.since > self.fill.since):
                self._count(waiter)
            else:
                released.append(waiter)
                continue
            said = status.forwarded(
                NAME, self.forwarded, 304, variant.stored.fresh_until - received_at, is_collapsed=waiter is not leader
            )
            front.answer_with(waiter.exchange, waiter.sought, variant, said)
        front.release(released)

    def _cover(self, code: int | None) -> None:
        """Answer from what is stale whom that covers."""
        rest = [waiter for waiter in self.waiters if not self._front.cover(waiter, code)]
        self.waiters = rest
        if self.leader not in rest:
            self.leader = None

    def _count(self, waiter: Waiter) -> None:
        """It is answered with what has come."""
        counts = waiter.sought.counts
        if waiter is self.leader:
            counts.miss += 1
            adopt(waiter.exchange.record, self.record, "miss", self.record.attempts)
        else:
            counts.collapsed += 1
            adopt(waiter.exchange.record, self.record, "collapsed")

    def _complete(self, stream: Stream) -> None:
        """All of it is here."""
        stored = self._stored
        if stream.is_stored and stored is not None:
            variant = Variant(stored, stream.body.packed(), self.sought.service)
            self._front.shelf.keep(self.fill, variant, self._front.seconds())
        self._end()
        stream.complete()

    # For the stream.

    def _keep_room(self, charge: int) -> bool:
        return self._front.shelf.store.reserve(self.fill, charge)

    def _hold(self, is_held: bool) -> None:
        if self._observer is not None:
            if is_held:
                self._observer.pause()
            else:
                self._observer.resume()

    def _unwanted(self) -> None:
        self._end()
        self._give_up()

    def _give_up(self) -> None:
        """Nobody wants the rest."""
        observer, self._observer = self._observer, None
        tell_aborted(observer, _UNWANTED)

    def _end(self) -> None:
        self.stage = OVER
        self._front.forget(self)
        self._front.shelf.abandon(self.fill)

    def __repr__(self) -> str:
        stage = ("waiting", "shared", "alone", "over")[self.stage]
        return f"<Fetch {self.sought.key!r} {stage}, {len(self.waiters)} wait>"
