"""Requests in both forms: what is written is read again, and is the same in both."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs.otlp import json_form, protobuf_form
from scalekit.logs.otlp.forms import JSON, PROTOBUF, Form, form_of
from scalekit.logs.otlp.mapping import batch_of
from scalekit.logs.otlp.records import Malformed, Record, Scope
from tests.logs.otlp.strategies import records

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def request(record: dict[str, Any], resource: Any = None, scope: Any = None) -> bytes:
    """Of one record, in JSON."""
    part = {"scope": scope, "logRecords": [record]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [part]}]}).encode()


def read(record: dict[str, Any], **shared: Any) -> Record | Malformed:
    """What is read of it."""
    [found] = json_form.read_request(request(record, **shared))
    return found


class FormTests(SynchronousTestCase):
    """Both of them."""

    def fault(self, form: Form, document: bytes) -> ClientFault:
        found: ClientFault = self.assertRaises(ClientFault, lambda: list(form.read(document)))
        return found

    @given(records)
    def test_there_and_back(self, record: Record) -> None:
        """The same record, in either."""
        for form in (form_of(JSON), form_of(PROTOBUF)):
            self.assertEqual(list(form.read(form.write([record]))), [record])

    def test_several(self) -> None:
        """Those of the same resource stand together; an empty request has none."""
        shop, till = {"service.name": "shop"}, {"service.name": "till"}
        given = [Record(number, resource=resource) for number, resource in enumerate((shop, till, shop), 1)]
        for form in (form_of(JSON), form_of(PROTOBUF)):
            found = [(record.time, record.resource) for record in form.read(form.write(given))]  # type: ignore[union-attr]
            self.assertEqual(found, [(1, shop), (3, shop), (2, till)])
            self.assertEqual(list(form.read(form.write([]))), [])

    def test_no_request(self) -> None:
        """400."""
        deep = b'{"resourceLogs":' + b"[" * 100_000
        for body in (b"", b"[]", b"{", b'{"resourceLogs":7}', b'{"resourceLogs":"\xff"}', deep):
            self.assertEqual(self.fault(form_of(JSON), body).status, 400)
        for body in (b"{}", b"\x0a\x05\x0a", b"\xff"):
            self.assertEqual(self.fault(form_of(PROTOBUF), body).status, 400)

    @given(st.binary(max_size=60) | st.sampled_from(list('0[{"}],:x')).map(str.encode))
    def test_nonsense(self, document: bytes) -> None:
        """Is 400 or some records, and never anything else."""
        for form in (form_of(JSON), form_of(PROTOBUF)):
            with contextlib.suppress(ClientFault):
                list(form.read(document))

    @given(records, st.integers(0, 400), st.binary(min_size=1, max_size=2))
    def test_damaged(self, record: Record, place: int, damage: bytes) -> None:
        """The same of what was a request, to the entries that it becomes."""
        for form in (form_of(JSON), form_of(PROTOBUF)):
            good = form.write([record])
            place %= len(good)
            with contextlib.suppress(ClientFault):
                batch_of(form.read(good[:place] + damage + good[place + len(damage) :]))

    def test_without_the_extra(self) -> None:
        """415 that names it; JSON is taken all the same."""
        name = protobuf_form.__name__
        for place, key in ((sys.modules, name), (vars(sys.modules["scalekit.logs.otlp"]), "protobuf_form")):
            self.addCleanup(place.__setitem__, key, place.pop(key))
        sys.modules[name] = None  # type: ignore[assignment]
        with self.assertRaises(ClientFault) as caught:
            form_of(PROTOBUF)
        self.assertEqual(caught.exception.status, 415)
        self.assertIn("pip install 'scalekit[otlp]'", caught.exception.detail)
        self.assertEqual(form_of(JSON).media_type, JSON)


class JSONTests(SynchronousTestCase):
    """What JSON alone has."""

    def test_as_exporters_write_it(self) -> None:
        """Numbers as text or not, ids of any case, nulls, and names that nobody knows."""
        found = read(
            {
                "timeUnixNano": "1700000000000000001",
                "observedTimeUnixNano": 1700000000000000002,
                "severityNumber": 13,
                "severityText": None,
                "body": {"stringValue": "sold"},
                "attributes": [{"key": "n", "value": {"intValue": 3}}, {"key": "x", "value": {"doubleValue": "NaN"}}],
                "traceId": TRACE.upper(),
                "spanId": "0" * 16,
                "later": {"unknown": [1]},
            },
            resource={"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            scope={"name": "shop.till", "version": "1"},
        )
        self.assertEqual(
            found,
            Record(
                1700000000000000001,
                1700000000000000002,
                13,
                body="sold",
                attributes={"n": 3, "x": "NaN"},
                trace_id=TRACE,
                resource={"service.name": "shop"},
                scope=Scope("shop.till", "1"),
            ),
        )

    def test_names_of_severities(self) -> None:
        """As the enumeration has them; others say nothing."""
        for name, number in SeverityNumber.items():
            self.assertEqual(read({"severityNumber": name}), Record(number=number))
        self.assertEqual(read({"severityNumber": "LOUD"}), Record())

    def test_one_bad_record(self) -> None:
        """Is told of with what it says, and the others are read."""
        deep: dict[str, Any] = {"stringValue": "x"}
        for _ in range(17):
            deep = {"arrayValue": {"values": [deep]}}
        for bad, word in (
            ({"body": {"intValue": "seven"}}, "seven"),
            ({"body": {"intValue": str(1 << 63)}}, "64 bits"),
            ({"timeUnixNano": "-1"}, "64 bits"),
            ({"body": {"doubleValue": "1_0"}}, "1_0"),
            ({"body": {"bytesValue": "a"}}, "base64"),
            ({"body": deep}, "16 deep"),
            ({"body": {"arrayValue": {"values": [{}] * 10_001}}}, "10000 members"),
            ({"attributes": [{}] * 10_001}, "10000 members"),
            ({"flags": 1 << 32}, "32 bits"),
            ({"severityNumber": -1}, "32 bits"),
            ({"droppedAttributesCount": 10**40}, "32 bits"),
        ):
            document = json.loads(request(bad))
            document["resourceLogs"][0]["scopeLogs"][0]["logRecords"].append({"timeUnixNano": "7"})
            wrong, good = json_form.read_request(json.dumps(document).encode())
            assert isinstance(wrong, Malformed)
            self.assertIn(word, wrong.error)
            self.assertEqual(json.loads(wrong.raw), bad)
            self.assertEqual(good, Record(7))

    def test_a_bad_resource(self) -> None:
        """All its records are told of."""
        found = read({}, resource={"attributes": [{"key": "a", "value": {"bytesValue": "?"}}]})
        self.assertIsInstance(found, Malformed)

    def test_base64(self) -> None:
        """Of both alphabets, with padding and without."""
        for text in ("-_8=", "+/8", "-_8"):
            found = read({"body": {"bytesValue": text}})
            self.assertEqual(found, Record(body="+/8="))

    def test_numbers_beyond_64_bits_are_sent_as_text(self) -> None:
        """As OTLP has none."""
        for form in (form_of(JSON), form_of(PROTOBUF)):
            [found] = form.read(form.write([Record(body=1 << 63)]))
            self.assertEqual(found, Record(body=str(1 << 63)))


class ProtobufTests(SynchronousTestCase):
    """What protobuf alone has."""

    def read(self, body: AnyValue) -> Record | Malformed:
        said = ExportLogsServiceRequest()
        said.resource_logs.add().scope_logs.add().log_records.add().body.CopyFrom(body)
        [found] = protobuf_form.read_request(said.SerializeToString())
        return found

    def test_values_without_a_form_in_json(self) -> None:
        """Are text, as they are if they come in JSON."""
        for value, text in ((float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity")):
            self.assertEqual(self.read(AnyValue(double_value=value)), Record(body=text))
            self.assertEqual(read({"body": {"doubleValue": text}}), Record(body=text))
        self.assertEqual(self.read(AnyValue(bytes_value=b"\xfb\xff")), Record(body="+/8="))

    def test_depth(self) -> None:
        """As in JSON."""
        deep = AnyValue(string_value="x")
        for count in range(1, 18):
            outer = AnyValue()
            outer.array_value.values.add().CopyFrom(deep)
            deep = outer
            if count == 16:
                self.assertIsInstance(self.read(deep), Record)
        self.assertIsInstance(self.read(deep), Malformed)

    def test_many_groups(self) -> None:
        """Of nothing: they are not gone through."""
        for body in (b"\x0a\x00" * 20_000, b"\x0a\xc0\xb8\x02" + b"\x12\x00" * 20_000):
            with self.assertRaises(ClientFault) as caught:
                list(protobuf_form.read_request(body))
            self.assertEqual(caught.exception.status, 400)

    def test_a_large_bad_record(self) -> None:
        """Of it only so much is kept as somebody may look at."""
        wide = AnyValue()
        for _ in range(20_000):
            wide.array_value.values.add()
        found = self.read(wide)
        assert isinstance(found, Malformed)
        self.assertLess(len(found.raw), 20_000)

    def test_a_long_request(self) -> None:
        """One record at a time, and the same ones; a record that is longer than all should be is told of."""
        given = [
            Record(1, body="x" * 600_000, resource={"service.name": "shop"}, scope=Scope("a")),
            Record(2, body="y" * 600_000, resource={"service.name": "till"}),
        ]
        found = list(protobuf_form.read_request(protobuf_form.write_request(given)))
        self.assertEqual(found, given)
        long = [Record(3, body="z" * 1_100_000), Record(4)]
        wrong, good = protobuf_form.read_request(protobuf_form.write_request(long))
        assert isinstance(wrong, Malformed)
        self.assertIn("at most 1048576", wrong.error)
        self.assertLess(len(wrong.raw), 20_000)
        self.assertEqual(good, Record(4))

    def test_a_long_request_of_nothing(self) -> None:
        """Records, groups and parts without end are not gone through, and not all in memory: 413; nonsense is 400."""
        many = b"\x12\x00" * 600_000
        length = b"\x80\x9f\x49"
        for body in (many.replace(b"\x12", b"\x0a"), b"\x0a" + length + many):
            with self.assertRaises(ClientFault) as caught:
                list(protobuf_form.read_request(body))
            self.assertEqual(caught.exception.status, 413)
        with self.assertRaises(ClientFault) as caught:
            list(protobuf_form.read_request(b"\xff" * 2_000_000))
        self.assertEqual(caught.exception.status, 400)
