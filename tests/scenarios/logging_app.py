"""
An application that logs as `logging.config.dictConfig` says, for `test_app_logs`: URL, spool, how it ends.

Entries are ``PREFIX 0``, ``PREFIX 1`` and so on; it says ``ready`` when they are logged, and then does what it is told.
"""

from __future__ import annotations

import logging
import logging.config
import multiprocessing
import os
import signal
import sys
import time
from typing import Any

COUNT = 300


def write(prefix: str) -> None:
    for number in range(COUNT):
        logging.info("%s %d", prefix, number)


def main(url: str, spool: str, ending: str) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "handlers": {"log": {"class": "scalekit.kit.logs.Handler", "source": "shop", "url": url, "spool": spool}},
            "root": {"level": "INFO", "handlers": ["log"]},
        }
    )
    write("app")
    if ending == "fork":
        pid = os.fork()
        if pid == 0:
            write("bare")
            sys.exit()  # runs what is registered for the end, as os._exit() would not
        fork: Any = multiprocessing.get_context("fork")
        child = fork.Process(target=write, args=("child",))
        child.start()
        child.join()
        os.waitpid(pid, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("ready", flush=True)
    if ending in ("term", "kill"):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
