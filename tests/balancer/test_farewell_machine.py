"""WebSockets whose app server leaves, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost

from scalekit.http.websocket import close_frame
from tests.balancer.proxied import Case, Proxied
from tests.balancer.test_tunnels import AGREE, AGREED, ASK
from tests.http.test_websocket import END, PING, START, TEXT, frame
from tests.net.conversation import MemoryTransport

KEY = b"abcd"
TOLD = close_frame(1001)
TOLD_FOR_CLIENT = close_frame(1001, key=b"\x80\x00\x00\x00")

FRAMES = st.sampled_from([(TEXT, b"hello"), (START, b"x" * 200), (END, b"y"), (PING, b""), (TEXT, b"z" * 70_000)])
TURNS = st.one_of(
    st.tuples(st.sampled_from(["client says", "app says"]), FRAMES, st.integers(1, 5)),
    st.tuples(
        st.sampled_from(["client", "app"]),
        st.sampled_from(["says the rest", "closes", "ends", "is lost", "stops", "goes on"]),
    ),
    st.tuples(st.just("drain")),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 3.0, 6.0])),
)


class Peer:
    """
    One of the two.

    :ivar said: what it has sent, whole frames but for the last perhaps; ``ends``: where each of them ends.
    """

    def __init__(self, wire: MemoryTransport, key: bytes) -> None:
        self.wire = wire
        self.key = key
        self.said = b""
        self.ends = [0]
        self.start = len(wire.sent)
        self._rest = b""
        self._has_closed = False

    def say(self, first: int, payload: bytes, pieces: int) -> None:
        """A frame, of which only the first of so many pieces is sent now."""
        self.say_rest()
        if self._has_closed:
            return
        whole = frame(first, payload, self.key)
        size = -(-len(whole) // pieces)
        self._rest = whole[size:]
        self._send(whole[:size])

    def say_rest(self) -> None:
        rest, self._rest = self._rest, b""
        self._send(rest)

    def close(self) -> None:
        """A close frame of its own, or its answer."""
        self.say_rest()
        if not self._has_closed:
            self._has_closed = True
            self._send(close_frame(1001 if TOLD in self.heard else 4000, key=self.key))

    def _send(self, data: bytes) -> None:
        self.said += data
        self.wire.hear(data)
        if not self._rest:
            self.ends.append(len(self.said))

    def has_said(self, heard: bytes, goodbye: bytes) -> bool:
        """Whether this is a beginning of it, perhaps with a beginning of the goodbye behind one of its frames."""
        for shown in range(len(goodbye) + 1):
            size = len(heard) - shown
            if heard == self.said[:size] + goodbye[:shown] and (not shown or size in self.ends):
                return True
        return False

    @property
    def heard(self) -> bytes:
        return bytes(self.wire.sent[self.start :])


class InAnyOrder(Case):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(TURNS, max_size=14))
    def test_nothing_is_torn_and_nothing_is_left(self, turns: list[tuple[object, ...]]) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.answers(AGREE)
        self.assertEqual(it.hears(), AGREED)
        peers = {"client": Peer(it.wire, KEY), "app": Peer(it.app.wire, b"")}
        for turn in turns:
            self.do(it, peers, *turn)
            it.settle()
            self.check(peers)
        self.do(it, peers, "drain")
        it.waits(45)
        self.check(peers)
        self.assertEqual((it.in_flight, len(it.tunnels)), ([0], 0))
        # Who has only ended its own direction, or takes nothing, is cut by the deadlines of any tunnel.
        it.waits(130)
        self.assertEqual(len(it.outcomes), 1)
        self.assertIsNotNone(it.wire.loss)
        self.assertIsNotNone(it.app.wire.loss)
        self.assertEqual(it.factory.connections, set())
        self.assertEqual(repr(it.factory.wheel), "<Wheel 0 waiting>")

    def do(self, it: Proxied, peers: dict[str, Peer], *turn: object) -> None:
        match turn:
            case (("client says" | "app says") as who, (int(first), bytes(payload)), int(pieces)):
                peers[who.split()[0]].say(first, payload, pieces)
            case (("client" | "app") as who, str(what)):
                peer = peers[who]
                if what == "says the rest":
                    peer.say_rest()
                elif what == "closes":
                    peer.close()
                elif what == "ends":
                    peer.wire.end()
                elif what == "is lost":
                    peer.wire.lose(ConnectionLost)
                else:
                    peer.wire.room = 0 if what == "stops" else None
            case ("drain",):
                it.roster.settle_static("default", [], it.clock.seconds())
            case ("wait", float(seconds)):
                it.waits(seconds)

    def check(self, peers: dict[str, Peer]) -> None:
        """Each has heard a beginning of what the other has said, and then perhaps, between two frames, the end."""
        for hearer, sayer, goodbye in (("client", "app", TOLD), ("app", "client", TOLD_FOR_CLIENT)):
            heard = peers[hearer].heard
            self.assertTrue(peers[sayer].has_said(heard, goodbye), heard[-20:])
