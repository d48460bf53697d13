"""Tests of `scalekit.balancer.picking`: what every picker promises, and what each of them does."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Endpoint, Instance
from scalekit.balancer.picking import ALGORITHMS, IPicker, new_picker
from scalekit.balancer.picking.affinity import Hash
from scalekit.balancer.picking.keys import key_on
from scalekit.balancer.picking.load import LeastRequests, TwoChoices
from scalekit.balancer.picking.turns import RoundRobin, WeightedRoundRobin
from scalekit.config.kinds import ALGORITHM
from scalekit.http.heads import Client, RequestHead


class Asked:
    """As much of an exchange as a picker looks at."""

    def __init__(self, user: bytes | None = b"x", path: bytes = b"/", address: str = "192.0.2.7") -> None:
        self.head = RequestHead(b"GET", path, [] if user is None else [(b"X-User", user), (b"Cookie", b"u=" + user)])
        self.client = Client(address, 5000, False, 2000)


def instance(number: int, weight: int = 1, in_flight: int = 0, share: float = 1.0) -> Instance:
    made = Instance("default", Endpoint("http", "192.0.2.1", number), 0.0, HealthRules())
    made.weight, made.in_flight, made.share = weight, in_flight, share
    return made


def several(*weights: int) -> tuple[Instance, ...]:
    return tuple(instance(number + 1, weight) for number, weight in enumerate(weights))


def picker_of(algorithm: str, seed: int = 0) -> Any:
    return new_picker(algorithm, random.Random(seed).random, on("header:X-User"))


def on(hash_on: str) -> Callable[[Any], bytes | None]:
    return key_on(hash_on, lambda head, client: client.address)


def served(picker: Any, available: tuple[Instance, ...], requests: int, users: int = 0) -> list[int]:
    """How many requests each gets; nothing stays in flight."""
    got = Counter(picker.first(available, Asked(b"%d" % (n % users) if users else b"x")) for n in range(requests))
    return [got[one] for one in available]


algorithms = st.sampled_from(sorted(ALGORITHMS))
members = st.lists(st.tuples(st.integers(1, 256), st.integers(0, 50), st.floats(0.1, 1.0)), min_size=1, max_size=8).map(
    lambda rows: tuple(instance(number + 1, *row) for number, row in enumerate(rows))
)
exchanges = st.builds(Asked, st.none() | st.binary(max_size=5))


class ConformanceTests(SynchronousTestCase):
    """What every picker promises."""

    def test_those_of_the_configuration(self) -> None:
        self.assertEqual(" or ".join(f'"{name}"' for name in ALGORITHMS), ALGORITHM.expected)

    def test_interface(self) -> None:
        for algorithm in ALGORITHMS:
            self.assertTrue(verifyObject(IPicker, picker_of(algorithm)))
            self.assertNotIn(" object at ", repr(picker_of(algorithm)))

    @given(algorithms, st.integers(), st.lists(st.tuples(members, exchanges, st.integers(0, 9)), max_size=4))
    def test_the_first_is_one_of_them(self, algorithm: str, seed: int, periods: list[Any]) -> None:
        """Also when the membership changes from one request to the next."""
        picker = picker_of(algorithm, seed)
        for available, exchange, requests in periods:
            for _ in range(requests):
                self.assertIn(picker.first(available, exchange), available)

    @given(algorithms, st.integers(), members, exchanges, st.integers(0, 20))
    def test_each_is_a_candidate_once(
        self, algorithm: str, seed: int, available: tuple[Instance, ...], exchange: Asked, before: int
    ) -> None:
        """Also when others pick in between, and those that are offered get more to do."""
        picker = picker_of(algorithm, seed)
        for _ in range(before):
            picker.first(available, exchange)
        seen = []
        for candidate in picker.candidates(available, exchange):
            seen.append(candidate.id)
            candidate.in_flight += 1
            picker.first(available, exchange)
        self.assertEqual(sorted(seen), sorted(one.id for one in available))

    @given(algorithms, exchanges)
    def test_nobody(self, algorithm: str, exchange: Asked) -> None:
        self.assertEqual(list(picker_of(algorithm).candidates((), exchange)), [])

    @given(algorithms, st.integers(0, 1000))
    def test_nobody_is_left_out(self, algorithm: str, seed: int) -> None:
        """With equal weights everybody gets about its share of many requests of many users."""
        got = served(picker_of(algorithm, seed), several(1, 1, 1, 1), 400, users=400)
        self.assertGreater(min(got), 50, got)

    @given(algorithms, st.integers(0, 1000))
    def test_one_that_warms_up_gets_less_but_something(self, algorithm: str, seed: int) -> None:
        available = several(1, 1, 1)
        available[0].share = 0.2
        got = served(picker_of(algorithm, seed), available, 900, users=900)
        if algorithm == "two-choices":
            # With nothing in flight the heavier of two is always better.
            self.assertLess(got[0], 100)
        else:
            self.assertTrue(30 < got[0] < 140, got)


class RoundRobinTests(SynchronousTestCase):
    def test_order(self) -> None:
        picker, available = RoundRobin(), several(1, 1, 1)
        self.assertEqual([picker.first(available, None).port for _ in range(7)], [1, 2, 3, 1, 2, 3, 1])

    @given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 60)), max_size=10))
    def test_fair(self, periods: list[tuple[int, int]]) -> None:
        """Between two changes of the membership, each of n gets its share of the requests, give or take one."""
        picker = RoundRobin()
        for count, requests in periods:
            shares = served(picker, several(*[1] * count), requests)
            self.assertLessEqual(max(shares) - min(shares), 1)

    def test_retries_are_spread(self) -> None:
        """What one dead instance leaves behind does not fall on its neighbour alone."""
        picker, available = RoundRobin(), several(1, 1, 1, 1)
        got: Counter[int] = Counter()
        for _ in range(300):
            picked = picker.first(available, None)
            if picked is available[0]:
                picked = next(one for one in picker.candidates(available, None) if one is not available[0])
            got[picked.port] += 1
        self.assertEqual(sorted(got), [2, 3, 4])
        self.assertTrue(all(60 <= count <= 140 for count in got.values()), got)

    @given(st.floats(0.1, 0.9), st.integers(1, 6))
    def test_the_share_of_one_that_warms_up(self, share: float, others: int) -> None:
        """Exactly its share of a turn, and what it leaves is spread evenly."""
        available = several(*[1] * (others + 1))
        available[0].share = share
        rounds = 200
        got = served(RoundRobin(), available, rounds * (others + 1))
        self.assertLess(abs(got[0] / got[1] - share), 0.05)
        self.assertLessEqual(max(got[1:]) - min(got[1:]), 1)

    def test_all_of_them_warming_up(self) -> None:
        available = several(1, 1)
        for one in available:
            one.share = 0.1
        self.assertGreater(min(served(RoundRobin(), available, 100)), 30)


class WeightTests(SynchronousTestCase):
    def test_nginx_order(self) -> None:
        picker, available = WeightedRoundRobin(), several(5, 1, 1)
        self.assertEqual([picker.first(available, None).port for _ in range(7)], [1, 1, 2, 1, 3, 1, 1])

    @given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 3))
    def test_exact_after_each_round(self, weights: list[int], rounds: int) -> None:
        """As many requests as the weights together: each has got as many as its own."""
        got = served(WeightedRoundRobin(), several(*weights), rounds * sum(weights))
        self.assertEqual(got, [rounds * weight for weight in weights])

    def test_those_that_are_gone_are_forgotten(self) -> None:
        picker = WeightedRoundRobin()
        for _ in range(50):
            picker.first(several(1, 2), None)
        self.assertLessEqual(len(picker._wealth), 6)

    @given(st.sampled_from(("random", "hash")), st.integers(0, 1000))
    def test_in_proportion(self, algorithm: str, seed: int) -> None:
        got = served(picker_of(algorithm, seed), several(1, 3), 1000, users=1000)
        self.assertTrue(170 < got[0] < 330, got)


class LoadTests(SynchronousTestCase):
    @given(members)
    def test_the_idlest_for_its_weight(self, available: tuple[Instance, ...]) -> None:
        loads = [one.in_flight / (one.weight * one.share) for one in available]
        self.assertEqual(loads[available.index(LeastRequests().first(available, None))], min(loads))

    @given(members, st.integers())
    def test_two_choices_never_take_the_worst_of_several(self, available: tuple[Instance, ...], seed: int) -> None:
        picked = TwoChoices(random.Random(seed).random).first(available, None)
        loads = [(one.in_flight + 1) / (one.weight * one.share) for one in available]
        if len(set(loads)) == len(loads) > 1:
            self.assertNotEqual(available.index(picked), loads.index(max(loads)))

    def test_a_slow_one_gets_little(self) -> None:
        """One that answers nothing stays at about what the others have in flight."""
        for algorithm in ("least-requests", "two-choices"):
            picker, available = picker_of(algorithm), several(1, 1, 1)
            for _ in range(300):
                picked = picker.first(available, Asked())
                picked.in_flight += picked is available[0]
            self.assertLessEqual(available[0].in_flight, 2)


class HashTests(SynchronousTestCase):
    @given(members, st.binary())
    def test_the_same_key_the_same_instance(self, available: tuple[Instance, ...], user: bytes) -> None:
        """Whatever came before, in whatever order they stand, and on every balancer."""
        first = picker_of("hash", 1).first(available, Asked(user))
        other = picker_of("hash", 2)
        other.first(available, Asked(b"other"))
        self.assertIs(other.first(available[::-1], Asked(user)), first)

    @given(members, st.data())
    def test_only_the_share_of_one_that_goes_moves(self, available: tuple[Instance, ...], data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(available))
        rest = tuple(one for one in available if one is not gone)
        picker = picker_of("hash")
        for number in range(20):
            exchange = Asked(b"%d" % number)
            before = picker.first(available, exchange)
            if rest and before is not gone:
                self.assertIs(picker.first(rest, exchange), before)
            elif rest:
                self.assertIs(picker.first(rest, exchange), list(picker.candidates(available, exchange))[1])

    def test_what_is_hashed(self) -> None:
        for hash_on, exchange, key in (
            ("client", Asked(), b"192.0.2.7"),
            ("path", Asked(path=b"/a?b"), b"/a"),
            ("header:x-USER", Asked(b"me"), b"me"),
            ("header:x-user", Asked(None), None),
            ("header:Host", Asked(), b"localhost"),
            ("cookie:u", Asked(b"me"), b"me"),
            ("cookie:v", Asked(b"me"), None),
        ):
            self.assertEqual(on(hash_on)(exchange), key, hash_on)
        self.assertRaises(ValueError, on, "query:x")

    def test_without_a_key_they_take_turns(self) -> None:
        available = several(1, 1)
        self.assertEqual([Hash(on("header:none")).first(available, Asked()).port for _ in range(1)], [1])
        self.assertEqual(served(Hash(on("header:none")), available, 10), [5, 5])
