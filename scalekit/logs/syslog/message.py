r"""
A syslog message -> an entry: RFC 5424, RFC 3164, and what else calls itself syslog.

=================================================  ======================================================
``<34>1 2003-10-11T22:14:15.003Z web su 7 ID47 -``  RFC 5424
``<34>Oct 11 22:14:15 web su[7]: failed``           RFC 3164; the day may have a year, the second a fraction
``<34>2003-10-11T22:14:15.003+02:00 web su: …``     rsyslog's, Go's, and syslog-ng's idea of it
``<34>Oct 11 22:14:15 su: failed``                  programs that write to ``/dev/log``: no host
``<34>su: failed``                                  Python's SysLogHandler: no time either, and perhaps a NUL behind
``failed``                                          user.notice, as RFC 3164 section 4.3.3 says
=================================================  ======================================================

The entry's source is the program (APP-NAME, TAG), else the host, else the peer's address.  Its fields: ``facility``,
``severity`` (of which levels have fewer), ``host``, ``peer`` (the address that it came from, unless that is the host or
this machine), ``procid``, ``msgid``, ``data`` (structured data: an object of objects; what is given twice is a
list), ``request_id`` (of structured data, or ``request_id=`` in the message).

Senders are wrong in many ways, and what they say matters all the same.  So only what is no text at all is refused; for
the rest ``malformed`` says what could not be read, and the message is all that is behind it.  Bytes that are not UTF-8
become ``\xHH`` and backslashes beside them ``\\``, and ``escaped`` says so.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from scalekit.errors import ClientFault
from scalekit.logs.entry import FIELDS_LIMIT, MESSAGE_LIMIT, SAID, SOURCE_LIMIT, Entry, cut
from scalekit.logs.moments import Beyond, parse_timestamp
from scalekit.logs.syslog.stamps import STAMP, OffsetAt, resolve

#: What of one message is kept: with a header of usual size the message's own limit is not reached.
FRAME_LIMIT = MESSAGE_LIMIT

# RFC 5424 section 6.2.1; the names of 13 to 15 are rsyslog's.
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "security", "console", "solaris-cron"),
    *(f"local{number}" for number in range(8)),
)
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_LEVELS = ("PANIC", "PANIC", "PANIC", "ERROR", "WARN", "INFO", "INFO", "DEBUG")
_USER_NOTICE = 13

_PRI = re.compile(r"<(0|[1-9][0-9]{0,2})>")
# The lengths are those of RFC 5424 section 6 for a host; the others are kept to it as well, and not to what it says:
# names of containers are longer.
_HEADER = re.compile(
    r"1 (-|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]{1,40}) ([^ ]{1,255}) ([^ ]{1,255}) ([^ ]{1,255}) ([^ ]{1,255})(?: |\Z)"
)
# Possessive: what repeats is never given back, so that each character is looked at once.
_PARAM = r'[^ =\]"]{1,255}+="(?:[^"\\]++|\\.)*+"'
_ELEMENT = re.compile(rf'\[([^ =\]"]{{1,255}}+)((?: ++{_PARAM})*+) *+\]', re.DOTALL)
_PARAMS = re.compile(r' ++([^ =\]"]{1,255}+)="((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\\]])')
# In front of it IOS says with * and . how far it trusts its clock.
_OLD_STAMP = re.compile(
    rf" ?[*.]?(?:{STAMP}|(?P<iso>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:.,+Zz-]{{8,40}}))(?::? |:?\Z)"
)
# ``su:``, ``su[7]:`` or ``su[7]``; a blank behind it, so that URLs are none.
_NAME, _PROCESS = r"([^\s:\[\]<>\"'{}]{1,128})", r"\[([^\]\s]{1,128})\]"
_TAG = re.compile(rf"{_NAME}(?:(?:{_PROCESS})?:|{_PROCESS})(?:\s|\Z)")
_HOST = re.compile(r"([A-Za-z0-9._:%-]{1,255}) ")
_REQUEST_ID = re.compile(r"\brequest_id=\"?([A-Za-z0-9._:@/+-]{1,128})")
_REQUEST_NAMES = ("request_id", "requestId", "request-id", "requestID")
_SURROGATE = re.compile(r"[\\\udc80-\udcff]")
_encoder = msgspec.json.Encoder()


class SyslogFault(ClientFault):
    """This is no message."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "bad-message", detail)


def parse_message(data: bytes, now: int, peer: str, offset_at: OffsetAt, missing: int = 0) -> Entry:
    """
    The entry of one message, without the framing; raises `SyslogFault`.

    :param now: nanoseconds since the epoch.
    :param peer: the address that it came from; empty: from this machine.
    :param missing: how many of its bytes have been left out behind ``data``.
    """
    # Newlines and NULs that senders count in, and of datagrams.
    data = _whole(data) if missing else data.rstrip(b"\0\r\n")
    try:
        text, is_dirty = data.decode(), False
    except UnicodeDecodeError:
        text, is_dirty = data.decode(errors="surrogateescape"), True
    pri = _PRI.match(text)
    if pri is not None and int(pri[1]) < len(FACILITIES) * 8:
        priority, position = int(pri[1]), pri.end()
    elif text and (text[0] >= " " or text[0] == "\t"):
        priority, position = _USER_NOTICE, 0
    else:
        raise SyslogFault("It begins with a control character." if text else "It is empty.")
    facility, severity = divmod(priority, 8)
    said: dict[str, Any] = {"facility": FACILITIES[facility], "severity": SEVERITIES[severity]}
    header = _HEADER.match(text, position)
    if header is not None:
        time, host, program, message = _modern(header, said)
    else:
        time, host, program, message = _old(text, position, now, offset_at, said)
    if host:
        said["host"] = host
    if peer and peer != host:
        said["peer"] = peer
    _find_request_id(said, message)
    if is_dirty:
        said, message, program = _escaped(said), _escaped(message), _escaped(program)
        said["escaped"] = True
    message = cut(message, MESSAGE_LIMIT)
    if missing:
        message = f"{message} [cut: {missing} bytes more]"
    source = program or said.get("host") or peer or "syslog"
    return Entry(time, _LEVELS[severity], source[:SOURCE_LIMIT], message, _fields(said))


