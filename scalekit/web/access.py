"""
Who may use a private listener: the rules, as one pure function (contract: "Access").

A browser on the same machine is a stranger too: any page it shows can send requests to loopback.  In this order:

| request | verdict |
|---|---|
| Host is neither loopback nor one of our names and addresses | 421: a name was bent to point here (DNS rebinding) |
| Sec-Fetch-Site is there and neither ``same-origin`` nor ``none`` | 403: another site's page asks |
| Origin is there and not the one that Host names (``null`` too) | 403: for browsers without Sec-Fetch-Site |
| tokens are set, and a token is given that is not one of them | 401 |
| tokens are set, off loopback, no token, no session, no client certificate, and the path is not open | 401 |
| it has a session, would change something, and does not say that it comes from a page of ours | 403: CSRF |
| the token's role does not cover what is asked; a client certificate's is ``register`` | 403 |

Programs that are no browsers send none of the first three and pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import ip_address

from scalekit.config.tokens import Grant, Tokens
from scalekit.errors import ClientFault
from scalekit.http.heads import Client, RequestHead, values_of
from scalekit.net.names import hostname

RoleOf = Callable[[RequestHead], str | None]

# Answered to anybody who can reach the listener: probes carry no tokens, and these say nothing but "here".
OPEN_PATHS = frozenset((b"/ping", b"/healthz", b"/readyz"))
# Methods that only look (RFC 9110 section 9.2.1).
_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
# POSTs that only look: a list of keys is too long for a query.
_LOOKING = frozenset((b"/v1/keys:get",))
# GETs that change something: the tutorial's routes.
_CHANGING = frozenset((b"/invalidate",))
_REGISTERING = frozenset((b"/register", b"/unregister"))


def data_role(head: RequestHead) -> str | None:
    """The role that cache and logs ask for: ``read`` to look, ``write`` to change; None for open paths."""
    path = head.normal_path
    if path in OPEN_PATHS:
        return None
    if path in _LOOKING or (head.method in _SAFE and path not in _CHANGING):
        return "read"
    return "write"


def registration_role(head: RequestHead) -> str | None:
    """
    The role the registration port asks for: ``register``, ``operator`` to change others, ``write`` to purge; None for
    open paths.
    """
    path = head.normal_path
    if path in OPEN_PATHS:
        return None
    if path in _REGISTERING:
        return "register"
    if head.method in _SAFE:
        return "read"
    if path == b"/v1/purge":
        return "write"
    if path.startswith(b"/v1/services/") and head.method != b"PATCH":
        return "register"
    return "operator"


def verdict(
    head: RequestHead,
    client: Client,
    names: Collection[str],
    tokens: Tokens | None,
    role_of: RoleOf = data_role,
    session: Grant | None = None,
) -> ClientFault | Grant | None:
    """
    What is to become of a request to a private listener.

    :param names: our own names and addresses, lower case, addresses without brackets.
    :param tokens: None where none are needed to reach this listener.
    :param role_of: the role that a request needs.
    :param session: what its session allows, see `scalekit.web.login`; None without one.
    :return: a `ClientFault` 401, 403 or 421 to answer with; the `Grant` of its token; None: it passes without one.
    """
    fault = _foreign(head, client, names)
    if fault is not None or tokens is None:
        return fault
    authorization = values_of(head.fields, b"authorization")
    if authorization:
        grant = bearer_grant(authorization, tokens)
        if grant is None:
            return ClientFault(401, "bad-token", "The token is not one of those for this listener.")
    elif is_local(client.address) or role_of(head) is None:
        return None
    elif session is not None:
        if role_of(head) != "read" and not is_from_here(head):
            # Its cookie came by itself: that the page wanted this as well has to be said (a browser does).
            return ClientFault(403, "no-origin", "The request does not say that it comes from a page of this listener.")
        grant = session
    elif client.certificate is not None:
        # Signed by the listener's own authority. It says who the app is, so what it may do is what apps do.
        grant = Grant("register")
    else:
        return ClientFault(401, "no-token", "This listener needs an Authorization: Bearer token.")
    role = role_of(head)
    if role is not None and not is_local(client.address) and not grant.allows(role, grant.service):
        return ClientFault(403, "token-role", f"The token's role is {grant.role}; this needs {role}.")
    return grant


def is_from_here(head: RequestHead) -> bool:
    """Whether a browser says that the listener's own page asks; of what `verdict` lets through, as it judges Origin."""
    sites = values_of(head.fields, b"sec-fetch-site")
    return sites == [b"same-origin"] or (not sites and bool(values_of(head.fields, b"origin")))


@lru_cache(1024)  # parsing an address takes 2 us; peers are few, and a stranger's many cannot grow this
def is_local(address: str) -> bool:
    """Whether a peer's address is this machine's loopback, or a unix socket."""
    if address == "unix":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _foreign(head: RequestHead, client: Client, names: Collection[str]) -> ClientFault | None:
    """The fault of a request that a web page made, or that was sent here under a stranger's name; None if neither."""
    host = head.host.decode("latin-1").lower()
    if host and client.address != "unix" and not _is_ours(_hostname(host), client, names):
        return ClientFault(421, "foreign-host", "This listener does not answer under that Host.")
    for site in values_of(head.fields, b"sec-fetch-site"):
        if site.lower() not in (b"same-origin", b"none"):
            return ClientFault(403, "cross-site", "Pages of other sites may not use this listener.")
    for origin in values_of(head.fields, b"origin"):
        scheme, mark, authority = origin.decode("latin-1").lower().partition("://")
        own = "https" if client.is_secure else "http"
        if not mark or scheme != own or _with_port(authority, own) != _with_port(host, own):
            return ClientFault(403, "foreign-origin", "Pages of other origins may not use this listener.")
    return None


def _is_ours(name: str, client: Client, names: Collection[str]) -> bool:
    return name == "localhost" or name in names or name == client.local_address or is_local(name)


_hostname = lru_cache(1024)(hostname)


def _with_port(authority: str, scheme: str) -> str:
    has_port = authority.rpartition(":")[2].isdigit() and not authority.endswith("]")
    return authority if has_port else f"{authority}:{443 if scheme == 'https' else 80}"


def bearer_grant(authorization: list[bytes], tokens: Tokens) -> Grant | None:
    """What the values of Authorization allow; None if they are not one known token."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(b" ")
    return tokens.grant_for(token.strip(b" ")) if scheme.lower() == b"bearer" else None
