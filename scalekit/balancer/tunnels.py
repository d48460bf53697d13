"""
The WebSockets that run through us, and how they end when their app server leaves, or when we do.

Each is told to go away (1001) at a time of its own, so that their clients do not come back as one herd; how it is said
is in `scalekit.http.farewell`.  Its deadline on the wheel is what comes next:

==========================  =====================================  =================================================
deadline                    from                                   when it passes
==========================  =====================================  =================================================
its turn                    the app server leaves                  the client is told, or as soon as a message ends
`MESSAGE_SECONDS`           its turn, inside a message             a frame's end will do
the end of the drain        inside a frame, still                  it is cut
`ANSWER_SECONDS`            the client is told                     the app is told instead
`ANSWER_SECONDS`            both know                              it is cut
==========================  =====================================  =================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from scalekit.balancer.instance import LEAVING, Instance, State, Transition
from scalekit.errors import UpstreamFault
from scalekit.http.farewell import Farewell, Step
from scalekit.http.websocket import FRAME, MESSAGE
from scalekit.interfaces import ITunnelReceiver
from scalekit.net.deadlines import FAR, Wheel

if TYPE_CHECKING:
    from scalekit.balancer.forward import Forward

#: Of the time that a drain may take; the rest is for the answers of those whose turn is last, and for whoever gives us
#: less time than we think: `scalekit.kit.wsgi` waits for 25 s of 30.
SPREAD = 2 / 3
#: Between two turns: four clients a second that connect again are no herd, and few WebSockets shall not make a deploy
#: take as long as many do.
LONGEST_GAP_SECONDS = 0.25

#: How long a message that comes in frames, or slowly, may keep its WebSocket open: most are here within a second.
MESSAGE_SECONDS = 2.0
#: A round trip to the other side of the world and a lost packet take one; the ``websockets`` package gives it 10 s.
ANSWER_SECONDS = 5.0

#: In the access log, of those that have been told.
GOING_AWAY = "going-away"
_CUT = UpstreamFault(503, "drain-timeout", "The app server leaves, and the tunnel did not end in time.")


def plan_turns(count: int, seconds: float, jitter: Callable[[], float]) -> list[float]:
    """
    When each of so many is told to go, in seconds from now, ascending.

    :param seconds: how long the drain may take.
    :param jitter: gives a number from 0 to 1: where in its own gap each turn is, so that other balancers that tell
        others the same meet it neither always nor never.
    """
    gap = min(LONGEST_GAP_SECONDS, seconds * SPREAD / max(1, count))
    return [(number + jitter()) * gap for number in range(count)]


class _Wait(IntEnum):
    """What the deadline is for, see the module."""

    NOTHING = 0
    TURN = 1
    MESSAGE = 2
    FRAME = 3
    ANSWER = 4
    CLOSE = 5


@implementer(ITunnelReceiver)
class Tunnel:
    """
    One of them; it receives the client's bytes.

    :ivar open_ends: how many directions have not ended.
    """

    __slots__ = (
        "_exchange",
        "_farewell",
        "_forward",
        "_last",
        "_tunnels",
        "_wait",
        "deadline",
        "open_ends",
        "scheduled",
    )

    def __init__(self, tunnels: Tunnels, forward: Forward, exchange: Any) -> None:
        self._tunnels = tunnels
        self._forward = forward
        self._exchange = exchange
        self._farewell = Farewell()
        self._wait = _Wait.NOTHING
        self._last = FAR
        self.open_ends = 2
        self.deadline = self.scheduled = FAR

    @property
    def is_told(self) -> bool:
        """Whether the client knows that it ends: then nothing is broken any more when the app server is gone."""
        return self._farewell.step >= Step.TOLD

    # What goes through.

    def data(self, piece: bytes) -> None:
        connection = self._forward.connection
        if connection is not None:
            piece = self._farewell.to_app(piece)
            if piece:
                connection.write(piece)
        if self._wait and self._wait == _Wait.ANSWER and self._farewell.step is Step.ANSWERED:
            self._close()

    def end(self, trailers: Any) -> None:
        connection = self._forward.connection
        if connection is not None:
            connection.finish([])
        self._forward.one_ended(self)

    def go_away(self) -> None:
        # Usually planned already, by `Tunnels.end_all`.
        if self._wait == _Wait.NOTHING:
            self.take_turn(0.0, self._tunnels.wheel.now)

    def answer(self, piece: bytes) -> None:
        """What the app server says."""
        piece = self._farewell.to_client(piece)
        if piece:
            self._exchange.write(piece)
        if self._wait and self._wait < _Wait.ANSWER and self.is_told:
            self._told()

    def left(self) -> None:
        """It has no app server any more; a client that is told has its time all the same."""
        self._tunnels.forget(self)
        if not self.is_told:
            self.over()

    def over(self) -> None:
        """Nobody is there any more."""
        self._tunnels.wheel.forget(self)

    # How it ends.

    def take_turn(self, seconds: float, last: float) -> None:
        """
        Let it end in so many seconds, if that is not to be sooner already.

        :param last: the end of the drain, in the wheel's seconds: until then a frame may keep it open.
        """
        self._last = min(self._last, last)
        wheel = self._tunnels.wheel
        if self._wait <= _Wait.TURN and wheel.now + seconds < self.deadline:
            self._arm(_Wait.TURN, seconds)
        elif self._wait == _Wait.FRAME:
            self._arm(_Wait.FRAME, max(ANSWER_SECONDS, self._last - wheel.now))

    def deadline_passed(self) -> None:
        """See the module."""
        wait, farewell = self._wait, self._farewell
        if wait == _Wait.TURN:
            if farewell.is_ending:
                self._arm(_Wait.CLOSE, ANSWER_SECONDS)
            else:
                self._ask(MESSAGE)
        elif wait == _Wait.MESSAGE:
            self._ask(FRAME)
        elif wait == _Wait.ANSWER and self._tell_app():
            self._close()
        else:
            self._tunnels.count(self._exchange.record.service, "cut")
            self._forward.refuse(_CUT)

    def _ask(self, until: int) -> None:
        frame = self._farewell.ask(until)
        if frame:
            self._exchange.write(frame)
            self._told()
        elif until == MESSAGE:
            self._arm(_Wait.MESSAGE, MESSAGE_SECONDS)
        else:
            self._arm(_Wait.FRAME, max(ANSWER_SECONDS, self._last - self._tunnels.wheel.now))

    def _told(self) -> None:
        record = self._exchange.record
        record.reason = GOING_AWAY
        self._tunnels.count(record.service, "told")
        self._arm(_Wait.ANSWER, ANSWER_SECONDS)
        if self._farewell.step is Step.ANSWERED:
            self._close()

    def _tell_app(self) -> bool:
        """The client has not answered: whether the app server could be told."""
        connection = self._forward.connection
        if connection is None:
            return False
        frame = self._farewell.give_up_client(self._tunnels.new_key())
        if frame:
            connection.write(frame)
        return bool(frame)

    def _close(self) -> None:
        # Of a WebSocket's connection the server closes first (RFC 6455 section 7.1.1): here for the client, and the
        # app server for us.
        self._arm(_Wait.CLOSE, ANSWER_SECONDS)
        self._exchange.finish()

    def _arm(self, wait: _Wait, seconds: float) -> None:
        self._wait = wait
        self._tunnels.wheel.arm(self, seconds)

    def __repr__(self) -> str:
        return f"<Tunnel {self._farewell!r} {self._wait.name.lower()}>"


class Tunnels:
    """
    Those of a balancer.

    :param random: gives a number from 0 to 1.
    :ivar drained: how many of a service were ``told``, and how many ``cut``: before that, or as they did not end.
    """

    def __init__(self, wheel: Wheel, random: Callable[[], float]) -> None:
        self.wheel = wheel
        self._random = random
        self._by_instance: dict[Instance, dict[Tunnel, None]] = {}
        self._instances: dict[Tunnel, Instance] = {}
        self._is_leaving = False
        self.drained: Counter[tuple[str, str]] = Counter()

    def begin(self, forward: Forward, exchange: Any, instance: Instance) -> Tunnel:
        """A new one."""
        tunnel = Tunnel(self, forward, exchange)
        self._instances[tunnel] = instance
        self._by_instance.setdefault(instance, {})[tunnel] = None
        if self._is_leaving or instance.state in LEAVING:
            # It was asked for before; now that it stands, it is late already.
            tunnel.take_turn(0.0, self.wheel.now)
        return tunnel

    def forget(self, tunnel: Tunnel) -> None:
        """It is over."""
        instance = self._instances.pop(tunnel, None)
        if instance is not None:
            left = self._by_instance[instance]
            del left[tunnel]
            if not left:
                del self._by_instance[instance]

    def transition(self, change: Transition) -> None:
        """An instance that leaves gives back its WebSockets, too."""
        if change.after is State.DRAINING:
            self.end(change.instance, change.instance.drain_deadline - change.at)
        elif change.after is State.GONE:
            self.end(change.instance, 0.0)

    def end(self, instance: Instance, seconds: float) -> None:
        """Have those of an instance end within so many seconds, or earlier if that is planned."""
        self._end(list(self._by_instance.get(instance, ())), seconds)

    def end_all(self, seconds: float) -> None:
        """The same of every instance, and of those that are still to come."""
        self._is_leaving = True
        self._end(list(self._instances), seconds)

    def _end(self, tunnels: list[Tunnel], seconds: float) -> None:
        last = self.wheel.now + seconds
        for tunnel, turn in zip(tunnels, plan_turns(len(tunnels), seconds, self._random), strict=True):
            tunnel.take_turn(turn, last)

    def count(self, service: str, outcome: str) -> None:
        """What has come of one that was to end."""
        self.drained[service, outcome] += 1

    def open(self) -> Counter[str]:
        """How many each service has."""
        counts: Counter[str] = Counter()
        for instance, tunnels in self._by_instance.items():
            counts[instance.service] += len(tunnels)
        return counts

    def new_key(self) -> bytes:
        """What a close frame for an app server is masked with."""
        return int(self._random() * 2**32).to_bytes(4, "big")

    def __len__(self) -> int:
        return len(self._instances)

    def __repr__(self) -> str:
        return f"<Tunnels {len(self)} open>"
