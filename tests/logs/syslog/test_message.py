"""Messages of syslog: what the two RFCs say, and what is really sent."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import FIELDS_LIMIT, LEVELS, MESSAGE_LIMIT, SOURCE_LIMIT, Entry
from scalekit.logs.moments import EARLIEST, format_timestamp, parse_timestamp
from scalekit.logs.syslog.message import FACILITIES, SEVERITIES, SyslogFault, parse_message
from tests.logs.syslog.test_stamps import utc

NOW = parse_timestamp("2026-11-23T22:14:15Z")
# fmt: off
_PIECES = [
    b"<14>", b"1 ", b"- ", b"[x ", b'a="', b'"', b"]", b"\\", b"Nov 23 ", b"22:14:15 ", b"web ", b"su[7]: ",
    b"2026-11-23T22:14:15Z ", b"\xef\xbb\xbf", b"\xff", b"\0", b"request_id=",
]
# fmt: on


def parse(data: bytes, peer: str = "", missing: int = 0) -> Entry:
    return parse_message(data, NOW, peer, utc, missing)


def fields(entry: Entry) -> dict[str, Any]:
    """All but facility and severity."""
    found: dict[str, Any] = json.loads(entry.fields or "{}")
    del found["facility"], found["severity"]
    return found


class ModernTests(SynchronousTestCase):
    """RFC 5424."""

    def test_its_examples(self) -> None:
        """Those of section 6.5."""
        entry = parse(
            b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed for lonvick"
        )
        self.assertEqual(astuple(entry)[:4], (1_065_910_455_003_000_000, "PANIC", "su", "'su root' failed for lonvick"))
        self.assertEqual(
            json.loads(entry.fields or ""),
            {"facility": "auth", "severity": "crit", "host": "mymachine.example.com", "msgid": "ID47"},
        )
        entry = parse(b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.")
        self.assertEqual(astuple(entry)[:4], (1_061_727_255_000_003_000, "INFO", "myproc", "%% It's time."))
        self.assertEqual(fields(entry), {"host": "192.0.2.1", "procid": "8710"})
        entry = parse(
            b'<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3" eventID="1011"]'
            b'[examplePriority@32473 class="high"]'
        )
        self.assertEqual(entry.message, "")
        expected = {"exampleSDID@32473": {"iut": "3", "eventID": "1011"}, "examplePriority@32473": {"class": "high"}}
        self.assertEqual(fields(entry)["data"], expected)

    def test_nothing_given(self) -> None:
        """NILVALUE in each field: the source is the address that it came from."""
        entry = parse(b"<14>1 - - - - - -", "10.0.0.7")
        self.assertEqual(astuple(entry)[:4], (None, "INFO", "10.0.0.7", ""))
        self.assertEqual(fields(entry), {"peer": "10.0.0.7"})
        self.assertEqual(parse(b"<14>1 - - - - - - x").source, "syslog")
        self.assertEqual(parse(b"<14>1 - web - - - - x", "10.0.0.7").source, "web")
        self.assertEqual(fields(parse(b"<14>1 - 10.0.0.7 a - - - x", "10.0.0.7")), {"host": "10.0.0.7"})

    def test_blanks(self) -> None:
        """rsyslog's second one is no part of the message, whatever stands behind the mark of UTF-8 is."""
        for said, expected in ((" m", "m"), ("  m", " m"), ("\ufeff m", " m"), (" ", ""), ("", "")):
            self.assertEqual(parse(f"<14>1 - - - - - - {said}".encode()).message, expected)

    def test_structured_data(self) -> None:
        """Escapes; backslashes before anything else stay (section 6.3.3); what comes twice is a list."""
        entry = parse(rb'<14>1 - - a - - [x q="\"\\\]\n" ip="1" ip="2" ip="3"][y][x z="["] m')
        self.assertEqual(fields(entry), {"data": {"x": {"q": '"\\]\\n', "ip": ["1", "2", "3"], "z": "["}, "y": {}}})
        self.assertEqual(entry.message, "m")

    def test_structured_data_that_is_none(self) -> None:
        """Is the message, with all that comes behind it."""
        for said in ("[x a=1] m", '[x a="1] m', '[x a="1"]m', "m", "[", '[x a="1"][y m', "-m"):
            entry = parse(f"<14>1 - h a - - {said}".encode())
            self.assertEqual((entry.message, entry.source), (said, "a"))
            self.assertEqual(fields(entry), {"host": "h", "malformed": "structured data"})

    def test_too_much_structured_data(self) -> None:
        """Is replaced by a note; the rest stays."""
        value = "x" * FIELDS_LIMIT
        entry = parse(f'<14>1 - h a - - [x v="{value}"] m'.encode())
        self.assertEqual((entry.source, entry.message), ("a", "m"))
        self.assertEqual(fields(entry)["host"], "h")
        self.assertRegex(fields(entry)["data"]["cut"], "^65[0-9]{3} bytes of fields$")

    def test_a_time_that_does_not_exist(self) -> None:
        entry = parse(b"<14>1 2026-13-01T00:00:00Z h a - - - m")
        self.assertEqual((entry.time, entry.message), (None, "m"))
        self.assertEqual(fields(entry), {"host": "h", "malformed": "timestamp 2026-13-01T00:00:00Z"})

    def test_a_time_that_nobody_can_hold(self) -> None:
        for data in (b"<14>1 0001-01-01T00:00:00Z h a - - - m", b"<14>0001-01-01T00:00:00Z h a: m"):
            entry = parse(data)
            self.assertEqual((entry.time, entry.message), (EARLIEST, "m"))
            self.assertEqual(fields(entry), {"host": "h", "Said": "0001-01-01T00:00:00Z"})

    def test_request_id(self) -> None:
        """Of structured data, else of the message: the field by which entries of a request are found."""
        entry = parse(b'<14>1 - - shop - - [trace@32473 request_id="5f2c-42"] sold request_id=no')
        self.assertEqual(fields(entry)["request_id"], "5f2c-42")
        for text in ("sold request_id=5f2c-42, 3 times", 'request_id="5f2c-42"', "a,request_id=5f2c-42"):
            self.assertEqual(fields(parse(f"<14>shop: {text}".encode())), {"request_id": "5f2c-42"})

    _word = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=48)
    _name = st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='=]"'), min_size=1, max_size=32
    )
    _any = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

    @given(
        st.integers(0, 191),
        st.none() | st.integers(0, 4_000_000_000 * 10**9),
        st.tuples(*[st.none() | _word.filter(lambda word: word != "-")] * 4),
        st.dictionaries(_name, st.dictionaries(_name, _any, max_size=3), max_size=3),
        _any,
    )
    def test_what_is_written_is_read(
        self,
        priority: int,
        time: int | None,
        header: tuple[str | None, ...],
        data: dict[str, dict[str, str]],
        message: str,
    ) -> None:
        """Any message that the RFC allows."""
        message = message.rstrip("\0\r\n")
        elements = [
            f"[{name}{''.join(f' {key}={_quoted(value)}' for key, value in params.items())}]"
            for name, params in data.items()
        ]
        host, program, process, kind = header
        stamp = "-" if time is None else format_timestamp(time)
        said = [f"<{priority}>1", stamp, *(part or "-" for part in header), "".join(elements) or "-"]
        # The mark says that UTF-8 follows, so it may be part of no message without one.
        entry = parse(f"{' '.join(said)} \ufeff{message}".encode())
        self.assertEqual((entry.time, entry.message), (time, message))
        self.assertEqual(entry.source, program or host or "syslog")
        expected = {"host": host, "procid": process, "msgid": kind, "data": data}
        found = fields(entry)
        found.pop("request_id", None)
        self.assertEqual(found, {name: value for name, value in expected.items() if value})
        whole = json.loads(entry.fields or "")
        self.assertEqual((whole["facility"], whole["severity"]), (FACILITIES[priority // 8], SEVERITIES[priority % 8]))


def _quoted(text: str) -> str:
    escaped = re.sub(r'(["\\\]])', r"\\\1", text)
    return f'"{escaped}"'


class OldTests(SynchronousTestCase):
    """RFC 3164, and whatever resembles it."""

    def test_who_says_what(self) -> None:
        """Host, program, process and message, of what programs really send."""
        second = 1_795_472_055 * 10**9
        for said, time, source, message, expected in (
            # The RFC's own, rsyslog's default, and logger --rfc3164.
            ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", -1, "su", "'su root' failed", {"host": "mymachine"}),
            ("<13>Nov 23 22:14:15 web tag[7]: m", second, "tag", "m", {"host": "web", "procid": "7"}),
            ("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", -1, "10.0.0.99", "Use the BFG!", {"host": "10.0.0.99"}),
            ("<13>Nov 23 22:14:15 fe80::1 tag: m", second, "tag", "m", {"host": "fe80::1"}),
            ("<13>Nov 23 22:14:15 - tag: m", second, "tag", "m", {}),
            # Programs at /dev/log, HAProxy, Go: no host.
            ("<134>Nov 23 22:14:15 haproxy[123]: Proxy web", second, "haproxy", "Proxy web", {"procid": "123"}),
            ("<22>Nov 23 22:14:15 postfix/smtpd[9]: m", second, "postfix/smtpd", "m", {"procid": "9"}),
            ("<13>Nov 23 22:14:15 cron[9] m", second, "cron", "m", {"procid": "9"}),
            # rsyslog's ForwardFormat, syslog-ng with ts-format(iso).
            ("<13>2026-11-23T23:14:15.000000+01:00 web tag[7]: m", second, "tag", "m", {"host": "web", "procid": "7"}),
            ("<13>2026-11-23T22:14:15Z tag: m", second, "tag", "m", {}),
            # Python's SysLogHandler, with an ident and without.
            ("<14>shop: sold", None, "shop", "sold", {}),
            ("<14>sold: 3", None, "sold", "3", {}),
            ("<14>http://shop.example/ is away", None, "syslog", "http://shop.example/ is away", {}),
            ("<14>it went well", None, "syslog", "it went well", {}),
            # Cisco: numbers, doubts about the clock, and years.
            ("<189>45: *Mar  1 18:46:11.1: %SYS-5-X: m", None, "syslog", "45: *Mar  1 18:46:11.1: %SYS-5-X: m", {}),
            ("<189>*Nov 23 22:14:15.000: %SYS-5-X: m", second, "%SYS-5-X", "m", {}),
            ("<166>Nov 23 2026 22:14:15: %ASA-6-1: m", second, "%ASA-6-1", "m", {}),
            # No priority, or none that exists: user.notice.
            ("Nov 23 22:14:15 web tag: m", second, "tag", "m", {"host": "web"}),
            ("ValueError: no", None, "syslog", "ValueError: no", {}),
            ("<192>x: m", None, "syslog", "<192>x: m", {}),
            ("<007>x: m", None, "syslog", "<007>x: m", {}),
            # Begins like RFC 5424.
            ("<14>1 file was copied to some place else", None, "syslog", "1 file was copied to some place else", {}),
            ("<14>1 2003-10-11T22:14:15Z", None, "syslog", "1 2003-10-11T22:14:15Z", {}),
        ):
            entry = parse(said.encode())
            self.assertEqual((entry.source, entry.message, fields(entry)), (source, message, expected), said)
            if time is None or time > 0:
                self.assertEqual(entry.time, time, said)
            else:
                self.assertIsNotNone(entry.time)

    def test_priorities(self) -> None:
        """Severities become levels; both names stay."""
        found = [parse(b"<%d>m" % severity).level for severity in range(8)]
        self.assertEqual(found, ["PANIC", "PANIC", "PANIC", "ERROR", "WARN", "INFO", "INFO", "DEBUG"])
        for said, facility, severity in (
            (b"<0>m", "kern", "emerg"),
            (b"<191>m", "local7", "debug"),
            (b"m", "user", "notice"),
        ):
            whole = json.loads(parse(said).fields or "")
            self.assertEqual((whole["facility"], whole["severity"]), (facility, severity))

    def test_ends(self) -> None:
        """NUL and newlines behind a message are no part of it, those within are."""
        for end in (b"", b"\0", b"\n", b"\r\n", b"\n\0"):
            self.assertEqual(parse(b"<14>a\nb" + end).message, "a\nb")

    def test_times_that_do_not_exist(self) -> None:
        for stamp in ("Feb 30 00:00:00", "2026-11-23T25:00:00Z"):
            entry = parse(f"<14>{stamp} web tag: m".encode())
            self.assertEqual((entry.time, entry.source, entry.message), (None, "tag", "m"))
            self.assertEqual(fields(entry), {"host": "web", "malformed": f"timestamp {stamp}"})

    def test_no_message(self) -> None:
        """What has no priority has to begin like a text: STUN and TLS, say, do not."""
        for said in (b"", b"\0", b"\r\n", b"\x00\x01\x00\x00", b"\x16\x03\x01\x02\x00", b"\x1b[2J"):
            self.assertRaises(SyslogFault, parse, said)
        self.assertEqual(parse(b"\ttabbed").message, "\ttabbed")


class BytesTests(SynchronousTestCase):
    """What is not UTF-8, and what is too long."""

    def test_other_codings(self) -> None:
        entry = parse(b"<14>Nov 23 22:14:15 w\xe9b caf\xe9[7]: \xff C:\\")
        self.assertEqual(astuple(entry)[1:4], ("INFO", "syslog", "w\\xe9b caf\\xe9[7]: \\xff C:\\\\"))
        self.assertEqual(fields(entry), {"escaped": True})
        entry = parse(b'<14>1 - h caf\xe9 - - [x k\xe9="\xe9" k\xe9="e"] \xe9')
        self.assertEqual((entry.source, entry.message), ("caf\\xe9", "\\xe9"))
        self.assertEqual(fields(entry), {"host": "h", "escaped": True, "data": {"x": {"k\\xe9": ["\\xe9", "e"]}}})

    @given(st.binary(max_size=100))
    def test_escapes_lose_nothing(self, data: bytes) -> None:
        """What was sent can be had back."""
        data = data.rstrip(b"\0\r\n")
        message = parse(b"<14>1 - - - - - - x" + data).message
        if b"\\" in data and fields(parse(b"<14>1 - - - - - - x" + data)):
            message = message.replace("\\\\", "\\x5c")
        if fields(parse(b"<14>1 - - - - - - x" + data)):
            found = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), message.encode())
            self.assertEqual(found, b"x" + data)
        else:
            self.assertEqual(message.encode(), b"x" + data)

    def test_cut(self) -> None:
        """At a character, with a note of what is missing; at the end of a character nothing more goes."""
        self.assertEqual(parse("<14>é".encode()[:-1], missing=3).message, " [cut: 3 bytes more]")
        self.assertEqual(parse("<14>aé€".encode()[:-1], missing=3).message, "aé [cut: 3 bytes more]")
        self.assertEqual(parse("<14>a😀".encode()[:-1], missing=3).message, "a [cut: 3 bytes more]")
        self.assertEqual(parse("<14>a😀".encode(), missing=3).message, "a😀 [cut: 3 bytes more]")
        self.assertEqual(parse(b"<14>a\n", missing=3).message, "a\n [cut: 3 bytes more]")
        self.assertEqual(
            parse(b"<14>\xff" + b"\x80" * 3, missing=3).message, "\\xff\\x80\\x80\\x80 [cut: 3 bytes more]"
        )

    @given(
        st.lists(
            st.sampled_from(_PIECES) | st.binary(max_size=20),
            max_size=20,
        ).map(b"".join),
        st.sampled_from(["", "10.0.0.7", "fe80::1"]),
        st.sampled_from([0, 0, 7]),
    )
    def test_anything(self, data: bytes, peer: str, missing: int) -> None:
        """Is an entry within all limits, or the one fault."""
        try:
            entry = parse(data, peer, missing)
        except SyslogFault:
            return
        self.assertIn(entry.level, LEVELS)
        self.assertTrue(0 < len(entry.source) <= SOURCE_LIMIT)
        self.assertLessEqual(len((entry.fields or "").encode()), FIELDS_LIMIT)
        for text in (entry.source, entry.message, entry.fields or ""):
            text.encode()
        self.assertTrue(entry.time is None or -(1 << 63) <= entry.time < 1 << 63)

    def test_long_ones(self) -> None:
        """Take no more than their length: each of these would take minutes or more if something went back."""
        size = MESSAGE_LIMIT
        for begin, repeated in (
            (b"<14>", b"a"),
            (b"<14>Nov 23 22:14:15 ", b"a"),
            (b"<14>1 - - - - - [a", b" "),
            (b"<14>1 - - - - - [a", b' b="\\'),
            (b"<14>1 - - - - - [a", b' b="c"'),
            (b"<14>1 - - - - - ", b"[a]"),
            (b"<14>1 - - - - - [", b"a "),
            (b"<14>", b"request_id="),
            (b"<14>", b"\xff"),
        ):
            data = (begin + repeated * size)[:size]
            self.assertLessEqual(len(parse(data).message.encode()), MESSAGE_LIMIT + 40)
