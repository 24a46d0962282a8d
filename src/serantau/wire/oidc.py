"""Signing in at a provider: OpenID Connect Core 1.0, authorization code with PKCE.

The provider is one that an administrator named. What it says is believed when its
signature and every claim that names us, this sign-in and the time are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from httpx2 import HTTPError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from serantau import typed
from serantau.errors import Forbidden, PeerError, PeerUnreachable
from serantau.oidc_settings import OidcSection
from serantau.wire.fetch import Fetching

T = TypeVar("T")

SCOPE: Final = "openid profile"
_DISCOVERY: Final = "openid-configuration"
_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
"""None that shares a secret, and not `none`: §3.1.3.7, RFC 8725 §3.2."""
_BYTES: Final = 1_000_000
_SECONDS: Final = 10.0
_LEEWAY: Final = 60


class _Described(msgspec.Struct):
    """What a provider says of itself (Discovery 1.0 §3), as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class Secrets:
    """What belongs to one sign-in: random texts, known here alone until it is done."""

    state: str
    nonce: str
    verifier: str


class Provider:
    """The provider of a node's configuration."""

    def __init__(self, section: OidcSection, secret: str) -> None:
        """Work with the provider that `section` names, by our `secret` there."""
        self._section = section
        self._secret = secret

    def address(self, secrets: Secrets, back: str) -> str:
        """Give where a browser goes to sign in, and comes `back` from.

        Raises:
            PeerError: the provider does not answer as it should.
        """
        described = self._described()
        with self._client(back) as client:
            found, _ = client.create_authorization_url(
                described.authorization_endpoint,
                state=secrets.state,
                nonce=secrets.nonce,
                code_verifier=secrets.verifier,
            )
        return str(found)

    def claims(
        self, code: str, secrets: Secrets, back: str, now: int
    ) -> Mapping[str, Any]:
        """Give what the provider says of whoever came back with a code.

        Args:
            code: as it came.
            secrets: of this sign-in.
            back: where it came back to.
            now: seconds since 1970.

        Raises:
            PeerError: the provider does not answer as it should.
            Forbidden: what it says is not about this sign-in, or not from it.
        """
        described = self._described()
        try:
            with self._client(back) as client:
                token = client.fetch_token(
                    described.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=secrets.verifier,
                )
        except AuthlibBaseError as fault:
            raise Forbidden("The provider does not take this sign-in.") from fault
        except (HTTPError, OSError, ValueError) as fault:
            raise PeerUnreachable(f"The provider does not answer: {fault}.") from fault
        told: Any = self._read(described.jwks_uri, dict[str, Any])
        try:
            keys = KeySet.import_key_set(told)
            read = jwt.decode(
                str(token.get("id_token", "")), keys, algorithms=list(_ALGORITHMS)
            )
            claims = CodeIDToken(
                read.claims,
                read.header,
                options={
                    "iss": {"essential": True, "value": self._section.issuer},
                    "aud": {"essential": True, "value": self._section.client_id},
                },
                params={
                    "nonce": secrets.nonce,
                    "client_id": self._section.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=now, leeway=_LEEWAY)
        except (JoseError, AuthlibBaseError, ValueError, LookupError) as fault:
            raise Forbidden("What the provider says is not about this.") from fault
        return dict(claims)

    def _described(self) -> _Described:
        issuer = self._section.issuer
        where = f"{issuer.rstrip('/')}/.well-known/{_DISCOVERY}"
        found = self._read(where, _Described)
        if found.issuer != issuer:
            raise PeerError(
                f"The provider is {found.issuer[:200]!r}, expected {issuer!r}."
            )
        scheme = issuer.partition(":")[0]
        for each in (
            found.authorization_endpoint,
            found.token_endpoint,
            found.jwks_uri,
        ):
            if not each.startswith(("https://", f"{scheme}://")):
                raise PeerError(f"The provider names {each[:200]!r}, expected https.")
        return found

    def _read(self, address: str, kind: type[T]) -> T:
        base, _, name = address.rpartition("/")
        with Fetching(base, body_bytes=_BYTES, timeout=_SECONDS, seconds=30) as fetch:
            try:
                return typed.read(fetch(name), kind)
            except msgspec.DecodeError as fault:
                raise PeerError(f"{address[:200]} is not as expected.") from fault

    def _client(self, back: str) -> Any:
        return OAuth2Client(
            self._section.client_id,
            self._secret,
            scope=SCOPE,
            redirect_uri=back,
            code_challenge_method="S256",
            timeout=_SECONDS,
            follow_redirects=False,
        )
