"""Who asks whom, and what counts as an answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.neighbours import (
    FINE,
    SETTLE_SECONDS,
    TURN_SECONDS,
    Asked,
    Measured,
    Milliseconds,
    Turn,
    Turns,
    ask_at_pace,
    configuration,
)
from scalekit.config.loading import load
from tests.scenarios.bad_app import FINE as WHOLE

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfine"


class NeighboursTests(SynchronousTestCase):
    def test_each_kind_has_a_service_of_its_own(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        config = folder / "scalekit.toml"
        config.write_text(configuration(folder, 1001, 1002, 1003, {"hung": 1004}))
        services = load(str(config)).balancer.service
        self.assertEqual(
            {service.name: (service.path, [one.port for one in service.servers]) for service in services},
            {"default": ("/", [1003]), FINE: ("/fine", [1003]), "hung": ("/hung", [1004])},
        )

    def test_an_answer_that_is_not_whole_is_told_apart(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                    writer.write(WHOLE if path == b"/whole" else LONG)
                    await writer.drain()
                    if path != b"/whole":
                        break
            except asyncio.IncompleteReadError:
                pass
            writer.close()

        async def run() -> list[Asked]:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                now = time.monotonic()
                return await ask_at_pace(port, lambda due: "/whole" if due < now + 0.01 else "/long", 1000, now, 0.02)

        asked = asyncio.run(run())
        self.assertEqual([one.answer for one in sorted(asked)], ["200"] * 10 + ["cut"] * 10)
        self.assertTrue(all(one.took > 0 for one in asked))

    def test_turns(self) -> None:
        turns = Turns("hung", 100.0, 2)
        self.assertEqual(turns.seconds, 4 * TURN_SECONDS)
        moments = [
            100.0 + number * TURN_SECONDS + after for number in range(4) for after in (0.1, SETTLE_SECONDS + 0.1)
        ]
        self.assertEqual([turns.counts(now) for now in moments], [False, True] * 4)
        self.assertEqual([turns.path_at(now) for now in moments], ["/fine", "/fine", "/hung", "/hung"] * 2)
        self.assertEqual([turns.number(now) for now in moments], [0, 0, 1, 1, 2, 2, 3, 3])

    def test_the_calmer_half_counts(self) -> None:
        waits = ((0.9, 0.4), (0.002, 0.008), (0.004, 0.008), (0.001, 0.5))
        turns = [Turn(wait, [Asked(0.0, seconds, "200")] * 100) for seconds, wait in waits]
        found = Milliseconds.of(turns)
        self.assertEqual([round(one, 3) for one in found], [3.0, 4.0, 10.0])
        beside = Milliseconds.of([Turn(0.008, turns[0].asked)])
        measured = Measured("hung", found, beside, {"cut": 2}, {"504": 10, "200": 1})
        self.assertEqual((round(measured.ratio), measured.is_blurred), (225, False))
        self.assertTrue(measured._replace(beside=measured.beside._replace(held=21.0)).is_blurred)
        self.assertFalse(measured._replace(beside=measured.beside._replace(held=19.0)).is_blurred)
        busy = measured.beside._replace(held=501.0)
        self.assertTrue(measured._replace(fine=busy, beside=busy).is_blurred)
        self.assertRegex(measured.line, r"^hung .* 225.00   1 x 200, 10 x 504; ours got 2 x cut$")
