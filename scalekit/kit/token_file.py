"""
The token that one of us shows to another on another machine: an app server to the balancer, anybody to the cache and
to the log service.

The file holds the token alone, or lines as the other's own (``role[:service] token``); of those the first one that is
good for what is wanted is taken.  It is read each time, so a new token needs no restart.
"""

from __future__ import annotations

from pathlib import Path

from scalekit.errors import ConfigurationFault


class TokenFile:
    """
    :param path: empty: there is no token, as on the other's own machine.
    :param service: what is registered in; None: nothing is, but written.
    """

    def __init__(self, path: str, service: str | None) -> None:
        self._path = path
        self._purpose = "writing" if service is None else f"service {service}"
        self._expected = "write" if service is None else "register[:service]"
        self._roles = {"operator", *(["write"] if service is None else ["register", f"register:{service}"])}

    def headers(self) -> dict[str, str]:
        """
        The fields that show the token.

        :raises ConfigurationFault: the file cannot be read, or holds none for this; a token is never shown.
        """
        if not self._path:
            return {}
        try:
            text = Path(self._path).read_text("ascii")
        except (OSError, ValueError) as why:
            raise ConfigurationFault(f"token file: found {self._path} ({why}), expected a file with a token") from None
        for line in text.splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) == 1 or words[0] in self._roles:
                return {"Authorization": f"Bearer {words[-1]}"}
        raise ConfigurationFault(
            f"token file: found no token for {self._purpose} in {self._path}, "
            f'expected one alone or a line "{self._expected} token"'
        )

    def __repr__(self) -> str:
        return f"<TokenFile {self._path or 'none'} for {self._purpose}>"
