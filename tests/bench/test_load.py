"""wrk's report becomes numbers."""

from twisted.trial.unittest import SynchronousTestCase

from bench.load import Load, LoadFault, parse_wrk

REPORT = """Running 3s test @ http://127.0.0.1:9011/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   567.11us  310.20us   9.34ms   91.67%
    Req/Sec    56.63k     4.39k   62.72k    80.00%
  Latency Distribution
     50%  498.00us
     75%  634.00us
     90%    0.86ms
     99%    1.71ms
  169033 requests in 3.00s, 41.43MB read
Requests/sec:  56339.46
Transfer/sec:     13.81MB
"""


class ParseTests(SynchronousTestCase):
    def test_good_run(self) -> None:
        self.assertEqual(parse_wrk(REPORT), Load(169033, 56339.46, 498.0, 1710.0, 0, 0))

    def test_long_latencies(self) -> None:
        load = parse_wrk(REPORT.replace("498.00us", "1.20s ").replace("1.71ms", "0.02m"))
        self.assertEqual((load.median_us, load.p99_us), (1.2e6, 1.2e6))

    def test_what_went_wrong_is_counted(self) -> None:
        load = parse_wrk(
            REPORT.replace(
                "Requests/sec",
                "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 17\nRequests/sec",
            )
        )
        self.assertEqual((load.bad_answers, load.socket_errors), (17, 10))

    def test_no_report(self) -> None:
        for text in ("", "unable to connect to 127.0.0.1:1 Connection refused\n", REPORT.replace("99%", "98%")):
            self.assertRaises(LoadFault, parse_wrk, text)
