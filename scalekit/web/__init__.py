"""
Where ``twisted.web`` resources meet our wire, and the decorators that any responder can wear.

* `answers`: start here to write a resource: problem details, JSON and text answers, query values, bodies.
* `assets`: the pages that browsers open, and their files.
* `site`: `Site(root)` serves any ``twisted.web`` resource tree on our listeners, as an `IResponder`.
* `resource`: `ResponderResource(responder)` makes a ``twisted.web`` resource of any responder, for any site.
* `compress`: `Compress(responder)` codes answers with zstd, br or gzip where client, type and size allow it.
* `guard`: `Guard(responder, ...)` keeps strange web pages and clients without a token from private listeners.
* `access`: the rules of that, as one pure function.
* `login`: how people get to the pages behind it: a form for the token, then a cookie; `sessions` say whose is good,
  `attempts` how often somebody may get it wrong.
* `covered`: `CoveredHosts(responder)` refuses a Host that the connection's certificate is not for.
* `memory`: `MemoryExchange`, an exchange without a listener, for tests.

Inside: `channel` and `request` play the HTTP channel and the request of ``twisted.web`` for `site`, `tunnel` the
transport of its WebSocket resources, `producing` the consumer in both; `stock` checks what a stock site lets through;
`coder` streams through the `compressors`; `wrapping` is what exchange decorators subclass.
"""
