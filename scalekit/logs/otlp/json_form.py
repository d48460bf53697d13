"""
Requests in OTLP's JSON (its protocol specification, "JSON Protobuf Encoding"): ids are hex, 64-bit numbers are text,
enumerations are numbers, names are in lowerCamelCase, and what is not known is passed over.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from scalekit.errors import ClientFault
from scalekit.logs.entry import DEPTH_LIMIT
from scalekit.logs.otlp.records import (
    INT64,
    UINT32,
    Malformed,
    Record,
    Scope,
    Shared,
    bad_value,
    bytes_value,
    check_width,
    float_value,
    id_value,
    too_deep,
)

_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_FLOAT = re.compile(r"-?(?:Infinity|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|NaN", re.ASCII)


class _Struct(msgspec.Struct, omit_defaults=True, gc=False):
    """Anything may be null, which is as if it were not there."""


class _Array(_Struct):
    values: list[_AnyValue] | None = None


class _KeyValues(_Struct):
    values: list[_KeyValue] | None = None


class _AnyValue(_Struct):
    stringValue: str | None = None
    boolValue: bool | None = None
    intValue: int | str | None = None
    doubleValue: float | str | None = None
    arrayValue: _Array | None = None
    kvlistValue: _KeyValues | None = None
    bytesValue: str | None = None


class _KeyValue(_Struct):
    key: str | None = None
    value: _AnyValue | None = None


class _Resource(_Struct):
    attributes: list[_KeyValue] | None = None


class _Scope(_Struct):
    name: str | None = None
    version: str | None = None
    attributes: list[_KeyValue] | None = None


class _LogRecord(_Struct):
    timeUnixNano: int | str | None = None
    observedTimeUnixNano: int | str | None = None
    severityNumber: int | str | None = None
    severityText: str | None = None
    body: _AnyValue | None = None
    attributes: list[_KeyValue] | None = None
    droppedAttributesCount: int | None = None
    flags: int | None = None
    traceId: str | None = None
    spanId: str | None = None
    eventName: str | None = None


class _ScopeLogs(_Struct):
    scope: _Scope | None = None
    logRecords: list[_LogRecord] | None = None


class _ResourceLogs(_Struct):
    resource: _Resource | None = None
    scopeLogs: list[_ScopeLogs] | None = None


class _Request(_Struct):
    resourceLogs: list[_ResourceLogs] | None = None


_SEVERITIES = {
    f"SEVERITY_NUMBER_{name}{step if step > 1 else ''}": 4 * group + step
    for group, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
    for step in (1, 2, 3, 4)
}
_decoder = msgspec.json.Decoder(_Request)
_encoder = msgspec.json.Encoder()


def read_request(document: bytes) -> Iterator[Record | Malformed]:
    """The records of an ExportLogsServiceRequest; raises `ClientFault` 400 if it is none."""
    try:
        request = _decoder.decode(document)
    except UnicodeDecodeError:
        raise ClientFault(400, "bad-json", "The JSON is not UTF-8.") from None
    except RecursionError:
        raise ClientFault(400, "bad-json", f"The JSON is nested more than {DEPTH_LIMIT} deep.") from None
    except ValueError as error:
        raise ClientFault(400, "bad-json", f"This is no ExportLogsServiceRequest in JSON: {error}.") from None
    return _records(request)


def _records(request: _Request) -> Iterator[Record | Malformed]:
    for group in request.resourceLogs or ():
        resource = Shared(partial(_resource, group.resource))
        for part in group.scopeLogs or ():
            scope = Shared(partial(_scope, part.scope))
            for record in part.logRecords or ():
                try:
                    yield _record(record, resource.get(), scope.get())
                except ClientFault as fault:
                    yield Malformed(fault.detail, _encoder.encode(record))


def _record(said: _LogRecord, resource: dict[str, Any], scope: Scope) -> Record:
    return Record(
        _integer(said.timeUnixNano or 0, is_signed=False),
        _integer(said.observedTimeUnixNano or 0, is_signed=False),
        _number(_severity(said.severityNumber or 0)),
        said.severityText or "",
        _value(said.body, DEPTH_LIMIT),
        _attributes(said.attributes, DEPTH_LIMIT),
        id_value(said.traceId or ""),
        id_value(said.spanId or ""),
        _number(said.flags or 0),
        said.eventName or "",
        _number(said.droppedAttributesCount or 0),
        resource,
        scope,
    )


def _severity(said: int | str) -> int:
    """A name is none of OTLP's, but what ProtoJSON writes, and some exporters with it."""
    return said if isinstance(said, int) else _SEVERITIES.get(said, 0)


