"""What is said to the cache service, and what its answers mean; without a socket, for threads and for Twisted."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from scalekit.kit.lookup import Look, Looked

# A cache that takes longer is no help: what it holds was costly to make, but not that costly.
READ_SECONDS = 0.05
# Whoever waits until somebody else has made a value has been told so by the cache just now: it is there, and what it
# says once that wait is over may be late on a machine that does much else.
LATE_SECONDS = 0.5
# Nobody waits for a connection that is opened for the next ones; a handshake of TLS takes milliseconds, on a machine
# that has other things to do many of them.
WARM_UP_SECONDS = 2.0
# Nobody waits for a write but the application's own background.
WRITE_SECONDS = 1.0
# Somebody waits for a purge, for what is old would be shown for as long as it lives.
PURGE_SECONDS = 1.0


class Request(NamedTuple):
    """
    :ivar path: with the query.
    :ivar seconds: for all of it, from waiting for a connection on.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    seconds: float


class Times(NamedTuple):
    """
    How long a value is kept, in seconds.

    :ivar max_age: for which it is fresh.
    :ivar while_revalidating: after that, for which others get it stale while one makes it anew.
    :ivar if_error: after ``max_age``, for which it is better than nothing if it cannot be made anew.
    """

    max_age: float
    while_revalidating: float = 0
    if_error: float = 0


def look_request(look: Look, seconds: float) -> Request:
    """
    Ask for a value, see `Look`.

    :param seconds: until there is a sign of the cache; for a look that waits `LATE_SECONDS` more, for one came before.
    """
    headers = {}
    if look.lease_seconds:
        headers["Cache-Lease"] = f"request;for={look.lease_seconds}"
    if look.wait_seconds:
        headers["Prefer"] = f"wait={look.wait_seconds}"
    if look.takes_stale:
        headers["Cache-Control"] = "stale-if-error"
    patience = look.wait_seconds + LATE_SECONDS if look.wait_seconds else 0.0
    return Request("GET", _path(look.key), headers, None, seconds + patience)


def read_looked(status: int, field: Callable[[str], str | None], body: bytes) -> Looked:
    """
    What the answer to that means.

    :param field: the value of a field by its lower-case name.
    """
    said = field("cache-lease")
    lease, _, _ = (said or "").partition(";")
    token = lease[1:-1] if lease.startswith('"') else ""
    return Looked(body if status == 200 else None, token, status == 404 and said is None)


def put_request(
    key: str, value: bytes, times: Times, tags: Iterable[str], lease: str, seconds: float = WRITE_SECONDS
) -> Request:
    """Store a value; under a lease, if that is not empty."""
    control = f"max-age={int(times.max_age)}"
    if times.while_revalidating:
        control += f", stale-while-revalidate={int(times.while_revalidating)}"
    if times.if_error:
        control += f", stale-if-error={int(times.if_error)}"
    headers = {"Cache-Control": control, "Content-Type": "application/octet-stream"}
    groups = ", ".join('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags)
    if groups:
        headers["Cache-Groups"] = groups
    if lease:
        headers["Cache-Lease"] = f'"{lease}"'
    return Request("PUT", _path(key), headers, value, seconds)


def give_back_request(lease: str, seconds: float) -> Request:
    """Let the next one try."""
    return Request("DELETE", f"/v1/leases/{quote(lease, safe='')}", {}, None, seconds)


def purge_request(
    keys: Sequence[str] = (), tags: Sequence[str] = (), prefix: str = "", everything: bool = False, soft: bool = False
) -> Request:
    """Purge what any of these names."""
    asked: dict[str, Any] = {"keys": list(keys), "tags": list(tags), "all": everything, "soft": soft}
    if prefix:
        asked["prefix"] = prefix
    headers = {"Content-Type": "application/json"}
    return Request("POST", "/v1/purge", headers, _json(asked), PURGE_SECONDS)


def many_request(keys: Sequence[str], seconds: float) -> Request:
    """Ask for many values at once."""
    body = _json({"keys": list(keys)})
    return Request("POST", "/v1/keys:get", {"Content-Type": "application/json"}, body, seconds)


def read_many(status: int, body: bytes) -> dict[str, bytes]:
    """Those of them that were there; what one answer cannot hold counts as missing."""
    if status != 200:
        return {}
    values: dict[str, dict[str, Any]] = json.loads(body)["values"]
    return {key: b64decode(value["value"]) for key, value in values.items()}


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _path(key: str) -> str:
    return f"/v1/keys/{quote(key, safe='')}"
