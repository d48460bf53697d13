"""What holds for every service, but for those that have their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class PerService(NamedTuple, Generic[T]):
    """
    :ivar usual: what holds for all others, those that are not configured included.
    :ivar own: by the service's name.
    """

    usual: T
    own: Mapping[str, T] = {}

    def of(self, service: str) -> T:
        """What holds for this one."""
        return self.own.get(service, self.usual)
