"""
What each input gets: the table of HTTP/1.1 requests, as data.

Each group is a rule, each `Row` one spelling of it: the bytes that a client sends, and what comes of them.  The
parser's tests feed the rows in every cutting, those of the listener send them over a socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from scalekit.errors import ClientFault
from scalekit.http.heads import Fields
from scalekit.http.reader import RequestReader

KIB = 1024


@dataclass(frozen=True)
class Got:
    """A request that is taken, as its reader understands it."""

    method: bytes = b"GET"
    target: bytes = b"/"
    host: bytes = b"a.example"
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Row:
    """
    One input.

    :ivar expected: request after request; a number is the status that the rest is refused with: that ends it.
    :ivar closes: whether the connection ends after the last answer.
    """

    name: str
    sent: bytes
    expected: tuple[Got | int, ...]
    closes: bool

    @property
    def taken(self) -> list[Got]:
        """The requests that a responder may see to their end."""
        return [item for item in self.expected if isinstance(item, Got)]


def head(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: a.example") -> bytes:
    """A head of these field lines."""
    return b"\r\n".join([start, *([] if host is None else [host]), *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", start: bytes = b"POST / HTTP/1.1") -> bytes:
    """A request with a body."""
    return head(*lines, start=start) + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A request whose body is in chunks, these very bytes."""
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


def refused(status: int, *inputs: tuple[str, bytes] | bytes) -> list[Row]:
    """Inputs that all get this status, and their end."""
    rows = []
    for item in inputs:
        name, sent = item if isinstance(item, tuple) else (repr(item[:60]), item)
        rows.append(Row(name, sent, (status,), True))
    return rows


def taken(name: str, sent: bytes, *expected: Got | int, closes: bool = False) -> Row:
    """An input that is taken."""
    return Row(name, sent, expected or (Got(),), closes)


def fields(lines: Iterable[bytes]) -> list[bytes]:
    """Heads with one more field line each."""
    return [head(line) for line in lines]


CL, TE = b"Content-Length: 5", b"Transfer-Encoding: chunked"
ENDING = b"0\r\n\r\n"
POST = Got(b"POST")

