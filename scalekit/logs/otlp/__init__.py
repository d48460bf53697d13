"""
OpenTelemetry's protocol for logs over HTTP (OTLP 1.x), in and out.

* `records`: a LogRecord as values, whichever form it comes in; `json_form` and `protobuf_form` read and write requests
  of many, `forms` knows both (the second needs the extra ``scalekit[otlp]``); `wire`: the fields of its messages.
* `mapping`: a record <-> an entry of the log; **open this first**.
* `answers`: what a receiver says: taken, taken in part, or a ``google.rpc.Status``.
* `taking`: ``POST /v1/logs``.  The way out is `scalekit.logs.sinks.otlp`.
"""
