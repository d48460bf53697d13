"""
What an app server says of itself to the balancer, over ``/v1``.  Pure: for a reactor and for threads alike.

``PUT …/instances/{id}`` registers, ``POST …/renew`` renews the lease of 15 s (404: register again), and
``POST …/drain?wait=S`` is answered when nothing is in flight, or the wait is over (`Left`).  The generation rises with
each start: what comes late from the process before does nothing to the one that runs.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from scalekit.places import LOCAL_BALANCER

#: Between being told that something is in flight still and asking again: a balancer may not wait as long as it is asked
#: to, or not at all.
AGAIN_SECONDS = 0.5
#: What is asked for at once; the balancer reads six digits.
LONGEST_WAIT_SECONDS = 86_400.0

#: The probe's field with a nonce, and the answer's with what only somebody with our secret can make of it.
CHALLENGE, RESPONSE = "X-Scalekit-Challenge", "X-Scalekit-Challenge-Response"

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_LONGEST_NAME = 100  # an id has 128 characters at most, the port and a dash among them


class Ask(NamedTuple):
    """A request to the balancer."""

    method: str
    url: str
    body: bytes | None = None


class Registration(NamedTuple):
    """
    :ivar balancer: the URL of the registration service, such as ``https://127.0.0.1:2001``.
    :ivar port: what we listen on; the balancer takes the address from the connection.
    :ivar generation: when we were started, in microseconds.
    :ivar id: see `id_for`.
    :ivar scheme: what we speak there: ``https``, ``http`` or ``h2c``.
    :ivar keep_alive: seconds after which our server closes an idle connection; None: the balancer need not know.
    :ivar hosts: the requests that the service is for, ``*.`` wildcards too, and ``path``, a prefix: taken from the
        balancer's machine or with an operator's token, where its configuration does not name the service.
    :ivar is_vouched: whether an operator, whose token is shown, vouches for us: we cannot answer challenges.
    :ivar max_in_flight: how many requests we take at a time; 0: as many as come.
    """

    balancer: str
    port: int
    generation: int
    id: str
    service: str = "default"
    scheme: str = "https"
    keep_alive: float | None = None
    is_vouched: bool = False
    hosts: tuple[str, ...] = ()
    path: str = ""
    max_in_flight: int = 0

    def register(self) -> Ask:
        """Register, or say the same again."""
        said: dict[str, object] = {"generation": self.generation, "port": self.port, "scheme": self.scheme}
        if self.keep_alive is not None:
            said["keep_alive"] = self.keep_alive
        if self.is_vouched:
            said["consent"] = False
        if self.hosts:
            said["hosts"] = self.hosts
        if self.path:
            said["path"] = self.path
        if self.max_in_flight:
            said["max_in_flight"] = self.max_in_flight
        return Ask("PUT", self._url, json.dumps(said).encode())

    def renew(self) -> Ask:
        """Renew the lease; 404 asks to register again."""
        return Ask("POST", f"{self._url}/renew?{urlencode({'generation': self.generation})}")

    def drain(self, wait_seconds: float) -> Ask:
        """Leave; answered when nothing is in flight, or the wait is over: see `Left`.  Said again, it waits again."""
        wait = f"{min(wait_seconds, LONGEST_WAIT_SECONDS):.3f}".rstrip("0").rstrip(".")
        query = urlencode({"generation": self.generation, "wait": wait})
        return Ask("POST", f"{self._url}/drain?{query}")

    def __str__(self) -> str:
        """For people, after "registered"."""
        limits = [*self.hosts, *([f"paths below {self.path}"] if self.path else [])]
        limited = f", for {', '.join(limits)}" if limits else ""
        return f"{self.id} of service {self.service}, {self.scheme} on port {self.port}{limited}, at {self.balancer}"

    @property
    def _url(self) -> str:
        return f"{self.balancer.rstrip('/')}/v1/services/{quote(self.service)}/instances/{quote(self.id, safe=':[]')}"


def new_registration(
    balancer: str,
    port: int,
    host_name: str,
    now: float,
    *,
    service: str,
    scheme: str,
    keep_alive: float | None,
    is_vouched: bool = False,
    hosts: Iterable[str] = (),
    path: str = "",
    max_in_flight: int = 0,
) -> Registration:
    """
    That of whoever is started now, in seconds since the epoch, on a machine of this name: see `Registration`, `id_for`.
    """
    generation = int(now * 1e6)
    id = id_for(balancer, port, host_name)
    return Registration(
        balancer, port, generation, id, service, scheme, keep_alive, is_vouched, tuple(hosts), path, max_in_flight
    )


class Left(Enum):
    """What the balancer's answer to `Registration.drain` says."""

    DONE = "nothing is in flight"
    NOT_YET = "something is in flight"
    GONE = "nobody knows what was in flight when the balancer let us go"
    LATE = "something was in flight at the balancer's own deadline"
    REFUSED = "the balancer does not let us leave"

    @classmethod
    def of(cls, status: int, body: bytes, is_again: bool = False) -> Left:
        """
        Read an answer; 404: we are not there any more, as when another worker has left for all.

        A body that says nothing of a state is as good as none: whoever answered has let us go.

        :param is_again: whether the answer before was `NOT_YET`.
        """
        if status == 404:
            return cls.GONE if is_again else cls.DONE
        if status >= 300:
            return cls.REFUSED
        said = _object_in(body)
        if said.get("state") == "draining":
            return cls.NOT_YET
        return cls.LATE if said.get("in_flight") else cls.DONE


