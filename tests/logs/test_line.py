"""Lines of log.txt: harmless to read, and reversible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.line import escape, escape_source, format_line, unescape

# Heavy on what matters: the escapes themselves and what has to be escaped.
tricky = st.text(
    st.one_of(
        st.sampled_from("\\;\n\r\tnrtxu0123456789abcdef\x00\x1b\x7f\x85\x9b\u061c\u200e\u2028\u2029\u202e\u2066\ud800"),
        st.characters(),
    )
)


class LineTests(SynchronousTestCase):
    """`escape`, `escape_source`, `format_line`."""

    @given(tricky)
    def test_unescape_gives_back_every_text(self, text: str) -> None:
        """Escaping is reversible, for messages and sources."""
        self.assertEqual(unescape(escape(text)), text)
        self.assertEqual(unescape(escape_source(text)), text)

    @given(tricky, tricky)
    def test_a_line_always_parses(self, source: str, message: str) -> None:
        """A line is one line in UTF-8, and split(";", 3) gives its four parts."""
        line = format_line(1_700_000_000_000_000_000, "INFO", source, message)
        self.assertEqual(line.encode().decode().splitlines(), [line[:-1]])
        time, level, source_part, message_part = line[:-1].split(";", 3)
        self.assertEqual((time, level), ("2023-11-14 22:13:20", "INFO"))
        self.assertEqual((unescape(source_part), unescape(message_part)), (source, message))

    def test_what_is_harmless_stays(self) -> None:
        """Text of any language is not touched."""
        self.assertEqual(escape("Grüße; 日本語 🙂 \"x\" 'y'"), "Grüße; 日本語 🙂 \"x\" 'y'")

    def test_what_could_do_harm(self) -> None:
        """Newlines, ANSI escapes, separators and bidi controls become visible."""
        for text, escaped in (
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\x1b[31mred", r"\x1b[31mred"),
            ("\x9b31m", r"\x9b31m"),
            ("\u2028\u2029\u202e", r"\u2028\u2029\u202e"),
            ("C:\\new", r"C:\\new"),
            ("\x00\x7f\x85", r"\x00\x7f\x85"),
        ):
            self.assertEqual(escape(text), escaped)
        self.assertEqual(escape_source("a;b"), r"a\x3bb")

    def test_times_are_utc_in_whole_seconds(self) -> None:
        """Also just below a second, and before 1970."""
        self.assertEqual(format_line(999_999_999, "INFO", "s", "m"), "1970-01-01 00:00:00;INFO;s;m\n")
        self.assertEqual(format_line(-1, "INFO", "s", "m"), "1969-12-31 23:59:59;INFO;s;m\n")
