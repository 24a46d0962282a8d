"""What a change of policy would open and close, before it is done, and doing just that.

A change is judged per marking set and counted per marking set, so that it takes no
longer with a million objects. What was shown has a digest; applying works the same out
again in the transaction that changes, and goes on only when that is what was shown.
"""

from __future__ import annotations

import hashlib
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import orjson

from serantau.clock import instant, stix_text
from serantau.desk.intake import Intake
from serantau.desk.supposing import (
    MarkingChange,
    Supposed,
    circle_ids,
    circles_as,
    parties_as,
    policy_as,
    read_level,
)
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound
from serantau.node import Node
from serantau.records import acts
from serantau.records.database import Tx
from serantau.records.search import Found
from serantau.rules.marking import (
    TLP_2_IDS,
    Marking,
    MarkingSet,
    Tlp,
    definition_of,
    in_words,
    look_up,
    make_audience,
    read_marking,
)
from serantau.rules.party import Circle, Party
from serantau.rules.release import Policy, Verdict, ended, judge
from serantau.rules.signature import unsigned
from serantau.rules.stix import ObjectVersion
from serantau.wire.bundle import Piece

MOST = 10_000
"""Objects that one change marks anew."""

_FILE = "file"
_SAMPLES = 3
_MILLISECOND = 1000
_UNJUDGED = Verdict(False, "not-judged", "no verdict", "a verdict")
_NOT_HERE = Verdict(False, "not-here", "nothing", "the definition of the audience")


@dataclass(slots=True)
class Turn:
    """Objects of one marking that a party would see, or would not see any more.

    before, after: the verdicts. marking: what they are marked with; was: until then,
    when that is what changes. objects: how many. older: how many superseded versions
    besides.
    """

    before: Verdict
    after: Verdict
    marking: str
    was: str
    objects: int
    older: int
    samples: list[str]

    @property
    def released(self) -> bool:
        """Say whether it is newly released; otherwise it is newly withheld."""
        return self.after.released


@dataclass(slots=True)
class Effect:
    """What a change would mean for one party."""

    party: str
    kind: str
    turns: list[Turn]

    def count(self, released: bool) -> int:
        """Count the objects that it would see newly, or not any more."""
        return sum(each.objects for each in self.turns if each.released is released)


@dataclass(slots=True)
class Diff:
    """Who would see what. digest: names exactly this; remarks: what else to know."""

    effects: list[Effect]
    digest: str
    remarks: list[str] = field(default_factory=list)


class Moved(Conflict):
    """What was shown is not what would happen now. `diff` is."""

    def __init__(self, diff: Diff) -> None:
        """Carry what would happen now."""
        super().__init__(
            "The store has changed meanwhile: what was shown is no longer true, "
            "and nothing was changed.",
            mend="Look at what would happen now, and apply that.",
        )
        self.diff = diff


@dataclass(slots=True)
class _World:
    """What verdicts depend on, as it is and as it would be."""

    parties: dict[int, Party]
    then: dict[int, Party]
    known: Mapping[str, Marking]
    circles: dict[str, Circle]
    policy: Policy
    now: int


