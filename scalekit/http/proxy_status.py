"""
What an answer that did not come from an app server tells of why, for programs: ``Proxy-Status`` (RFC 9209); pure.

The error type says what kind of thing went wrong in the words of the standard, ``details`` says it in ours (the reason
that stands in the access log).  What is passed on from an app server gets the field only where that is an error which
might be taken for one of ours.
"""

from __future__ import annotations

from scalekit.errors import ClientFault, Fault, UpstreamFault

FIELD = b"Proxy-Status"
#: Where nobody has given us a name (the reverse proxy as a resource of a stock ``twisted.web`` site).
OWN_NAME = b"scalekit"

#: What each reason of an `UpstreamFault` is in RFC 9209; the comment is the section.
UPSTREAM_TYPES = {
    "no-route": "destination_not_found",  # 2.3.3
    "no-app-servers": "destination_unavailable",  # 2.3.4
    "stream-refused": "destination_unavailable",  # 2.3.4
    "connect-unreachable": "destination_ip_unroutable",  # 2.3.6
    "connect-refused": "connection_refused",  # 2.3.7
    "connection-closed": "connection_terminated",  # 2.3.8
    "drain-timeout": "connection_terminated",  # 2.3.8
    "stream-reset": "connection_terminated",  # 2.3.8
    "tunnel-cut": "connection_terminated",  # 2.3.8
    "connect-timeout": "connection_timeout",  # 2.3.9
    "answer-stalled": "connection_read_timeout",  # 2.3.10
    "connection-dead": "connection_read_timeout",  # 2.3.10
    "tunnel-idle": "connection_read_timeout",  # 2.3.10
    "body-stalled": "connection_write_timeout",  # 2.3.11
    "connect-queue-full": "connection_limit_reached",  # 2.3.12
    "queue-full": "connection_limit_reached",  # 2.3.12
    "queue-timeout": "connection_limit_reached",  # 2.3.12
    "streams-used-up": "connection_limit_reached",  # 2.3.12
    "tls-handshake": "tls_protocol_error",  # 2.3.13
    "tls-broken": "tls_protocol_error",  # 2.3.13
    "tls-verify": "tls_certificate_error",  # 2.3.14
    "answer-cut": "http_response_incomplete",  # 2.3.18
    "answer-timeout": "http_response_timeout",  # 2.3.26
    "no-tunnel": "http_upgrade_failed",  # 2.3.27
    "malformed-answer": "http_protocol_error",  # 2.3.28
    "http-1-required": "http_protocol_error",  # 2.3.28
}
#: Reasons that are not what all others of their class are.
_OTHER_TYPES = {
    "loop": "proxy_loop_detected",  # 2.3.32
    "no-tunnel": "http_upgrade_failed",  # 2.3.27: OurFault 501
}
_CLIENT_TYPE = "http_request_error"  # 2.3.16
_OUR_TYPE = "proxy_internal_error"  # 2.3.30


def error_type(fault: Fault) -> str:
    """The proxy error type of a fault (RFC 9209 section 2.3)."""
    if isinstance(fault, UpstreamFault):
        return UPSTREAM_TYPES.get(fault.reason, _OUR_TYPE)
    return _OTHER_TYPES.get(fault.reason, _CLIENT_TYPE if isinstance(fault, ClientFault) else _OUR_TYPE)


def generated(name: bytes, fault: Fault) -> tuple[bytes, bytes]:
    """
    The field of an answer that we have made ourselves.

    :param name: ours, a token (RFC 8941 section 3.3.4), as in Via.
    """
    # Reasons are lower-case words with hyphens, which a string may hold as they are (RFC 8941 section 3.3.3).
    said = f'; error={error_type(fault)}; details="{fault.reason}"'
    return FIELD, name + said.encode("ascii", "replace")


def passed_on(name: bytes, status: int) -> tuple[bytes, bytes]:
    """The field of an answer that an app server has made, with this status (section 2.1.4)."""
    return FIELD, b"%b; received-status=%d" % (name, status)
