"""What an earlier process held is put back into a store, while that serves already; pure."""

from __future__ import annotations

from scalekit.cache.entry import charge_of
from scalekit.cache.fills import Fill
from scalekit.cache.store import Put, Store


class Restoring:
    """From its making on what comes in is newer than what is put back, until it ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fill = store.begin(b"")
        self._arrived = store.note_arrivals()

    def put_back(
        self,
        key: bytes,
        value: bytes,
        times: tuple[float, float, float, float],
        now: float,
        *,
        tags: tuple[bytes, ...],
        is_used: bool,
    ) -> bool:
        """
        Put back an entry; False if it has left, or was put anew or purged since this began, or there is no room.

        :param times: ``stored``, ``expires``, ``revalidates`` and ``leaves`` of an `Entry`.
        :param is_used: whether it was served lately.
        """
        store = self._store
        stored, expires, revalidates, leaves = times
        if leaves <= now or key in self._arrived or charge_of(key, value, tags) > store.free_bytes:
            return False
        outcome = store.put(
            key,
            value,
            expires - now,
            now,
            tags=tags,
            while_revalidating=revalidates - expires,
            if_error=leaves - expires,
            fill=Fill(key, self._fill.since),
            stored=stored,
        )
        if outcome is not Put.CREATED:
            return False
        self._arrived.discard(key)
        if is_used:
            store.use(key)
        return True

    def end(self) -> None:
        """All of it has come."""
        self._store.note_no_arrivals()
        self._store.abandon(self._fill)

    def __repr__(self) -> str:
        return f"<Restoring into {self._store!r}>"
