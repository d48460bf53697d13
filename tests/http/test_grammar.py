from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.grammar import AUTHORITY, BARE_LF, FIELDS, STATUS_LINE, TOKEN_LIST_ITEM, tokens


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
