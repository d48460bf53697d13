"""
The caching front: a responder that answers out of the store, and asks the one behind it for the rest.

What may be kept and answered with is decided in `scalekit.cache.rules`, what comes of asking in
`scalekit.cache.front.fetch`.  A fresh hit is answered inside the listener's call, in one write: look the key up,
compare a moment, write a head that is ready and a body that is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zope.interface import implementer

from scalekit.cache.front.bodies import Reader
from scalekit.cache.front.covering import Covering
from scalekit.cache.front.fetch import SHARED, WAITING, Fetch
from scalekit.cache.front.metrics import Counts
from scalekit.cache.front.passing import Passed
from scalekit.cache.front.prospects import Prospects
from scalekit.cache.front.shelf import Kept, Shelf, Variant
from scalekit.cache.front.sought import Owners, Services, Sought, normalised
from scalekit.cache.front.telling import NAME, fail, make_ready, tell_unshared, with_status
from scalekit.cache.front.waiting import Waiter
from scalekit.cache.rules import answering, status
from scalekit.cache.rules.asking import ask
from scalekit.cache.rules.reuse import Reuse, Verdict, fresh_hit, plan_reuse
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.storing import USUAL, Policy, Refusal, plan_store
from scalekit.cache.rules.validation import outgoing, unconditional
from scalekit.cache.store import Store, Window
from scalekit.errors import ClientFault
from scalekit.http.heads import Client, RequestHead, ResponseHead
from scalekit.interfaces import IResponder

#: Who waits for the head of an answer that another has asked for goes on his own after this: an answer that takes
#: longer is perhaps from an instance that hangs, and another would answer.  nginx' proxy_cache_lock_timeout is 5 s, and
#: pages that take that long are what is worth caching most.
PATIENCE_SECONDS = 10.0
#: For one answer; each is a connection and some 500 bytes.  Who comes beyond it asks for himself.
MOST_WAITING = 10_000
#: The wall clock is followed when it differs by more: it was set, and has not just been slewed.
_SKEW_SECONDS = 1.0

_FAILING = Window.FAILING
_ABSENT = Reuse(Verdict.MISS, None, b"uri-miss")


@implementer(IResponder)
class CacheFront:
    """
    :param responder: who answers what is not here.
    :param services: whose requests are, and which services' answers are kept.
    :param clock: tells the store's seconds, which never go back.
    :param wall: seconds since the epoch, for the rules.
    :param offered: the content codings that the responder makes.
    :param proxy: our name in Proxy-Status.
    :param purge: answers ``PURGE``; None: it is left to the app server.

    :ivar counts: by service.
    """

    def __init__(
        self,
        responder: Any,
        store: Store,
        services: Services,
        clock: Any,
        wall: Callable[[], float],
        offered: Sequence[bytes] = (),
        proxy: bytes = b"",
        policy: Policy = USUAL,
        hurry: Callable[[], None] = lambda: None,
        purge: Callable[[Any, Sought], None] | None = None,
    ) -> None:
        self.responder = responder
        self.shelf = Shelf(store)
        self.policy = policy
        self.proxy = proxy
        self.hurry = hurry
        self.seconds: Callable[[], float] = clock.seconds
        self.counts: dict[str, Counts] = defaultdict(Counts)
        self._owners = Owners()
        self._wall = wall
        self._services = services
        self._routing = services.routing
        self._offered = offered
        self._purge = purge
        self._get = store.get
        self._fetches: dict[bytes, list[Fetch]] = {}
        self.prospects = Prospects(self.seconds)
        self._marks = self.prospects.marks
        self.covering = Covering(self)
        self._follow_wall()

    def reconfigure(self, responder: Any, offered: Sequence[bytes]) -> None:
        """Ask this one from now on.  The table of services has to be another one, too, as heads are remembered."""
        self.responder = responder
        self._offered = offered

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self.seconds() + self.shelf.skew

    # Requests.

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        sought: Sought | None = head.sought
        if sought is None or sought.table is not self._routing.table:
            sought = head.sought = self.seek(head, exchange.client)
        if sought.is_plain:
            now = self.seconds()
            entry = self._get(sought.key, now, _FAILING)
            if entry is not None and entry.expires > now:
                kept: Kept = entry.value
                wall = now + self.shelf.skew
                if kept.number == sought.kept_number:
                    variant: Variant | None = kept.variants[sought.index]
                else:
                    variant = _choose(kept, sought, wall)
                if variant is not None and (wall < variant.ready_until or make_ready(variant, wall)):
                    record = exchange.record
                    record.service = sought.service
                    record.cache = "hit"
                    sought.counts.hit += 1
                    if variant.whole is not None:
                        exchange.answer(variant.head, variant.whole)
                    else:
                        _send(exchange, variant.head, variant)
                    return
            elif entry is None and sought.is_get:
                # The usual miss: there is nothing to be weighed.
                if self._marks.has(sought.mark, now):
                    sought.counts.miss += 1
                    exchange.record.cache = "miss"
                    exchange.amend = tell_unshared
                    self.responder.respond(exchange)
                else:
                    self._ask(exchange, sought, None, _ABSENT, None)
                return
        elif not sought.is_cached:
            self.responder.respond(exchange)
            return
        self._consider(exchange, sought)

    def seek(self, head: RequestHead, client: Client) -> Sought:
        """What there is to know of a head; raises `scalekit.errors.Fault` if the request is to be refused."""
        services = self._services
        service = services.service_of(head)
        # What else the answer may depend on, and whoever asks may choose, is no part of the key.
        is_keyed = not services.is_told_otherwise(head, client)
        is_secure, own_cookie = services.is_secure(head, client), services.own_cookie(service)
        asked = ask(normalised(head, self._offered), is_secure, is_keyed, own_cookie)
        owner = self._owners.owner_of(service, is_cached := services.is_cached(service))
        # What becomes a tunnel is nothing that could be kept.
        is_cached = is_cached and not head.upgrade
        return Sought(self._routing.table, service, owner, is_cached, asked, self.counts[service])

    def _consider(self, exchange: Any, sought: Sought, names: tuple[bytes, ...] | None = None) -> None:
        """Answer what is no plain hit; ``names``: what Vary is known to nominate."""
        asked = sought.asked
        if not asked.is_lookup:
            if asked.head.method == b"PURGE" and self._purge is not None:
                self._purge(exchange, sought)
            else:
                self._pass(exchange, sought, b"bypass" if asked.head.method in (b"GET", b"HEAD") else b"method")
            return
        kept = self.find(sought, not sought.is_plain)
        wall = self.wall()
        reuse = plan_reuse(() if kept is None else kept.stored, asked, wall)
        if reuse.verdict is Verdict.UNAVAILABLE:
            fault = ClientFault(504, "only-if-cached", "Nothing that is here would do, and nobody is to be asked.")
            exchange.record.service = sought.service
            fail(exchange, fault, NAME + b'; detail="only-if-cached"', self.proxy)
        elif reuse.verdict in (Verdict.FRESH, Verdict.STALE):
            assert kept is not None and reuse.stored is not None
            is_fresh = wall < reuse.stored.fresh_until
            sought.counts.hit += is_fresh
            sought.counts.stale += not is_fresh
            exchange.record.cache = "hit" if is_fresh else "stale"
            if reuse.verdict is Verdict.STALE:
                self._refresh(exchange, sought, kept, reuse)
            said = status.hit(NAME, reuse.stored, wall)
            self.answer_with(exchange, sought, kept.of(reuse.stored), said)
        elif asked.head.method != b"GET":
            self._pass(exchange, sought, reuse.forwarded)
        else:
            self._ask(exchange, sought, kept, reuse, names)

    def find(self, sought: Sought, counts: bool = False) -> Kept | None:
        """What lies under the key, of this service."""
        kept = self.shelf.find(sought.key, self.seconds(), counts)
        if kept is None or all(variant.owner == sought.owner for variant in kept.variants):
            return kept
        mine = tuple(variant for variant in kept.variants if variant.owner == sought.owner)
        return Kept(mine) if mine else None

    def _pass(self, exchange: Any, sought: Sought, why: bytes) -> None:
        """It is for the app server."""
        sought.counts.bypassed += 1
        exchange.record.cache = "bypassed"
        self.responder.respond(Passed(exchange, self, sought, why))

    def _ask(
        self, exchange: Any, sought: Sought, kept: Kept | None, reuse: Reuse, names: tuple[bytes, ...] | None
    ) -> None:
        """Ask the origin, or wait for what is being asked already."""
        if kept is not None and self.covering.cover_failing(exchange, sought):
            self._refresh(exchange, sought, kept, reuse)
            return
        asked = sought.asked
        is_telling = (
            sought.only_validates
            and not asked.no_cache
            and not asked.no_store
            and asked.max_age is None
            and not self.prospects.is_marked(sought)
        )
        is_open = is_telling and (kept is not None or self.prospects.may_wait(sought))
        if is_telling:
            for fetch in self._fetches.get(sought.key, ()):
                if (is_open or fetch.stage == SHARED) and fetch.takes(sought) and len(fetch.line) < MOST_WAITING:
                    fetch.join(exchange, sought)
                    return
        if is_open:
            asked = sought.without_conditions()
        stored: tuple[Stored, ...] = () if kept is None else kept.stored
        out = outgoing(asked, reuse.stored, stored)
        variants = kept.variants if out.is_validating and kept is not None else ()
        names = stored[0].names if stored and names is None else names
        forwarded = reuse.forwarded
        self._start(
            Fetch(self, exchange, sought, asked, out.head, forwarded, variants, names, is_open, is_telling=is_telling)
        )

    def _refresh(self, exchange: Any, sought: Sought, kept: Kept, reuse: Reuse) -> None:
        """Ask the origin behind an answer that is stale; once at a time, and not again at once if that has failed."""
        if self.covering.is_resting(sought):
            return
        for fetch in self._fetches.get(sought.key, ()):
            if fetch.is_same(sought):
                return
        asked = sought.without_conditions()
        out = outgoing(asked, reuse.stored, kept.stored)
        variants = kept.variants if out.is_validating else ()
        names = kept.stored[0].names
        sought.counts.refreshes += 1
        self._start(Fetch(self, exchange, sought, asked, out.head, reuse.forwarded, variants, names, has_client=False))

    def _start(self, fetch: Fetch) -> None:
        self._fetches.setdefault(fetch.sought.key, []).append(fetch)
        fetch.start()

    # For fetches.

    def plan(self, fetch: Fetch, head: ResponseHead, received_at: float) -> Stored | Refusal:
        """What is to be kept of this answer."""
        cookie = self._services.own_cookie(fetch.sought.service)
        if cookie:
            # Our own, which ties a client to an instance; it is for this client, and no reason not to keep the answer.
            prefix = cookie + b"="
            fields = [
                field
                for field in head.fields
                if not (field[0].lower() == b"set-cookie" and field[1].startswith(prefix))
            ]
            head = head.with_fields(fields)
        return plan_store(fetch.asked, head, fetch.started, received_at, self.policy)

    def ask_again(self, fetch: Fetch) -> None:
        """Its 304 was about nothing that is here: ask for all of it."""
        self._start(fetch.again(unconditional(fetch.asked)))

    def answer_with(self, exchange: Any, sought: Sought, variant: Variant, said: bytes) -> None:
        """Answer out of what is stored, as the request's conditions and range say."""
        exchange.record.service = sought.service
        found = answering.answer(variant.stored, sought.asked, variant.body.size, self.wall())
        head = with_status(found.head, said)
        end = found.last + 1
        if end <= found.first or sought.asked.head.method == b"HEAD":
            exchange.answer(head)
        elif variant.whole is not None:
            exchange.answer(head, variant.whole[found.first : end])
        else:
            _send(exchange, head, variant, found.first, end)

    def release(self, waiters: Iterable[Waiter], names: tuple[bytes, ...] | None = None) -> None:
        """
        What came is not for these: each goes on, all in parallel.

        :param names: what Vary has turned out to nominate: those with the same values there go on together.
        """
        for waiter in waiters:
            try:
                self._consider(waiter.exchange, waiter.sought, names)
            except Exception as fault:  # as a listener does, and the others go on
                waiter.exchange.fail(fault)

    def forget(self, fetch: Fetch) -> None:
        """It is over for all who come."""
        fetches = self._fetches.get(fetch.sought.key)
        if fetches is not None and fetch in fetches:
            fetches.remove(fetch)
            if not fetches:
                del self._fetches[fetch.sought.key]

    # Time.

    def tick(self) -> None:
        """Do what is due; called a few times a second."""
        self._follow_wall()
        self._marks.expire(self.seconds())
        self.covering.failures.expire(self.seconds())
        earliest = self.wall() - PATIENCE_SECONDS
        for fetches in list(self._fetches.values()):
            for fetch in list(fetches):
                if fetch.stage == WAITING and fetch.is_open and fetch.started <= earliest:
                    self.prospects.mark(fetch.sought)
                    fetch.release_joiners()

    def _follow_wall(self) -> None:
        skew = self._wall() - self.seconds()
        if abs(skew - self.shelf.skew) > _SKEW_SECONDS:
            self.shelf.skew = skew

    def __repr__(self) -> str:
        count = sum(map(len, self._fetches.values()))
        return f"<CacheFront of {self.responder!r}: {count} fetches, {self.shelf!r}>"


def _choose(kept: Kept, sought: Sought, wall: float) -> Variant | None:
    """The variant for a plain request, if it is fresh; which one it is, is remembered."""
    stored = fresh_hit(kept.stored, sought.asked, wall)
    if stored is None:
        return None
    variant = kept.of(stored)
    if variant.owner != sought.owner:
        return None
    sought.kept_number = kept.number
    sought.index = kept.stored.index(stored)
    return variant


def _send(exchange: Any, head: ResponseHead, variant: Variant, first: int = 0, end: int | None = None) -> None:
    """What is too much for one write, as fast as the client takes it."""
    if exchange.head.method == b"HEAD":
        exchange.answer(head)
        return
    exchange.begin(head)
    Reader(exchange, variant.body, None, first, end).send()
