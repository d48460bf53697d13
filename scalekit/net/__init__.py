"""
Everything that touches a socket.

Start with `server` (a client's connection: bytes to exchanges; `server_body`: how the body of a request flows;
`server_waits`: what it waits for, and how it ends) and `upstream` (a connection to an app server).

* `exchange`: a request and its answer on a client's connection, as responders see it; `tunnel`: what is left of a
  connection, on either side, when it has switched protocols.
* `factory`: what the connections of a listener share; `h2_server`, `h2_exchange`: a client's connection of HTTP/2, and
  `h2_patience`: what it bears with, and how it ends; `answering`: what is the same in both versions; `lingering`: how a
  connection ends whose client still takes an answer.
* `transports`: TCP and unix connections that write at once; `tls_transports`: the same over TLS, whose bytes go through
  OpenSSL in `tls_descriptor`; `gathering`: those that are read and written together.
* `tls`: the certificates of a listener, and how those of others are checked; `pairs`: certificates and their keys;
  `contexts`: what a handshake of ours agrees to; `tickets`: keys of sessions, and their rotation; `names`: which
  certificate for which name; `quick_tls`: pyOpenSSL's connection with less around it.
* `listening`: the listeners of a daemon, made of `ports` and `unix_ports`; `greeting`: what a load balancer says first,
  by the `proxy_protocol`; `connecting`: opening a connection, with its deadline.
* `h2_upstream`, `h2_stream`: a connection to an app server of HTTP/2, and one request on it; `pooled`: what it has in
  common with one of HTTP/1.1.
* `pool`: idle upstream connections, the latest first; `shared_pool`: the same where one carries many requests.
* `redis`: connections to Redis that are kept up.
* `deadlines`: every wait of every connection, in one wheel.
* `certificates`: the local authority and the certificates it signs (as `constraints` permit), in files by `pem`;
  `addresses`: what this machine is called.
* `loop`: the reactor that all daemons run on; `clocks`: a reactor's timed calls with another clock's seconds.
"""
