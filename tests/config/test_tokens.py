"""Token files and the rule which listeners need one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config.tokens import ROLES, Grant, check_private_listener, parse_tokens
from scalekit.config.urls import ListenURL, parse_listen_url
from scalekit.errors import ConfigurationFault

ONE = "p4iO0d1bY3nDqg7sXcZK5w"
TWO = "0c5eYc4C0uZb6dXnZ9yJmA=="


class ParseTests(SynchronousTestCase):
    def test_lines_comments_and_white_space(self) -> None:
        tokens = parse_tokens(f"# who\n\n  operator\t{ONE}  \r\nregister:shop {TWO}\n", "t")
        self.assertEqual(repr(tokens), "<Tokens [<Grant operator>, <Grant register:shop>]>")
        self.assertEqual(len(tokens), 2)

    def test_bad_lines_name_file_and_line_and_keep_the_token_to_themselves(self) -> None:
        for line, wrong in {
            "operator": "found 1 words",
            f"operator {ONE} x": "found 3 words",
            f"root {ONE}": 'found role "root", expected one of operator, register, write, read',
            f"register: {ONE}": 'found service ""',
            f"register:a/b {ONE}": 'found service "a/b"',
            "read abc": "found a token of 3 characters",
            f"read {ONE}é": "found a token with odd characters",
            f"read {TWO}": "found the token of line 2",
        }.items():
            fault = str(self.assertRaises(ConfigurationFault, parse_tokens, f"\nwrite {TWO}\n{line}", "t.txt"))
            self.assertTrue(fault.startswith("t.txt: line 3: " + wrong), fault)
            self.assertNotIn(ONE, fault)
            self.assertNotIn(TWO, fault)

    def test_a_file_without_tokens(self) -> None:
        self.assertRaises(ConfigurationFault, parse_tokens, "# nothing\n", "t")

    @given(st.text(max_size=60))
    def test_any_text_gives_tokens_or_a_fault_of_one_line(self, text: str) -> None:
        try:
            parse_tokens(text, "t")
        except ConfigurationFault as fault:
            self.assertEqual(len(str(fault).splitlines()), 1)


class GrantTests(SynchronousTestCase):
    def test_who_may_do_what(self) -> None:
        allowed = {role: {other for other in ROLES if Grant(role).allows(other)} for role in ROLES}
        self.assertEqual(
            allowed,
            {"operator": set(ROLES), "register": {"register"}, "write": {"write", "read"}, "read": {"read"}},
        )

    def test_a_grant_for_one_service_is_good_for_no_other(self) -> None:
        grant = Grant("register", "shop")
        self.assertTrue(grant.allows("register", "shop"))
        self.assertFalse(grant.allows("register", "blog"))
        self.assertFalse(grant.allows("register"))

    def test_a_token_is_known_or_not(self) -> None:
        tokens = parse_tokens(f"operator {ONE}\nread {TWO}", "t")
        self.assertEqual(repr(tokens.grant_for(ONE.encode())), "<Grant operator>")
        self.assertEqual(repr(tokens.grant_for(TWO.encode())), "<Grant read>")
        for unknown in (b"", ONE[:-1].encode(), ONE.lower().encode(), b"\xff" * 22):
            self.assertIsNone(tokens.grant_for(unknown))


class PrivateListenerTests(SynchronousTestCase):
    def test_loopback_and_unix_need_no_token(self) -> None:
        local = [ListenURL("https", "127.0.0.1", 1), ListenURL("https", "::1", 1), ListenURL("unix", path="/x")]
        for token_file in ("", "tokens", None):
            check_private_listener("cache", local, token_file)  # raises nothing

    def test_another_address_needs_one(self) -> None:
        listen = [ListenURL("https", "127.0.0.1", 1), parse_listen_url("https://[::]:5000")]
        fault = self.assertRaises(ConfigurationFault, check_private_listener, "cache", listen, "")
        self.assertEqual(
            str(fault),
            'cache.token_file: found "", expected a file with lines "role[:service] token", '
            "because https://[::]:5000 is neither on loopback nor a unix socket, and requires no client certificates",
        )
        check_private_listener("cache", listen, "tokens")

    def test_where_no_token_is_known_only_loopback_will_do(self) -> None:
        listen = [parse_listen_url("https://10.0.0.1:4000")]
        fault = self.assertRaises(ConfigurationFault, check_private_listener, "data", listen, None)
        self.assertTrue(str(fault).startswith("data.listen: found https://10.0.0.1:4000, expected a loopback address"))

    def test_required_client_certificates_stand_in_for_tokens(self) -> None:
        url = ListenURL("https", "10.0.0.1", 4000, client_ca="/ca.pem", client_certificates="required")
        for token_file in ("", None):
            check_private_listener("data", [url], token_file)
        url = ListenURL("https", "10.0.0.1", 4000, client_ca="/ca.pem", client_certificates="optional")
        self.assertRaises(ConfigurationFault, check_private_listener, "data", [url], "")
        other = ListenURL("https", "10.0.0.2", 4000)
        self.assertRaises(ConfigurationFault, check_private_listener, "data", [other], None)
