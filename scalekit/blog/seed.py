"""
What a new database begins with: a few posts to read, or as many made-up ones as a benchmark asks for.

The made-up ones depend on their number alone, so that two machines measure the same pages.
"""

from __future__ import annotations

import random

from scalekit.blog.store import PostFields, Store

DAY_SECONDS = 86400.0

# (title, author, body, [(comment's author, comment)]); the oldest first.
POSTS: list[tuple[str, str, str, list[tuple[str, str]]]] = [
    (
        "One server was fine until Tuesday",
        "Ida",
        "For two years this blog ran on one machine, and nobody noticed which one. Then a post was linked somewhere, "
        "four hundred people came at once, and the page took six seconds.\n\n"
        "The first thing we did was to look: where does the time go? A third went into the database, a third into "
        "building the list of posts over and over again, and the rest into waiting for each other.\n\n"
        "So we did three things, in this order: we put a second app server beside the first, we stopped building what "
        "had not changed, and we wrote down what happens, in one place. The next posts are about these three.",
        [("Jun", "Six seconds? I closed the tab after four."), ("Ida", "Fair.")],
    ),
    (
        "Two app servers and who tells the balancer",
        "Mika",
        "A load balancer with a list of servers in its configuration is a list that is wrong. Ours starts with an "
        "empty one: an app server registers when it listens, and says goodbye before it leaves.\n\n"
        "In between the balancer asks each of them every two seconds whether it is well. One missed answer is bad "
        "luck, three are a pattern, and then the others take over. Coming back needs two good answers.\n\n"
        "Look at the foot of this page, and reload it a few times: it says which app server has answered you.",
        [
            ("Noor", "Reloaded eleven times, saw both. What if one dies while it answers me?"),
            ("Mika", "If it had not begun to answer, the other one is asked. If it had, you get an honest error."),
        ],
    ),
    (
        "Remember it, and forget it in time",
        "Ida",
        "The list of posts changes a few times a day and is read thousands of times. The cache keeps the ready-made "
        "piece of HTML for a day, and every app server asks it before it asks the database.\n\n"
        "Keeping is easy. Forgetting is the work: whoever changes a post makes the cache forget that post and "
        "the list, and waits until it has, before the reader is sent on to the new page. And a page that another app "
        "server was building from the old text at that very moment must not be kept either.\n\n"
        "The foot of this page says whether you read a remembered piece or a fresh one, and how long that took.",
        [("Sam", "There are two hard things in computer science …")],
    ),
    (
        "One log to read at three in the morning",
        "Noor",
        "Two app servers, a balancer, a cache and a data service write five logs, and the story you look for is spread "
        "over all of them.\n\n"
        "So all of them send what they have to say to one place, which waits for a moment, puts the entries in order "
        "by their time, and writes them into one file. Your application never waits for it: entries go out in batches "
        "behind its back, and when the log service is away they wait in memory, up to a bound.\n\n"
        "Write a post, then look at log.txt: there is one line for each part that your click went through.",
        [],
    ),
]

_WORDS = (
    "balancer backend cache cluster commit connection counter daemon deadline drain entry event failure frame gateway "
    "header health hint index instance journal key latency lease limit listener log member message method metric node "
    "offset packet page path ping pool port probe proxy queue quota reader record region registry replica request "
    "retry ring route sample segment server service session shard signal socket source stream tag thread ticket token "
    "trace transport tunnel update upstream value version watermark window worker writer slow quick quiet empty stale "
    "fresh early late public private strict open closed waits begins ends returns carries keeps drops sends reads "
    "and of the a with without under over after before from into because although until while"
)
_NAMES = (
    "Ada Bo Chi Dara Eli Fen Gus Hana Ida Jun Kim Lena Mika Noor Otto Pia Quinn Remy Sam Tove Uma Vera Wen Yuki Zoe"
)


def seed(store: Store, now: float, posts: int = 0, comments: int = 0) -> bool:
    """
    Fill an empty database; one that has posts is left alone, and the answer is False.

    :param posts: how many made-up posts; 0: the few real ones instead, with their own comments.
    :param comments: how many made-up comments, spread over the made-up posts, more of them on some than on others.
    """
    if not store.is_empty():
        return False
    if posts:
        _fill_made_up(store, now, posts, comments)
    else:
        _fill_real(store, now)
    return True


def _fill_real(store: Store, now: float) -> None:
    times = [now - (len(POSTS) - number) * DAY_SECONDS for number in range(len(POSTS))]
    store.fill(
        [(PostFields(title, author, body), at) for (title, author, body, _), at in zip(POSTS, times, strict=True)],
        [
            (number, author, body, at + 3600.0 * later)
            for number, ((_, _, _, comments), at) in enumerate(zip(POSTS, times, strict=True), 1)
            for later, (author, body) in enumerate(comments, 1)
        ],
    )


def _fill_made_up(store: Store, now: float, posts: int, comments: int) -> None:
    chance = random.Random(f"{posts} posts, {comments} comments")  # a seed of its own: the same on every machine
    # Names with a number, for a few hundred readers rather than a few.
    names = [f"{name} {number}" if number else name for number in range(12) for name in _NAMES.split()]

    words_known = _WORDS.split()

    def sentence(words: int) -> str:
        return " ".join(chance.choices(words_known, k=words)).capitalize() + "."

    def text(sentences: int) -> str:
        return " ".join(sentence(chance.randint(6, 18)) for _ in range(sentences))

    step = 6 * 3600.0
    times = [now - (posts - number) * step for number in range(posts)]
    store.fill(
        (
            (
                PostFields(
                    sentence(chance.randint(3, 7))[:-1],
                    chance.choice(names),
                    "\n\n".join(text(chance.randint(3, 8)) for _ in range(chance.randint(2, 6))),
                ),
                at,
            )
            for at in times
        ),
        (
            (number + 1, chance.choice(names), text(chance.randint(1, 4)), times[number] + chance.random() * step)
            # Squared: a few posts have most of the comments, as everywhere.
            for number in (int(posts * chance.random() ** 2) for _ in range(comments))
        ),
    )
