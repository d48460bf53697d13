"""
The `deploy_app` in Twisted, with the kit's `AppServer`: ``twistd -n -y deploy_twisted.py``; it registers itself.

``DEPLOY_APP_PORT`` is what it listens on, ``SCALEKIT_BALANCER`` where it registers: empty, nowhere.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any, cast

from twisted.application.service import Application
from twisted.internet import reactor as global_reactor
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.websocket import WebSocketResource

from scalekit.config.urls import ListenURL
from scalekit.kit.client import make_client
from scalekit.kit.serving import app_server
from tests.scenarios.deploy_app import ANSWER, LINE_SECONDS, LINES, note

reactor = cast(Any, global_reactor)


class Pages(Resource):
    """All but the WebSocket."""

    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        request.setHeader(b"Content-Type", b"text/plain")
        if request.path != b"/slow":
            return ANSWER
        lines = iter(LINES)

        def go_on() -> None:
            line = next(lines, None)
            if line is None:
                writing.stop()
                request.finish()
            else:
                request.write(line)

        writing = LoopingCall(go_on)
        writing.start(LINE_SECONDS, now=False)
        # Who has gone is not written to any more; what else fails is in the log.
        request.notifyFinish().addErrback(lambda _: writing.stop())
        return NOT_DONE_YET

    def render_POST(self, request: Any) -> bytes:
        note(request.content.read())
        return ANSWER


class Echo:
    """A WebSocket, see `twisted.web.websocket.WebSocketProtocol`."""

    def negotiationStarted(self, transport: Any) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        """Nothing is said first."""

    def pongReceived(self, payload: bytes) -> None:
        """Nobody was pinged."""

    def textMessageReceived(self, message: str) -> None:
        self._transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._transport.sendBytesMessage(bytes(data))

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""


class Echoes:
    """Makes them."""

    def buildProtocol(self, request: Any) -> Echo:
        return Echo()


class Site(Resource):
    """``/ws`` and all else."""

    def getChild(self, path: bytes, request: Any) -> Resource:
        return WebSocketResource(Echoes()) if path == b"ws" else Pages()


application = Application("deploy")
app_server(
    Site(),
    [ListenURL("http", "127.0.0.1", int(os.environ["DEPLOY_APP_PORT"]))],
    client=make_client(reactor, None),
    reactor=reactor,
    wall=time.time,
    random=random.random,
    balancer=os.environ.get("SCALEKIT_BALANCER", ""),
).setServiceParent(application)
