"""
What the value of a key may be: each `Kind` reads a TOML value and shows it again.

A kind is annotation metadata in `scalekit.config.model`: ``max_bytes: Annotated[int, SIZE]``.  ``read`` gives the value
or raises `Mismatch`; ``show`` gives what a TOML file would hold, so ``read(show(value)) == value``.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from scalekit.config.quantities import format_duration, format_size, parse_duration, parse_size
from scalekit.config.urls import Network, is_host_name, parse_base_url, parse_redis_url, parse_server_url


class Mismatch(Exception):
    """
    A value that its kind refuses.

    :ivar found: how it was written, shortened.
    :ivar expected: what would have been right.
    :ivar place: the part of the value that is wrong, such as ``[2]``; usually empty.
    """

    def __init__(self, found: str, expected: str, place: str = "") -> None:
        super().__init__(found, expected, place)
        self.found = found
        self.expected = expected
        self.place = place


class Kind:
    """
    One kind of value.

    :ivar expected: the words that stand behind "expected" in an error.
    :ivar show: a value as TOML would hold it.
    :ivar from_flag: what TOML would hold for what a flag of the command line gave (text, or 1 for a mere switch).
    """

    def __init__(
        self,
        expected: str,
        read: Callable[[Any], Any],
        show: Callable[[Any], Any] = lambda value: value,
        from_flag: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self.expected = expected
        self._read = read
        self.show = show
        self.from_flag = from_flag

    def read(self, value: object) -> Any:
        """
        The value that this TOML value stands for.

        :raises Mismatch: it is not of this kind.
        """
        try:
            return self._read(value)
        except ValueError as why:
            reason = str(why)
            expected = self.expected if not reason or reason == value else f"{self.expected} ({reason})"
            raise Mismatch(shown(value), expected) from None

    def __repr__(self) -> str:
        return f"<Kind {self.expected}>"


def shown(value: object) -> str:
    """A value as an error quotes it: one line of ASCII, at most 60 characters."""
    if isinstance(value, dict):
        return "a table"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _parsed(parse: Callable[[str], Any]) -> Callable[[object], Any]:
    return lambda value: parse(_text(value))


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _positive(value: object) -> float:
    seconds = parse_duration(_text(value))
    if seconds <= 0:
        raise ValueError("it must be more than nothing")
    return seconds


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError
    size = parse_size(str(value))
    if size <= 0:
        raise ValueError("it must be more than nothing")
    return size


_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


def whole_number(lowest: int, highest: int) -> Kind:
    """A whole number from ``lowest`` to ``highest``."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError
        return value

    def from_flag(text: str) -> object:
        return int(text) if _DIGITS.fullmatch(text) else text

    return Kind(f"a whole number from {lowest} to {highest}", read, from_flag=from_flag)


def choice(*allowed: str) -> Kind:
    """One of these words."""

    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError
        return _text(value)

    return Kind(" or ".join(f'"{word}"' for word in allowed), read)


def optional(kind: Kind) -> Kind:
    """This kind, or an empty string for None."""
    return Kind(
        f"{kind.expected}, or an empty string",
        lambda value: None if value == "" else kind._read(value),
        lambda value: "" if value is None else kind.show(value),
    )


def list_of(kind: Kind, least: int = 0) -> Kind:
    """A list of this kind, none of them twice; read as a tuple."""
    expected = f"a list of {'at least one' if least else 'any number'}, each {kind.expected}"

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise ValueError
        items: list[Any] = []
        for index, item in enumerate(value):
            try:
                found = kind.read(item)
            except Mismatch as mismatch:
                raise Mismatch(mismatch.found, mismatch.expected, f"[{index}]{mismatch.place}") from None
            if found in items and getattr(found, "port", None) != 0:  # port 0 twice is two listeners
                raise Mismatch(shown(item), "no value twice", f"[{index}]")
            items.append(found)
        return tuple(items)

    def show(value: Sequence[Any]) -> list[Any]:
        return [kind.show(item) for item in value]

    return Kind(expected, read, show)


def _path_text(value: object) -> str:
    text = _text(value)
    if "\0" in text:
        raise ValueError("a path holds no NUL")
    return text


def _network(value: object) -> Network:
    text = _text(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(text) from None
        raise ValueError(f"perhaps {meant} is meant, its host bits are zero") from None


# A service's name stands in URLs, log lines and metric labels: no character that any of them would have to quote.
_SERVICE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)


