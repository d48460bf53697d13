"""What every balancer does that an app server of the kit registers with, whatever it sends it."""

from __future__ import annotations

import json
from typing import Any

from scalekit.kit.registration import Ask, Left, Registration

ID = "web1-3000"
INSTANCE = f"https://lb:2001/v1/services/default/instances/{ID}"


class Conformance:
    """To be mixed into a TestCase."""

    assertEqual: Any
    assertIn: Any
    assertIs: Any

    def begin(self, ask: Ask) -> Any:
        """Ask: what `answered` is given."""
        raise NotImplementedError

    def answered(self, asked: Any) -> tuple[int, bytes] | None:
        """Status and body of the answer; None: there is none yet."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def set_in_flight(self, id: str, count: int) -> None:
        """So many requests are with an instance of the service ``default``."""
        raise NotImplementedError

    def drain(self, id: str) -> None:
        """An operator drains an instance."""
        raise NotImplementedError

    def rise(self, id: str) -> None:
        """An instance passes its probes, where there are any."""

    def ask(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Ask, and be answered at once."""
        answer = self.answered(self.begin(ask))
        assert answer is not None
        return answer[0], json.loads(answer[1])

    def refused(self, ask: Ask) -> tuple[int, str]:
        status, said = self.ask(ask)
        return status, said["reason"]

    def register(self, generation: int = 7, **said: Any) -> tuple[int, dict[str, Any]]:
        return self.ask(we(generation, **said).register())

    def state(self, id: str = ID) -> str:
        status, said = self.ask(Ask("GET", f"https://lb:2001/v1/services/default/instances/{id}"))
        return str(said["state"]) if status == 200 else "gone"

    def test_registered_once_and_again(self) -> None:
        status, said = self.register()
        self.assertEqual(
            (status, said["service"], said["id"], said["generation"], said["port"], said["scheme"], said["in_flight"]),
            (201, "default", ID, 7, 3000, "https", 0),
        )
        self.assertEqual((said["renew_seconds"], said["routes"], "secret" in said), (5.0, ["*/"], False))
        self.assertEqual(self.register()[0], 200)
        self.assertEqual(self.register(8)[0], 201)
        self.assertEqual(self.register(9, port=3001)[0], 201)

    def test_routes(self) -> None:
        claimed: dict[str, Any] = {"hosts": ("shop.example", "*.shop.example"), "path": "/x"}
        self.assertEqual(self.register(service="shop", id="a", port=4000)[1]["routes"], [])
        routes = self.register(service="shop", id="a", port=4000, **claimed)[1]["routes"]
        self.assertEqual(set(routes), {"shop.example/x", "*.shop.example/x"})

    def test_renewed(self) -> None:
        self.assertEqual(self.refused(we().renew()), (404, "unknown-instance"))
        self.register()
        status, said = self.ask(we().renew())
        self.assertEqual((status, said["id"], said["renew_seconds"]), (200, ID, 5.0))
        self.assertEqual(self.refused(we(8).renew()), (404, "unknown-instance"))

    def test_a_lease_that_is_over_and_renewed(self) -> None:
        self.register()
        self.rise(ID)
        self.advance(14.0)
        self.assertIn(self.state(), ("warming", "up"))
        self.advance(2.0)
        self.assertEqual(self.state(), "suspect")
        self.ask(we().renew())
        self.assertIn(self.state(), ("warming", "up"))

    def test_a_generation_that_another_has_followed(self) -> None:
        self.register(7)
        self.register(8)
        for ask in (we(7).register(), we(7).renew(), we(7).drain(0), Ask("DELETE", f"{INSTANCE}?generation=7")):
            self.assertEqual(self.refused(ask), (409, "stale-generation"))
        self.assertEqual(self.ask(we(8).renew())[0], 200)

    def test_another_at_the_same_port_takes_its_place(self) -> None:
        self.register()
        self.assertEqual(self.register(id="web2")[0], 201)
        self.assertEqual((self.state(), self.refused(we().renew())[0]), ("gone", 404))
        self.assertEqual(self.ask(we(id="web2").renew())[0], 200)

    def test_drained_with_nothing_in_flight(self) -> None:
        """At once; its generation does not come back until that is forgotten, a higher one does."""
        self.assertEqual(self.refused(we().drain(0)), (404, "unknown-instance"))
        self.register()
        self.assertIs(self.left(self.begin(we().drain(30))), Left.DONE)
        self.assertEqual(self.refused(we().drain(0)), (404, "unknown-instance"))
        for ask in (we().register(), we().renew()):
            self.assertEqual(self.refused(ask), (409, "drained"))
        self.advance(601.0)
        self.assertEqual(self.register()[0], 201)
        self.ask(we().drain(0))
        self.assertEqual(self.register(8)[0], 201)

    def test_a_drain_waits_for_what_is_in_flight(self) -> None:
        self.register()
        self.set_in_flight(ID, 1)
        waiting = self.begin(we().drain(20))
        self.advance(1.0)
        self.assertEqual((self.answered(waiting), self.state()), (None, "draining"))
        self.assertEqual(self.ask(we().renew())[1]["state"], "draining")
        self.assertEqual(self.refused(we().register()), (409, "drained"))
        self.set_in_flight(ID, 0)
        self.advance(1.0)
        self.assertEqual((self.left(waiting), self.state()), (Left.DONE, "gone"))

    def test_a_drain_waits_no_longer_than_it_was_asked_to(self) -> None:
        self.register()
        self.set_in_flight(ID, 1)
        self.assertIs(self.left(self.begin(we().drain(0))), Left.NOT_YET)
        waiting = self.begin(we().drain(5))
        self.advance(6.0)
        self.assertIs(self.left(waiting), Left.NOT_YET)

    def test_a_drain_has_an_end(self) -> None:
        """Whatever is in flight."""
        self.register()
        self.set_in_flight(ID, 1)
        self.advance(1.0)
        self.begin(we().drain(0))
        waiting = self.begin(we().drain(29))
        self.advance(31.0)
        self.assertIn(self.left(waiting), (Left.LATE, Left.NOT_YET))
        self.assertEqual(self.state(), "gone")

    def test_an_operator_drains(self) -> None:
        self.register()
        self.drain(ID)
        self.assertEqual(self.refused(we().renew()), (409, "drained"))
        self.assertEqual(self.register(8)[0], 201)

    def test_unregistered(self) -> None:
        self.assertEqual(self.ask(Ask("DELETE", f"{INSTANCE}?generation=7"))[1]["state"], "gone")
        self.register()
        self.assertEqual(self.refused(Ask("DELETE", INSTANCE)), (400, "bad-generation"))
        self.set_in_flight(ID, 1)
        self.assertEqual(self.ask(Ask("DELETE", f"{INSTANCE}?generation=7"))[1]["state"], "draining")
        self.assertEqual(self.ask(Ask("DELETE", f"{INSTANCE}?generation=7&mode=now"))[1]["state"], "gone")
        self.assertEqual(self.state(), "gone")

    def test_what_is_no_registration(self) -> None:
        good = {"generation": 7, "port": 3000}
        for change, reason in (
            ({"generation": 0}, "bad-generation"),
            ({"generation": "7"}, "bad-generation"),
            ({"port": 0}, "bad-port"),
            ({"port": 65536}, "bad-port"),
        ):
            self.assertEqual(self.refused(Ask("PUT", INSTANCE, json.dumps(good | change).encode())), (400, reason))
        self.assertEqual(self.refused(Ask("PUT", INSTANCE, b"{")), (400, "bad-json"))
        self.assertEqual(self.refused(Ask("PUT", INSTANCE, b"[]")), (400, "bad-body"))
        self.assertEqual(self.refused(Ask("POST", f"{INSTANCE}/renew?generation=x")), (400, "bad-generation"))
        self.assertEqual(self.refused(Ask("POST", f"{INSTANCE}/drain?wait=x")), (400, "bad-wait"))
        self.assertEqual(self.ask(Ask("PUT", f"{INSTANCE}/renew"))[0], 405)
        self.assertEqual(self.ask(Ask("GET", "https://lb:2001/v1/services/default/nothing"))[0], 404)

    def left(self, asked: Any) -> Left:
        """What the answer to a drain says."""
        answer = self.answered(asked)
        assert answer is not None
        return Left.of(*answer)


def we(generation: int = 7, id: str = ID, port: int = 3000, **said: Any) -> Registration:
    return Registration("https://lb:2001", port, generation, id, **said)
