"""Secrets of others that a node must be able to say again, sealed with its own key.

A copy of the database alone opens nothing: the key is a file beside it, in `keys/`.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

from serantau.errors import ConfigError


class Seal:
    """Seals and opens texts with one key."""

    def __init__(self, key: bytes) -> None:
        """Take a key as `new_key` made it.

        Raises:
            ValueError: these bytes are no key.
        """
        self._fernet = Fernet(key)
        # Another key for another purpose, so that neither tells of the other.
        self._tags = hashlib.blake2b(key, person=b"serantau-tag").digest()

    @staticmethod
    def new_key() -> bytes:
        """Make a new key, as the text that its file holds."""
        return Fernet.generate_key()

    def seal(self, text: str) -> str:
        """Seal a text; the same text gives another one each time. Empty stays empty."""
        return self._fernet.encrypt(text.encode()).decode() if text else ""

    def open(self, sealed: str) -> str:
        """Open what `seal` made.

        Raises:
            ConfigError: it was sealed with another key, or changed since.
        """
        if not sealed:
            return ""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as fault:
            raise ConfigError(
                "A peer's secret was sealed with another key than this node has.",
                mend="Restore keys/ from a backup, or give the secret again with "
                "`serantau peer add`.",
            ) from fault

    def tag(self, text: str) -> str:
        """Give a name for a text that only this node can work out: 32 hex digits.

        The same text has the same name for ever; who knows the text cannot guess it.
        """
        return hmac.new(self._tags, text.encode(), hashlib.sha256).hexdigest()[:32]

    def __repr__(self) -> str:
        return "Seal(...)"
