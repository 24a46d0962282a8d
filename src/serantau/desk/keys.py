"""Whose signatures a node believes, what it admits by that, and what it signs itself.

Everything here happens in the transaction that admits objects: the keys that are known
then decide, whatever was known when the objects were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import structlog

from serantau.clock import instant
from serantau.desk.screening import PEER
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.pins import PinRow, Pins
from serantau.records.quarantine import Fault
from serantau.rules.key import State, fits
from serantau.rules.party import Kind
from serantau.rules.realm import LIVE, PROPERTY
from serantau.rules.signature import (
    UNSIGNED_TYPES,
    Examined,
    Standing,
    examine,
    is_signed,
    signed,
)
from serantau.rules.statement import (
    KEYS_EXTENSION,
    TYPE,
    declared_keys,
    read_claims,
)
from serantau.rules.stix import ObjectVersion
from serantau.rules.trust import (
    Demand,
    Keyring,
    Objection,
    Pin,
    Statement,
    keyring,
    objection,
)
from serantau.wire.signer import Signer

_KEYS_BYTES: Final = KEYS_EXTENSION.encode()
LEARNT: Final = frozenset({"identity", TYPE})
"""Types of objects that make keys known."""
WAITING: Final = frozenset({"key-not-pinned", "unknown-key"})
"""Rules of refusals that a key which becomes known may end."""
_DOUBTED: Final = frozenset({State.COMPROMISED, State.LOST})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bringer:
    """Who brings objects, as far as signatures go.

    source: as it is stored with them. origin: where they stood, for messages. ours:
    what is in this node's name is this node's, and is signed. demand: what is asked of
    a peer. claimed: the identity that a member's node says it has: what is in that name
    is judged as the member's also before anything was proven. free: of the limits on
    what one party may bring into cases.
    """

    source: str
    origin: str
    ours: bool
    demand: Demand = Demand.MEMBERS
    claimed: str = ""
    free: bool = False

    @property
    def peer(self) -> bool:
        """Say whether it is a peer that brings them."""
        return self.source.startswith(PEER)


class Keys:
    """The keys that one node knows, and its own."""

    def __init__(self, node: Node) -> None:
        """Know keys for `node`."""
        self._node = node
        self._pins = Pins()

    @property
    def _own(self) -> str:
        return self._node.config.node.identity

    def ring(self, tx: Tx, more: Sequence[Statement] = ()) -> Keyring:
        """Work out whose keys are known; `more`: statements that are being admitted."""
        pins, parties = self._known(tx)
        about = {pin.identity for pin in pins}
        told = [
            each
            for added, body in self._pins.statements(tx, about)
            if (each := _statement(orjson.loads(body), added)) is not None
        ]
        return keyring(pins, parties, [*told, *more])

    def _known(self, tx: Tx) -> tuple[list[Pin], dict[str, Kind]]:
        node = self._node
        rows = self._pins.all(tx)
        parties = {
            party.identity: party.kind
            for _, party in node.registry.parties(tx).values()
            if party.identity
        }
        kinds = {name: party.kind for name, (_, party) in self._parties(tx).items()}
        pins = []
        for row in rows:
            if row.key is not None and row.identity:
                pins.append(Pin(row.party, row.identity, row.key))
                parties.setdefault(row.identity, kinds.get(row.party, Kind.PUBLIC))
        if self._own:
            leads = node.config.node.role == "coordinator"
            parties[self._own] = Kind.COORDINATOR if leads else Kind.OWN
            if not any(pin.identity == self._own for pin in pins):
                own = node.config.node.member
                pins.append(Pin(own, self._own, node.signer.key))
        return pins, parties

    def _parties(self, tx: Tx) -> dict[str, Any]:
        return self._node.registry.parties(tx)

    def sift(
        self, tx: Tx, versions: list[ObjectVersion], bringer: Bringer
    ) -> tuple[list[ObjectVersion], list[Fault]]:
        """Part off what may not come in because of its signature; sign what is ours.

        Args:
            tx: the transaction that will admit the rest.
            versions: checked object versions; what is ours is signed in place.
            bringer: who brings them.

        Returns:
            What may be admitted, in order, and a finding for each that may not.
        """
        ring = self.ring(tx)
        learnt = [each for each in versions if each.type in LEARNT]
        if learnt:
            ring = self._learn(tx, learnt, ring, bringer)
        if bringer.claimed:
            ring = replace(ring, bound=ring.bound | {bringer.claimed})
        watched = ring.bound | ring.pinned
        everything = bringer.peer and bringer.demand is Demand.ALL
        kept: list[ObjectVersion] = []
        refused: list[tuple[ObjectVersion, Objection]] = []
        signer = None
        ours = {each.creator for each in versions if bringer.ours or each.redacted}
        if self._own in ours:
            signer = self._node.signer
        for version in versions:
            if self._own and version.creator == self._own:
                found = self._of_ours(version, ring, bringer, signer)
            elif (
                version.examined[0] == Standing.UNSIGNED
                and version.creator not in watched
                and not everything
            ):
                found = None
            else:
                found = _object(version, ring, bringer)
            if found is None:
                kept.append(version)
            else:
                refused.append((version, found))
        if not refused:
            return kept, []
        return self._spared(tx, versions, kept, refused, bringer)

    def _of_ours(
        self,
        version: ObjectVersion,
        ring: Keyring,
        bringer: Bringer,
        signer: Signer | None,
    ) -> Objection | None:
        """Sign what is in our name, if it is ours and not signed yet.

        What was derived here is ours, whoever brought the original.
        """
        ours = bringer.ours or version.redacted
        if version.type in UNSIGNED_TYPES or signer is None or not ours:
            # Of what others bring in our name only copies were let through to here,
            # and a copy changes nothing.
            return None
        data = orjson.loads(version.body)
        if is_signed(data):
            return _object(version, ring, bringer)
        realm = self._node.config.node.realm
        if realm != LIVE:
            # It says so under the signature, wherever it is carried.
            version.body = orjson.dumps({**data, PROPERTY: realm})
        self.sign(version, signer)
        return None

    def sign(self, version: ObjectVersion, signer: Signer) -> bool:
        """Sign an object version of ours in place; False where that cannot be.

        A number that readers disagree about cannot be signed over; then it stays bare.
        """
        try:
            data = signed(orjson.loads(version.body), signer.jws)
        except ValueError as fault:
            _log.warning("not_signed", id=version.id, fault=str(fault))
            version.examined = (Standing.UNSIGNED.value, "", "")
            return False
        version.body = orjson.dumps(data)
        version.examined = (Standing.VALID.value, "", signer.key.id)
        return True

    def _learn(
        self, tx: Tx, learnt: list[ObjectVersion], ring: Keyring, bringer: Bringer
    ) -> Keyring:
        """Take from arriving objects what makes keys known to the rest of them."""
        more: list[Statement] = []
        for version in learnt:
            if version.type == "identity":
                if _KEYS_BYTES in version.body and self._bind(tx, version):
                    ring = self.ring(tx, more)
                continue
            told = _statement(orjson.loads(version.body), tx.clock.now())
            if told is None or _object(version, ring, bringer) is not None:
                continue
            more.append(told)
            ring = self.ring(tx, more)
        return ring

    def _bind(self, tx: Tx, version: ObjectVersion) -> bool:
        """Find whose identity this is, if it proves that by a key that is pinned."""
        data = orjson.loads(version.body)
        if data.get("created_by_ref") != version.id:
            return False
        declared = declared_keys(data)
        rows = self._pins.all(tx)
        parties = self._parties(tx)
        taken = {row.identity: row.party for row in rows if row.identity}
        taken |= {
            party.identity: name
            for name, (_, party) in parties.items()
            if party.identity
        }
        changed = False
        for row in rows:
            if row.key is not None and row.identity:
                continue
            key = next((one for one in declared if fits(one, row.fingerprint)), None)
            if key is None or row.party not in parties:
                continue
            known = parties[row.party][1].identity
            if examine(data, {version.id: (key,)}).standing is not Standing.VALID:
                continue
            if (
                known not in {"", version.id}
                or taken.get(version.id, row.party) != row.party
            ):
                # A party that shows another's identity does not become that party.
                _log.error("identity_of_another", party=row.party, shown=version.id)
                continue
            self._pins.put(tx, replace(row, key=key, identity=version.id))
            taken[version.id] = row.party
            changed = True
        return changed

    def bind_held(self, tx: Tx) -> bool:
        """Look through the identity objects that are here for keys that are pinned."""
        changed = False
        for _, body in self._pins.identities(tx):
            if _KEYS_BYTES in body:
                changed = self._bind(tx, self._node.reader.read(body)) or changed
        return changed

    def _spared(
        self,
        tx: Tx,
        versions: list[ObjectVersion],
        kept: list[ObjectVersion],
        refused: list[tuple[ObjectVersion, Objection]],
        bringer: Bringer,
    ) -> tuple[list[ObjectVersion], list[Fault]]:
        """Let pass what is here already: it was judged when it came."""
        held = {
            (row.key, row.modified): bytes(row.body)
            for row in tx.rows(
                "SELECT key, modified, body FROM object WHERE "  # noqa: S608 - our names
                + tx.among("key", "keys"),
                keys=tx.array({version.key for version, _ in refused}),
            )
        }
        faults, gone = [], set()
        for version, found in refused:
            if held.get((version.key, version.modified)) == version.body:
                continue
            gone.add(id(version))
            faults.append(
                Fault(
                    body=version.body,
                    rule=found.rule,
                    place="/extensions",
                    got=found.got,
                    expected=found.expected,
                    origin=bringer.origin,
                    id=version.id,
                )
            )
        if len(kept) + len(faults) == len(versions):
            return kept, faults
        return [each for each in versions if id(each) not in gone], faults

    def settle(
        self,
        tx: Tx,
        alike: Iterable[tuple[int, ObjectVersion]],
        new: Iterable[ObjectVersion],
    ) -> bool:
        """Do what follows from an admission, in its transaction.

        A valid signature takes the place of none, or of one that is not believed any
        more. What was signed with a key that somebody else had is taken out again.

        Args:
            tx: the transaction.
            alike: versions that were here but for their signatures, with the stamps of
                those held.
            new: versions that were new here.

        Returns:
            Whether something became known of keys.
        """
        better = [each for each in alike if each[1].examined[0] == Standing.VALID]
        if better:
            ring = self.ring(tx)
            held = {
                int(row.added): bytes(row.body)
                for row in tx.rows(
                    "SELECT added, body FROM object WHERE "  # noqa: S608 - our names
                    + tx.among("added", "stamps"),
                    stamps=tx.array({added for added, _ in better}),
                )
            }
            self._pins.rewrite(
                tx,
                [
                    (added, version.body)
                    for added, version in better
                    if standing(held[added], ring, added).standing is not Standing.VALID
                ],
            )
        if not any(version.type == TYPE for version in new):
            return False
        self._sweep(tx)
        return True

    def _sweep(self, tx: Tx) -> None:
        """Take out what came with a key after it was compromised or lost."""
        ring = self.ring(tx)
        for identity, keys in ring.keys.items():
            ends = [key.until or 0 for key in keys if key.state in _DOUBTED]
            if not ends or identity == self._own:
                continue
            faults = []
            for added, body in self._pins.made_by(tx, identity, min(ends)):
                found = standing(body, ring, added)
                if found.standing in {Standing.VALID, Standing.UNSIGNED}:
                    continue
                object_id = orjson.loads(body)["id"]
                self._node.objects.delete(tx, object_id, stamps={added})
                faults.append(
                    Fault(
                        body=body,
                        rule="signature-invalid",
                        place="/extensions",
                        got=found.reason,
                        expected="a key that was its creator's alone when it came",
                        origin="what this node held",
                        id=object_id,
                    )
                )
            if faults:
                _log.warning("taken_out", creator=identity, objects=len(faults))
                self._node.quarantine.hold(tx, "compromised", faults)

    def parties_without(self, tx: Tx) -> list[str]:
        """List the members of whom no key is pinned, by name."""
        pinned = {row.party for row in self._pins.all(tx)}
        return [
            name
            for name, (_, party) in self._parties(tx).items()
            if party.kind in {Kind.MEMBER, Kind.COORDINATOR} and name not in pinned
        ]

    def pins(self, tx: Tx) -> list[PinRow]:
        """List all pins."""
        return self._pins.all(tx)


def standing(body: bytes, ring: Keyring, added: int) -> Examined:
    """Tell how it stands now with a version that is here since `added`."""
    data = orjson.loads(body)
    return examine(data, ring.keys, added, modified=_modified(data))


def _modified(data: Mapping[str, Any]) -> int:
    text = data.get("modified") or data.get("created")
    return instant(text) if isinstance(text, str) else 0


def _object(
    version: ObjectVersion, ring: Keyring, bringer: Bringer
) -> Objection | None:
    examined = _examined(version, ring)
    return objection(
        version.creator,
        version.type,
        examined,
        ring,
        bringer.demand,
        from_peer=bringer.peer,
    )


def _examined(version: ObjectVersion, ring: Keyring) -> Examined:
    """Give what was found of an arriving version, found anew where keys changed since.

    It may have been examined long before, beside, by keys that were known then.
    """
    told, reason, key_id = version.examined
    if told == Standing.UNSIGNED:
        return Examined(Standing.UNSIGNED, reason)
    known = {key.id: key for key in ring.keys.get(version.creator, ())}
    key = known.get(key_id)
    if told == Standing.VALID and key is not None and key.state is State.ACTIVE:
        return Examined(Standing.VALID, reason, key_id)
    if told == Standing.UNKNOWN_KEY and key is None:
        return Examined(Standing.UNKNOWN_KEY, reason, key_id)
    found = examine(orjson.loads(version.body), ring.keys, modified=version.modified)
    version.examined = (found.standing.value, found.reason, found.key_id)
    return found


def _statement(data: Mapping[str, Any], at: int) -> Statement | None:
    """Read a statement; None for one that says nothing, or was changed later."""
    if data.get("modified") != data.get("created") or data.get("revoked"):
        return None
    try:
        return Statement(data, read_claims(data), at)
    except ValueError:
        return None
