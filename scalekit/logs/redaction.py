"""
Secrets that got into entries by mistake, taken out before anything is written: a log is read by many, and kept.

===============  =====================================================================================
rule             what of it goes
===============  =====================================================================================
authorization    the credentials of an Authorization field, and those behind ``Bearer``
assignment       the value of ``password=``, ``secret=``, ``api_key=``, ``access_token=`` and the like
url              the password in ``scheme://user:password@host``
aws              access key ids of AWS
jwt              JSON web tokens
pem              private keys
card             card numbers (by their length, first digits and Luhn's checksum)
===============  =====================================================================================

In fields, the name of a field counts as what stands before the ``=``.

Nearly no entry has any.  So a batch is looked through as a whole for what every rule needs, by searches for fixed
strings: a twentieth of what one regular expression for all of them takes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from scalekit.logs.columns import Columns, columns_of
from scalekit.logs.entry import Entry

MARK = "[redacted]"

# Each goes over a text in one pass: what repeats without a bound ends where the next match could begin.
_NAMES = r"passw(?:or)?d|passwd|passphrase|pwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret"
_AUTHORIZATION = re.compile(
    r"(\bauthorization\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:basic|bearer|digest|negotiate|token)\s{1,3})?)"
    r"[^\s\"',;]+|(\bbearer\s{1,3})[A-Za-z0-9._~+/=-]{8,}",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(
    rf"((?:{_NAMES})[\"']?\s{{0,3}}=\s{{0,3}}|[\"'](?:{_NAMES})[\"']\s{{0,3}}:\s{{0,3}})"
    r"(?:\"[^\"]{0,1000}\"|'[^']{0,1000}'|[^\s\"'&;,]+)",
    re.IGNORECASE,
)
_FIELD_NAME = re.compile(rf"(?:.*[._-])?(?:{_NAMES}|authorization|cookie|token|password[_-]?hash)", re.IGNORECASE)
_URL = re.compile(r"(://[^\s/:@]{0,200}:)[^\s/@]{1,200}@")
_AWS = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
# Thirteen digits are milliseconds since the epoch as often as they are a card of the last century.
_CARD = re.compile(r"(?<![0-9])(?:3[0-9]|[456][0-9]|2[2-7])(?:[ -]?[0-9]){12,17}(?![0-9])")

_SHORTEST_CARD = b"0" * 14
_DIGITS = bytes(ord("0") if ord("0") <= byte <= ord("9") else byte for byte in range(256))
_NO_SEPARATORS = str.maketrans("", "", " -")
# Twice the digit, without its ten: the sum of both its digits.
_DOUBLED = str.maketrans("0123456789", "0246813579")
_ASSIGNED = (b"passw", b"pwd", b"secret", b"api", b"token", b"passphrase")


def _is_card(text: str) -> bool:
    digits = text.translate(_NO_SEPARATORS)
    doubled = digits[-2::-2].translate(_DOUBLED)
    return sum(map(int, digits[-1::-2] + doubled)) % 10 == 0 and len(set(digits)) > 1


def _kept_before(match: re.Match[str]) -> str:
    return (match[1] or match[match.lastindex or 0]) + MARK


RULES: dict[str, tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = {
    "pem": (_PEM, lambda match: MARK),
    "authorization": (_AUTHORIZATION, _kept_before),
    "assignment": (_ASSIGNMENT, _kept_before),
    "url": (_URL, lambda match: f"{match[1]}{MARK}@"),
    "aws": (_AWS, lambda match: MARK),
    "jwt": (_JWT, lambda match: MARK),
    "card": (_CARD, lambda match: MARK if _is_card(match[0]) else match[0]),
}


def suspected(text: bytes) -> list[str]:
    """The rules that may find something in this text; those that are left out do not."""
    rules = []
    # Searching for a single byte takes next to nothing, and for five a third of what it takes for six (in CPython 3.11,
    # of a text of more than 30,000).
    if b"K" in text and b"PRIVATE KEY-----" in text:
        rules.append("pem")
    lower = text.lower()
    if (b"z" in lower and b"authorization" in lower) or (b"earer" in lower and b"bearer" in lower):
        rules.append("authorization")
    is_assigning = b"=" in text or b'"' in text or b"'" in text
    if is_assigning and any(name in lower for name in _ASSIGNED):
        rules.append("assignment")
    if b"@" in text and b"://" in text:
        rules.append("url")
    if (b"K" in text and b"AKIA" in text) or b"ASIA" in text:
        rules.append("aws")
    if b"J" in text and b"eyJ" in text:
        rules.append("jwt")
    if _SHORTEST_CARD in text.translate(_DIGITS, b" -"):
        rules.append("card")
    return rules


def redact(entries: Sequence[Entry], counts: Counter[str]) -> Columns:
    """
    The entries without secrets.

    :param counts: is added to, by rule.
    """
    columns = columns_of(entries)
    rules = suspected("\n".join(columns.messages).encode(errors="replace"))
    said = "\n".join([fields for fields in columns.fields if fields is not None])
    needs_a_look = _look_for(said) if said else None
    if not rules and needs_a_look is None:
        return columns
    messages = [_redact_text(message, rules, counts) for message in columns.messages] if rules else columns.messages
    fields = columns.fields
    if needs_a_look is not None:
        fields = [_redact_fields(each, counts) if each and needs_a_look(each) else each for each in fields]
    # What stands for a secret has no character that is to be escaped.
    return Columns(columns.said, columns.kinds, columns.heads, messages, fields, columns.is_plain)


def _redact_fields(fields: str, counts: Counter[str]) -> str:
    decoded = msgspec.json.decode(fields)
    cleaned = _redact_value(decoded, counts)
    return fields if cleaned == decoded else msgspec.json.encode(cleaned).decode()


def _look_for(fields: str) -> Callable[[str], bool] | None:
    """For the fields of all entries as JSON: what tells of one's whether to go through them; None: of none's."""
    lower = fields.lower()
    rules = suspected(fields.encode(errors="replace"))
    if any(name in lower for name in ("cookie", "token")) or rules not in ([], ["card"]):
        return _needs_a_look
    return _may_have_card if rules else None


def _needs_a_look(fields: str) -> bool:
    look = _look_for(fields)
    return look is not None and (look is _needs_a_look or look(fields))


def _may_have_card(fields: str) -> bool:
    """Whether there is a card number in this JSON, where ids are as long; an escape may end in digits."""
    return "\\" in fields or any(_is_card(match[0]) for match in _CARD.finditer(fields))


def _redact_text(text: str, rules: Iterable[str], counts: Counter[str]) -> str:
    for rule in rules:
        pattern, replacement = RULES[rule]
        cleaned = pattern.sub(replacement, text)
        if cleaned != text:
            counts[rule] += 1
            text = cleaned
    return text


def _redact_value(value: Any, counts: Counter[str]) -> Any:
    """A field's value; what is nested in it as well (`scalekit.logs.entry.DEPTH_LIMIT` deep at most)."""
    if isinstance(value, str):
        return _redact_text(value, suspected(value.encode(errors="replace")), counts)
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and _CARD.fullmatch(text := str(value))
        and _is_card(text)
    ):
        counts["card"] += 1
        return MARK
    if isinstance(value, list):
        return [_redact_value(member, counts) for member in value]
    if isinstance(value, dict):
        return {name: _redact_field(name, member, counts) for name, member in value.items()}
    return value


def _redact_field(name: str, value: Any, counts: Counter[str]) -> Any:
    if isinstance(value, str | int | float) and _FIELD_NAME.fullmatch(name) and value != MARK:
        counts["assignment"] += 1
        return MARK
    return _redact_value(value, counts)
