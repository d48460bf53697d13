"""What a browser's form sends -> the fields of a post; and whether the sender is a page of ours at all.  Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from scalekit.blog.store import PostFields
from scalekit.errors import ClientFault

FIELD_LIMIT = 16  # our form has four
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Form(NamedTuple):
    """What was sent; ``revision`` is the one the writer saw, None if the form did not say."""

    fields: PostFields
    revision: int | None


def parse_form(content_type: str | None, body: bytes) -> Form:
    """
    Read an ``application/x-www-form-urlencoded`` body; absent fields are empty, so that the data service names them.

    Raises `ClientFault` 415 for another type and 400 for what cannot be read.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ClientFault(415, "bad-type", f"Expected application/x-www-form-urlencoded, found {kind or 'no type'}.")
    try:
        values = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELD_LIMIT)
    except (UnicodeError, ValueError):
        raise ClientFault(400, "bad-form", "The form cannot be read.") from None

    def value(name: str) -> str:
        # Browsers send CR LF for a line break in a text area (HTML, "constructing the entry list").
        return values.get(name, [""])[0].replace("\r\n", "\n")

    revision = value("revision")
    return Form(
        PostFields(title=value("title").strip(), author=value("author").strip(), body=value("body").strip("\n")),
        int(revision) if revision.isascii() and revision.isdigit() and len(revision) <= 15 else None,
    )


def refuse_cross_site(fetch_site: str | None, origin: str | None, host: str) -> None:
    """
    Raise `ClientFault` 403 if a page of another origin sends this (cross-site request forgery).

    Sec-Fetch-Site (W3C Fetch Metadata) says it outright; ``none`` is the person, by the address bar.  Another port is
    another origin of the same site, so ``same-site`` is a stranger too.  Origin (RFC 6454) says it for older browsers.
    Programs send neither, and have nobody's cookies.
    """
    if fetch_site is not None and fetch_site.strip().lower() not in ("same-origin", "none"):
        raise ClientFault(403, "cross-site", "A page of another site cannot write here.")
    if origin is not None and not _is_origin_of(origin.strip(), host.strip()):
        raise ClientFault(403, "cross-site", f"A page of {origin[:100]} cannot write here.")


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        theirs = urlsplit(origin)
        # The scheme is the one thing we cannot know behind a proxy: Host is read with theirs.
        ours = urlsplit(f"{theirs.scheme}://{host}")
        default = _DEFAULT_PORTS.get(theirs.scheme)
        return bool(theirs.hostname) and (theirs.hostname, theirs.port or default) == (
            ours.hostname,
            ours.port or default,
        )
    except ValueError:
        return False
