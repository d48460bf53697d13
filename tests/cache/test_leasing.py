"""Leases over HTTP: one makes what is missing, the others wait or take what is stale."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache import keyvalue, leases, resource
from scalekit.cache.marks import MARK_SECONDS
from tests.cache.asking import Asking, answer_of

REQUEST = {"Cache-Lease": "request"}
WAIT = REQUEST | {"Prefer": "respond-async, wait=5"}


class LeaseTests(Asking, SynchronousTestCase):
    def tearDown(self) -> None:
        self.clock.advance(1000)
        self.assertEqual((len(self.service.leases), self.service.waiting, self.store.stats().fills), (0, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def lease(self, key: str = "a", **fields: str) -> str:
        return self.ask("GET", f"/v1/keys/{key}", REQUEST | fields).token

    def test_the_first_gets_it(self) -> None:
        first, second = self.ask("GET", "/v1/keys/a", REQUEST), self.ask("GET", "/v1/keys/a", REQUEST)
        self.assertEqual((first.status, first.fields["cache-lease"]), (404, '"lease-1";for=10'))
        self.assertEqual((second.status, second.fields["cache-lease"]), (404, "taken"))
        self.assertNotIn("cache-lease", self.get().fields)

    def test_stored_with_it(self) -> None:
        token = self.lease()
        self.assertEqual(self.put(Cache_Lease=token).status, 201)
        answer = self.ask("GET", "/v1/keys/a", REQUEST)
        self.assertEqual((answer.status, answer.body), (200, b"value"))
        self.assertNotIn("cache-lease", answer.fields)
        again = self.put(value=b"twice", Cache_Lease=token)
        self.assertEqual((again.status, again.reason), (409, "purged"))

    def test_not_with_that_of_another_key(self) -> None:
        self.assertEqual(self.put("b", Cache_Lease=self.lease("a")).status, 409)
        self.assertEqual(self.get("b").status, 404)

    def test_it_ends(self) -> None:
        token = self.ask("GET", "/v1/keys/a", {"Cache-Lease": "request; for=30"}).token
        self.clock.advance(29.9)
        self.assertEqual(self.ask("GET", "/v1/keys/a", REQUEST).fields["cache-lease"], "taken")
        self.clock.advance(0.1)
        self.assertEqual(self.ask("GET", "/v1/keys/a", REQUEST).token, '"lease-2"')
        self.assertEqual(self.put(Cache_Lease=token).status, 409)

    def test_others_wait(self) -> None:
        token = self.lease()
        waiting = [self.begin("GET", "/v1/keys/a", WAIT) for _ in range(3)]
        self.assertEqual([exchange.status for exchange in waiting], [0, 0, 0])
        self.clock.advance(1)
        self.put(Cache_Lease=token)
        for exchange in waiting:
            answer = answer_of(exchange)
            self.assertEqual((answer.status, answer.body), (200, b"value"))
            self.assertEqual(answer.fields["cache-status"], "scalekit-cache;hit;ttl=60;collapsed")
            self.assertEqual(answer.fields["preference-applied"], "wait")

    def test_as_long_as_they_say(self) -> None:
        self.lease()
        waiting = self.begin("GET", "/v1/keys/a", WAIT)
        self.clock.advance(4.9)
        self.assertEqual(waiting.status, 0)
        self.clock.advance(0.1)
        self.assertEqual((waiting.status, answer_of(waiting).fields["cache-lease"]), (404, "taken"))

    def test_who_leaves_waits_no_more(self) -> None:
        token = self.lease()
        gone, waiting = self.begin("GET", "/v1/keys/a", WAIT), self.begin("GET", "/v1/keys/a", WAIT)
        gone.leave()
        self.assertEqual(self.service.waiting, 1)
        self.assertEqual(self.ask("DELETE", f"/v1/leases/{token[1:-1]}").status, 204)
        self.assertEqual(answer_of(waiting).token, '"lease-2"')
        self.assertEqual(gone.status, 0)

    def test_given_back_the_next_one_gets_it(self) -> None:
        token = self.lease().strip('"')
        waiting = [self.begin("GET", "/v1/keys/a", WAIT) for _ in range(2)]
        self.assertEqual(self.ask("DELETE", f"/v1/leases/{token}").status, 204)
        self.assertEqual([exchange.status for exchange in waiting], [404, 0])
        self.put(Cache_Lease=answer_of(waiting[0]).token)
        self.assertEqual(waiting[1].status, 200)
        self.assertEqual(self.ask("DELETE", f"/v1/leases/{token}").reason, "no-lease")
        self.assertEqual(self.ask("DELETE", f"/v1/leases/{token}/x").status, 404)

    def test_with_what_is_no_value_it_is_given_back(self) -> None:
        for number, fields in enumerate(
            (
                {"Surrogate-Key": "a\tb" + "c" * 2000},
                {"Cache-Control": "x"},
                {"Content-Range": "bytes 0-1/2"},
                {"If-Match": "*"},
            )
        ):
            key = str(number)
            token = self.lease(key)
            waiting = self.begin("GET", f"/v1/keys/{key}", WAIT)
            answer = self.ask(
                "PUT", f"/v1/keys/{key}", {"Cache-Control": "max-age=60", "Cache-Lease": token, **fields}, b"v"
            )
            self.assertIn(answer.status, (400, 412), fields)
            self.assertEqual(answer_of(waiting).token, f'"lease-{2 * number + 2}"')

    def test_where_it_is_no_longer_what_was_expected_it_is_given_back(self) -> None:
        self.put(value=b"old")
        tag = self.get().fields["etag"]
        sending = self.sending("/v1/keys/a", {"If-Match": tag, "Cache-Lease": '"lease-1"'})
        self.ask("DELETE", "/v1/keys/a")
        self.lease()
        waiting = self.begin("GET", "/v1/keys/a", WAIT)
        sending.feed(b"new")
        sending.end()
        self.assertEqual(answer_of(sending).status, 412)
        self.assertEqual(answer_of(waiting).token, '"lease-2"')

    def test_run_out_of_time_the_next_one_gets_it(self) -> None:
        self.ask("GET", "/v1/keys/a", {"Cache-Lease": "request;for=2"})
        waiting = self.begin("GET", "/v1/keys/a", WAIT)
        self.clock.advance(2)
        self.assertEqual((waiting.status, answer_of(waiting).token), (404, '"lease-2"'))

    def test_a_purge_voids_it(self) -> None:
        for purge in ('{"keys":["a"]}', '{"prefix":"a"}', '{"all":true}'):
            token = self.lease()
            waiting = self.begin("GET", "/v1/keys/a", WAIT)
            self.assertEqual(self.ask("POST", "/v1/purge", {}, purge.encode()).status, 200)
            self.assertEqual(waiting.status, 404)
            late = self.put(value=b"old", Cache_Lease=token)
            self.assertEqual((late.status, late.reason), (409, "purged"))
            self.assertEqual(self.put(value=b"new", Cache_Lease=answer_of(waiting).token).status, 201)
            self.assertEqual(self.get().body, b"new")
            self.get(method="DELETE")

    def test_so_does_delete_and_the_tutorials_invalidate(self) -> None:
        for method, target in (("DELETE", "/v1/keys/a"), ("POST", "/invalidate?key=a")):
            token = self.lease()
            self.ask(method, target)
            self.assertEqual(self.put(Cache_Lease=token).status, 409)

    def test_a_purge_of_a_tag_voids_what_would_bear_it(self) -> None:
        token, other = self.lease("a"), self.lease("b")
        waiting = self.begin("GET", "/v1/keys/a", WAIT)
        self.ask("POST", "/v1/purge", {}, b'{"tags":["posts"]}')
        self.assertEqual(self.put("a", Cache_Lease=token, Surrogate_Key="posts").status, 409)
        self.assertEqual(answer_of(waiting).token, '"lease-3"')
        self.assertEqual(self.put("b", Cache_Lease=other, Surrogate_Key="news").status, 201)
        self.assertEqual(self.put("a", Cache_Lease='"lease-3"', Surrogate_Key="posts").status, 201)

    def test_a_store_without_it_ends_it(self) -> None:
        token = self.lease()
        waiting = self.begin("GET", "/v1/keys/a", WAIT)
        self.put(value=b"newer")
        self.assertEqual((waiting.status, waiting.sent), (200, b"newer"))
        self.assertEqual(self.put(value=b"older", Cache_Lease=token).status, 409)
        self.assertEqual(self.get().body, b"newer")

    def test_what_is_stale_is_served_at_once(self) -> None:
        self.put(cache="max-age=10, stale-while-revalidate=60")
        self.clock.advance(10)
        first, second = (self.begin("GET", "/v1/keys/a", WAIT) for _ in range(2))
        self.assertEqual((first.status, second.status), (200, 200))
        self.assertEqual(answer_of(second).fields["cache-lease"], "taken")
        self.assertEqual(self.put(value=b"new", Cache_Lease=answer_of(first).token).status, 204)
        self.assertEqual(self.get().body, b"new")

    def test_what_is_too_stale_is_better_than_nothing(self) -> None:
        self.put(cache="max-age=10, stale-if-error=60")
        self.clock.advance(10)
        self.lease()
        waiting = self.begin("GET", "/v1/keys/a", WAIT)
        self.assertEqual(waiting.status, 0)
        self.clock.advance(5)
        self.assertEqual((waiting.status, waiting.sent), (200, b"value"))

    def test_a_soft_purge_does_not_void_it(self) -> None:
        token = self.lease()
        self.ask("POST", "/v1/purge", {}, b'{"keys":["a"],"soft":true}')
        answer = self.put(cache="max-age=60, stale-while-revalidate=60", Cache_Lease=token)
        self.assertEqual((answer.status, self.get().fields["cache-control"]), (201, "max-age=0"))

    def test_of_what_is_too_big_nobody_waits_for_another(self) -> None:
        """Else each would make one after the other."""
        token = self.lease()
        waiting = [self.begin("GET", "/v1/keys/a", WAIT) for _ in range(3)]
        self.assertEqual(self.put(value=bytes(resource.LARGEST_VALUE_BYTES + 1), Cache_Lease=token).status, 413)
        for one in (*waiting, self.begin("GET", "/v1/keys/a", WAIT), self.begin("GET", "/v1/keys/a", REQUEST)):
            self.assertEqual((one.status, answer_of(one).fields.get("cache-lease")), (404, None))
        self.clock.advance(MARK_SECONDS)
        self.lease()
        self.assertEqual(self.begin("GET", "/v1/keys/a", WAIT).status, 0)

    def test_so_many_leases_and_no_more(self) -> None:
        self.patch(leases, "MOST_LEASES", 2)
        tokens = [self.ask("GET", f"/v1/keys/{number}", REQUEST).fields["cache-lease"] for number in range(3)]
        self.assertEqual(tokens[2], "taken")
        self.assertEqual(self.begin("GET", "/v1/keys/2", WAIT).status, 404)

    def test_so_many_wait_and_no_more(self) -> None:
        self.patch(keyvalue, "MOST_WAITING", 1)
        self.lease()
        self.assertEqual([self.begin("GET", "/v1/keys/a", WAIT).status for _ in range(2)], [0, 404])

    def test_what_cannot_be_read(self) -> None:
        for value in ("yes", '"token"', "request;for=x", "request, request"):
            answer = self.ask("GET", "/v1/keys/a", {"Cache-Lease": value})
            self.assertEqual((answer.status, answer.reason), (400, "bad-lease"), value)
        self.assertEqual(self.ask("HEAD", "/v1/keys/a", REQUEST).status, 400)

    def test_repr(self) -> None:
        self.lease()
        self.assertEqual(repr(self.service.leases), "<Leases 1>")
        self.assertEqual(repr(self.service.leases.of_key(b"a")), "<Lease of b'a' to 1010>")
        self.assertTrue(repr(self.service).endswith("1 leases, 0 waiting>"))
