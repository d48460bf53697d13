"""
One of several processes whose threads ask a function behind ``@cached`` for the same key at the same moment.

``python -m tests.scenarios.caching_app URL CA THREADS RUNS READ_SECONDS``: says ``ready``, waits for a line, asks with
all threads at once, and says how many got the answer.  Each run of the function is a line in the file RUNS.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from scalekit import kit


def main() -> None:
    url, ca, threads, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    cache = kit.open_cache(url, ca=ca, read_seconds=float(sys.argv[5]))

    @kit.cached(cache, max_age=60, lease_seconds=60, wait_seconds=60, tags=["slow"])
    def slow(question: str) -> list[str]:
        with open(runs, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)  # the slow query; all others have asked by then, or will find it
        return [question, "answer"]

    answers: list[object] = []
    together = threading.Barrier(threads + 1)

    def ask() -> None:
        together.wait()
        try:
            answers.append(slow("question"))
        except Exception as why:
            answers.append(repr(why))

    asking = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in asking:
        thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    together.wait()
    for thread in asking:
        thread.join()
    cache.close()
    print(sum(answer == ["question", "answer"] for answer in answers), flush=True)


if __name__ == "__main__":
    main()
