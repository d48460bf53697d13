"""
What a ``listen`` entry may be: a URL, or an inline table with a URL and what this listener does differently::

    listen = ["http://127.0.0.1:8080", { url = "https://[::]:2000", client_ca = "clients.pem" }]
    syslog = ["udp://127.0.0.1:5514", { url = "tcp://[::]:5514", allow_from = ["10.0.0.0/8"] }]

`LISTENERS` are of HTTP, `SYSLOG_LISTENERS` of syslog.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from scalekit.config.kinds import NETWORKS, PATH, Kind, Mismatch, choice, list_of, shown
from scalekit.config.urls import ListenURL, parse_listen_url, parse_syslog_url

_URL = 'a URL such as "https://[::]:2000" or "unix:///run/x.sock"'
_SYSLOG_URL = 'a URL such as "udp://127.0.0.1:5514", "tcp://127.0.0.1:5514" or "tls://[::]:6514"'
_KEYS: Mapping[str, Kind] = {
    "certificate": PATH,
    "private_key": PATH,
    "client_ca": PATH,
    "client_certificates": choice("required", "optional"),
    "proxy_protocol_from": NETWORKS,
}
_SYSLOG_KEYS: Mapping[str, Kind] = {**_KEYS, "allow_from": NETWORKS}
_TOGETHER = (("certificate", "private_key"), ("private_key", "certificate"), ("client_certificates", "client_ca"))
#: Those of the keys that a listener without TLS may have.
_WITHOUT_TLS = ("proxy_protocol_from", "allow_from")
#: Those that hold paths.
PATHS = tuple(name for name, kind in _KEYS.items() if kind is PATH)


def _url(parse: Callable[[str], ListenURL]) -> Callable[[object], ListenURL]:
    def read(value: object) -> ListenURL:
        if not isinstance(value, str):
            raise ValueError
        return parse(value)

    return read


_parsed = _url(parse_listen_url)
_parsed_syslog = _url(parse_syslog_url)
URL = Kind(_URL, _parsed, str)
_SYSLOG = Kind(_SYSLOG_URL, _parsed_syslog, str)


def _read(value: object) -> ListenURL:
    return _of_table(value, URL, _KEYS) if isinstance(value, dict) else _parsed(value)


def _of_table(value: Mapping[str, Any], listened: Kind, keys: Mapping[str, Kind]) -> ListenURL:
    """
    :param listened: the kind of its ``url``.
    :param keys: what it may have besides.
    """
    found: dict[str, Any] = {}
    for name, item in value.items():
        kind = listened if name == "url" else keys.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, ["url", *keys], 1)
            expected = near[0] if near else f"one of url, {', '.join(keys)}"
            raise Mismatch("an unknown key", expected, f".{name}")
        try:
            found[name] = kind.read(item)
        except Mismatch as mismatch:
            raise Mismatch(mismatch.found, mismatch.expected, f".{name}{mismatch.place}") from None
    if "url" not in found:
        raise Mismatch("none", listened.expected, ".url")
    url: ListenURL = found.pop("url")
    for one, other in _TOGETHER:
        if found.get(one) and not found.get(other):
            raise Mismatch('""', f"a path, because {one} is set", f".{other}")
    for name in found:
        if name not in _WITHOUT_TLS and not url.is_secure:
            secure = "tls" if "allow_from" in keys else "https"
            raise Mismatch(shown(value[name]), f"no such key, because the listener is not {secure}", f".{name}")
    if found.get("proxy_protocol_from") and url.scheme in ("unix", "udp"):
        why = "the peers of a unix socket have no address" if url.scheme == "unix" else "UDP has no connections"
        raise Mismatch(shown(value["proxy_protocol_from"]), f"no such key, because {why}", ".proxy_protocol_from")
    if found.get("client_ca"):
        found.setdefault("client_certificates", "required")
    return msgspec.structs.replace(url, **found)


def _read_syslog(value: object) -> ListenURL:
    listener = _of_table(value, _SYSLOG, _SYSLOG_KEYS) if isinstance(value, dict) else _parsed_syslog(value)
    # Syslog knows no tokens: anybody could write what the log is believed for, and as much as it holds.
    if not (listener.is_local or listener.allow_from or listener.demands_certificates):
        raise Mismatch("none", f"the networks that may send, because {listener} is not on loopback", ".allow_from")
    return listener


def _show(listener: ListenURL) -> object:
    keys = _SYSLOG_KEYS
    table = {name: kind.show(getattr(listener, name)) for name, kind in keys.items() if getattr(listener, name)}
    return {"url": str(listener), **table} if table else str(listener)


def _listeners(expected: str, read: Callable[[object], ListenURL], least: int) -> Kind:
    listed = list_of(Kind(f"{expected}, or a table with a url", read, _show), least)

    def read_all(value: object) -> tuple[ListenURL, ...]:
        listeners: tuple[ListenURL, ...] = listed.read(value)
        places: set[str] = set()
        for index, listener in enumerate(listeners):
            place = str(listener)
            if place in places and listener.port:  # port 0 twice is two listeners
                raise Mismatch(shown(place), "no listener twice", f"[{index}]")
            places.add(place)
        return listeners

    return Kind(listed.expected, read_all, listed.show)


LISTENERS = _listeners(_URL, _read, 1)
SYSLOG_LISTENERS = _listeners(_SYSLOG_URL, _read_syslog, 0)
