"""
The kit: what an application imports to live behind the balancer.  Importing it never installs a reactor.

* `AppServer`, a Twisted service that listens, registers, and drains before it stops, unless there is a `second_signal`;
  it finds in `joining` what it needs.  What it does is in `server`, **open this first**; `serving`: `app_server`, its
  usual parts put together; `daemons`: what a daemon's configuration says of the kit's parts.
* `open_membership` opens a `Membership`, registering and draining by itself, for applications that listen in their own
  way (`membership`); `registration`: what is told the balancer; `said`: what an application says, or its environment;
  `rhythm`: when; `token_file`: what a balancer elsewhere wants to see.
* `command`: `WrappedCommand`, any command behind the balancer; `spawning` starts it, `tap` has ``scalekit run``.
* `wsgi`, `asgi`: for applications under gunicorn, uvicorn and the like; by the standard library only.  `wrappers` makes
  them of `wsgi_app`, `asgi_app` (what both tell the application of a request: `told`), `thread_membership` (`asking`:
  its requests), `termination`, which leaves before the server hears of SIGTERM, and `siblings`, the other workers.
* `cached`: a function whose results are kept in the cache, and made by one caller at a time (`decorating`; `lookup` has
  the protocol).  `open_cache` opens the cache for threads (`opening`, `thread_cache`, `connections`); `cache`:
  `AsyncCache`, the same for Twisted.  For both "away" is a miss, never an error; what they say to the service is in
  `cache_requests`.
* `logs`: `setup`, `Handler` and more, which send log entries behind the application's back; `observer` does so from
  `twisted.logger`; `context`: fields for all entries of a request.  `entries` makes lines of them, `sender` has two
  threads bring them away out of a bounded `queue`: what is sent when is in `delivery`, how in `posting`, what waits on
  disk in `spool`, what nobody wants in `rejected`; `sinks`: where entries go without a log service.
* `client`: what these share: one request with one deadline; `agent`: its connections, and trust in the local CA;
  `breaker`: when not to ask again; `ping`: answering the balancer's probes; `figures`: how a service does, for the
  dashboard.
* `testing`: `running`, the real ``scalekit-all`` on free ports for the tests of an application; and what is in memory
  but behaves like the real one: `memory_balancer` (`memory_members`: who has registered), `memory_cache` and
  `memory_collector`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scalekit.kit.wrappers import asgi, wsgi

if TYPE_CHECKING:
    from scalekit.kit.decorating import cached
    from scalekit.kit.joining import AppServer, open_membership
    from scalekit.kit.membership import Membership
    from scalekit.kit.opening import open_cache

__all__ = ["AppServer", "Membership", "asgi", "cached", "open_cache", "open_membership", "wsgi"]

#: What is imported when it is asked for: each process that is only wrapped does without the cache, and without msgspec.
_LATER = {
    "AppServer": "scalekit.kit.joining",
    "Membership": "scalekit.kit.membership",
    "cached": "scalekit.kit.decorating",
    "open_cache": "scalekit.kit.opening",
    "open_membership": "scalekit.kit.joining",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
