"""What a node does with its own key, and what its people say about others' keys.

To tell others of a key, to rotate it, to say that it is lost or stolen, to countersign
that for another, and to pin what was compared.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from serantau.clock import instant, stix_text
from serantau.desk.intake import Intake, Report
from serantau.desk.keys import WAITING, Keys, standing
from serantau.errors import BadInput, BadRequest, Conflict, NotFound
from serantau.node import NEXT_FILE, SIGNING_FILE, Node
from serantau.records import acts
from serantau.records.database import Tx
from serantau.records.pins import PinRow, Pins
from serantau.rules.key import Key, fits, read_fingerprint, unbase64
from serantau.rules.marking import Tlp
from serantau.rules.realm import LIVE, PROPERTY, refusal
from serantau.rules.signature import Standing, signed
from serantau.rules.statement import (
    Claims,
    Told,
    declare_keys,
    key_extension_objects,
    make_statement,
    read_claims,
)
from serantau.wire.signer import Signer, keep_signer, new_signer

SOURCE: Final = "keys"
CARD: Final = "serantau-key"
_MILLISECOND: Final = 1000
_AT_ONCE: Final = 2000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What became of a pin. row: as it is kept. again: of what waited for the key."""

    row: PinRow
    again: Report


def card_of(party: str, key: Key, realm: str = LIVE) -> str:
    """Write a party's key as the text of a QR code; an exercise's says so."""
    more = "" if realm == LIVE else f":{realm}"
    return f"{CARD}:{party}:{key.jwk['x']}{more}"


def introduce(node: Node) -> bool:
    """Tell others of this node's key, if they were not told yet.

    The identity object says the key from now on, and what this node made before is
    signed where it stands. Gives whether there was anything to do.
    """
    identity = node.config.node.identity
    if not identity:
        return False
    with node.db.read() as tx:
        if Pins.signed_with(tx):
            return False
    signer = node.signer
    with node.db.write() as tx:
        if Pins.signed_with(tx):
            return False
        _tell(node, tx, signer, "founding")
    signed_anew = sign_held(node)
    _log.warning("key_introduced", key=signer.key.id, signed=signed_anew)
    return True


def _tell(node: Node, tx: Tx, signer: Signer, by: str) -> None:
    """Pin the node's own key, and let its identity object say it."""
    config, key = node.config.node, signer.key
    Pins().put(
        tx, PinRow(config.member, key.id, key, config.identity, tx.clock.now(), by)
    )
    _declare(node, tx, signer)


def _declare(node: Node, tx: Tx, signer: Signer) -> None:
    """Let the identity object say which key signs, and remember that it was said."""
    config = node.config.node
    Pins.sign_with(tx, signer.key.id)
    made: list[dict[str, Any]] = key_extension_objects()
    held = node.search.versions(tx, config.identity)
    if held:
        data = declare_keys(orjson.loads(held[-1].body), signer.key)
        data["created_by_ref"] = config.identity
        data["modified"] = _after(tx, data["modified"])
        made.append(signed(data, signer.jws))
    _store(node, tx, made)


def _after(tx: Tx, modified: str) -> str:
    return stix_text(max(tx.clock.now(), instant(modified) + _MILLISECOND))


def _store(node: Node, tx: Tx, made: list[dict[str, Any]]) -> None:
    versions = [node.reader.read(orjson.dumps(each)) for each in made]
    node.objects.admit(
        tx, versions, source=SOURCE, handling=lambda version: Tlp.AMBER_STRICT
    )


def sign_held(node: Node, progress: Callable[[int], None] | None = None) -> int:
    """Sign what this node made and holds with the key that it signs with now.

    A version stays the version it was: only its signature is another. Goes on where it
    was broken off. Gives how many were signed.
    """
    identity, signer, since, count = node.config.node.identity, node.signer, 0, 0
    keys, pins = Keys(node), Pins()
    while True:
        with node.db.write() as tx:
            ring = keys.ring(tx)
            held = pins.made_by(tx, identity, since, _AT_ONCE)
            if not held:
                return count
            anew = []
            for added, body in held:
                found = standing(body, ring, added)
                if (found.standing, found.key_id) == (Standing.VALID, signer.key.id):
                    continue
                version = node.reader.read(body)
                if keys.sign(version, signer):
                    anew.append((added, version.body))
            pins.rewrite(tx, anew)
            since, count = held[-1][0] + 1, count + len(anew)
        if progress is not None:
            progress(count)


