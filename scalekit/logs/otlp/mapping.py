"""
A record of OTLP <-> an entry of the log.

In: SeverityNumber (or else the text) is the level; the time, or else the observed time, is the Timestamp;
``service.name`` of the resource is the Source; the body is the Message.  All else is a field, by the name that it has:

1. what the record says itself: ``trace_id``, ``span_id``, ``trace_flags``, ``event_name``, and of its severity what the
   level does not say (``severity_text`` NOTICE, ``severity_number`` 10);
2. its attributes;
3. the members of a body that is a mapping: its ``message`` or ``msg`` is the Message then; without one all of it is,
   as JSON;
4. its scope, whose name is the field ``logger``, as the kit's is, and its ``scope.version``; and the resource.

Where a name is taken already, the later one gets a prefix: ``attribute.``, ``body.``, ``scope.`` or ``resource.``.  The
id of a request is the field ``request_id``, also where only ``http.request.header.x-request-id`` has it.

Out: the same back, and ``log.record.uid``, which is the same whenever the entry is sent again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from scalekit.errors import ClientFault
from scalekit.logs.bodies import REPORT_LIMIT, Batch
from scalekit.logs.entry import (
    FIELD_LIMIT,
    FIELDS_LIMIT,
    MESSAGE_LIMIT,
    SAID,
    SOURCE_LIMIT,
    Entry,
    cut,
    fields_of,
    level_of,
    nearest_level,
)
from scalekit.logs.moments import LATEST, format_timestamp
from scalekit.logs.otlp.records import Malformed, Record, Scope

#: What the specification has of a record's identity: those with the same one are the same.
UID = "log.record.uid"
#: Room for it among an entry's fields, as JSON.
_UID_ROOM = 128
#: The specification's own word for a service that does not say what it is.
NAMELESS = "unknown_service"
# Characters that are within the message's limit, whichever they are.
_SURELY_SHORT = MESSAGE_LIMIT // 4
_REQUEST_ID_HEADER = "http.request.header.x-request-id"
# Each four numbers from 1 on: TRACE, DEBUG, INFO, WARN, ERROR, FATAL.
_LEVELS = ("DEBUG", "DEBUG", "INFO", "WARN", "ERROR", "PANIC")
# A collector sends 8,192 and what came with the last of them; so many take the reactor's thread a quarter of a second.
RECORDS_LIMIT = 20_000
_NUMBERS = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "PANIC": 21}
_TRACE_ID = re.compile(r"(?!0+\Z)[0-9a-f]{32}", re.ASCII)
_SPAN_ID = re.compile(r"(?!0+\Z)[0-9a-f]{16}", re.ASCII)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def batch_of(records: Iterable[Record | Malformed]) -> Batch:
    """The entries of a request, good and bad ones apart; raises `ClientFault` 413 for too many."""
    shared = _Shared()
    entries: list[Entry] = []
    rejected: list[tuple[int, str]] = []
    bad: list[bytes] = []
    count = 0
    for number, record in enumerate(records, 1):
        if number > RECORDS_LIMIT:
            raise ClientFault(413, "too-many-entries", f"The request has more than {RECORDS_LIMIT} records.")
        if isinstance(record, Malformed):
            error = record.error
        else:
            try:
                entries.append(_entry_of(record, shared))
                continue
            except ClientFault as fault:
                error = fault.detail
        count += 1
        if len(rejected) < REPORT_LIMIT:
            rejected.append((number, error))
            bad.append(record.raw if isinstance(record, Malformed) else _encode(record))
    return Batch(entries, rejected, count, bad)


def entry_of(record: Record) -> Entry:
    """The entry that a record is; raises `ClientFault` 400 if the log does not take it."""
    return _entry_of(record, _Shared())


class _Shared:
    """What the resource and the scope say that the last record had: nearly always the next one has the same."""

    def __init__(self) -> None:
        self._resource: Mapping[str, Any] | None = None
        self._scope: Scope | None = None
        self._said: tuple[str, Mapping[str, Any], Mapping[str, Any]] = "", {}, {}

    def of(self, record: Record) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
        """The source, the scope's fields, and the resource's; raises `ClientFault` 400."""
        if record.resource is not self._resource or record.scope is not self._scope:
            # Each record would go over all of them: no more than an entry can have, and the source.
            if max(len(record.resource) - 1, len(record.scope.attributes)) > FIELD_LIMIT:
                raise ClientFault(400, "bad-entry", f"The entry has more than {FIELD_LIMIT} fields.")
            self._said = _source(record.resource), _scope_fields(record.scope), _resource_fields(record.resource)
            self._resource, self._scope = record.resource, record.scope
        return self._said


def _source(resource: Mapping[str, Any]) -> str:
    source = resource.get("service.name")
    if not isinstance(source, str) or not source:
        return NAMELESS
    if len(source) > SOURCE_LIMIT:
        raise ClientFault(400, "bad-field", f"service.name: longer than {SOURCE_LIMIT} characters.")
    return source


def _resource_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "service.name"}


def _scope_fields(scope: Scope) -> dict[str, Any]:
    said = (("logger", scope.name), ("scope.version", scope.version))
    fields: dict[str, Any] = {name: text for name, text in said if text}
    _add(fields, scope.attributes, "scope.")
    return fields


def _entry_of(record: Record, shared: _Shared) -> Entry:
    source, scope, resource = shared.of(record)
    level = _level(record)
    message, members = _message(record)
    fields = _own_fields(record, level)
    _add(fields, record.attributes, "attribute.")
    _add(fields, members, "body.")
    _add(fields, scope, "scope.")
    _add(fields, resource, "resource.")
    if "request_id" not in fields and _REQUEST_ID_HEADER in fields:
        fields["request_id"] = _first(fields[_REQUEST_ID_HEADER])
    time = record.time or record.observed
    if time > LATEST:
        fields[SAID] = format_timestamp(time)
    return Entry(
        min(time, LATEST) if time else None,
        level,
        source,
        message if len(message) <= _SURELY_SHORT else cut(message, MESSAGE_LIMIT),
        fields_of(fields),
    )


def _level(record: Record) -> str:
    if 1 <= record.number <= 24:
        return _LEVELS[(record.number - 1) // 4]
    return nearest_level(record.text)


def _message(record: Record) -> tuple[str, Mapping[str, Any]]:
    """The message, and what else a structured body has."""
    body = record.body
    if body is None:
        return record.event, {}
    if isinstance(body, str):
        return body, {}
    if isinstance(body, dict):
        for name in ("message", "msg"):
            if isinstance(body.get(name), str):
                return body[name], {key: value for key, value in body.items() if key != name}
        return _encode(body).decode(), body
    return _encode(body).decode(), {}


def _own_fields(record: Record, level: str) -> dict[str, Any]:
    own: dict[str, Any] = {}
    if record.trace_id:
        own["trace_id"] = record.trace_id
    if record.span_id:
        own["span_id"] = record.span_id
    if record.flags:
        own["trace_flags"] = record.flags
    if record.event:
        own["event_name"] = record.event
    if record.text and record.text != level and level_of(record.text) != level:
        own["severity_text"] = record.text
    if record.number and record.number != _NUMBERS[level]:
        own["severity_number"] = record.number
    if record.dropped:
        own["dropped_attributes_count"] = record.dropped
    return own


def _add(fields: dict[str, Any], more: Mapping[str, Any], prefix: str) -> None:
    if fields.keys().isdisjoint(more):
        fields.update(more)
        return
    for name, value in more.items():
        while name in fields:
            name = f"{prefix}{name}"
        fields[name] = value


def _first(value: Any) -> Any:
    """Of a header's values, which are a list there."""
    return value[0] if isinstance(value, list) and value else value


