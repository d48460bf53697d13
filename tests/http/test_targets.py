from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.http import targets
from scalekit.http.targets import check_authority, is_plain, normalise, readings, split_absolute

#: Paths of what servers read differently.
PATHS = st.lists(
    st.sampled_from(
        [b"/", b".", b"..", b"%2e", b"%2F", b"%5c", b"\\", b";", b"a", b"%61", b"%", b"%2", b"%25", b"%zz", b"41"]
    ),
    max_size=12,
).map(lambda parts: b"/" + b"".join(parts))


class NormaliseTests(SynchronousTestCase):
    def test_examples(self) -> None:
        for path, expected in (
            (b"/", b"/"),
            (b"/a/b.c", b"/a/b.c"),
            (b"/%7Ea%2d", b"/~a-"),
            (b"/a%2fb%3F", b"/a%2Fb%3F"),
            (b"/a/./b", b"/a/b"),
            (b"/a/../b", b"/b"),
            (b"/a/..", b"/"),
            (b"/a/b/..", b"/a/"),
            (b"/a/.", b"/a/"),
            (b"/../../a", b"/a"),
            (b"/..", b"/"),
            (b"/.", b"/"),
            (b"/%2e%2E/a", b"/a"),
            (b"/.a/..b/c.", b"/.a/..b/c."),
            (b"/a//../b", b"/a/b"),
            (b"/100%", b"/100%25"),
            (b"/%%34%31", b"/%2541"),
            (b"/%2541", b"/%2541"),
            (b"*", b"*"),
        ):
            self.assertEqual(expected, normalise(path), path)

    def test_a_plain_path_is_itself(self) -> None:
        path = b"/a/b.c/~d"
        self.assertIs(path, normalise(path))

    @given(PATHS)
    @example(b"/%%34%31")
    def test_twice_is_once(self, path: bytes) -> None:
        once = normalise(path)
        self.assertEqual(once, normalise(once))
        self.assertTrue(once.startswith(b"/"))
        self.assertFalse({b".", b".."} & set(once.split(b"/")))


class ReadingsTests(SynchronousTestCase):
    @given(PATHS)
    def test_the_normal_form_is_a_reading(self, path: bytes) -> None:
        found = readings(path)
        self.assertIn(normalise(path), found)
        if is_plain(path):
            self.assertEqual({path}, found)

    def test_admin_is_found(self) -> None:
        for path in (
            b"//admin",
            b"/\\admin",
            b"/x\\..\\admin",
            b"/x/..%2fadmin",
            b"/x/..%2Fadmin",
            b"/x%2f..%2fadmin",
            b"/x/..%5cadmin",
            b"/x/..;/admin",
            b"/;/admin",
            b"/x/..;a=b;c/admin;d",
            b"/x/%2e%2e/admin",
            b"/%61dmin",
            b"/x/.%2e/admin",
            b"/./admin",
            b"/x//..//../admin",
            b"/%2f%2fadmin",
        ):
            self.assertIn(b"/admin", readings(path), path)
            self.assertFalse(is_plain(path), path)

    def test_an_escaped_letter_is_that_letter(self) -> None:
        self.assertEqual(readings(b"/%61pi/1"), {b"/api/1"})

    def test_they_are_few(self) -> None:
        self.assertLessEqual(len(readings(b"/a//b/..;x/%2e%2f\\%61/..;/./%5c;/c")), 10)


class AuthorityTests(SynchronousTestCase):
    """What is refused stands in the table of inputs."""

    def test_remembered_ones_are_bounded(self) -> None:
        for number in range(3000):
            check_authority(b"a%d.example" % number)
        self.assertLessEqual(len(targets._good_authorities), 1024)

    def test_a_remembered_one_does_not_make_another_good(self) -> None:
        check_authority(b"good.example")
        self.assertRaises(ClientFault, check_authority, b"good.example ")
        self.assertRaises(ClientFault, check_authority, b"good.example\n")

    def test_absolute(self) -> None:
        self.assertEqual((b"b:1", b"/?x"), split_absolute(b"http://b:1?x", b"GET"))
        self.assertEqual((b"b", b"*"), split_absolute(b"http://b", b"OPTIONS"))
        self.assertEqual((b"b", b"/"), split_absolute(b"http://b/", b"OPTIONS"))
