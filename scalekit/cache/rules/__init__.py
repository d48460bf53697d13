"""
What an HTTP cache may keep and when it may answer with it: RFC 9111 and its neighbours.

Pure: heads are values of `scalekit.http.heads`, ``now`` is an argument, in seconds since the epoch.

A caching front asks in this order:

1. ``asked = asking.ask(head, is_secure)``: the request as caches see it, made once a head and kept with it.
   ``asked.is_lookup`` says whether the store is to be looked at (GET, HEAD), ``asked.key`` under what.
2. Under one key lie the *variants*, newest first (`Stored` values, and their bodies, which the rules never see).
   ``reuse.fresh_hit(variants, asked, now)`` is the short way for plain requests; ``reuse.plan_reuse(variants, asked,
   now)`` decides all others: FRESH, STALE (answer, and refresh behind), VALIDATE, MISS, UNAVAILABLE (504).
3. ``answering.answer(stored, asked, size, now)``: the head to answer with (200, 206, 304, 416) and which bytes.
4. To ask the origin: ``validation.outgoing(asked, stored variants)`` is the head to send: its own conditions where
   something can be validated, the client's where nothing is stored.
5. Of what comes back: a 304 to conditions of ours is ``validation.plan_refresh(…)``; an error may be answered from what
   is stale if ``stale.covers_error(stored, asked, status, now)``; everything else is ``storing.plan_store(…)``, a
   `Stored` or a `Refusal` with its reason; then ``invalidation.plan_invalidation(asked, head)`` names what it makes
   invalid, and ``validation.after_head(…)`` what a HEAD tells of what is stored.
6. ``status.hit(…)``, ``status.forwarded(…)``: the member of ``Cache-Status``.

What is in it, one file a concern:

* `fields`: Cache-Control, Age and dates as values; `structured`: the dictionaries of RFC 9651; `targeted`: whether
  ``CDN-Cache-Control`` or ``Cache-Control`` counts.
* `asking`: the request; `key`: under what an answer lies; `vary`: for which requests of one key it is.
* `storing`: what is kept, and why something is not; `stored`: what is kept of it, all computed once.
* `freshness`: for how long it is fresh, how old it is; `stale`: when it may be served beyond that.
* `reuse`: what a request gets; `answering`: conditions and ranges of the client's; `validation`: ours to the origin.
* `invalidation`: what a change makes invalid; `status`: ``Cache-Status``.
"""
