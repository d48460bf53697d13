import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import ENTRY_OVERHEAD_BYTES, charge_of
from scalekit.cache.store import Store


class ChargeTests(SynchronousTestCase):
    def test_key_value_an_eighth_of_it_and_overhead(self) -> None:
        self.assertEqual(charge_of(b"key", b"x" * 800), 3 + 800 + 100 + ENTRY_OVERHEAD_BYTES)

    def test_overhead_is_what_an_entry_costs(self) -> None:
        """The constant is neither too small nor so large that memory lies idle."""
        count = 20_000
        store = Store(1 << 27)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            store.put(b"%016d" % number, b"%0100d" % number, number % 86_400, 0.0)
        each = (tracemalloc.get_traced_memory()[0] - before) / count - 16 - 100
        self.assertEqual(len(store), count)
        self.assertTrue(0.6 * ENTRY_OVERHEAD_BYTES < each < ENTRY_OVERHEAD_BYTES, f"{each:.0f} bytes")
