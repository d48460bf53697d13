"""
The token that an app server shows to a balancer on another machine.

The file holds the token alone, or lines as the balancer's own (``role[:service] token``); of those the first one that
is good for registering in the service is taken.  It is read each time, so a new token needs no restart.
"""

from __future__ import annotations

from pathlib import Path

from scalekit.errors import ConfigurationFault


class TokenFile:
    """
    :param path: empty: there is no token, as on the balancer's own machine.
    :param service: what is registered in.
    """

    def __init__(self, path: str, service: str) -> None:
        self._path = path
        self._service = service

    def headers(self) -> dict[str, str]:
        """
        The fields that show the token.

        :raises ConfigurationFault: the file cannot be read, or holds none for this service; a token is never shown.
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
            if len(words) == 1 or words[0] in ("operator", "register", f"register:{self._service}"):
                return {"Authorization": f"Bearer {words[-1]}"}
        raise ConfigurationFault(
            f"token file: found no token for service {self._service} in {self._path}, "
            'expected one alone or a line "register[:service] token"'
        )

    def __repr__(self) -> str:
        return f"<TokenFile {self._path or 'none'} for {self._service}>"
