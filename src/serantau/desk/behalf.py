"""Handing objects to a coordinator, to be published without telling whose they are.

The member's own node writes what would be published, so that nothing else of an object
ever leaves it. The link between an object and what it was published as stays here.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from serantau.clock import stix_text
from serantau.desk.origin import traces_of
from serantau.desk.share import Share
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound
from serantau.node import Node
from serantau.records import acts
from serantau.records.behalf import WAITING, WITHDRAWN, Given, Handed, Link
from serantau.records.database import Tx
from serantau.records.registry import Caller
from serantau.records.search import Found
from serantau.rules.anonymous import (
    TOLD,
    Handing,
    Left,
    Marks,
    marks_of,
    new_id_of,
    write,
)
from serantau.rules.marking import TLP_2_IDS, Marking, Recalled, Tlp
from serantau.rules.party import Kind, Party
from serantau.rules.properties import OBSERVABLES
from serantau.rules.refusal import Refused
from serantau.rules.trace import Hit
from serantau.wire.behalf import MOST, NOTHING, Parcel, Question, pack
from serantau.wire.misp_tags import pap_definition

WAY: Final = "behalf"
Edits = Mapping[str, Mapping[str, Any]]

_HOUR: Final = 3_600_000_000
_OURS: Final = ("file", "user:")


@dataclass(frozen=True, slots=True)
class Shown:
    """An object as it would be published.

    id, version: of the object here. data: what would be published. left: what falls
    away. hits: why it cannot be published; none when it can.
    """

    id: str
    version: str
    data: dict[str, Any]
    left: tuple[Left, ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be handed over.

    number: of the handing-over that it goes on with, 0 for a new one. party: to whom.
    tlp: the level that was chosen, None for each object's own. edits: new values by id
    and property, None for none. ids: by id here, the one to publish it under. gone: ids
    here that were revoked since; what they were published as is revoked too.
    """

    number: int
    party: str
    tlp: Tlp | None
    edits: Edits
    ids: Mapping[str, str]
    objects: tuple[Shown, ...]
    gone: tuple[str, ...] = ()

    @property
    def hits(self) -> list[tuple[str, Hit]]:
        """List what stands against it, with the object's id."""
        return [(one.id, hit) for one in self.objects for hit in one.hits]


class Moved(Conflict):
    """What was shown is not what would be handed over now. `plan` is."""

    def __init__(self, plan: Plan) -> None:
        """Carry what would be handed over now."""
        super().__init__("Something changed since it was shown, and nothing was done.")
        self.plan = plan