def check_balancer(url: str) -> str:
    """
    The URL of a balancer, without a slash at its end.

    :raises ValueError: it is none; the message says what was found, and what is expected.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("it is not scheme://host:port")
        if parts.port == 0:
            raise ValueError("port 0 cannot be connected to")
    except ValueError as why:  # of the port as well
        raise ValueError(f"balancer: found {url!r}, expected a URL such as {LOCAL_BALANCER}: {why}") from None
    return url.rstrip("/")


def id_for(balancer: str, port: int, name: str) -> str:
    """
    What we are called: by our address where the balancer is on this machine, as ``/register`` calls us too; elsewhere
    by the machine's name, since we do not know which of our addresses the balancer sees.

    :param balancer: its URL.
    :param name: of this machine, or whatever nobody else is called.
    """
    host = urlsplit(balancer).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        if address.is_loopback:
            return f"[{host}]:{port}" if ":" in host else f"127.0.0.1:{port}"
    return f"{_NOT_IN_IDS.sub('-', name)[:_LONGEST_NAME].strip('.-_') or 'app'}-{port}"


def words_in(text: str) -> tuple[str, ...]:
    """What an environment variable lists, with commas or blanks between."""
    return tuple(text.replace(",", " ").split())


def secret_in(body: bytes) -> str:
    """The secret in the balancer's answer to a registration; empty where it gives none: it will not challenge us."""
    secret = _object_in(body).get("secret")
    return secret if isinstance(secret, str) else ""


def doubt_in(body: bytes, service: str) -> str:
    """What the balancer's answer to a registration tells that is perhaps not meant; empty: nothing."""
    said = _object_in(body)
    doubt = said.get("note")
    if isinstance(doubt, str) and doubt:
        return doubt
    if said.get("routes") == []:
        return (
            f"service {service} has no route, so no request gets there: name it in [[balancer.service]] of the"
            " balancer's configuration, or register it with hosts or a path that nobody else has"
        )
    return ""


def refusal_in(status: int, body: bytes) -> str:
    """What the balancer has against us, for people, in an answer that is none of 2xx."""
    said = _object_in(body)
    reason, detail = said.get("reason"), said.get("detail")
    if isinstance(reason, str) and isinstance(detail, str):
        return f"answered {status}, {reason}: {detail}"
    return f"answered {status}: {body[:300].decode('utf-8', 'replace')}"


def _object_in(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty where there is none."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def response_to(nonce: str, secret: str) -> str:
    """What answers a challenge: HMAC-SHA256 of the nonce with the secret, in hexadecimal."""
    return hmac.new(secret.encode(), nonce.encode(), "sha256").hexdigest()
