"""Working a case: what a duty officer writes into it, and keeps beside it.

What is written is shared: each verb adds signed entries to the log that all parties of
the case have. An entry that others would flag is refused here, before it is written.
Notes, private tasks and files stay in this node.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serantau.clock import instant, stix_text
from serantau.desk.case_incident import SOURCE
from serantau.desk.case_log import CaseLog, parties_of
from serantau.desk.keys import Keys
from serantau.errors import BadRequest, ConfigError, Conflict, Forbidden, NotFound
from serantau.node import Node
from serantau.records import acts
from serantau.records.case_rounds import StepRow, Steps
from serantau.records.cases import Cases, Note, OwnFile, OwnTask, PartRow, Row, Summary
from serantau.records.database import Tx
from serantau.rules.case import Case, Line
from serantau.rules.case_clock import Clocks, Duty, clocks, duties, paced
from serantau.rules.case_entry import (
    LEVELS,
    TYPE,
    Kind,
    audience_of,
    case_extension_object,
    make_entry,
    read_entry,
)
from serantau.rules.case_states import steps_to
from serantau.rules.case_steps import FLAGS, Flag, State
from serantau.rules.marking import Tlp, audience_extension_objects
from serantau.rules.profile import NOT_LISTED
from serantau.rules.realm import LIVE, PROPERTY
from serantau.rules.refusal import Refused
from serantau.rules.stix import ObjectVersion, id_key

_ACKNOWLEDGE: Final = "acknowledge"
# What is wrong with our own clock is shown; it keeps nobody from working.
_BEARABLE: Final = frozenset({Flag.BACKDATED})
_NONCE_BYTES: Final = 16

Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """A case as a person of this node sees it.

    summary: its line of the board. state: what its entries come to. lines: the log.
    waiting: entries that wait for those in `missing`. doubts: entries that do not count
    by their signatures. clocks: what is due of whom. duties: of this state to report,
    by the profile. names, zones (IANA): of parties, by identity. notes, tasks, files:
    private. steps: of this node, as they stand. last: stamp of the last entry. now: by
    the node's clock.
    """

    summary: Summary
    state: State
    lines: list[Line]
    waiting: list[str]
    missing: list[str]
    doubts: list[Row]
    clocks: Clocks
    duties: list[Duty]
    parts: list[PartRow]
    names: dict[str, str]
    zones: dict[str, str]
    notes: list[Note]
    tasks: list[OwnTask]
    files: list[OwnFile]
    steps: list[StepRow]
    last: int
    now: int

    def name(self, identity: str) -> str:
        """Give what a party is called here, or its identity where it is not known."""
        return self.names.get(identity, identity)


@dataclass(frozen=True, slots=True)
class Unseen:
    """An object that is evidence, and who in the case may not have it, and why."""

    object: str
    party: str
    verdict: str


class Casework:
    """The cases of one node, as its people work them."""

    def __init__(self, node: Node) -> None:
        """Work on what `node` has."""
        self._node = node
        self._log = CaseLog(node)
        self._cases = Cases()
        self._keys = Keys(node)

    # What is shared

    def open(
        self,
        name: str,
        invite: Sequence[str] = (),
        *,
        level: str = "AMBER",
        **said: str,
    ) -> Summary:
        """Open a case and invite parties, all at once or not at all.

        Args:
            name: what it is about, in a line.
            invite: names of parties.
            level: TLP label of everything that is written into it.
            said: description, severity_level, incident_class, national_class.

        Raises:
            BadRequest: a level that no case has, or something is too long.
            NotFound, Forbidden: as `invite`.
        """
        try:
            tlp = Tlp.parse(level)
        except ValueError as fault:
            raise BadRequest(str(fault)) from fault
        if tlp not in LEVELS:
            raise BadRequest(
                f"{tlp.label} never goes by machine, so no case can be that.",
                mend="Open it as TLP:AMBER+STRICT and hand over by hand what is "
                "TLP:RED: `serantau share handover`.",
            )
        nonce = secrets.token_hex(_NONCE_BYTES)
        with self._node.db.write() as tx:
            opening = self._made(
                Kind.OPENED, {"name": name, "nonce": nonce, **said}, tlp
            )
            case = opening.id
            definitions = [
                *audience_extension_objects(),
                case_extension_object(),
                audience_of(case),
            ]
            versions = [
                self._node.reader.read(orjson.dumps(one)) for one in definitions
            ]
            self._admit(tx, [*versions, opening])
            acts.decided(tx, "opened a case", case, after={"level": tlp.label})
            if invite:
                self._invite(tx, case, invite)
            return self._summary(tx, case)

    def invite(self, name: str, parties: Sequence[str]) -> Summary:
        """Let parties into a case: they get all of its log, from the beginning.

        Raises:
            NotFound: no such case or party.
            BadRequest: a party whose identity is not known here.
            Forbidden: this node may not invite, or the release policy withholds the
                case from a party.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            self._invite(tx, case, parties)
            return self._summary(tx, case)

    def _invite(self, tx: Tx, case: str, parties: Sequence[str]) -> None:
        state = self._folded(tx, case).state
        known = {name: one for one, name in parties_of(self._node, tx).items()}
        invited = {
            one: known.get(one) or self._identity(tx, one)
            for one in dict.fromkeys(parties)
        }
        self._write(
            tx,
            case,
            [
                (Kind.INVITED, {"party_ref": identity})
                for identity in invited.values()
                if identity not in state.parts
            ],
        )
        slot = tx.value("SELECT slot FROM object WHERE key = :key", key=id_key(case))
        for party in invited:
            number, held = self._node.registry.party(tx, party)
            of_case = int(slot) // 2
            verdict = self._node.audiences.verdicts(tx, number, [of_case]).get(of_case)
            if verdict is not None and not verdict.released:
                raise Forbidden(
                    f"{party} would not get the case: {verdict}.",
                    mend="`serantau share simulate` shows what would let it.",
                )
            if not held.active(tx.clock.now()):
                raise Forbidden(f"The access of {party} has ended.")

    def acknowledge(self, name: str, text: str = "") -> Summary:
        """Say that the case has been received.

        Raises:
            NotFound: no such case.
            Forbidden: this node is not in it.
        """
        return self._say(name, [(Kind.ACKNOWLEDGED, {"description": text})])

    def assess(self, name: str, stance: str = "", **said: str) -> Summary:
        """Say what this node makes of the case; the steps to that are taken, too.

        Args:
            name: of the case.
            stance: valid, invalid, accepted, deferred or closed; empty: as before.
            said: description, severity_level, incident_class, national_class.

        Raises:
            Conflict: there is no way to that stance from where this node is.
            NotFound, Forbidden: as `acknowledge`.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            steps = self._steps(tx, case, stance)
            if not (steps or any(said.values())):
                has = f": this node has the case as {stance}" if stance else ""
                raise Conflict(
                    f"Nothing new is said{has}.",
                    mend="Expected another stance, --severity, --class or --text.",
                )
            last = {"stance": steps.pop()} if steps else {}
            entries: list[tuple[Kind, Said]] = [
                (Kind.ASSESSMENT, {"stance": step}) for step in steps
            ]
            entries.append((Kind.ASSESSMENT, {**last, **said}))
            self._write(tx, case, entries)
            return self._summary(tx, case)

    def _steps(self, tx: Tx, case: str, stance: str) -> list[str]:
        here = self._folded(tx, case).state.parts.get(self._own)
        if here is None or not stance or here.state == stance:
            return []
        steps = [each for each in steps_to(here.state, stance) if each != _ACKNOWLEDGE]
        if not steps:
            raise Conflict(
                f"This node has the case as {here.state}, and from there nothing leads "
                f"to {stance}.",
                mend="docs/cases.md has the table of steps.",
            )
        return steps

    def add_task(
        self, name: str, title: str, party: str = "", due: int = 0
    ) -> tuple[Summary, str]:
        """Say what is to be done, by whom and by when; gives the task's id.

        Raises:
            NotFound: no such case, or no such party in it.
            Forbidden: as `acknowledge`.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            said = {
                "name": title,
                "party_ref": self._inside(tx, case, party),
                "due": stix_text(due) if due else "",
            }
            (task,) = self._write(tx, case, [(Kind.TASK, said)])
            return self._summary(tx, case), task

    def move_task(self, name: str, task: str, state: str) -> Summary:
        """Say how far a task is: open, doing, done or dropped.

        Raises:
            NotFound: no such case or task.
            Conflict: it has no such step.
            Forbidden: it is not this node's.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            about = self._one(task, self._folded(tx, case).state.tasks, "task")
            self._write(tx, case, [(Kind.TASK, {"about_ref": about, "state": state})])
            return self._summary(tx, case)

    def add_evidence(
        self, name: str, objects: Sequence[str], text: str = ""
    ) -> tuple[Summary, list[Unseen]]:
        """Name objects that belong to the case; gives who may not have them.

        That an object is evidence in a case gives it to nobody: its own marking says
        who may have it.

        Raises:
            NotFound: no such case, or an object that is not here.
            Forbidden: as `acknowledge`.
        """
        with self._node.db.write() as tx:
            case, slots = self._cases.find(tx, name).id, self._slots(tx, objects)
            said = {"object_refs": list(slots), "description": text}
            self._write(tx, case, [(Kind.EVIDENCE, said)])
            return self._summary(tx, case), self._unseen(tx, case, slots)

    @staticmethod
    def _slots(tx: Tx, objects: Sequence[str]) -> dict[str, int]:
        slots = {}
        for one in objects:
            slot = tx.value(
                "SELECT slot FROM object WHERE key = :key AND id = :id "
                "ORDER BY modified DESC",
                key=id_key(one),
                id=one,
            )
            if slot is None:
                raise NotFound(f"No object here has the id {one!r}.")
            slots[one] = int(slot) // 2
        return slots

    def _unseen(self, tx: Tx, case: str, slots: Mapping[str, int]) -> list[Unseen]:
        found = []
        known = self._node.registry.parties(tx)
        for part in self._cases.parts(tx, case):
            if part.party == self._own or part.name not in known:
                continue
            number, _ = known[part.name]
            verdicts = self._node.audiences.verdicts(tx, number, set(slots.values()))
            found += [
                Unseen(one, part.name, str(verdicts[of_it]))
                for one, of_it in slots.items()
                if not verdicts[of_it].released
            ]
        return found

    def embargo(self, name: str, step: str, until: int = 0) -> Summary:
        """Propose, accept, reject, revise or end an embargo.

        Raises:
            BadRequest: `propose` and `revise` need `until`, an instant.
            Conflict: the embargo has no such step now.
            NotFound, Forbidden: as `acknowledge`.
        """
        if step in {"propose", "revise"} and not until:
            raise BadRequest("An embargo needs an end: --until 2026-03-01T08:00:00Z.")
        said = {"step": step, "until": stix_text(until) if until else ""}
        return self._say(name, [(Kind.EMBARGO, said)])

    def hand_over(self, name: str, party: str) -> Summary:
        """Offer the case to another party in it; it stays ours until it is taken.

        Raises:
            NotFound: no such case, or no such party in it.
            Forbidden: this node does not own the case.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            to = self._inside(tx, case, party)
            self._write(tx, case, [(Kind.HANDED_OVER, {"party_ref": to})])
            return self._summary(tx, case)

    def take(self, name: str) -> Summary:
        """Take a case that was handed over to this node.

        Raises:
            Conflict: it was not.
            NotFound, Forbidden: as `acknowledge`.
        """
        return self._say(name, [(Kind.OWNER, {})])

    def close(self, name: str, text: str = "") -> Summary:
        """Close a case that this node owns.

        Raises:
            Forbidden: it does not.
            Conflict: it is closed.
            NotFound: no such case.
        """
        return self._say(name, [(Kind.CLOSED, {"description": text})])

    def reopen(self, name: str, text: str = "") -> Summary:
        """Open a closed case again.

        Raises:
            Forbidden: this node neither owns nor opened it.
            Conflict: it is not closed.
            NotFound: no such case.
        """
        return self._say(name, [(Kind.REOPENED, {"description": text})])

    def correct(self, name: str, entry: str, /, **said: str) -> Summary:
        """Say what is to be read instead of an entry of this node; both stay.

        Args:
            name: of the case.
            entry: the entry, by its id or how that begins.
            said: name, description.

        Raises:
            NotFound: no such case or entry.
            Forbidden: another party wrote it.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            lines = {line.entry.id: None for line in self._folded(tx, case).lines()}
            about = self._one(entry, lines, "entry")
            self._write(tx, case, [(Kind.CORRECTION, {"about_ref": about, **said})])
            return self._summary(tx, case)

    def tell(
        self, tx: Tx, case: str, kind: Kind, party: str, clock: str, **said: str
    ) -> None:
        """Write what a clock did, in the transaction that notes that it was done."""
        self._write(tx, case, [(kind, {"party_ref": party, "clock": clock, **said})])

    # How an entry is written

    @property
    def _own(self) -> str:
        identity = self._node.config.node.identity
        if not identity:
            raise ConfigError(
                "This node has no identity, so it can sign nothing.",
                mend="Set node.identity; `serantau init` makes one.",
            )
        return identity

    def _say(self, name: str, entries: Sequence[tuple[Kind, Said]]) -> Summary:
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            self._write(tx, case, entries)
            return self._summary(tx, case)

    def _folded(self, tx: Tx, case: str) -> Case:
        return self._log.folded(tx, case)

    def _write(
        self, tx: Tx, case: str, entries: Sequence[tuple[Kind, Said]]
    ) -> list[str]:
        """Write entries into a case, each on top of all that is here; gives their ids.

        Whoever says something in a case has received it: that is said first.
        """
        folded, own = self._folded(tx, case), self._own
        level = folded.entry(case).level
        part = folded.state.parts.get(own)
        if part is None:
            raise Forbidden("This node is not in the case: nobody invited it.")
        several = list(entries)
        if not part.answered and several and several[0][0] is not Kind.ACKNOWLEDGED:
            several.insert(0, (Kind.ACKNOWLEDGED, {}))
        versions = []
        for kind, said in several:
            tail = folded.tail(own)
            version = self._made(
                kind, said, level, case=case, previous=tail, after=folded.heads(tail)
            )
            folded.add([read_entry(version.body)])
            self._expect_no_flags(folded, version.id)
            versions.append(version)
        self._admit(tx, versions)
        kinds = [str(kind) for kind, _ in several]
        acts.decided(tx, "wrote into a case", case, after={"kinds": kinds})
        return [version.id for version in versions[len(several) - len(entries) :]]

    @staticmethod
    def _expect_no_flags(folded: Case, entry: str) -> None:
        for flag in folded.flags(entry):
            if flag in _BEARABLE:
                continue
            said = f"Nothing was written: {FLAGS[flag]}"
            if flag in {Flag.NOT_OWNER, Flag.NOT_ITS_OWN, Flag.FOR_ANOTHER}:
                raise Forbidden(said)
            raise Conflict(said)

    def _made(
        self, kind: Kind, said: Said, level: Tlp, *, case: str = "", **links: Any
    ) -> ObjectVersion:
        node, realm = self._node, self._node.config.node.realm
        more = {} if realm == LIVE else {PROPERTY: realm}
        data = make_entry(
            kind, {**said, **more}, author=self._own, at=node.clock.now(),
            level=level, case=case, **links,
        )  # fmt: skip
        try:
            version = node.reader.read(orjson.dumps(data))
        except Refused as fault:
            raise BadRequest(
                f"{fault.place.removeprefix('/') or 'The entry'}: got {fault.got}, "
                f"expected {fault.expected}."
            ) from fault
        self._keys.sign(version, node.signer)
        return version

    def _admit(self, tx: Tx, versions: Sequence[ObjectVersion]) -> None:
        # Entries have a TLP marking; what has none here is a definition.
        level = Tlp.parse(self._node.config.handling.definitions)
        admission = self._node.objects.admit(
            tx, versions, source=SOURCE, handling=lambda _: level
        )
        self._log.settle(tx, admission.first, admission.new)

    def _summary(self, tx: Tx, case: str) -> Summary:
        return self._cases.find(tx, case)

    def _identity(self, tx: Tx, party: str) -> str:
        self._node.registry.party(tx, party)
        for identity, name in parties_of(self._node, tx).items():
            if name == party:
                return identity
        raise BadRequest(
            f"The identity of {party} is not known here, so no entry can name it.",
            mend=f"`serantau party set {party} --identity ID`, or pin its key.",
        )

    def _inside(self, tx: Tx, case: str, party: str) -> str:
        """Give the identity of a party in a case; of nobody, nothing."""
        if not party:
            return ""
        for part in self._cases.parts(tx, case):
            if party in {part.name, part.party}:
                return part.party
        raise NotFound(
            f"{party} is not in the case.", mend="`serantau case invite` lets it in."
        )

    @staticmethod
    def _one(start: str, ids: Iterable[str], what: str) -> str:
        """Give the id that a person names by how it begins.

        Raises:
            NotFound: none begins so.
            BadRequest: several do.
        """
        begins = f"{TYPE}--{start.strip().lower().removeprefix(f'{TYPE}--')}"
        found = [one for one in ids if one.startswith(begins)]
        if not found:
            raise NotFound(f"The case has no {what} that begins with {start!r}.")
        if len(found) > 1:
            raise BadRequest(f"Several begin with {start!r}: say more of it.")
        return found[0]

    # What a person looks at

    def board(self, *, closed: bool = False) -> list[Summary]:
        """Give the open cases, or all, the one that changed last first."""
        with self._node.db.read() as tx:
            return self._cases.board(tx, closed=closed)

    def names(self) -> dict[str, str]:
        """Give what parties are called here, by identity."""
        with self._node.db.read() as tx:
            return parties_of(self._node, tx)

    def show(self, name: str) -> View:
        """Give all of a case: the shared log, and what this node keeps beside it.

        Raises:
            NotFound: no such case.
        """
        cases = self._cases
        with self._node.db.read() as tx:
            summary = cases.find(tx, name)
            folded = Case(summary.id, cases.entries(tx, summary.id))
            return View(
                summary=summary,
                state=folded.state,
                lines=list(folded.lines()),
                waiting=[one.id for one in folded.waiting],
                missing=folded.missing,
                doubts=cases.doubts(tx, summary.id),
                clocks=clocks(folded, paced(self._node.config.clocks.pace)),
                duties=self._duties(folded.state),
                parts=cases.parts(tx, summary.id),
                names=(names := parties_of(self._node, tx)),
                zones=self._zones(names),
                notes=cases.notes(tx, summary.id),
                tasks=cases.tasks(tx, summary.id),
                files=cases.files(tx, summary.id),
                steps=Steps().all(tx, summary.id),
                last=cases.held(tx, summary.id)[1],
                now=tx.clock.now(),
            )

    def _duties(self, state: State) -> list[Duty]:
        """Give what this state has to report by the profile, from our invitation on."""
        part = state.parts.get(self._node.config.node.identity)
        if part is None or state.closed:
            return []
        own = self._node.config.node.member
        rows = [row for row in self._node.profile.clocks if row.member == own]
        return duties(rows, instant(part.invited))

    def _zones(self, names: Mapping[str, str]) -> dict[str, str]:
        """Give the zone of each party that the profile has one of."""
        found, profile = {}, self._node.profile  # read from its file each time
        for identity, name in names.items():
            member = profile.member(name)
            if member is not None and member.zones[0] != NOT_LISTED:
                found[identity] = member.zones[0]
        return found
