"""Rows of the release log, and of what own people read and decided, as leaves.

A leaf is made of a row once, and its order never changes: rows come in the order of
their numbers, and one that its transaction committed late (PostgreSQL) comes later. The
plan is made while others read and write; only adding it takes the ledger's turn, and it
is thrown away when somebody else was quicker. A kill at any instruction leaves rows
without a leaf, which the next one seals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from serantau.clock import taxii_text
from serantau.records import acts, log_tables, tree
from serantau.records.database import Database, Tx
from serantau.records.ledger import unpack
from serantau.records.tree import Log
from serantau.rules.leaf import (
    DECISION,
    NO_OBJECTS,
    READING,
    RELEASE,
    VERSION,
    act_leaf,
    blinded,
    json_text,
    object_digest,
    page_root,
    release_leaf,
    salts_of,
    text_digest,
    version_digest,
)
from serantau.rules.receipt import HASH_BYTES, leaf_hash
from serantau.rules.stix import id_key

KIND: Final = 1
"""The number of the kind of leaf that a release is."""
ACTS: Final = {READING: 2, DECISION: 3}
"""The numbers of the kinds of leaf that are of what own people did."""
_TABLES: Final = {KIND: "ledger.release"} | {
    number: acts.TABLES[kind] for kind, number in ACTS.items()
}

_ROWS: Final = 512
_OBJECTS: Final = 20_000
_GAP_KEPT: Final = 7 * 86_400_000_000
_GONE: Final = bytes(HASH_BYTES)
"""What stands for an object that was deleted before its release was sealed."""

_FIELDS: Final = (
    "r.n, r.at, r.actor, r.way, r.collection, r.grant_view, r.request, r.count, "
    "r.stamps, r.receipt, r.purpose, r.rest, g.digest AS verdicts"
)
_FROM: Final = "LEFT JOIN ledger.grant_view g ON g.n = r.grant_view"


@dataclass(slots=True)
class Plan:
    """What is to be sealed next. size: of the tree that it goes on."""

    kind: int
    size: int
    rows: list[Any]
    recipients: list[str]
    objects: list[bytes | None]
    hashes: list[bytes]
    gaps: list[tuple[int, int]]
    last: int
    digests: dict[int, bytes] = field(default_factory=dict)


class Again(NamedTuple):
    """A leaf that was made anew. row: its row's number.

    hash: empty where its row is gone or is none. erased: the row's words were erased,
    and a decision says so. verdicts, granted: their digest and number. objects: the
    root of its page. stamps: of the objects on it, packed.
    """

    seq: int
    row: int
    hash: bytes
    erased: bool = False
    verdicts: str | None = None
    granted: Any = 0
    objects: Any = None
    stamps: Any = b""


class Leaves:
    """Makes leaves of rows, for the node of one member."""

    def __init__(self, member: str) -> None:
        """Write leaves in the name of this member's node."""
        self._member = member

    def seal(self, db: Database) -> int:
        """Seal some of what waits; gives how many rows, 0 when none waits."""
        with db.read() as tx:
            log = tree.held(tx)
            plan = None if log is None else self._next(tx, log)
        if log is None:
            with db.ledger() as tx:
                tree.begin(tx)
            return self.seal(db)
        if plan is None:
            return 0
        with db.ledger() as tx:
            # Whoever sealed meanwhile has changed the size: what is planned is old.
            if tx.value("SELECT size FROM ledger.log") == plan.size:
                self._add(tx, plan)
        return len(plan.rows)

    def waiting(self, tx: Tx) -> int:
        """Count the rows that are no leaves yet, as far as that is quick to know."""
        return sum(
            max(int(tx.value(f"SELECT max(n) FROM {table}") or 0) - _mark(tx, kind), 0)
            for kind, table in _TABLES.items()
        )

    def _next(self, tx: Tx, log: Log) -> Plan | None:
        """Plan for the first kind of rows of which some wait."""
        plan = self._plan(tx, log)
        for kind in ACTS:
            plan = plan or self._plan_acts(tx, log, kind)
        return plan

    def _plan_acts(self, tx: Tx, log: Log, kind: str) -> Plan | None:
        number = ACTS[kind]
        mark = _mark(tx, number)
        rows = acts.late(tx, kind, number, _ROWS)
        fresh = acts.waiting(tx, kind, mark, _ROWS - len(rows))
        gaps, last = _gaps(mark, (row.n for row in fresh))
        found = rows + fresh
        if not found:
            return None
        hashes = [
            leaf_hash(self._act(kind, log.size + place, row))
            for place, row in enumerate(found)
        ]
        nothing = [None] * len(found)
        return Plan(
            number, log.size, found, [""] * len(found), [*nothing], hashes, gaps, last
        )

    def _act(self, kind: str, seq: int, row: acts.Sealing) -> bytes:
        return act_leaf(
            kind=kind, node=self._member, seq=seq, at=row.at, said=row.digest
        )

    def _plan(self, tx: Tx, log: Log) -> Plan | None:
        mark = _mark(tx, KIND)
        rows = self._late(tx)
        found: list[Any] = rows + tx.rows(
            f"SELECT {_FIELDS}, p.name AS recipient FROM ledger.release r {_FROM} "
            "LEFT JOIN party p ON p.n = r.party WHERE r.n > :mark "
            "ORDER BY r.n LIMIT :limit",
            mark=mark,
            limit=_ROWS,
        )
        if not found:
            return None
        chosen, objects = found[:1], int(found[0].count)
        for row in found[1:]:
            objects += int(row.count)
            if objects > _OBJECTS:
                break
            chosen.append(row)
        gaps, last = _gaps(mark, (int(row.n) for row in chosen[len(rows) :]))
        stamps = [list(_stamps(row)) for row in chosen]
        known, fresh = self._digests(tx, {one for several in stamps for one in several})
        plan = Plan(KIND, log.size, chosen, [], [], [], gaps, last, fresh)
        for place, (row, several) in enumerate(zip(chosen, stamps, strict=True)):
            salts = salts_of(log.secret, RELEASE, row.n)
            digests = [known.get(one, _GONE) for one in several]
            root = page_root(salts.objects, digests) if digests else None
            recipient = row.recipient or ""
            plan.recipients.append(recipient)
            plan.objects.append(root)
            text = self.text(log, log.size + place, row, recipient, root)
            plan.hashes.append(leaf_hash(text))
        return plan

    @staticmethod
    def _late(tx: Tx) -> list[Any]:
        """Give rows whose numbers were passed by when they were not to be seen yet."""
        return tx.rows(
            f"SELECT {_FIELDS}, p.name AS recipient FROM ledger.log_gap x "
            f"JOIN ledger.release r ON r.n BETWEEN x.first AND x.last {_FROM} "
            "LEFT JOIN party p ON p.n = r.party WHERE x.kind = :kind AND NOT EXISTS "
            "(SELECT 1 FROM ledger.leaf l WHERE l.kind = :kind AND l.row = r.n) "
            "ORDER BY r.n LIMIT :limit",
            kind=KIND,
            limit=_ROWS,
        )

    def _digests(
        self, tx: Tx, stamps: Iterable[int]
    ) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """Give what stands for object versions, and which of it is to be kept."""
        wanted = sorted(stamps)
        known = digests_of(tx, wanted)
        missing = [stamp for stamp in wanted if stamp not in known]
        fresh = {
            int(row.added): object_digest(row.id, _said(row), bytes(row.body))
            for row in tx.rows(
                "SELECT added, id, version, body FROM object WHERE "
                + tx.among("added", "stamps"),
                stamps=tx.array(missing),
            )
        }
        return known | fresh, fresh

    def _add(self, tx: Tx, plan: Plan) -> None:
        tree.append(tx, plan.hashes)
        tx.insert_many(
            log_tables.leaf,
            ("n", "kind", "row", "recipient", "objects"),
            [
                (plan.size + place, plan.kind, int(row.n), recipient, objects)
                for place, (row, recipient, objects) in enumerate(
                    zip(plan.rows, plan.recipients, plan.objects, strict=True)
                )
            ],
        )
        tx.insert_many(
            log_tables.object_digest, ("n", "digest"), list(plan.digests.items())
        )
        now = tx.clock.now()
        for first, last in plan.gaps:
            tx.run(
                "INSERT INTO ledger.log_gap (kind, first, last, since) "
                "VALUES (:kind, :first, :last, :now)",
                kind=plan.kind,
                first=first,
                last=last,
                now=now,
            )
        tx.run(
            "DELETE FROM ledger.log_gap WHERE since < :long_ago",
            long_ago=now - _GAP_KEPT,
        )
        tx.run(
            "INSERT INTO ledger.sealed (kind, row) VALUES (:kind, :row) "
            "ON CONFLICT (kind) DO UPDATE SET row = excluded.row",
            kind=plan.kind,
            row=plan.last,
        )

    def text(
        self, log: Log, seq: int, row: Any, recipient: str, objects: bytes | None
    ) -> bytes:
        """Write the leaf of a row.

        Args:
            log: the log.
            seq: the leaf's place.
            row: of the release log, with the digest of its verdicts.
            recipient: the party's name.
            objects: the root of the page's tree, None for event rows.
        """
        salts = salts_of(log.secret, RELEASE, row.n)
        return release_leaf(
            node=self._member,
            seq=seq,
            at=row.at,
            way=row.way,
            purpose=row.purpose,
            recipient=blinded(salts.recipient, recipient.encode()),
            verdict=blinded(salts.verdict, (row.verdicts or "").encode()),
            rest=(
                blinded(salts.rest, rest_of(row))
                if row.rest is None
                else bytes(row.rest).hex()
            ),
            objects=objects.hex() if objects is not None else NO_OBJECTS,
            receipt=row.receipt or "",
        )

    def each(self, tx: Tx, start: int, end: int) -> Iterator[tuple[int, Any]]:
        """Give leaves of releases with their rows, by place; None for one that is gone.

        The rows also have `recipient` and `objects`, as they were sealed.
        """
        for row in tx.rows(
            f"SELECT l.n AS seq, l.recipient, l.objects, {_FIELDS} FROM ledger.leaf l "
            f"LEFT JOIN ledger.release r ON r.n = l.row {_FROM} "
            "WHERE l.n >= :start AND l.n < :end AND l.kind = :kind ORDER BY l.n",
            start=start,
            end=end,
            kind=KIND,
        ):
            yield int(row.seq), row if row.n is not None else None

    def hashes(
        self, tx: Tx, log: Log, start: int, end: int, erased: acts.Erased
    ) -> Iterator[Again]:
        """Make the hashes of a range of leaves anew, of their rows, by place.

        As `each` and `text` do, with what does not change from leaf to leaf done once:
        ten million of them are to be made while somebody waits.
        """
        sha256, blake2b = hashlib.sha256, hashlib.blake2b
        dumps, secret, kind = orjson.dumps, log.secret, RELEASE.encode()
        node = json_text(self._member)
        no_objects = NO_OBJECTS
        done: dict[int, Again] | None = None
        for (
            seq, row, recipient, objects, n, at, actor, way, collection, granted,
            request, count, stamps, receipt, purpose, told_rest, verdicts,
        ) in tx.execute(
            f"SELECT l.n, l.row, l.recipient, l.objects, {_FIELDS} FROM ledger.leaf l "
            f"LEFT JOIN ledger.release r ON r.n = l.row AND l.kind = {KIND} {_FROM} "
            "WHERE l.n >= :start AND l.n < :end ORDER BY l.n",
            {"start": start, "end": end},
        ).fetchall():  # fmt: skip
            if n is None:
                if done is None:
                    done = dict(self._acts(tx, start, end, erased))
                yield done.get(seq) or Again(seq, row, b"")
                continue
            salts = blake2b(b"%b:%d" % (kind, n), key=secret, digest_size=64).digest()
            try:
                if told_rest is None:
                    told = dumps([actor, collection, count, granted, request])
                    said = sha256(b"%b%b\0%b" % (salts[32:48], told, stamps))
                    rest = said.hexdigest()
                else:
                    rest = _kept_rest(erased, n, actor, request, told_rest)
                got = sha256(salts[:16] + recipient.encode()).hexdigest()
                why = sha256(salts[16:32] + (verdicts or "").encode()).hexdigest()
                page = objects.hex() if objects is not None else no_objects
                promised = f',"receipt":"{receipt}"' if receipt else ""
                text = (
                    f'\0{{"at":{at},"node":{node},"objects":"{page}",'
                    f'"purpose":{json_text(purpose)}'
                    f'{promised},"recipient":"{got}","rest":"{rest}","seq":{seq},'
                    f'"type":"{RELEASE}","v":{VERSION},"verdict":"{why}",'
                    f'"way":{json_text(way)}}}'
                )
                made = sha256(text.encode()).digest()
            except (TypeError, ValueError, AttributeError):
                # SQLite keeps a value of any kind, whatever the column is made for.
                made = b""
            yield Again(
                seq,
                n,
                made,
                told_rest is not None,
                verdicts,
                granted,
                objects,
                stamps,
            )

    def _acts(
        self, tx: Tx, start: int, end: int, erased: acts.Erased
    ) -> Iterator[tuple[int, Again]]:
        """Make the hashes of the leaves of a range that are no releases."""
        for kind, number in ACTS.items():
            for seq, row, gone in acts.checked(tx, kind, number, start, end, erased):
                if row is not None:
                    made = leaf_hash(self._act(kind, seq, row))
                    yield seq, Again(seq, row.n, made, gone)

    @staticmethod
    def unsealed(tx: Tx) -> str:
        """Name the first row that is no leaf though later ones are; empty for none.

        Every leaf has its row: that was seen before, so that counting is enough.
        """
        for kind, table in _TABLES.items():
            said = {"kind": kind, "mark": _mark(tx, kind)}
            rows = tx.value(f"SELECT count(*) FROM {table} WHERE n <= :mark", **said)
            leaves = tx.value(
                "SELECT count(*) FROM ledger.leaf WHERE kind = :kind AND row <= :mark",
                **said,
            )
            if rows == leaves:
                continue
            found = tx.value(
                f"SELECT min(r.n) FROM {table} r LEFT JOIN ledger.leaf l "
                "ON l.kind = :kind AND l.row = r.n WHERE l.n IS NULL AND r.n <= :mark",
                **said,
            )
            return f"row {found} of {table.removeprefix('ledger.')}"
        return ""