def _resource(said: _Resource | None) -> dict[str, Any]:
    return {} if said is None else _attributes(said.attributes, DEPTH_LIMIT)


def _scope(said: _Scope | None) -> Scope:
    if said is None:
        return Scope()
    return Scope(said.name or "", said.version or "", _attributes(said.attributes, DEPTH_LIMIT))


def _attributes(pairs: Sequence[_KeyValue] | None, depth: int) -> dict[str, Any]:
    if not pairs:
        return {}
    check_width(len(pairs))
    return {pair.key or "": _value(pair.value, depth) for pair in pairs}


def _value(said: _AnyValue | None, depth: int) -> Any:
    if said is None:
        return None
    if said.stringValue is not None:
        return said.stringValue
    if said.boolValue is not None:
        return said.boolValue
    if said.intValue is not None:
        return _integer(said.intValue)
    if said.doubleValue is not None:
        return _float(said.doubleValue)
    if said.bytesValue is not None:
        return _bytes(said.bytesValue)
    if said.arrayValue is None and said.kvlistValue is None:
        return None
    if not depth:
        raise too_deep()
    if said.arrayValue is not None:
        members = said.arrayValue.values or ()
        check_width(len(members))
        return [_value(member, depth - 1) for member in members]
    assert said.kvlistValue is not None
    return _attributes(said.kvlistValue.values, depth - 1)


def _integer(said: int | str, *, is_signed: bool = True) -> int:
    if isinstance(said, str) and len(said) < (19 if is_signed else 20) and said.isascii() and said.isdecimal():
        return int(said)  # nearly every one, such as a time of this century
    if isinstance(said, str) and not _INTEGER.fullmatch(said):
        raise bad_value(f"found {said[:40]!r}, expected a whole number.")
    number = int(said)
    if number not in (INT64 if is_signed else range(1 << 64)):
        raise bad_value(f"found {str(said)[:40]}, expected a number of 64 bits.")
    return number


def _number(said: int) -> int:
    if said not in UINT32:
        raise bad_value(f"found {str(said)[:40]}, expected a number of 32 bits.")
    return said


def _float(said: float | str) -> float | str:
    if isinstance(said, str) and not _FLOAT.fullmatch(said):
        raise bad_value(f"found {said[:40]!r}, expected a number.")
    return float_value(float(said))


def _bytes(said: str) -> str:
    try:
        # Both alphabets count (ProtoJSON), and so does text without its padding.
        text = said.rstrip("=").replace("-", "+").replace("_", "/")
        return bytes_value(b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise bad_value(f"found {said[:40]!r}, expected base64.") from None


def write_request(records: Iterable[Record]) -> bytes:
    """An ExportLogsServiceRequest of these; those that share the very same resource and scope stand together."""
    groups: dict[tuple[int, int], dict[str, Any]] = {}
    for record in records:
        key = id(record.resource), id(record.scope)
        group = groups.get(key)
        if group is None:
            part = {"scope": _shown_scope(record.scope), "logRecords": []}
            group = groups[key] = {
                "resource": {"attributes": _shown_attributes(record.resource)},
                "scopeLogs": [part],
            }
        group["scopeLogs"][0]["logRecords"].append(_shown(record))
    return _encoder.encode({"resourceLogs": list(groups.values())})


def _shown(record: Record) -> dict[str, Any]:
    said: dict[str, Any] = {
        "timeUnixNano": str(record.time),
        "observedTimeUnixNano": str(record.observed),
        "severityNumber": record.number,
        "severityText": record.text,
        "body": _shown_value(record.body),
        "attributes": _shown_attributes(record.attributes),
    }
    for name, value in (
        ("traceId", record.trace_id),
        ("spanId", record.span_id),
        ("flags", record.flags),
        ("eventName", record.event),
        ("droppedAttributesCount", record.dropped),
    ):
        if value:
            said[name] = value
    return said


def _shown_scope(scope: Scope) -> dict[str, Any]:
    said = {"name": scope.name, "version": scope.version, "attributes": _shown_attributes(scope.attributes)}
    return {name: value for name, value in said.items() if value}


def _shown_attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _shown_value(value)} for name, value in attributes.items()]


def _shown_value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if value in INT64 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _shown_attributes(value)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_shown_value(member) for member in value]}}
    return {}
