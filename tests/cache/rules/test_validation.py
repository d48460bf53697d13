from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.storing import Refusal
from scalekit.cache.rules.validation import Refresh, after_head, outgoing, plan_refresh, unconditional
from tests.cache.rules.asking import NOW, get, kept, reply

CHANGED = "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT"
LATER = "Date: Sun, 06 Nov 1994 08:51:17 GMT"
AGE = "Cache-Control: max-age=10"


def sent(asked: Asked, stored: Stored | None, *variants: Stored) -> tuple[list[str], bool]:
    head, is_validating = outgoing(asked, stored, variants)
    return [f"{name.decode()}: {value.decode()}" for name, value in head.fields], is_validating


def refreshed(variants: list[Stored], *lines: str, asked: Asked | None = None) -> Refresh | None:
    return plan_refresh(variants, asked or get(), reply(*lines, status=304), NOW + 100, NOW + 100)


class OutgoingTests(SynchronousTestCase):
    """RFC 9111 section 4.3.1."""

    def test_conditions_of_ours_take_the_place_of_the_clients(self) -> None:
        stored = kept(AGE, 'ETag: "a"', CHANGED)
        asked = get("X: y", 'If-None-Match: "z"', "Range: bytes=0-1", 'If-Range: "z"', "If-Modified-Since: x")
        self.assertEqual(
            sent(asked, stored, stored),
            (["X: y", 'If-None-Match: "a"', f"If-Modified-Since: {CHANGED[15:]}"], True),
        )

    def test_the_tag_of_every_variant(self) -> None:
        one = kept(AGE, 'ETag: "a"', "Vary: Foo", asked=get("Foo: 1"))
        other = kept(AGE, 'ETag: W/"b"', "Vary: Foo", asked=get("Foo: 2"))
        self.assertEqual(sent(get("Foo: 1"), one, other, one), (["Foo: 1", 'If-None-Match: W/"b", "a"'], True))
        self.assertEqual(sent(get("Foo: 3"), None, other, one), (["Foo: 3", 'If-None-Match: W/"b", "a"'], True))

    def test_as_many_as_fit(self) -> None:
        variants = [kept(AGE, f'ETag: "{number:0500}"') for number in range(9)]
        (line, *_), is_validating = sent(get(), variants[0], *variants)
        self.assertTrue(is_validating)
        self.assertEqual(
            [int(tag.strip('"')) for tag in line.removeprefix("If-None-Match: ").split(", ")], [0, 1, 2, 3]
        )

    def test_the_clients_go_on_where_nothing_can_be_validated(self) -> None:
        asked = get('If-None-Match: "z"')
        plain = kept(AGE)
        self.assertEqual(sent(asked, None), (['If-None-Match: "z"'], False))
        self.assertEqual(sent(asked, plain, plain), (['If-None-Match: "z"'], False))
        tagged = kept(AGE, 'ETag: "a"')
        self.assertEqual(sent(asked, None, tagged), (['If-None-Match: "z"'], False))

    def test_nothing_of_others_for_users_that_the_app_knows(self) -> None:
        implicit = kept(CHANGED, 'ETag: "a"')
        self.assertEqual(sent(get("Cookie: a=b"), None, implicit), (["Cookie: a=b"], False))
        self.assertEqual(
            sent(get("Cookie: a=b"), None, kept(AGE, 'ETag: "a"')), (["Cookie: a=b", 'If-None-Match: "a"'], True)
        )

    def test_a_head_request_is_not_ours(self) -> None:
        stored = kept(AGE, 'ETag: "a"')
        self.assertEqual(sent(get(method="HEAD"), stored, stored), ([], False))

    def test_the_head_is_the_same_but_for_that(self) -> None:
        asked = get("X: y", "Range: bytes=0-1", target="/a?b")
        head = unconditional(asked)
        self.assertEqual(head.fields, [(b"X", b"y")])
        self.assertEqual(
            (head.target, head.path, head.query, head.host, head.method), (b"/a?b", b"/a", b"b", b"h", b"GET")
        )


