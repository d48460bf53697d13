"""
`open_cache`: the cache service of this machine, or the one that the environment names.

Here, as in a feature's ``tap``, the process' own clock and environment are taken: applications call it with nothing.
"""

from __future__ import annotations

import os
import time

from scalekit.kit.cache_requests import READ_SECONDS
from scalekit.kit.thread_cache import Cache
from scalekit.kit.token_file import TokenFile
from scalekit.places import LOCAL_CACHE, default_state_directory, local_ca, local_url


def open_cache(url: str = "", *, ca: str = "", token_file: str = "", read_seconds: float = READ_SECONDS) -> Cache:
    """
    A client for threads; a first connection is opened in the background.

    What is left out is taken from ``SCALEKIT_CACHE``, ``SCALEKIT_CA`` and ``SCALEKIT_TOKEN_FILE``; on the cache's own
    machine none is needed.

    :param token_file: holds a token alone, or lines as the cache's own (``role token``), of which the first that may
        write is taken; read at each request, so a new token needs no restart.
    :param read_seconds: what takes longer is a miss.
    :raises ConfigurationFault: the token file cannot be read, or holds none.
    """
    state = default_state_directory(os.environ)
    url = url or os.environ.get("SCALEKIT_CACHE") or local_url(state, "cache", LOCAL_CACHE)
    ca = ca or os.environ.get("SCALEKIT_CA") or local_ca(state, url)
    token_file = token_file or os.environ.get("SCALEKIT_TOKEN_FILE", "")
    headers = TokenFile(token_file, None).headers
    headers()  # what is wrong with the file is told to whoever starts the application, not to its visitors
    cache = Cache(url, ca, time.monotonic, headers, read_seconds)
    cache.warm_up()
    return cache
