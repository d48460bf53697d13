"""
``scalekit logs fsck``: whether a log's directory is as its daemon has left it.  Open `checking` first:

* `checking` (I/O): all of it; `findings`: what is told.
* `journal` (I/O): frames, and the lines that volumes should have of them.
* `lines`: the lines of one volume, one after the other; `volumes` (I/O): each with its text, manifest and index.
* `repairing` (I/O): what a start would do, and indexes.
"""
