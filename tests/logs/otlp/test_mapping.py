"""Records <-> entries."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs.entry import FIELD_LIMIT, LEVELS, MESSAGE_LIMIT, Entry
from scalekit.logs.otlp.forms import JSON, PROTOBUF, form_of
from scalekit.logs.otlp.mapping import RECORDS_LIMIT, UID, batch_of, entry_of, record_of, resource_of
from scalekit.logs.otlp.records import Malformed, Record, Scope
from tests.logs.otlp.strategies import entries, records

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SHOP = {"service.name": "shop"}


def fields(record: Record) -> Any:
    """Of the entry that it is."""
    said = entry_of(record).fields
    return None if said is None else json.loads(said)


class EntryOfTests(SynchronousTestCase):
    """`entry_of`."""

    def test_the_four(self) -> None:
        """Time, level, source, message, and no field."""
        entry = entry_of(Record(7, 8, 13, "WARN", "sold", resource=SHOP))
        self.assertEqual(entry, Entry(7, "WARN", "shop", "sold"))
        self.assertEqual(entry_of(Record(0, 8)), Entry(8, "INFO", "unknown_service", ""))
        self.assertEqual(entry_of(Record()).time, None)
        late = entry_of(Record((1 << 64) - 1))
        self.assertEqual((late.time, late.fields), ((1 << 63) - 1, '{"Said":"2554-07-21T23:34:33.709551615Z"}'))

    def test_levels(self) -> None:
        """By the number, else by the text; what the level does not say is a field."""
        numbers = {number: entry_of(Record(number=number)).level for number in range(25)}
        self.assertEqual([numbers[number] for number in (1, 5, 8, 9, 12, 13, 17, 21, 24)],
                         ["DEBUG", "DEBUG", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "PANIC", "PANIC"])  # fmt: skip
        self.assertEqual(entry_of(Record(text="warning")).level, "WARN")
        self.assertEqual(fields(Record(number=10, text="NOTICE")), {"severity_number": 10})
        self.assertEqual(fields(Record(number=9, text="started")), {"severity_text": "started"})
        self.assertEqual(fields(Record(number=21, text="CRITICAL")), None)
        self.assertEqual(fields(Record(number=99)), {"severity_number": 99})

    def test_bodies(self) -> None:
        """Text; or anything else, whose members are fields."""
        for body, message, members in (
            ("sold", "sold", None),
            (None, "", None),
            (True, "true", None),
            (1.5, "1.5", None),
            (["a", 1], '["a",1]', None),
            ({"message": "sold", "article": 7}, "sold", {"article": 7}),
            ({"msg": "sold", "message": 7}, "sold", {"message": 7}),
            ({"article": 7}, '{"article":7}', {"article": 7}),
        ):
            entry = entry_of(Record(body=body))
            self.assertEqual((entry.message, fields(Record(body=body))), (message, members))
        self.assertEqual(entry_of(Record(event="started")).message, "started")

    def test_fields(self) -> None:
        """All that there is, each under a name of its own."""
        found = fields(
            Record(
                body={"a": "body", "b": "body"},
                attributes={"a": "attribute", "trace_id": "attribute", "n": [1, {"x": None}]},
                trace_id=TRACE,
                span_id=SPAN,
                flags=1,
                event="sale",
                dropped=2,
                resource={**SHOP, "a": "resource", "host.name": "web1"},
                scope=Scope("shop.till", "2", {"logger": "scope"}),
            )
        )
        self.assertEqual(
            found,
            {
                "trace_id": TRACE,
                "span_id": SPAN,
                "trace_flags": 1,
                "event_name": "sale",
                "dropped_attributes_count": 2,
                "a": "attribute",
                "attribute.trace_id": "attribute",
                "n": [1, {"x": None}],
                "body.a": "body",
                "b": "body",
                "logger": "shop.till",
                "scope.version": "2",
                "scope.logger": "scope",
                "resource.a": "resource",
                "host.name": "web1",
            },
        )

    def test_request_ids(self) -> None:
        """Where the log looks for them, whoever has noted them."""
        header = "http.request.header.x-request-id"
        for given_fields, found in (
            ({header: ["r-1"]}, "r-1"),
            ({header: "r-1"}, "r-1"),
            ({header: ["r-1"], "request_id": "r-2"}, "r-2"),
        ):
            self.assertEqual(fields(Record(attributes=given_fields))["request_id"], found)

    def test_limits(self) -> None:
        """Those of any entry."""
        self.assertIn("[cut: 7 bytes more]", entry_of(Record(body="x" * (MESSAGE_LIMIT + 7))).message)
        too_many = {str(number): 1 for number in range(FIELD_LIMIT + 1)}
        for record in (Record(resource={"service.name": "x" * 257}), Record(attributes=too_many)):
            self.assertEqual(self.assertRaises(ClientFault, entry_of, record).status, 400)

    def test_a_source_that_is_no_text(self) -> None:
        """Is as none."""
        self.assertEqual(entry_of(Record(resource={"service.name": 7})).source, "unknown_service")

    @given(records)
    def test_the_same_in_both_forms(self, record: Record) -> None:
        """And never anything but an entry."""
        found: list[Entry] = []
        for form in (form_of(JSON), form_of(PROTOBUF)):
            batch = batch_of(form.read(form.write([record])))
            self.assertEqual(batch.rejected, [])
            found += batch.entries
        self.assertEqual(found[0], found[1])
        self.assertIn(found[0].level, LEVELS)


class BatchTests(SynchronousTestCase):
    """`batch_of`."""

    def test_good_and_bad(self) -> None:
        """Each bad one with its number, what is wrong and itself."""
        bad = Record(body="long", resource={"service.name": "x" * 257})
        batch = batch_of([Record(1), Malformed("odd", b"raw"), bad, Record(2)])
        self.assertEqual([entry.time for entry in batch.entries], [1, 2])
        self.assertEqual(batch.rejected, [(2, "odd"), (3, "service.name: longer than 256 characters.")])
        self.assertEqual(batch.rejected_count, 2)
        self.assertEqual(batch.bad[0], b"raw")
        self.assertIn(b'"long"', batch.bad[1])

    def test_too_many(self) -> None:
        """413."""
        fault = self.assertRaises(ClientFault, batch_of, [Record()] * (RECORDS_LIMIT + 1))
        self.assertEqual(fault.status, 413)
        self.assertEqual(len(batch_of([Malformed("odd", b"")] * 200).rejected), 100)

    def test_a_wide_resource(self) -> None:
        """More than an entry can have is not gone over for each of its records; nor are they kept beyond the first."""
        looks: list[int] = []

        class Wide(dict[str, Any]):
            def items(self) -> Any:
                looks.append(1)
                return super().items()

        wide = Wide({f"a{number}": number for number in range(FIELD_LIMIT + 2)})
        for resource, scope in ((wide, Scope()), (SHOP, Scope(attributes=wide))):
            batch = batch_of([Record(resource=resource, scope=scope)] * 200)
            self.assertEqual((batch.rejected_count, len(batch.bad)), (200, 100))
            self.assertEqual(batch.rejected[0], (1, f"The entry has more than {FIELD_LIMIT} fields."))
        self.assertEqual(looks, [])


class RecordOfTests(SynchronousTestCase):
    """`record_of`."""

    @given(entries)
    def test_there_and_back(self, entry: Entry) -> None:
        """The same entry but for the uid that it gets, in either form."""
        assert entry.time is not None
        record = record_of(entry.time, entry.time, entry, "log-7", resource_of(entry.source))
        for form in (form_of(JSON), form_of(PROTOBUF)):
            [found] = batch_of(form.read(form.write([record]))).entries
            said = json.loads(found.fields or "{}")
            self.assertEqual(said.pop(UID), "log-7")
            self.assertEqual(said, json.loads(entry.fields or "{}"))
            self.assertEqual(msgspec.structs.replace(found, fields=entry.fields), entry)

    def test_uids(self) -> None:
        """One from elsewhere stays; an entry that is full gets none, as it would not be taken then."""

        def made(said: dict[str, Any]) -> dict[str, Any]:
            entry = Entry(1, "INFO", "shop", "", json.dumps(said))
            return record_of(1, 1, entry, "log-7", SHOP).attributes

        self.assertEqual(made({UID: "other-1"}), {UID: "other-1"})
        self.assertNotIn(UID, made({str(number): 1 for number in range(FIELD_LIMIT)}))
        self.assertNotIn(UID, made({"long": "x" * 65_450}))
        self.assertIn(UID, made({str(number): 1 for number in range(FIELD_LIMIT - 1)}))

    def test_traces(self) -> None:
        """What is an id goes where OTLP has it; what is none stays an attribute."""
        entry = Entry(1, "INFO", "shop", "", json.dumps({"trace_id": TRACE, "span_id": SPAN}))
        record = record_of(1, 2, entry, "log-7", SHOP)
        self.assertEqual((record.trace_id, record.span_id, record.observed), (TRACE, SPAN, 2))
        self.assertEqual(record.attributes, {UID: "log-7"})
        for bad in ("0" * 32, TRACE.upper(), TRACE[1:], 7):
            entry = Entry(1, "INFO", "shop", "", json.dumps({"trace_id": bad}))
            self.assertEqual(record_of(1, 2, entry, "log-7", SHOP).attributes["trace_id"], bad)
