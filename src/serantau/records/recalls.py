"""Recalls as they are kept: what was wanted back, who was told, what they answered.

Which versions a recall covers is asked wherever versions get their slots
(`records.objects`), so what was recalled is withheld by its verdict, by whatever way
and however often it comes in again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.records import recall_tables
from serantau.records.admission import Admission
from serantau.records.database import Tx
from serantau.rules.marking import MarkingSet, Recalled
from serantau.rules.recall import Kind, Recall, Said
from serantau.rules.redaction import derived_ids
from serantau.rules.stix import ObjectVersion, id_key

HIDDEN: Final = (
    '(SELECT 2 * n FROM marking_set WHERE key LIKE \'%"recalled":"hidden"%\')'
)
"""SQL for the slots of newest versions that nobody here is shown any more."""
GONE: Final = "(SELECT 2 * n FROM marking_set WHERE key LIKE '%\"recalled\":%')"
"""SQL for the slots of newest versions that were recalled, kept or not."""
_MOST: Final = 500


def recalled_of(key: str) -> Recalled:
    """Tell from the key of a marking set whether what it marks was recalled."""
    # What others wrote stands in a key with its quotes escaped.
    if '"recalled":' not in key:
        return Recalled.NO
    return MarkingSet.from_key(key).recalled


@dataclass(frozen=True, slots=True)
class Cover:
    """Versions that were recalled: of this object and creator, before this instant."""

    object: str
    creator: str
    before: int
    hold: Recalled


@dataclass(frozen=True, slots=True)
class Held:
    """A recall as it is kept; `rules.recall.Recall` tells of the rest.

    came: when it came here. mine: it is of this node's own object. hold: what is done
    with what it covers. fault: why it is not believed; empty when it is. looked: when
    the release log was last looked through for it, 0 never.
    """

    number: int
    digest: str
    object: str
    before: int
    kind: Kind
    creator: str
    node: str
    reason: str
    at: int
    came: int
    signed: str
    mine: bool
    hold: Recalled
    fault: str
    looked: int


@dataclass(frozen=True, slots=True)
class Covered:
    """A version that a recall is about: its stamp, marking set, version and digest."""

    added: int
    marking_set: int
    version: str
    sha256: str
    creator: str
    modified: int


@dataclass(frozen=True, slots=True)
class Due:
    """A new version of an own object, its own markings, and those of earlier ones."""

    added: int
    object: str
    modified: int
    revoked: bool
    marked: MarkingSet
    before: tuple[MarkingSet, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """An object that is kept because the law says so; who said so, when and why."""

    object: str
    reason: str
    actor: str
    at: int


_HELD: Final = (
    "SELECT n, digest, object, before, kind, creator, node, reason, at, came, signed, "
    "mine, hold, fault, looked FROM recall "
)


class Recalls:
    """The rows of recalls."""

    @staticmethod
    def covering(tx: Tx, keys: Iterable[int]) -> dict[int, list[Cover]]:
        """Give what of some objects was recalled, by the key of their ids."""
        if tx.value("SELECT 1 FROM recall LIMIT 1") is None:
            return {}
        found: dict[int, list[Cover]] = {}
        for row in tx.rows(
            "SELECT key, object, creator, before, hold FROM recall WHERE hold > 0 AND "
            + tx.among("key", "keys"),
            keys=tx.array(keys),
        ):
            cover = Cover(row.object, row.creator, int(row.before), Recalled(row.hold))
            found.setdefault(int(row.key), []).append(cover)
        return found

    @staticmethod
    def put(
        tx: Tx,
        recall: Recall,
        signed: str,
        *,
        mine: bool,
        hold: Recalled,
        fault: str = "",
    ) -> Held:
        """Keep a recall that is not here yet."""
        tx.insert(
            recall_tables.recall,
            {
                "digest": recall.digest,
                "object": recall.object,
                "key": id_key(recall.object),
                "before": recall.before,
                "kind": str(recall.kind),
                "creator": recall.creator,
                "node": recall.node,
                "reason": recall.reason.replace("\x00", " "),
                "at": recall.at,
                "came": tx.clock.now(),
                "signed": signed,
                "mine": mine,
                "hold": int(hold),
                "fault": fault,
                "looked": 0,
            },
        )
        (held,) = _held(tx, "WHERE digest = :digest", digest=recall.digest)
        return held

    @staticmethod
    def get(tx: Tx, digest: str) -> Held | None:
        """Give a recall by its digest."""
        return next(iter(_held(tx, "WHERE digest = :digest", digest=digest)), None)

    @staticmethod
    def of_object(tx: Tx, object_id: str) -> list[Held]:
        """Give the recalls of an object, oldest first."""
        return _held(
            tx,
            "WHERE key = :key AND object = :object ORDER BY n",
            key=id_key(object_id),
            object=object_id,
        )

    @staticmethod
    def every(tx: Tx, *, after: int = 0, limit: int = _MOST) -> list[Held]:
        """Give recalls behind a number, oldest first."""
        return _held(
            tx, "WHERE n > :after ORDER BY n LIMIT :most", after=after, most=limit
        )

    @staticmethod
    def newest(tx: Tx, *, before: int = 0, limit: int = _MOST) -> list[Held]:
        """Give recalls before a number, newest first; with 0 the last ones."""
        return _held(
            tx,
            "WHERE n < :before ORDER BY n DESC LIMIT :most",
            before=before or 2**62,
            most=limit,
        )

    @staticmethod
    def doubted(tx: Tx) -> list[Held]:
        """Give what came and was not believed."""
        return _held(tx, "WHERE hold = 0 ORDER BY n")

    @staticmethod
    def believe(tx: Tx, held: Held, hold: Recalled, fault: str, signed: str) -> None:
        """Say anew what is done with what a recall covers, or why it is not believed.

        signed: the text of it that was looked at. A broken one may have come first.
        """
        tx.run(
            "UPDATE recall SET hold = :hold, fault = :fault, signed = :signed "
            "WHERE n = :n",
            hold=int(hold),
            fault=fault,
            signed=signed,
            n=held.number,
        )

    @staticmethod
    def doubted_of(tx: Tx, peer: str) -> int:
        """Count what came from a peer and is not believed."""
        return int(
            tx.value(
                "SELECT count(*) FROM recall r JOIN recall_source s ON s.recall = r.n "
                "WHERE r.hold = 0 AND s.peer = :peer",
                peer=peer,
            )
        )

    @staticmethod
    def counts(tx: Tx) -> tuple[int, int, int]:
        """Count own recalls, parties without an answer to one, and doubted recalls."""
        row = tx.row(
            "SELECT (SELECT count(*) FROM recall WHERE mine) AS mine, "
            "(SELECT count(*) FROM recall_party p JOIN recall r ON r.n = p.recall "
            "WHERE r.mine AND p.number > 0 AND p.state = '') AS silent, "
            "(SELECT count(*) FROM recall WHERE hold = 0) AS doubted"
        )
        return int(row.mine), int(row.silent), int(row.doubted)

    # Whom it is for

    @staticmethod
    def to_be_looked_for(tx: Tx, patience: int) -> list[Held]:
        """Give the believed ones for which the release log is to be looked through.

        What was on its way out when a recall came is in the log a moment later: so it
        is looked through twice, the second time after `patience` microseconds.
        """
        return _held(
            tx,
            "WHERE hold > 0 AND (looked = 0 OR (looked < came + :patience "
            "AND came + :patience <= :now)) ORDER BY n",
            patience=patience,
            now=tx.clock.now(),
        )

    @staticmethod
    def looked(tx: Tx, number: int) -> None:
        """Write down that the release log was looked through."""
        tx.run(
            "UPDATE recall SET looked = :now WHERE n = :n",
            now=tx.clock.now(),
            n=number,
        )

    @staticmethod
    def covered(tx: Tx, object_id: str, before: int) -> list[Covered]:
        """Give the versions of an object before an instant that are here."""
        rows = tx.rows(
            "SELECT added, slot, id, version, modified, body FROM object "
            "WHERE key = :key AND modified < :before ORDER BY modified",
            key=id_key(object_id),
            before=before,
        )
        return [
            Covered(
                int(row.added),
                int(row.slot) // 2,
                row.version,
                hashlib.sha256(bytes(row.body)).hexdigest(),
                str(orjson.loads(bytes(row.body)).get("created_by_ref", "")),
                int(row.modified),
            )
            for row in rows
            if row.id == object_id
        ]

    # What is to be worked out

    @staticmethod
    def without_made_of(
        tx: Tx, versions: list[ObjectVersion], identity: str
    ) -> list[ObjectVersion]:
        """Leave out what `identity` derived just now of versions that were recalled."""
        if not any(version.redacted for version in versions):
            return versions
        covers = Recalls.covering(tx, {version.key for version in versions})
        barred = {
            name
            for version in versions
            for cover in covers.get(version.key, ())
            if (cover.object, cover.creator) == (version.id, version.creator)
            and version.modified < cover.before
            for name in derived_ids(version.id, version.version, identity)
        }
        return [one for one in versions if not (one.redacted and one.id in barred)]

    @staticmethod
    def admitted(tx: Tx, admission: Admission, identity: str) -> None:
        """Note new versions by `identity` for which earlier ones may be recalled.

        Those that revoke, and those that are marked otherwise than an earlier one.
        """
        plain: list[int] = []
        revoked: list[int] = []
        for added, version in enumerate(admission.new, admission.first):
            if identity and version.creator == identity:
                (revoked if version.revoked else plain).append(added)
        for several, marked in ((plain, "AND p.own_set <> o.own_set "), (revoked, "")):
            if several:
                tx.run(
                    "INSERT INTO recall_due (added, looked) SELECT o.added, 0 "
                    "FROM object o WHERE "
                    + tx.among("o.added", "stamps")
                    + " AND EXISTS (SELECT 1 FROM object p WHERE p.key = o.key "
                    f"AND p.modified < o.modified {marked}) ON CONFLICT DO NOTHING",
                    stamps=tx.array(several),
                )

    @staticmethod
    def due(tx: Tx, patience: int, limit: int = _MOST) -> list[Due]:
        """Give what is to be worked out: at once, and again after `patience`."""
        rows = tx.rows(
            "SELECT d.added, o.id, o.key, o.modified, o.body, m.key AS marked "
            "FROM recall_due d JOIN object o ON o.added = d.added "
            "JOIN marking_set m ON m.n = o.own_set "
            "WHERE d.looked = 0 OR d.added <= :last ORDER BY d.added LIMIT :most",
            last=tx.clock.now() - patience,
            most=limit,
        )
        return [
            Due(
                int(row.added),
                row.id,
                int(row.modified),
                orjson.loads(bytes(row.body)).get("revoked") is True,
                MarkingSet.from_key(row.marked),
                tuple(
                    MarkingSet.from_key(each.marked)
                    for each in tx.rows(
                        "SELECT DISTINCT m.key AS marked FROM object o "
                        "JOIN marking_set m ON m.n = o.own_set "
                        "WHERE o.key = :key AND o.modified < :modified",
                        key=row.key,
                        modified=row.modified,
                    )
                ),
            )
            for row in rows
        ]

    @staticmethod
    def wait(tx: Tx, added: int) -> None:
        """Leave one on the list until it is looked at again."""
        tx.run(
            "UPDATE recall_due SET looked = :now WHERE added = :added",
            now=tx.clock.now(),
            added=added,
        )

    @staticmethod
    def done(tx: Tx, added: int) -> bool:
        """Take one off the list; False when somebody else has."""
        return bool(tx.run("DELETE FROM recall_due WHERE added = :at", at=added))

    @staticmethod
    def come_since(tx: Tx, own: str) -> list[Held]:
        """Give those answered with "not held" of which something came in since."""
        return _held(
            tx,
            "WHERE hold > 0 AND EXISTS (SELECT 1 FROM recall_party p "
            "WHERE p.recall = recall.n AND p.party = :own AND p.via = '' "
            "AND p.state = :absent) AND EXISTS (SELECT 1 FROM object o "
            "WHERE o.key = recall.key AND o.modified < recall.before) ORDER BY n",
            own=own,
            absent=str(Said.ABSENT),
        )

    @staticmethod
    def made_of(tx: Tx, object_id: str, creator: str) -> list[str]:
        """Name the sightings of an object that a creator made."""
        rows = tx.rows(
            "SELECT DISTINCT o.id, o.body FROM edge e JOIN object o "
            "ON o.added = e.source WHERE e.target = :key AND e.kind = "
            "(SELECT n FROM word WHERE text = 'sighting_of_ref')",
            key=id_key(object_id),
        )
        found = {row.id: orjson.loads(bytes(row.body)) for row in rows}
        return [
            name
            for name, data in sorted(found.items())
            if data.get("sighting_of_ref") == object_id
            and data.get("created_by_ref") == creator
        ]

    @staticmethod
    def to_be_dropped(tx: Tx, patience: int) -> list[tuple[str, int]]:
        """Give (object, stamp) of what is hidden for good, and was looked for."""
        rows = tx.rows(
            "SELECT r.object, o.added, o.id FROM recall r JOIN object o "
            "ON o.key = r.key AND o.modified < r.before "
            "WHERE r.hold = :hidden AND r.looked >= r.came + :patience",
            hidden=int(Recalled.HIDDEN),
            patience=patience,
        )
        return [(row.object, int(row.added)) for row in rows if row.id == row.object]

    # Holds

    @staticmethod
    def hold(tx: Tx, object_id: str) -> Hold | None:
        """Give why an object is kept; None when nobody said so."""
        row = tx.row(
            "SELECT object, reason, actor, at FROM recall_hold WHERE object = :id",
            id=object_id,
        )
        return None if row is None else Hold(*row)

    @staticmethod
    def holds(tx: Tx) -> Sequence[Hold]:
        """Give all that is kept."""
        rows = tx.rows("SELECT object, reason, actor, at FROM recall_hold ORDER BY at")
        return [Hold(*row) for row in rows]

    @staticmethod
    def keep(tx: Tx, object_id: str, reason: str, actor: str) -> None:
        """Keep an object from now on."""
        tx.run(
            "INSERT INTO recall_hold (object, reason, actor, at) "
            "VALUES (:id, :reason, :actor, :now) ON CONFLICT (object) DO UPDATE SET "
            "reason = excluded.reason, actor = excluded.actor, at = excluded.at",
            id=object_id,
            reason=reason.replace("\x00", " "),
            actor=actor,
            now=tx.clock.now(),
        )

    @staticmethod
    def let_go(tx: Tx, object_id: str) -> bool:
        """Keep an object no more; False when it was not kept."""
        return bool(tx.run("DELETE FROM recall_hold WHERE object = :id", id=object_id))


def _held(tx: Tx, where: str, **values: Any) -> list[Held]:
    return [
        Held(
            number=int(row.n),
            digest=row.digest,
            object=row.object,
            before=int(row.before),
            kind=Kind(row.kind),
            creator=row.creator,
            node=row.node,
            reason=row.reason,
            at=int(row.at),
            came=int(row.came),
            signed=row.signed,
            mine=bool(row.mine),
            hold=Recalled(row.hold),
            fault=row.fault,
            looked=int(row.looked),
        )
        for row in tx.rows(_HELD + where, **values)
    ]
