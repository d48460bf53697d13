"""Requests in OTLP's binary form; importing this raises ImportError without the extra ``scalekit[otlp]``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from scalekit.errors import ClientFault
from scalekit.logs.entry import DEPTH_LIMIT
from scalekit.logs.otlp.mapping import RECORDS_LIMIT
from scalekit.logs.otlp.records import (
    INT64,
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
from scalekit.logs.otlp.wire import parts

M = TypeVar("M", bound=Message)

#: A request that is longer is read one record at a time, and a record that is longer is not taken: of
#: messages of two bytes each, seventy times as much is in memory.
_WHOLE_BYTES = 1024 * 1024
#: More of a record that cannot be taken is not kept.
_TEXT_BYTES = 16 * 1024


def read_request(document: bytes) -> Iterator[Record | Malformed]:
    """The records of an ExportLogsServiceRequest; raises `ClientFault` 400 if it is none."""
    if len(document) > _WHOLE_BYTES:
        return _records_apart(document)
    return _records(_parsed(ExportLogsServiceRequest, document))


def _parsed(kind: type[M], data: bytes) -> M:
    if len(data) > _WHOLE_BYTES:
        raise bad_value(f"found {len(data)} bytes, expected at most {_WHOLE_BYTES}.")
    try:
        return kind.FromString(data)
    except DecodeError:
        raise ClientFault(400, "bad-protobuf", "This is no ExportLogsServiceRequest in protobuf.") from None


def _records_apart(document: bytes) -> Iterator[Record | Malformed]:
    """As `_records`, each parsed when its turn comes."""
    count = 0
    for group in _fields(document)[1]:
        of_group = _fields(group)
        resource = Shared(partial(_resource_of, of_group[1]))
        # Groups without a record count as well: nobody sends thousands of them.
        count += 1 + len(of_group[2])
        _check_count(count)
        for part in of_group[2]:
            of_part = _fields(part)
            scope = Shared(partial(_scope_of, of_part[1]))
            for data in of_part[2]:
                try:
                    yield _record(_parsed(LogRecord, data), resource.get(), scope.get())
                except ClientFault as fault:
                    yield Malformed(fault.detail, data[:_TEXT_BYTES])


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """What a message has as its first field, and as its second; raises `ClientFault` for one that has too many."""
    found: dict[int, list[bytes]] = {1: [], 2: []}
    try:
        for count, (field, value) in enumerate(parts(message), 1):
            _check_count(count)
            if field in found and isinstance(value, bytes):
                found[field].append(value)
    except ValueError:
        raise ClientFault(400, "bad-protobuf", "This is no ExportLogsServiceRequest in protobuf.") from None
    return found


def _check_count(count: int) -> None:
    if count > RECORDS_LIMIT + 1:  # records, and the scope
        raise ClientFault(413, "too-many-entries", f"The request has more than {RECORDS_LIMIT} records.")


def _resource_of(pieces: Sequence[bytes]) -> dict[str, Any]:
    return _attributes(_parsed(Resource, b"".join(pieces)).attributes, DEPTH_LIMIT)


def _scope_of(pieces: Sequence[bytes]) -> Scope:
    return _scope(_parsed(InstrumentationScope, b"".join(pieces)))


def _records(request: ExportLogsServiceRequest) -> Iterator[Record | Malformed]:
    check_width(len(request.resource_logs))
    for group in request.resource_logs:
        resource = Shared(partial(_attributes, group.resource.attributes, DEPTH_LIMIT))
        check_width(len(group.scope_logs))
        for part in group.scope_logs:
            scope = Shared(partial(_scope, part.scope))
            for record in part.log_records:
                try:
                    yield _record(record, resource.get(), scope.get())
                except ClientFault as fault:
                    yield Malformed(fault.detail, _text(record))


def _text(record: LogRecord) -> bytes:
    """For people; a large one as it came, as its text takes a second for each two megabytes."""
    return str(record).encode() if record.ByteSize() <= _TEXT_BYTES else record.SerializeToString()[:_TEXT_BYTES]


def _record(said: LogRecord, resource: dict[str, Any], scope: Scope) -> Record:
    return Record(
        said.time_unix_nano,
        said.observed_time_unix_nano,
        said.severity_number,
        said.severity_text,
        _value(said.body, DEPTH_LIMIT),
        _attributes(said.attributes, DEPTH_LIMIT),
        id_value(said.trace_id.hex()),
        id_value(said.span_id.hex()),
        said.flags,
        said.event_name,
        said.dropped_attributes_count,
        resource,
        scope,
    )


def _scope(said: InstrumentationScope) -> Scope:
    return Scope(said.name, said.version, _attributes(said.attributes, DEPTH_LIMIT))


def _attributes(pairs: Collection[KeyValue], depth: int) -> dict[str, Any]:
    check_width(len(pairs))
    return {pair.key: _value(pair.value, depth) for pair in pairs}


def _value(said: AnyValue, depth: int) -> Any:
    kind = said.WhichOneof("value")
    if kind in ("string_value", "bool_value", "int_value"):
        return getattr(said, kind)
    if kind == "double_value":
        return float_value(said.double_value)
    if kind == "bytes_value":
        return bytes_value(said.bytes_value)
    if kind not in ("array_value", "kvlist_value"):
        return None
    if not depth:
        raise too_deep()
    if kind == "array_value":
        check_width(len(said.array_value.values))
        return [_value(member, depth - 1) for member in said.array_value.values]
    return _attributes(said.kvlist_value.values, depth - 1)


def write_request(records: Iterable[Record]) -> bytes:
    """An ExportLogsServiceRequest of these; those that share the very same resource and scope stand together."""
    request = ExportLogsServiceRequest()
    groups: dict[tuple[int, int], Any] = {}
    for record in records:
        key = id(record.resource), id(record.scope)
        part = groups.get(key)
        if part is None:
            group = request.resource_logs.add()
            _put_attributes(group.resource.attributes, record.resource)
            part = groups[key] = group.scope_logs.add()
            _put_scope(part.scope, record.scope)
        _put(part.log_records.add(), record)
    return request.SerializeToString()


def _put(said: LogRecord, record: Record) -> None:
    said.time_unix_nano = record.time
    said.observed_time_unix_nano = record.observed
    said.severity_number = record.number  # type: ignore[assignment]
    said.severity_text = record.text
    _put_value(said.body, record.body)
    _put_attributes(said.attributes, record.attributes)
    said.trace_id = bytes.fromhex(record.trace_id)
    said.span_id = bytes.fromhex(record.span_id)
    said.flags = record.flags
    said.event_name = record.event
    said.dropped_attributes_count = record.dropped


def _put_scope(said: InstrumentationScope, scope: Scope) -> None:
    said.name = scope.name
    said.version = scope.version
    _put_attributes(said.attributes, scope.attributes)


def _put_attributes(pairs: Any, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        pair = pairs.add()
        pair.key = name
        _put_value(pair.value, value)


def _put_value(said: AnyValue, value: Any) -> None:
    if isinstance(value, str):
        said.string_value = value
    elif isinstance(value, bool):
        said.bool_value = value
    elif isinstance(value, int):
        if value in INT64:
            said.int_value = value
        else:
            said.string_value = str(value)
    elif isinstance(value, float):
        said.double_value = value
    elif isinstance(value, dict):
        said.kvlist_value.SetInParent()
        _put_attributes(said.kvlist_value.values, value)
    elif isinstance(value, list):
        said.array_value.SetInParent()
        for member in value:
            _put_value(said.array_value.values.add(), member)