class Simulation:
    """Works out changes of one node's policy, and applies what was seen."""

    def __init__(self, node: Node) -> None:
        """Look into the store of `node`."""
        self._node = node

    def diff(self, supposed: Supposed) -> Diff:
        """Work out what a change would do; nothing is changed.

        Raises:
            BadRequest, NotFound: it cannot be made.
        """
        supposed.checked()
        with self._node.db.read() as tx:
            return self._diff(tx, supposed)

    def apply(self, supposed: Supposed, seen: str) -> Diff:
        """Do exactly what was shown, in one transaction.

        Args:
            supposed: the change.
            seen: the digest of what was shown.

        Raises:
            Moved: something else would happen by now; nothing is changed.
            BadRequest: the change stands in the configuration.
            Forbidden: an object that is not this node's to mark.
        """
        supposed.checked()
        if supposed.policy is not None:
            raise BadRequest(
                "The policy stands in the configuration, which this does not write.",
                mend="Put it into [policy] of serantau.toml, and restart the node: "
                "it judges everything anew before it serves.",
            )
        node = self._node
        with node.db.write() as tx:
            diff = self._diff(tx, supposed)
            if diff.digest != seen:
                raise Moved(diff)
            acts.decided(tx, "applied a simulation", diff.digest)
            held = node.audiences.parties(tx)
            own = node.audiences.own
            for party in parties_as(held, supposed.parties, own).values():
                node.registry.put_party(tx, party)
            for name, circle in supposed.circles.items():
                node.registry.put_circle(tx, name, circle.members)
            if supposed.marking is not None:
                self._mark(tx, supposed.marking)
        return diff

    def _diff(self, tx: Tx, supposed: Supposed) -> Diff:
        node = self._node
        audiences = node.audiences
        parties, circles = audiences.parties(tx), audiences.circles(tx)
        changed = parties_as(parties, supposed.parties, audiences.own)
        drawn = circles_as(circles, supposed.circles, parties)
        world = _World(
            parties=parties,
            then=parties | changed,
            known=audiences.known(tx),
            circles=circles | drawn,
            policy=policy_as(audiences.policy, supposed.policy),
            now=tx.clock.now(),
        )
        if supposed.marking is not None:
            return self._of_marking(tx, supposed, world)
        sets = audiences.sets(tx)
        held = _counts(tx)
        everyone = set(held)
        touched = everyone
        if supposed.policy is None:
            # Only who changes is judged by all; others by what names these circles.
            touched = {at for at in everyone if _names(sets[at], world.known, drawn)}
        effects = []
        samples: dict[int, list[str]] = {}
        for number, then in world.then.items():
            places = everyone if number in changed else touched
            if not places:
                continue
            verdicts = audiences.verdicts(tx, number)
            was_active = world.parties[number].active(world.now)
            turns = []
            for place in sorted(places):
                before = verdicts.get(place, _UNJUDGED)
                if not was_active:
                    before = ended(world.parties[number])
                after = self._judge(sets[place], then, world)
                if before.released == after.released:
                    continue
                objects, older = held[place]
                if place not in samples:
                    samples[place] = _samples(tx, place)
                words = in_words(sets[place], world.known)
                turns.append(
                    Turn(before, after, words, "", objects, older, samples[place])
                )
            effects += _effect(then, turns)
        return Diff(effects, _digest(supposed, effects, ()))

    def _judge(self, marked: MarkingSet, party: Party, world: _World) -> Verdict:
        if not party.active(world.now):
            return ended(party)
        return judge(
            marked,
            world.known,
            party,
            own=self._node.audiences.own,
            policy=world.policy,
            circles=world.circles,
        )

    def _of_marking(self, tx: Tx, supposed: Supposed, world: _World) -> Diff:
        node = self._node
        marking = supposed.marking or MarkingChange()
        chosen = self._chosen(tx, marking)
        audience = _audience(marking, world.circles)
        if audience is not None:
            read = read_marking(audience)
            world.known = ChainMap({read.id: read}, dict(world.known))
        sets = node.audiences.sets(tx)
        becomes = _becoming(marking, audience, world.known)
        by_set: dict[int, list[str]] = {}
        for one in chosen:
            by_set.setdefault(one.marking_set, []).append(one.id)
        targets = {place: becomes(sets[place]) for place in by_set}
        fresh = audience is not None and not node.search.versions(
            tx, str(audience["id"])
        )
        effects = []
        for number, party in world.parties.items():
            verdicts = node.audiences.verdicts(tx, number)
            turns = []
            for place, ids in by_set.items():
                before = verdicts.get(place, _UNJUDGED)
                if not party.active(world.now):
                    before = ended(party)
                after = self._judge(targets[place], party, world)
                if before.released != after.released:
                    now, was = (
                        in_words(each, world.known)
                        for each in (targets[place], sets[place])
                    )
                    turns.append(
                        Turn(before, after, now, was, len(ids), 0, ids[:_SAMPLES])
                    )
            if fresh and audience is not None:
                turns += self._defined(audience, party, world)
            effects += _effect(party, turns)
        strange = sum(self._not_ours(one) != "" for one in chosen)
        remarks = [f"{len(chosen):,} objects would be marked so, in new versions."]
        if strange:
            remarks.append(
                f"{strange:,} of them are not this node's to mark: only who made an "
                "object makes versions of it. This cannot be applied."
            )
        stamps = sorted(one.added for one in chosen)
        return Diff(effects, _digest(supposed, effects, stamps), remarks)

    def _defined(
        self, audience: Mapping[str, object], party: Party, world: _World
    ) -> list[Turn]:
        """Tell who would read the new definition of an audience."""
        handled = Tlp.parse(self._node.config.handling.definitions)
        default = Tlp.parse(self._node.config.handling.default)
        marked = MarkingSet(
            handled_as=min(handled, default), definition=definition_of(audience)
        )
        after = self._judge(marked, party, world)
        if not after.released:
            return []
        words = in_words(marked, world.known)
        return [Turn(_NOT_HERE, after, words, "", 1, 0, [str(audience["id"])])]

    def _chosen(self, tx: Tx, marking: MarkingChange) -> list[Found]:
        search = self._node.search
        if marking.query:
            found = search.find(tx, marking.query, limit=MOST + 1)
            if len(found) > MOST:
                raise BadRequest(
                    f"The query finds more than {MOST:,} objects.",
                    mend="Mark fewer at a time: a narrower query, or ids.",
                )
            chosen = [one for one in found if not one.superseded]
        else:
            chosen = []
            for object_id in dict.fromkeys(marking.objects):
                versions = search.versions(tx, object_id)
                if not versions:
                    raise NotFound(f"No object is named {object_id!r}.")
                chosen.append(versions[-1])
        if not chosen:
            raise NotFound(f"Nothing is found for {marking.query!r}.")
        return chosen

    def _not_ours(self, one: Found) -> str:
        """Say why this node may not make a version of an object; empty: it may."""
        data = orjson.loads(one.body)
        if "modified" not in data or one.type == "marking-definition":
            return f"{one.id} has no versions, so it stays as it is marked"
        creator = data.get("created_by_ref", "")
        own = self._node.config.node.identity
        if creator == own if creator else one.source == _FILE:
            return ""
        return f"{one.id} is by {creator or 'whoever sent it'}"

    def _mark(self, tx: Tx, marking: MarkingChange) -> None:
        node = self._node
        chosen = self._chosen(tx, marking)
        why = next(filter(None, map(self._not_ours, chosen)), "")
        if why:
            raise Forbidden(
                f"This node may not mark it anew: {why}.",
                mend="Only who made an object makes versions of it: ask them.",
            )
        audience = _audience(marking, node.audiences.circles(tx))
        known: Mapping[str, Marking] = node.audiences.known(tx)
        if audience is not None:
            read = read_marking(audience)
            known = ChainMap({read.id: read}, dict(known))
        becomes = _becoming(marking, audience, known)
        made = [] if audience is None else [orjson.dumps(audience)]
        handled: dict[str, Tlp | None] = {}
        for one in chosen:
            marked = becomes(node.audiences.set_of(tx, one.marking_set))
            data = unsigned(orjson.loads(one.body))
            at = max(tx.clock.now(), instant(data["modified"]) + _MILLISECOND)
            data["modified"] = stix_text(at)
            data["object_marking_refs"] = list(marked.refs)
            handled[one.id] = marked.handled_as
            made.append(orjson.dumps(data))
        intake = Intake(node)
        usual = intake.handling(_FILE)

        def handle(version: ObjectVersion) -> Tlp:
            kept = handled.get(version.id)
            return usual(version) if kept is None else kept

        pieces = [
            Piece(ordinal=place, offset=0, line=place, raw=raw)
            for place, raw in enumerate(made, 1)
        ]
        report, _ = intake.batch(
            tx,
            pieces,
            source=_FILE,
            origin="a change of marking",
            handling=handle,
        )
        if report.refused:
            raise Conflict(
                f"{report.refused:,} objects could not be marked so, the first: "
                f"{report.faults[0].rule}: got {report.faults[0].got}; expected "
                f"{report.faults[0].expected}. Nothing was changed."
            )


