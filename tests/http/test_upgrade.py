from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import UpstreamFault
from scalekit.http.grammar import FIELDS
from scalekit.http.heads import Fields, RequestHead, ResponseHead
from scalekit.http.upgrade import Handshake, accept_of, handshake_fields, handshake_of, made_key

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(
    *keys: bytes, method: bytes = b"GET", version: int = 11, upgrade: bytes = b"websocket", hop: tuple[bytes, ...] = ()
) -> RequestHead:
    fields = [(b"Sec-WebSocket-Key", key) for key in keys]
    return RequestHead(method, b"/", fields, version=version, hop=frozenset((b"upgrade", *hop)), upgrade=upgrade)


def switching(*fields: tuple[bytes, bytes], upgrade: bytes = b"websocket") -> ResponseHead:
    head = ResponseHead(101, list(fields))
    head.upgrade = upgrade
    return head


class HandshakeTests(SynchronousTestCase):
    def test_the_example_of_the_rfc(self) -> None:
        """RFC 6455 section 1.3."""
        self.assertEqual(accept_of(KEY), ACCEPT)

    def test_what_is_one(self) -> None:
        handshake = handshake_of(request(KEY), b"id")
        assert handshake is not None
        self.assertEqual(handshake.lines, b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        handshake.check(switching((b"sec-websocket-accept", ACCEPT)))

    def test_what_is_none(self) -> None:
        for head in (
            request(),
            request(KEY, KEY),
            request(KEY[1:]),
            request(KEY + b"x"),
            request(KEY.replace(b"d", b"!")),
            request(KEY, method=b"POST"),
            request(KEY, upgrade=b""),
            request(KEY, upgrade=b"h2c"),
            request(KEY, upgrade=b"websocket/13"),
            request(KEY, hop=(b"sec-websocket-key",)),
            request(b"", version=20),
        ):
            self.assertIsNone(handshake_of(head, b"id"))

    def test_over_http_2_the_key_is_ours(self) -> None:
        handshake = handshake_of(request(version=20), b"id")
        assert handshake is not None
        key = made_key(b"id")
        self.assertTrue(handshake.lines.endswith(b"Sec-WebSocket-Key: %b\r\n" % key))
        handshake.check(switching((b"Sec-WebSocket-Accept", accept_of(key))))

    def test_what_agrees_to_something_else(self) -> None:
        handshake = Handshake(KEY)
        right = (b"Sec-WebSocket-Accept", ACCEPT)
        for head in (
            switching(),
            switching((b"Sec-WebSocket-Accept", ACCEPT.lower())),
            switching(right, right),
            switching(right, upgrade=b"h2c"),
            switching(right, upgrade=b""),
        ):
            fault = self.assertRaises(UpstreamFault, handshake.check, head)
            self.assertEqual((fault.status, fault.reason), (502, "malformed-answer"))

    @given(st.binary(max_size=40))
    def test_every_made_key_is_one(self, request_id: bytes) -> None:
        key = made_key(request_id)
        self.assertIsNotNone(handshake_of(request(key), b""))
        handshake = handshake_of(request(version=20), request_id)
        assert handshake is not None
        self.assertEqual(FIELDS.findall(handshake.lines)[-1], (b"Sec-WebSocket-Key", key))

    def test_the_fields_that_http_2_lacks(self) -> None:
        def names(head: RequestHead) -> list[bytes]:
            return [name for name, _ in handshake_fields(head, b"id")]

        self.assertEqual(names(request(version=20)), [b"Connection", b"Upgrade", b"Sec-WebSocket-Key"])
        self.assertEqual(names(request(KEY, version=20)), [b"Connection", b"Upgrade"])
        nothing: list[Fields] = [[], []]
        self.assertEqual(
            [handshake_fields(request(KEY), b"id"), handshake_fields(request(version=20, upgrade=b""), b"id")], nothing
        )
