"""
Finding entries.  Pure unless said otherwise; open `searching` first:

* `language`: what people type -> a `Query`, or what is wrong and at which character.
* `matching`: a `Query` -> whether an entry is one that it finds.
* `scanning` (I/O): the lines of a volume within a span of time, forwards or backwards.
* `searching` (I/O): the whole log, in time order, or counted; `budget`: what that may take.
* `asking`: ``GET /v1/query`` and ``/v1/histogram``; the search runs in a thread of its own.
"""
