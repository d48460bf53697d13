"""
Posts -> HTML.  Pure: values in, text out.

`list_fragment` and `post_fragment` make the pieces that are cached; `page` puts a piece into the page around it, which
is made for every reader.  Everything that comes from outside goes through `escape`.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from html import escape
from typing import NamedTuple

from scalekit.blog.forms import Form
from scalekit.blog.store import Count, Post, PostFields, PostList
from scalekit.blog.stylesheet import STYLESHEET

STYLE_PATH = f"/style-{sha256(STYLESHEET.encode()).hexdigest()[:12]}.css"


class Answered(NamedTuple):
    """How a page was answered, for its foot: by whom (host and port), where the piece came from, how long it took."""

    server: str
    source: str
    seconds: float


def page(title: str, main: str, answered: Answered) -> bytes:
    """A whole page around a piece of HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="stylesheet" href="{STYLE_PATH}">
<link rel="icon" href="data:,">
</head>
<body>
<header class="top"><div>
<a class="name" href="/">The Scaling Blog</a>
<nav><a class="button" href="/posts/new">Write a post</a></nav>
</div></header>
{main}
<footer class="foot"><div>
<span>Answered by <b id="server">{escape(answered.server)}</b></span>
<span>{_SOURCES[answered.source]}</span>
<span>in <b id="milliseconds">{answered.seconds * 1000:.1f}</b> ms</span>
</div></footer>
</body>
</html>
""".encode()


_SOURCES = {
    "cache": '<b id="source">from the cache</b>',
    "fresh": '<b id="source">freshly made</b>, and kept for the next',
    "direct": '<b id="source">made for you</b>, not cached',
}


def list_fragment(posts: PostList) -> str:
    """A page of the list with its side bar."""
    if posts.posts:
        items = "".join(
            f"""<li><article class="summary">
<h2><a href="/posts/{post.id}">{escape(post.title)}</a></h2>
<p>{escape(post.excerpt)}</p>
<p class="meta">{escape(post.author)} · {_time(post.created)} · {_count(post.comments, "comment")}</p>
</article></li>
"""
            for post in posts.posts
        )
    else:
        items = (
            '<li class="summary"><p>There is nothing here yet. <a href="/posts/new">Write the first post.</a></p></li>'
        )
    aside = (
        _panel("Most discussed", posts.discussed, "comment", as_link=True)
        + _panel("Busiest readers", posts.readers, "comment")
        + _panel("Months", [Count(_month(month.name), month.count) for month in posts.months], "post")
    )
    return f"""<div class="columns">
<main>
<ol class="posts">
{items}</ol>
{_pages(posts)}
</main>
<aside>
{aside}</aside>
</div>"""


def post_fragment(post: Post) -> str:
    """A post with its comments."""
    edited = f" · changed {_time(post.updated)}" if post.updated != post.created else ""
    comments = "".join(
        f"""<li><p class="meta"><b>{escape(comment.author)}</b> · {_time(comment.created)}</p>
{_paragraphs(comment.body)}</li>
"""
        for comment in post.comments
    )
    section = (
        f'<section class="comments"><h2>{_count(len(post.comments), "comment")}</h2><ol>\n{comments}</ol></section>'
        if comments
        else ""
    )
    return f"""<main class="narrow">
<article class="post">
<h1>{escape(post.title)}</h1>
<p class="meta">{escape(post.author)} · {_time(post.created)}{edited} · <a href="/posts/{post.id}/edit">Edit</a></p>
{_paragraphs(post.body)}
</article>
{section}
</main>"""


def form(heading: str, action: str, filled: Form, complaint: str = "", seen_now: PostFields | None = None) -> str:
    """
    The form for a new or an old post.

    :param action: the path that it is sent to.
    :param complaint: what is wrong with what was sent.
    :param seen_now: the post as it is now, where somebody else has changed it meanwhile.
    """
    fields = filled.fields
    alert = f'<p class="alert" role="alert">{escape(complaint)}</p>\n' if complaint else ""
    revision = "" if filled.revision is None else f'<input type="hidden" name="revision" value="{filled.revision}">\n'
    theirs = (
        f"""<section class="theirs"><h2>As it is now</h2>
<h3>{escape(seen_now.title)}</h3>
{_paragraphs(seen_now.body)}</section>
"""
        if seen_now
        else ""
    )
    # A line break right after <textarea> is dropped by HTML; the one here is for that.
    return f"""<main class="narrow">
<h1>{escape(heading)}</h1>
{alert}<form method="post" action="{escape(action)}" accept-charset="utf-8">
{revision}<label>Title <input name="title" required maxlength="200" value="{escape(fields.title)}"></label>
<label>Your name <input name="author" required maxlength="80" value="{escape(fields.author)}"></label>
<label>Text <textarea name="body" required rows="14" maxlength="100000">
{escape(fields.body)}</textarea></label>
<p class="hint">An empty line begins a new paragraph.</p>
<p class="actions"><button>Save</button> <a href="{escape("/" if action == "/posts" else action)}">Cancel</a></p>
</form>
{theirs}</main>"""


def sorry(heading: str, detail: str) -> str:
    """What went wrong, for people."""
    return f"""<main class="narrow">
<h1>{escape(heading)}</h1>
<p>{escape(detail)}</p>
<p><a href="/">Back to the posts</a></p>
</main>"""


def _panel(heading: str, counts: list[Count], noun: str, as_link: bool = False) -> str:
    if not counts:
        return ""
    lines = "".join(
        "<li><span>{}</span> <small>{}</small></li>\n".format(
            f'<a href="/posts/{count.id}">{escape(count.name)}</a>' if as_link else escape(count.name),
            _count(count.count, noun),
        )
        for count in counts
    )
    return f"<section><h2>{heading}</h2><ul>\n{lines}</ul></section>\n"


def _pages(posts: PostList) -> str:
    if posts.pages < 2:
        return ""
    newer = f'<a rel="prev" href="{"/" if posts.page == 2 else f"/?page={posts.page - 1}"}">← Newer</a>'
    older = f'<a rel="next" href="/?page={posts.page + 1}">Older →</a>'
    return (
        f'<nav class="pages">{newer if posts.page > 1 else "<span></span>"}'
        f"<span>Page {posts.page} of {posts.pages}</span>"
        f"{older if posts.page < posts.pages else '<span></span>'}</nav>"
    )


def _paragraphs(text: str) -> str:
    parts = (part.strip("\n") for part in text.split("\n\n"))
    return "\n".join(f"<p>{escape(part)}</p>".replace("\n", "<br>\n") for part in parts if part.strip())


def _time(moment: str) -> str:
    day = datetime.fromisoformat(moment)
    return f'<time datetime="{escape(moment)}">{day.day} {day:%B %Y}</time>'


def _month(month: str) -> str:
    return f"{datetime.fromisoformat(month + '-01'):%B %Y}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number or 'no'} {noun}s"