def _kept_rest(
    erased: acts.Erased, number: int, actor: str, request: str, rest: bytes
) -> str:
    """Give what stands for the words of a release that were erased.

    Raises:
        ValueError: they were not, or it has some all the same.
    """
    if actor or request or not erased.has(RELEASE, number):
        raise ValueError(number)
    return rest.hex()


def _gaps(mark: int, numbers: Iterable[int]) -> tuple[list[tuple[int, int]], int]:
    """Give what numbers behind a mark leave out, and the last of them."""
    gaps, last = [], mark
    for number in numbers:
        if number > last + 1:
            gaps.append((last + 1, number - 1))
        last = number
    return gaps, last


def _mark(tx: Tx, kind: int) -> int:
    found = tx.value("SELECT row FROM ledger.sealed WHERE kind = :kind", kind=kind)
    return int(found or 0)


def _stamps(row: Any) -> Iterator[int]:
    for first, last in unpack(bytes(row.stamps)):
        yield from range(first, last + 1)


def stamps_of(row: Any) -> list[int]:
    """Give the stamps of the object versions that a row released."""
    return list(_stamps(row))


def digests_of(tx: Tx, stamps: Sequence[int]) -> dict[int, bytes]:
    """Give what stands in the tree for object versions, as far as they were sealed."""
    return {
        int(row.n): bytes(row.digest)
        for row in tx.rows(
            "SELECT n, digest FROM ledger.object_digest WHERE "
            + tx.among("n", "stamps"),
            stamps=tx.array(stamps),
        )
    }


