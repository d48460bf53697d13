"""Where the private listeners of this machine are, noted for its applications: see `scalekit.places.local_url`."""

from __future__ import annotations

import os
from typing import Protocol

from twisted.application.service import Service
from twisted.logger import Logger

from scalekit.places import is_here, whereabouts

# What is bound to all addresses is reached by this one too, and the local CA's certificates are for it.
_ANY = ("//[::]:", "//0.0.0.0:")
_HERE = "//127.0.0.1:"

_log = Logger()


class Listening(Protocol):
    """As `scalekit.net.listening.ListeningService`."""

    def bound_urls(self) -> list[str]: ...


class Whereabouts(Service):
    """
    Notes the URL of a listener when it starts, with the port that it really has.

    It stays when the daemon ends: who is started before the daemon is there again goes by the last one.

    :param section: the configuration's table of the listener.
    """

    def __init__(self, state_directory: str, section: str, listening: Listening) -> None:
        self._file = whereabouts(state_directory, section)
        self._listening = listening

    def startService(self) -> None:
        super().startService()
        url = url_from_here(self._listening.bound_urls())
        try:
            os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
            with open(f"{self._file}.new", "w", encoding="utf-8") as file:
                file.write(f"{url}\n")
            os.replace(f"{self._file}.new", self._file)
        except OSError as why:
            _log.warn("Applications of this machine have to be told where to find {url}: {why}", url=url, why=why)

    def __repr__(self) -> str:
        return f"<Whereabouts {self._file}>"


def url_from_here(urls: list[str]) -> str:
    """By which of these an application of this machine gets here; empty: by none."""
    for url in urls:
        for place in _ANY:
            url = url.replace(place, _HERE, 1)
        if url.startswith(("http://", "https://")) and is_here(url):
            return url
    return ""
