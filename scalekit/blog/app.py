"""
The blog app server: what it answers to whom.

=======================  =============================================================================
GET /                    the list; its first page is cached, older ones (``?page=2``) are made each time
GET /posts/ID            a post; cached
GET /posts/new, ID/edit  forms
POST /posts, /posts/ID   create, update: write, wait until the cache has forgotten, 303 to the post
GET /style-….css         the stylesheet, cached by browsers for a year
=======================  =============================================================================

The cached piece is found by its canonical path alone: ``/posts/1?x=1`` is ``/posts/1``.  The page around it is made for
each reader.  Each request is one line in the central log.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.blog import pages
from scalekit.blog.forms import Form, parse_form, refuse_cross_site
from scalekit.blog.fragments import Fragment, Fragments
from scalekit.blog.posts import Posts, request_id
from scalekit.blog.store import Post, PostFields
from scalekit.blog.stylesheet import STYLESHEET
from scalekit.errors import ClientFault, Fault
from scalekit.interfaces import ILogSink
from scalekit.web.answers import answer_later, query_value, read_body

# A text of 100,000 characters, each percent-encoded from up to four bytes.
FORM_BYTES = 1_300_000
# What bears it shows the list; a post's own piece bears ``post:ID``.
LIST_TAG = "posts"
# The balancer's are shorter; who asks without one may say what it likes.
REQUEST_ID_LENGTH = 100
# Our own stylesheet, no script, no frames, forms to ourselves.
SECURITY_FIELDS = {
    b"content-security-policy": b"default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    b"base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}
_HEADINGS = {403: "Not from there", 404: "Nothing here", 405: "Not like that", 503: "Come back in a moment"}

_log = Logger()


class View(NamedTuple):
    """What a route makes: a title and a piece of HTML, or the path to go to; and for the foot, where it came from."""

    title: str
    main: str
    source: str = "direct"
    status: int = 200
    go_to: str = ""


class Blog(Resource):
    """
    :param name: tells who answers, such as ``127.0.0.1:3001``.
    """

    isLeaf = True

    def __init__(
        self, posts: Posts, fragments: Fragments, sink: ILogSink, clock: IReactorTime, name: Callable[[], str]
    ) -> None:
        super().__init__()
        self._posts = posts
        self._fragments = fragments
        self._sink = sink
        self._clock = clock
        self._name = name
        self._routes: list[tuple[str, str, Callable[..., Awaitable[View]]]] = [
            ("/", "GET", self._show_list),
            ("/posts", "POST", self._create),
            ("/posts/new", "GET", self._new_form),
            (r"/posts/([1-9][0-9]{0,14})", "GET", self._show_post),
            (r"/posts/([1-9][0-9]{0,14})", "POST", self._update),
            (r"/posts/([1-9][0-9]{0,14})/edit", "GET", self._edit_form),
        ]

    def render(self, request: Request) -> Any:
        began = self._clock.seconds()
        if re.fullmatch(rb"/style-[0-9a-f]+\.css", request.path) and request.method in (b"GET", b"HEAD"):
            return _stylesheet(request)
        return answer_later(request, Deferred.fromCoroutine(self._answer(request, began)))

    async def _answer(self, request: Request, began: float) -> bytes:
        request_id.set(_id_of(request))  # of this coroutine's context, and of what it awaits
        try:
            view = await self._view(request)
        except Fault as fault:
            view = View("Sorry", pages.sorry(_HEADINGS.get(fault.status, "That did not work"), fault.detail))
            view = view._replace(status=fault.status)
        except CancelledError:
            raise  # the reader has left; `answer_later` knows
        except Exception:
            _log.failure("answering {path}", path=request.path)
            view = View("Sorry", pages.sorry("That is our fault", "Something went wrong here."), status=500)
        seconds = self._clock.seconds() - began
        request.setResponseCode(view.status)
        for name, value in SECURITY_FIELDS.items():
            request.setHeader(name, value)
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        # Each page says who answered, and when: nobody else's.
        request.setHeader(b"cache-control", b"private, no-cache")
        if view.go_to:
            request.setHeader(b"location", view.go_to.encode())
        if view.status == 503:
            request.setHeader(b"retry-after", b"1")
        self._note(request, view, seconds)
        return pages.page(
            f"{view.title} · The Scaling Blog", view.main, pages.Answered(self._name(), view.source, seconds)
        )

    async def _view(self, request: Request) -> View:
        path = request.path.decode("latin-1")
        method = "GET" if request.method == b"HEAD" else request.method.decode("latin-1")
        allowed = []
        for pattern, route_method, make in self._routes:
            match = re.fullmatch(pattern, path)
            if match is None:
                continue
            if route_method == method:
                return await make(request, *(int(group) for group in match.groups()))
            allowed += ["GET", "HEAD"] if route_method == "GET" else [route_method]
        if allowed:
            request.setHeader(b"allow", ", ".join(allowed).encode())
            raise ClientFault(405, "method", f"This address takes {', '.join(allowed)}.")
        raise ClientFault(404, "not-found", "There is nothing at this address.")

    async def _show_list(self, request: Request) -> View:
        text = query_value(request, b"page") or "1"
        number = int(text) if re.fullmatch("[1-9][0-9]{0,8}", text) else 1

        async def build() -> Fragment:
            posts = await self._posts.page(number)
            if not posts.posts and number > 1:
                raise ClientFault(404, "no-such-page", f"There is no page {number}.")
            return Fragment("Posts" if number == 1 else f"Posts, page {number}", pages.list_fragment(posts))

        if number > 1:
            fragment = await build()
            return View(fragment.title, fragment.html)
        return await self._cached("/", LIST_TAG, build)

    async def _show_post(self, request: Request, post_id: int) -> View:
        async def build() -> Fragment:
            post = await self._posts.post(post_id)
            return Fragment(post.title, pages.post_fragment(post))

        return await self._cached(f"/posts/{post_id}", _tag(post_id), build)

    async def _new_form(self, request: Request) -> View:
        empty = Form(PostFields("", "", ""), None)
        return View("Write a post", pages.form("Write a post", "/posts", empty))

    async def _edit_form(self, request: Request, post_id: int) -> View:
        post = await self._posts.post(post_id)
        filled = Form(PostFields(post.title, post.author, post.body), post.revision)
        return View(f"Edit: {post.title}", pages.form("Edit the post", f"/posts/{post_id}", filled))

    async def _create(self, request: Request) -> View:
        form = _form(request)
        try:
            post = await self._write(self._posts.create(form.fields), LIST_TAG)
        except ClientFault as fault:
            main = pages.form("Write a post", "/posts", form, fault.detail)
            return View("Write a post", main, status=fault.status)
        return _gone_to(post)

    async def _update(self, request: Request, post_id: int) -> View:
        form = _form(request)
        try:
            work = self._posts.update(post_id, form.fields, form.revision)
            post = await self._write(work, _tag(post_id), LIST_TAG)
        except ClientFault as fault:
            if fault.status == 404:
                raise
            return await self._explain(post_id, form, fault)
        return _gone_to(post)

    async def _explain(self, post_id: int, form: Form, fault: ClientFault) -> View:
        """The form again, with what is wrong; after a change by somebody else, also with the post as it is now."""
        complaint, now = fault.detail, None
        if fault.status == 412:
            post = await self._posts.post(post_id)
            form = form._replace(revision=post.revision)
            now = PostFields(post.title, post.author, post.body)
            complaint = "Somebody else has changed this post meanwhile. Saving again replaces what they wrote."
        main = pages.form("Edit the post", f"/posts/{post_id}", form, complaint, now)
        return View("Edit the post", main, status=fault.status)

    def _write(self, work: Coroutine[Any, Any, Post], *tags: str) -> Deferred[Post]:
        """
        Write, then wait until the cache has forgotten what bears these tags; fails as the writing does.

        Both are done also if the writer leaves meanwhile, and the cache forgets also if it is unknown what became of
        the writing: only a refusal has certainly changed nothing.
        """

        async def carry_out() -> Post:
            try:
                post = await work
            except ClientFault:
                raise
            except Exception:
                await self._fragments.invalidate(tags)
                raise
            await self._fragments.invalidate(tags)
            return post

        # Waiting may be cancelled, what is waited for not.
        waiting: Deferred[Post] = Deferred()
        Deferred.fromCoroutine(carry_out()).addCallbacks(waiting.callback, waiting.errback)
        return waiting

    async def _cached(self, path: str, tag: str, build: Callable[[], Awaitable[Fragment]]) -> View:
        fragment, is_cached = await self._fragments.get(path, tag, build)
        return View(fragment.title, fragment.html, "cache" if is_cached else "fresh")

    def _note(self, request: Request, view: View, seconds: float) -> None:
        level = "INFO" if view.status < 500 else "ERROR"
        name = _id_of(request)
        target = request.uri[:200].decode("latin-1")
        method = request.method.decode("latin-1")
        self._sink.log(
            level,
            f"{method} {target} {view.status} {seconds * 1000:.1f}ms {view.source} id={name or '-'}",
            fields={"request_id": name} if name else None,
        )


def _id_of(request: Request) -> str:
    """The id that the balancer has given to a request, or the beginning of what stands in its place."""
    return (request.getHeader("x-request-id") or "")[:REQUEST_ID_LENGTH]


def _tag(post_id: int) -> str:
    return f"post:{post_id}"


def _gone_to(post: Post) -> View:
    path = f"/posts/{post.id}"
    return View("Saved", f'<main class="narrow"><p><a href="{path}">Saved.</a></p></main>', status=303, go_to=path)


def _form(request: Request) -> Form:
    """The form that was sent; raises `ClientFault` as `refuse_cross_site` and `parse_form` do, and 413."""
    header = request.getHeader
    refuse_cross_site(header("sec-fetch-site"), header("origin"), header("host") or "")
    return parse_form(header("content-type"), read_body(request, FORM_BYTES))


def _stylesheet(request: Request) -> bytes:
    # The name changes with the content, so it may be kept; but under another version's name it is only a stopgap.
    is_ours = request.path.decode("latin-1") == pages.STYLE_PATH
    request.setHeader(b"cache-control", b"public, max-age=31536000, immutable" if is_ours else b"no-store")
    request.setHeader(b"content-type", b"text/css; charset=utf-8")
    request.setHeader(b"x-content-type-options", b"nosniff")
    body = STYLESHEET.encode()
    request.setHeader(b"content-length", b"%d" % len(body))
    return b"" if request.method == b"HEAD" else body
