from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.diagnosis import of_beginning, of_fields, of_request_line
from scalekit.http.limits import REQUEST_LINE_BYTES
from tests.http.oracles import ours

#: Nearly heads.
BYTES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"GET", b" ", b"/", b"HTTP/1.1", b"HTTP/2.0", b"\r\n", b"\n", b"\r", b"Host: a", b":", b"x" * 65]
        ),
        st.binary(max_size=4),
    ),
    max_size=9,
).map(b"".join)


class RequestLineTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        for data, status, reason in (
            (b"GET / HTTP/1.1\n", 400, "bare-lf"),
            (b"GET / HTTP/2.0\r\n", 505, "version-not-supported"),
            (b"GET /\r\n", 400, "bad-request-line"),
            (b"\x16\x03", 400, "bad-request-line"),
            (b"GET /" + b"x" * REQUEST_LINE_BYTES, 414, "target-too-long"),
            (b"GET /" + b"x" * REQUEST_LINE_BYTES + b" HTTP/1.1\r\n", 414, "target-too-long"),
        ):
            fault = of_request_line(data)
            self.assertEqual((status, reason), (fault.status, fault.reason), data[:20])

    def test_beginnings(self) -> None:
        for data in (b"G", b"GET ", b"GET /\x00", b"M" * 64, b"M" * 64 + b" "):
            self.assertIsNone(of_beginning(data), data)
        for data in (b"\x16", b" ", b"G\x00", b"M" * 65, b"\r", b"G\t"):
            self.assertIsNotNone(of_beginning(data), data)


class FieldTests(SynchronousTestCase):
    def test_the_sentence_names_what_is_wrong(self) -> None:
        for line, words in (
            (b" b", "starts with white space"),
            (b"X", "no name and colon"),
            (b": y", "no name and colon"),
            (b"X : y", "before a field's colon"),
            (b"X\t: y", "before a field's colon"),
            (b"X@: y", "name has a character"),
            (b"X: \x00", "value has a control character"),
            (b"X: a\rb", "value has a control character"),
        ):
            fault = of_fields(b"A: b\r\n" + line + b"\r\nC: d\r\n")
            self.assertIn(words, fault.detail, line)
            self.assertEqual(400, fault.status)
        self.assertEqual("bare-lf", of_fields(b"A: b\nC: d\r\n").reason)
        self.assertEqual("folded-field", of_fields(b"A: b\r\n c\r\n").reason)


class AnyBytesTests(SynchronousTestCase):
    @given(BYTES)
    def test_there_is_always_a_fault_to_tell(self, data: bytes) -> None:
        self.assertIn(of_request_line(data).status, (400, 414, 505))
        fault = of_fields(data)
        self.assertEqual(400, fault.status)
        self.assertIn(fault.reason, ("folded-field", "bare-lf", "bad-field"))

    @given(BYTES.filter(bool), BYTES)
    def test_what_cannot_begin_a_request_begins_none(self, data: bytes, more: bytes) -> None:
        if of_beginning(data) is None:
            # Nor did anything shorter look like none.
            self.assertEqual([], [end for end in range(1, len(data)) if of_beginning(data[:end])])
            return
        self.assertIsNotNone(of_beginning(data + more))
        if not data.startswith(b"\r"):  # which may become the empty line that is let pass
            self.assertEqual([], ours([data + more + b"\r\n\r\n"]).taken)

    @given(st.from_regex(rb"[A-Za-z!-]{1,64} /[a-z]{0,9} HTTP/1\.[01]\r\n", fullmatch=True), st.integers(1, 99))
    def test_every_beginning_of_a_request_line_may_go_on(self, line: bytes, end: int) -> None:
        self.assertIsNone(of_beginning(line[:end]))
