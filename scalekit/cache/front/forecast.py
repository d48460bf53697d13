"""What the cache would do with a request, in words; nothing is answered, counted, or asked for."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from scalekit.cache.front.front import CacheFront
from scalekit.cache.front.sought import Sought
from scalekit.cache.rules.reuse import Reuse, Verdict, plan_reuse
from scalekit.errors import Fault
from scalekit.http.heads import Client, RequestHead
from scalekit.interfaces import ICacheForecast

_WHY_ASKED = {
    b"uri-miss": "nothing is stored for this URL",
    b"vary-miss": "what is stored is for requests with other fields (Vary)",
    b"stale": "what is stored is stale",
    b"request": "the request wants it",
}


@implementer(ICacheForecast)
class Forecast:
    """:param front: the cache."""

    def __init__(self, front: CacheFront) -> None:
        self._front = front

    def forecast(self, head: RequestHead, client: Client) -> dict[str, Any]:
        try:
            sought = self._front.seek(head, client)
        except Fault as fault:
            return _said("bypass", fault.detail)
        if not sought.is_cached:
            return _said("off", "what becomes a tunnel is not kept" if head.upgrade else "off for this service")
        if not sought.asked.is_lookup:
            method = head.method.decode("latin-1")
            if head.method in (b"GET", b"HEAD"):
                return _said("bypass", f"not asked: a {method} with a body, or that app servers see another URL of")
            return _said("bypass", f"not asked: nothing answers a {method} but the app server")
        kept = self._front.find(sought)
        wall = self._front.wall()
        return self._of(sought, plan_reuse(() if kept is None else kept.stored, sought.asked, wall), wall)

    def _of(self, sought: Sought, reuse: Reuse, wall: float) -> dict[str, Any]:
        stored = reuse.stored
        if reuse.verdict is Verdict.UNAVAILABLE:
            return _said("unavailable", "504: nothing that is here would do, and the request wants nobody asked")
        left = None if stored is None or stored.fresh_until == float("-inf") else stored.fresh_until - wall
        if reuse.verdict in (Verdict.FRESH, Verdict.STALE):
            if left is not None and left > 0:
                return _said("hit", f"would be answered from the cache, fresh for another {left:.0f} s", left)
            behind = ", and asked for anew behind it" if reuse.verdict is Verdict.STALE else ", as the request allows"
            return _said("stale", f"would be answered from the cache, though it is stale{behind}", left)
        why = _WHY_ASKED.get(reuse.forwarded, reuse.forwarded.decode())
        if reuse.verdict is Verdict.VALIDATE:
            return _said("validate", f"the app server is asked whether what is stored is still good: {why}", left)
        text = f"the app server is asked: {why}"
        if sought.asked.no_store:
            text += "; its answer is not stored: the request says no-store"
        elif self._front.prospects.is_marked(sought):
            text += "; the last answer was not stored, or for its client only: nobody waits for this one"
        elif reuse.forwarded == b"uri-miss" and not self._front.prospects.may_wait(sought):
            text += "; it says who asks, and no answer of the kind was for everybody: nobody waits for this one"
        return _said("miss", text)

    def __repr__(self) -> str:
        return f"<Forecast of {self._front!r}>"


def _said(decision: str, detail: str, fresh_seconds: float | None = None) -> dict[str, Any]:
    return {
        "decision": decision,
        "detail": detail,
        "fresh_seconds": None if fresh_seconds is None else round(fresh_seconds, 3),
    }