def is_service_name(text: str) -> bool:
    """Whether this can name a service: letters, digits, ``.``, ``_``, ``-`` inside, at most 64 characters."""
    return _SERVICE_NAME.fullmatch(text) is not None


def _service_name(value: object) -> str:
    if not is_service_name(_text(value)):
        raise ValueError
    return _text(value)


def _host_pattern(value: object) -> str:
    name = _text(value).lower()
    if not is_host_name(name.removeprefix("*.")):
        raise ValueError
    return name


# What RFC 3986 section 3.3 lets stand in a path, without percent-coding: routes match the decoded, normalised path.
_ROUTE_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)+", re.ASCII)


def _route_path(value: object) -> str:
    path = _text(value)
    if _ROUTE_PATH.fullmatch(path) is None or {".", ".."} & set(path.split("/")) or "//" in path:
        raise ValueError
    return path


# A header's name or a cookie's (RFC 9110 section 5.6.2, RFC 6265 section 4.1.1).
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}"
_COOKIE_NAME = re.compile(_TOKEN, re.ASCII)
_HASH_ON = re.compile(f"client|path|(?:header|cookie):{_TOKEN}", re.ASCII)


def _well_status(value: object) -> int:
    # 410 says that it leaves, and with 5xx nobody is well.
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value < 500 or value == 410:
        raise ValueError
    return value


# What somebody means to find in a ping's answer is a word or a line, and stands in reasons of events.
_PING_TEXT_LENGTH = 256


def _ping_text(value: object) -> str:
    if len(_text(value)) > _PING_TEXT_LENGTH or not _text(value).isprintable():
        raise ValueError
    return _text(value)


def _cookie_name(value: object) -> str:
    if not _COOKIE_NAME.fullmatch(_text(value)):
        raise ValueError
    return _text(value)


def _hash_on(value: object) -> str:
    if not _HASH_ON.fullmatch(_text(value)):
        raise ValueError
    return _text(value)


# What RFC 9110 section 5.5 lets stand in a value, without what only old proxies know how to fold.
_HEADER_NAME = re.compile(_TOKEN, re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?|", re.ASCII)


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise ValueError
    return tuple(value.items())


BOOLEAN = Kind("true or false", _boolean, from_flag=bool)
DURATION = Kind('a duration such as "250ms", "5s", "2m" or "1h"', _positive, format_duration)
DURATION_OR_ZERO = Kind('a duration such as "250ms", "5s" or "0s"', _parsed(parse_duration), format_duration)
SIZE = Kind('a size such as "64KiB" or "1GiB", or a number of bytes', _size, format_size)
# Empty stands for the default place; relative paths are made absolute by `scalekit.config.loading`.
PATH = Kind("a path", _path_text)
ACCESS_LOG = Kind('a path, or "-" for the standard output', _path_text)
WELL_STATUS = Kind("a status from 200 to 499, but not 410", _well_status)
PING_TEXT = Kind(f"printable text of at most {_PING_TEXT_LENGTH} characters", _ping_text)
PING_PATH = Kind('a path such as "/ping"', _route_path)
ROUTE_PATH = Kind('a path prefix such as "/" or "/api", not percent-coded', _route_path)
SERVERS = list_of(
    Kind('a server such as "http://127.0.0.1:8001" or "unix:///run/app.sock"', _parsed(parse_server_url), str)
)
ALGORITHM = choice("round-robin", "weighted-round-robin", "least-requests", "two-choices", "random", "hash")
COOKIE_NAME = Kind("letters, digits, and what else a token holds, at most 64", _cookie_name)
HASH_ON = Kind('"client", "path", "header:NAME" or "cookie:NAME"', _hash_on)
HEADERS = Kind("a table of header fields and their values", _headers, dict)
BASE_URL = Kind('a URL such as "https://127.0.0.1:6000"', _parsed(parse_base_url))
OPTIONAL_BASE_URL = Kind(
    f"{BASE_URL.expected}, or an empty string", lambda value: "" if value == "" else parse_base_url(_text(value))
)
REDIS_URL = Kind(
    'a URL such as "redis://127.0.0.1:6379" or "unix:///run/redis/redis.sock"', _parsed(parse_redis_url), str
)
NETWORKS = list_of(Kind('a network such as "10.0.0.0/8" or "::1"', _network, str))
HOSTS = list_of(Kind('a host name such as "shop.example" or "*.example"', _host_pattern))
SERVICE_NAME = Kind("letters, digits, and . _ - inside, at most 64", _service_name)
