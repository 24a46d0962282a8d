"""What members hand to this node, a coordinator, to be published in its own name.

Who handed something over is never written: no row, log or file of this node says it,
unless its origin asked for that. Then it is encrypted to a key under a passphrase. When
something came is not logged either, since the line beside it would say from where.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from serantau.clock import instant, moment, stix_text
from serantau.desk.origin import members_traces
from serantau.errors import BadRequest, ConfigError, Conflict
from serantau.node import Node
from serantau.records import acts
from serantau.records.behalf import PUBLISHED, REFUSED, WAITING, WITHDRAWN, Held, Taken
from serantau.records.database import Tx
from serantau.records.peers import Peer
from serantau.records.recalls import Recalls
from serantau.rules.anonymous import unexpected
from serantau.rules.marking import TLP_2_IDS, Pap, Tlp
from serantau.rules.party import Kind
from serantau.rules.properties import OBSERVABLES
from serantau.rules.realm import LIVE, PROPERTY
from serantau.rules.refusal import Refused
from serantau.rules.signature import signed
from serantau.wire.behalf import MOST, Parcel, Question, ask
from serantau.wire.client import TaxiiClient
from serantau.wire.misp_tags import pap_definition

SOURCE: Final = "behalf"
KEY_FILE: Final = "behalf.pem"
PUBLIC_FILE: Final = "behalf.pub.pem"
_AT_ONCE: Final = 50
# More than people look at: who hands over more waits.
_WAITING_MOST: Final = 500
_LARGEST: Final = 10_000_000
_LONGEST: Final = 500
_MILLISECOND: Final = 1000
_FREE: Final = (Tlp.CLEAR, Tlp.GREEN)
# RFC 9180.
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO: Final = b"serantau origin "

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """What came, as a person looks at it.

    objects: as they would be published. doubts: names of members in them, which may be
    no trace at all: this node does not know whose it is.
    """

    held: Held
    objects: tuple[dict[str, Any], ...]
    doubts: tuple[tuple[str, str], ...]


class Publisher:
    """Takes what members hand over, and publishes what a person approves."""

    def __init__(self, node: Node) -> None:
        """Publish in the name of `node`."""
        self._node = node
        self.rows = Taken()

    @property
    def _identity(self) -> str:
        return self._node.config.node.identity

    def fetch(self, peer: Peer, client: TaxiiClient) -> None:
        """Take what a member's node hands over, if this is a coordinator's.

        Raises:
            PeerError: it did not answer as agreed.
        """
        node = self._node
        if node.config.node.role != "coordinator" or not self._identity:
            return
        with node.db.read() as tx:
            held = node.registry.parties(tx).get(peer.name)
            if held is None or held[1].kind is not Kind.MEMBER:
                return
            refused = self.rows.refused(tx, MOST)
            waiting = self.rows.waiting(tx)
        question = Question(refused=refused, sealed=self._public is not None)
        for _ in range(min(_AT_ONCE, _WAITING_MOST - waiting)):
            parcel = ask(client.line, question)
            if parcel is None:
                return
            self.take(parcel, peer.name)
            question = Question(parcel.hand, parcel.step, sealed=question.sealed)

    def take(self, parcel: Parcel, member: str) -> None:
        """Keep a parcel until a person decides; what it revokes is revoked now.

        Args:
            parcel: as it came. A second time changes nothing.
            member: who handed it over; told to nobody, and kept only sealed.
        """
        token = hashlib.sha256(parcel.token.encode()).hexdigest()
        with self._node.db.write() as tx:
            held = self.rows.find(tx, parcel.hand)
            if held is None:
                day = f"{moment(tx.clock.now()):%Y-%m-%d}"
                origin = self._seal(parcel.hand, member) if parcel.sealed else ""
                held = Held(0, parcel.hand, token, day, WAITING, 0, b"", (), "", origin)
            elif held.token != token:
                return
            if parcel.step <= held.step:
                return
            self.rows.put(tx, self._taken(tx, parcel, held))

    def _taken(self, tx: Tx, parcel: Parcel, held: Held) -> Held:
        revoked = set(parcel.revoked)
        gone = [one for one in held.published if one in revoked]
        self._store(tx, [self._revoked(tx, one) for one in gone])
        left = tuple(one for one in held.published if one not in revoked)
        held = replace(held, step=parcel.step, published=left)
        if not parcel.objects:
            return replace(held, state=WITHDRAWN, body=b"")
        body = orjson.dumps(parcel.objects)
        fault = self._fault(tx, parcel, held)
        if len(body) > _LARGEST:
            fault = f"{len(body):,} bytes, expected at most {_LARGEST:,}"
        if fault:
            return replace(held, state=REFUSED, reason=fault[:_LONGEST], body=b"")
        return replace(held, state=WAITING, reason="", body=body)

    def _fault(self, tx: Tx, parcel: Parcel, held: Held) -> str:
        """Say why no person need look at a parcel; empty: nothing is wrong with it."""
        marks = {TLP_2_IDS[level] for level in _FREE} | _PAP_IDS.keys()
        for data in parcel.objects:
            wrong = unexpected(data, by=self._identity, marks=marks)
            if wrong:
                return wrong
            try:
                version = self._node.reader.read(
                    orjson.dumps(self._dated(tx, data, tx.clock.now()))
                )
            except Refused as fault:
                return f"{data.get('id')!r}: {fault}"
            if self._is_anothers(tx, version.id, held):
                return f"{version.id} is here already, and not from there"
        return ""

    def _is_anothers(self, tx: Tx, object_id: str, held: Held) -> bool:
        """Say whether publishing it would change what others made, or we."""
        if object_id.partition("--")[0] in OBSERVABLES or object_id in held.published:
            return False
        return bool(self._node.search.versions(tx, object_id, hidden=True))

    def look(self, number: int) -> Looked:
        """Show what came under a number.

        Raises:
            NotFound: nothing did.
        """
        with self._node.db.read() as tx:
            held = self.rows.get(tx, number)
            if held.body:
                objects = tuple(orjson.loads(held.body))
            else:
                objects = tuple(
                    orjson.loads(versions[-1].body)
                    for one in held.published
                    if (versions := self._node.search.versions(tx, one))
                )
        traces = members_traces(self._node.profile)
        doubts = {
            (str(data["id"]), found)
            for data in objects
            for text in _texts(data)
            for found, _ in traces.among(text, sentence=True)
        }
        return Looked(held, objects, tuple(sorted(doubts)))

    def publish(self, number: int) -> tuple[list[str], list[str]]:
        """Make what waits under a number this node's own, signed.

        Returns:
            The ids of what is published, and of observables that are here already with
            other markings: those stay as they are, since they have no versions.

        Raises:
            NotFound: nothing came under it.
            Conflict: nothing of it waits.
        """
        with self._node.db.write() as tx:
            held = self._waiting(tx, number)
            objects = orjson.loads(held.body)
            now = tx.clock.now()
            for data in objects:
                if self._is_anothers(tx, data["id"], held):
                    raise Conflict(f"{data['id']} came from elsewhere meanwhile.")
            paps = {
                ref: _PAP_IDS[ref]
                for data in objects
                for ref in data["object_marking_refs"]
                if ref in _PAP_IDS
            }
            made = [self._dated(tx, data, now) for data in objects]
            stay = self._store(tx, [*paps.values(), *made])
            ids = [x for data in objects if (x := str(data["id"])) not in stay]
            published = tuple(dict.fromkeys((*held.published, *ids)))
            self.rows.put(
                tx, replace(held, state=PUBLISHED, body=b"", published=published)
            )
            acts.decided(
                tx, "published on behalf", f"number {number}", after={"objects": ids}
            )
        return ids, stay

    def _waiting(self, tx: Tx, number: int) -> Held:
        held = self.rows.get(tx, number)
        if held.state != WAITING:
            raise Conflict(f"Nothing of number {number} waits: it is {held.state}.")
        return held

    def refuse(self, number: int, reason: str) -> None:
        """Publish nothing of what waits under a number; its origin's node is told so.

        Raises:
            NotFound: nothing came under it.
            Conflict: nothing of it waits.
        """
        with self._node.db.write() as tx:
            held = self._waiting(tx, number)
            self.rows.put(tx, replace(held, state=REFUSED, body=b"", reason=reason))
            acts.decided(
                tx, "refused to publish on behalf", f"number {number}", why=reason
            )

    def all(self) -> list[Held]:
        """List what came."""
        with self._node.db.read() as tx:
            return self.rows.all(tx)

    def _dated(self, tx: Tx, data: Mapping[str, Any], now: int) -> dict[str, Any]:
        """Give an object the times of being published, and the realm it is of."""
        made = dict(data)
        realm = self._node.config.node.realm
        if realm != LIVE:
            made[PROPERTY] = realm
        if made["type"] in OBSERVABLES:
            return made
        before = self._before(tx, str(made.get("id")))
        made["created"] = before["created"] if before else stix_text(now)
        made["modified"] = _after(before, now)
        return made

    def _before(self, tx: Tx, object_id: str) -> dict[str, Any]:
        versions = self._node.search.versions(tx, object_id, hidden=True)
        held: dict[str, Any] = orjson.loads(versions[-1].body) if versions else {}
        return held

    def _revoked(self, tx: Tx, object_id: str) -> dict[str, Any]:
        before = self._before(tx, object_id)
        modified = _after(before, tx.clock.now())
        return {**before, "revoked": True, "modified": modified}

    def _store(self, tx: Tx, made: Sequence[dict[str, Any]]) -> list[str]:
        """Admit what this node makes; gives the ids of what is here otherwise."""
        node = self._node
        ready = [
            signed(data, node.signer.jws)
            if data.get("created_by_ref") == self._identity
            else data
            for data in made
        ]
        admission = node.objects.admit(
            tx,
            [node.reader.read(orjson.dumps(data)) for data in ready],
            source=SOURCE,
            handling=lambda _: Tlp.GREEN,
        )
        Recalls.admitted(tx, admission, self._identity)
        return [refusal.version.id for refusal in admission.refused]

    # The origin, where it asked to be kept

    @property
    def _public(self) -> X25519PublicKey | None:
        path = self._node.config.keys / PUBLIC_FILE
        if not path.exists():
            return None
        key = load_pem_public_key(path.read_bytes())
        return key if isinstance(key, X25519PublicKey) else None

    def make_key(self, passphrase: str) -> Path:
        """Make the key to which origins are encrypted; gives where its half is kept.

        Raises:
            BadRequest: no passphrase, or there is a key already.
        """
        if not passphrase:
            raise BadRequest("Without a passphrase anybody at this machine opens it.")
        private = X25519PrivateKey.generate()
        folder = self._node.config.keys
        lock = BestAvailableEncryption(passphrase.encode())
        public = private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        try:
            _write(
                folder / KEY_FILE,
                private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock),
            )
            _write(folder / PUBLIC_FILE, public)
        except FileExistsError as fault:
            raise BadRequest(
                f"{fault.filename} is there: what is sealed opens with it only.",
                mend="To begin anew, move it and the .pub.pem beside it; keep them.",
            ) from fault
        return folder / KEY_FILE

    def _seal(self, hand: str, member: str) -> str:
        public = self._public
        if public is None:
            # It was not asked for sealed ones: nothing is better than a clear name.
            return ""
        # Padded: the length of a name would tell it.
        text = member.encode().ljust(64)
        sealed = _SUITE.encrypt(text, public, _INFO + hand.encode())
        return base64.b64encode(sealed).decode()

    def open(self, number: int, passphrase: str, reason: str) -> str:
        """Tell which member handed something over; it is logged that this was asked.

        Raises:
            NotFound: nothing came under this number.
            BadRequest: no reason, not this passphrase, or nothing is sealed.
            ConfigError: the key is not here.
        """
        if not reason.strip():
            raise BadRequest("A reason is missing: the log has to say why.")
        with self._node.db.write() as tx:
            held = self.rows.get(tx, number)
            if not held.origin:
                raise BadRequest(f"Number {number} came without a sealed origin.")
            member = self._unsealed(held, passphrase)
            # Written before it is told; it does not say whose it was.
            acts.decided(tx, "opened an origin", f"number {number}", why=reason)
        _log.warning("origin_opened", number=number, reason=reason)
        return member

    def _unsealed(self, held: Held, passphrase: str) -> str:
        path = self._node.config.keys / KEY_FILE
        try:
            private = load_pem_private_key(path.read_bytes(), passphrase.encode())
        except OSError as fault:
            raise ConfigError(
                f"{path} cannot be read: {fault.strerror}.",
                mend="Restore the folder keys/ from a backup.",
            ) from fault
        except (ValueError, TypeError) as fault:
            raise BadRequest(f"{path} does not open with this passphrase.") from fault
        if not isinstance(private, X25519PrivateKey):
            raise ConfigError(f"{path} is not an X25519 key.")
        try:
            text = _SUITE.decrypt(
                base64.b64decode(held.origin), private, _INFO + held.hand.encode()
            )
        except InvalidTag as fault:
            raise ConfigError(
                f"The origin of number {held.number} is sealed with another key."
            ) from fault
        return text.decode().strip()


_PAP_IDS: Final[Mapping[str, dict[str, Any]]] = {
    made["id"]: made for made in (pap_definition(level.label) for level in Pap)
}


def _write(path: Path, content: bytes) -> None:
    """Write a new file for the node's user only."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _after(before: Mapping[str, Any], now: int) -> str:
    if before:
        now = max(now, instant(before["modified"]) + _MILLISECOND)
    return stix_text(now)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list):
        return []
    return [text for one in inner for text in _texts(one)]
