"""
Syslog into the log: RFC 5424 and RFC 3164 over UDP, TCP (RFC 6587) and TLS (RFC 5425).

A message's way, pure unless said otherwise:

* `framing`: a stream's bytes -> messages; how long each is, or where it ends, is found out per connection.
* `message`: a message -> `scalekit.logs.entry.Entry`; `stamps`: times without a year and a zone.
* `intake` (I/O): entries -> the collector, as long as that takes; and what is counted, by transport and reason.
* `streams` (I/O): TCP and TLS: who sends faster than the disk writes waits, nothing is dropped.
* `datagrams` (I/O): UDP: nobody can be made to wait, so what a bounded queue does not hold is dropped and counted.
* `listening` (I/O): all of them, as ``syslog`` of ``[logs]`` has them; `metrics`: the counts for Prometheus.
"""
