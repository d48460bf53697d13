"""
scalekit: load balancer, cache and central log for a team that has outgrown one app server.

The map, from the bottom up; imports only ever go upwards in this list (tests/test_imports.py).

    interfaces  every seam on one page; read it first
    errors      faults, told apart by whose they are
    places      where things are unless somebody says otherwise
    framing     files of frames that survive damage
    backoff     when to try again what has failed
    http        HTTP as values: bytes <-> heads and bodies; no socket, no clock
    net         everything that touches a socket: listeners, upstream connections, the pool, TLS, deadlines
    web         twisted.web resources on our wire, our responders in twisted.web; answers, compression, access rules
    config      a TOML file -> checked values
    ops         what every daemon shares: start, signals, drain, metrics, access log
    balancer    routes, roster, pickers and health (pure); proxy, prober and registrar
    cache       the key/value store and its HTTP front
    logs        the collector: takes entries, keeps them durably in time order
    kit         what an application imports: membership, app server, cache client, log client
    blog        the example: a blog app server and its data service
    tap         scalekit-all: everything in one reactor, and the demo

Each feature has a ``tap`` module, where it is put together from its parts; ``twistd`` starts there.
"""

__version__ = "0.1.0.dev0"
