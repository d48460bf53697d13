"""Exchanges that are over, as listeners report them."""

from __future__ import annotations

from typing import Any

from scalekit.http.heads import Client, RequestHead
from scalekit.web.memory import MemoryExchange

ABROAD = Client("203.0.113.7", 40000, True, 2000)


def over(target: bytes = b"/posts/1?x=1", version: int = 11, client: Client = ABROAD, **outcome: Any) -> MemoryExchange:
    """One that was answered; ``outcome`` overrides what its record says."""
    exchange = MemoryExchange(RequestHead(b"GET", target, [], b"shop.example", version), client=client)
    usual = {"status": 200, "sent": 110, "service": "shop", "instance": "127.0.0.1:3000", "attempts": 1}
    for name, value in {**usual, **outcome}.items():
        setattr(exchange.record, name, value)
    return exchange
