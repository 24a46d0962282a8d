"""How what is published on behalf travels: the coordinator asks, the member answers."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from serantau import typed
from serantau.wire.connection import Connection, clean

PATH: Final = "/federation/behalf"
MOST: Final = 1_000
"""Objects of one parcel, and ids in one question."""

_HAND: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a coordinator says when it asks a member.

    hand, step: the parcel that it has now; empty for none. refused: ids of what it will
    not publish, whoever handed it over: each member finds its own among them. sealed:
    whether it can keep an origin encrypted.
    """

    hand: str = ""
    step: int = 0
    refused: tuple[str, ...] = ()
    sealed: bool = False


class Parcel(msgspec.Struct, frozen=True):
    """What is handed over at a time.

    hand: a random id. step: counts the parcels of this one. token: proves that they
    come from the same origin. sealed: whether the coordinator shall keep the origin,
    encrypted. revoked: ids to be revoked. objects: to be published, without their times
    of creation.
    """

    hand: str
    step: int
    token: str
    sealed: bool
    revoked: tuple[str, ...]
    objects: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        """Refuse one that is not as agreed.

        Raises:
            ValueError: it is not.
        """
        if not (_HAND.fullmatch(self.hand) and _TOKEN.fullmatch(self.token)):
            raise ValueError("its id or token is none")
        if self.step < 1 or max(len(self.objects), len(self.revoked)) > MOST:
            raise ValueError("its step is none, or it is too large")


class _Answer(msgspec.Struct, frozen=True):
    parcel: Parcel | None


def read_question(body: bytes) -> Question:
    """Read what a coordinator asks.

    Raises:
        ValueError: it is no question.
    """
    question = typed.read(body, Question)
    if len(question.refused) > MOST:
        raise ValueError(f"it names more than {MOST} ids")
    return question


def pack(parcel: Parcel) -> bytes:
    """Write a parcel as it is answered with."""
    return msgspec.json.encode(_Answer(parcel))


NOTHING: Final = msgspec.json.encode(_Answer(None))


def ask(line: Connection, question: Question) -> Parcel | None:
    """Ask a member's node for the next parcel; None when there is no more.

    Raises:
        PeerError: it did not answer as agreed.
    """
    answer = line.post(line.url.join(PATH), msgspec.json.encode(question))
    try:
        return typed.read(answer.body, _Answer).parcel
    except (ValueError, RecursionError) as fault:
        raise line.fault(
            f"sent at {answer.url.path} what cannot be read: {clean(str(fault))}",
            "a parcel, or none",
            mend="Its node may be of another version: compare the versions.",
        ) from fault
