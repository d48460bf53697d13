"""App servers' answers: what libnghttp2 leaves to be checked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import UpstreamFault
from scalekit.http.h2.answers import answer_head, interim_head
from scalekit.http.heads import Fields
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES

#: What there is a rule for, and what there is none for.
NAMES = st.sampled_from([b"te", b"trailer", b"x-request-id", b"date", b"content-length", b"a", b"x-b"])
STATUSES = st.integers(100, 999)


def fields(*given: tuple[bytes, bytes], status: bytes = b"200") -> Fields:
    return [(b":status", status), *given]


class AnswerTests(SynchronousTestCase):
    def test_status_length_and_fields(self) -> None:
        head = answer_head(fields((b"a", b"1"), (b"content-length", b"5"), (b"a", b"2"), status=b"404"))
        self.assertEqual((head.status, head.length, head.fields), (404, 5, [(b"a", b"1"), (b"a", b"2")]))
        self.assertFalse(head.has_date)

    def test_one_date(self) -> None:
        head = answer_head(fields((b"date", b"D"), (b"date", b"E")))
        self.assertEqual((head.fields, head.has_date), ([(b"date", b"D")], True))

    def test_what_is_not_for_the_client(self) -> None:
        given = [(name, b"x") for name in (b"te", b"trailer", b"x-request-id")]
        self.assertEqual(answer_head(fields(*given)).fields, [])
        self.assertEqual(interim_head(fields(*given, (b"link", b"y"), status=b"103")), (103, [(b"link", b"y")]))

    def test_no_length_without_a_body_that_could_have_one(self) -> None:
        self.assertIsNone(answer_head(fields((b"content-length", b"0"), status=b"204")).length)
        self.assertEqual(answer_head(fields((b"content-length", b"7"), status=b"304")).length, 7)

    def test_limits(self) -> None:
        for good, bad in (
            (fields(status=b"599"), fields(status=b"600")),
            (fields(*[(b"a", b"b")] * FIELD_COUNT), fields(*[(b"a", b"b")] * (FIELD_COUNT + 1))),
            (fields((b"a", b"b" * (HEAD_BYTES - 11))), fields((b"a", b"b" * (HEAD_BYTES - 10)))),
        ):
            answer_head(good)
            fault = self.assertRaises(UpstreamFault, answer_head, bad)
            self.assertEqual((fault.status, fault.reason), (502, "malformed-answer"))
            self.assertRaises(UpstreamFault, interim_head, bad)


class AnyAnswerTests(SynchronousTestCase):
    @given(STATUSES, st.lists(st.tuples(NAMES, st.binary(max_size=5)), max_size=12), st.integers(0, 10**18))
    def test_what_is_kept_is_in_order_and_once(
        self, status: int, given: list[tuple[bytes, bytes]], length: int
    ) -> None:
        # libnghttp2 lets one length through, and it is a number.
        place = next((place for place, (name, _) in enumerate(given) if name == b"content-length"), None)
        given = [
            (name, b"%d" % length if name == b"content-length" else value)
            for number, (name, value) in enumerate(given)
            if name != b"content-length" or number == place
        ]
        before = fields(*given, status=b"%d" % status)
        taken = list(before)
        if status > 599:
            self.assertRaises(UpstreamFault, answer_head, taken)
            self.assertRaises(UpstreamFault, interim_head, taken)
            return
        head = answer_head(taken)
        dates = [field for field in given if field[0] == b"date"]
        rest = iter(given)
        assert all(field in rest for field in head.fields)  # in order
        assert [field for field in head.fields if field[0] == b"date"] == dates[:1]
        assert [field for field in head.fields if field[0] != b"date"] == [
            field for field in given if field[0] in (b"a", b"x-b")
        ]
        assert head.has_date is bool(dates)
        assert head.length == (None if place is None or status == 204 else length)
        assert head.status == status
        assert interim_head(taken) == (
            status,
            [field for field in given if field[0] not in (b"te", b"trailer", b"x-request-id")],
        )
        assert taken == before

    @given(st.integers(0, 2 * FIELD_COUNT), st.integers(0, 2 * HEAD_BYTES // FIELD_COUNT))
    def test_it_is_taken_within_the_limits_and_only_there(self, count: int, size: int) -> None:
        taken = fields(*[(b"a", b"x" * size)] * count)
        is_good = count <= FIELD_COUNT and len(b":status200") + count * (size + 1) <= HEAD_BYTES
        for take in (answer_head, interim_head):
            if is_good:
                take(taken)
            else:
                fault = self.assertRaises(UpstreamFault, take, taken)
                self.assertEqual((fault.status, fault.reason), (502, "malformed-answer"))