class Behalf:
    """What one node hands over."""

    def __init__(self, node: Node) -> None:
        """Hand over from `node`."""
        self._node = node
        self._share = Share(node)
        self.rows = Given()

    def plan(
        self, party: str, ids: Sequence[str], *, tlp: Tlp | None, edits: Edits
    ) -> Plan:
        """Work out what would be published of objects; nothing leaves.

        Args:
            party: the coordinator.
            ids: of the objects.
            tlp: the level to publish them at; None: each at its own.
            edits: what a person wrote in place of a property, by id and property; None
                takes it out.

        Raises:
            NotFound: no such party, or no such object.
            BadRequest: the party publishes nothing, or an edit is of nothing.
            Forbidden: an object is not this node's to give.
        """
        with self._node.db.read() as tx:
            return self._plan(tx, Plan(0, party, tlp, edits, {}, ()), ids)

    def plan_again(self, number: int, tlp: Tlp | None, edits: Edits) -> Plan:
        """Work out what would be published now of what was handed over before.

        Args:
            number: of the handing-over.
            tlp: another level than before; None: the same.
            edits: more edits; those of before hold where these say nothing.

        Raises:
            NotFound: there is none.
            Conflict: it was withdrawn.
        """
        with self._node.db.read() as tx:
            handed = self._live(tx, number)
            links = self.rows.links(tx, number=number)
            before = handed.how["tlp"]
            merged: dict[str, Mapping[str, Any]] = dict(handed.how["edits"])
            for object_id, several in edits.items():
                merged[object_id] = {**merged.get(object_id, {}), **several}
            plan = Plan(
                number,
                handed.party,
                tlp if tlp is not None else None if before is None else Tlp(before),
                merged,
                {link.original: link.published for link in links},
                (),
            )
            return self._plan(tx, plan, [link.original for link in links])

    def _live(self, tx: Tx, number: int) -> Handed:
        handed = self.rows.get(tx, number)
        if handed.state == WITHDRAWN:
            raise Conflict(f"Number {number} was withdrawn: hand it over anew.")
        return handed

    def _plan(self, tx: Tx, plan: Plan, ids: Sequence[str]) -> Plan:
        party = self._publisher(tx, plan.party)
        wanted = list(dict.fromkeys(ids))
        if not 0 < len(wanted) <= MOST:
            raise BadRequest(f"{len(wanted)} objects at once; expected 1 to {MOST}.")
        stray = sorted(plan.edits.keys() - set(wanted))
        if stray:
            raise BadRequest(f"{stray[0]} is edited, and not handed over.")
        known = self._node.audiences.known(tx)
        held, gone = {}, []
        for object_id in wanted:
            found = self._ours(tx, object_id)
            data = orjson.loads(found.body)
            if data.get("revoked"):
                gone.append(object_id)
                continue
            held[object_id] = found, _edited(data, plan.edits.get(object_id, {}))
        if gone and not plan.number:
            raise BadRequest(f"{gone[0]} is revoked.")
        told = {one: data for one, (_, data) in held.items()}
        # An observable's id says what it is; others keep the one they once got.
        names = {
            one: new_id_of(data, plan.ids.get(one, "").partition("--")[2] or _fresh())
            for one, data in told.items()
        }
        marks = {
            one: self._marks(tx, found, known, plan.tlp)
            for one, (found, _) in held.items()
        }
        traces = traces_of(self._node, tx, told.values())
        common = Handing(
            ids=names,
            everybody=self._everybody(tx, told.values(), known),
            by=party.identity,
            marks=(),
            traces=traces,
            step=self._node.config.federation.behalf_hours * _HOUR,
        )
        objects = tuple(
            self._checked(tx, _shown(found, data, common, marks[one]))
            for one, (found, data) in held.items()
        )
        return Plan(
            plan.number, plan.party, plan.tlp, plan.edits, names, objects, tuple(gone)
        )

    def _checked(self, tx: Tx, shown: Shown) -> Shown:
        """Make sure that the publisher could read it: an edit may have spoiled it."""
        if shown.hits:
            return shown
        data = dict(shown.data)
        if not _is_observable(data["id"]):
            data["created"] = data["modified"] = stix_text(tx.clock.now())
        try:
            self._node.reader.read(orjson.dumps(data))
        except Refused as fault:
            what = f"refused: expected {fault.expected}"
            return replace(shown, hits=(Hit(fault.place, fault.got, what),))
        return shown

    def _publisher(self, tx: Tx, name: str) -> Party:
        _, party = self._node.registry.party(tx, name)
        if party.kind is not Kind.COORDINATOR or not party.identity:
            raise BadRequest(
                f"{name} publishes on nobody's behalf: it is a {party.kind}"
                f"{'' if party.identity else ' without an identity here'}.",
                mend="`serantau party add NAME --kind coordinator --identity ID`.",
            )
        return party

    def _ours(self, tx: Tx, object_id: str) -> Found:
        versions = self._node.search.versions(tx, object_id)
        if not versions:
            raise NotFound(f"No object is named {object_id!r}.")
        found = versions[-1]
        if found.recalled is not Recalled.NO:
            raise Forbidden(f"{object_id} was recalled.")
        creator = orjson.loads(found.body).get("created_by_ref", "")
        own = self._node.config.node.identity
        made_here = creator == own or (not creator and found.source.startswith(_OURS))
        if found.type not in OBSERVABLES and not made_here:
            raise Forbidden(
                f"{object_id} was made by {creator or found.source}: only its maker "
                "may have it published."
            )
        return found

    def _marks(
        self, tx: Tx, found: Found, known: Mapping[str, Marking], tlp: Tlp | None
    ) -> Marks | str:
        marked = self._node.audiences.set_of(tx, found.marking_set)
        own = marks_of(marked, known, None)
        if tlp is None or found.type not in OBSERVABLES:
            return marks_of(marked, known, tlp)
        if found.source.startswith(_OURS):
            return marks_of(marked, known, tlp)
        # What came from others is published no wider than they said.
        if isinstance(own, Marks) and own.tlp > tlp:
            return f"it came from {found.source} at {own.tlp.label}"
        return marks_of(marked, known, tlp) if isinstance(own, Marks) else own

    def _everybody(
        self, tx: Tx, objects: Sequence[Mapping[str, Any]] | Any, known: Any
    ) -> set[str]:
        """Find what the objects refer to and everybody has: others' at TLP:CLEAR."""
        found = set()
        own = self._node.config.node.identity
        for ref in {ref for data in objects for ref in _references(data)}:
            versions = self._node.search.versions(tx, ref)
            if not versions or versions[-1].source.startswith(_OURS):
                continue
            data = orjson.loads(versions[-1].body)
            marked = self._node.audiences.set_of(tx, versions[-1].marking_set)
            marks = marks_of(marked, known, None)
            if (
                isinstance(marks, Marks)
                and marks.tlp is Tlp.CLEAR
                and data.get("created_by_ref", own) != own
            ):
                found.add(ref)
        return found

    def hand(self, plan: Plan, *, actor: str, sealed: bool = False) -> int:
        """Let the coordinator's node have what was shown; gives the number.

        It goes when that node asks next, and is in the release log then.

        Args:
            plan: what a person saw.
            actor: the person.
            sealed: whether the coordinator shall keep the origin, encrypted.

        Raises:
            Forbidden: something stands against it, or the coordinator may not have it.
            Conflict: it would no longer be what was shown.
        """
        for object_id, hit in plan.hits:
            raise Forbidden(
                f"{object_id} {hit}.",
                mend="`--set ID:PROPERTY=TEXT` says it otherwise; an empty text leaves "
                "it out.",
            )
        with self._node.db.write() as tx:
            ids = [*plan.ids, *plan.gone]
            now = self._plan(tx, plan, ids)
            if now.objects != plan.objects:
                raise Conflict("Something changed since it was shown.")
            verdicts = self._share.judge_rows(tx, plan.party, plan.party, _levels(now))
            for verdict in verdicts.values():
                if not verdict.released:
                    raise Forbidden(f"{plan.party} may not have it: {verdict}.")
            if plan.number:
                handed = self._live(tx, plan.number)
            else:
                handed = self._begin(tx, plan, actor, sealed)
            before = {
                link.original: link.published
                for link in self.rows.links(tx, number=handed.number)
            }
            links = [(one.id, now.ids[one.id], one.version) for one in now.objects]
            self.rows.bind(tx, handed.number, links)
            published = {published for _, published, _ in links}
            revoked = [x for x in before.values() if x not in published]
            self._put(tx, handed, now, revoked, WAITING)
            acts.decided(
                tx,
                "handed over to be published",
                f"number {handed.number} to {plan.party}",
                after={"objects": dict(now.ids)},
            )
        return handed.number

    def hand_as_seen(
        self, plan: Plan, seen: str, *, actor: str, sealed: bool = False
    ) -> int:
        """Hand over a plan that was worked out again, if it is the one that was seen.

        Args:
            plan: as it is now.
            seen: what `digest_of` gave of the one that a person saw.
            actor: the person.
            sealed: as for `hand`.

        Raises:
            Moved: it is another one.
            Forbidden, Conflict: as `hand`.
        """
        if digest_of(plan) != seen:
            raise Moved(plan)
        return self.hand(plan, actor=actor, sealed=sealed)

    def _begin(self, tx: Tx, plan: Plan, actor: str, sealed: bool) -> Handed:
        number = self.rows.add(
            tx,
            hand=_fresh(),
            party=plan.party,
            actor=actor,
            sealed=sealed,
            token=self._node.seal.seal(secrets.token_hex(32)),
            how=_how(plan),
        )
        return self.rows.get(tx, number)

    def _put(
        self, tx: Tx, handed: Handed, plan: Plan, revoked: Sequence[str], state: str
    ) -> None:
        if handed.body:
            # What was not fetched yet is not lost, and not said twice.
            waiting = orjson.loads(handed.body)["parcel"]
            told = {one.data["id"] for one in plan.objects}
            revoked = [*waiting["revoked"], *revoked]
            revoked = [x for x in dict.fromkeys(revoked) if x not in told]
        parcel = Parcel(
            hand=handed.hand,
            step=handed.step + 1,
            token=self._node.seal.open(handed.token),
            sealed=handed.sealed,
            revoked=tuple(x for x in revoked if not _is_observable(x)),
            objects=tuple(one.data for one in plan.objects),
        )
        self.rows.put(
            tx,
            handed.number,
            pack(parcel),
            step=parcel.step,
            state=state,
            how=_how(plan),
        )

    def withdraw(self, number: int) -> Handed:
        """Have all that was published of a handing-over revoked; gives what it was.

        Raises:
            NotFound: there is none.
            Conflict: it was withdrawn before.
        """
        with self._node.db.write() as tx:
            handed = self._live(tx, number)
            links = self.rows.links(tx, number=number)
            nothing = Plan(number, handed.party, None, handed.how["edits"], {}, ())
            self._put(tx, handed, nothing, [one.published for one in links], WITHDRAWN)
            acts.decided(tx, "withdrew what was published", f"number {number}")
        return handed

    def all(self) -> list[tuple[Handed, list[Link], bool]]:
        """List what was handed over, with its links, and whether it changed since."""
        with self._node.db.read() as tx:
            found = []
            for handed in self.rows.all(tx):
                links = self.rows.links(tx, number=handed.number)
                found.append((handed, links, any(self._changed(tx, x) for x in links)))
            return found

    def _changed(self, tx: Tx, link: Link) -> bool:
        versions = self._node.search.versions(tx, link.original)
        return bool(versions) and versions[-1].version != link.version

    def of_object(self, object_id: str) -> list[Link]:
        """Tell what an object of this node was published as, and by whom."""
        with self._node.db.read() as tx:
            return self.rows.links(tx, original=object_id)

    def page(self, caller: Caller, question: Question) -> bytes:
        """Answer a coordinator's node with the next parcel, and log it.

        Others get the answer of whom nothing is handed over to.
        """
        party = caller.party.name
        if caller.own or caller.party.kind is not Kind.COORDINATOR:
            return NOTHING
        if question.hand or question.refused:
            with self._node.db.write() as tx:
                self.rows.fetched(tx, party, question.hand, question.step)
                self.rows.refused(tx, party, question.refused)
        with self._node.db.read() as tx:
            handed = self.rows.next(tx, party, sealed=question.sealed)
            if handed is None:
                return NOTHING
            levels = _counts(orjson.loads(handed.body)["parcel"])
            verdicts = self._share.judge_rows(tx, party, party, levels)
            if not all(verdict.released for verdict in verdicts.values()):
                return NOTHING
            self._share.release_rows(
                tx,
                party,
                party,
                levels,
                actor=caller.user,
                way=WAY,
                request=f"number {handed.number}, parcel {handed.step}",
            )
        return handed.body


