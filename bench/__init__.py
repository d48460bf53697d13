"""
Side by side: nginx, HAProxy, ``twisted.web.proxy.ReverseProxyResource`` and scalekit, on one core, in one run.

``make bench`` prints the tables and stores them (results.json, RESULTS.rst, and the README between its two marks);
``python -m bench.run --quick`` is one short round that stores nothing; ``--only http2`` measures one part, ``--proxy
nginx`` one proxy.

run.py          open first: what is measured, in which order
proxies.py      the four proxies and the backend, and how each is configured; stock.py is one of them
checks.py       each answers rightly, and sends the backend the fields that it should
load.py         wrk, and what it says; h2load.py: the same of h2load, for HTTP/2
handshakes.py   full and resumed TLS handshakes; dialer.py is the client that makes them
idle.py         memory of 10,000 idle connections
cpu.py          what a process and its children have used
transaction.py  the tutorial's transaction: the blog's list, from the app server and through the balancer
compression.py  100 KiB of JSON by each coding, against nginx' gzip
caches.py       answers out of a cache, against nginx and Varnish
table.py        medians, ratios, tables
deploy.py       a deploy under load, beside nginx (``make bench-deploy``); deployed.py: its figures and tables
neighbours.py   what clients of other app servers notice of one that behaves badly; prints a table, stores nothing
cachetests.py   the public suite for HTTP caches against the balancer's; prints what passed, stores nothing
memory.py       what a full cache takes, the store's and the HTTP cache's (origin.py is behind it); stores nothing
logs.py         the log: entries a second, memory, replay, beside rsyslog (``make bench-logs``); log_writers.py is the
                client, log_kills.py kills it, examined.py finds what is wrong then, logged.py: its figures and tables;
                rsyslog.py: the same entries to rsyslog
refusals.py     what it costs to refuse the nastiest 64 KiB; emit.py: what a call of logging costs; both store nothing
results.py      results.json and the table in the README
servers.py      processes, ports; machine.py: what it all ran on
"""
