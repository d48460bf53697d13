from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.labels import groups_field, tags_of
from scalekit.errors import ClientFault


class TagsOfTests(SynchronousTestCase):
    def test_groups(self) -> None:
        for values, tags in (
            ([], ()),
            ([b""], ()),
            ([b'"a"'], (b"a",)),
            ([b' "a" ,\t"b c" '], (b"a", b"b c")),
            ([b'"a"', b'"b", "a"'], (b"a", b"b")),
            ([b'"a";x=1;y="z, w";v'], (b"a",)),
            ([b'"q\\"\\\\"'], (b'q"\\',)),
        ):
            self.assertEqual(tags_of(values, []), tags, values)

    def test_surrogates(self) -> None:
        self.assertEqual(tags_of([b'"a"'], [b" b  c a", b"d"]), (b"a", b"b", b"c", b"d"))

    def test_what_is_refused(self) -> None:
        for groups, surrogates, reason in (
            ([b"a"], [], "bad-groups"),
            ([b'"a'], [], "bad-groups"),
            ([b'"a" "b"'], [], "bad-groups"),
            ([b'"a",'], [], "bad-groups"),
            ([b'"\xe9"'], [], "bad-groups"),
            ([b'"a\\b"'], [], "bad-groups"),
            ([b'""'], [], "bad-tag"),
            ([], [b"\xe9"], "bad-tag"),
            ([], [b"x" * 257], "bad-tag"),
            ([], [b" ".join(b"%d" % number for number in range(129))], "too-many-tags"),
        ):
            fault = self.assertRaises(ClientFault, tags_of, groups, surrogates)
            self.assertEqual((fault.status, fault.reason), (400, reason))

    @given(st.lists(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=9), max_size=5))
    def test_there_and_back(self, names: list[str]) -> None:
        tags = tuple(dict.fromkeys(name.encode() for name in names))
        self.assertEqual(tags_of([groups_field(tags)], []), tags)

    @given(st.binary(max_size=40))
    def test_anything_is_a_list_or_a_fault(self, value: bytes) -> None:
        try:
            tags_of([value], [])
        except ClientFault as fault:
            self.assertEqual(fault.status, 400)
