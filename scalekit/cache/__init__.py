"""
The cache: one byte-bounded store, and the key/value service in front of it.

Open `store` first: what is kept, for how long, and what leaves when there is no more room.  It is pure: no socket, and
time is an argument.

* `store`: `Store(max_bytes)`: put, get, invalidate, expire; its counters.
* `entry`: what the store holds for one key, and what that costs in memory.
* `eviction`: the seam for "what leaves when it is full", and LRU, which is what leaves now.
* `wheel`: finds what is due to expire without looking at the rest.
* `ageing`: how long a client wants something kept (``Cache-Control: max-age=N``).
* `keys`: the key in a request's query.
* `resource`: the routes of port 5000.
* `service`: the purge, a LoopingCall.
* `metrics`: the store's counters for Prometheus.
* `tap`: the daemon, ``twistd scalekit-cache``.
"""
