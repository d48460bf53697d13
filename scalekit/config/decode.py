"""
A parsed TOML document -> `Config`, and back; pure.

An unknown key is an error that names the nearest known one: of its own table first, then of all.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from scalekit.config import kinds
from scalekit.config.kinds import Kind, Mismatch, shown
from scalekit.config.model import Config, Table
from scalekit.errors import ConfigurationFault

T = TypeVar("T", bound=Table)


@cache
def keys_of(table: type[Table]) -> Mapping[str, Kind | type[Table] | tuple[type[Table]]]:
    """The keys of a table: a kind, a table, or (in a tuple) the table of which the key holds a list."""
    found: dict[str, Kind | type[Table] | tuple[type[Table]]] = {}
    for name, hint in typing.get_type_hints(table, include_extras=True).items():
        if isinstance(hint, type) and issubclass(hint, Table):
            found[name] = hint
        elif typing.get_origin(hint) is tuple:
            found[name] = (typing.get_args(hint)[0],)
        else:
            [found[name]] = hint.__metadata__
    return types.MappingProxyType(found)


def decode(document: Mapping[str, object], source: str) -> Config:
    """
    The configuration that a TOML document stands for.

    :param source: the file's name, for errors.
    :raises ConfigurationFault: ``source: key: found …, expected …``.
    """
    config = _decode_table(Config, document, source, "")
    _check_together(config, source)
    return config


def _decode_table(table: type[T], document: Mapping[str, object], source: str, place: str) -> T:
    known = keys_of(table)
    values: dict[str, Any] = {}
    for key, value in document.items():
        here = f"{place}{key}"
        kind = known.get(key)
        if kind is None:
            raise ConfigurationFault(f"{source}: {here}: found an unknown key, expected {_nearest(table, key)}")
        if isinstance(kind, Kind):
            values[key] = _read(kind, value, f"{source}: {here}")
        elif isinstance(kind, tuple):
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise ConfigurationFault(f"{source}: {here}: found {shown(value)}, expected tables, each [[{here}]]")
            values[key] = tuple(
                _decode_table(kind[0], item, source, f"{here}[{index}].") for index, item in enumerate(value)
            )
        else:
            if not isinstance(value, dict):
                raise ConfigurationFault(f"{source}: {here}: found {shown(value)}, expected a table, [{here}]")
            values[key] = _decode_table(kind, value, source, f"{here}.")
    return table(**values)


def _read(kind: Kind, value: object, place: str) -> Any:
    try:
        return kind.read(value)
    except Mismatch as mismatch:
        raise ConfigurationFault(
            f"{place}{mismatch.place}: found {mismatch.found}, expected {mismatch.expected}"
        ) from None


def _nearest(table: type[Table], key: str) -> str:
    near = difflib.get_close_matches(key, keys_of(table), 1)
    if near:
        return f"{near[0]}"
    paths = {path.rpartition(".")[2]: path for path, _kind in all_keys()}
    near = difflib.get_close_matches(key, paths, 1, 0.8)
    if near:
        return f"{paths[near[0]]}, which stands elsewhere"
    return f"one of {', '.join(keys_of(table))}"


def _check_together(config: Config, source: str) -> None:
    """What no single value shows."""
    for one, other in (("certificate", "private_key"), ("private_key", "certificate")):
        if getattr(config.tls, one) and not getattr(config.tls, other):
            raise ConfigurationFault(f'{source}: tls.{other}: found "", expected a path, because tls.{one} has one')
    for index, entry in enumerate(config.tls.sni):
        for key in ("certificate", "private_key"):
            if not getattr(entry, key):
                raise ConfigurationFault(f'{source}: tls.sni[{index}].{key}: found "", expected a path')
        for place, earlier in enumerate(config.tls.sni[:index]):
            for name in entry.names:
                if name in earlier.names:
                    raise ConfigurationFault(
                        f"{source}: tls.sni[{index}].names: found {shown(name)}, expected no name of tls.sni[{place}]"
                    )
    names: set[str] = set()
    for index, service in enumerate(config.balancer.service):
        if service.name in names:
            where = f"balancer.service[{index}].name"
            raise ConfigurationFault(f"{source}: {where}: found {shown(service.name)}, expected no name twice")
        names.add(service.name)
    _check_sinks(config, source)


def _check_sinks(config: Config, source: str) -> None:
    names: set[str] = set()
    for index, sink in enumerate(config.logs.sink):
        where = f"{source}: logs.sink[{index}]"
        if not sink.url:
            raise ConfigurationFault(f'{where}.url: found "", expected {kinds.BASE_URL.expected}')
        if sink.name in names:
            raise ConfigurationFault(f"{where}.name: found {shown(sink.name)}, expected no name twice")
        names.add(sink.name)


def override(config: Config, key: str, value: object, source: str) -> Config:
    """
    The configuration with another value, given as TOML would, for one key such as ``cache.max_bytes``.

    :param source: what to blame in an error, such as ``--max-bytes``.
    :raises ConfigurationFault: the value is not of the key's kind.
    """
    return _override(config, key.split("."), value, source)


def _override(table: T, path: list[str], value: object, source: str) -> T:
    kind = keys_of(type(table))[path[0]]
    new = (
        _read(kind, value, source)
        if isinstance(kind, Kind)
        else _override(getattr(table, path[0]), path[1:], value, source)
    )
    return msgspec.structs.replace(table, **{path[0]: new})


def all_keys(table: type[Table] = Config, place: str = "") -> Iterator[tuple[str, Kind]]:
    """Every key that has a value, as ``section.key``, with its kind; lists of tables stand for one of them."""
    for name, kind in keys_of(table).items():
        if isinstance(kind, Kind):
            yield f"{place}{name}", kind
        else:
            yield from all_keys(kind[0] if isinstance(kind, tuple) else kind, f"{place}{name}.")


def encode(table: Table) -> dict[str, Any]:
    """A table as TOML would hold it: ``decode(encode(config), "") == config``."""
    document: dict[str, Any] = {}
    for name, kind in keys_of(type(table)).items():
        value = getattr(table, name)
        if isinstance(kind, Kind):
            document[name] = kind.show(value)
        elif isinstance(kind, tuple):
            document[name] = [encode(item) for item in value]
        else:
            document[name] = encode(value)
    return document
