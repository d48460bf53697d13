"""
The cases of the Autobahn test suite, run by the ``kosoku`` package: what passes alone passes through the balancer.

Left out are those for performance (9) and for compression (12 and 13), which take minutes and say little more of
somebody who touches no byte; by hand, with the balancer's address or the server's own::

    python -m tests.scenarios.websocket_app 9002 &
    kosoku -p 2 -i '9.*' -i '12.1.*' ws://127.0.0.1:9002
"""

from __future__ import annotations

import asyncio
from typing import Any

from kosoku import FailureError, run_fuzzingclient

from tests.scenarios.test_websockets import WebSocketCase

LEFT_OUT = ["9.*", "12.*", "13.*"]


class AutobahnTests(WebSocketCase):
    def passed(self, url: str) -> set[str]:
        """Which cases this server passes."""
        try:
            results: list[Any] = asyncio.run(run(url))
        except FailureError as failure:
            results = failure.results
        self.assertGreater(len(results), 200)
        return {result.case_id for result in results if result.passed}

    def test_what_passes_alone(self) -> None:
        self.serve()
        alone = self.passed(f"ws://127.0.0.1:{self.port}")
        self.assertGreater(len(alone), 200)
        self.assertEqual(alone - self.passed(self.url("", is_secure=False)), set())


async def run(url: str) -> Any:
    """Run them, each on a connection of its own."""
    return await run_fuzzingclient(url, exclude_cases=LEFT_OUT, concurrency=8)