class RefreshTests(SynchronousTestCase):
    """Sections 4.3.4 and 3.2."""

    def test_fields_are_replaced(self) -> None:
        stored = kept(AGE, 'ETag: "a"', "X: 1", "X: 2", "Y: 1", "Content-Type: a/b", "Content-Encoding: br")
        refresh = refreshed(
            [stored],
            'ETag: "a"',
            "x: 3",
            "Cache-Control: max-age=20",
            "Content-Type: c/d",
            "Content-Encoding: gzip",
            LATER,
        )
        assert refresh is not None
        self.assertIs(refresh.matched, stored)
        self.assertEqual(
            refresh.head.fields,
            [
                (b"ETag", b'"a"'),
                (b"Y", b"1"),
                (b"Content-Encoding", b"br"),
                (b"x", b"3"),
                (b"Cache-Control", b"max-age=20"),
                (b"Content-Type", b"c/d"),
                (b"Date", LATER[6:].encode()),
            ],
        )
        self.assertIsInstance(refresh.stored, Stored)
        assert isinstance(refresh.stored, Stored)
        self.assertEqual(refresh.stored.fresh_until, NOW + 120)

    def test_without_a_date_it_is_of_now(self) -> None:
        refresh = refreshed([kept(AGE, 'ETag: "a"', "Date: Sun, 06 Nov 1994 08:49:37 GMT")])
        assert refresh is not None and isinstance(refresh.stored, Stored)
        self.assertEqual(refresh.stored.fresh_until, NOW + 110)
        self.assertEqual(refresh.stored.date, LATER[6:].encode())

    def test_which_one_it_is_about(self) -> None:
        one = kept(AGE, 'ETag: "a"', CHANGED, "Vary: Foo", asked=get("Foo: 1"))
        other = kept(AGE, 'ETag: W/"b"', "Vary: Foo", asked=get("Foo: 2"))
        for lines, matched in (
            (('ETag: "a"',), one),
            (('ETag: "b"',), other),
            (('ETag: W/"b"',), other),
            (('ETag: "c"',), None),
            ((), other),
            ((CHANGED,), None),
        ):
            refresh = refreshed([other, one], *lines, asked=get("Foo: 2"))
            self.assertIs(None if refresh is None else refresh.matched, matched, lines)

    def test_another_variant_is_right_for_this_request_too(self) -> None:
        one = kept(AGE, 'ETag: "a"', "Vary: Foo", asked=get("Foo: 1"))
        refresh = refreshed([one], 'ETag: "a"', asked=get("Foo: 3"))
        assert refresh is not None and isinstance(refresh.stored, Stored)
        self.assertTrue(refresh.stored.suits(get("Foo: 3").head))
        self.assertFalse(one.suits(get("Foo: 3").head))

    def test_not_to_be_kept_any_longer(self) -> None:
        refresh = refreshed([kept(AGE, 'ETag: "a"')], "Cache-Control: no-store")
        assert refresh is not None
        self.assertEqual(refresh.stored, Refusal.NO_STORE)
        self.assertEqual(refresh.head.get(b"cache-control"), b"no-store")


class HeadTests(SynchronousTestCase):
    """Section 4.3.5."""

    def after(self, stored: Stored, *lines: str, status: int = 200, length: int | None = None) -> Stored | None:
        head = reply(*lines, status=status)
        head.length = length
        return after_head(get(method="HEAD"), stored, 10, head, NOW + 100, NOW + 100)

    def test_the_same_is_fresh_again(self) -> None:
        stored = kept(AGE, 'ETag: "a"', "X: 1")
        for lines, length in ((('ETag: "a"',), 10), ((), None)):
            fresh = self.after(stored, *lines, "X: 2", length=length)
            assert fresh is not None
            self.assertEqual(fresh.fresh_until, NOW + 110)
            self.assertIn((b"X", b"2"), fresh.fields)

    def test_who_asks_takes_it_from_nobody(self) -> None:
        stored = kept(AGE, 'ETag: "a"')
        for line in ("Authorization: x", "Cache-Control: no-store"):
            asked = get(line, method="HEAD")
            self.assertIs(after_head(asked, stored, 10, reply('ETag: "a"', AGE), NOW + 100, NOW + 100), stored)

    def test_what_is_another_is_good_no_longer(self) -> None:
        stored = kept(AGE, 'ETag: "a"', CHANGED)
        for lines, length in (
            (('ETag: "b"',), 10),
            (("Last-Modified: Sun, 06 Nov 1994 07:49:38 GMT",), 10),
            (('ETag: "a"',), 11),
            (('ETag: "a"', "Cache-Control: no-store"), 10),
        ):
            self.assertIsNone(self.after(stored, *lines, length=length), lines)

    def test_other_statuses_tell_nothing(self) -> None:
        stored = kept(AGE, 'ETag: "a"')
        self.assertIs(self.after(stored, status=404), stored)
        self.assertIsNone(self.after(kept(AGE, status=404)))
