"""
What a ``listen`` entry may be: a URL, or an inline table with a URL and what this listener does differently::

    listen = ["http://127.0.0.1:8080", { url = "https://[::]:2000", client_ca = "clients.pem" }]
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from scalekit.config.kinds import NETWORKS, PATH, Kind, Mismatch, choice, list_of, shown
from scalekit.config.urls import ListenURL, parse_listen_url

_URL = 'a URL such as "https://[::]:2000" or "unix:///run/x.sock"'
_KEYS: Mapping[str, Kind] = {
    "certificate": PATH,
    "private_key": PATH,
    "client_ca": PATH,
    "client_certificates": choice("required", "optional"),
    "proxy_protocol_from": NETWORKS,
}
_TOGETHER = (("certificate", "private_key"), ("private_key", "certificate"), ("client_certificates", "client_ca"))
#: Those of the keys that hold paths.
PATHS = tuple(name for name, kind in _KEYS.items() if kind is PATH)


def _parsed(value: object) -> ListenURL:
    if not isinstance(value, str):
        raise ValueError
    return parse_listen_url(value)


URL = Kind(_URL, _parsed, str)


def _read(value: object) -> ListenURL:
    if not isinstance(value, dict):
        return _parsed(value)
    found: dict[str, Any] = {}
    for name, item in value.items():
        kind = URL if name == "url" else _KEYS.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, ["url", *_KEYS], 1)
            expected = near[0] if near else f"one of url, {', '.join(_KEYS)}"
            raise Mismatch("an unknown key", expected, f".{name}")
        try:
            found[name] = kind.read(item)
        except Mismatch as mismatch:
            raise Mismatch(mismatch.found, mismatch.expected, f".{name}{mismatch.place}") from None
    if "url" not in found:
        raise Mismatch("none", _URL, ".url")
    url: ListenURL = found.pop("url")
    for one, other in _TOGETHER:
        if found.get(one) and not found.get(other):
            raise Mismatch('""', f"a path, because {one} is set", f".{other}")
    for name in found:
        if name != "proxy_protocol_from" and not url.is_secure:
            raise Mismatch(shown(value[name]), "no such key, because the listener is not https", f".{name}")
    if found.get("proxy_protocol_from") and url.scheme == "unix":
        raise Mismatch(
            shown(value["proxy_protocol_from"]),
            "no such key, because the peers of a unix socket have no address",
            ".proxy_protocol_from",
        )
    if found.get("client_ca"):
        found.setdefault("client_certificates", "required")
    return msgspec.structs.replace(url, **found)


def _show(listener: ListenURL) -> object:
    table = {name: kind.show(getattr(listener, name)) for name, kind in _KEYS.items() if getattr(listener, name)}
    return {"url": str(listener), **table} if table else str(listener)


_LISTED = list_of(Kind(f"{_URL}, or a table with a url", _read, _show), 1)


def _read_all(value: object) -> tuple[ListenURL, ...]:
    listeners: tuple[ListenURL, ...] = _LISTED.read(value)
    places: set[str] = set()
    for index, listener in enumerate(listeners):
        place = str(listener)
        if place in places and listener.port:  # port 0 twice is two listeners
            raise Mismatch(shown(place), "no listener twice", f"[{index}]")
        places.add(place)
    return listeners


LISTENERS = Kind(_LISTED.expected, _read_all, _LISTED.show)