@dataclass(frozen=True, slots=True)
class Held:
    """An object version that is here. sha256: as `rules.leaf.text_digest` gives it."""

    stamp: int
    id: str
    version: str
    marking_set: int
    creator: str
    sha256: str

    @property
    def digest(self) -> bytes:
        """Give what stands for it in the tree."""
        return version_digest(self.id, self.version, self.sha256)


def held_versions(tx: Tx, stamps: Sequence[int]) -> Iterator[Held]:
    """Give the object versions of these stamps that are here, oldest first."""
    for row in tx.rows(
        "SELECT added, id, version, slot, body FROM object WHERE "
        + tx.among("added", "stamps")
        + " ORDER BY added",
        stamps=tx.array(stamps),
    ):
        body = bytes(row.body)
        yield Held(
            stamp=int(row.added),
            id=row.id,
            version=_said(row),
            marking_set=int(row.slot) // 2,
            creator=str(orjson.loads(body).get("created_by_ref", "")),
            sha256=text_digest(body),
        )


def _said(row: Any) -> str:
    """Give the version as the object says it, which is the same at every node.

    What has none (TAXII 2.1 §3.4: observables) is told apart here by when it came.
    """
    said, added = str(row.version), int(row.added)
    # Most end otherwise, and writing the whole instant takes longer than a digest.
    if said.endswith(f"{added % 1_000_000:06}Z") and said == taxii_text(added):
        return ""
    return said


