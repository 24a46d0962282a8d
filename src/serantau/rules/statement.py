"""What is said about keys: which ones an identity has, and what became of one.

Both are STIX objects, so that they travel, are marked, signed and kept like all else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from serantau.clock import instant, stix_text
from serantau.rules.key import Key
from serantau.rules.marking import (
    DECLARED,
    DECLARED_BY,
    IDENTITY,
    TLP_2_IDS,
    Tlp,
)
from serantau.rules.signature import SIGNATURE_EXTENSION

KEYS_EXTENSION: Final = "extension-definition--0fa90dba-7a30-4ddc-91c0-e7f54115971e"
STATEMENT_EXTENSION: Final = (
    "extension-definition--edb15bb4-a587-47d2-a3ea-ce07e61ede55"
)
TYPE: Final = "key-statement"


class Told(StrEnum):
    """What a statement tells of a key.

    rotation: its owner signs with another from now on. compromise: somebody else may
    have it. loss: nobody has it any more.
    """

    ROTATION = "rotation"
    COMPROMISE = "compromise"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Claims:
    """What is claimed; two who claim the same say the same of all of it.

    told: what became of the key. subject: the identity whose key it is. key_id: the
    key. since: the instant from which it holds. new: the key that follows, if one does.
    """

    told: Told
    subject: str
    key_id: str
    since: int
    new: Key | None

    def document(self) -> dict[str, Any]:
        """Give the claims as properties of a statement."""
        told: dict[str, Any] = {
            "told": self.told.value,
            "subject_ref": self.subject,
            "key_id": self.key_id,
            "since": stix_text(self.since),
        }
        if self.new is not None:
            told["new_key"] = self.new.jwk
        return told


def read_claims(data: Mapping[str, Any]) -> Claims:
    """Read claims out of a statement, or out of the file that asks for one.

    Raises:
        ValueError: something is missing or is not what it should be.
    """
    try:
        told = Told(data["told"])
        subject, key_id, since = data["subject_ref"], data["key_id"], data["since"]
        new = Key.from_jwk(data["new_key"]) if "new_key" in data else None
    except KeyError as fault:
        raise ValueError(f"it has no {fault.args[0]}") from fault
    if type(subject) is not str or IDENTITY.fullmatch(subject) is None:
        raise ValueError("its subject_ref is no identity")
    if type(key_id) is not str or type(since) is not str:
        raise ValueError("its key_id or its since is not a text")
    if told is Told.ROTATION and new is None:
        raise ValueError("a rotation without the key that follows")
    if new is not None and new.id == key_id:
        raise ValueError("the key that follows is the same")
    return Claims(told, subject, key_id, instant(since), new)


def make_statement(
    claims: Claims, creator: str, object_id: str, now: int
) -> dict[str, Any]:
    """Write the object in which `creator` states something, not signed yet."""
    at = stix_text(now)
    return {
        "type": TYPE,
        "spec_version": "2.1",
        "id": object_id,
        "created_by_ref": creator,
        "created": at,
        "modified": at,
        # Whoever has an object of the subject needs it, and it tells nothing else.
        "object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]],
        **claims.document(),
        "extensions": {STATEMENT_EXTENSION: {"extension_type": "new-sdo"}},
    }


def declare_keys(data: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """Give an identity object that says which key it signs with."""
    declared = {"extension_type": "property-extension", "keys": [key.jwk]}
    extensions = {**data.get("extensions", {}), KEYS_EXTENSION: declared}
    return {**data, "extensions": extensions}


def declared_keys(data: Mapping[str, Any]) -> tuple[Key, ...]:
    """Read the keys that an identity object declares; none where it is not readable."""
    extensions = data.get("extensions")
    declared = extensions.get(KEYS_EXTENSION) if type(extensions) is dict else None
    keys = declared.get("keys") if type(declared) is dict else None
    if type(keys) is not list:
        return ()
    try:
        return tuple(Key.from_jwk(each) for each in keys)
    except ValueError:
        return ()


def key_extension_objects() -> list[dict[str, Any]]:
    """Give the definitions of the extensions that carry signatures, keys, statements.

    They are made by the same author as those of audiences, and TLP:CLEAR like them.
    """
    return [
        {
            "type": "extension-definition",
            "id": extension,
            **DECLARED,
            "created_by_ref": DECLARED_BY,
            "name": name,
            "description": description,
            "schema": schema,
            "version": "1.0",
            "extension_types": [kind],
        }
        for extension, name, description, schema, kind in _EXTENSIONS
    ]


_EXTENSIONS: Final = (
    (
        SIGNATURE_EXTENSION,
        "Signature",
        "The signature of an object by its creator.",
        "A property-extension of any object that has created_by_ref. Member 'jws': a "
        "detached compact JWS (RFC 7515 appendix F, header..signature) whose protected "
        "header is exactly alg (EdDSA or Ed25519) and kid (the RFC 7638 thumbprint of "
        "the key), and whose payload is the RFC 8785 text of the object without this "
        "extension; an 'extensions' that is empty then is left out too.",
        "property-extension",
    ),
    (
        KEYS_EXTENSION,
        "Signing keys",
        "The public keys with which an identity signs.",
        "A property-extension of identity. Member 'keys': a list of public JWKs of "
        "kty OKP and crv Ed25519 (RFC 8037), each with exactly kty, crv and x. It "
        "makes no key trusted: people compare fingerprints.",
        "property-extension",
    ),
    (
        STATEMENT_EXTENSION,
        "Statement about a key",
        "What became of a signing key, and which one follows.",
        "A new-sdo, type key-statement. 'told': rotation, compromise or loss. "
        "'subject_ref': the identity whose key it is. 'key_id': its RFC 7638 "
        "thumbprint. 'since': a timestamp. 'new_key': a public JWK, required for a "
        "rotation. A rotation is signed with the old key. Of a compromise or a loss "
        "two parties make statements that claim the same: a coordinator, and another "
        "member.",
        "new-sdo",
    ),
)
