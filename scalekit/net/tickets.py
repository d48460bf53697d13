"""
The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1), and their rotation.

OpenSSL makes the keys of a context at random, and pyOpenSSL can neither set nor read them.  So a key is a context: new
connections begin in the `current` one, and one whose ClientHello brings a ticket of the `former` one begins there.
Which one that is tells the name of the key, 16 random bytes at the beginning of every ticket: wherever they stand in
the ClientHello, the ticket is meant, and a client that puts them elsewhere gets nothing but its ticket refused.

What holds: a ticket resumes a session for `contexts.SESSION_SECONDS`, until the rotation after the next at the
longest.  A resumed session that is given a new ticket gets one of the same key, which ends with that key.
"""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL

#: What of a ClientHello is looked at: a whole record (RFC 8446 section 5.1), its head included.
HELLO_BYTES = 5 + 16 * 1024

_NAME_BYTES = 16


class TicketContexts:
    """
    :param make: makes a context, and with it a key.
    :ivar current: for new sessions.
    :ivar former: for sessions that began before the last rotation; None without one.
    """

    def __init__(self, make: Callable[[], SSL.Context]) -> None:
        self._make = make
        self.current = make()
        self.former: SSL.Context | None = None
        self._former_name = b""

    def rotate(self, certified: SSL.Context) -> None:
        """
        Begin with a new key; the present one stays for the sessions that have it.

        :param certified: any context with a certificate.
        """
        name = key_name(self.current, certified)
        self.former, self._former_name = (self.current, name) if name else (None, b"")
        self.current = self._make()

    def context_for(self, hello: bytes) -> SSL.Context:
        """
        What a connection begins in.

        :param hello: the first record of the client; may be empty where there is no `former` one.
        """
        if self.former is not None and self._former_name in hello:
            return self.former
        return self.current


def key_name(context: SSL.Context, certified: SSL.Context) -> bytes:
    """
    The name of the key with which a context seals tickets, found out by a handshake in memory, which takes a
    millisecond; empty if there are no tickets.
    """
    server = SSL.Connection(context)
    server.set_context(certified)
    server.set_verify(SSL.VERIFY_NONE)
    server.set_accept_state()
    theirs = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # TLS 1.2 sends the ticket in clear, at the beginning of the server's second flight.
    theirs.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(theirs)
    client.set_connect_state()
    flight = b""
    for one, other in ((client, server), (server, client)) * 2:
        try:
            one.do_handshake()
        except SSL.WantReadError:
            pass
        flight = one.bio_read(1 << 16)
        other.bio_write(flight)
    # A record's head, 5 bytes, the message's, 4, the lifetime, 4, and the length of the ticket, 2 (RFC 5077, 3.3).
    is_ticket = flight[:1] == b"\x16" and flight[5:6] == b"\x04"
    return flight[15 : 15 + _NAME_BYTES] if is_ticket else b""
