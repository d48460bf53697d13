"""What other features show on the dashboard of a balancer that runs by itself."""

from __future__ import annotations

import json
from typing import Any

from tests.balancer.test_tap import BalancerCase
from tests.twistd import ask, free_port


class PanelTests(BalancerCase):
    def test_caches(self) -> None:
        """The HTTP cache of its own, and the cache service that it is told of, which is not there."""
        self.configure(self.app_server())
        text = self.config.read_text()
        url = f"http://127.0.0.1:{free_port()}"
        text = text.replace("[registration]\n", f'[registration]\ncache = "{url}"\n')
        self.config.write_text(text + "[balancer.http_cache]\nenabled = true\n")
        self.run_balancer()
        client = self.client(self.private, self.ca)

        def panels() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(ask(client, "/v1/overview")[1])["panels"]
            return found

        self.eventually(lambda: [each["note"] for each in panels()][1].startswith("The cache does not answer: "))
        self.assertEqual([each["name"] for each in panels()], ["HTTP cache", "Cache"])
        self.assertIn(["0", "entries"], panels()[0]["facts"])
