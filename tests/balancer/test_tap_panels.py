"""What other features show on the dashboard of a balancer that runs by itself."""

from __future__ import annotations

import json
from typing import Any

from tests.balancer.test_tap import BalancerCase
from tests.ports import free_port
from tests.twistd import ask


class PanelTests(BalancerCase):
    def test_what_it_is_told_of(self) -> None:
        """The HTTP cache of its own, and the cache and the log that it is told of, which are not there."""
        self.configure(self.app_server())
        text = self.config.read_text()
        url = f"http://127.0.0.1:{free_port()}"
        text = text.replace("[registration]\n", f'[registration]\ncache = "{url}"\nlogs = "{url}"\n')
        self.config.write_text(text + "[balancer.http_cache]\nenabled = true\n")
        self.run_balancer()
        client = self.client(self.private, self.ca)

        def panels() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(ask(client, "/v1/overview")[1])["panels"]
            return found

        def notes() -> list[str]:
            return [each["note"].partition(": ")[0] for each in panels()[1:]]

        self.eventually(lambda: notes() == ["The cache does not answer", "The log does not answer"])
        self.assertEqual([each["name"] for each in panels()], ["HTTP cache", "Cache", "Log"])
        self.assertIn(["0", "entries"], panels()[0]["facts"])
