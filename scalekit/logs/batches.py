"""
Batches that are written exactly once: ``X-Scalekit-Batch: <client id>/<n>``.

A client numbers its batches and has one under way at a time.  The highest number that was acknowledged to it stands in
the journal's frames; a number up to it is acknowledged again and not written; the next one is written; any other, and
one that comes while one is under way, gets 409.  A client that was not heard of for a day is forgotten, and so is the
one that was not heard of for longest when there are `CLIENT_LIMIT`: the next number of a client that is not known is
right, whatever it is.

Frames go with the journal's segments, so each segment begins with the whole table.
"""

from __future__ import annotations

import contextlib
import re
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from scalekit.errors import ClientFault
from scalekit.logs.frames import NOBODY, TABLE, Frame

# Longer than any outage that a client's spool survives.
FORGET_NANOSECONDS = 24 * 3600 * 1_000_000_000
# One a process; the table is 40 bytes each, at the beginning of every 16 MiB.
CLIENT_LIMIT = 10_000

_HEADER = re.compile(r"([A-Za-z0-9._~:-]{1,64})/([0-9]{1,18})")


class BatchName(NamedTuple):
    """A client's digest, and the number that it has given to a batch."""

    client: bytes
    number: int


class _Client(msgspec.Struct, array_like=True):
    client: bytes
    highest: int
    heard: int  # nanoseconds since the epoch


_table_decoder = msgspec.msgpack.Decoder(list[_Client])


def parse_batch_name(header: str) -> BatchName:
    """The header's value; raises `ClientFault` 400."""
    match = _HEADER.fullmatch(header.strip())
    if match is None:
        raise ClientFault(400, "bad-batch", f"X-Scalekit-Batch: found {header[:80]!r}, expected CLIENT-ID/NUMBER.")
    return BatchName(blake2b(match[1].encode(), digest_size=16).digest(), int(match[2]))


class BatchTable:
    """What each client had acknowledged, and what is under way."""

    def __init__(self) -> None:
        self._clients: dict[bytes, _Client] = {}  # the one heard of last is last
        self._under_way: set[bytes] = set()

    def begin(self, name: BatchName, now: int) -> bool:
        """
        Whether the batch is to be written, and then it is under way; otherwise it was already.

        Raises `ClientFault` 409 for a gap, and for a batch while one is under way.
        """
        if name.client in self._under_way:
            raise ClientFault(409, "batch-under-way", "Another batch of this client is still being written.")
        known = self._clients.get(name.client)
        if known is not None and known.heard >= now - FORGET_NANOSECONDS:
            if name.number <= known.highest:
                return False
            if name.number != known.highest + 1:
                raise ClientFault(409, "batch-gap", f"Batch {known.highest + 1} of this client comes next.")
        self._under_way.add(name.client)
        return True

    def written(self, name: BatchName, now: int) -> None:
        """The batch is on disk."""
        self._under_way.discard(name.client)
        self._note(_Client(name.client, name.number, now))

    def refused(self, name: BatchName) -> None:
        """The batch was not taken: it may come again."""
        self._under_way.discard(name.client)

    def _note(self, client: _Client) -> None:
        self._clients.pop(client.client, None)
        self._clients[client.client] = client
        while len(self._clients) > CLIENT_LIMIT:
            del self._clients[next(iter(self._clients))]

    def replay(self, frame: Frame) -> bool:
        """Take over what a frame of the journal says; whether its entries count, for it is no repeat."""
        if frame.client == TABLE:
            with contextlib.suppress(ValueError):  # not of our making, if its checksum is right
                for client in _table_decoder.decode(frame.payload):
                    known = self._clients.get(client.client)
                    if known is None or known.heard < client.heard:
                        self._note(client)
            return False
        if frame.client == NOBODY:
            return True
        known = self._clients.get(frame.client)
        if known is not None and known.heard >= frame.received - FORGET_NANOSECONDS and frame.batch <= known.highest:
            return False
        self._note(_Client(frame.client, frame.batch, frame.received))
        return True

    def preamble(self, first: int, now: int) -> bytes:
        """
        The frame that a segment begins with: all clients that are not forgotten.

        :param first: the sequence number of the entry behind it.
        """
        clients = [client for client in list(self._clients.values()) if client.heard >= now - FORGET_NANOSECONDS]
        return Frame(first, now, [], msgspec.msgpack.encode(clients), TABLE).encode()

    def __len__(self) -> int:
        return len(self._clients)

    def __repr__(self) -> str:
        return f"<BatchTable {len(self._clients)} clients, {len(self._under_way)} batches under way>"
