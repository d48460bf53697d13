"""Requests, answers and what is stored of them, in one line each."""

from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.fields import Values, values_by_name
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.storing import USUAL, Policy, Refusal, plan_store
from scalekit.http.heads import Fields, RequestHead, ResponseHead

#: Sun, 06 Nov 1994 08:49:37 GMT
NOW = 784111777.0


def fields(*lines: str) -> Fields:
    """``Name: value`` lines as fields."""
    return [
        (name.encode("latin-1"), value.strip().encode("latin-1"))
        for name, _, value in (x.partition(":") for x in lines)
    ]


def values(*lines: str) -> Values:
    """The values of these fields by their names."""
    found = fields(*lines)
    return values_by_name(found, frozenset(name.lower() for name, _ in found))


def get(*lines: str, method: str = "GET", target: str = "/", length: int | None = 0, host: str = "h") -> Asked:
    """A request over https."""
    head = RequestHead(method.encode(), target.encode(), fields(*lines), host.encode(), length=length)
    return Asked(head, is_secure=True)


def reply(*lines: str, status: int = 200) -> ResponseHead:
    """An answer's head."""
    return ResponseHead(status, fields(*lines))


def planned(
    *lines: str, status: int = 200, asked: Asked | None = None, policy: Policy = USUAL, at: float = NOW
) -> Stored | Refusal:
    """What is kept of an answer that comes at once."""
    return plan_store(asked or get(), reply(*lines, status=status), at, at, policy)


def kept(*lines: str, status: int = 200, asked: Asked | None = None, policy: Policy = USUAL, at: float = NOW) -> Stored:
    """The same, of one that is stored."""
    stored = planned(*lines, status=status, asked=asked, policy=policy, at=at)
    assert isinstance(stored, Stored), stored
    return stored
