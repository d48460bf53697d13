"""
The tutorial's transaction: the blog's list, out of a database of 2,000 posts and 20,000 comments.

Two blog app servers on one data service, all over TLS as they are by default: one finds no cache at its cache's
address, the other has the cache.  Each is asked directly and through the balancer, one request after the other on kept
connections, all four in turn, so that whatever else the machine does touches each alike.
"""

from __future__ import annotations

import http.client
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec

from bench.checks import WrongAnswer, connection
from bench.proxies import twistd
from bench.servers import Server, free_ports

POSTS, COMMENTS = 2_000, 20_000
#: The ways to the list.
WAYS = ("direct", "balanced", "cached", "cached, balanced")
#: What the foot of a page says that was.
FROM_THE_CACHE = b'id="source">from the cache<'
#: Until both app servers answer through the balancer: they register, and are pinged twice, 2 s apart.
UP_SECONDS = 20.0


class Transaction(msgspec.Struct, frozen=True):
    """Latencies in milliseconds of each request, by `WAYS`; ``bytes`` is the size of the page."""

    milliseconds: dict[str, list[float]]
    bytes: int

    def medians(self) -> dict[str, float]:
        """Milliseconds, by `WAYS`."""
        return {way: median(each) for way, each in self.milliseconds.items()}

    def added(self, way: str, by: str) -> float:
        """What ``by`` takes longer than ``way``, milliseconds: the median over requests made one after the other."""
        pairs = zip(self.milliseconds[way], self.milliseconds[by], strict=True)
        return median(longer - shorter for shorter, longer in pairs)


def measure(folder: Path, proxy_core: int, client_core: int, count: int) -> Transaction:
    """
    :param count: requests each way.
    :raises ServerFault, WrongAnswer:
    """
    folder.mkdir()
    data, cache, nowhere, plain, caching, public, registration = free_ports(7)
    state = folder / "state"
    config = folder / "balancer.toml"
    # The two app servers are two services, told apart by Host: what each of them adds can be measured.
    config.write_text(
        f"""state_directory = "{state}"
[balancer]
listen = ["https://127.0.0.1:{public}"]
[[balancer.service]]
name = "plain"
hosts = ["plain.test"]
[[balancer.service]]
name = "caching"
hosts = ["caching.test"]
[registration]
listen = ["https://127.0.0.1:{registration}"]
"""
    )
    with ExitStack() as running:

        def start(name: str, core: int, ports: list[int], *arguments: str) -> None:
            running.enter_context(Server(name, twistd(*arguments), core, folder, ports))

        def listen(port: int) -> tuple[str, ...]:
            return ("--state-directory", str(state), "--listen", f"https://127.0.0.1:{port}")

        def blog(name: str, port: int, cache_port: int) -> None:
            peers = {"balancer": registration, "cache": cache_port, "data": data}
            flags = [flag for peer, at in peers.items() for flag in (f"--{peer}", f"https://127.0.0.1:{at}")]
            start(name, client_core, [port], "scalekit-blog", *listen(port), "--service", name, *flags)

        start("balancer", proxy_core, [public, registration], "scalekit-balancer", "--config", str(config))
        seeded = ("--seed-posts", str(POSTS), "--seed-comments", str(COMMENTS))
        start("data", client_core, [data], "scalekit-data", *listen(data), *seeded)
        start("cache", client_core, [cache], "scalekit-cache", *listen(cache))
        blog("plain", plain, nowhere)
        blog("caching", caching, cache)
        ca = state / "tls" / "ca.pem"
        ports = (plain, public, caching, public)
        hosts = ("plain.test", "plain.test", "caching.test", "caching.test")
        ways = [_Way(name, port, host, ca) for name, port, host in zip(WAYS, ports, hosts, strict=True)]
        for way in ways:
            running.callback(way.client.close)
            way.wait_until_up()
        for turn in range(count):
            # Whoever asks an app server second finds it warm: each way is second every other time.
            for first, second in (ways[:2], ways[2:]):
                for way in (second, first) if turn % 2 else (first, second):
                    way.ask()
        return Transaction({way.name: way.milliseconds for way in ways}, len(ways[0].page))


class _Way:
    """One kept connection, and how long each answer on it took."""

    def __init__(self, name: str, port: int, host: str, ca: Path) -> None:
        self.name = name
        self.client = connection("https", port, ca)
        self.milliseconds: list[float] = []
        self.page = b""
        self._host = host
        self._is_cached = name.startswith("cached")

    def ask(self) -> None:
        """
        :raises WrongAnswer: it is no list, or comes from where it should not.
        """
        began = time.perf_counter()
        status, page = self._get()
        self.milliseconds.append((time.perf_counter() - began) * 1000)
        if status != 200 or b"/posts/" not in page:
            raise WrongAnswer(f"{self.name}: {status} {page[:200]!r}")
        if (FROM_THE_CACHE in page) is not self._is_cached:
            raise WrongAnswer(f"{self.name}: the page says {page[-400:]!r}")

    def wait_until_up(self) -> None:
        """Until the list comes, and from the cache if it should."""
        until = time.monotonic() + UP_SECONDS
        while True:
            try:
                self.ask()
                break
            except (OSError, http.client.HTTPException, WrongAnswer):
                if time.monotonic() > until:
                    raise
                self.client.close()
                time.sleep(0.25)
        self.milliseconds.clear()

    def _get(self) -> tuple[int, bytes]:
        self.client.request("GET", "/", headers={"Host": self._host})
        answer = self.client.getresponse()
        self.page = answer.read()
        return answer.status, self.page
