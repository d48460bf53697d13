"""
What is different between two configurations, as the keys that a person would look for; pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from scalekit.config.decode import keys_of
from scalekit.config.listeners import LISTENERS, PATHS, SYSLOG_LISTENERS
from scalekit.config.model import Table
from scalekit.config.urls import ListenURL


def changed_keys(old: Table, new: Table, place: str = "") -> list[str]:
    """
    Every key with another value, such as ``balancer.health.interval``; a list of tables is one key.

    Listeners are compared but for the files that they are served with, which are read again anyway.
    """
    found: list[str] = []
    for name, kind in keys_of(type(new)).items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(after, Table):
            found += changed_keys(before, after, f"{place}{name}.")
        elif kind is LISTENERS or kind is SYSLOG_LISTENERS:
            if [_bound(url) for url in before] != [_bound(url) for url in after]:
                found.append(f"{place}{name}")
        elif before != after:
            found.append(f"{place}{name}")
    return found


def is_within(key: str, places: Iterable[str]) -> bool:
    """Whether a key is one of these, or in one of these tables."""
    return any(key == place or key.startswith(f"{place}.") for place in places)


def _bound(url: ListenURL) -> ListenURL:
    """A listener without its files; but whether it has any of its own is settled when it is bound."""
    has_own = bool(url.certificate or url.client_ca)
    without: dict[str, str] = dict.fromkeys(PATHS, "") | {"certificate": "its own" if has_own else ""}
    return msgspec.structs.replace(url, client_certificates="", **without)
