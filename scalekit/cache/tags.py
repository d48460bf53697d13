"""
Which entries bear a tag: ``tag -> keys`` here, ``entry -> tags`` in each entry, always both or neither.

Names are interned: entries with the same tag refer to one `Tag`.  An untagged entry has no row anywhere, and a tag that
nobody bears is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from scalekit.cache.entry import Entry, Tag


class Tags:
    """The table of tags."""

    def __init__(self) -> None:
        self._tags: dict[bytes, Tag] = {}

    def bear(self, key: bytes, names: Iterable[bytes]) -> tuple[Tag, ...]:
        """The tags of these names, each once; they know this key from now on."""
        tags = []
        for name in dict.fromkeys(names):
            tag = self._tags.get(name)
            if tag is None:
                tag = self._tags[name] = Tag(name, set())
            tag.keys.add(key)
            tags.append(tag)
        return tuple(tags)

    def leave(self, entry: Entry) -> None:
        """This entry bears its tags no more."""
        for tag in entry.tags:
            tag.keys.discard(entry.key)  # who sweeps a purged tag has taken it out already
            if not tag.keys and self._tags.get(tag.name) is tag:
                del self._tags[tag.name]

    def take(self, name: bytes) -> Tag | None:
        """Take a tag off the table, with all keys; None if nobody bears it."""
        return self._tags.pop(name, None)

    def get(self, name: bytes) -> Tag | None:
        """The tag of this name; None if nobody bears it."""
        return self._tags.get(name)

    def __len__(self) -> int:
        return len(self._tags)

    def __repr__(self) -> str:
        return f"<Tags {len(self._tags)}>"
