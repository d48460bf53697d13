"""
What a stock ``twisted.web`` request asked, held to the rules of our own listeners.

`twisted.web.http.HTTPChannel` accepts requests without Host, with two, with targets in any form, and with
``Transfer-Encoding: identity``; a responder that trusts its head must not be given those.  So the head is put together
again and read by our own parser.
"""

from __future__ import annotations

from typing import Any

from scalekit.errors import ClientFault
from scalekit.http.heads import RequestHead
from scalekit.http.requests import parse_request_head

# HTTP/2 is framed by itself: what is left of a head is read by the rules of HTTP/1.1.
_LINES = {b"HTTP/1.0": b"HTTP/1.0", b"HTTP/1.1": b"HTTP/1.1", b"HTTP/2": b"HTTP/1.1"}


def request_head(request: Any) -> RequestHead:
    """
    The head of a ``twisted.web`` request, whose body is there as a whole.

    :raises ClientFault: where our own listeners would not take it.
    """
    own = getattr(request, "exchange", None)
    if own is not None:
        return own.head  # type: ignore[no-any-return]
    version = _LINES.get(request.clientproto)
    if version is None:
        raise ClientFault(505, "bad-version", "This is HTTP/1.1 only.")
    # For HEAD, a resource without render_HEAD is asked for GET.
    method = b"HEAD" if getattr(request, "_inFakeHead", False) else request.method
    lines = [b"%b %b %b" % (method, request.uri, version)]
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines += [b"%b: %b" % (name, value) for value in values]
    data = b"\r\n".join(lines)
    head = parse_request_head(data + b"\r\n\r\n", len(data))
    head.version = 20 if request.clientproto == b"HTTP/2" else head.version
    content = request.content
    head.length = content.seek(0, 2)
    content.seek(0)
    head.expects_continue = False  # the stock site has sent 100 Continue
    return head
