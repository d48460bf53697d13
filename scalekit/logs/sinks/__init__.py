"""
Entries on their way out of the log, to where a team runs its own: ``[[logs.sink]]`` in the configuration.

A sink is a cursor on the log and nothing else: what is after it is still to be sent, and is read where it is anyway, in
memory or in the journal.  (What takes entries *into* the log within its own process is `scalekit.logs.in_process`.)

* `forwarder` (I/O): reads, sends, and moves the cursor, for as long as the log runs; **open this first**.
* `delivery`: what is sent next, and what an answer means; `outcomes`: the answers.
* `cursor`: the file that it stands in; `backlog` (I/O): what comes after it; `refused` (I/O): what nobody wants.
* `otlp` (I/O): OTLP over HTTP, the destination that there is; `memory`: one for tests.  A further one is an
  `scalekit.interfaces.ILogDestination` that passes the suite in ``tests/logs/sinks/conformance.py``.
* `opening`: those of a configuration; `metrics`: their numbers for Prometheus.
"""