TABLE: dict[str, list[Row]] = {
    "length and coding": refused(
        400,
        post(CL, TE, body=ENDING),
        post(TE, CL, body=ENDING),
        post(b"content-length: 0", TE, body=ENDING),
        post(TE, b"X: y", b"CONTENT-LENGTH: 5", body=ENDING),
        post(CL, b"Transfer-Encoding: identity", body=b"hello"),
        post(CL, b"Transfer-Encoding: cow", body=b"hello"),
    ),
    "transfer coding": [
        *refused(
            400,
            *(
                post(b"Transfer-Encoding:" + value, body=ENDING)
                for value in (
                    b" identity",
                    b" gzip, chunked",
                    b" gzip",
                    b" chunked, chunked",
                    b" chunked, identity",
                    b" chunked, gzip",
                    b" chunked,",
                    b" , chunked",
                    b" chunked;q=1",
                    b' "chunked"',
                    b" chunk ed",
                    b"\x0bchunked",
                    b" chunked\x00",
                    b" \x0cchunked",
                    b" chunked\x7f",
                    b" \x85chunked",
                    b"",
                )
            ),
            post(TE, TE, body=ENDING),
            post(b"Transfer-Encoding: gzip", TE, body=ENDING),
            post(TE, b"Transfer-Encoding: identity", body=ENDING),
            post(b"Transfer-Encoding : chunked", body=ENDING),
            post(b"Transfer-Encoding\t: chunked", body=ENDING),
            post(b" Transfer-Encoding: chunked", body=ENDING),
            post(b"Transfer-Encoding:", b" chunked", body=ENDING),
            post(b"Transfer-Encoding: x", b"\tchunked", body=ENDING),
        ),
        *refused(
            501,
            *(
                post(b"Transfer-Encoding: " + value, body=ENDING)
                for value in (b"cow", b"br", b"chunked, cow", b"xchunked")
            ),
        ),
    ],
    "coding in HTTP/1.0": refused(
        400,
        post(TE, body=ENDING, start=b"POST / HTTP/1.0"),
        post(TE, b"Connection: keep-alive", body=ENDING, start=b"POST / HTTP/1.0"),
        post(TE, CL, body=ENDING, start=b"POST / HTTP/1.0"),
        post(b"Transfer-Encoding: identity", start=b"POST / HTTP/1.0"),
    ),
    "no framing is no body": [
        taken("get", head()),
        taken("post", post(), POST),
        taken("post, and another", post() + head(), POST, Got()),
        taken("length nought", post(b"Content-Length: 0") + head(), POST, Got()),
        taken("a look-alike", post(b"Transfer_Encoding: chunked") + head(), POST, Got()),
        taken("what follows is no body", post() + b"x=1\r\n\r\n", POST, 400, closes=True),
    ],
    "length": [
        taken("five", post(CL, body=b"hello"), Got(b"POST", body=b"hello")),
        taken("on a get", head(CL) + b"hello" + head(), Got(body=b"hello"), Got()),
        taken("noughts in front", post(b"Content-Length: 0005", body=b"hello"), Got(b"POST", body=b"hello")),
        taken("white space", post(b"Content-Length: \t 5 \t", body=b"hello"), Got(b"POST", body=b"hello")),
        taken("what follows", post(CL, body=b"hello!" + head()), Got(b"POST", body=b"hello"), Got(b"!GET")),
        *refused(
            400,
            *(
                post(b"Content-Length:" + value, body=b"hello")
                for value in (
                    b" +5",
                    b" -5",
                    b" -0",
                    b" 0x5",
                    b" 1_0",
                    b" 5,5",
                    b" 5, 5",
                    b" 5 5",
                    b" 5.0",
                    b" 5e0",
                    b' "5"',
                    b"",
                    b" ,5",
                    b" five",
                    b" " + b"9" * 20,
                    b" " + b"0" * 19 + b"5",
                    b" \xb2",
                    b" \xd9\xa5",
                    b" 5\x0b",
                    b" 5\x00",
                )
            ),
            post(CL, CL, body=b"hello"),
            post(CL, b"content-length: 6", body=b"hello"),
            post(b"Content-Length: 0", CL, body=b"hello"),
            post(b"Content-Length : 5", body=b"hello"),
            post(b" Content-Length: 5", body=b"hello"),
        ),
    ],
    "chunked": [
        *(
            taken(
                repr(value),
                post(b"Transfer-Encoding:" + value, body=b"5\r\nhello\r\n0\r\n\r\n"),
                Got(b"POST", body=b"hello"),
            )
            for value in (b" chunked", b" CHUNKED", b"Chunked", b" \t chunked \t ", b"\tcHuNkEd")
        ),
        taken("any case of the name", post(b"transfer-ENCODING: chunked", body=ENDING), POST),
        taken("two pieces", chunked(b"5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n"), Got(b"POST", body=b"hello there")),
        taken("capitals", chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), Got(b"POST", body=b"0123456789")),
        taken("small letters", chunked(b"a\r\n0123456789\r\n0\r\n\r\n"), Got(b"POST", body=b"0123456789")),
        taken(
            "sixteen digits",
            chunked(b"0" * 15 + b"5\r\nhello\r\n" + b"0" * 16 + b"\r\n\r\n"),
            Got(b"POST", body=b"hello"),
        ),
        taken("CRLF inside", chunked(b"4\r\n\r\n\r\n\r\n0\r\n\r\n"), Got(b"POST", body=b"\r\n\r\n")),
        taken("an end inside", chunked(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"), Got(b"POST", body=b"0\r\n\r\n")),
        taken("extensions", chunked(b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n'), Got(b"POST", body=b"hello")),
        taken(
            "extensions of 4 KiB",
            chunked(b"5;" + b"x" * (4 * KIB - 1) + b"\r\nhello\r\n0\r\n\r\n"),
            Got(b"POST", body=b"hello"),
        ),
        taken("what follows", chunked(b"5\r\nhello\r\n0\r\n\r\n" + head()), Got(b"POST", body=b"hello"), Got()),
    ],
    "bad chunks": [
        *refused(
            400,
            *(
                (repr(line[:40]), chunked(line + b"\r\nhello\r\n0\r\n\r\n"))
                for line in (
                    b"0x5",
                    b"+5",
                    b"-5",
                    b" 5",
                    b"5 ",
                    b"\t5",
                    b"5\t",
                    b"5 ;a",
                    b"5;",
                    b"5;a\x00",
                    b"5;a\x01b",
                    b"5;a\rb",
                    b"5;a\x7f",
                    b"",
                    b"g",
                    b"5h",
                    b"5,a",
                    b"5_0",
                    b"\xb2",
                    b"0" * 16 + b"5",
                    b"1" + b"0" * 16,
                    b"5;" + b"x" * 4 * KIB,
                )
            ),
            ("LF after the size", chunked(b"5\nhello\r\n0\r\n\r\n")),
            ("LF after an extension", chunked(b"5;a\nhello\r\n0\r\n\r\n")),
            ("LF after the data", chunked(b"5\r\nhello\n0\r\n\r\n")),
            ("CR after the data", chunked(b"5\r\nhello\r0\r\n\r\n")),
            ("LF at the end", chunked(b"5\r\nhello\r\n0\n\n")),
            ("LF after the last size", chunked(b"5\r\nhello\r\n0\n\r\n")),
            ("data too long", chunked(b"5\r\nhello!\r\n0\r\n\r\n")),
            ("data too short", chunked(b"5\r\nhell\r\n0\r\n\r\n")),
            ("no end of line", chunked(b"5" * 5 * KIB)),
            ("extensions of 4 KiB in all", chunked(b"1;%b\r\na\r\n" % (b"x" * 99) * 42 + ENDING)),
            ("a huge size, and no end of its line", chunked(b"f" * 17 + b"\r\n")),
        ),
    ],
    "trailers": [
        taken("one", chunked(b"0\r\nX-Sum: 1\r\n\r\n"), Got(b"POST", trailers=((b"X-Sum", b"1"),))),
        taken(
            "two, and another request",
            chunked(b"2\r\nhi\r\n0\r\nX: 1\r\nX:2\r\n\r\n" + head()),
            Got(b"POST", body=b"hi", trailers=((b"X", b"1"), (b"X", b"2"))),
            Got(),
        ),
        taken("empty value", chunked(b"0\r\nX:\r\n\r\n"), Got(b"POST", trailers=((b"X", b""),))),
        *refused(
            400,
            *(
                (repr(line[:40]), chunked(b"0\r\n" + line + b"\r\n\r\n"))
                for line in (
                    b"X : 1",
                    b" X: 1",
                    b"X: 1\r\n Y: 2",
                    b"X: 1\nY: 2",
                    b"X: 1\rY: 2",
                    b"X: \x00",
                    b": 1",
                    b"X",
                    b"\rX: 1",
                    b"\r\rX",
                    b"X: 1\r\n" * 128 + b"X: 1",
                    b"X: " + b"y" * 33 * KIB,
                )
            ),
            ("LF only", chunked(b"0\r\nX: 1\n\n")),
        ),
    ],
    "persistence": [
        taken("1.1", head()),
        taken("1.1 keep-alive", head(b"Connection: keep-alive")),
        taken("1.1 close", head(b"Connection: close"), closes=True),
        taken("1.1 Close", head(b"connection: foo , ClosE"), closes=True),
        taken("1.1 close, keep-alive", head(b"Connection: close, keep-alive"), closes=True),
        taken("1.1 close and keep-alive", head(b"Connection: close", b"Connection: keep-alive"), closes=True),
        taken("1.1 keep-alive and close", head(b"Connection: keep-alive", b"Connection: close"), closes=True),
        taken("1.0", head(start=b"GET / HTTP/1.0"), closes=True),
        taken("1.0 without Host", head(start=b"GET / HTTP/1.0", host=None), Got(host=b""), closes=True),
        taken("1.0 keep-alive", head(b"Connection: keep-alive", start=b"GET / HTTP/1.0")),
        taken("1.0 Keep-Alive", head(b"Connection: Keep-Alive", start=b"GET / HTTP/1.0")),
        taken(
            "1.0 close and keep-alive",
            head(b"Connection: close", b"Connection: keep-alive", start=b"GET / HTTP/1.0"),
            closes=True,
        ),
        taken(
            "1.0 keep-alive and close",
            head(b"Connection: keep-alive", b"Connection: close", start=b"GET / HTTP/1.0"),
            closes=True,
        ),
        taken(
            "1.0 with a length",
            post(CL, b"Connection: keep-alive", body=b"hello", start=b"POST / HTTP/1.0"),
            Got(b"POST", body=b"hello"),
        ),
        taken("after a close nothing counts", head(b"Connection: close") + head(), closes=True),
        taken("the same again and again", head() * 3, Got(), Got(), Got()),
        taken("one empty line in front", b"\r\n" + head() + b"\r\n" + head(), Got(), Got()),
        *refused(
            400,
            *fields(
                (b"Connection: host", b"Connection: X, Content-Length", b"Connection: a b", b'Connection: "close"')
            ),
            b"\r\n\r\n" + head(),
            b"\r\n\r\n\r\n" + head(),
        ),
    ],
    "host": [
        *(
            taken(repr(value), head(host=b"Host:" + value), Got(host=value.strip()))
            for value in (
                b" a",
                b"a.example:80",
                b" a.example:65535",
                b" A.Example.",
                b" a_b.example",
                b" 127.0.0.1:1",
                b" [::1]",
                b" [::ffff:1.2.3.4]:8080",
                b" xn--nxasmq6b",
                b" \ta\t ",
            )
        ),
        *refused(
            400,
            ("none", head(host=None)),
            ("none, with others", head(b"X: Host: a", host=None)),
            ("two", head(b"Host: a.example")),
            ("two spelt otherwise", head(b"HOST: b.example")),
            *(
                head(host=b"Host:" + value)
                for value in (
                    b"",
                    b" ",
                    b" user@a",
                    b" user:pass@a",
                    b" @a",
                    b" a b",
                    b" a/b",
                    b" /",
                    b" http://a",
                    b" a?b",
                    b" a#b",
                    b" a\\b",
                    b" a:65536",
                    b" a:99999",
                    b" a:123456",
                    b" a:-1",
                    b" a:8o",
                    b" a:80:80",
                    b" a:",
                    b" :80",
                    b" a,b",
                    b" a;b",
                    b" ex%61mple",
                    b" %00",
                    b" a\x00",
                    b" a\x7f",
                    b" \xe4.example",
                    b' "a"',
                    b" <a>",
                    b" ::1",
                    b" [::1",
                    b" ::1]",
                    b" [::1]x",
                    b" [::1]:",
                    b" [x]",
                    b" [::1%25eth0]",
                    b" " + b"a" * 301,
                )
            ),
            ("1.0, a bad one", head(start=b"GET / HTTP/1.0", host=b"Host: a b")),
            ("white space before the colon", head(host=b"Host : a")),
        ),
    ],
    "absolute form": [
        *(
            taken(uri.decode(), head(start=b"GET %b HTTP/1.1" % uri), Got(target=target, host=host))
            for uri, target, host in (
                (b"http://b.example/x?y", b"/x?y", b"b.example"),
                (b"http://b.example", b"/", b"b.example"),
                (b"http://b.example?y", b"/?y", b"b.example"),
                (b"HTTP://b.example:81/", b"/", b"b.example:81"),
                (b"https://b.example/", b"/", b"b.example"),
                (b"http://[::1]:80/x", b"/x", b"[::1]:80"),
                (b"http://b.example//x", b"//x", b"b.example"),
                (b"http://b.example/http://c/", b"/http://c/", b"b.example"),
            )
        ),
        taken("1.0", head(start=b"GET http://b.example/ HTTP/1.0", host=None), Got(host=b"b.example"), closes=True),
        taken("options", head(start=b"OPTIONS http://b.example HTTP/1.1"), Got(b"OPTIONS", b"*", b"b.example")),
        *refused(
            400,
            *(
                head(start=b"GET %b HTTP/1.1" % uri)
                for uri in (
                    b"http://",
                    b"http:///x",
                    b"http:/x",
                    b"http:x",
                    b"http://user@b/",
                    b"http://b:70000/",
                    b"http://b\\c/",
                    b"http://b:/",
                    b"http://b,c/",
                    b"ftp://b/",
                    b"javascript:x",
                    b"x",
                    b"a.example",
                    b"a.example:80",
                    b"?x",
                )
            ),
            ("no Host beside it", head(start=b"GET http://b/ HTTP/1.1", host=None)),
            ("a bad Host beside it", head(start=b"GET http://b/ HTTP/1.1", host=b"Host: x y")),
            ("two Hosts beside it", head(b"Host: b", start=b"GET http://b/ HTTP/1.1")),
        ),
    ],
    "methods": [
        taken("options *", head(start=b"OPTIONS * HTTP/1.1"), Got(b"OPTIONS", b"*")),
        taken("of their own", head(start=b"PROPFIND / HTTP/1.1"), Got(b"PROPFIND")),
        taken("small letters", head(start=b"get / HTTP/1.1"), Got(b"get")),
        taken("every sign", head(start=b"!#$%&'*+-.^_`|~09aZ / HTTP/1.1"), Got(b"!#$%&'*+-.^_`|~09aZ")),
        taken("64 bytes", head(start=b"M" * 64 + b" / HTTP/1.1"), Got(b"M" * 64)),
        *refused(
            405,
            head(start=b"CONNECT b.example:443 HTTP/1.1"),
            head(start=b"CONNECT b.example HTTP/1.1"),
            head(start=b"CONNECT * HTTP/1.1"),
        ),
        *refused(
            400,
            head(start=b"CONNECT / HTTP/1.1"),
            head(start=b"GET * HTTP/1.1"),
            head(start=b"POST * HTTP/1.1"),
            head(start=b"OPTIONS *x HTTP/1.1"),
            head(start=b"M" * 65 + b" / HTTP/1.1"),
            head(start=b"G@T / HTTP/1.1"),
            head(start=b"G\x00T / HTTP/1.1"),
            head(start=b"G\xc3\xa4T / HTTP/1.1"),
            head(start=b"GET: / HTTP/1.1"),
            head(start=b"(GET) / HTTP/1.1"),
        ),
    ],
    "lines": [
        taken("no space after the colon", head(b"X:y")),
        taken("an empty value", head(b"X:", b"Y: ")),
        taken("obs-text", head(b"X: \xe4\xff")),
        taken("tabs inside", head(b"X: a\tb  c")),
        *refused(
            400,
            ("LF only", head().replace(b"\r\n", b"\n")),
            ("LF after the first line", head().replace(b"\r\n", b"\n", 1)),
            ("LF after a field", b"GET / HTTP/1.1\r\nHost: a.example\n\r\n"),
            ("LF at the end", b"GET / HTTP/1.1\r\nHost: a.example\r\n\n"),
            ("LF LF", b"GET / HTTP/1.1\r\nHost: a.example\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("CR only", head().replace(b"\r\n", b"\r") + b"\r\n\r\n"),
            ("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n"),
            ("CR in front", b"\r" + head()),
            ("LF in front", b"\n" + head()),
            *fields(
                (
                    b"X: a\rb",
                    b"X: a\nb",
                    b"X: a\nY: b",
                    b"X: a\rY: b",
                    b"X: a\x00b",
                    b"X: \x00",
                    b"X: a\x01",
                    b"X: a\x08b",
                    b"X: a\x0bb",
                    b"X: \x0c",
                    b"X: a\x1bb",
                    b"X: a\x7f",
                    b"X : a",
                    b"X\t: a",
                    b"X Y: a",
                    b"X\x00: a",
                    b"X\x0b: a",
                    b"X(: a",
                    b"X@Y: a",
                    b"X/Y: a",
                    b'"X": a',
                    b"\xe4: a",
                    b"\x00X: a",
                    b": a",
                    b":",
                    b" : a",
                    b"X",
                    b"X; a",
                    b" X: a",
                    b"\tX: a",
                    b" ",
                    b"X: a\r\n b",
                    b"X: a\r\n\tb",
                    b"X: a\r\n ",
                    b"X:\r\n a",
                    b"\x0bX: a",
                )
            ),
            ("a field folded under the first line", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
        ),
    ],
    "first line": [
        taken("quotes and such", head(start=b'GET /"<>|{}^`\\ HTTP/1.1'), Got(target=b'/"<>|{}^`\\')),
        taken("a lonely percent", head(start=b"GET /100% HTTP/1.1"), Got(target=b"/100%")),
        taken("two question marks", head(start=b"GET /?a?b HTTP/1.1"), Got(target=b"/?a?b")),
        taken("a URI inside", head(start=b"GET /http://x/ HTTP/1.1"), Got(target=b"/http://x/")),
        *refused(
            400,
            ("0.9", b"GET /\r\n"),
            ("0.9, with a field", b"GET /\r\nHost: a\r\n\r\n"),
            ("0.9, with a space", b"GET / \r\n"),
            *(
                head(start=start)
                for start in (
                    b"GET\t/ HTTP/1.1",
                    b"GET /\tHTTP/1.1",
                    b"GET  / HTTP/1.1",
                    b"GET /  HTTP/1.1",
                    b" GET / HTTP/1.1",
                    b"\tGET / HTTP/1.1",
                    b"GET / HTTP/1.1 ",
                    b"GET / HTTP/1.1\t",
                    b"GET / x HTTP/1.1",
                    b"GET HTTP/1.1",
                    b"GET  HTTP/1.1",
                    b"/ HTTP/1.1",
                    b"GET / http/1.1",
                    b"GET / HTTP/1",
                    b"GET / HTTP/1.10",
                    b"GET / HTTP/1.1x",
                    b"GET / HTTP/1,1",
                    b"GET / HTTP/01.1",
                    b"GET / HTTP /1.1",
                    b"GET / HTTP/ 1.1",
                    b"GET / HTTP/1.\xb2",
                    b"GET / ICY/1.1",
                    b"GET /\x00 HTTP/1.1",
                    b"GET /\x01 HTTP/1.1",
                    b"GET /\x7f HTTP/1.1",
                    b"GET /\x0b HTTP/1.1",
                    b"GET /\xe4 HTTP/1.1",
                    b"GET /#x HTTP/1.1",
                    b"GET /\r HTTP/1.1",
                )
            ),
            ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\r\n"),
            ("the preface of SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
            ("an answer", b"HTTP/1.1 200 OK\r\n\r\n"),
        ),
        *refused(
            505,
            *(
                head(start=b"GET / HTTP/" + version)
                for version in (b"1.2", b"1.9", b"2.0", b"0.9", b"3.0", b"0.0", b"9.9")
            ),
            ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ),
    ],
    "expectations": [
        taken("none of 1.0", head(b"Expect: 100-continue", start=b"GET / HTTP/1.0"), closes=True),
        taken("without a body", head(b"Expect: 100-continue")),
        taken("with it at once", post(CL, b"Expect: 100-Continue", body=b"hello"), Got(b"POST", body=b"hello")),
        *refused(
            417, *fields((b"Expect: 200-ok", b"Expect:", b"Expect: 100-continue, x", b"Expect: 100", b"expect: x"))
        ),
    ],
    "sizes": [
        taken(
            "a line of 16 KiB",
            head(start=b"GET /%b HTTP/1.1" % (b"x" * (16 * KIB - 16))),
            Got(target=b"/" + b"x" * (16 * KIB - 16)),
        ),
        taken("a head of 32 KiB", head(b"X: " + b"y" * (32 * KIB - 36))),
        taken("128 fields", head(*[b"X: y"] * 127)),
        *refused(
            414,
            ("a line over 16 KiB", head(start=b"GET /%b HTTP/1.1" % (b"x" * (16 * KIB - 15)))),
            ("a line of 31 KiB", head(start=b"GET /%b HTTP/1.1" % (b"x" * 31 * KIB))),
            ("a line without end", b"GET /" + b"x" * 40 * KIB),
        ),
        *refused(
            431,
            ("a head over 32 KiB", head(b"X: " + b"y" * (32 * KIB - 35))),
            ("a head of 60 KiB", head(b"X: " + b"y" * 60 * KIB)),
            ("a head without end", head(b"X: " + b"y" * 40 * KIB)[:-4]),
            ("a head of lines without end", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 6000),
            ("129 fields", head(*[b"X: y"] * 128)),
            ("thousands of fields", head(*[b"X:"] * 6000)),
        ),
    ],
    "pipelining": [
        taken(
            "three, with bodies",
            post(CL, body=b"hello") + chunked(b"1\r\n!\r\n0\r\n\r\n") + head(start=b"GET /3 HTTP/1.1"),
            Got(b"POST", body=b"hello"),
            Got(b"POST", body=b"!"),
            Got(target=b"/3"),
        ),
        taken(
            "fifty",
            b"".join(head(start=b"GET /%d HTTP/1.1" % n) for n in range(50)),
            *(Got(target=b"/%d" % n) for n in range(50)),
        ),
        taken("a bad one behind", head() + head(b"X : y") + head(), Got(), 400, closes=True),
        taken("a smuggled one", post(CL, TE, body=ENDING) + head(start=b"GET /admin HTTP/1.1"), 400, closes=True),
        taken("a close between", head() + head(b"Connection: close") + head(), Got(), Got(), closes=True),
    ],
}


def rows() -> Iterator[Row]:
    """The whole table."""
    for group in TABLE.values():
        yield from group


def cut_into(data: bytes, *places: int) -> list[bytes]:
    """The pieces between these offsets."""
    edges = [0, *places, len(data)]
    return [data[start:stop] for start, stop in pairwise(edges) if start < stop]


def single_bytes(data: bytes) -> list[bytes]:
    """One piece a byte."""
    return [data[index : index + 1] for index in range(len(data))]


def conversation(pieces: Iterable[bytes]) -> list[Got | int]:
    """What `RequestReader` makes of these pieces: request after request, and the status it refuses the rest with."""
    reader = RequestReader()
    seen: list[Got | int] = []
    request = None
    body: list[bytes] = []
    try:
        for piece in pieces:
            # As a connection does it.
            if request is None and (request := reader.read_whole(piece)) is not None:
                body = []
            else:
                reader.feed(piece)
            while True:
                if request is None:
                    request = reader.read_head()
                    if request is None:
                        break
                    body = []
                trailers: Fields = []
                if reader.decoder is not None:
                    body.append(reader.read_body())
                    if not reader.decoder.is_complete:
                        break
                    trailers = reader.decoder.trailers
                seen.append(Got(request.method, request.target, request.host, b"".join(body), tuple(trailers)))
                if not request.keep_alive:
                    return seen
                request = None
    except ClientFault as fault:
        seen.append(fault.status)
    return seen
