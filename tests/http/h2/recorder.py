"""Owners that write down what they are told, and two sessions that talk."""

from __future__ import annotations

from typing import Any

from scalekit.http.h2.client_session import ClientSession
from scalekit.http.h2.owner import FieldList, Noise
from scalekit.http.h2.session import ServerSession


class Recorder:
    """
    :ivar events: what was told, as tuples.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def take(self) -> list[tuple[Any, ...]]:
        """What was told since the last time, without noise."""
        events, self.events = self.events, []
        return [event for event in events if event[0] != "noise"]

    def requested(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        self.events.append(("requested", stream, list(fields), has_ended))

    def answered(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        self.events.append(("answered", stream, list(fields), has_ended))

    def informed(self, stream: int, fields: FieldList) -> None:
        self.events.append(("informed", stream, list(fields)))

    def data(self, stream: int, piece: bytes, has_ended: bool) -> None:
        self.events.append(("data", stream, piece, has_ended))

    def trailers(self, stream: int, fields: FieldList) -> None:
        self.events.append(("trailers", stream, list(fields)))

    def reset(self, stream: int, code: int) -> None:
        self.events.append(("reset", stream, code))

    def closed(self, stream: int, code: int) -> None:
        self.events.append(("closed", stream, code))

    def heard(self, noise: Noise) -> None:
        self.events.append(("noise", noise))

    def going_away(self, last_stream: int, code: int) -> None:
        self.events.append(("going away", last_stream, code))


class Pair:
    """A client's session and a server's."""

    def __init__(self, streams: int = 100) -> None:
        self.at_client, self.at_server = Recorder(), Recorder()
        self.client = ClientSession(self.at_client, streams)
        self.server = ServerSession(self.at_server, streams)
        self.talk()

    def talk(self) -> None:
        """Carry bytes until nobody has any."""
        while (up := self.client.output(65536)) + (down := self.server.output(65536)):
            if up:
                self.server.receive(up)
            if down:
                self.client.receive(down)
