"""Recalls: what a creator wants back, and what each party says it has done about it.

A recall is signed by the node of the object's creator and names nobody to whom it goes,
so that it holds wherever a relay carries it. An answer is signed by the party that
gives it; nobody's signature stands for another's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

import msgspec

from serantau import typed
from serantau.rules.canonical import canonical
from serantau.rules.head import Signed, attached
from serantau.rules.key import Key, State, fits, unbase64
from serantau.rules.marking import (
    IDENTITY,
    NAME,
    Audience,
    Marking,
    MarkingSet,
    look_up,
    tlp_of,
)

# STIX 2.1 §3.1: no type of an object has a colon, so no signature of one fits here.
_RECALL: Final = "serantau:recall"
_ANSWER: Final = "serantau:recall-answer"
_VERSION: Final = 1
_DAY: Final = 86_400_000_000
REASON: Final = 1000
"""Characters of a reason at most."""

_OBJECT: Final = re.compile(
    r"[a-z0-9][a-z0-9-]{1,249}--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T", bound=msgspec.Struct)


class Kind(StrEnum):
    """Why a version is wanted back.

    narrowed: a later version is marked more strictly. revoked: a later one revokes it.
    recalled: its creator says so.
    """

    NARROWED = "narrowed"
    REVOKED = "revoked"
    RECALLED = "recalled"


class Said(StrEnum):
    """What a party answers.

    withdrawn: it leaves there no more, and nobody reads it. kept: it leaves no more,
    and is kept under a legal duty. absent: it is not held.
    """

    WITHDRAWN = "withdrawn"
    KEPT = "kept"
    ABSENT = "absent"


class Recall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a creator wants back.

    object: its id. before: versions whose `modified` is before this instant. creator:
    the identity in their `created_by_ref`. node: the member whose node says so. realm:
    in which it is. kind: why. reason: in the words of a person, read by everybody whom
    it reaches; may be empty. at: when it was said, as an instant.
    """

    at: int
    before: int
    creator: str
    kind: Kind
    node: str
    object: str
    realm: str
    reason: str = ""
    type: str = _RECALL
    v: int = _VERSION

    @property
    def digest(self) -> str:
        """Give what answers name it by: the SHA-256 of its payload."""
        return hashlib.sha256(payload_of(self)).hexdigest()


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a party says it has done.

    recall: the digest of what it answers. node: the member whose node answers. realm:
    in which it is. state: what it has done. at: when, as an instant. x: the public key
    that signs it, base64url. It is believed only where somebody compared it: who got
    something need not be one whose objects ever came here, with its key.
    """

    at: int
    node: str
    realm: str
    recall: str
    state: Said
    x: str
    type: str = _ANSWER
    v: int = _VERSION


def payload_of(said: Recall | Answer) -> bytes:
    """Give what is signed."""
    return canonical(msgspec.to_builtins(said))


def signed_text(said: Recall | Answer, sign: Callable[[bytes], str]) -> str:
    """Give the text of what is signed: a compact JWS with its payload in it.

    Args:
        said: a recall or an answer.
        sign: makes the detached JWS of a payload.
    """
    payload = payload_of(said)
    return attached(sign(payload), payload)


def read_recall(signed: Signed) -> Recall:
    """Read the payload of a recall; whose it is says `objections`.

    Raises:
        ValueError: it is none.
    """
    recall = _read(signed.payload, Recall, _RECALL)
    if (
        _OBJECT.fullmatch(recall.object) is None
        or IDENTITY.fullmatch(recall.creator) is None
        or NAME.fullmatch(recall.node) is None
        or min(recall.at, recall.before) < 0
        or len(recall.reason) > REASON
    ):
        raise ValueError("one of its values is not what it should be")
    return recall


def read_answer(signed: Signed) -> Answer:
    """Read the payload of an answer; whether it is the party's own says `unproven`.

    Raises:
        ValueError: it is none.
    """
    answer = _read(signed.payload, Answer, _ANSWER)
    Key.of(unbase64(answer.x))
    if _DIGEST.fullmatch(answer.recall) is None or answer.at < 0:
        raise ValueError("one of its values is not what it should be")
    return answer


def _read(payload: bytes, kind: type[T], name: str) -> T:
    try:
        found: Any = typed.read(payload, kind)
    except msgspec.DecodeError as fault:
        raise ValueError(f"it is no {name}: {fault}") from fault
    # Exactly one text says it, with nothing left to a default that is not signed.
    if (found.type, found.v) != (name, _VERSION) or payload_of(found) != payload:
        raise ValueError(f"it is no {name} as this version writes it")
    return cast("T", found)


def objections(
    recall: Recall,
    signed: Signed,
    *,
    realm: str,
    keys: Mapping[str, Sequence[Key]],
    makers: Sequence[str],
    now: int,
) -> list[str]:
    """Say why a recall is not to be followed; nothing when it is.

    1. It is of this realm.
    2. It is of the present or the past.
    3. Every version that is held here names its creator.
    4. It is signed with a key that is known to be its creator's, and is not to be
       doubted: one that was retired signed it in its time, one that was compromised or
       lost signed nothing that comes now.

    Args:
        recall: what it says.
        signed: as it came.
        realm: this node's.
        keys: those that are known of each identity.
        makers: the creators in the versions that are held here; none when none is.
        now: the present instant.
    """
    found = []
    if recall.realm != realm:  # 1
        found.append(f"it is of realm {recall.realm}, and this is {realm}")
    if recall.at > now + _DAY:  # 2
        found.append("it is of a time that is not yet")
    others = sorted({maker or "nobody" for maker in makers} - {recall.creator})
    if others:  # 3
        found.append(f"it is by {recall.creator}, and the object by {others[0]}")
    key = signed.signed_by(keys.get(recall.creator, ()))
    known = {each.id for each in keys.get(recall.creator, ())}
    if signed.token.key_id not in known:  # 4
        found.append(NOT_KNOWN)
    elif key is None:
        found.append("it is not as it was signed")
    elif key.until is not None and (
        key.state is not State.RETIRED or recall.at > key.until
    ):
        found.append(f"its key is {key.state}")
    return found


NOT_KNOWN: Final = "it is signed with a key that nobody here compared"
"""The one objection that a person ends, by pinning the key."""


def unproven(
    signed: Signed,
    answer: Answer,
    *,
    recall: Recall,
    party: str,
    keys: Sequence[Key],
    compared: Sequence[str] = (),
) -> str:
    """Say why an answer is not proven to be a party's; empty when it is.

    Args:
        signed: the answer as it came, by whatever way.
        answer: what it says.
        recall: what it is to answer.
        party: whose answer it is said to be.
        keys: those that are known to be the party's; a relay's own are not among them.
        compared: fingerprints that a person compared as the party's, of keys that
            nobody here has met yet.
    """
    about = (answer.recall, answer.node, answer.realm)
    if about != (recall.digest, party, recall.realm):
        return "it answers something else, or for another party"
    told = Key.of(unbase64(answer.x))
    known = [*keys, *(told for each in compared if fits(told, each))]
    if not keys and not compared:
        return f"no key of {party} is pinned"
    if signed.signed_by(known) is None:
        return f"it is not signed by {party}"
    return ""


def stricter(new: MarkingSet, old: MarkingSet, known: Mapping[str, Marking]) -> bool:
    """Say whether fewer may have something than before, or do less with it.

    In doubt it is: then somebody is told once more.
    """
    if tlp_of(new, known) > tlp_of(old, known):
        return True
    after = [look_up(ref, known) for ref in new.refs]
    before = [look_up(ref, known) for ref in old.refs]
    if _pap(after) > _pap(before) or not set(new.granular) <= set(old.granular):
        return True
    admitted = [each.audience for each in before if each.audience is not None]
    return any(
        not any(_covers(each.audience, one) for one in admitted)
        for each in after
        if each.audience is not None
    )


def _pap(markings: Sequence[Marking]) -> int:
    return max((int(each.pap) for each in markings if each.pap is not None), default=0)


def _covers(wide: Audience, narrow: Audience) -> bool:
    """Say whether all whom one audience admits are admitted by another."""
    if wide.everyone_but is None:
        return (
            narrow.everyone_but is None
            and narrow.named <= wide.named
            and narrow.circles <= wide.circles
        )
    if narrow.everyone_but is not None:
        return wide.everyone_but <= narrow.everyone_but
    return not narrow.circles and not narrow.named & wide.everyone_but


def words_of(said: Any) -> str:
    """Say the state of an answer to a person; empty for none yet."""
    return _WORDS.get(str(said or ""), str(said))


_WORDS: Final = {
    "": "no answer yet",
    Said.WITHDRAWN: "withdrawn",
    Said.KEPT: "kept under legal duty",
    Said.ABSENT: "not held",
}
