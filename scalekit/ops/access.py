"""Token files: who may use a private listener from off this machine."""

from __future__ import annotations

from pathlib import Path

from scalekit.config.tokens import Tokens, parse_tokens
from scalekit.errors import ConfigurationFault


def read_tokens(path: str) -> Tokens | None:
    """
    The tokens in this file; None without a path.

    :raises ConfigurationFault: it cannot be read, or a line is wrong.
    """
    if not path:
        return None
    try:
        return parse_tokens(Path(path).read_text("utf-8"), path)
    except OSError as why:
        raise ConfigurationFault(f"token_file: {path}: {why.strerror}, expected a readable file") from None
    except UnicodeDecodeError:
        raise ConfigurationFault(f"token_file: {path}: found bytes that are not UTF-8, expected text") from None
