"""What the records of a request have in common."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs.otlp.records import Shared, bad_value


class SharedTests(SynchronousTestCase):
    """`Shared`."""

    def test_read_once(self) -> None:
        """When it is wanted, also if there is nothing in it."""
        calls: list[int] = []

        def read() -> dict[str, str]:
            calls.append(1)
            return {}

        shared = Shared(read)
        self.assertEqual(calls, [])
        self.assertEqual([shared.get(), shared.get()], [{}, {}])
        self.assertEqual(calls, [1])

    def test_bad(self) -> None:
        """Is as bad the next time, without a look at it."""
        calls: list[int] = []

        def read() -> str:
            calls.append(1)
            raise bad_value("no")

        shared = Shared(read)
        for _ in range(3):
            self.assertEqual(self.assertRaises(ClientFault, shared.get).detail, "no")
        self.assertEqual(calls, [1])
