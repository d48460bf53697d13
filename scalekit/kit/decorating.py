"""
`cached`: a function whose results are kept in the cache service, and made by one caller at a time.

::

    cache = kit.open_cache()

    @kit.cached(cache, max_age=60, tags=["posts"])
    def newest(count):
        return database.query(...)

    cache.purge(tags=["posts"])             # after a change

However many ask for it at once, in however many processes and on however many machines, one of them makes it: see
`scalekit.kit.lookup`.  A cache that is away costs a look of 50 ms at most, and after five of them nothing.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from scalekit.kit.cache_requests import Times
from scalekit.kit.lookup import Build, Built, Command, Finding, GiveBack, Keep, Look, finding
from scalekit.kit.thread_cache import Cache

# The cache takes 1,024 bytes; of a key that is longer its digest is taken.
LONGEST_KEY_BYTES = 1000
_SURROGATE = re.compile("[\ud800-\udfff]")

_Function = TypeVar("_Function", bound=Callable[..., Any])


def cached(
    cache: Any,
    *,
    max_age: float,
    while_revalidating: float = 0,
    if_error: float = 0,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    key: Callable[..., str] | None = None,
    type: Any = Any,
    encode: Callable[[Any], bytes] | None = None,
    decode: Callable[[bytes], Any] | None = None,
    lease_seconds: int = 10,
    wait_seconds: int = 10,
) -> Callable[[_Function], _Function]:
    """
    Keep what a function returns.

    :param cache: a `scalekit.kit.cache.AsyncCache` for a function that is ``async`` (Twisted's), else a `Cache`.
    :param max_age: seconds, as the others, see `Times`.
    :param tags: of each value, or called with the function's arguments.
    :param key: called with the function's arguments; else made of its name and its arguments as JSON.
    :param type: what the result is, for decoding it from JSON.
    :param encode: makes bytes of a result, and ``decode`` the result of bytes (or raises ValueError); never pickle.
        Without them it is JSON, by msgspec.
    :param lease_seconds: how long making it takes at most: then somebody else may try.
    :param wait_seconds: how long to wait while somebody else makes it; then it is made here as well.
    :raises TypeError: the cache is of the other kind; or, from the call, the arguments are no JSON and there is no key.
    """
    kept = _Kept(
        Times(max_age, while_revalidating, if_error),
        tags if callable(tags) else functools.partial(_always, list(tags)),
        encode or _json_encode(),
        decode or _json_decode(type),
        functools.partial(
            finding, lease_seconds=lease_seconds, wait_seconds=wait_seconds, is_error_covered=if_error > 0
        ),
    )

    def decorate(function: _Function) -> _Function:
        name = f"{function.__module__}.{function.__qualname__}"
        is_async = inspect.iscoroutinefunction(function)
        if is_async is isinstance(cache, Cache):
            expected = "an AsyncCache, as it is async" if is_async else "a Cache, as it is not async"
            raise TypeError(f"{name}: found {cache!r}, expected {expected}")
        key_of = functools.partial(_usual_key, name) if key is None else key
        wrapped: Any = (_async if is_async else _sync)(cache, function, kept, key_of)
        wrapped.key_of = key_of
        return cast(_Function, functools.wraps(function)(wrapped))

    return decorate


class _Kept:
    """How the values of one function are kept."""

    def __init__(
        self,
        times: Times,
        tags_of: Callable[..., Iterable[str]],
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        find: Callable[[str], Finding],
    ) -> None:
        self._times = times
        self.tags_of = tags_of
        self._encode = encode
        self.decode = decode
        self.find = find

    def put(self, cache: Any, keep: Keep, tags: Iterable[str]) -> Any:
        """Begin to store it, or do it, as the cache does."""
        max_age, while_revalidating, if_error = self._times
        return cache.put(
            keep.key,
            self._encode(keep.built.value),
            max_age,
            tags=list(tags),
            while_revalidating=while_revalidating,
            if_error=if_error,
            lease=keep.lease,
        )


class _Search:
    """
    A value being looked for, step by step.

    :ivar command: what is to be done next.
    :ivar found: the value, once nothing is; None before.
    """

    def __init__(self, steps: Finding) -> None:
        self._steps = steps
        self.command: Command = next(steps)
        self.found: bytes | Built | None = None

    def came(self, what: Any) -> None:
        """That is done."""
        self._go_on(self._steps.send, what)

    def failed(self, why: Exception) -> None:
        """That has failed; raises it, unless there is something else to be done."""
        self._go_on(self._steps.throw, why)

    def _go_on(self, step: Callable[[Any], Any], what: Any) -> None:
        try:
            self.command = step(what)
        except StopIteration as end:
            self.found = end.value


def _sync(cache: Cache, function: Callable[..., Any], kept: _Kept, key_of: Callable[..., str]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        key = key_of(*args, **kwargs)

        def found() -> bytes | Built:
            search = _Search(kept.find(key))
            while search.found is None:
                command = search.command
                try:
                    if isinstance(command, Look):
                        came: Any = cache.look(command)
                    elif isinstance(command, Build):
                        came = Built(function(*args, **kwargs))
                    elif isinstance(command, GiveBack):
                        came = cache.give_back(command.lease)
                    else:
                        came = kept.put(cache, command, kept.tags_of(*args, **kwargs))
                except Exception as why:
                    search.failed(why)
                else:
                    search.came(came)
            return search.found

        value = found()
        if isinstance(value, Built):
            return value.value
        try:
            return kept.decode(value)
        except ValueError:  # msgspec's too: another version of the program has stored it
            cache.delete(key)
        value = found()
        return value.value if isinstance(value, Built) else kept.decode(value)

    return wrapped


def _async(cache: Any, function: Callable[..., Any], kept: _Kept, key_of: Callable[..., str]) -> Callable[..., Any]:
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        key = key_of(*args, **kwargs)

        async def found() -> bytes | Built:
            search = _Search(kept.find(key))
            while search.found is None:
                command = search.command
                try:
                    if isinstance(command, Look):
                        came: Any = await cache.look(command)
                    elif isinstance(command, Build):
                        came = Built(await function(*args, **kwargs))
                    elif isinstance(command, GiveBack):
                        came = await cache.give_back(command.lease)
                    else:
                        came = None
                        kept.put(cache, command, kept.tags_of(*args, **kwargs))  # which nobody waits for
                except Exception as why:
                    search.failed(why)
                else:
                    search.came(came)
            return search.found

        value = await found()
        if isinstance(value, Built):
            return value.value
        try:
            return kept.decode(value)
        except ValueError:
            await cache.delete(key)
        value = await found()
        return value.value if isinstance(value, Built) else kept.decode(value)

    return wrapped


# The kit's parts for threads can be imported with the standard library alone.


def _json_encode() -> Callable[[Any], bytes]:
    import msgspec

    return msgspec.json.encode


def _json_decode(type: Any) -> Callable[[bytes], Any]:
    import msgspec

    return msgspec.json.Decoder(type).decode


def _always(tags: list[str], *args: Any, **kwargs: Any) -> list[str]:
    return tags


def _usual_key(name: str, *args: Any, **kwargs: Any) -> str:
    try:
        _check_names([args, kwargs])
        key = name + json.dumps([args, sorted(kwargs.items())], separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as why:
        raise TypeError(f"{name}: its arguments make no key ({why}); say key=") from None
    # What is not UTF-8 in the name of a file is a lone surrogate in a str: it can be digested, but not sent.
    told = key.encode(errors="surrogatepass")
    if len(told) > LONGEST_KEY_BYTES or _SURROGATE.search(key):
        return f"{name[:200]}#{hashlib.sha256(told).hexdigest()}"
    return key


def _check_names(value: Any) -> None:
    """As JSON, {1: 2} would be {"1": 2}; raises TypeError."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"a dictionary has the key {name!r}, expected a str")
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for one in value:
        _check_names(one)