def rotate(node: Node, follower: Signer | None = None, why: str = "") -> Key:
    """Sign with another key from now on, and state that with the old one.

    Args:
        node: an open node.
        follower: the key that follows; a new one without it. One from a secret store
            must be handed in by the store from now on.
        why: the reason, if one was given.

    Raises:
        ConfigError: the old key cannot be used; then it is lost: see `request`.
        Conflict: the key that follows is the one before.
    """
    old, own = node.signer, node.config.node.identity
    new = follower or new_signer()
    if new.key.id == old.key.id:
        raise Conflict("The key that follows is the one that signs now.")
    introduce(node)
    _keep_next(node, new, kept=follower is None)
    with node.db.write() as tx:
        now = tx.clock.now()
        claims = Claims(Told.ROTATION, own, old.key.id, _whole(now), new.key)
        _store(node, tx, [_statement(node, claims, now, old)])
        _declare(node, tx, new)
        acts.decided(
            tx,
            "changed this node's key",
            own,
            before=old.key.id,
            after=new.key.id,
            why=why,
        )
    node.forget_signer()
    return node.signer.key


def request(
    node: Node,
    told: Told,
    since: int | None = None,
    follower: Signer | None = None,
) -> dict[str, Any]:
    """Give up this node's key as lost or stolen, and sign with a new one.

    Others believe the new one when a coordinator and another member have countersigned
    what this gives, after a person told them its words.

    Args:
        node: an open node.
        told: loss or compromise.
        since: the instant from which the old key is not to be believed; now without it.
        follower: as for `rotate`.

    Raises:
        Conflict: others were never told of a key.
    """
    own = node.config.node.identity
    with node.db.read() as tx:
        old = Pins.signed_with(tx)
        now = tx.clock.now()
    if not old:
        raise Conflict(
            "Nobody was told of this node's key yet, so nobody has to be told more.",
            mend="`serantau key show` shows the one that it has.",
        )
    new = follower or new_signer()
    _keep_next(node, new, kept=follower is None)
    claims = Claims(told, own, old, _whole(now if since is None else since), new.key)
    with node.db.write() as tx:
        acts.decided(tx, "revoked this node's key", str(told), after=new.key.id)
        _tell(node, tx, new, "revocation")
    node.forget_signer()
    sign_held(node)
    return {
        "type": "key-request",
        "party": node.config.node.member,
        "realm": node.config.node.realm,
        **claims.document(),
    }


def countersign(
    node: Node, asked: Mapping[str, Any], fingerprint: str
) -> tuple[Claims, dict[str, Any]]:
    """State what another member asks for, after a person heard its new key's words.

    Args:
        node: an open node.
        asked: what `request` gave there.
        fingerprint: what was heard: words, or the id of the new key.

    Returns:
        What is claimed now, and the statement.

    Raises:
        BadInput: it is not such a request.
        BadRequest: the words are of another key, or it is about this node itself.
        NotFound: no key of that party is pinned here that it could be about.
    """
    own = node.config.node.identity
    said = str(asked.get("realm", ""))
    if why := refusal("This request", said, node.config.node.realm):
        raise BadInput(why)
    try:
        claims = read_claims(asked)
    except ValueError as fault:
        raise BadInput(
            f"This is no request about a key: {fault}.",
            mend="Ask for the file that `serantau key revoke` writes there.",
        ) from fault
    if claims.told is Told.ROTATION:
        raise BadInput("A rotation is signed with the old key and needs nobody else.")
    if claims.subject == own:
        raise BadRequest("A node does not countersign for itself.")
    heard = _fingerprint(fingerprint)
    if claims.new is None or not fits(claims.new, heard):
        raise BadRequest(
            "The words are not those of the key in the request. "
            "Nothing was countersigned.",
            mend="Call them again, by a number you know: somebody may be in between.",
        )
    with node.db.write() as tx:
        ring = Keys(node).ring(tx)
        if claims.key_id not in {key.id for key in ring.keys.get(claims.subject, ())}:
            raise NotFound(
                f"No key {claims.key_id} is pinned here for {claims.subject}.",
                mend="`serantau key list` shows what is.",
            )
        made = _statement(node, claims, tx.clock.now(), node.signer)
        acts.decided(
            tx, "countersigned for a key", claims.subject, before={"key": claims.key_id}
        )
        _store(node, tx, [made])
        Keys(node).settle(tx, [], [node.reader.read(orjson.dumps(made))])
    Intake(node).again(WAITING)
    return claims, made


