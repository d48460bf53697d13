"""
Log entries of an application, sent to the log service without it ever waiting for that::

    import logging
    from scalekit.kit.logs import context, setup

    setup(source="blog")
    with context(request_id=request_id):
        logging.getLogger(__name__).info("three sold", extra={"article": 7})

`Handler` is for `logging` (``logging.config.dictConfig`` knows it by its name), `StructlogProcessor` for structlog,
`scalekit.kit.observer.observer` for `twisted.logger`; `open_logs` opens what they feed.

Here, as in a feature's ``tap``, the process' own clock and environment are taken: applications call it with nothing.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import re
import secrets
import sys
import time
import zlib
from collections.abc import Callable, MutableMapping
from typing import Any

from scalekit.interfaces import ILogSink
from scalekit.kit.context import context, current
from scalekit.kit.entries import SOURCE_LENGTH, TRACEBACK_LENGTH
from scalekit.kit.posting import Poster
from scalekit.kit.sender import LogSender, Posts, Surroundings
from scalekit.kit.sinks import Lines
from scalekit.kit.token_file import TokenFile
from scalekit.places import default_state_directory, local_ca

__all__ = ["Handler", "StructlogProcessor", "context", "open_logs", "open_sender", "setup"]

# What every record has; all else was given by ``extra``.
_RECORD_NAMES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# As many attributes are these and no others: whoever adds one takes none away.
_RECORD_LENGTH = len(vars(logging.makeLogRecord({})))
_LEVEL_NAMES = {
    **dict.fromkeys(("debug", "notset"), "DEBUG"),
    "info": "INFO",
    **dict.fromkeys(("warn", "warning"), "WARN"),
    **dict.fromkeys(("error", "exception", "err"), "ERROR"),
    **dict.fromkeys(("critical", "fatal", "panic"), "PANIC"),
}
_tracebacks = logging.Formatter()


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"scalekit: {text}\n")
    except (OSError, ValueError, AttributeError):  # it is closed, or there is none
        return


def open_logs(
    source: str = "", url: str = "", *, ca: str = "", token_file: str = "", spool: str = ""
) -> LogSender | Lines:
    """
    Where entries go: to the log service; without one, as lines of JSON to stderr.

    What is left out is taken from ``SCALEKIT_LOGS``, ``SCALEKIT_CA``, ``SCALEKIT_TOKEN_FILE`` and, for the source,
    ``SCALEKIT_SERVICE``.  When the process ends, what is left is sent for two seconds, then spooled.

    :param spool: the directory for what could not be sent; empty: ``spool`` in the state directory.
    :raises ConfigurationFault: the token file cannot be read, or holds none; `ValueError`: the URL is none.
    """
    environ = os.environ
    source = source or environ.get("SCALEKIT_SERVICE") or os.path.basename(sys.argv[0]) or "python"
    url = url or environ.get("SCALEKIT_LOGS", "")
    if not url:
        return Lines(source, lambda text: sys.stderr.write(text), time.time)
    state = default_state_directory(environ)
    token = TokenFile(token_file or environ.get("SCALEKIT_TOKEN_FILE", ""), None)
    token.headers()  # what is wrong with the file is told to whoever starts the application
    ca = ca or environ.get("SCALEKIT_CA") or local_ca(state, url)
    sender = open_sender(source, url, ca, token.headers, spool or os.path.join(state, "spool"), _say)
    atexit.register(sender.close)
    return sender


def open_sender(
    source: str,
    url: str,
    ca: str,
    headers: Callable[[], dict[str, str]],
    spool: str,
    tell: Callable[[str], None],
) -> LogSender:
    """
    The same from values; whoever asks for it closes it.

    :param headers: the fields that show a token, asked for at each request.
    :param spool: the directory for all sources of this machine and user.
    :param tell: (text) -> None: for the operator.
    """
    Poster(url, ca, headers, time.monotonic)  # a wrong URL is told here, not in a thread
    return open_sender_by(lambda: Poster(url, ca, headers, time.monotonic), source, spool, tell)


def open_sender_by(
    make_poster: Callable[[], Posts], source: str, spool: str, tell: Callable[[str], None] = _say
) -> LogSender:
    """
    The same by another way to the log service, such as `scalekit.kit.testing.MemoryCollector`.

    :param make_poster: () -> that way, once a process.
    """
    source = source[:SOURCE_LENGTH]
    surroundings = Surroundings(time.monotonic, time.time, random.random, lambda: secrets.token_hex(8), tell)
    return LogSender(source, make_poster, os.path.join(spool, _folder(source)), surroundings)


def setup(source: str = "", level: int | str = logging.INFO, url: str = "", **options: Any) -> Handler:
    """Have the root logger send all of this level and above; the parameters are those of `open_logs`."""
    handler = Handler(source, url, **options)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler


class Handler(logging.Handler):
    """
    For `logging`; the parameters are those of `open_logs`.

    An entry's fields are those of the `context`, those of ``extra``, the name of the ``logger`` and, of an exception,
    the ``traceback``.  Formatters have no part in it.

    :param sink: takes the entries; None: what `open_logs` opens.
    """

    def __init__(self, source: str = "", url: str = "", *, sink: ILogSink | None = None, **options: Any) -> None:
        super().__init__()
        self.sink: Any = open_logs(source, url, **options) if sink is None else sink

    def emit(self, record: logging.LogRecord) -> None:
        """Hand it over; what cannot be made an entry is told by `logging.Handler.handleError`."""
        try:
            fields = {**current(), "logger": record.name}
            given = record.__dict__
            if len(given) != _RECORD_LENGTH:
                fields.update((name, value) for name, value in given.items() if name not in _RECORD_NAMES)
            if record.exc_info or record.exc_text or record.stack_info:
                fields["traceback"] = _traceback(record)
            self.sink.log(_level(record.levelno), record.getMessage(), record.created, fields)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Send what is left for two seconds, then spool the rest."""
        super().close()
        if isinstance(self.sink, LogSender):
            self.sink.close()

    def __repr__(self) -> str:
        return f"<Handler to {self.sink!r}>"


