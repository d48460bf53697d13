"""
Token files: who may do what on a private listener that others can reach; and which listeners need one.

One line each, ``role[:service] token``; empty lines and lines that begin with ``#`` are left out::

    operator            p4iO0d1bY3nDqg7sXcZK5w
    register:shop       0c5eYc4C0uZb6dXnZ9yJmA

Roles: ``operator`` may do everything; ``register`` may register instances, of that service only if one is named;
``write`` may change and read what a daemon holds, ``read`` may only read it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable

from scalekit.config.kinds import is_service_name, shown
from scalekit.config.urls import ListenURL
from scalekit.errors import ConfigurationFault

ROLES = ("operator", "register", "write", "read")

# What each role may do, itself included.
_ALLOWS = {
    "operator": frozenset(ROLES),
    "register": frozenset({"register"}),
    "write": frozenset({"write", "read"}),
    "read": frozenset({"read"}),
}

# RFC 6750 section 2.1 (b64token). 16 characters of base64 are 96 bits: beyond guessing over a network.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
SHORTEST_TOKEN = 16


class Grant:
    """
    What a token allows.

    :ivar role: one of `ROLES`.
    :ivar service: the only service it is good for; None: any.
    """

    __slots__ = ("role", "service")

    def __init__(self, role: str, service: str | None = None) -> None:
        self.role = role
        self.service = service

    def allows(self, role: str, service: str | None = None) -> bool:
        """Whether this may do what ``role`` may, on that service if it is about one."""
        return role in _ALLOWS[self.role] and self.service in (None, service)

    def __repr__(self) -> str:
        return f"<Grant {self.role}{f':{self.service}' if self.service else ''}>"


class Tokens:
    """The tokens of one file."""

    def __init__(self, grants: Iterable[tuple[str, Grant]] = ()) -> None:
        self._grants = [(token.encode("ascii"), grant) for token, grant in grants]

    def grant_for(self, presented: bytes) -> Grant | None:
        """What this token allows; None if it is not known.  The time it takes tells nothing about the tokens."""
        return self.grant_where(lambda token: hmac.compare_digest(token, presented))

    def grant_where(self, is_it: Callable[[bytes], bool]) -> Grant | None:
        """What the token of which this is true allows; None without one.  All are looked at, for the time it takes."""
        found = None
        for token, grant in self._grants:
            if is_it(token):
                found = grant
        return found

    def __len__(self) -> int:
        return len(self._grants)

    def __repr__(self) -> str:
        return f"<Tokens {[grant for _token, grant in self._grants]}>"


def parse_tokens(text: str, source: str) -> Tokens:
    """
    Read a token file's text.

    :param source: the file's name, for errors.
    :raises ConfigurationFault: ``source: line N: found …, expected …``; a token itself is never shown.
    """
    grants: dict[str, tuple[int, Grant]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{source}: line {number}"
        if len(words) != 2:
            raise ConfigurationFault(f"{place}: found {len(words)} words, expected role[:service] token")
        name, token = words
        role, colon, service = name.partition(":")
        if role not in ROLES:
            raise ConfigurationFault(f"{place}: found role {shown(role)}, expected one of {', '.join(ROLES)}")
        if colon and not is_service_name(service):
            raise ConfigurationFault(f"{place}: found service {shown(service)}, expected a service's name")
        if _TOKEN.fullmatch(token) is None:
            raise ConfigurationFault(f"{place}: found a token with odd characters, expected A-Z a-z 0-9 . _ ~ + / - =")
        if len(token) < SHORTEST_TOKEN:
            raise ConfigurationFault(
                f"{place}: found a token of {len(token)} characters, expected {SHORTEST_TOKEN} or more"
            )
        if token in grants:
            raise ConfigurationFault(f"{place}: found the token of line {grants[token][0]}, expected another")
        grants[token] = (number, Grant(role, service or None))
    if not grants:
        raise ConfigurationFault(f"{source}: found no token, expected at least one line: role[:service] token")
    return Tokens((token, grant) for token, (_number, grant) in grants.items())


def check_private_listener(section: str, listen: Iterable[ListenURL], token_file: str | None) -> None:
    """
    Refuse a private listener that others can reach without a token and without a certificate.

    :param section: the table it is configured in, such as ``registration``.
    :param token_file: empty without one; None where the daemon knows none at all.
    :raises ConfigurationFault: with the one line to show.
    """
    for url in listen:
        if url.is_local or url.demands_certificates or token_file:
            continue
        if token_file is None:
            raise ConfigurationFault(
                f"{section}.listen: found {url}, expected a loopback address, a unix socket or "
                'client_certificates = "required", because anybody who reaches this listener may use it'
            )
        raise ConfigurationFault(
            f'{section}.token_file: found "", expected a file with lines "role[:service] token", '
            f"because {url} is neither on loopback nor a unix socket, and requires no client certificates"
        )