def _counts(tx: Tx) -> dict[int, tuple[int, int]]:
    """Count the newest and the superseded versions of objects by marking set."""
    found: dict[int, tuple[int, int]] = {}
    for row in tx.rows("SELECT slot, count(*) AS held FROM object GROUP BY slot"):
        place, older = divmod(int(row.slot), 2)
        now, before = found.get(place, (0, 0))
        held = int(row.held)
        found[place] = (now, before + held) if older else (now + held, before)
    return found


def _samples(tx: Tx, place: int) -> list[str]:
    return [
        row.id
        for slot in (2 * place, 2 * place + 1)
        for row in tx.rows(
            "SELECT id FROM object WHERE slot = :slot ORDER BY added DESC LIMIT :most",
            slot=slot,
            most=_SAMPLES,
        )
    ][:_SAMPLES]


def _names(
    marked: MarkingSet, known: Mapping[str, Marking], circles: Iterable[str]
) -> bool:
    """Say whether an audience of these markings names one of these circles."""
    refs = {*marked.refs, *marked.granular, *(x.definition for x in marked.each())}
    audiences = (look_up(ref, known).audience for ref in refs - {""})
    return any(
        not each.circles.isdisjoint(circles) for each in audiences if each is not None
    )


def _audience(
    marking: MarkingChange, circles: Mapping[str, Circle]
) -> dict[str, object] | None:
    if not (marking.meant_for or marking.circles or marking.everyone_but):
        return None
    try:
        return make_audience(
            named=marking.meant_for,
            circles=circle_ids(circles, marking.circles),
            everyone_but=marking.everyone_but or None,
        )
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault


