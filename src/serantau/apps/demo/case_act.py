"""The demo's act for a case: four nodes work on it, one is silent, one is cut off.

People write at their own nodes, as `serantau case` lets them; what is between the nodes
the running nodes do. Clocks run faster, as a setting of exercises lets them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from serantau.apps.demo.catcher import Catcher, Caught
from serantau.apps.demo.region import COORDINATOR, Region
from serantau.clock import stix_text
from serantau.desk.case_assist import Assistance
from serantau.desk.case_private import Private
from serantau.desk.case_verify import Verified, state_of, verify
from serantau.desk.contacts import Contacts
from serantau.desk.intake import Intake
from serantau.node import Node
from serantau.records.cases import Cases
from serantau.rules.card import Card, Duty
from serantau.rules.case import Case
from serantau.rules.case_entry import Kind, audience_of
from serantau.rules.level import Tlp
from serantau.rules.marking import TLP_2_IDS
from serantau.wire.bundle import Piece
from serantau.wire.cases import CaseState

HOME: Final = "th"
SILENT: Final = "vn"
CUT_OFF: Final = "id"
INSIDE: Final = (HOME, CUT_OFF, SILENT, COORDINATOR)
PACE: Final = 1200
"""How many times as fast the clocks of th run: an hour is three seconds."""
ON_CALL: Final = "duty@cert.vn.example"
TITLE: Final = "Wayang, a phishing kit: login pages of two banks"
SAID: Final = "Found on a server in th. The pages are those of banks in id and vn."
PRIVATE: Final = "The hosting company asked us not to name it yet."
TASK: Final = "Take down wayang-login.example"
BESIDE: Final = "Warn the bank, hold back the transfers"
ASKED: Final = "A copy of the mails that lead to the pages"
KIT: Final = "indicator--5b1c7d0e-2f52-4b43-8d0e-64a8d8f5a1c7"
_DUE: Final = 86_400_000_000
_LOOK_SECONDS: Final = 0.1
# Longer than the clocks take on a machine that does much else.
_PATIENCE_SECONDS: Final = 90.0

Tell = Callable[[float, str, str], None]


@dataclass(slots=True)
class Worked:
    """What came of the case.

    case: its id. mails: pages that were caught. apart: how it stood while one node was
    cut off, by node. verified: what `case verify` of `HOME` found at the end. late:
    what was waited for and did not come.
    """

    case: str
    mails: list[Caught] = field(default_factory=list)
    apart: dict[str, CaseState] = field(default_factory=dict)
    verified: Verified | None = None
    late: list[str] = field(default_factory=list)


class CaseAct:
    """One case, from its opening to its end."""

    def __init__(self, region: Region, catcher: Catcher, tell: Tell) -> None:
        """Work in a region; `tell` is told what happens: after seconds, where, what."""
        self._region = region
        self._catcher = catcher
        self._tell = tell
        self._began = 0.0

    def prepare(self) -> None:
        """Say at `HOME` who is on call at the others, and how fast clocks run."""
        self._region.configure(HOME, {"clocks": {"pace": PACE}})
        card = Card(
            name="Duty desk of VNCERT/CC (made up)",
            party=SILENT,
            person=False,
            duties=(Duty.ALWAYS,),
            languages=("vi", "en"),
            zone="Asia/Ho_Chi_Minh",
            mail=(ON_CALL,),
            source="made up for the demo",
        )
        Contacts(self._node(HOME)).put(card)

    def _node(self, name: str) -> Node:
        return self._region[name].opened

    def _work(self, name: str) -> Assistance:
        return Assistance(self._node(name))

    def play(self) -> Worked:
        """Let it happen.

        Raises:
            Ended: a node ended by itself.
        """
        worked = Worked(self._open())
        self._answer(worked)
        self._cut(worked)
        self._page(worked)
        self._ask(worked)
        self._close(worked)
        return worked

    def _say(self, where: str, what: str) -> None:
        self._tell(time.monotonic() - self._began, where, what)

    def _open(self) -> str:
        others = [name for name in INSIDE if name != HOME]
        work = self._work(HOME)
        self._wait(lambda: {*others} <= {*work.names().values()})
        self._began = time.monotonic()
        case = work.open(
            TITLE, others, severity_level="high", incident_class="fraud:phishing",
            description=SAID,
        ).id  # fmt: skip
        _load(self._node(HOME), _kit(self._node(HOME), case))
        _, unseen = work.add_evidence(case, [KIT])
        Private(self._node(HOME)).note(case, PRIVATE)
        all_may = "all of them may have it" if not unseen else "not all may have it"
        self._say(HOME, f"opens “{TITLE}”, severity high, for {', '.join(others)}")
        self._say(HOME, f"adds the kit as evidence: {all_may}; a private note stays")
        return case

    def _answer(self, worked: Worked) -> None:
        """Let those who are awake answer as soon as they have it."""
        case, waiting = worked.case, {CUT_OFF, COORDINATOR, SILENT}

        def came() -> bool:
            for name in [one for one in waiting if self._has(one, case)]:
                waiting.remove(name)
                self._say(name, "has the case and the kit")
                if name == CUT_OFF:
                    self._work(name).assess(
                        case, "accepted", description="Two hundred visitors from here."
                    )
                    self._say(name, "acknowledges, and accepts it")
                elif name == COORDINATOR:
                    self._work(name).acknowledge(case)
                    self._say(name, "acknowledges, as coordinator")
            return not waiting

        if self._wait(came):
            self._say(SILENT, "says nothing")
        for name in sorted(waiting):
            worked.late.append(f"the case did not come to {name}")

    def _has(self, name: str, case: str) -> bool:
        node = self._node(name)
        with node.db.read() as tx:
            kit = tx.value("SELECT count(*) FROM object WHERE id = :id", id=KIT)
        return bool(kit) and any(one.id == case for one in self._work(name).board())

    def _cut(self, worked: Worked) -> None:
        """Stop a node; both sides write, and are one again when it goes on."""
        case, rest = worked.case, [name for name in INSIDE if name != CUT_OFF]
        before = self._state(HOME, case).entries
        with self._region.stopped(CUT_OFF):
            self._say(CUT_OFF, "is cut off: its node is stopped")
            self._work(HOME).add_task(case, TASK, COORDINATOR)
            self._work(CUT_OFF).add_task(case, BESIDE, CUT_OFF)
            self._say(HOME, f"task for {COORDINATOR}: {TASK}")
            self._say(CUT_OFF, f"task for itself: {BESIDE}")
            if not self._wait(
                lambda: (
                    self._state(COORDINATOR, case).entries > before
                    and len({self._state(name, case).hash for name in rest}) == 1
                )
            ):
                worked.late.append("the other half did not come to the same state")
            for name in (*rest, CUT_OFF):
                worked.apart[name] = self._state(name, case)
        since = time.monotonic()
        self._say(CUT_OFF, "is back")
        if not self._wait(lambda: self._alike(case)):
            worked.late.append("the halves did not become one again")
            return
        healed = time.monotonic() - since
        self._say("all", f"have the same again, {healed:.1f} s after that")

    def _page(self, worked: Worked) -> None:
        """Wait until the silent party was reminded and paged; then it answers."""
        case, told = worked.case, set[str]()
        names = self._work(HOME).names()

        def paged() -> bool:
            lines = folded(self._node(HOME), case).lines()
            for entry in (line.entry for line in lines if line.entry.clock):
                if entry.id in told:
                    continue
                told.add(entry.id)
                party = names[entry.party_ref]
                if entry.kind == Kind.REMINDER:
                    self._say(HOME, f"reminds {party}, which is overdue")
                    continue
                self._say(HOME, f"pages the {entry.channel} contact of {party}")
                worked.mails[:] = _pages(self._catcher.mails)
            return bool(worked.mails)

        if not self._wait(paged):
            worked.late.append(f"nobody of {SILENT} was paged")
        self._work(SILENT).acknowledge(case, "The duty officer is up.")
        self._say(SILENT, "acknowledges")

    def _ask(self, worked: Worked) -> None:
        case = worked.case
        due = self._node(HOME).clock.now() + _DUE
        _, ask = self._work(HOME).ask(
            case, ASKED, [SILENT], due=due, limits="no personal data", languages=["en"]
        )
        self._say(HOME, f"asks {SILENT} for assistance: {ASKED}")
        if not self._wait(lambda: any(one.id == ask for one in self._asks(SILENT))):
            worked.late.append(f"the ask did not come to {SILENT}")
            return
        self._work(SILENT).answer(case, ask, "accept", text="By tonight.")
        self._say(SILENT, "accepts, by tonight")
        if not self._wait(lambda: not self._asks(HOME)):
            worked.late.append(f"the answer did not come to {HOME}")

    def _asks(self, name: str) -> Sequence[Any]:
        return self._work(name).asks()

    def _close(self, worked: Worked) -> None:
        case = worked.case
        self._work(COORDINATOR).move_task(case, self._task(case), "done")
        self._wait(lambda: self._alike(case))
        self._work(HOME).close(case, "Taken down.")
        self._say(HOME, "closes the case")
        if not self._wait(lambda: self._alike(case)):
            worked.late.append("its end did not come to all")
        worked.verified = verify(self._node(HOME), case)
        worked.mails[:] = _pages(self._catcher.mails)

    def _task(self, case: str) -> str:
        tasks = folded(self._node(COORDINATOR), case).state.tasks
        return next(one for one, task in tasks.items() if task.name == TASK)

    def _state(self, name: str, case: str) -> CaseState:
        return state_of(self._node(name), case)

    def _alike(self, case: str) -> bool:
        return len({self._state(name, case).hash for name in INSIDE}) == 1

    def _wait(self, until: Callable[[], bool]) -> bool:
        """Wait until something is so; False: it did not become so."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while not until():
            self._region.expect_alive()
            if time.monotonic() > give_up:
                return False
            time.sleep(_LOOK_SECONDS)
        return True


