"""
App servers that are killed, that hang and that leave, under load.

The app servers under load are the standard library's: they know nothing of the balancer, which finds out by itself.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.scenarios.daemons import Balancer, ScenarioCase, ask
from tests.scenarios.running import PATIENCE_SECONDS, is_listening, until

CLIENTS = 8
#: No request may take longer, whatever happens to an app server: far above the second that the balancer waits here, for
#: machines that do much else.
MOST_SECONDS = 10.0


class Load:
    """
    Clients that ask without a pause, each on a connection that it keeps: a context manager.

    Each request has a path of its own, by which the balancer's access log tells what became of it.

    :ivar answers: ``(status, whose, began, seconds)`` of each request; 0 and the exception where there was none.
    :ivar failed: the paths of those that got no whole answer with 200.
    """

    def __init__(self, balancer: Balancer) -> None:
        self._port = balancer.clear
        self._is_over = False
        self.answers: list[tuple[int, str, float, float]] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def _ask(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        for number in itertools.count():
            if self._is_over:
                break
            path = f"/load/{client}/{number}"
            began = time.monotonic()
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                whose = answer.read().decode().split(" ")[0]
                status = answer.status
            except (OSError, http.client.HTTPException) as why:
                status, whose = 0, repr(why)
                connection.close()
            if status != 200:
                self.failed.append(path)
            self.answers.append((status, whose, began, time.monotonic() - began))
            time.sleep(0.005)  # both cores are for the servers
        connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def since(self, moment: float) -> set[str]:
        """Whose answers the requests got that began after this moment."""
        return {whose for _, whose, began, _ in list(self.answers) if began > moment}


def hold(balancer: Balancer, port: int, threads: ThreadPoolExecutor) -> Future[tuple[int, bytes]]:
    """A request that is in flight at a `stock_app` until `release`."""
    held = threads.submit(ask, balancer.url("/hold", False))
    until(lambda: balancer.instances()[port]["in_flight"], "the request is on its way")
    return held


def release(port: int) -> None:
    """Let it be answered."""
    ask(f"http://127.0.0.1:{port}/release")


class KilledTests(ScenarioCase):
    """SIGKILL, and a new start."""

    def test_killed_under_load_and_back(self) -> None:
        balancer = self.start_balancer()  # all by default, but for how often it asks
        (first, _), (second, process) = self.start_stock_app(), self.start_stock_app()
        balancer.register(first)
        balancer.register(second)
        balancer.await_up(first, second)
        both = {str(first), str(second)}
        with Load(balancer) as load:
            # Retries are earned: five requests for each.
            until(lambda: load.since(0) == both and len(load.answers) > 200, "both app servers answer")
            for registers_again in (False, True):  # not one lucky moment only
                process.kill()
                process.wait()
                balancer.await_states({second: "down"})
                self.assertEqual(balancer.instances()[second]["reason"].split(":")[0], "3 probes failed")
                down = time.monotonic()
                until(lambda moment=down: load.since(moment), "there are answers")  # type: ignore[misc]
                self.assertEqual(load.since(down), {str(first)})
                _, process = self.start_stock_app(second)
                if registers_again:  # which spares it the seconds until somebody looks
                    balancer.register(second)
                balancer.await_back(second)
                back = time.monotonic()
                until(lambda moment=back: load.since(moment) == both, "both answer again")  # type: ignore[misc]
            until(lambda: len(load.answers) > 1000, "many have asked")
        # Only an answer that had begun when its app server was killed cannot be made whole: it is in the log with the
        # status that the client had been told, and why it was cut.  Every other request got its 200.
        until(lambda: len(balancer.access_log()) >= len(load.answers), "the access log has all")
        lines = {line["target"]: line for line in balancer.access_log()}
        self.assertEqual(
            {path for path, line in lines.items() if line["status"] != 200 or line["reason"]}, set(load.failed)
        )
        self.assertEqual({lines[path]["status"] for path in load.failed} - {200}, set())
        self.assertLess(len(load.failed), CLIENTS, "more than what can have been on its way at one moment")
        self.assertTrue([line for line in lines.values() if line["attempts"] > 1], "nothing was tried elsewhere")
        self.assertLess(max(seconds for *_, seconds in load.answers), MOST_SECONDS)
        log = balancer.stdout
        # Refused connects may have taken it out before the probes did.
        self.assertEqual(len(re.findall(rf"127.0.0.1:{second} \w+ -> down: 3 probes failed", log)), 2)
        risen = re.findall(rf"127.0.0.1:{second} (\w+) -> (?:warming|up): 2 probes passed", log)
        self.assertEqual((len(risen), risen[:2]), (3, ["joining", "down"]))
        self.assertNotIn("Traceback", log)

    def test_killed_after_few_requests(self) -> None:
        """What is in flight is asked for elsewhere, though hardly any retries have been earned: nobody is lost."""
        balancer = self.start_balancer()
        (first, _), (second, process) = self.start_stock_app(), self.start_stock_app()
        balancer.register(second)
        balancer.await_up(second)
        with ThreadPoolExecutor(CLIENTS) as threads:
            held = [threads.submit(ask, balancer.url("/hold", False)) for _ in range(CLIENTS)]
            until(lambda: balancer.instances()[second]["in_flight"] == CLIENTS, "all are on their way")
            balancer.register(first)
            balancer.await_up(first)
            process.kill()
            release(first)
            self.assertEqual({one.result(PATIENCE_SECONDS) for one in held}, {(200, f"{first} /hold\n".encode())})

    def test_posts_are_not_sent_twice_and_nobody_is_left(self) -> None:
        """What was sent and may have been done is answered with a fault, and not tried elsewhere."""
        balancer = self.start_balancer()
        status, body = ask(balancer.url("/", False))
        self.assertEqual((status, json.loads(body)["reason"]), (503, "no-app-servers"))
        self.assertIn("No app servers found", body.decode())
        (first, process), (second, other) = self.start_stock_app(), self.start_stock_app()
        balancer.register(first)
        balancer.await_up(first)
        with ThreadPoolExecutor() as threads:
            posted = threads.submit(ask, balancer.url("/?pause=20", False), "POST", body=b"x" * 2_000_000)
            until(lambda: balancer.instances()[first]["in_flight"], "the request is on its way")
            balancer.register(second)
            balancer.await_up(second)
            process.kill()
            status, body = posted.result(PATIENCE_SECONDS)
        self.assertEqual((status, json.loads(body)["reason"]), (502, "connection-closed"))
        # The next ones go where somebody is, without a fault: a refused connection has taken nothing.
        for _ in range(4):
            status, body = ask(balancer.url("/", False), "POST", body=b"a=1")
            self.assertEqual((status, json.loads(body)["size"]), (200, 3))
        self.assertEqual(ask(f"{balancer.private_url}/unregister?port={first}", "POST")[0], 200)
        other.kill()
        other.wait()
        status, body = ask(balancer.url("/", False))
        self.assertEqual((status, json.loads(body)["reason"]), (502, "connect-refused"))


class HangingTests(ScenarioCase):
    """SIGSTOP: connections are still accepted, by the kernel, and nothing is answered."""

    def test_stopped_and_continued(self) -> None:
        balancer = self.start_balancer(
            timeouts='first_byte = "1s"\nread = "1s"\nconnect = "1s"',
            health='interval = "200ms"\ntimeout = "500ms"',
        )
        (first, _), (second, process) = self.start_stock_app(), self.start_stock_app()
        balancer.register(first)
        place = f"{balancer.private_url}/v1/services/default/instances/hung"
        said = {"generation": 1, "port": second, "scheme": "http", "ttl": 300}
        self.assertEqual(ask(place, "PUT", body=json.dumps(said).encode())[0], 201)
        balancer.await_up(first, second)
        with Load(balancer) as load:
            until(lambda: load.since(0) == {str(first), str(second)}, "both app servers answer")
            process.send_signal(signal.SIGSTOP)
            balancer.await_states({second: "down"})
            down = time.monotonic()
            until(lambda: load.since(down), "those who waited for it ask the other one")
            self.assertEqual(load.since(down), {str(first)})
            process.send_signal(signal.SIGCONT)
            # As it would itself, now that it goes on: it is looked at without waiting for the next probe.
            self.assertEqual(ask(f"{place}/renew", "POST")[0], 200)
            balancer.await_back(second)
        self.assertTrue(load.failed, "nobody was waiting when it stopped")
        self.assertLess(max(seconds for *_, seconds in load.answers), MOST_SECONDS)
        until(lambda: len(balancer.access_log()) >= len(load.answers), "the access log has all")
        lines = {line["target"]: line for line in balancer.access_log()}
        self.assertEqual({path for path, line in lines.items() if line["reason"]}, set(load.failed))
        told = [(lines[path]["status"], lines[path]["reason"], lines[path]["attempts"]) for path in load.failed]
        # Whether it was done is not known: a request that was sent is not sent again.  And an answer may have begun.
        self.assertLessEqual(set(told), {(504, "answer-timeout", 1), (200, "answer-stalled", 1)})

    def test_waiting_has_an_end(self) -> None:
        balancer = self.start_balancer(timeouts='read = "1s"', drain='deadline = "1s"')
        port, process = self.start_stock_app()
        balancer.register(port)
        balancer.await_up(port)
        # In the middle of an answer the client sees that it is cut: the connection ends before the length is reached.
        answers = []
        for framing in ("length", "chunked"):
            connection = http.client.HTTPConnection("127.0.0.1", balancer.clear, timeout=PATIENCE_SECONDS)
            self.addCleanup(connection.close)
            connection.request("GET", f"/bytes?size=100000000&framing={framing}")
            answers.append(connection.getresponse())
            answers[-1].read(1_000_000)
        process.send_signal(signal.SIGSTOP)
        try:
            for answer in answers:
                self.assertRaises((http.client.IncompleteRead, ConnectionError), answer.read)
        finally:
            process.send_signal(signal.SIGCONT)
        balancer.await_up(port)

        def reasons() -> list[Any]:
            return [line["reason"] for line in balancer.access_log()]

        until(lambda: reasons() == ["answer-stalled"] * 2, f"told in the access log: {reasons()}")
        # Of one that is drained nobody waits longer than he wants, and draining itself has a deadline.
        with ThreadPoolExecutor() as threads:
            slow = hold(balancer, port, threads)
            began = time.monotonic()
            status, body = ask(f"{balancer.private_url}/unregister?port={port}&wait=0.2", "POST")
            self.assertEqual((status, json.loads(body)["in_flight"]), (200, 1))
            self.assertLess(time.monotonic() - began, MOST_SECONDS)
            until(lambda: port not in balancer.states(), "gone at the deadline of draining")
            release(port)
            slow.result(PATIENCE_SECONDS)


class LeavingTests(ScenarioCase):
    """`/unregister` and SIGTERM."""

    def test_what_is_in_flight_finishes(self) -> None:
        """When an app server leaves, and when the balancer ends."""
        balancer = self.start_balancer()
        (first, _), (second, _) = self.start_stock_app(), self.start_stock_app()
        balancer.register(first)
        balancer.await_up(first)
        with ThreadPoolExecutor() as threads:
            slow = hold(balancer, first, threads)
            balancer.register(second)
            balancer.await_up(second)
            left = threads.submit(ask, f"{balancer.private_url}/unregister?port={first}&wait=20", "POST")
            balancer.await_states({first: "draining"})
            answers = {ask(balancer.url("/x", False)) for _ in range(10)}
            self.assertEqual(answers, {(200, f"{second} /x\n".encode())})
            self.assertFalse(left.done())
            release(first)
            status, body = slow.result(PATIENCE_SECONDS)
            self.assertEqual((status, body), (200, f"{first} /hold\n".encode()))
            status, body = left.result(PATIENCE_SECONDS)
            self.assertEqual((status, json.loads(body)["in_flight"]), (200, 0))
            self.assertNotIn(first, balancer.states())
            slow = hold(balancer, second, threads)
            balancer.send(signal.SIGINT)  # as SIGTERM, which first lets a load balancer above see it for 5 s
            until(lambda: not is_listening(balancer.clear), "the balancer ends")
            release(second)
            self.assertEqual(slow.result(PATIENCE_SECONDS), (200, f"{second} /hold\n".encode()))
        self.assertEqual(balancer.wait(), 0)
        self.assertNotIn("Traceback", balancer.stdout)

    def test_the_kit_leaves_under_load_without_a_fault(self) -> None:
        balancer = self.start_balancer()
        first, _ = self.start_kit_app(balancer, scheme="https", is_awaited=False)
        second, process = self.start_kit_app(balancer, scheme="https", is_awaited=False)
        balancer.await_up(first, second)
        with Load(balancer) as load:
            for _ in range(2):
                until(lambda: load.since(time.monotonic() - 1) == {str(first), str(second)}, "both answer")
                process.terminate()
                self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
                self.assertNotIn(second, balancer.states())
                _, process = self.start_kit_app(balancer, second, "https")
                balancer.await_back(second)
        self.assertEqual([answer for answer in load.answers if answer[0] != 200], [])
        self.assertLess(max(seconds for *_, seconds in load.answers), MOST_SECONDS)
