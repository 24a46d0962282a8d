"""The signature of an object: what is signed, and how it stands with one that came.

An object carries its signature in an extension of its own: a detached JWS over the
canonical text of everything else in it. So whoever relays the object changes nothing,
and anybody may verify it. An observable and a marking are not signed: their ids are
made of what they say, or they can only restrict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from serantau.rules import jws
from serantau.rules.canonical import agreed
from serantau.rules.key import Key, State
from serantau.rules.properties import OBSERVABLES

SIGNATURE_EXTENSION: Final = (
    "extension-definition--e8143af0-1714-41f5-a7a3-211e757079a3"
)
_MEMBERS: Final = {"extension_type", "jws"}
_KIND: Final = "property-extension"
UNSIGNED_TYPES: Final = OBSERVABLES | {"marking-definition"}


class Standing(StrEnum):
    """How it stands with an object's signature.

    valid: its creator's key signed exactly this. unsigned: it has none. unknown_key: it
    is signed with a key that is not known here as its creator's. invalid: it is not the
    signature of this object, or the key must not be believed.
    """

    VALID = "valid"
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    INVALID = "invalid"


class Examined(NamedTuple):
    """What was found. reason: in words. key_id: of the key that it says it is by."""

    standing: Standing
    reason: str
    key_id: str = ""


_NONE: Final = Examined(Standing.UNSIGNED, "it carries no signature")


def signable(data: Mapping[str, Any], identity: str) -> bool:
    """Say whether an object is one that its creator, `identity`, signs."""
    return (
        bool(identity)
        and data.get("created_by_ref") == identity
        and data.get("type") not in UNSIGNED_TYPES
    )


def is_signed(data: Mapping[str, Any]) -> bool:
    """Say whether an object carries a signature, be it right or wrong."""
    extensions = data.get("extensions")
    return type(extensions) is dict and SIGNATURE_EXTENSION in extensions


def payload(data: Mapping[str, Any]) -> bytes:
    """Write what is signed: the canonical text of all but the signature.

    Raises:
        ValueError: the object has no canonical text that all readers read alike.
    """
    return agreed(unsigned(data))


def unsigned(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give an object without its signature; without an empty `extensions` too."""
    bare = dict(data)
    extensions = bare.get("extensions")
    if type(extensions) is dict:
        rest = {k: v for k, v in extensions.items() if k != SIGNATURE_EXTENSION}
        if rest:
            bare["extensions"] = rest
        else:
            del bare["extensions"]
    return bare


def signed(data: Mapping[str, Any], sign: Callable[[bytes], str]) -> dict[str, Any]:
    """Give an object with a signature, in place of any that it has.

    Args:
        data: the object.
        sign: makes the detached JWS of a payload.

    Raises:
        ValueError: as `payload`.
    """
    bare = unsigned(data)
    mark = {"extension_type": _KIND, "jws": sign(agreed(bare))}
    bare["extensions"] = {**bare.get("extensions", {}), SIGNATURE_EXTENSION: mark}
    return bare


def examine(
    data: Mapping[str, Any],
    keys: Mapping[str, Sequence[Key]],
    at: int | None = None,
    *,
    modified: int = 0,
) -> Examined:
    """Find how it stands with an object's signature, in this order.

    1. No signature: unsigned.
    2. The extension is exactly what `signed` writes, with a JWS that can be read.
    3. The key is one of the creator's: else it is a key that is not known here.
    4. The signature is the key's, over this object.
    5. The key may be believed: a retired one for versions from its time, or that came
       in its time; one that was compromised or lost only for what came in its time. A
       thief can write any date into an object, but not when it came here.

    Args:
        data: the object.
        keys: the keys of each creator, by its identity's id.
        at: the instant at which this node first had it; None when it just arrives.
        modified: the version's instant.
    """
    extensions = data.get("extensions")
    if type(extensions) is not dict or SIGNATURE_EXTENSION not in extensions:  # 1
        return _NONE
    mark = extensions[SIGNATURE_EXTENSION]
    # Anything else in there would be covered by no signature.
    if type(mark) is not dict or set(mark) != _MEMBERS:  # 2
        return _invalid("its extension is not exactly extension_type and jws")
    if mark["extension_type"] != _KIND:
        return _invalid(f"its extension_type is not {_KIND}")
    try:
        token = jws.read(mark["jws"])
    except ValueError as fault:
        return _invalid(str(fault))
    creator = data.get("created_by_ref")
    known = keys.get(creator, ()) if type(creator) is str else ()
    key = next((each for each in known if each.id == token.key_id), None)
    if key is None:  # 3
        whose = creator if type(creator) is str else "nobody: it names no creator"
        reason = f"key {token.key_id} is not known here as one of {whose}"
        return Examined(Standing.UNKNOWN_KEY, reason, token.key_id)
    try:
        proven = jws.proves(token, payload(data), key.public)
    except ValueError as fault:
        return _invalid(str(fault), key.id)
    if not proven:  # 4
        return _invalid("something in it is not as it was signed", key.id)
    return _believed(key, at, modified)  # 5


def _believed(key: Key, at: int | None, modified: int) -> Examined:
    if key.until is not None:
        late = at is None or at > key.until
        if key.state is State.RETIRED and late and modified > key.until:
            return _invalid("it was made after its key was retired", key.id)
        if key.state in {State.COMPROMISED, State.LOST} and (
            at is None or at >= key.until
        ):
            return _invalid(f"its key was {key.state} before it came here", key.id)
    return Examined(Standing.VALID, "signed by its creator", key.id)


def _invalid(reason: str, key_id: str = "") -> Examined:
    return Examined(Standing.INVALID, reason, key_id)
