"""
The example: a blog behind the balancer, and the data service behind the blog.  Small enough to read in ten minutes.

* `app`: what the blog answers; **open this first**.  Each request asks `fragments` for a ready-made piece of HTML,
  which asks the cache, and only on a miss `posts`, the client of the data service.
* `fragments`: the cached pieces, and why an update is seen at once.
* `pages`: posts -> HTML, pure; `stylesheet`: how they look.
* `forms`: what a browser sends -> fields, and which senders are refused.
* `data`: the data service, JSON over `store` (every query), `schema` (the tables), `seed` (what a new database holds).
* `tap`, `data_tap`: ``twistd scalekit-blog`` and ``twistd scalekit-data``.
"""