def digest_of(plan: Plan) -> str:
    """Name what would be handed over, but for ids that are made anew each time."""
    said = orjson.dumps(
        [
            plan.number,
            plan.party,
            [
                [one.id, one.version, one.data, list(map(str, (*one.left, *one.hits)))]
                for one in plan.objects
            ],
            list(plan.gone),
        ],
        option=orjson.OPT_SORT_KEYS,
    ).decode()
    for original, published in plan.ids.items():
        said = said.replace(published, original)
    return hashlib.sha256(said.encode()).hexdigest()


def read_edits(texts: Iterable[str], ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read `ID:PROPERTY=TEXT`; a list of texts is written as JSON.

    Raises:
        BadRequest: one is not so, or of none of these ids.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, said = text.partition("=")
        object_id, colon, name = place.rpartition(":")
        if not colon and len(ids) == 1:
            object_id = ids[0]
        if not (equals and name and object_id in ids):
            raise BadRequest(
                f"{text!r} cannot be read as an edit.",
                mend="Expected ID:PROPERTY=TEXT with the id of what is handed over, "
                f"such as {next(iter(ids), 'ID')}:name=Botnet.",
            )
        value: Any = said or None
        if said.startswith("["):
            try:
                value = orjson.loads(said)
            except orjson.JSONDecodeError:
                # A pattern begins so, too.
                value = said
        found.setdefault(object_id, {})[name] = value
    return found


def _fresh() -> str:
    return str(uuid.uuid4())


def _how(plan: Plan) -> dict[str, Any]:
    return {
        "tlp": None if plan.tlp is None else int(plan.tlp),
        "edits": plan.edits,
    }


def _levels(plan: Plan) -> list[Tlp]:
    return sorted({_level(one.data) for one in plan.objects})


def _level(data: Mapping[str, Any]) -> Tlp:
    marks = data["object_marking_refs"]
    return max(level for level, ref in TLP_2_IDS.items() if ref in marks)


def _counts(parcel: Mapping[str, Any]) -> dict[Tlp, int]:
    """Count what is in a parcel by level; ids to be revoked are everybody's."""
    counts = Counter(_level(one) for one in parcel["objects"])
    if parcel["revoked"]:
        counts[Tlp.CLEAR] += len(parcel["revoked"])
    return dict(counts)


def _is_observable(object_id: str) -> bool:
    return object_id.partition("--")[0] in OBSERVABLES


def _shown(
    found: Found, data: Mapping[str, Any], common: Handing, marks: Marks | str
) -> Shown:
    if isinstance(marks, str):
        refs: tuple[str, ...] = ()
    else:
        pap = [] if marks.pap is None else [pap_definition(marks.pap.label)["id"]]
        refs = (TLP_2_IDS[marks.tlp], *pap)
    written = write(data, replace(common, marks=refs))
    left, hits = list(written.left), list(written.hits)
    if isinstance(marks, str):
        hits.append(Hit("/object_marking_refs", "", marks))
    else:
        left += [Left("/object_marking_refs", said) for said in marks.left]
    return Shown(found.id, found.version, written.data, tuple(left), tuple(hits))


def _edited(data: dict[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in edits.items():
        if name not in TOLD.get(data["type"], ()):
            raise BadRequest(
                f"{name} of a {data['type']} is not published, so it cannot be set.",
                mend=f"Expected one of {', '.join(TOLD.get(data['type'], ()))}.",
            )
        if value is None:
            data.pop(name, None)
        else:
            data[name] = value
    return data


def _references(data: Mapping[str, Any]) -> Iterator[str]:
    for name, value in data.items():
        if name.endswith("_ref") and isinstance(value, str):
            yield value
        elif name.endswith("_refs") and isinstance(value, list):
            yield from value
