"""What nodes of our kind tell each other of recalls. Nothing of it is believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from serantau import typed
from serantau.wire.connection import Connection, clean

PATH: Final = "/federation/recalls"
MOST: Final = 500
"""Recalls, or answers, of one message at most."""


class Item(msgspec.Struct, frozen=True):
    """A recall as it was signed, and the number behind which to go on."""

    number: int
    signed: str


class Items(msgspec.Struct, frozen=True):
    """Recalls for whoever asks, in the order of their numbers."""

    recalls: list[Item]


class Reported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a party answers to a recall: as it signed it, empty for not yet."""

    recall: str
    party: str
    answer: str = ""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers of a node, and of those whom it told."""

    answers: list[Reported]


def ask_recalls(line: Connection, after: int) -> list[Item]:
    """Ask for the recalls behind a number.

    Raises:
        PeerError: the peer did not answer as agreed.
    """
    url = line.url.join(PATH).copy_merge_params({"after": str(after)})
    answer = line.get(url)
    try:
        found = typed.read(answer.body, Items).recalls
    except msgspec.DecodeError as fault:
        raise line.fault(
            f"tells of recalls what cannot be read: {clean(str(fault))}",
            "what docs/recall.md describes",
            mend="Its node may be of another version: compare the versions.",
        ) from fault
    numbers = [one.number for one in found]
    if (
        len(found) > MOST
        or numbers != sorted({*numbers})
        or min(numbers, default=after + 1) <= after
    ):
        raise line.fault(
            f"tells of recalls {numbers[:3]} after {after}",
            f"at most {MOST}, by growing numbers",
        )
    return found


def hand_back(line: Connection, answers: Sequence[Reported]) -> None:
    """Hand answers to whom a recall came from.

    Raises:
        PeerError: the peer did not take them.
    """
    body = msgspec.json.encode(Report(list(answers)))
    line.post(line.url.join(f"{PATH}/answers"), body)


def read_report(body: bytes) -> list[Reported]:
    """Read what was handed back.

    Raises:
        ValueError: it is none, or too much.
    """
    try:
        found = typed.read(body, Report).answers
    except msgspec.DecodeError as fault:
        raise ValueError(str(fault)) from fault
    if len(found) > MOST:
        raise ValueError(f"{len(found)} answers, expected {MOST} at most")
    return found
