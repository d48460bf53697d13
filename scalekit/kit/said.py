"""
What an application says of itself, and the environment in its place: the same image runs anywhere.

An argument stands above its variable, and the variable above what is so on the balancer's own machine, where neither is
needed.  Pure: the environment is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from scalekit.kit.registration import check_balancer, words_in
from scalekit.places import LOCAL_BALANCER, default_state_directory, local_ca, local_url


class Said(NamedTuple):
    """
    :ivar port: 0: nobody has named one.
    :ivar host: where the port is, an address; empty: nobody has said.
    :ivar hosts: the requests that the service is for, and ``path``, see `Registration`.
    :ivar ca: what signs the balancer's certificate; empty: an authority that the system trusts.
    :ivar token_file: empty: the balancer is on this machine.
    """

    port: int
    host: str
    service: str
    hosts: tuple[str, ...]
    path: str
    balancer: str
    ca: str
    token_file: str


def said(
    environ: Mapping[str, str],
    *,
    port: int = 0,
    host: str = "",
    service: str = "",
    hosts: Iterable[str] = (),
    path: str = "",
    balancer: str = "",
    ca: str = "",
    token_file: str = "",
) -> Said:
    """
    Take what is empty from ``SCALEKIT_PORT``, ``…_HOST``, ``…_SERVICE``, ``…_HOSTS``, ``…_PATH``, ``…_BALANCER``,
    ``…_CA`` and ``…_TOKEN_FILE``.

    :raises ValueError: a port, or the balancer's URL, is none; the message says what was found.
    """
    port = port or _number_in(environ.get("SCALEKIT_PORT") or "0")
    if not 0 <= port <= 65535:
        raise ValueError(f"port: found {port}, expected a number from 1 to 65535")
    state = default_state_directory(environ)
    given = balancer or environ.get("SCALEKIT_BALANCER")
    url = check_balancer(given or local_url(state, "registration", LOCAL_BALANCER))
    return Said(
        port,
        host or environ.get("SCALEKIT_HOST") or "",
        service or environ.get("SCALEKIT_SERVICE") or "default",
        tuple(hosts) or words_in(environ.get("SCALEKIT_HOSTS", "")),
        path or environ.get("SCALEKIT_PATH") or "",
        url,
        ca or environ.get("SCALEKIT_CA") or local_ca(state, url),
        token_file or environ.get("SCALEKIT_TOKEN_FILE") or "",
    )


def _number_in(port: str) -> int:
    if not port.isascii() or not port.isdigit():
        raise ValueError(f"SCALEKIT_PORT: found {port!r}, expected a number from 1 to 65535")
    return int(port)
