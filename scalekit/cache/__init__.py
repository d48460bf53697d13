"""
The cache: one byte-bounded store, and the key/value service in front of it.

Open `store` first: what is kept, for how long, and what leaves when there is no more room.  It is pure: no socket, and
time is an argument.

* `store`: `Store(max_bytes)`: put, get, purge, expire, sweep; fills that reserve room; its counters.
* `entry`: what the store holds for one key, and what that costs in memory; `holding`: where entries lie, by key, time,
  tag and worth; `fills`: what is being made, and its room; `stats`: the store's numbers.
* `eviction`: the seam for "what leaves when it is full", LRU and SIEVE; `s3fifo`: what leaves by default.
* `hottest`: which keys are served most.
* `wheel`: finds what is due to expire without looking at the rest.
* `tags`: which entries bear a tag; `purges`: what is held against a fill when it ends; `sweeping`: what purges of
  many do to the entries, `unswept`: what they have not come to yet.
* `leases`: who makes what is missing; `marks`: keys of which nobody is to wait for others; `keyvalue`: store, leases
  and those who wait, without HTTP.
* `ageing`: how long a client wants something kept (``Cache-Control: max-age=N``); `labels`: the tags in a request;
  `keys`: the key in a request's query.
* `resource`: the routes of port 5000, the tutorial's; `values`: ``/v1/keys/{key}``, with `receiving` for
  PUT, `ready` for what is asked for again and again, and `conditions`; `bulk`: the rest of ``/v1``.
* `rules`: what an HTTP cache may keep, and when it may answer with it (RFC 9111); pure.
* `front`: the HTTP cache itself, a responder that the balancer has in front of its proxy.
* `service`: sweeps the store, a LoopingCall.
* `shared`: the same service for several caches with one Redis; `purge_log`: who hears of whose purges; `redis_records`:
  what stands in Redis, `redis_scripts`: what is done there; `later`: answers that are not there at once.
* `keeping`: what is kept over a restart; `snapshot`: as what bytes; `restoring`: how it comes back.
* `metrics`: the store's counters for Prometheus; `panel`: for the dashboard.
* `tap`: the daemon, ``twistd scalekit-cache``.
"""
