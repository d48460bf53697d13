"""
The central log: a 200 means that the entry is on disk, and ``log.txt`` is in time order.

An entry's way, pure unless said otherwise; open `collector` first:

* `entry`: JSON -> `Entry`, or a fault that names the field.
* `frames`: entries <-> the journal's frames, each with a checksum.
* `journal` (I/O): group commit: one thread writes all that waits, syncs once, acknowledges all of it.
* `order`: the buffer in which entries wait for those that come slower; what comes too late is told apart.
* `line`: an entry <-> its line of ``log.txt``.
* `output` (I/O): the two text files, and the checkpoints that say how far they are.
* `checkpoint`: the rule that tells after a crash what is already written.
* `recovery` (I/O): the state that a start finds on disk.
* `collector` (I/O): all of these together; `sink` (I/O) takes entries of the same process.
* `directory` (I/O) and `memory`: the files, on disk and in memory; `threads` (I/O): where slow calls run.
* `counts`: what it has done, as plain integers; `metrics`: that for Prometheus.
* `resource`, `bodies`: the HTTP interface on port 6000.  `tap`: the daemon.
"""
