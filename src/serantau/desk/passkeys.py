"""Passkeys (WebAuthn): registered by who is signed in, and signed in with.

What a passkey is asked to sign is the secret of a ticket, so it is good once, for five
minutes, and for what it was issued for. The name that a passkey is bound to is the host
of `http.base_url`, or that which the browser asked when there is none.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import webauthn
from webauthn.helpers import bytes_to_base64url, parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from serantau import typed
from serantau.errors import BadInput, Conflict
from serantau.node import Node
from serantau.records import factors
from serantau.records.acts import decided
from serantau.records.database import Tx
from serantau.records.sessions import Sessions

REGISTER: Final = "passkey-register"
SHOW: Final = "passkey-show"
SECONDS: Final = 300
MOST: Final = 20
"""Passkeys that one user has at most."""
LONGEST: Final = 20_000


class _Response(msgspec.Struct):
    clientDataJSON: str  # noqa: N815 - WebAuthn's name


class _Shown(msgspec.Struct):
    """What of a credential is read before the library reads all of it."""

    id: str
    response: _Response


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passkey is for. host: the relying party's id; origin: of its pages."""

    host: str
    origin: str

    @property
    def usable(self) -> bool:
        """Say whether browsers keep passkeys for this host: it must have a name."""
        try:
            ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return bool(self.host)
        return False


class Passkeys:
    """The passkeys of a node's people."""

    def __init__(self, node: Node) -> None:
        """Keep those of `node`'s users."""
        self._node = node

    def place(self, host: str) -> Place:
        """Give where passkeys are for, when a browser asked `host` (with its port)."""
        http = self._node.config.http
        scheme = "https" if http.certificate else "http"
        parts = urlsplit(http.base_url or f"{scheme}://{host}")
        return Place((parts.hostname or "").lower(), f"{parts.scheme}://{parts.netloc}")

    def ask_new(self, tx: Tx, place: Place, user: int, name: str) -> str:
        """Give what a browser is told to make a passkey, as JSON.

        Raises:
            Conflict: the user has as many as it may have.
        """
        held = factors.of(tx, user, factors.PASSKEY)
        if len(held) >= MOST:
            raise Conflict(f"You have {MOST} passkeys: take one off first.")
        secret = Sessions.issue(tx, REGISTER, user, SECONDS, {})
        here = self._node.config.node
        handle = f"{here.identity}:{user}".encode()
        options = webauthn.generate_registration_options(
            rp_id=place.host,
            rp_name=f"Serantau {here.team or here.member}",
            user_name=name,
            user_id=hashlib.sha256(handle).digest(),
            challenge=webauthn.base64url_to_bytes(secret),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED,
                user_verification=UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=_named(held),
        )
        return webauthn.options_to_json(options)

    def add(
        self, tx: Tx, place: Place, user: int, name: str, label: str, shown: str
    ) -> None:
        """Keep the passkey that a browser made.

        Raises:
            BadInput: it does not answer what this user was asked just now.
        """
        credential, secret = _read(shown)
        ticket = Sessions.redeem(tx, REGISTER, secret)
        if ticket is None or ticket.user != user:
            raise BadInput("This passkey came too late.", mend="Try again.")
        try:
            made = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=webauthn.base64url_to_bytes(secret),
                expected_rp_id=place.host,
                expected_origin=place.origin,
            )
        except (WebAuthnException, ValueError) as fault:
            raise BadInput(f"The passkey cannot be used: {fault}.") from fault
        key = bytes_to_base64url(made.credential_id)
        if factors.find(tx, factors.PASSKEY, key) is not None:
            raise BadInput("This passkey is registered already.")
        factors.put(
            tx,
            user,
            factors.PASSKEY,
            key,
            secret=made.credential_public_key,
            label=label,
            counter=made.sign_count,
        )
        decided(tx, "set up a second factor", name, after={"kind": factors.PASSKEY})

    def ask(self, tx: Tx, place: Place, user: int = 0) -> str:
        """Give what a browser is told to show a passkey, as JSON.

        Args:
            tx: a transaction that writes.
            place: where it is for.
            user: whose passkeys will do, as a second factor; 0: anyone's, alone, so
                it must be unlocked by its owner.
        """
        secret = Sessions.issue(tx, SHOW, user, SECONDS, {})
        held = factors.of(tx, user, factors.PASSKEY) if user else []
        options = webauthn.generate_authentication_options(
            rp_id=place.host,
            challenge=webauthn.base64url_to_bytes(secret),
            allow_credentials=_named(held),
            user_verification=UserVerificationRequirement.PREFERRED
            if user
            else UserVerificationRequirement.REQUIRED,
        )
        return webauthn.options_to_json(options)

    def prove(self, tx: Tx, place: Place, shown: str, user: int = 0) -> int:
        """Check a passkey that a browser showed; gives whose it is, 0 for nobody's."""
        try:
            credential, secret = _read(shown)
        except BadInput:
            return 0
        ticket = Sessions.redeem(tx, SHOW, secret)
        if ticket is None or ticket.user != user:
            return 0
        held = factors.find(tx, factors.PASSKEY, str(credential["id"]))
        if held is None or (user and held.user != user):
            return 0
        try:
            found = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=webauthn.base64url_to_bytes(secret),
                expected_rp_id=place.host,
                expected_origin=place.origin,
                credential_public_key=held.secret,
                credential_current_sign_count=held.counter,
                require_user_verification=not user,
            )
        except (WebAuthnException, ValueError):
            return 0
        factors.note_use(tx, held.number, found.new_sign_count)
        return held.user


def _named(held: list[factors.Factor]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(id=webauthn.base64url_to_bytes(each.key))
        for each in held
    ]


def _read(shown: str) -> tuple[dict[str, Any], str]:
    """Give a credential, and the secret of the ticket that it answers.

    Raises:
        BadInput: it is none.
    """
    try:
        if len(shown) > LONGEST:
            raise BadInput("No passkey was shown.")
        told = typed.read(shown, _Shown)
        client = parse_client_data_json(
            webauthn.base64url_to_bytes(told.response.clientDataJSON)
        )
        credential = typed.read(shown, dict[str, Any])
    except (msgspec.DecodeError, WebAuthnException, ValueError) as fault:
        raise BadInput("No passkey was shown.", mend="Try again.") from fault
    return credential, bytes_to_base64url(client.challenge)