def pin(node: Node, party: str, text: str, by: str) -> Pinned:
    """Pin a key of a party, after a person compared it.

    Args:
        node: an open node.
        party: the party's name.
        text: the words, the id, or the text of the QR code.
        by: the user who compared.

    Raises:
        NotFound: there is no such party.
        BadRequest: the text is none of these, or of another party.
    """
    with node.db.write() as tx:
        row = pin_in(node, tx, party, text, by)
    again = Intake(node).again(WAITING)
    with node.db.read() as tx:
        # What waited may have held the key, or proven whose it is.
        return Pinned(_row(tx, row.party, row.fingerprint), again)


def pin_in(node: Node, tx: Tx, party: str, text: str, by: str) -> PinRow:
    """Do the first half of `pin` in a transaction: what waits is not tried again."""
    _, held = node.registry.party(tx, party)
    key: Key | None = None
    if text.strip().startswith(CARD + ":"):
        key = _card(text.strip(), party, node.config.node.realm)
        proof = key.id
    else:
        proof = _fingerprint(text)
    pins = Pins()
    identity = held.identity if key is not None else ""
    pins.put(tx, PinRow(party, proof, key, identity, tx.clock.now(), by))
    acts.decided(tx, "pinned a key", party, after={"key": proof})
    Keys(node).bind_held(tx)
    return _row(tx, party, proof)


def _row(tx: Tx, party: str, proof: str) -> PinRow:
    return next(
        row for row in Pins().all(tx) if (row.party, row.fingerprint) == (party, proof)
    )


def pin_profile(node: Node, tx: Tx) -> list[PinRow]:
    """Pin what the federation's profile says of its members' keys."""
    own = node.config.node.member
    known = node.registry.parties(tx)
    have = {(row.party, row.fingerprint) for row in Pins().all(tx)}
    return [
        pin_in(node, tx, member.code, text, "profile")
        for member in node.profile.members
        for text in member.fingerprints
        if member.code != own
        and member.code in known
        and (member.code, read_fingerprint(text)) not in have
    ]


def _statement(node: Node, claims: Claims, now: int, signer: Signer) -> dict[str, Any]:
    config = node.config.node
    name = f"key-statement--{uuid.uuid4()}"
    made = make_statement(claims, config.identity, name, now)
    if config.realm != LIVE:
        made[PROPERTY] = config.realm
    return signed(made, signer.jws)


def _whole(at: int) -> int:
    """Give an instant as a timestamp writes it: in milliseconds."""
    return at // _MILLISECOND * _MILLISECOND


def _fingerprint(text: str) -> str:
    try:
        return read_fingerprint(text)
    except ValueError as fault:
        raise BadRequest(
            f"That is no fingerprint of a key: {fault}.",
            mend="Expected the twelve words, or the id of 43 letters, that "
            "`serantau key show` tells there.",
        ) from fault


def _card(text: str, party: str, own: str) -> Key:
    _, _, rest = text.partition(":")
    named, _, rest = rest.partition(":")
    public, _, realm = rest.partition(":")
    if why := refusal("That key", realm or LIVE, own):
        raise BadRequest(why)
    if named != party:
        raise BadRequest(f"That is the key of {named!r}, not of {party!r}.")
    try:
        return Key.of(unbase64(public))
    except ValueError as fault:
        raise BadRequest(f"That is no key: {fault}.") from fault


def _keep_next(node: Node, signer: Signer, *, kept: bool) -> None:
    """Write the key that follows beside the one that signs, before others are told.

    A crash between leaves both, and what others were told says which one holds.
    """
    if not kept:
        return
    config = node.config
    if config.signing.key or config.signing.key_file:
        raise BadRequest(
            "This node's key comes from a secret store, so a new one must as well.",
            mend="Make one there, and name a copy of it with --to FILE.",
        )
    path: Path = config.keys / NEXT_FILE
    path.unlink(missing_ok=True)
    keep_signer(path, signer, node.passphrase, config.node.realm)


def protect(node: Node, passphrase: str) -> None:
    """Put the key's file under another passphrase; empty: under none."""
    path = node.config.keys / SIGNING_FILE
    signer = node.signer
    draft = node.config.keys / NEXT_FILE
    draft.unlink(missing_ok=True)
    keep_signer(draft, signer, passphrase, node.config.node.realm)
    draft.replace(path)
    with node.db.write() as tx:
        acts.decided(tx, "changed the key's passphrase", signer.key.id)
    _log.info("key_protected", path=str(path))
