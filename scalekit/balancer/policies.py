"""How the requests of each service are spread, as the configuration says at the moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from scalekit.balancer.picking import IPicker, new_picker
from scalekit.balancer.picking.keys import key_on
from scalekit.balancer.sticky import Sticky
from scalekit.balancer.traffic import Traffic
from scalekit.config.model import Balancer, Service
from scalekit.http.heads import Client, RequestHead


class Terms(NamedTuple):
    """
    How the requests of a service are spread.

    :ivar most: how many an instance gets at a time.
    :ivar cookie: of sticky sessions; empty: the one that no other service has; None: no sessions.
    :ivar max_body_bytes: of a request; None: no limit.
    """

    algorithm: str
    hash_on: str
    most: float
    cookie: str | None
    max_body_bytes: int | None


class Policies:
    """
    The terms of every service, and the traffic that they make.

    :param random: returns a number from 0 to 1.
    :param client_address: of a request, for pickers that hash it.
    :param sticky_key: what cookies are signed with, if any service is sticky.
    """

    def __init__(
        self,
        settings: Balancer,
        random: Callable[[], float],
        client_address: Callable[[RequestHead, Client], str],
        sticky_key: bytes,
    ) -> None:
        self._random = random
        self._client_address = client_address
        self._settings = settings
        self._sticky_key = sticky_key
        self._services = {service.name: service for service in settings.service}

    def terms(self, name: str) -> Terms:
        """Of a service, which need not be configured."""
        service = self._services.get(name, Service())
        return Terms(
            service.algorithm or self._settings.algorithm,
            service.hash_on or self._settings.hash_on,
            service.max_in_flight or inf,
            (service.sticky_cookie or "") if service.sticky else None,
            service.max_body_bytes or self._settings.limits.max_body_bytes,
        )

    def traffic(self, name: str) -> Traffic:
        """A new one."""
        terms = self.terms(name)
        return Traffic(self._picker(terms), terms.most, self._sticky(name, terms), terms.max_body_bytes)

    def adopt(self, settings: Balancer, sticky_key: bytes, present: Mapping[str, Traffic]) -> None:
        """
        Take other terms, for the traffic that is there as well.

        What counts on stays: who waits, the retry budget, numbers; and whose turn it is, if that is still the question.
        """
        before = {name: self.terms(name) for name in present}
        self._settings = settings
        self._sticky_key = sticky_key
        self._services = {service.name: service for service in settings.service}
        for name, traffic in present.items():
            old, new = before[name], self.terms(name)
            if (old.algorithm, old.hash_on) != (new.algorithm, new.hash_on):
                traffic.picker = self._picker(new)
            if old.cookie != new.cookie:
                traffic.sticky = self._sticky(name, new)
            traffic.most = new.most
            traffic.max_body_bytes = new.max_body_bytes

    def _picker(self, terms: Terms) -> IPicker:
        return new_picker(terms.algorithm, self._random, key_on(terms.hash_on, self._client_address))

    def _sticky(self, name: str, terms: Terms) -> Sticky | None:
        return None if terms.cookie is None else Sticky(self._sticky_key, name, terms.cookie)

    def __repr__(self) -> str:
        return f"<Policies of {', '.join(self._services) or 'no configured service'}>"
