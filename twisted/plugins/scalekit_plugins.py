"""
What ``twistd`` lists of scalekit: one `ServiceMaker` a daemon.

``twistd`` imports this file whatever it is asked to start, so it imports nothing but Twisted; the named module is
imported when its daemon is chosen.
"""

from twisted.application.service import ServiceMaker

balancer = ServiceMaker(
    "scalekit balancer",
    "scalekit.balancer.tap",
    "A load balancer whose app servers register themselves.",
    "scalekit-balancer",
)
cache = ServiceMaker(
    "scalekit cache",
    "scalekit.cache.tap",
    "A key/value cache over HTTP, with expiry and invalidation.",
    "scalekit-cache",
)
logs = ServiceMaker(
    "scalekit logs",
    "scalekit.logs.tap",
    "A central log that keeps entries durably and in time order.",
    "scalekit-logs",
)
blog = ServiceMaker(
    "scalekit blog",
    "scalekit.blog.tap",
    "The example: a blog app server behind the balancer.",
    "scalekit-blog",
)
data = ServiceMaker(
    "scalekit data",
    "scalekit.blog.data_tap",
    "The example: the blog's data service.",
    "scalekit-data",
)
everything = ServiceMaker(
    "scalekit all",
    "scalekit.tap",
    "Balancer, cache and log in one process; --demo N adds the example.",
    "scalekit-all",
)
