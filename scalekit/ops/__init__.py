"""
Operation: what every daemon needs around what it does.

* `daemon`: **open this first**: the front that a feature's ``tap.py`` imports (`DaemonOptions`, `DrainingService`,
  `fail_start`), and how a tap looks.
* `options`: twistd's options of a daemon: configuration, flags over it, pid and log file.
* `draining`: signals: SIGTERM and SIGINT drain and end with status 0, SIGHUP reads the configuration again.
* `starting`: what keeps a daemon from starting is one line on the terminal and exit status 1.
* `console`: the log of ``twistd -n``, readable.
* `access_log`: exchanges -> JSON lines in a file and entries for the log service, in batches.
* `metrics`: plain numbers on the hot path, read by prometheus-client when somebody asks for ``/metrics``;
  ``/healthz`` and ``/readyz`` too.
* `serving`: a private listener: resource tree, guard, operational routes; `whereabouts`: where it is, noted for
  applications of this machine.
* `certificates`: what the listeners are served with, read again when files change (`watching`) and at SIGHUP;
  `trust`: the same of what app servers are checked with.
* `cli`: the ``scalekit`` command.
* `children` and `leash`: child processes that end with their parent; `exits`: how they ended, in words.
"""
