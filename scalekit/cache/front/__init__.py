"""
The HTTP cache: a responder between the balancer's listener and its proxy that keeps answers and serves them again.

::

    AccessLog(CacheFront(Compress(ReverseProxy(...))))

What an HTTP cache may do is decided in `scalekit.cache.rules`, which is pure; where things lie, in the same
`scalekit.cache.store` that the key/value service has, in one of its own.

Open `front` first: what becomes of a request.

* `front`: `CacheFront`: a fresh hit is answered at once; whatever else, as the rules say.
* `fetch`: one request to the origin, and what comes of it for all in the line of `waiting`; `sharing`: an answer that
  is for everybody, and `streaming`: its body on the way to them.
* `purging`: ``PURGE``, and what ``/v1/purge`` of the registration port does.
* `elsewhere`: the same at other balancers.
* `passing`: requests that no cache may answer, and what they make invalid.
* `sought`: what has been found out about a request's head; what is asked of the balancer.
* `renewing`: what a 304 makes of what is stored.
* `covering`: what is stale and stands in for an answer that does not come.
* `shelf`: stored answers, the variants of one URL together, as values of the store; `bodies`: their bytes.
* `prospects`: whether it is worth waiting for another's answer.
* `forecast`: what would become of a request, in words.
* `assembly`: all of it put together.
* `telling`: ``Cache-Status``, and what the access log is told; `metrics`: the same in numbers.
"""
