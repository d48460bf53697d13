"""
`open_cache`: the cache service of this machine, or the one that the environment names.

Here, as in a feature's ``tap``, the process' own clock and environment are taken: applications call it with nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from scalekit.errors import ConfigurationFault
from scalekit.kit.cache_requests import READ_SECONDS
from scalekit.kit.thread_cache import Cache
from scalekit.places import default_state_directory, local_ca

LOCAL_CACHE = "https://127.0.0.1:5000"


def open_cache(url: str = "", *, ca: str = "", token_file: str = "", read_seconds: float = READ_SECONDS) -> Cache:
    """
    A client for threads; a first connection is opened in the background.

    What is left out is taken from ``SCALEKIT_CACHE``, ``SCALEKIT_CA`` and ``SCALEKIT_TOKEN_FILE``; on the cache's own
    machine none is needed.

    :param token_file: holds a token alone, or lines as the cache's own (``role token``), of which the first that may
        write is taken.
    :param read_seconds: what takes longer is a miss.
    :raises ConfigurationFault: the token file cannot be read, or holds none.
    """
    url = url or os.environ.get("SCALEKIT_CACHE") or LOCAL_CACHE
    ca = ca or os.environ.get("SCALEKIT_CA") or local_ca(default_state_directory(os.environ), url)
    token_file = token_file or os.environ.get("SCALEKIT_TOKEN_FILE", "")
    cache = Cache(url, ca, time.monotonic, token_in(token_file) if token_file else "", read_seconds)
    cache.warm_up()
    return cache


def token_in(path: str) -> str:
    """The token of this file that may write; raises `ConfigurationFault`, which never shows one."""
    try:
        text = Path(path).read_text("ascii")
    except (OSError, ValueError) as why:
        raise ConfigurationFault(f"token file: found {path} ({why}), expected a file with a token") from None
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#") and (len(words) == 1 or words[0] in ("operator", "write")):
            return words[-1]
    raise ConfigurationFault(f'token file: found no token in {path}, expected one alone or a line "write token"')
