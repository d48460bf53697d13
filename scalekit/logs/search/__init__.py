"""
Finding entries.  Pure unless said otherwise; open `searching` first:

* `language`: what people type -> a `Query`, or what is wrong and at which character.
* `matching`: a `Query` -> whether an entry is one that it finds.
* `searching` (I/O): the whole log, in time order; `counting` (I/O): how many, by time and level.
  `budget`: what that may take.
* `scanning` (I/O): the lines of a volume within a span of time, forwards or backwards.
* `asking`: ``GET /v1/query`` and ``/v1/histogram``; the search runs in a thread of its own.

Sealed volumes have an index, so that few of their lines are read; nothing is lost without it:

* `words`: the words of the index, and what a query asks of it.
* `indexes` (I/O): its form, how it is asked, whether it can be relied on; `fetching` (I/O): the lines that it names.
* `indexing` (I/O): which volume gets one, and when; `building` (I/O): the process that makes it.
"""