def record_of(time: int, received: int, entry: Entry, uid: str, resource: dict[str, Any]) -> Record:
    """
    The record that an entry is.

    :param time: what it is sorted by, in nanoseconds since the epoch, as is ``received``.
    :param uid: of the entry; one that it has from elsewhere stays.
    :param resource: as `resource_of` made it of the entry's source.
    """
    attributes = {} if entry.fields is None else dict(_decode(entry.fields))
    has_room = len(attributes) < FIELD_LIMIT and len(entry.fields or "") < FIELDS_LIMIT - _UID_ROOM
    if has_room or UID in attributes:  # with one field more, a log such as this one would not take it
        attributes.setdefault(UID, uid)
    trace_id = attributes.get("trace_id")
    if isinstance(trace_id, str) and _TRACE_ID.fullmatch(trace_id):
        del attributes["trace_id"]
    else:
        trace_id = ""
    span_id = attributes.get("span_id")
    if isinstance(span_id, str) and _SPAN_ID.fullmatch(span_id):
        del attributes["span_id"]
    else:
        span_id = ""
    return Record(
        max(time, 0),
        max(received, 0),
        _NUMBERS[entry.level],
        entry.level,
        entry.message,
        attributes,
        trace_id,
        span_id,
        resource=resource,
    )


def resource_of(source: str) -> dict[str, Any]:
    """The resource of a source's entries."""
    return {"service.name": source}
