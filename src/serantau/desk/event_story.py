"""One row's story: where it is from, why it has its owner, and what came of it here.

This holds frames, and is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

import polars as pl

from serantau.clock import instant
from serantau.desk.lane_ask import as_object, find
from serantau.desk.notify import Notify, with_findings
from serantau.lane.frame import EVENTS
from serantau.lane.why import why
from serantau.node import Node
from serantau.records.batches import Batch, Batches
from serantau.records.database import Tx
from serantau.records.notices import Delivery, Notice, Notices
from serantau.rules.notice import LEFT_OUT
from serantau.rules.stix import id_key

MOST_INDICATORS: Final = 50
# Of an object that everything refers to, some are looked at.
_REFERENCES: Final = 1000


@dataclass(frozen=True, slots=True)
class Matched:
    """An indicator that a row fits. cases: (id, name) of those it is evidence in."""

    id: str
    here: bool
    cases: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a row.

    row: its columns that have a value; instants as such, `extra` as an object. why: how
    it got its owner, in sentences. batch: where it is from. notice: the last one that
    told the owner of the same finding, with its deliveries. left: why no notice tells
    of it, a key of rules.notice.LEFT_OUT; empty when one did, or will (`due`).
    """

    name: str
    row: Mapping[str, Any]
    why: Sequence[str]
    batch: Batch
    notice: Notice | None
    deliveries: Sequence[Delivery]
    left: str
    due: bool
    matched: Sequence[Matched]


def tell_story(node: Node, name: str) -> Story:
    """Tell the story of the row that `lane_ask.named` gave a name.

    Raises:
        BadRequest: it is no such name.
        NotFound: there is no such row.
    """
    row = find(node, name)
    frame = pl.DataFrame([row], schema=EVENTS)
    with node.db.read() as tx:
        batch = Batches().get(tx, row["batch"])
        notice, deliveries = _notice(node, tx, row, frame)
        ids = (row["indicators"] or "").split(",") if row["indicators"] else []
        matched = [_matched(node, tx, one) for one in ids[:MOST_INDICATORS]]
    left, due = ("", False) if notice else _left(node, row, frame)
    return Story(
        name,
        {key: _plain(value) for key, value in row.items() if value is not None},
        why(row),
        batch,
        notice,
        deliveries,
        left,
        due,
        matched,
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "astimezone"):
        return instant(value.astimezone(UTC).isoformat())
    return as_object(value)


def _notice(
    node: Node, tx: Tx, row: Mapping[str, Any], frame: pl.DataFrame
) -> tuple[Notice | None, Sequence[Delivery]]:
    """Find the notice that told of the row's finding last."""
    held = node.registry.parties(tx).get(row["party"] or "")
    if held is None:
        return None, ()
    notices = Notices()
    finding = int(with_findings(frame)["finding"][0])
    number = notices.teller(tx, held[0], finding)
    if number is None:
        return None, ()
    return notices.get(tx, number), notices.deliveries(tx, number)


def _left(node: Node, row: Mapping[str, Any], frame: pl.DataFrame) -> tuple[str, bool]:
    """Say why no notice would tell of the row, as making one now would."""
    outlook = Notify(node, "").plan(frame, f"{row['time']:%Y-%m-%d}")
    for plan in outlook.plans:
        if plan.rows:
            return "", True
        for reason in LEFT_OUT:
            if reason in plan.left:
                return reason, False
    return "nobody's", False


def _matched(node: Node, tx: Tx, indicator: str) -> Matched:
    """Look up an indicator, and the cases in which it is evidence."""
    rows = tx.rows(
        "SELECT DISTINCT b.id, b.name FROM (SELECT source FROM edge "
        "WHERE target = :key LIMIT :most) g JOIN case_entry e ON e.added = g.source "
        "JOIN case_board b ON b.id = e.case_id ORDER BY b.name",
        key=id_key(indicator),
        most=_REFERENCES,
    )
    here = bool(node.search.versions(tx, indicator))
    return Matched(indicator, here, [(str(one.id), str(one.name)) for one in rows])
