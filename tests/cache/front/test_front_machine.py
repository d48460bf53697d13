"""What was purged is never served again, whatever was under way: the front against a model."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import UpstreamFault
from tests.cache.front.fronted import Answering, Client, Fronted, get

PATHS = (b"/a", b"/b")
CUT = UpstreamFault(502, "answer-cut", "Cut.")
CONTROLS = (
    b"max-age=10",
    b"max-age=10, stale-while-revalidate=20, stale-if-error=40",
    b"no-cache",
    b"private",
    b"max-age=0, stale-if-error=100",
)
paths = st.sampled_from((*PATHS, PATHS[0]))


class Asking:
    """A client that has asked, and the oldest version that it may be answered with."""

    def __init__(self, client: Client, least: int) -> None:
        self.client = client
        self.least = least
        self.data = b""

    def check(self) -> bool:
        """Whether it has been answered; fails if that was with something older."""
        self.data += self.client.hears()
        head, _, body = self.data.partition(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            return bool(head) or self.client.is_over
        if len(body) >= 8:
            one, other = int(body[:4]), int(body[4:8])
            assert one == other, self.data
            assert one >= self.least, (one, self.least, self.data)
            return True
        return self.client.is_over


class Machine(RuleBasedStateMachine):
    """
    Each path has a version, which the origin reads when it is asked, and answers with when it is told to.  Who asks
    after a purge gets nothing older than what there was when it came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.it = Fronted(60_000)
        self.version = dict.fromkeys(PATHS, 1)
        self.least = dict.fromkeys(PATHS, 0)
        self.asking: list[Asking] = []
        self.pending: list[tuple[Answering, int]] = []
        self.begun: list[tuple[Answering, int]] = []
        self.seen = 0

    def take(self) -> None:
        """Let the origin read what it is asked for."""
        for asked in self.it.asked[self.seen :]:
            self.pending.append((asked, self.version[asked.exchange.head.path]))
        self.seen = len(self.it.asked)

    @rule(
        path=paths,
        control=st.sampled_from((b"", b"", b"", b"no-cache", b"max-stale=50", b"max-age=5")),
        who=st.sampled_from(((), (), (b"Cookie: a=b",))),
    )
    def ask(self, path: bytes, control: bytes, who: tuple[bytes, ...]) -> None:
        client = self.it.client()
        self.asking.append(Asking(client, self.least[path]))
        client.says(get(path, *who, *([b"Cache-Control: " + control] if control else [])))
        self.take()

    @rule(path=paths, how=st.sampled_from(("key", "tag", "prefix", "all", "post")))
    def change(self, path: bytes, how: str) -> None:
        self.version[path] += 1
        if how == "post":
            client = self.it.client()
            client.says(get(path, b"Content-Length: 0", method=b"POST"))
            self.it.asked.pop().answers(b"", b"")
        else:
            keys, tags, prefix = [b"http://a" + path], [path[1:]], b"http://a" + path
            self.it.purging.purge(
                keys if how == "key" else (),
                tags if how == "tag" else (),
                {"prefix": prefix, "all": b""}.get(how),
                False,
            )
        self.least[path] = self.version[path]

    @rule(path=paths)
    def soften(self, path: bytes) -> None:
        self.it.purging.purge([b"http://a" + path], (), None, True)

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), control=st.sampled_from(CONTROLS), what=st.sampled_from(("whole", "begin", "fail", "error")))
    def answer(self, data: Any, control: bytes, what: str) -> None:
        asked, version = self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1)))
        more = ((b"Surrogate-Key", asked.exchange.head.path[1:]), (b"ETag", b'"%d"' % version))
        if what == "fail":
            asked.exchange.fail(CUT)
        elif what == "error":
            asked.answers(b"", b"", 503)
        elif b'"%d"' % version in asked.fields.get(b"if-none-match", b""):
            asked.answers(b"", control, 304, *more)
        elif what == "whole":
            asked.answers(b"%04d" % version * 2, control, 200, *more)
        else:
            asked.begins(control, 8, 200, *more)
            asked.exchange.write(b"%04d" % version)
            self.begun.append((asked, version))
        self.take()

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), is_cut=st.booleans())
    def end(self, data: Any, is_cut: bool) -> None:
        asked, version = self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1)))
        if is_cut:
            asked.exchange.abort(CUT)
        else:
            asked.exchange.write(b"%04d" % version)
            asked.exchange.finish()
        self.take()

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        gone = self.asking.pop(data.draw(st.integers(0, len(self.asking) - 1)))
        gone.check()
        gone.client.wire.lose()
        self.take()

    @rule(seconds=st.sampled_from((1.0, 6.0, 15.0)))
    def wait(self, seconds: float) -> None:
        self.it.passes(seconds)
        self.it.store.sweep(self.it.clock.seconds(), 100)
        self.take()

    @invariant()
    def nobody_gets_what_was_purged(self) -> None:
        self.asking = [asking for asking in self.asking if not asking.check()]

    @invariant()
    def bounded(self) -> None:
        assert self.it.store.stats().bytes <= self.it.store.max_bytes

    def teardown(self) -> None:
        while self.pending or self.begun:
            for asked, version in self.begun:
                asked.exchange.write(b"%04d" % version)
                asked.exchange.finish()
            self.begun = []
            pending, self.pending = self.pending, []
            for asked, version in pending:
                tag = (b"Surrogate-Key", asked.exchange.head.path[1:])
                asked.answers(b"%04d" % version * 2, b"max-age=60", 200, tag)
            self.take()
        self.nobody_gets_what_was_purged()
        assert not self.asking, "everybody is answered"
        stats = self.it.store.stats()
        assert (stats.fills, stats.reserved_bytes, self.it.front._fetches) == (0, 0, {})


class FrontMachineTests(SynchronousTestCase):
    def test_machine(self) -> None:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
