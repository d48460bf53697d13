"""The blog's client of the data service: posts in and out."""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import msgspec

from scalekit.blog.store import Post, PostFields, PostList
from scalekit.errors import ClientFault, OurFault, UpstreamFault

# The reader waits: a data service that needs longer than this is broken, and saying so is better.
ANSWER_SECONDS = 5.0
#: The id of the request that is being answered, which the data service is told; empty without one.
request_id: ContextVar[str] = ContextVar("the request's id", default="")

T = TypeVar("T")


class Answer(Protocol):
    """A whole answer, as `scalekit.kit.client.Answer`."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


class Client(Protocol):
    """Makes a request, as `scalekit.kit.client.Client`; fails with `UpstreamFault` if there is no whole answer."""

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Awaitable[Answer]: ...


class Posts:
    """
    All methods raise `OurFault` 503 if the data service is away, and `ClientFault` as it answers: 400 (with a detail
    that names the field), 404, 412.

    :param url: of the data service, such as ``https://127.0.0.1:4000``.
    """

    def __init__(self, url: str, client: Client) -> None:
        self._url = url.rstrip("/")
        self._client = client

    async def page(self, number: int) -> PostList:
        """A page of the list."""
        return _read(await self._ask("GET", f"/posts?page={number}"), PostList)

    async def post(self, post_id: int) -> Post:
        """A post with its comments."""
        return _read(await self._ask("GET", f"/posts/{post_id}"), Post)

    async def create(self, fields: PostFields) -> Post:
        """Write a new post; it is returned with its id."""
        return _read(await self._ask("POST", "/posts", msgspec.json.encode(fields)), Post)

    async def update(self, post_id: int, fields: PostFields, seen_revision: int | None) -> Post:
        """Replace a post; a ``seen_revision`` that is not the current one is a 412."""
        headers = {} if seen_revision is None else {"If-Match": f'"{post_id}-{seen_revision}"'}
        return _read(await self._ask("PUT", f"/posts/{post_id}", msgspec.json.encode(fields), headers), Post)

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        headers = dict(headers or {})
        if request_id.get():
            headers["X-Request-ID"] = request_id.get()
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._client.fetch(
                method, self._url + path, seconds=ANSWER_SECONDS, headers=headers, body=body
            )
        except UpstreamFault as fault:
            raise OurFault(503, "data-away", f"The data service does not answer ({fault.detail}).") from None
        if answer.status in (400, 404, 412, 413):
            raise ClientFault(answer.status, *_reason(answer))
        if answer.status >= 400:
            raise OurFault(503, "data-away", f"The data service answered {answer.status}: {_reason(answer)[1]}")
        return answer


def _read(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        raise OurFault(503, "data-away", f"The data service's answer is not as expected: {error}.") from None


def _reason(answer: Answer) -> tuple[str, str]:
    """Reason and detail of a problem answer; of anything else, its beginning."""
    try:
        problem: Any = msgspec.json.decode(answer.body)
        return str(problem["reason"]), str(problem["detail"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "refused", answer.body[:200].decode("utf-8", "replace")
