"""What of a request says that it belongs together with others: ``hash_on`` in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.http.cookies import cookie_value

#: The key of an `scalekit.interfaces.IExchange`; None: it has none.
Key = Callable[[Any], bytes | None]


def key_on(hash_on: str, client_address: Callable[[Any, Any], str]) -> Key:
    """
    :param hash_on: ``client``, ``path``, ``header:NAME`` or ``cookie:NAME``.
    :param client_address: who has asked in the first place, by the request's head and the `scalekit.http.heads.Client`.
    """
    where, _, name = hash_on.partition(":")
    if where == "path":
        return lambda exchange: exchange.head.normal_path
    if where == "header":
        lower = name.lower().encode("ascii")
        if lower == b"host":
            return lambda exchange: exchange.head.host
        return lambda exchange: exchange.head.get(lower)
    if where == "cookie":
        wanted = name.encode("ascii")
        return lambda exchange: cookie_value(exchange.head.fields, wanted)
    if where == "client":
        return lambda exchange: client_address(exchange.head, exchange.client).encode()
    raise ValueError(f"{hash_on!r} is nothing to hash on")
