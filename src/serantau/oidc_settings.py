"""The settings of signing in at a provider."""

from __future__ import annotations

import msgspec

from serantau.errors import ConfigError


class OidcSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider (OpenID Connect) at which people sign in to the pages.

    issuer: its address, as it writes it itself; empty: none. client_id: what it calls
    this node. client_secret_file: file with the secret between the two. title: what
    people call it. claim: a claim of its tokens without which nobody comes in, and
    roles: the role that each of its values gives, of several the one with most powers;
    without a claim the role stays as an administrator set it.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    title: str = ""
    claim: str = ""
    roles: dict[str, str] = {}

    def check(self, place: str) -> None:
        """Make sure that what goes together is there.

        Raises:
            ConfigError: it is not.
        """
        if not self.issuer:
            return
        if not self.issuer.startswith(("https://", "http://")):
            raise ConfigError(
                f"{place}.issuer is {self.issuer!r}, expected https://..."
            )
        if not (self.client_id and self.client_secret_file):
            raise ConfigError(
                f"{place}.issuer needs {place}.client_id and {place}.client_secret_file"
            )
        if bool(self.claim) != bool(self.roles):
            raise ConfigError(f"{place}.claim and {place}.roles go together")
