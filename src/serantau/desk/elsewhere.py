"""Signing in at a provider that this node's administrator named.

A provider makes no accounts: a person who is here links what it is called there, when
it is signed in or by its invitation. From then on that name there lets it in here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from serantau.errors import ConfigError, Forbidden, NotFound
from serantau.node import Node
from serantau.records import factors
from serantau.records.acts import By, acting, decided
from serantau.records.database import Tx
from serantau.records.people import Account, account
from serantau.records.sessions import Sessions
from serantau.rules.role import ROLES
from serantau.wire.oidc import Provider, Secrets

PURPOSE: Final = "oidc"
SECONDS: Final = 600
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in at the provider that was begun.

    user: whom it is to be linked to, 0 for whoever it is. invited: by an invitation.
    """

    secrets: Secrets
    user: int
    invited: bool
    back: str


@dataclass(frozen=True, slots=True)
class Known:
    """Who came back. user: an account's name. linked: it was linked just now."""

    user: str
    back: str
    linked: bool


class Elsewhere:
    """The provider of one node."""

    def __init__(self, node: Node) -> None:
        """Take people in whom the provider of `node` knows."""
        self._node = node

    def _provider(self) -> Provider:
        """Give the provider.

        Raises:
            NotFound: none is configured.
            ConfigError: our secret there cannot be read.
        """
        section = self._node.config.oidc
        if not section.issuer:
            raise NotFound("No provider is configured here.")
        path = self._node.config.home / Path(section.client_secret_file)
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"oidc.client_secret_file: {path}: {fault}.") from fault
        return Provider(section, secret)

    def begin(
        self, come_back: str, back: str, user: int = 0, *, invited: bool = False
    ) -> tuple[str, str]:
        """Begin a sign-in there; gives where to go, and the secret of its ticket.

        Args:
            come_back: where the provider sends the browser.
            back: the page to open then.
            user: whom it is to be linked to, 0 for whoever it is.
            invited: that user holds an invitation, and is not signed in.
        """
        made = Secrets("", *(secrets.token_urlsafe(_BYTES) for _ in range(2)))
        provider = self._provider()
        with self._node.db.write() as tx:
            body = {**asdict(made), "back": back, "invited": invited}
            state = Sessions.issue(tx, PURPOSE, user, SECONDS, body)
        made = Secrets(state, made.nonce, made.verifier)
        return provider.address(made, come_back), state

    def begun(self, state: str) -> Begun | None:
        """Give the sign-in that a browser comes back to, once."""
        with self._node.db.write() as tx:
            found = Sessions.redeem(tx, PURPOSE, state)
        if found is None:
            return None
        body = found.says
        made = Secrets(state, body["nonce"], body["verifier"])
        return Begun(made, found.user, body["invited"], body["back"])

    def finish(self, begun: Begun, code: str, come_back: str) -> Known:
        """Take in who came back from the provider.

        Raises:
            PeerError: the provider does not answer as it should.
            Forbidden: it does not say who this is, or nobody here is linked to that.
        """
        now = self._node.clock.now() // 1_000_000
        claims = self._provider().claims(code, begun.secrets, come_back, now)
        section = self._node.config.oidc
        key = f"{section.issuer}|{claims['sub']}"
        with self._node.db.write() as tx:
            held = factors.find(tx, factors.OIDC, key)
            user = begun.user or (held.user if held else 0)
            who = account(tx, user)
            if who is None:
                raise Forbidden(
                    "Nobody here is linked to who you are there.",
                    mend="Sign in by your password or your invitation, and link it.",
                )
            if held is not None and held.user != who.number:
                raise Forbidden("Another user here is linked to who you are there.")
            with acting(By(who.name, "page")):
                self._take_role(tx, who, claims)
                if held is None:
                    self._link(tx, who, key, begun)
                else:
                    factors.note_use(tx, held.number, 0)
        return Known(who.name, begun.back, held is None)

    def _link(self, tx: Tx, who: Account, key: str, begun: Begun) -> None:
        section = self._node.config.oidc
        if begun.invited and not Sessions.withdraw(tx, "invitation", who.number):
            raise Forbidden("This invitation was used, or its time is over.")
        label = section.title or section.issuer
        factors.put(tx, who.number, factors.OIDC, key, label=label)
        decided(tx, "linked a user to a provider", who.name, after={"at": label})

    def _take_role(self, tx: Tx, who: Account, claims: Mapping[str, Any]) -> None:
        """Give the role that the provider's claim says, where one is asked for."""
        section = self._node.config.oidc
        if not section.claim:
            return
        said = claims.get(section.claim, [])
        values = [said] if isinstance(said, str) else said
        if not isinstance(values, list):
            values = []
        given = [section.roles[one] for one in values if one in section.roles]
        if not given:
            raise Forbidden(
                f"The provider gives you no {section.claim} that lets you in here."
            )
        unknown = [one for one in given if one not in ROLES or ROLES[one].scoped]
        if unknown:
            raise ConfigError(f"oidc.roles names {unknown[0]!r}, expected a role.")
        role = max(given, key=lambda one: len(ROLES[one].powers))
        if role != who.role:
            self._node.registry.set_user(tx, who.name, role=role)
