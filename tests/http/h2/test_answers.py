"""App servers' answers: what libnghttp2 leaves to be checked."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import UpstreamFault
from scalekit.http.h2.answers import answer_head, interim_head
from scalekit.http.heads import Fields
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES


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
