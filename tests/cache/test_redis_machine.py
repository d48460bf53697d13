"""The scripts in a real Redis beside the store in memory: whatever is done in whatever order, both hold the same."""

from __future__ import annotations

import socket
from io import BufferedReader
from typing import Any, ClassVar, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.ageing import Lifetimes
from scalekit.cache.conditions import etag
from scalekit.cache.fills import Fill
from scalekit.cache.keyvalue import KeyValue
from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import Purge, digest_of, pattern_of, prefixes_of, purge_arguments, reply_of
from scalekit.cache.redis_scripts import ASK, LAST, PURGE, PUT, READ, RELEASE, SWEEP, SWEPT
from scalekit.cache.store import Put, Store, Window
from tests.redis_server import PATIENCE_SECONDS, RedisServer

NAMESPACE = b"ns:"
# Lifetimes that nobody waits for the end of: an hour, or over from the beginning.
KEYS = st.sampled_from([b"a", b"aa", b"ab", b"b", b"b\n1"])
TAGS = st.lists(st.sampled_from([b"t", b"u", b"a b"]), max_size=3).map(tuple)
TIMES = st.builds(Lifetimes, *[st.sampled_from([0, 3600])] * 3)
PURGES = st.one_of(
    st.builds(Purge, st.just(Kind.KEY), KEYS, st.booleans()),
    st.builds(Purge, st.just(Kind.TAG), st.sampled_from([b"t", b"u", b"x"]), st.booleans()),
    st.builds(Purge, st.just(Kind.PREFIX), st.sampled_from([b"", b"a", b"b", b"x"]), st.booleans()),
)


class Redis:
    """A client that blocks."""

    def __init__(self, server: RedisServer) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(str(server.socket))
        self._answers: BufferedReader = self._socket.makefile("rb")

    def ask(self, *words: bytes | str | int) -> Any:
        data = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in data))
        return self._answer()

    def run(self, script: str, *arguments: bytes | int) -> Any:
        return self.ask("EVAL", script, 1, NAMESPACE, *arguments)

    def _answer(self) -> Any:
        line = self._answers.readline()
        kind, rest = line[:1], line[1:-2]
        assert kind != b"-", line
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self._answers.read(int(rest) + 2)[:-2]
        return rest

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


class Making(NamedTuple):
    """What is being made of a key, here and there; with a lease, if there is a token."""

    key: bytes
    fill: Fill
    since: bytes
    tokens: tuple[bytes, bytes] | None


class RedisMachine(RuleBasedStateMachine):
    redis: ClassVar[Redis]

    def __init__(self) -> None:
        super().__init__()
        self.redis.ask("FLUSHALL")
        self.clock = Clock()
        self.tokens = 0
        self.service = KeyValue(Store(1 << 20), self.clock, self.new_token)
        self.making: list[Making] = []
        self.values = 0

    def new_token(self) -> bytes:
        self.tokens += 1
        return b"token-%d" % self.tokens

    @rule(key=KEYS)
    def begin(self, key: bytes) -> None:
        self.making.append(Making(key, self.service.begin(key), self.redis.run(LAST), None))

    @rule(key=KEYS)
    def ask(self, key: bytes) -> None:
        found = self.service.ask(key, 3600)
        token = digest_of(key) + self.new_token()
        is_granted, left, reply = self.redis.run(ASK, key, digest_of(key), token, 3_600_000)
        assert bool(is_granted) == (found.lease is not None)
        assert (left > 0) == (is_granted or found.is_taken)
        assert bool(reply) == (self.service.peek(key) is not None)
        if found.lease is not None:
            self.making.append(Making(key, self.service.begin(key), b"", (found.lease.token, token)))

    @rule(data=st.data(), tags=TAGS, times=TIMES, is_expected=st.booleans())
    def put(self, data: st.DataObject, tags: tuple[bytes, ...], times: Lifetimes, is_expected: bool) -> None:
        if not self.making:
            return
        key, fill, since, tokens = self.making.pop(data.draw(st.integers(0, len(self.making) - 1)))
        self.values += 1
        value = b"value-%d" % self.values
        held = self.service.peek(key)
        expected = (b"" if held is None else etag(held.value)) if is_expected else None
        mine, theirs = tokens or (b"", b"")
        outcome = self.service.put(key, value, times, tags, fill, mine, expected)
        answer, _ = self.redis.run(
            PUT,
            *(key, digest_of(key), theirs, since, b"run", value, etag(value)),
            *(int(seconds) * 1000 for seconds in times),
            b"*" if expected is None else expected,
            b"".join(tag + b"\n" for tag in (b"", *dict.fromkeys(tags))),
        )
        assert Put(answer.decode()) is outcome

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        leased = [one for one in self.making if one.tokens]
        if not leased:
            return
        one = data.draw(st.sampled_from(leased))
        assert one.tokens is not None
        mine, theirs = one.tokens
        key = self.redis.run(RELEASE, theirs[:16], theirs, b"run")
        # One that a purge has voided may be there still: nobody minds whether it is given back.
        assert key == one.key if self.service.release(mine) else key in (None, one.key)

    @rule(purges=st.lists(PURGES, min_size=1, max_size=3))
    def purge(self, purges: list[Purge]) -> None:
        for kind, name, is_soft in purges:
            keys, tags = [name] if kind is Kind.KEY else [], [name] if kind is Kind.TAG else []
            self.service.purge(keys, tags, name if kind is Kind.PREFIX else None, is_soft)
        self.redis.run(PURGE, *purge_arguments(purges, b"run"))

    @rule()
    def sweep(self) -> None:
        self.service.store.sweep(self.clock.seconds(), 1000)
        swept = prefixes_of(self.redis.ask("HGETALL", NAMESPACE + b"tag:"))
        if swept:
            cursor, names = self.redis.ask("SCAN", 0, "MATCH", pattern_of(NAMESPACE, swept), "COUNT", 1000)
            assert cursor == b"0"
            self.redis.run(SWEEP, *(name.removeprefix(NAMESPACE + b"value:") for name in names))
            self.redis.run(SWEPT, *swept)
            assert not prefixes_of(self.redis.ask("HGETALL", NAMESPACE + b"tag:"))

    @invariant()
    def both_hold_the_same(self) -> None:
        for key in (b"a", b"aa", b"ab", b"b", b"b\n1"):
            entry, reply = self.service.peek(key), reply_of(self.redis.run(READ, key))
            assert (entry is None) == (reply is None), (key, entry, reply)
            if entry is None or reply is None:
                continue
            assert (entry.value, tuple(tag.name for tag in entry.tags)) == (reply.value, reply.tags)
            now = self.clock.seconds()
            for window, until in ((Window.FRESH, reply.expires), (Window.REVALIDATING, reply.revalidates)):
                found = self.service.get(key, window)
                assert (found is not None) == (until > reply.now), (key, window, entry, reply, now)


class MachineTests(SynchronousTestCase):
    def test_machine(self) -> None:
        server = RedisServer()
        self.addCleanup(server.clean_up)
        RedisMachine.redis = Redis(server)
        self.addCleanup(RedisMachine.redis.close)
        run_state_machine_as_test(RedisMachine, settings=settings(max_examples=60, stateful_step_count=30))