def _whole(data: bytes) -> bytes:
    """Without the beginning of a character at the end."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
        if byte < 0x80:
            break
    return data


def _modern(header: re.Match[str], said: dict[str, Any]) -> tuple[int | None, str, str, str]:
    """RFC 5424: time, host, program, and message."""
    stamp, host, program, process, kind = (None if part == "-" else part for part in header.groups())
    text = header.string
    time = None
    if stamp is not None:
        try:
            time = _time(stamp, said)
        except ValueError:
            said["malformed"] = f"timestamp {stamp}"
    if process is not None:
        said["procid"] = process
    if kind is not None:
        said["msgid"] = kind
    position = header.end()
    if text.startswith("-", position):
        end = position + 1
    else:
        data, end = _structured_data(text, position)
        if data:
            said["data"] = data
    if end < len(text) and text[end] != " ":
        # Perhaps the program has left it out, or has forgotten a bracket.
        said["malformed"] = "structured data"
        message = text[position:]
        said.pop("data", None)
    else:
        message = text[end + 1 :]
        # rsyslog's own template has a second blank there: the one behind the TAG of what it has received.
        message = message[1:] if message.startswith(("\ufeff", " ")) else message
    return time, host or "", program or "", message


def _time(stamp: str, said: dict[str, Any]) -> int:
    """Raises ValueError."""
    try:
        return parse_timestamp(stamp)
    except Beyond as beyond:
        said[SAID] = stamp
        return beyond.nearest


def _structured_data(text: str, position: int) -> tuple[dict[str, Any], int]:
    """The elements from here on (RFC 5424 section 6.3), and where they end."""
    elements: dict[str, Any] = {}
    while (element := _ELEMENT.match(text, position)) is not None:
        position = element.end()
        values = elements.setdefault(element[1], {})
        for name, value in _PARAMS.findall(element[2]):
            value = _ESCAPE.sub(r"\1", value) if "\\" in value else value
            before = values.get(name)
            if before is None:
                values[name] = value
            elif isinstance(before, list):
                before.append(value)
            else:
                values[name] = [before, value]
    return elements, position


def _old(
    text: str, position: int, now: int, offset_at: OffsetAt, said: dict[str, Any]
) -> tuple[int | None, str, str, str]:
    """RFC 3164 and its relatives: time, host, program, and message."""
    time = None
    host = ""
    stamp = _OLD_STAMP.match(text, position)
    if stamp is not None:
        position = stamp.end()
        if stamp["iso"] is None:
            time = resolve(stamp, now, offset_at)
        else:
            try:
                time = _time(stamp["iso"], said)
            except ValueError:
                pass
        if time is None:
            said["malformed"] = f"timestamp {stamp[0].strip()}"
        if _TAG.match(text, position) is None:
            name = _HOST.match(text, position)
            if name is not None:
                host, position = name[1].removeprefix("-"), name.end()
    # Of a line without anything in front, as those within a traceback, the first word is no program.
    tag = _TAG.match(text, position) if position else None
    # Cisco numbers its messages there.
    if tag is None or tag[1].isdecimal():
        return time, host, "", text[position:]
    process = tag[2] or tag[3]
    if process is not None:
        said["procid"] = process
    return time, host, tag[1], text[tag.end() :]


def _find_request_id(said: dict[str, Any], message: str) -> None:
    for element in said.get("data", {}).values():
        for name in _REQUEST_NAMES:
            if name in element:
                said["request_id"] = element[name]
                return
    found = _REQUEST_ID.search(message) if "request_id=" in message else None
    if found is not None:
        said["request_id"] = found[1]


def _fields(said: dict[str, Any]) -> str:
    """As JSON; structured data that is too long is replaced by a note of how long it was."""
    coded = _encoder.encode(said)
    if len(coded) > FIELDS_LIMIT:  # nothing else can be
        said["data"] = {"cut": f"{len(coded)} bytes of fields"}
        coded = _encoder.encode(said)
    return coded.decode()


def _escaped(value: Any) -> Any:
    """The same with bytes that are not UTF-8 as ``\\xHH``, in all texts."""
    if isinstance(value, str):
        return _SURROGATE.sub(lambda match: "\\\\" if match[0] == "\\" else f"\\x{ord(match[0]) - 0xDC00:02x}", value)
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if isinstance(value, dict):
        return {_escaped(name): _escaped(each) for name, each in value.items()}
    return value