def folded(node: Node, case: str) -> Case:
    """Fold a case from what a node's store has of it."""
    with node.db.read() as tx:
        return Case(case, Cases().entries(tx, case))


def _pages(mails: Sequence[Caught]) -> list[Caught]:
    return [one for one in mails if "Page from" in str(one.message["Subject"])]


def _kit(node: Node, case: str) -> Iterator[dict[str, Any]]:
    """Give what was found: for the parties of the case, whoever they will be."""
    audience = audience_of(case)
    now = stix_text(node.clock.now())
    yield audience
    yield {
        "type": "indicator",
        "spec_version": "2.1",
        "id": KIT,
        "created_by_ref": node.config.node.identity,
        "created": now,
        "modified": now,
        "name": "Login pages of Wayang",
        "indicator_types": ["malicious-activity"],
        "pattern": "[domain-name:value = 'wayang-login.example']",
        "pattern_type": "stix",
        "valid_from": now,
        "object_marking_refs": [TLP_2_IDS[Tlp.AMBER], audience["id"]],
    }


def _load(node: Node, objects: Iterator[dict[str, Any]]) -> None:
    pieces = (
        Piece(ordinal=place, offset=0, line=1, raw=orjson.dumps(one))
        for place, one in enumerate(objects, 1)
    )
    Intake(node).take(pieces, origin="the demo")
