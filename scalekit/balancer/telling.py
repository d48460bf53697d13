"""
What has changed and is yet to be told, and whom it is told.

Whoever listens may call the roster again, or read it: so what happens during one call is collected, and told when all
of it has happened.
"""

from __future__ import annotations

from collections.abc import Callable

from scalekit.balancer.departed import Departed
from scalekit.balancer.directory import Directory
from scalekit.balancer.instance import Instance, Notice, State, Transition
from scalekit.balancer.routes import Claim


class Telling:
    """
    :param departed: what was claimed by those who are gone.
    :ivar revision: rises with whatever a snapshot would hold; not with renewals.
    """

    def __init__(self, departed: Departed) -> None:
        self.revision = 0
        self._departed = departed
        self._news: list[Transition] = []
        self._notices: list[Notice] = []
        self._touched: dict[str, float] = {}  # services whose standing may be another one; when that came
        self._are_claims_stale = False
        self._observers: list[Callable[[Transition], None]] = []
        self._notice_observers: list[Callable[[Notice], None]] = []
        self._claim_observers: list[Callable[[tuple[Claim, ...]], None]] = []
        self._waiting: dict[Instance, list[Callable[[Instance], None]]] = {}

    # What has changed.

    def joined(self, instance: Instance, reason: str, now: float) -> None:
        """It is there now."""
        instance.reason = reason
        self._note(Transition(instance, None, State.JOINING, reason, now))

    def change(self, instance: Instance, state: State, reason: str, now: float) -> None:
        """It comes into another state."""
        self._note(instance.enter(state, reason, now))

    def _note(self, change: Transition) -> None:
        self._news.append(change)
        self._touched[change.instance.service] = change.at

    def notice(self, kind: str, service: str, detail: str, now: float) -> None:
        """Something that concerns more than one instance."""
        self._notices.append(Notice(kind, service, detail, now))

    def touch(self, service: str, now: float) -> None:
        """Its standing may be another one, though nobody's state is."""
        self._touched[service] = now

    def touch_claims(self) -> None:
        """Somebody claims something else than before, or no longer."""
        self._are_claims_stale = True

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell, or to bring up to date before."""
        return bool(self._touched or self._notices or self._are_claims_stale)

    def take_touched(self) -> dict[str, float]:
        """The services that something has happened to, and when; the next call returns what comes after."""
        touched, self._touched = self._touched, {}
        return touched

    # Who listens.

    def observe(self, observer: Callable[[Transition], None]) -> None:
        """Tell of every transition, in the order in which they came."""
        self._observers.append(observer)

    def observe_notices(self, observer: Callable[[Notice], None]) -> None:
        """Tell of every notice."""
        self._notice_observers.append(observer)

    def observe_claims(self, observer: Callable[[tuple[Claim, ...]], None]) -> None:
        """Tell what is claimed whenever that changes."""
        self._claim_observers.append(observer)

    def wait_gone(self, instance: Instance, callback: Callable[[Instance], None]) -> None:
        """Call back once the instance is gone; at once if it is."""
        if instance.state is State.GONE:
            callback(instance)
        else:
            self._waiting.setdefault(instance, []).append(callback)

    def stop_waiting(self, instance: Instance, callback: Callable[[Instance], None]) -> None:
        """Take back a `wait_gone`; does nothing if it was called back already."""
        callbacks = self._waiting.get(instance, [])
        if callback in callbacks:
            callbacks.remove(callback)

    def tell(self, directory: Directory) -> None:
        """Tell all that has changed: first what is claimed, then what has happened to whom, then the notices."""
        self._touched.clear()
        news, self._news = self._news, []
        notices, self._notices = self._notices, []
        self.revision += len(news)
        if self._are_claims_stale:
            self._are_claims_stale = False
            claims = claims_of(directory, self._departed)
            for claim_observer in self._claim_observers:
                claim_observer(claims)
        for transition in news:
            for observer in self._observers:
                observer(transition)
            if transition.after is State.GONE:
                for callback in self._waiting.pop(transition.instance, ()):
                    callback(transition.instance)
        for notice in notices:
            for notice_observer in self._notice_observers:
                notice_observer(notice)

    def __repr__(self) -> str:
        return f"<Telling {len(self._news)} transitions, {len(self._notices)} notices, {len(self._waiting)} awaited>"


def claims_of(directory: Directory, departed: Departed) -> tuple[Claim, ...]:
    """What all instances claim, each once, in the order of their registration; then what is kept of those gone."""
    instances = (one for service in directory.services() for one in directory.instances(service))
    claims = dict.fromkeys(one.claim for one in instances if one.claim is not None)
    return (*claims, *departed.claims({claim.service for claim in claims}))
