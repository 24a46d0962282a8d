"""How objects come in: read, checked, admitted once; what is refused is kept.

A batch is one transaction: its objects, its refusals and, for a pull, the peer's
cursor. A crash leaves whole batches, and loading the same input again changes nothing.
"""

from __future__ import annotations

import gc
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import orjson

from serantau.clock import taxii_text
from serantau.desk import case_flood
from serantau.desk.case_log import CaseLog
from serantau.desk.keys import LEARNT, Bringer, Keys
from serantau.desk.reading import Reading
from serantau.desk.screening import PEER, screen
from serantau.errors import BadInput, BadRequest, Forbidden, NotFound
from serantau.node import Node, limits_of
from serantau.records import acts, tables
from serantau.records.admission import Admission, Refusal
from serantau.records.database import Tx
from serantau.records.objects import Handling
from serantau.records.peers import Peers
from serantau.records.quarantine import Fault, Held
from serantau.records.recalls import Recalls
from serantau.records.registry import Caller, Collection
from serantau.rules.marking import Tlp
from serantau.rules.role import reaches
from serantau.rules.stix import ObjectVersion
from serantau.rules.trust import Demand
from serantau.wire.bundle import Piece, iter_objects
from serantau.wire.envelope import read_envelope

STATUS_KEPT = 7 * 86_400 * 1_000_000
FILE = "file"
USER = "user:"
_DEFINITIONS = ("marking-definition", "extension-definition")


@dataclass(slots=True)
class Report:
    """What became of an input.

    new, held, refused: counts. reasons: rule -> count of refusals. faults: the refusals
    of one batch; of a whole input the first hundred, to be shown. losses: what a
    conversion could not carry over.
    """

    new: int = 0
    held: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    stamps: tuple[int, int] = (0, 0)

    @property
    def total(self) -> int:
        """Count everything that was in the input."""
        return self.new + self.held + self.refused

    def add(self, other: Report) -> None:
        """Count another report in."""
        self.new += other.new
        self.held += other.held
        self.refused += other.refused
        self.reasons.update(other.reasons)
        self.faults += other.faults[: 100 - len(self.faults)]
        self.losses += other.losses


