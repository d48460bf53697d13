"""Listening on a socket file."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from scalekit.net.ports import Admission, Port

#: Owner and group: who may talk to a private socket file.
SOCKET_MODE = 0o660


class UnixPort(Port):
    """A unix socket, in clear; its file is made for owner and group, and removed at the end."""

    addressFamily = socket.AF_UNIX

    def __init__(self, path: str, factory: Any, reactor: Any, admission: Admission) -> None:
        super().__init__(0, factory, "", reactor, admission)
        self.path = path

    def startListening(self) -> None:
        """
        :raises CannotListenError: the file cannot be made, or another process listens on it.
        """
        try:
            sock = self._bound()
        except OSError as why:
            raise CannotListenError(None, self.path, why) from None
        self._listen_on(sock)

    def _bind(self, sock: socket.socket) -> None:
        remove_stale_socket(self.path)
        # So that the file never stands open to all, not even between bind and chmod.
        mask = os.umask(0o777 & ~SOCKET_MODE)
        try:
            sock.bind(self.path)
        finally:
            os.umask(mask)

    def connectionLost(self, reason: Failure) -> None:
        try:
            os.unlink(self.path)
        except OSError:
            pass
        super().connectionLost(reason)

    def __repr__(self) -> str:
        return f"<UnixPort {self.path}>"


def remove_stale_socket(path: str) -> None:
    """
    Remove the socket file of a process that has died.

    :raises OSError: EADDRINUSE, somebody listens on it, or it is another kind of file.
    """
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if is_socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)
                return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
