"""
The central log: a 200 means that the entry is on disk, and ``log.txt`` is in time order.

An entry's way, pure unless said otherwise; open `collector` first:

* `entry`: JSON -> `Entry`, or a fault that names the field; `moments`: timestamps.
  `columns`: many entries at once, a list for each field; `plain_lines`: NDJSON -> these.
* `redaction`: secrets, which are taken out before anything is written.
* `frames`: entries <-> the journal's frames, each with a checksum; `batches`: which a client has sent before.
* `journal` (I/O): group commit: one thread writes all that waits, syncs once, acknowledges all of it.
* `order`: the buffer in which entries wait for those that come slower; what comes too late is told apart.
  `clock`: the time it goes by.
* `records`: an entry <-> its line of JSON, the log's truth; `line`: its line of ``log.txt``.
* `volumes`: an hour of the log: its files and their names.
* `output` (I/O): the volume that is written to, and the checkpoints that say how far it is.
  `flushing` (I/O): when it is, and what the journal need not keep then.
* `sealing` (I/O): a volume that ended, merged with its late entries; `retention`: which are removed.
  `upkeep` (I/O): when either is done.
* `checkpoint`: the rule that tells after a crash what is already written.
* `recovery` (I/O): the state that a start finds on disk; `starting` (I/O): also on one that takes nothing;
  `quarantine` (I/O): what of it cannot be read;
  `rebuilding` (I/O): what is known of sealed volumes, if that is damaged.
* `collector` (I/O): all of these together, by its `settings`; `room` (I/O): whether the disk has any;
  `in_process` (I/O) takes entries of its own process.
* `directory` (I/O) and `memory`: the files, on disk and in memory; `threads` (I/O): where slow calls run.

Who only reads begins with `reading` (I/O), which ``Collector.reader`` gives: `LogReader.volumes`, `LogReader.lines` by
position, and `LogReader.after` a sequence number; `past` (I/O) reads by number what only volumes have.

* `search`: finding entries by words, levels, sources, fields, and times; ``GET /v1/query``; indexes of sealed volumes.
* `tailing` (I/O): what comes after a sequence number, as events; `tails`: who is told, ``GET /v1/tail``.
* `page`: the page on ``GET /``, which uses all of them.
* `sinks`: cursors on the log, by which entries are sent on to other systems.

Beside it:

* `fsck`: whether the directory is as the log has left it; ``scalekit logs fsck``.
* `counts`: what it has done, as plain integers; `metrics`: that for Prometheus; `stats`: as JSON; `panel`: on the
  balancer's dashboard.
* `syslog`: entries over UDP, TCP and TLS.
* `taking`, `bodies`: entries over HTTP on port 6000; `otlp`: OpenTelemetry's there, and its records for sending.
  `resource`: the same for any ``twisted.web`` site.
* `budget`: what each source may write.  `tap`: the daemon.
"""