def created_by(tx: Tx, identity: str, object_id: str = "") -> list[int]:
    """Give the stamps of what an identity created, of one object or of all, in order.

    Args:
        tx: any transaction.
        identity: whose; of anyone when empty, and then an object is named.
        object_id: its id, empty for all.
    """
    if not identity:
        rows = tx.rows(
            "SELECT added, id FROM object WHERE key = :key", key=id_key(object_id)
        )
    else:
        rows = tx.rows(
            "SELECT o.added, o.id FROM edge e JOIN object o ON o.added = e.source "
            "WHERE e.target = :identity AND e.kind = "
            "(SELECT n FROM word WHERE text = 'created_by_ref')"
            + (" AND o.key = :key" if object_id else ""),
            identity=id_key(identity),
            key=id_key(object_id),
        )
    return sorted(int(row.added) for row in rows if object_id in ("", row.id))


def given_to(tx: Tx, party: int, digests: Sequence[str], size: int) -> dict[str, int]:
    """Give the leaves of a party's receipts, by the receipts' digests.

    Args:
        tx: any transaction.
        party: the number of whom they were given to.
        digests: of the receipts.
        size: only of leaves in a tree of this size.
    """
    rows = tx.rows(
        "SELECT l.n, r.receipt FROM ledger.release r "
        "JOIN ledger.leaf l ON l.kind = :kind AND l.row = r.n "
        "WHERE r.party = :party AND l.n < :size AND "
        + tx.among("r.receipt", "digests"),
        kind=KIND,
        party=party,
        size=size,
        digests=tx.array(digests),
    )
    return {row.receipt: int(row.n) for row in rows}


def page_digests(known: Mapping[int, bytes], stamps: Sequence[int]) -> list[bytes]:
    """Give the digests of a page's objects."""
    return [known.get(stamp, _GONE) for stamp in stamps]


def rest_of(row: Any) -> bytes:
    """Write what else a row says; its stamps as they are packed."""
    told = orjson.dumps(
        [row.actor, row.collection, row.count, row.grant_view, row.request]
    )
    return b"%b\0%b" % (told, bytes(row.stamps))