class Intake:
    """Takes objects into one node."""

    def __init__(self, node: Node) -> None:
        """Take into `node`."""
        self._node = node
        self._aide = Reading(node, "").aide()
        self._keys = Keys(node)
        self._case_log = CaseLog(node)
        self._turned = False

    def reading(self, origin: str) -> Reading:
        """Make what checks one input, by the keys that are known now."""
        with self._node.db.read() as tx:
            return Reading(self._node, origin, self._keys.ring(tx).keys)

    def learnt(self, reading: Reading, versions: Iterable[ObjectVersion]) -> None:
        """Let a reading go on by the keys that what was just admitted made known.

        Otherwise each signature would be examined for nothing there, and here anew.
        """
        if any(version.type in LEARNT for version in versions):
            with self._node.db.read() as tx:
                reading.believe(self._keys.ring(tx).keys)

    def handling(self, source: str, handle_as: str = "") -> Handling:
        """Give how unmarked objects of a source are handled.

        Args:
            source: "file", a user's or a peer's name.
            handle_as: a TLP label that overrides the configuration.

        Raises:
            BadRequest: a label that is none.
        """
        rules = self._node.config.handling
        given = handle_as or rules.sources.get(source, "")
        try:
            default = Tlp.parse(given or rules.default)
            # An explicit word holds for definitions too, but never to widen less.
            definitions = Tlp.parse(given or rules.definitions)
        except ValueError as fault:
            raise BadRequest(str(fault)) from fault

        def handle(version: ObjectVersion) -> Tlp:
            return (
                min(default, definitions) if version.type in _DEFINITIONS else default
            )

        return handle

    def batch(
        self,
        tx: Tx,
        pieces: Iterable[Piece],
        *,
        source: str,
        origin: str,
        handling: Handling,
        handle_as: str = "",
        boxes: Sequence[int] = (),
        bringer: Bringer | None = None,
    ) -> tuple[Report, Admission]:
        """Read, check and admit some pieces in the transaction `tx`.

        Refused ones go to quarantine with their reason. Reading happens here, so who
        wants the store locked for a shorter time reads first, then calls `admit`.
        """
        ring = self._keys.ring(tx)
        versions, faults = Reading(self._node, origin, ring.keys).here(pieces)
        return self.admit(
            tx, versions, faults, source=source, origin=origin,
            handling=handling, handle_as=handle_as, boxes=boxes, bringer=bringer,
        )  # fmt: skip

    def admit(
        self,
        tx: Tx,
        versions: list[ObjectVersion],
        faults: list[Fault],
        *,
        source: str,
        origin: str,
        handling: Handling,
        handle_as: str = "",
        boxes: Sequence[int] = (),
        bringer: Bringer | None = None,
    ) -> tuple[Report, Admission]:
        """Admit checked versions and quarantine faults, in the transaction `tx`.

        bringer: who brings them, when that is more than `source` says.
        """
        node = self._node
        bringer = bringer or Bringer(source, origin, self._is_ours(tx, source))
        versions, screened = screen(
            tx, node.config.node, versions, ours=bringer.ours, origin=origin
        )
        versions, doubted = self._keys.sift(tx, versions, bringer)
        own, over = node.config.node.identity, list[Fault]()
        if not (bringer.ours or bringer.free):
            versions, over = case_flood.sift(
                tx, node.config.limits, versions, own=own, origin=origin
            )
        versions = Recalls.without_made_of(tx, versions, own)
        admission = node.objects.admit(
            tx, versions, source=source, handling=handling, boxes=boxes
        )
        Recalls.admitted(tx, admission, own)
        self._turned |= self._keys.settle(tx, admission.alike, admission.new)
        self._case_log.settle(tx, admission.first, admission.new)
        refused = [_refusal(each, origin) for each in admission.refused]
        faults = [*faults, *screened, *doubted, *over, *refused]
        node.quarantine.hold(tx, source, faults, handle_as=handle_as, boxes=boxes)
        report = Report(
            new=len(admission.new),
            held=len(admission.held),
            refused=len(faults),
            reasons=Counter(fault.rule for fault in faults),
            faults=faults,
            stamps=(admission.first, admission.last),
        )
        return report, admission

    def load(
        self,
        stream: BinaryIO,
        *,
        origin: str,
        source: str = "file",
        handle_as: str = "",
        boxes: Sequence[int] = (),
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """Take in a stream of STIX: a bundle, objects, or NDJSON.

        Args:
            stream: bytes; memory stays within a window and a few batches.
            origin: what to call the stream in messages.
            source: who brings it.
            handle_as: TLP label for unmarked objects; empty: as configured.
            boxes: numbers of box collections to put the objects into.
            progress: called after each batch with the report so far.
        """
        limits = self._node.config.limits
        pieces = iter_objects(
            stream, limits=limits_of(limits), file_bytes=limits.file_bytes
        )
        return self.take(
            pieces, origin=origin, source=source, handle_as=handle_as, boxes=boxes,
            progress=progress,
        )  # fmt: skip

    def take(
        self,
        pieces: Iterable[Piece],
        *,
        origin: str,
        source: str = "file",
        handle_as: str = "",
        boxes: Sequence[int] = (),
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """Take in pieces, a batch a transaction; the same as `load` from there on."""
        handling = self.handling(source, handle_as)
        total = Report()
        with uncollected():
            reading = self.reading(origin)
            for versions, faults in reading.batches(pieces):
                report = self._admit_alone(
                    versions, faults, source=source, origin=origin,
                    handling=handling, handle_as=handle_as, boxes=boxes,
                )  # fmt: skip
                self.learnt(reading, versions)
                total.add(report)
                if progress is not None:
                    progress(total)
        return total

    def _admit_alone(
        self, versions: list[ObjectVersion], faults: list[Fault], **how: Any
    ) -> Report:
        with self._node.db.write() as tx:
            return self.admit(tx, versions, faults, **how)[0]

    def post(
        self, caller: Caller, collection: Collection, body: bytes
    ) -> dict[str, Any]:
        """Take in a TAXII envelope for a caller, and give the status resource.

        TAXII 2.1 §5.5: 202 whatever becomes of single objects; a duplicate succeeds.

        Raises:
            Forbidden: this caller may not write there.
            BadInput: the envelope is not one.
        """
        if not reaches(caller.role, "writer") or not collection.writable_by(
            caller.party
        ):
            raise Forbidden(f"{caller.user} may not write to {collection.alias!r}.")
        try:
            raws = read_envelope(body).objects
        except ValueError as fault:
            raise BadInput(
                f"The body is not a TAXII envelope: {fault}.",
                mend='Expected {"objects": [...]} in UTF-8 (TAXII 2.1 §3.7).',
            ) from fault
        source = USER + caller.user
        origin = f"POST to {collection.alias}"
        pieces = [
            Piece(ordinal=place, offset=0, line=1, raw=raw)
            for place, raw in enumerate(raws, 1)
        ]
        with uncollected():
            versions, faults = self.reading(origin).helped(self._aide, pieces)
            return self._post(
                caller, collection, versions, faults,
                source=source, origin=origin, total=len(raws),
            )  # fmt: skip

    def _post(
        self,
        caller: Caller,
        collection: Collection,
        versions: list[ObjectVersion],
        faults: list[Fault],
        *,
        source: str,
        origin: str,
        total: int,
    ) -> dict[str, Any]:
        status_id = str(uuid.uuid4())
        with self._node.db.write() as tx:
            now = tx.clock.now()
            report, admission = self.admit(
                tx,
                versions,
                faults,
                source=source,
                origin=origin,
                handling=self.handling(caller.party.name),
                boxes=(collection.number,),
                bringer=Bringer(source, origin, ours=caller.own),
            )
            status = _status(status_id, now, total, admission, report.faults)
            tx.insert(
                tables.status,
                {
                    "id": status_id,
                    "party": caller.party_number,
                    "at": now,
                    "body": orjson.dumps(status),
                },
            )
            tx.run("DELETE FROM status WHERE at < :old", old=now - STATUS_KEPT)
        return status

    def status(self, caller: Caller, status_id: str) -> bytes:
        """Give a status resource to the party that caused it.

        Raises:
            NotFound: there is none, any more, for this caller.
        """
        with self._node.db.read() as tx:
            row = tx.row(
                "SELECT party, body FROM status WHERE id = :id AND at >= :old",
                id=status_id,
                old=tx.clock.now() - STATUS_KEPT,
            )
        if row is None or row.party != caller.party_number:
            raise NotFound(f"No status is named {status_id!r}.")
        return bytes(row.body)

    def again(self, rules: Iterable[str]) -> Report:
        """Try again all that was refused by certain rules, in the order it came."""
        with self._node.db.read() as tx:
            numbers = self._node.quarantine.refused_by(tx, rules)
        total = Report()
        for number in numbers:
            # Somebody else may have tried or dropped it since.
            with suppress(NotFound):
                total.add(self._retry(number))
        return total

    @property
    def turned(self) -> bool:
        """Say once whether something became known of keys since it was asked last."""
        turned, self._turned = self._turned, False
        return turned

    def retry(self, number: int) -> Report:
        """Let a person try a quarantined object again; once admitted it leaves.

        Raises:
            NotFound: nothing with this number is held.
        """
        return self._retry(number, by_person=True)

    def readmit(self, number: int, *, free: bool = False) -> Report:
        """Try a quarantined object again; free: of the limits on cases.

        Raises:
            NotFound: nothing with this number is held.
        """
        return self._retry(number, free=free)

    def _retry(
        self, number: int, *, by_person: bool = False, free: bool = False
    ) -> Report:
        node = self._node
        with node.db.write() as tx:
            held, body = node.quarantine.get(tx, number)
            node.quarantine.drop(tx, number)
            piece = Piece(ordinal=1, offset=0, line=1, raw=body)
            report, _ = self.batch(
                tx,
                [piece],
                source=held.source,
                origin=held.origin,
                bringer=replace(self._again_by(tx, held), free=free or by_person),
                handling=self.handling(held.source, held.handle_as),
                handle_as=held.handle_as,
                boxes=held.boxes,
            )
            if by_person:
                said = {"admitted": report.new, "refused": report.refused}
                about = f"{number} {held.id}".strip()
                acts.decided(tx, "retried from quarantine", about, after=said)
        return report

    def _is_ours(self, tx: Tx, source: str) -> bool:
        """Say whether it is this node's own people who bring something."""
        if not source.startswith(USER):
            return source == FILE
        own, name = self._node.config.node.member, source.removeprefix(USER)
        users = self._node.registry.users(tx)
        return any(user.name == name and user.party == own for user in users)

    def _again_by(self, tx: Tx, held: Held) -> Bringer:
        """Say who brought what is tried again, under what is asked of it now."""
        demand = Demand.MEMBERS
        for peer in Peers().list(tx):
            if held.source == PEER + peer.name:
                demand = Demand(peer.signatures)
        ours = self._is_ours(tx, held.source)
        return Bringer(held.source, held.origin, ours, demand)


def _refusal(refusal: Refusal, origin: str) -> Fault:
    return Fault(
        body=refusal.version.body,
        rule=refusal.rule,
        place="",
        got=refusal.got,
        expected=refusal.expected,
        origin=origin,
        id=refusal.version.id,
    )


def _status(
    status_id: str,
    now: int,
    total: int,
    admission: Admission,
    faults: list[Fault],
) -> dict[str, Any]:
    """Write a TAXII 2.1 §4.3.1 status resource; §2: no empty lists."""
    successes = [
        {"id": version.id, "version": version.version or taxii_text(now)}
        for version in (*admission.new, *admission.held)
    ]
    failures = [
        {
            "id": fault.id or "unreadable--00000000-0000-4000-8000-000000000000",
            "version": taxii_text(now),
            "message": f"{fault.rule}: got {fault.got}, expected {fault.expected}"
            + (f" at {fault.place}" if fault.place else ""),
        }
        for fault in faults
    ]
    status: dict[str, Any] = {
        "id": status_id,
        "status": "complete",
        "request_timestamp": taxii_text(now),
        "total_count": total,
        # The same object twice in one envelope is a success both times.
        "success_count": total - len(failures),
        "failure_count": len(failures),
        "pending_count": 0,
    }
    if successes:
        status["successes"] = successes
    if failures:
        status["failures"] = failures
    return status


@contextmanager
def uncollected() -> Iterator[None]:
    """Stop the cycle collector for the length of a bulk load.

    What parsing makes has no cycles, and looking for them costs more than parsing.
    Where it may last, `gc.collect(0)` once a batch frees what others made.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
