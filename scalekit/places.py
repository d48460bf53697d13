"""Where things are unless somebody says otherwise; for daemons and for applications, by the standard library only."""

from __future__ import annotations

import ipaddress
import os
import pwd
from collections.abc import Mapping
from urllib.parse import urlsplit

#: Where the balancer of this machine takes registrations unless it is configured otherwise.
LOCAL_BALANCER = "https://127.0.0.1:2001"
#: Where the cache of this machine is unless it is configured otherwise.
LOCAL_CACHE = "https://127.0.0.1:5000"
#: And its log.
LOCAL_LOGS = "https://127.0.0.1:6000"

# Of a loopback address and a port.
_LONGEST_URL = 100


def default_state_directory(environ: Mapping[str, str]) -> str:
    """``$STATE_DIRECTORY``, else ``$XDG_STATE_HOME/scalekit``, else ``~/.local/state/scalekit``."""
    if environ.get("STATE_DIRECTORY"):
        # systemd joins several with colons (systemd.exec(5), StateDirectory=); the first is the unit's main one.
        return os.path.abspath(environ["STATE_DIRECTORY"].split(":")[0])
    state_home = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(state_home):  # a relative one is invalid and to be ignored (XDG Base Directory Specification)
        return os.path.join(state_home, "scalekit")
    home = environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    return os.path.join(home, ".local", "state", "scalekit")


def local_ca(state_directory: str, balancer: str) -> str:
    """
    What signs a balancer's certificate, if nobody says: the local CA where there is one, or where the balancer of this
    machine will make it; else empty, which means what the system trusts.

    :param balancer: its URL.
    """
    file = os.path.join(state_directory, "tls", "ca.pem")
    return file if is_here(balancer) or os.path.exists(file) else ""


def whereabouts(state_directory: str, part: str) -> str:
    """The file that says where a daemon listens: ``part`` is the table of the configuration that has its ``listen``."""
    return os.path.join(state_directory, "listening", part)


def local_url(state_directory: str, part: str, otherwise: str) -> str:
    """Where a daemon of this machine listens, by its own word; without one, as it is configured by itself."""
    try:
        with open(whereabouts(state_directory, part), encoding="utf-8") as file:
            url = file.read(_LONGEST_URL).strip()
    except (OSError, ValueError):  # there is none, or it is no text
        return otherwise
    return url if url.startswith(("http://", "https://")) and is_here(url) else otherwise


def is_here(url: str) -> bool:
    """Whether a URL leads to this machine by its loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
