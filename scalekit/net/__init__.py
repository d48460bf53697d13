"""
Everything that touches a socket.

Start with `server` (a client's connection: bytes to exchanges) and `upstream` (a connection to an app server).

* `transports`: TCP and unix connections that write at once; `tls`: the same over TLS on the descriptor.
* `listening`: the ports of a daemon; `connecting`: opening a connection, with its deadline.
* `pool`: idle upstream connections, the latest first; `deadlines`: every wait of every connection, in one wheel.
* `certificates`: the local authority and the certificates it signs.
"""
