import string

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.grammar import (
    AUTHORITY,
    BARE_LF,
    CHUNK_LINE,
    FIELDS,
    REQUEST_LINE,
    STATUS_LINE,
    TOKEN_LIST_ITEM,
    tokens,
)

#: RFC 9110 section 5.6.2.
TCHAR = set((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
#: RFC 9110 section 5.5: what a value may hold.
INSIDE = {9, *range(32, 127), *range(128, 256)}

#: Nearly what the grammar wants.
LINES = st.lists(
    st.sampled_from(
        [
            b"A",
            b"x-b",
            b":",
            b": ",
            b" ",
            b"\t",
            b"\r\n",
            b"\n",
            b"\r",
            b"v",
            b"\xff",
            b"\x00",
            b"(",
            b"",
            b";",
            b"5",
            b",",
        ]
    ),
    max_size=14,
).map(b"".join)


class FieldsTests(SynchronousTestCase):
    def test_covers(self) -> None:
        self.assertEqual(
            [(b"A", b"b c"), (b"D", b""), (b"e", b"\xff")], FIELDS.findall(b"A: b c \t\r\nD:\r\ne:\t\xff\r\n")
        )

    def test_what_is_no_field_shows_as_a_last_pair_without_a_name(self) -> None:
        for block in (b"A: b\r\nC\r\n", b"A: b\r\n c\r\n", b"A: b\n", b"A: \x00\r\n", b"A: b", b"A : b\r\n", b"\r\n"):
            self.assertEqual(b"", FIELDS.findall(block)[-1][0], block)

    def test_every_octet_in_a_name_and_a_value(self) -> None:
        in_names = {octet for octet in range(256) if FIELDS.findall(b"a%bb: c\r\n" % bytes([octet]))[-1][0]}
        letters = b"abcdefghijklmnopqrstuvwxyz"
        # A colon ends the name: "a::b" has the value ":b".
        self.assertEqual(set(b"!#$%&'*+-.^_`|~0123456789:" + letters + letters.upper()), in_names)
        in_values = {octet for octet in range(256) if FIELDS.findall(b"a: b%bc\r\n" % bytes([octet]))[-1][0]}
        self.assertEqual({9, *range(32, 127), *range(128, 256)}, in_values)


class LineTests(SynchronousTestCase):
    def test_bare_lf(self) -> None:
        self.assertIsNone(BARE_LF.search(b"a\r\nb\r\n"))
        for data in (b"\n", b"a\nb", b"\r\n\n"):
            self.assertIsNotNone(BARE_LF.search(data))
        # A search that starts at the LF sees the CR before it.
        self.assertIsNone(BARE_LF.search(b"\r\n", 1))

    def test_status_line(self) -> None:
        match = STATUS_LINE.match(b"HTTP/1.1 404 Not Found\r\n")
        assert match is not None
        self.assertEqual((b"1", b"404", b"Not Found"), match.groups())

    def test_authority(self) -> None:
        match = AUTHORITY.fullmatch(b"[::1]:80")
        assert match is not None
        self.assertEqual((b"[::1]", b"80"), match.groups())


class TokensTests(SynchronousTestCase):
    def test_lists(self) -> None:
        for value, expected in (
            (b"close", [b"close"]),
            (b" Close ,\tX-Y", [b"close", b"x-y"]),
            (b",a,,b,", [b"a", b"b"]),
            (b"", []),
            (b"a b", None),
            (b'"a"', None),
            (b"a;q=1", None),
        ):
            self.assertEqual(expected, tokens(value), value)

    def test_item(self) -> None:
        self.assertIsNone(TOKEN_LIST_ITEM.fullmatch(b"a\n"))


class ByAnotherHandTests(SynchronousTestCase):
    """Each expression says what a few plain lines say, on whatever is nearly right."""

    @given(LINES)
    @example(b"A: b\r\n")
    def test_fields(self, block: bytes) -> None:
        expected: list[tuple[bytes, bytes]] | None = []
        *lines, rest = block.split(b"\r\n")
        for line in lines:
            name, colon, value = line.partition(b":")
            if not (colon and name and TCHAR.issuperset(name) and INSIDE.issuperset(value)) or expected is None:
                expected = None
            else:
                expected.append((name, value.strip(b" \t")))
        if rest:
            expected = None
        found = FIELDS.findall(block)
        self.assertEqual(expected, None if found and not found[-1][0] else found)

    @given(
        st.lists(
            st.sampled_from([b"GET", b"X!", b" ", b"/", b"a", b"#", b"\xe4", b"\t", b"HTTP/1.1", b"HTTP/1.0", b"\r"]),
            max_size=7,
        )
    )
    @example([b"GET", b" ", b"/", b" ", b"HTTP/1.1"])
    def test_request_lines(self, parts: list[bytes]) -> None:
        line = b"".join(parts)
        words = line.split(b" ")
        expected = None
        if len(words) == 3 and words[2] in (b"HTTP/1.0", b"HTTP/1.1"):
            method, target, version = words
            visible = set(range(33, 127)) - {ord("#")}
            if method and target and TCHAR.issuperset(method) and visible.issuperset(target):
                expected = (method, target, version[-1:])
        match = REQUEST_LINE.match(line + b"\r\n")
        self.assertEqual(expected, match and match.groups())

    @given(
        st.lists(
            st.sampled_from(
                [b"HTTP/1.1", b"HTTP/1.0", b"200", b"99", b"5", b"6", b" ", b"OK", b"\xe4", b"\x00", b"\t"]
            ),
            max_size=6,
        )
    )
    @example([b"HTTP/1.1", b" ", b"200"])
    @example([b"HTTP/1.1", b" ", b"200", b" "])
    def test_status_lines(self, parts: list[bytes]) -> None:
        line = b"".join(parts)
        version, _, rest = line.partition(b" ")
        status, space, reason = rest.partition(b" ")
        is_status = len(status) == 3 and status.isdigit() and status[:1] in b"12345"
        expected = None
        if version in (b"HTTP/1.0", b"HTTP/1.1") and is_status and INSIDE.issuperset(reason):
            expected = (version[-1:], status, reason if space else None)
        match = STATUS_LINE.match(line + b"\r\n")
        self.assertEqual(expected, match and match.groups())

    @given(LINES)
    @example(b"5;a\r\n")
    def test_chunk_lines(self, data: bytes) -> None:
        line, end, _ = data.partition(b"\r\n")
        size, semicolon, extension = line.partition(b";")
        expected: tuple[bytes, bytes | None] | None = None
        if end and size and set(b"0123456789abcdefABCDEF").issuperset(size) and len(size) <= 16:
            if not semicolon:
                expected = (size, None)
            elif extension and INSIDE.issuperset(extension):
                expected = (size, b";" + extension)
        match = CHUNK_LINE.match(data)
        self.assertEqual(expected, match and match.groups())

    @given(st.lists(st.sampled_from([b"a", b"X-B", b",", b" ", b"\t", b"=", b'"', b"\n"]), max_size=9).map(b"".join))
    def test_tokens(self, value: bytes) -> None:
        items = [item.strip(b" \t") for item in value.split(b",")]
        expected = [item.lower() for item in items if item]
        self.assertEqual(tokens(value), expected if all(TCHAR.issuperset(item) for item in items) else None)
