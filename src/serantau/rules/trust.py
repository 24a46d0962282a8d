"""Whose key is whose: pins that people made, and what follows from them.

A key is believed because a person compared its fingerprint, or because one that is
believed says so. A key that merely came first is believed by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from serantau.rules.key import Key, State
from serantau.rules.party import Kind
from serantau.rules.signature import UNSIGNED_TYPES, Examined, Standing, examine
from serantau.rules.statement import Claims, Told

_BOUND: Final = frozenset({Kind.MEMBER, Kind.COORDINATOR})
_VOUCH: Final = _BOUND | {Kind.OWN}
_ENDS: Final = {
    Told.ROTATION: State.RETIRED,
    Told.COMPROMISE: State.COMPROMISED,
    Told.LOSS: State.LOST,
}


class Demand(StrEnum):
    """What is asked of a peer's objects, besides that none is invalid.

    members: what members make is signed with a key that is pinned. pinned: only what is
    by somebody whose key is pinned. all: everything is signed with such a key.
    """

    MEMBERS = "members"
    PINNED = "pinned"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Pin:
    """A key that a person, or the profile, said is a party's. identity: whose it is."""

    party: str
    identity: str
    key: Key


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it came here. at: the instant of its arrival."""

    data: Mapping[str, Any]
    claims: Claims
    at: int

    @property
    def maker(self) -> str:
        """Give the identity that states it."""
        return str(self.data.get("created_by_ref", ""))


@dataclass(frozen=True, slots=True)
class Keyring:
    """Whose keys are known, and who must sign.

    keys: by identity. bound: identities of members, whose objects must be signed.
    pinned: identities of whom a key is pinned, whoever they are.
    """

    keys: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an object is not admitted."""

    rule: str
    got: str
    expected: str


def keyring(
    pins: Iterable[Pin],
    parties: Mapping[str, Kind],
    statements: Sequence[Statement],
) -> Keyring:
    """Work out which keys hold.

    1. A pinned key is its party's.
    2. A compromise or a loss holds when a coordinator and another member, neither of
       them the subject, claim the same of it, each with a signature that is valid.
    3. A rotation holds when the subject's old key signed it and was believed when it
       came; of several by one key the first that came holds.
    4. What holds may prove further statements, and disprove rotations: so it is worked
       out anew until nothing more is countersigned.

    Args:
        pins: pinned keys, of whom it is known who they are.
        parties: what each identity that belongs to a party is; `own` for this node's.
        statements: in the order in which they came here.
    """
    pins = list(pins)
    vouched: set[Claims] = set()
    while True:
        rings = _rings(pins, statements, vouched)  # 1, 3
        keys = {identity: tuple(ring.values()) for identity, ring in rings.items()}
        more = _countersigned(keys, parties, statements) - vouched  # 2
        if not more:
            break
        vouched |= more  # 4
    return Keyring(
        keys,
        frozenset(one for one, kind in parties.items() if kind in _BOUND),
        frozenset(rings),
    )


def objection(
    creator: str,
    kind: str,
    examined: Examined,
    ring: Keyring,
    demand: Demand,
    *,
    from_peer: bool,
) -> Objection | None:
    """Say why an object that came is not admitted; None when it is.

    1. Never one whose signature is invalid.
    2. What somebody makes whose key is pinned is signed with that key. A signature that
       was taken off is told from one that never was by nothing else.
    3. What a member makes is signed too, and the key has to be pinned first.
    4. Whatever else comes unsigned, or signed with a key that nobody compared, is
       admitted as that, unless everything is to be signed.

    Args:
        creator: the identity that it says made it.
        kind: its type.
        examined: what was found of its signature.
        ring: whose keys are known.
        demand: what is asked of whoever brings it.
        from_peer: a peer brings it; 3 is asked of peers.
    """
    standing = examined.standing
    if standing is Standing.VALID:
        return None
    if standing is Standing.INVALID:  # 1
        return Objection("signature-invalid", examined.reason, "a valid signature")
    if kind in UNSIGNED_TYPES:
        return None
    if creator in ring.pinned:  # 2
        expected = f"a signature with a key that is pinned for {creator}"
        if standing is Standing.UNSIGNED:
            return Objection("signature-missing", examined.reason, expected)
        return Objection("unknown-key", examined.reason, expected)
    if from_peer and demand is not Demand.PINNED and creator in ring.bound:  # 3
        return Objection(
            "key-not-pinned",
            f"an object of {creator}, a member whose key nobody here has compared",
            "a pinned key: compare the words of `serantau key show` there, "
            "then `serantau key pin` here",
        )
    if from_peer and demand is Demand.ALL:  # 4
        return Objection(
            "not-signed" if standing is Standing.UNSIGNED else "unknown-key",
            examined.reason,
            "a signature with a pinned key, as this peer's policy is `all`",
        )
    return None


def _rings(
    pins: Sequence[Pin], statements: Sequence[Statement], vouched: Iterable[Claims]
) -> dict[str, dict[str, Key]]:
    """Give the keys of each identity, by id, when these claims are countersigned."""
    rings: dict[str, dict[str, Key]] = {}
    for pin in pins:
        rings.setdefault(pin.identity, {})[pin.key.id] = pin.key
    ends = sorted(vouched, key=lambda claims: claims.since)
    turns = [each for each in statements if each.claims.told is Told.ROTATION]
    while True:
        for claims in ends:
            _end(rings, claims)
        turn = next((each for each in turns if _turns(rings, each)), None)
        if turn is None:
            return rings
        turns.remove(turn)
        # Of several by one key the first that came holds.
        turns = [one for one in turns if one.claims.key_id != turn.claims.key_id]
        _end(rings, turn.claims)


def _end(rings: dict[str, dict[str, Key]], claims: Claims) -> None:
    """End a key as claimed, and let the one that follows begin."""
    ring = rings.get(claims.subject, {})
    old = ring.get(claims.key_id)
    if old is None:
        return
    # A key that was retired may turn out to be in other hands; never the reverse.
    worse = claims.told is not Told.ROTATION and old.state is State.RETIRED
    if old.state is State.ACTIVE or worse:
        ring[old.id] = replace(old, until=claims.since, state=_ENDS[claims.told])
    if claims.new is not None:
        ring.setdefault(claims.new.id, replace(claims.new, since=claims.since))


def _turns(rings: Mapping[str, Mapping[str, Key]], each: Statement) -> bool:
    """Say whether a rotation is signed with the key that it ends, believed then."""
    claims = each.claims
    old = rings.get(claims.subject, {}).get(claims.key_id)
    if old is None or each.maker != claims.subject:
        return False
    found = examine(each.data, {claims.subject: (old,)}, each.at)
    return found.standing is Standing.VALID


def _countersigned(
    keys: Mapping[str, Sequence[Key]],
    parties: Mapping[str, Kind],
    statements: Sequence[Statement],
) -> set[Claims]:
    """Find the claims that enough parties make."""
    makers: dict[Claims, set[str]] = {}
    for each in statements:
        claims, maker = each.claims, each.maker
        if (
            claims.told is Told.ROTATION
            or maker == claims.subject
            or parties.get(maker) not in _VOUCH
            or examine(each.data, keys, each.at).standing is not Standing.VALID
        ):
            continue
        makers.setdefault(claims, set()).add(maker)
    return {
        claims
        for claims, several in makers.items()
        if len(several) > 1 and any(parties[one] is Kind.COORDINATOR for one in several)
    }