class StructlogProcessor:
    """
    For structlog, before the renderer: sends each event, and hands it on as it is.

    :param sink: as of `Handler`.
    """

    def __init__(self, source: str = "", url: str = "", *, sink: ILogSink | None = None, **options: Any) -> None:
        self.sink: Any = open_logs(source, url, **options) if sink is None else sink

    def __call__(self, logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        fields: dict[str, Any] = {**current(), **event}
        text = str(fields.pop("event", ""))
        level = _LEVEL_NAMES.get(str(fields.pop("level", name)).lower(), "INFO")
        fields.pop("timestamp", None)  # of whatever form; the entry is made now
        exception = fields.pop("exc_info", None)
        if exception:
            fields["traceback"] = _exception_text(exception)
        elif "exception" in fields:
            fields["traceback"] = str(fields.pop("exception"))[-TRACEBACK_LENGTH:]
        self.sink.log(level, text, None, fields)
        return event


def _level(number: int) -> str:
    if number >= logging.WARNING:
        return "WARN" if number < logging.ERROR else "ERROR" if number < logging.CRITICAL else "PANIC"
    return "INFO" if number >= logging.INFO else "DEBUG"


def _traceback(record: logging.LogRecord) -> str:
    text = record.exc_text or (_exception_text(record.exc_info) if record.exc_info else "")
    return f"{text}\n{record.stack_info}".strip()[-TRACEBACK_LENGTH:] if record.stack_info else text[-TRACEBACK_LENGTH:]


def _exception_text(exception: Any) -> str:
    if isinstance(exception, BaseException):
        exception = (type(exception), exception, exception.__traceback__)
    elif not isinstance(exception, tuple):
        exception = sys.exc_info()
    return _tracebacks.formatException(exception)[-TRACEBACK_LENGTH:] if exception[0] else ""


def _folder(source: str) -> str:
    """A name for a source's directory; no two sources have the same."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", source)[:100].lstrip(".")
    return safe if safe == source else f"{safe}-{zlib.crc32(source.encode('utf-8', 'replace')):08x}"
