"""
Fields that all log entries have which are made while something is done, such as the id of a request::

    with context(request_id=request_id):
        ...

They follow the code over ``await`` (PEP 567), and do not leave it for other threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_NOTHING: Mapping[str, Any] = {}
_fields: ContextVar[Mapping[str, Any]] = ContextVar("scalekit log fields", default=_NOTHING)

#: The fields of now; not to be changed.
current = _fields.get


@contextmanager
def context(**fields: Any) -> Iterator[None]:
    """Entries that are made within have these fields too; inner ones win."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)
