"""What a person can write into a case: one act each, with the fields of its form.

A verb of the desk does it, and decides in the end whether it may be done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from serantau.apps.web.pages.case_fields import (
    Field,
    line,
    of_parties,
    options_of,
    pick,
    several,
    text,
    time,
)
from serantau.apps.web.pages.case_words import (
    KINDS,
    SEVERITIES,
    STATES,
    Words,
    brief,
    word,
)
from serantau.apps.web.pages.place import N_
from serantau.desk.case_assist import Assistance
from serantau.desk.case_post import Guests
from serantau.desk.case_reach import Reach
from serantau.desk.cases import Casework, View
from serantau.errors import BadRequest
from serantau.node import Node
from serantau.rules.case_schema import STANCES
from serantau.rules.case_states import EMBARGO, TASK, steps_to
from serantau.rules.severity import FACTORS, score
from serantau.rules.taxonomy import CLASSES
from serantau.rules.text import defang

_MOST_OBJECTS: Final = 200


@dataclass(frozen=True, slots=True)
class Here:
    """What the form of an act is made for: a node, a case there, and its reader."""

    node: Node
    view: View
    _: Words

    @property
    def case(self) -> str:
        """Give the case's id."""
        return self.view.summary.id

    @property
    def own(self) -> str:
        """Give the identity of this node's party."""
        return self.node.config.node.identity

    @property
    def work(self) -> Casework:
        """Give what works cases."""
        return Casework(self.node)

    @property
    def inside(self) -> list[tuple[str, str]]:
        """Give the other parties of the case, as options."""
        return [
            (one, self.view.name(one))
            for one in self.view.state.parts
            if one != self.own
        ]


Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to write.

    title, lead, button: in words. can: whether it has a place now. fields: of its form.
    do: writes it.
    """

    title: str
    lead: str
    button: str
    can: Callable[[Here], bool]
    fields: Callable[[Here], list[Field]]
    do: Callable[[Here, Given], object]


def _says(_here: Here) -> list[Field]:
    return [text("text", _here._("What to say with it"))]


def _inside(here: Here) -> bool:
    return here.own in here.view.state.parts


def _owner(here: Here) -> bool:
    return here.own == here.view.state.owner


def _invites(here: Here) -> bool:
    return here.own in {here.view.state.owner, here.view.state.opener}


def _open(here: Here) -> bool:
    return not here.view.state.closed


# Fields of single acts


def judging(_: Words, unsaid: str, severity: str = "") -> list[Field]:
    """Give the fields that say how grave a case is, and of what kind.

    unsaid: what stands where nothing is chosen. severity: chosen at first.
    """
    severities = [("", unsaid), *options_of(SEVERITIES, _)]
    classes = [
        (f"{group}:{kind}", f"{group}: {kind}")
        for group, kinds in CLASSES.items()
        for kind in kinds
    ]
    return [
        pick("severity_level", _("Severity"), severities[:-1], value=severity),
        pick("incident_class", _("Class (RSIT)"), [("", unsaid), *classes]),
        line(
            "national_class",
            _("National category"),
            _("The category of your own rules."),
            most=100,
        ),
        text("description", _("What to say with it")),
        *(
            pick(
                f"factor-{name}",
                factor.question,
                [("", _("not answered")), *((each, each) for each in factor.answers)],
                group="score",
            )
            for name, factor in FACTORS.items()
        ),
    ]


def judged(given: Given) -> dict[str, str]:
    """Give what is said of a case; the severity by its score when that was answered."""
    answers = {
        name: given[f"factor-{name}"] for name in FACTORS if given[f"factor-{name}"]
    }
    said = {
        key: str(given[key])
        for key in ("severity_level", "incident_class", "national_class", "description")
    }
    if answers and not said["severity_level"]:
        said["severity_level"] = score(answers).level
    return said


def _stances(here: Here) -> list[Field]:
    _, part = here._, here.view.state.parts.get(here.own)
    can = [
        stance
        for stance in STANCES
        if part is not None and steps_to(part.state, stance)
    ]
    stances = [("", _("as before")), *((one, word(STATES, one, _)) for one in can)]
    return [
        pick("stance", _("What we make of it"), stances),
        *judging(_, _("as before")),
    ]


def _assess(here: Here, given: Given) -> object:
    return here.work.assess(here.case, given["stance"], **judged(given))


def _invited(here: Here) -> list[Field]:
    _ = here._
    return [
        of_parties(
            "parties",
            _("Whom to invite"),
            Reach(here.node).candidates(here.case),
            _,
            True,
        ),
        several(
            "by_mail",
            _("How"),
            [("1", _("It has no node: this one writes to it by mail."))],
        ),
    ]


def _invite(here: Here, given: Given) -> object:
    if given["by_mail"]:
        return Guests(here.node).invite_by_mail(here.case, given["parties"])
    return here.work.invite(here.case, given["parties"])


def _mailed(here: Here) -> list[tuple[str, str]]:
    return [
        (part.name, part.name) for part in here.view.parts if part.mail and part.name
    ]


def _asking(here: Here) -> list[Field]:
    _ = here._
    return [
        line("name", _("What is asked, in a line"), needed=True, most=300),
        several("parties", _("Of whom"), here.inside, needed=True),
        time("due", _("By when")),
        line(
            "limits", _("Legal limits"), _("What the law asks or forbids."), most=2000
        ),
        line("languages", _("Languages"), _("That you understand: en, th.")),
        text("text", _("More words")),
    ]


def _ask(here: Here, given: Given) -> object:
    languages = [one.strip() for one in given["languages"].split(",") if one.strip()]
    return Assistance(here.node).ask(
        here.case,
        given["name"],
        given["parties"],
        due=given["due"],
        limits=given["limits"],
        languages=languages,
        text=given["text"],
    )


def _asks(here: Here) -> list[tuple[str, str]]:
    return [
        (one, f"{here.view.name(ask.by)}: {defang(ask.name)}")
        for one, ask in here.view.state.asks.items()
        if here.own in ask.to
    ]


def _answering(here: Here) -> list[Field]:
    _ = here._
    to = [
        (each.name, each.name) for each in Reach(here.node).candidates() if each.named
    ]
    return [
        pick("ask", _("The ask"), _asks(here), needed=True),
        pick(
            "how",
            _("Answer"),
            [
                ("accept", _("We do it")),
                ("decline", _("We do not: the reason is below")),
                ("refer", _("Another party can: it is named below")),
            ],
            needed=True,
        ),
        text("text", _("Reason, or more words")),
        pick("to", _("Who can"), [("", _("nobody")), *to]),
    ]


def _answer(here: Here, given: Given) -> object:
    return Assistance(here.node).answer(
        here.case, given["ask"], given["how"], text=given["text"], to=given["to"]
    )


def _tasking(here: Here) -> list[Field]:
    _ = here._
    own = (here.own, here.view.name(here.own))
    return [
        line("name", _("What is to be done"), needed=True, most=300),
        pick("party", _("Who is to do it"), [("", _("nobody yet")), own, *here.inside]),
        time("due", _("By when")),
    ]


def _tasks(here: Here) -> list[tuple[str, str]]:
    return [
        (one, f"{brief(one)} {defang(task.name)}")
        for one, task in here.view.state.tasks.items()
    ]


def _moving(here: Here) -> list[Field]:
    _ = here._
    return [
        pick("task", _("The task"), _tasks(here), needed=True),
        pick(
            "state",
            _("How far it is"),
            [(one, word(STATES, one, _)) for one in TASK],
            needed=True,
        ),
    ]


def _embargoing(here: Here) -> list[Field]:
    _, steps = here._, EMBARGO[here.view.state.embargo.state]
    words = {
        "propose": _("Propose one"),
        "accept": _("Agree"),
        "reject": _("Refuse"),
        "revise": _("Propose another end"),
        "exit": _("End it"),
    }
    return [
        pick("step", _("Step"), [(one, words[one]) for one in steps], needed=True),
        time("until", _("Until"), _("Needed where one is proposed.")),
    ]


def _correcting(here: Here) -> list[Field]:
    _ = here._
    mine = [
        (
            one.id,
            f"{brief(one.id)} {word(KINDS, one.kind, _)} {defang(one.name)}".strip(),
        )
        for one, _flags in reversed(here.view.lines)
        if one.created_by_ref == here.own and (one.name or one.description)
    ]
    return [
        pick("entry", _("The entry"), mine, needed=True),
        line("name", _("Its name or title, as it should read"), most=300),
        text("description", _("Its text, as it should read")),
    ]


def _naming(here: Here) -> list[Field]:
    _ = here._
    return [
        text(
            "objects",
            _("Ids of objects"),
            _("One a line. Naming an object gives it to nobody."),
            needed=True,
        ),
        text("text", _("What to say with it")),
    ]


def object_ids(said: str) -> list[str]:
    """Give the ids of objects that stand in a text."""
    return [one for one in dict.fromkeys(said.replace(",", " ").split()) if "--" in one]


def named(here: Here, given: Given) -> list[str]:
    """Give the objects that evidence names.

    Raises:
        BadRequest: none is.
    """
    ids = object_ids(given["objects"])[:_MOST_OBJECTS]
    if not ids:
        raise BadRequest(here._("No id of an object stands in this text."))
    return ids


def _name_evidence(here: Here, given: Given) -> object:
    return here.work.add_evidence(here.case, named(here, given), given["text"])


ACTS: Final[Mapping[str, Act]] = {
    "ack": Act(
        N_("Say that we have it"),
        N_("The others see that the case has arrived, and its clock stops."),
        N_("We have it"),
        lambda here: _inside(here) and not here.view.state.parts[here.own].answered,
        _says,
        lambda here, given: here.work.acknowledge(here.case, given["text"]),
    ),
    "assess": Act(
        N_("Assess it"),
        N_("What we make of it, and whether we work on it. Steps between go with it."),
        N_("Write the assessment"),
        lambda here: _inside(here) and _open(here),
        _stances,
        _assess,
    ),
    "answer": Act(
        N_("Answer an ask"),
        N_("An ask stays open until each party that is asked has answered."),
        N_("Answer"),
        lambda here: bool(_asks(here)),
        _answering,
        _answer,
    ),
    "task": Act(
        N_("Add a task"),
        N_("All parties of the case see it."),
        N_("Add the task"),
        lambda here: _inside(here) and _open(here),
        _tasking,
        lambda here, given: here.work.add_task(
            here.case, given["name"], given["party"], given["due"]
        ),
    ),
    "move": Act(
        N_("Say how far a task is"),
        N_("All parties of the case see it."),
        N_("Write it"),
        lambda here: _inside(here) and bool(here.view.state.tasks),
        _moving,
        lambda here, given: here.work.move_task(
            here.case, given["task"], given["state"]
        ),
    ),
    "evidence": Act(
        N_("Name evidence"),
        N_(
            "Objects that belong to the case. Their own markings say who may have them."
        ),
        N_("Name it"),
        lambda here: _inside(here) and _open(here),
        _naming,
        _name_evidence,
    ),
    "ask": Act(
        N_("Ask for help"),
        N_("A structured ask. It is never silently dropped."),
        N_("Ask"),
        lambda here: _inside(here) and _open(here) and bool(here.inside),
        _asking,
        _ask,
    ),
    "invite": Act(
        N_("Invite parties"),
        N_("They get the whole log from its beginning. Nobody can be taken out again."),
        N_("Invite"),
        _invites,
        _invited,
        _invite,
    ),
    "has-node": Act(
        N_("A party has a node now"),
        N_("It took part by mail. From now on it speaks for itself."),
        N_("Write it"),
        lambda here: _invites(here) and bool(_mailed(here)),
        lambda here: [pick("party", here._("Which party"), _mailed(here), needed=True)],
        lambda here, given: Guests(here.node).has_node(here.case, given["party"]),
    ),
    "embargo": Act(
        N_("Embargo"),
        N_("Tell nobody else yet. It holds when the owner and another party agree."),
        N_("Write it"),
        lambda here: (
            _inside(here)
            and _open(here)
            and bool(EMBARGO[here.view.state.embargo.state])
        ),
        _embargoing,
        lambda here, given: here.work.embargo(here.case, given["step"], given["until"]),
    ),
    "handover": Act(
        N_("Hand the case over"),
        N_("It is ours until the other takes it. An offer to us takes it back."),
        N_("Offer it"),
        _owner,
        lambda here: [
            pick(
                "party",
                here._("To whom"),
                [*here.inside, (here.own, here.view.name(here.own))],
                needed=True,
            )
        ],
        lambda here, given: here.work.hand_over(here.case, given["party"]),
    ),
    "take": Act(
        N_("Take the case"),
        N_("It was offered to us. From now on its clocks are driven by this node."),
        N_("Take it"),
        lambda here: here.view.state.offered == here.own,
        lambda here: [],
        lambda here, given: here.work.take(here.case),
    ),
    "close": Act(
        N_("Close the case"),
        N_("Its clocks stop. It can be opened again."),
        N_("Close it"),
        lambda here: _owner(here) and _open(here),
        _says,
        lambda here, given: here.work.close(here.case, given["text"]),
    ),
    "reopen": Act(
        N_("Open it again"),
        N_("Whoever was done with it judges it again."),
        N_("Open it"),
        lambda here: _invites(here) and not _open(here),
        _says,
        lambda here, given: here.work.reopen(here.case, given["text"]),
    ),
    "correct": Act(
        N_("Correct an entry"),
        N_("Say what is to be read instead of an entry of ours. Both stay in the log."),
        N_("Correct it"),
        _inside,
        _correcting,
        lambda here, given: here.work.correct(
            here.case,
            given["entry"],
            name=given["name"],
            description=given["description"],
        ),
    ),
}
"""What can be written into a case, by the name in the path."""


def acts_of(node: Node, view: View, _: Words) -> list[tuple[str, str]]:
    """Give the acts that have a place in a case now: name and title."""
    here = Here(node, view, _)
    return [(name, _(act.title)) for name, act in ACTS.items() if act.can(here)]
