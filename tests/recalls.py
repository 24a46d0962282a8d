"""Recalls as tests make them: signed by whom, of what."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commands import indicator
from serantau.clock import instant
from serantau.desk.recall import Recalling
from serantau.desk.recall_table import Line, Told
from serantau.node import Node
from serantau.records.pins import PinRow, Pins
from serantau.records.registry import Caller
from serantau.rules.marking import Recalled
from serantau.rules.recall import Answer, Kind, Recall, Said, signed_text
from serantau.rules.signature import signed
from serantau.testing import Region, Site, identity_of, signer_of
from serantau.wire.recalls import Reported


def pin(node: Node, name: str) -> None:
    """Pin the key of a member that needs no node of its own."""
    key = signer_of(name).key
    with node.db.write() as tx:
        Pins().put(tx, PinRow(name, key.id, key, identity_of(name), 0, "admin"))


def by(name: str, made: dict[str, Any]) -> dict[str, Any]:
    """Sign an object as a member's node does."""
    return signed({**made, "created_by_ref": identity_of(name)}, signer_of(name).jws)


def recall_of(made: dict[str, Any], **more: Any) -> Recall:
    """Make the recall of a version, by the one who made it unless said otherwise."""
    told: dict[str, Any] = {
        "at": 1,
        "before": instant(made["modified"]) + 1,
        "creator": made.get("created_by_ref", identity_of("my")),
        "kind": Kind.RECALLED,
        "node": "my",
        "object": made["id"],
        "realm": "live",
    }
    return Recall(**told | more)


def text_of(made: dict[str, Any], signer: str = "my", **more: Any) -> str:
    """Sign a recall of a version with a member's key."""
    return signed_text(recall_of(made, **more), signer_of(signer).jws)


def take(node: Node, text: str, peer: str = "my") -> bool:
    """Let a node take in a recall, as from a peer."""
    recalling = Recalling(node)
    with node.db.write() as tx:
        return recalling.take(tx, text, peer)


# A region of three in which recalls go round


NUMBERS = itertools.count(1)


@contextmanager
def relayed(folder: Path) -> Iterator[Region]:
    """th gives to sg, which passes on to jp; th and jp do not talk to each other."""
    with Region(folder, ["th", "sg"], partners=["jp"]) as made:
        made["sg"].follow(made["th"])
        made["jp"].follow(made["sg"])
        for site in (made["th"], made["sg"]):
            site.pin("jp")
        yield made


def of_th(**more: Any) -> dict[str, Any]:
    return indicator(next(NUMBERS), created_by_ref=identity_of("th"), **more)


def shared(region: Region, thing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Let th make something that all come to have."""
    thing = thing or of_th()
    region.load("th", [thing])
    region.sync()
    assert all(thing["id"] in site.ids() for site in region)
    region.clock.advance(seconds=60)
    return thing


def goes_round(region: Region, times: int = 2) -> None:
    """Let recalls go down and answers come back."""
    for _ in range(times):
        for name in ("th", "sg", "jp"):
            Recalling(region[name].node).settle()
            region[name].sync()


def told(site: Site, thing: dict[str, Any]) -> Told:
    (found,) = Recalling(site.node).told(thing["id"])
    return found


def line_of(site: Site, thing: dict[str, Any], party: str) -> Line:
    (found,) = (line for line in told(site, thing).lines if line.party == party)
    return found


def states(site: Site, thing: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        line.party: (line.state, line.via, line.doubt)
        for line in told(site, thing).lines
    }


def held(site: Site, thing: dict[str, Any]) -> list[tuple[str, Recalled]]:
    with site.node.db.read() as tx:
        found = site.node.search.versions(tx, thing["id"], hidden=True)
    return [(one.version, one.recalled) for one in found]


def answers(site: Site, *several: Reported, caller: str) -> int:
    """Hand answers to a node's door as one of its parties."""
    with site.node.db.read() as tx:
        number, party = site.node.registry.party(tx, caller)
    return site.federation.recalls.take_answers(
        Caller("probe", number, party, "reader"), list(several)
    )


def answer(thing: Told, party: str, signer: str, **more: Any) -> Reported:
    digest = thing.held.digest
    said = Answer(
        **{
            "at": thing.held.at + 1,
            "node": party,
            "realm": "live",
            "recall": digest,
            "state": Said.WITHDRAWN,
            "x": signer_of(signer).key.jwk["x"],
            **more,
        }
    )
    return Reported(digest, party, signed_text(said, signer_of(signer).jws))
