"""Faults as answers: problem details (RFC 9457), or one line of text for clients that ask for text."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from scalekit.errors import Fault, UpstreamFault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.http.negotiation import prefers_text
from scalekit.http.proxy_status import OWN_NAME, generated

_PHRASES = {int(status): status.phrase for status in HTTPStatus}

PROBLEM_TYPE = b"application/problem+json"
TEXT_TYPE = b"text/plain; charset=utf-8"


def problem_body(
    accept: bytes | None,
    status: int,
    reason: str,
    detail: str,
    request_id: bytes = b"",
    attempts: int = 0,
    extra: dict[str, Any] | None = None,
) -> tuple[bytes, bytes]:
    """
    The content type and the body that tell of a fault.

    :param accept: the client's Accept.
    :param reason: the token for machines; shells see it in text too.
    :param attempts: how many app servers were tried; left out when 0.
    :param extra: more members for the JSON form (RFC 9457 section 3.2), such as ``{"field": "Timestamp"}``.
    """
    title = _PHRASES.get(status, "Error")
    if prefers_text(accept):
        text = f"{status} {title}: {detail} ({reason})\n"
        if request_id:
            text += f"request {request_id.decode('latin-1')}\n"
        return TEXT_TYPE, text.encode("utf-8", "replace")
    # The type is about:blank, so the title is the status' own phrase (RFC 9457 section 4.2.1); `reason` tells more.
    members: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    members["reason"] = reason
    if request_id:
        members["request_id"] = request_id.decode("latin-1")
    if attempts:
        members["attempts"] = attempts
    if extra:
        members.update(extra)
    return PROBLEM_TYPE, msgspec.json.encode(members) + b"\n"


def problem_answer(
    fault: Fault,
    head: RequestHead | None,
    request_id: bytes,
    attempts: int = 0,
    proxy: bytes = b"",
    allowed: bytes = b"",
) -> tuple[ResponseHead, bytes]:
    """
    The whole answer to a request that ended in a fault.

    :param head: the request's; None when it could not be parsed.
    :param proxy: our name, where we answer for others; empty: for ourselves.
    :param allowed: with 405 the methods that there are, such as ``GET, HEAD``; it may be that there are none.
    """
    accept = head.get(b"accept") if head is not None else None
    kind, body = problem_body(accept, fault.status, fault.reason, fault.detail, request_id, attempts)
    # 404, 405, 414 and 501 may be stored by caches unless told not to (RFC 9110 section 15.1).
    fields = [(b"Content-Type", kind), (b"Cache-Control", b"no-store")]
    if fault.status == 405:
        fields.append((b"Allow", allowed))  # has to be there (RFC 9110 section 15.5.6)
    if fault.retry_after is not None:
        fields.append((b"Retry-After", b"%d" % fault.retry_after))
    if proxy or isinstance(fault, UpstreamFault):
        fields.append(generated(proxy or OWN_NAME, fault))
    return ResponseHead(fault.status, fields, len(body)), body
