"""Who asks whom, and what counts as an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.neighbours import FINE, ask_at_pace, configuration
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

        async def run() -> list[dict[str, int]]:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                return [dict((await ask_at_pace(port, path, 1000, 0.01))[1]) for path in ("/whole", "/long")]

        self.assertEqual(asyncio.run(run()), [{"200": 10}, {"cut": 10}])
