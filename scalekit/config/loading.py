"""
Configuration from the disk: read the file, find the state directory, make every path absolute.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from scalekit.config.decode import decode, keys_of
from scalekit.config.kinds import ACCESS_LOG, PATH
from scalekit.config.listeners import LISTENERS, PATHS, SYSLOG_LISTENERS
from scalekit.config.model import Config, Table
from scalekit.config.tokens import Tokens, parse_tokens
from scalekit.errors import ConfigurationFault
from scalekit.places import default_state_directory

T = TypeVar("T", bound=Table)

# A configuration of 1,000 services is under 200 KiB; whoever names a log file by mistake gets an answer, not a stall.
LARGEST_FILE = 4 * 1024 * 1024

#: How each file of SQLite 3 begins (its file format, section 1.3).
_SQLITE = b"SQLite format 3\0"

_TOML_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


def load(path: str | None, state_directory: str | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """
    Read a configuration, and make sure that its state directory is there.

    :param path: the TOML file; None: all defaults.
    :param state_directory: stands above the file's own ``state_directory``.
    :param environ: where STATE_DIRECTORY, XDG_STATE_HOME and HOME are looked up; None: in an empty environment.
    :raises ConfigurationFault: with the one line to show.
    """
    config = Config() if path is None else decode(_read_toml(path), path)
    base = os.path.dirname(os.path.abspath(path)) if path is not None else os.sep  # the defaults hold no relative path
    if state_directory:
        config = msgspec.structs.replace(config, state_directory=os.path.abspath(state_directory))
    elif not config.state_directory:
        config = msgspec.structs.replace(config, state_directory=default_state_directory(environ or {}))
    config = _with_absolute_paths(config, base)
    make_private_directory(config.state_directory, "state_directory")
    return with_default_places(config)


def make_private_directory(path: str, key: str) -> None:
    """
    Create a directory (mode 0700) with its parents, or see that it can be used.

    :param key: the configuration key to blame.
    :raises ConfigurationFault: it is no directory, or cannot be made, written or entered.
    """
    expected = "a directory that can be written to"
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError
    except OSError as why:
        reason = "a file in its place" if isinstance(why, FileExistsError) else (why.strerror or "no directory")
        raise ConfigurationFault(f"{key}: found {path} ({reason}), expected {expected}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationFault(f"{key}: found {path} (Permission denied), expected {expected}")


def check_directory(path: str, key: str) -> None:
    """
    See that a directory can be used, or made; nothing is made.

    :raises ConfigurationFault: as `make_private_directory`.
    """
    place = path
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigurationFault(f"{key}: found {path}, expected a directory that can be written to")


def check_database(path: str, key: str) -> None:
    """
    See that an SQLite database can be used, or made in its directory; nothing is made, or changed.

    :raises ConfigurationFault: there is something else, or no directory to make it in.
    """
    expected = "an SQLite database that can be written to"
    try:
        with open(path, "r+b") as file:
            found = "" if file.read(len(_SQLITE)) in (b"", _SQLITE) else "something else"
    except FileNotFoundError:
        # Besides the state directory none is made for it.
        place = os.path.dirname(path)
        if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
            found, expected = "nothing there", f"{expected}, or a directory to make it in"
        else:
            found = ""
    except OSError as why:
        found = why.strerror or "it cannot be opened"
    if found:
        raise ConfigurationFault(f"{key}: found {path} ({found}), expected {expected}")


def with_default_places(config: Config) -> Config:
    """The configuration with the empty paths filled in that have a default place in the state directory."""
    replace = msgspec.structs.replace
    place = config.state_directory
    return replace(
        config,
        balancer=replace(config.balancer, access_log=config.balancer.access_log or os.path.join(place, "access.log")),
        logs=replace(config.logs, directory=config.logs.directory or os.path.join(place, "logs")),
        data=replace(config.data, database=config.data.database or os.path.join(place, "blog.sqlite3")),
    )


def load_tokens(path: str, key: str) -> Tokens | None:
    """
    Read a token file; None when there is none (an empty path).

    :param key: the configuration key to blame, such as ``cache.token_file``.
    :raises ConfigurationFault: it cannot be read, or a line is wrong.
    """
    if not path:
        return None
    return parse_tokens(_read_text(path, f"{key}: found {path}"), path)


def load_password(path: str, key: str) -> str:
    """
    The first line of a password file; empty when there is none (an empty path).

    :param key: the configuration key to blame, such as ``redis.password_file``.
    :raises ConfigurationFault: it cannot be read, or has no first line.
    """
    if not path:
        return ""
    blame = f"{key}: found {path}"
    password = _read_text(path, blame).partition("\n")[0].strip()
    if not password:
        raise ConfigurationFault(f"{blame}: an empty first line, expected a password")
    return password


def _read_toml(path: str) -> dict[str, Any]:
    text = _read_text(path, path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        # Python 3.14 has attributes for this; until then the position stands at the end of the message.
        message = str(why)
        position = _TOML_POSITION.search(message)
        line = position[1] if position and position[1] else str(text.count("\n") + 1)
        column = f" at column {position[2]}" if position and position[2] else ""
        what = _TOML_POSITION.sub("", message).replace("\n", " ")
        raise ConfigurationFault(f"{path}: line {line}: {what}{column}") from None
    except RecursionError:
        raise ConfigurationFault(f"{path}: found lists nested too deeply, expected a configuration") from None


def _read_text(path: str, blame: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as why:
        raise ConfigurationFault(f"{blame}: cannot be read: {why.strerror or why}") from None
    except ValueError:  # a NUL in the path
        raise ConfigurationFault(f"{blame!r}: cannot be read: it is no path") from None
    if len(raw) > LARGEST_FILE:
        raise ConfigurationFault(f"{blame}: cannot be read: over {LARGEST_FILE} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as why:
        line = raw.count(b"\n", 0, why.start) + 1
        raise ConfigurationFault(f"{blame}: line {line}: found a byte that is not UTF-8") from None


def _with_absolute_paths(table: T, base: str) -> T:
    """Relative paths in a file mean: beside that file; a daemon may change its working directory."""
    changed: dict[str, Any] = {}
    for name, kind in keys_of(type(table)).items():
        value = getattr(table, name)
        if isinstance(value, Table):
            changed[name] = _with_absolute_paths(value, base)
        elif isinstance(kind, tuple):
            changed[name] = tuple(_with_absolute_paths(item, base) for item in value)
        elif kind is LISTENERS or kind is SYSLOG_LISTENERS:
            changed[name] = tuple(
                msgspec.structs.replace(
                    each, **{key: _absolute(getattr(each, key), base) for key in PATHS if getattr(each, key)}
                )
                for each in value
            )
        elif value and (kind is PATH or (kind is ACCESS_LOG and value != "-")):
            changed[name] = _absolute(value, base)
    return msgspec.structs.replace(table, **changed)


def _absolute(path: str, base: str) -> str:
    return os.path.normpath(os.path.join(base, path))
