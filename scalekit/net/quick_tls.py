"""
`QuickConnection`: pyOpenSSL's connection with less around each read and write.

pyOpenSSL allocates a buffer for every read and opens a context manager for every write, which is a tenth of what a
proxied request costs; OpenSSL's own part is unchanged, and so is what each failure is raised as.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

#: The most that one record holds (RFC 8446 section 5.1): what one read takes.
RECORD_BYTES = 16 * 1024

_ffi = Binding.ffi
_read, _write, _from_buffer = Binding.lib.SSL_read, Binding.lib.SSL_write, _ffi.from_buffer
_error, _WANT_READ = Binding.lib.SSL_get_error, Binding.lib.SSL_ERROR_WANT_READ
# One for all connections: what has been read is copied out before anybody else reads, as there is one reactor.
_space = _ffi.new("char[]", RECORD_BYTES)
_view = _ffi.buffer(_space)


class QuickConnection(SSL.Connection):
    """To be used in the reactor's thread only."""

    def recv(self, bufsiz: int = RECORD_BYTES, flags: int | None = None) -> bytes:
        """
        What one record holds, at most ``bufsiz`` and `RECORD_BYTES`.

        :param flags: none are known here.
        """
        size = _read(self._ssl, _space, min(bufsiz, RECORD_BYTES))
        if size > 0:
            data: bytes = _view[:size]
            return data
        self._raise_ssl_error(self._ssl, size)
        raise SSL.ZeroReturnError

    def more(self) -> bytes:
        """The next record's, like `recv`; nothing if it is not there yet, which mostly it is not."""
        size = _read(self._ssl, _space, RECORD_BYTES)
        if size > 0:
            data: bytes = _view[:size]
            return data
        if _error(self._ssl, size) == _WANT_READ:
            return b""
        self._raise_ssl_error(self._ssl, size)
        raise SSL.ZeroReturnError

    def send(self, buf: Any, flags: int = 0) -> int:
        """
        Encrypt and send what fits into one record; how many bytes that were.

        :param buf: bytes, or a view of bytes that is not empty.
        """
        size: int = _write(self._ssl, buf if type(buf) is bytes else _from_buffer(buf), len(buf))
        if size <= 0:
            self._raise_ssl_error(self._ssl, size)
        return size
