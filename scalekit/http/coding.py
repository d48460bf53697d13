"""
Which answers may be coded for transport, and the heads they get then (RFC 9110 sections 8.4, 8.8.3.3 and 12.5.5).

An answer is *codable* if its type gains by it, it is long enough, whole, not coded already, and nobody forbade it.
Whether this client gets it coded is `scalekit.http.negotiation.pick_coding`'s to say; codable answers say
``Vary: Accept-Encoding`` either way, so that shared caches keep the forms apart.

Each form has an entity tag of its own, made of the origin's by `coded_tag`, so that whoever holds several can tell
which one a 304 is about: ``"x"`` becomes ``W/"x-zstd"``, ``W/"x-br"``, and, as with nginx, ``W/"x"`` for gzip.  The way
back, for the conditions of a request, is `with_origin_tags`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from scalekit.http.conditional import entity_tags, weakened
from scalekit.http.heads import Fields, ResponseHead

# Below this the coded form saves no packet; nginx says 20 bytes, Apache and Caddy about 1 KiB (512), Cloudflare 48.
MINIMUM = 1024

_GAINING = frozenset(
    (
        b"application/javascript",
        b"application/json",
        b"application/manifest+json",
        b"application/wasm",
        b"application/x-javascript",
        b"application/x-ndjson",
        b"application/x-www-form-urlencoded",
        b"application/xml",
        b"application/yaml",
        b"font/otf",
        b"font/ttf",
        b"image/bmp",
        b"image/x-icon",
        b"image/vnd.microsoft.icon",
    )
)
# Coded already; or stating a digest or the place of the bytes as they are (RFC 9530, RFC 3230).
_FIXING = frozenset(
    (b"content-encoding", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"content-range")
)
# 206 is a piece of an uncoded form; 204 and 304 have no body.
_NEVER = frozenset((204, 205, 206, 304))


@lru_cache(256)  # an application has a handful of types; the bound is for those that make them up
def is_gaining(content_type: bytes) -> bool:
    """Whether bodies of this Content-Type get clearly smaller."""
    kind = content_type.partition(b";")[0].strip(b" \t").lower()
    if kind.startswith(b"application/grpc"):
        return False  # it compresses its messages itself, and its clients know no other coding
    return kind in _GAINING or kind.startswith(b"text/") or kind.endswith((b"+json", b"+xml"))


def is_codable(head: ResponseHead, size: int | None) -> bool:
    """
    Whether this answer is codable.

    :param size: the body's length, None if it is not known yet.
    """
    if (size is not None and size < MINIMUM) or head.status in _NEVER:
        return False  # the common case of a proxy, before its fields are looked at
    gains = False
    for name, value in head.fields:
        lower = name.lower()
        if lower == b"content-type":
            gains = is_gaining(value)
        elif lower in _FIXING or (lower == b"cache-control" and b"no-transform" in value.lower()):
            return False
    return gains


def varied(fields: Fields) -> Fields:
    """These fields with Accept-Encoding in Vary: merged into the one that is there, and never twice."""
    lists = [value for name, value in fields if len(name) == 4 and name.lower() == b"vary"]
    if not lists:
        return [*fields, (b"Vary", b"Accept-Encoding")]
    names = [token.strip(b" \t").lower() for value in lists for token in value.split(b",")]
    if b"*" in names or b"accept-encoding" in names:
        return fields
    merged: Fields = []
    is_merged = False
    for name, value in fields:
        if name.lower() == b"vary" and not is_merged:
            is_merged = True
            value = value + b", Accept-Encoding" if value.strip(b" \t,") else b"Accept-Encoding"
        merged.append((name, value))
    return merged


def varied_head(head: ResponseHead) -> ResponseHead:
    """The head of a codable answer that goes out uncoded."""
    fields = varied(head.fields)
    return head if fields is head.fields else _with_fields(head, fields, head.length)


def coded_tag(etag: bytes, coding: bytes) -> bytes:
    """The entity tag of a coded form: weak, since its bytes are not the origin's (RFC 9110 section 8.8.3.3)."""
    if coding != b"gzip" and etag.endswith(b'"'):
        etag = b'%s-%s"' % (etag[:-1], coding)
    return weakened(etag)


def with_origin_tags(condition: bytes, codings: Sequence[bytes]) -> bytes:
    """
    An If-Match or If-None-Match value that also names the origin's tag for each tag of a coded form in it.

    The origin does not know ours: by the strong comparison of If-Match (RFC 9110 section 13.1.1) a weak one would never
    match again, though the content is unchanged.  The origin's is named as a strong one; if it was weak itself, that
    still fails there, as it should: its strong form does not exist.

    :param codings: whose tags are meant.  Others stay unknown to the origin, which then sends what it has.
    """
    tags = entity_tags(condition)
    if tags is None:
        return condition
    known = {opaque for is_weak, opaque in tags if not is_weak}
    added: list[bytes] = []
    for is_weak, opaque in tags:
        if is_weak:
            for origin in _origins(opaque, codings):
                if origin not in known:
                    known.add(origin)
                    added.append(origin)
    return b", ".join([condition, *added])


def _origins(opaque: bytes, codings: Sequence[bytes]) -> list[bytes]:
    for coding in codings:
        if coding != b"gzip" and opaque.endswith(b'-%s"' % coding):
            # Or it is the origin's own: both are named, and one of them does not exist there.
            return [opaque[: -len(coding) - 2] + b'"', opaque]
    return [opaque]


def coded_head(head: ResponseHead, coding: bytes, length: int | None = None) -> ResponseHead:
    """
    The head of the coded answer: its tag is weak, since the bytes are others, and ranges of it cannot be had.

    :param length: of the coded body; None if it is not known.
    """
    fields: Fields = []
    for name, value in varied(head.fields):
        lower = name.lower()
        if lower == b"accept-ranges":
            continue
        fields.append((name, coded_tag(value, coding) if lower == b"etag" else value))
    fields.append((b"Content-Encoding", coding))
    return _with_fields(head, fields, length)


def unmodified_head(head: ResponseHead, condition: bytes | None, coding: bytes) -> ResponseHead:
    """
    The head of a 304 to a client whose If-None-Match is this one, and who would get this coding.

    If it holds a coded form of the origin's answer, it is told the tag it knows, and the Vary that came with it (RFC
    9110 section 15.4.5).
    """
    if condition is None:
        return head
    held = {opaque for is_weak, opaque in entity_tags(condition) or () if is_weak}
    if not held:
        return head
    fields: Fields = []
    for name, value in head.fields:
        if name.lower() == b"etag":
            # gzip's tag may be held by who now gets another coding.
            forms = (coded_tag(value, coding), coded_tag(value, b"gzip"))
            value = next((form for form in forms if form.removeprefix(b"W/") in held), value)
        fields.append((name, value))
    if fields == head.fields:
        return head
    return _with_fields(head, varied(fields), head.length)


def _with_fields(head: ResponseHead, fields: Fields, length: int | None) -> ResponseHead:
    return ResponseHead(head.status, fields, length, head.reason, head.has_date)
