"""How often somebody may get it wrong: failed attempts of each address, as a bucket that empties slowly; pure."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

#: A slip, the wrong line of the file, a blank too many; after that it is no slip.
MOST_FAILED = 5
#: Each that has failed counts for so long: 120 an hour in the end.  A token is 96 bits at least, so that no number of
#: attempts finds one; the bound keeps them from filling the log.
FORGIVEN_SECONDS = 30.0
#: Addresses that are remembered, the last that have failed; more than that do not fail at a time on our own networks.
MOST_ADDRESSES = 1024


class Attempts:
    """``now`` is in seconds."""

    def __init__(self) -> None:
        #: How many count, and at which time they did.
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, address: str, now: float) -> float:
        """How long this address has to wait until it may try; 0: not at all."""
        return max(0.0, (self._level(_network(address), now) - (MOST_FAILED - 1)) * FORGIVEN_SECONDS)

    def failed(self, address: str, now: float) -> bool:
        """It has got it wrong; whether it has to wait from now on."""
        network = _network(address)
        self._failed[network] = self._level(network, now) + 1.0, now
        self._failed.move_to_end(network)
        if len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)
        return self.wait_seconds(address, now) > 0.0

    def succeeded(self, address: str) -> None:
        """It has got it right."""
        self._failed.pop(_network(address), None)

    def _level(self, network: str, now: float) -> float:
        level, at = self._failed.get(network, (0.0, now))
        return max(0.0, level - (now - at) / FORGIVEN_SECONDS)

    def __repr__(self) -> str:
        return f"<Attempts of {len(self._failed)} addresses>"


def _network(address: str) -> str:
    """Of IPv6 the upper half: the lower one is anybody's to choose (RFC 4291 section 2.5.4)."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed) if not isinstance(parsed, IPv6Address) else str(int(parsed) >> 64)