def _becoming(
    marking: MarkingChange,
    audience: Mapping[str, object] | None,
    known: Mapping[str, Marking],
) -> Callable[[MarkingSet], MarkingSet]:
    """Give what turns the markings of an object into those that it would have."""
    level = read_level(marking.tlp, "tlp")

    def becomes(held: MarkingSet) -> MarkingSet:
        kept = {}
        for ref in held.refs:
            found = look_up(ref, known)
            replaced = (found.tlp is not None and level is not None) or (
                found.audience is not None
                and (audience is not None or marking.no_audience)
            )
            if not replaced:
                kept[ref] = found
        if level is not None:
            kept[TLP_2_IDS[level]] = look_up(TLP_2_IDS[level], known)
        if audience is not None:
            kept[str(audience["id"])] = look_up(str(audience["id"]), known)
        marked = any(each.tlp is not None for each in kept.values())
        return MarkingSet(
            refs=tuple(kept),
            granular=held.granular,
            handled_as=None if marked else held.handled_as,
            redacted=held.redacted,
        )

    return becomes


def _effect(party: Party, turns: list[Turn]) -> list[Effect]:
    turns.sort(key=lambda each: (not each.released, -each.objects))
    return [Effect(party.name, str(party.kind), turns)] if turns else []


def _digest(supposed: Supposed, effects: list[Effect], stamps: Iterable[int]) -> str:
    """Name a change and what it turns; not how many, since reports come in meanwhile.

    A change of marking is of exactly the versions with these stamps.
    """
    turned = sorted(
        [each.party, turn.released, turn.after.rule, turn.marking, turn.was]
        for each in effects
        for turn in each.turns
    )
    said = [msgspec.to_builtins(supposed), turned, list(stamps)]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
