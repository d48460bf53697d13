"""
Configuration: text -> validated values, each error one line that names file, key, what was found and what was expected.

* `model`: every key, its type, its default and why; **open this first** (`Config` and its tables).
* `kinds`: what a key's value may be (duration, size, path, ...), each with its way from TOML and back; `listeners`: the
  same of ``listen``.
* `quantities` and `urls`: durations, sizes, listener and server URLs; pure text <-> value.
* `decode`: a parsed TOML document -> `Config`, unknown keys refused with the nearest known one named.
* `changes`: which keys differ between two configurations.
* `tokens`: token files (``role[:service] token``) and the rule which listeners need one.
* `loading`: the only module here that touches the disk: reads the file, finds the state directory, completes paths.

A daemon calls `load` once in its options and again at SIGHUP; everything else takes the `Config` or parts of it.
"""

from scalekit.config.loading import load
from scalekit.config.model import Config
from scalekit.config.urls import ListenURL, ServerURL

__all__ = ["Config", "ListenURL", "ServerURL", "load"]
