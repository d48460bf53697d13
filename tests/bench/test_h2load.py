"""h2load's report and its file of requests become numbers."""

from twisted.trial.unittest import SynchronousTestCase

from bench.h2load import parse_log, parse_report
from bench.load import LoadFault

REPORT = """Main benchmark duration is started for thread #0.
TLS Protocol: TLSv1.3
Cipher: TLS_AES_256_GCM_SHA384
Server Temp Key: X25519 253 bits
Application protocol: h2
Stopped all clients for thread #0

finished in 1.00s, 4152.00 req/s, 725.88KB/s
requests: 4152 total, 4156 started, 4152 done, 4149 succeeded, 3 failed, 2 errored, 1 timeout
status codes: 4140 2xx, 9 3xx, 2 4xx, 1 5xx
traffic: 725.88KB (743306) total, 206.79KB (211752) headers (space savings 49.00%), 446.02KB (456720) data
                     min         max         mean         sd        +/- sd
time for request:       93us     17.91ms       919us      1.73ms    90.97%
"""


class ReportTests(SynchronousTestCase):
    def test_what_was_answered_and_what_was_not(self) -> None:
        self.assertEqual(parse_report(REPORT), (4152, 4152.0, 3, 3))

    def test_no_report(self) -> None:
        for text in ("", REPORT.replace("finished", "ended"), REPORT.replace("2xx", "ok")):
            self.assertRaises(LoadFault, parse_report, text)

    def test_another_protocol(self) -> None:
        fault = self.assertRaises(LoadFault, parse_report, REPORT.replace("protocol: h2", "protocol: http/1.1"))
        self.assertIn("does not speak HTTP/2", str(fault))


class LogTests(SynchronousTestCase):
    def test_median_and_99th(self) -> None:
        lines = [f"1795441558874936\t200\t{microseconds}\n" for microseconds in range(200, 0, -1)]
        self.assertEqual(parse_log("".join(lines)), (101.0, 199.0))

    def test_empty(self) -> None:
        self.assertRaises(LoadFault, parse_log, "")
