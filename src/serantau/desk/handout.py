"""Hand-outs: what one party may have, as files that a person carries or a server shows.

Each page of objects is read through desk/share, in a transaction that writes its row
into the release log. Only after that is anything made of it, so whatever is in a file
is in the log, also when the machine stops in the middle. TLP:RED is in none: a hand-out
is made by a machine, whoever carries it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from serantau import __version__
from serantau.desk.drafts import Draft, Reading
from serantau.desk.feed_folder import FeedState
from serantau.desk.share import Share
from serantau.desk.whole import alone
from serantau.errors import Forbidden
from serantau.node import Node
from serantau.records.registry import Caller
from serantau.records.views import Asked
from serantau.rules.marking import Marking, Tlp
from serantau.rules.realm import LIVE, PROPERTY, tag_of
from serantau.wire.misp_feed import Writing
from serantau.wire.misp_graph import references, uuid_of
from serantau.wire.misp_out import to_misp_event
from serantau.wire.misp_values import derived_uuid, read_uuid

RELEASED: Final = "released"


@dataclass(frozen=True, slots=True)
class Loss:
    """An object that is not in a MISP event as it was: which, and why.

    event: uuid of the MISP event. id: of the object. outcome: "altered" or "lost".
    """

    event: str
    id: str
    what: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """A MISP event, `{"Event": {...}}`, of how many objects, and what it lacks."""

    event: dict[str, Any]
    objects: int
    losses: list[Loss]


@dataclass(slots=True)
class Handed:
    """What was handed out. unchanged: events that a feed had already, just so."""

    party: str
    objects: int = 0
    events: int = 0
    unchanged: int = 0
    losses: list[Loss] = field(default_factory=list)


class Handout:
    """Writes what parties may have. `actor` is the person who does it, for the log."""

    def __init__(self, node: Node, actor: str) -> None:
        """Hand out of `node`."""
        self._node = node
        self._share = Share(node)
        self._actor = actor
        self._realm = node.config.node.realm

    def bundle(
        self,
        party: str,
        stream: BinaryIO,
        collection: str = RELEASED,
        asked: Asked | None = None,
    ) -> Handed:
        """Write one STIX 2.1 bundle, object bodies byte for byte as they are held.

        Memory stays within a page. The bundle's id is made of what is in it and stands
        at its end.

        Args:
            party: the name of who gets it.
            stream: where to; each page is in the release log before it is written.
            collection: id or alias of what it is taken from.
            asked: filters; the newest version of everything otherwise.

        Raises:
            NotFound: no such party or collection.
            Forbidden: the party may not read the collection, or its access has ended.
        """
        reading = self._reading(party, collection, "STIX bundle", asked)
        handed = Handed(party)
        digest = hashlib.blake2b(digest_size=16)
        stream.write(b'{"type":"bundle"')
        if self._realm != LIVE:
            # Before the objects, so that a reader knows before it takes one in.
            stream.write(f',"{PROPERTY}":"{self._realm}"'.encode())
        for page in reading.pages(asked or Asked()):
            # STIX 2.1 §8: a bundle without objects has no list of them.
            before = b"," if handed.objects else b',"objects":['
            stream.write(before + page.bodies)
            digest.update(before + page.bodies)
            handed.objects += page.count
        end = b"]" if handed.objects else b""
        name = uuid.UUID(bytes=digest.digest(), version=4)
        stream.write(end + f',"id":"bundle--{name}"}}\n'.encode())
        return handed

    def misp_events(
        self, party: str, collection: str = RELEASED, asked: Asked | None = None
    ) -> Iterator[Event]:
        """Make MISP events: one a report or grouping, then those of the rest by day.

        A report's event has the objects that it refers to, and what these cannot do
        without. All else is in events by day (of the date added) and TLP level, so that
        one strict object does not make all of its day strict. The same store gives the
        same events.

        Raises:
            NotFound, Forbidden: as `bundle`.
        """
        reading = self._reading(party, collection, "MISP events", asked)
        known = self._known()
        for draft in reading.drafts(asked or Asked(), known):
            yield self._event(draft, known)

    def misp_file(
        self,
        party: str,
        stream: BinaryIO,
        collection: str = RELEASED,
        asked: Asked | None = None,
    ) -> Handed:
        """Write all MISP events into one file, as a search of MISP gives them.

        Raises:
            NotFound, Forbidden: as `bundle`.
        """
        handed = Handed(party)
        stream.write(b'{"response":[')
        for one in self.misp_events(party, collection, asked):
            comma = b"," if handed.events else b""
            stream.write(comma + orjson.dumps(one.event))
            handed.events += 1
            handed.objects += one.objects
            handed.losses += one.losses
        stream.write(b"]}\n")
        return handed

    def misp_feed(
        self,
        party: str,
        folder: Path,
        collection: str = RELEASED,
        asked: Asked | None = None,
    ) -> Handed:
        """Make a folder the MISP feed of one party, or bring it up to date.

        What the party may not have any more is taken out. Events of which nothing
        changed are neither converted nor written again; what tells so is kept in the
        node's own folder, not in the feed.

        Raises:
            NotFound, Forbidden: as `bundle`.
            Conflict: the folder has something else in it, or another party's feed, or
                is just being written.
        """
        reading = self._reading(party, collection, "MISP feed", asked)
        known = self._known()
        handed = Handed(party)
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        with alone(folder):
            state = FeedState(self._node.home, folder, party)
            feed = Writing(folder)
            for draft in reading.drafts(asked or Asked(), known):
                inputs = self._digest(draft, known)
                told = state.unchanged(draft.uuid, inputs, feed)
                if told is None:
                    made = self._event(draft, known)
                    _, file = feed.add(made.event)
                    told = [asdict(loss) for loss in made.losses]
                    state.note(draft.uuid, inputs, file, told)
                else:
                    handed.unchanged += 1
                handed.events += 1
                handed.objects += len(draft.objects)
                handed.losses += [Loss(**each) for each in told]
            feed.finish()
            state.keep()
        return handed

    def _reading(
        self, party: str, collection: str, form: str, asked: Asked | None
    ) -> Reading:
        node = self._node
        with node.db.read() as tx:
            number, held = node.registry.party(tx, party)
            if not held.active(tx.clock.now()):
                raise Forbidden(
                    f"The access of {party} has ended; nothing is released."
                )
        caller = Caller(self._actor, number, held, "reader")
        offer = self._share.offer(caller, collection)
        if not offer.can_read:
            raise Forbidden(f"{party} may not read collection {collection!r}.")
        filters = "" if asked is None else f" of {asked}"
        return Reading(node, self._share, caller, offer.collection, form + filters)

    def _known(self) -> dict[str, Marking]:
        with self._node.db.read() as tx:
            return dict(self._node.audiences.known(tx))

    def _team(self) -> tuple[str, str]:
        held = self._node.config.node
        own = read_uuid(uuid_of(held.identity)) or derived_uuid("team", held.member)
        return held.team or held.member, own

    def _event(self, draft: Draft, known: Mapping[str, Marking]) -> Event:
        team, own = self._team()
        # How this node handles what has no TLP marking is its own affair: outside, such
        # an object is tagged as every node handles it unless told otherwise.
        sent = to_misp_event(
            draft.objects,
            organisation=team,
            organisation_uuid=own,
            info=draft.info,
            uuid=draft.uuid,
            known=known,
            handled_as=Tlp.AMBER_STRICT,
        )
        event = sent.event["Event"]
        event["uuid"] = draft.uuid
        if self._realm != LIVE:
            event["Tag"].append({"name": tag_of(self._realm)})
        # The time grows also with what has none of its own (observables), or is older
        # than what came before it: a reader asks only for events that are younger.
        seconds = max(int(event["timestamp"]), draft.stamp // 1_000_000)
        event["timestamp"] = str(seconds)
        if draft.date:
            event["date"] = draft.date
        if draft.again:
            _rename(event, {uuid_of(each) for each in draft.again})
        losses = [
            Loss(draft.uuid, fate.ids[0], fate.what, fate.outcome, fate.reason)
            for fate in sent.losses
        ]
        return Event(sent.event, len(draft.objects), losses)

    def _digest(self, draft: Draft, known: Mapping[str, Marking]) -> str:
        """Tell a draft from every other that would become another event."""
        refs = {ref for one in draft.objects for ref in references(one)}
        said = [
            *(__version__, self._realm, *self._team()),
            *(draft.uuid, draft.info, draft.date, str(draft.stamp)),
            *sorted(draft.again),
            *(f"{ref} {known[ref]}" for ref in sorted(refs & known.keys())),
        ]
        return hashlib.sha256(orjson.dumps([said, draft.objects])).hexdigest()


def _rename(event: dict[str, Any], twice: set[str]) -> None:
    """Give parts that another event has as well uuids of this event's own.

    A uuid of MISP is one attribute in one event; the second would be refused there.
    """
    names: dict[str, str] = {}

    def name(part: dict[str, Any], *, always: bool = False) -> None:
        if always or part["uuid"] in twice:
            names[part["uuid"]] = derived_uuid("again", event["uuid"], part["uuid"])

    for part in (*event["Attribute"], *event["EventReport"]):
        name(part)
    for whole_ in event["Object"]:
        name(whole_)
        for key in ("Attribute", "ObjectReference"):
            for part in whole_.get(key, ()):
                name(part, always=whole_["uuid"] in twice)
    for part in (*event["Attribute"], *event["EventReport"], *event["Object"]):
        for one in (part, *part.get("Attribute", ()), *part.get("ObjectReference", ())):
            for key in ("uuid", "object_uuid", "referenced_uuid"):
                if one.get(key) in names:
                    one[key] = names[one[key]]
