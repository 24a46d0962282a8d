"""Which objects explain a marking, and which circles of this node they name."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from serantau.records import tables
from serantau.records.database import Tx
from serantau.rules.marking import Marking, read_marking
from serantau.rules.stix import id_key

TYPE = "marking-definition"


def define(tx: Tx, found: Iterable[tuple[int, Marking]]) -> None:
    """Remember marking definitions, and the circles that they name.

    Args:
        tx: the write transaction that admits them.
        found: the stamp of each, and what it means.
    """
    rows = []
    for added, marking in found:
        named = marking.audience.circles if marking.audience else ()
        rows += [(added, circle) for circle in ("", *sorted(named))]
    tx.insert_many(tables.definition, ("added", "circle"), rows)


def forget(tx: Tx, added: int) -> None:
    """Forget the one with this stamp."""
    tx.run("DELETE FROM definition WHERE added = :added", added=added)


def naming(tx: Tx, circle: str) -> list[str]:
    """Give the ids of the markings whose definitions name a circle, by its id."""
    rows = tx.rows(
        "SELECT DISTINCT o.id FROM definition d JOIN object o ON o.added = d.added "
        "WHERE d.circle = :circle",
        circle=circle,
    )
    return [row.id for row in rows]


def known(tx: Tx, only: Iterable[str] | None = None) -> dict[str, Marking]:
    """Give every marking that a definition in this store explains, by id.

    STIX 2.1 §7.2.1: a marking definition has no versions. Where two are held under
    one id, neither is believed.

    Args:
        tx: any transaction.
        only: ids of those that are asked for; all without it.
    """
    found: dict[str, Marking] = {}
    # SQLite joins in the order that stands here: few are asked for of many.
    order, chosen, keys = "definition d CROSS JOIN object o", "", {}
    if only is not None:
        order = "object o CROSS JOIN definition d"
        chosen = f"AND {tx.among('o.key', 'keys')} "
        keys = {"keys": tx.array(map(id_key, only))}
    for row in tx.rows(
        f"SELECT o.id, o.body FROM {order} "
        f"WHERE d.added = o.added AND d.circle = '' {chosen}ORDER BY o.added",
        **keys,
    ):
        marking = read_marking(orjson.loads(bytes(row.body)))
        if found.setdefault(row.id, marking) != marking:
            found[row.id] = Marking(row.id, "unknown", text="two definitions of it")
    return found
