"""Release: may this recipient have an object with these markings?

`judge` asks fixed rules in a fixed order; the first that speaks gives the verdict, and
what the table does not list is denied. It looks at nothing but its arguments: a party
whose access has ended (`Party.active`) is stopped by who calls, with `ended`.

A verdict names audiences and circles: its text is for the releasing node's own people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Literal

from serantau.errors import ConfigError
from serantau.rules.marking import (
    IDENTITY,
    Audience,
    Marking,
    MarkingSet,
    Recalled,
    Tlp,
    look_up,
)
from serantau.rules.party import Circle, Kind, Party, Purpose


class Way(StrEnum):
    """How an object would leave: by a machine (pull, push, download), or by hand."""

    MACHINE = "machine"
    PERSON = "person"


class Reach(Enum):
    """The condition under which a TLP level reaches a kind of party."""

    YES = "yes"
    OURS = "our own client, or named by an audience"
    NAMED = "named by an audience"
    CLIENT = "named by an audience; or our client, need to know, and we are named"
    BY_HAND = "never by machine; by hand when named by an audience"
    OWN_HAND = "never by machine; by hand"
    NEVER = "never"


# An audience marking narrows every line further: each one on an object must admit the
# recipient. TLP 2.0 §4; the public cannot be limited to an audience, so any bars it.
# fmt: off
_YES, _OURS, _NAMED, _CLIENT, _HAND, _MINE, _NEVER = Reach
TABLE: Final[Mapping[Kind, Mapping[Tlp, Reach]]] = MappingProxyType({
    kind: MappingProxyType(dict(zip(Tlp, line, strict=True)))
    for kind, *line in (
        # party             CLEAR  GREEN   AMBER    +STRICT  RED
        (Kind.OWN,          _YES,  _YES,   _YES,    _YES,    _MINE),
        (Kind.MEMBER,       _YES,  _YES,   _NAMED,  _NAMED,  _HAND),
        (Kind.COORDINATOR,  _YES,  _YES,   _NAMED,  _NAMED,  _HAND),
        (Kind.PARTNER,      _YES,  _YES,   _NAMED,  _NAMED,  _HAND),
        (Kind.OPERATOR,     _YES,  _OURS,  _CLIENT, _NAMED,  _HAND),
        (Kind.PUBLIC,       _YES,  _NEVER, _NEVER,  _NEVER,  _NEVER),
    )
})
# fmt: on

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # why not
        "recalled": "Its creator recalled it: it leaves by no way.",
        "party-blocked": "The party is blocked here: it gets nothing, CLEAR included.",
        "party-ended": "The party's access has ended: it gets nothing.",
        "purpose-not-allowed": "The party is given nothing for this purpose.",
        "unknown-marking": "A marking is not exactly understood: it stays with us.",
        "tlp-forbids-kind": "TLP never lets this level reach such a party.",
        "red-by-person-only": "TLP:RED never goes by machine.",
        "above-ceiling": "The level is above what this node gives that party or kind.",
        "no-tlp": "There is neither a TLP marking nor a handling.",
        "definition-for-its-audience": "Only its audience may read who is in it.",
        "no-audience": "The level needs an audience that names parties; none is there.",
        "not-in-audience": "An audience marking does not admit the party.",
        "not-our-operator": "TLP:GREEN reaches our own operators, not another's.",
        "granular-withheld": "A part of it may not go to the party, so nothing goes.",
        "granular-derived-instead": "A part may not go; a derived object goes instead.",
        "has-the-original": "The party may have the original of this derived object.",
        "mixed-redaction": "Versions of one object are both derived and original.",
        # why
        "own-organisation": "The own organisation reads what it holds.",
        "clear-to-everyone": "TLP:CLEAR may go to everyone.",
        "green-to-community": "TLP:GREEN may go to the community.",
        "amber-to-audience": "TLP:AMBER names the party, or us and it is our client.",
        "strict-to-audience": "TLP:AMBER+STRICT names the party.",
        "red-by-hand": "TLP:RED names the party, and a person hands it over.",
    }
)
"""Every rule that a verdict can name, with its meaning."""

_GRANTS = {
    Tlp.CLEAR: "clear-to-everyone",
    Tlp.GREEN: "green-to-community",
    Tlp.AMBER: "amber-to-audience",
    Tlp.AMBER_STRICT: "strict-to-audience",
    Tlp.RED: "red-by-hand",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question of release.

    released: whether it may go. rule: the name of the rule that decided, one of RULES.
    got, expected: what the rule found and what it asks for, in words.
    """

    released: bool
    rule: str
    got: str
    expected: str

    def __str__(self) -> str:
        if self.released:
            return f"released ({self.rule}): {self.got}"
        return f"withheld ({self.rule}): got {self.got}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Policy:
    """How this node tightens the table. Nothing here can loosen it.

    granular: `withhold` an object of which only parts may go, or `derive` a new one
    without them. ceilings: the highest level that a kind of party is given.
    """

    granular: Literal["withhold", "derive"] = "withhold"
    ceilings: Mapping[Kind, Tlp] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.granular not in {"withhold", "derive"}:
            raise ConfigError(
                f"policy.granular: got {self.granular!r}, expected withhold or derive"
            )
        for kind, ceiling in self.ceilings.items():
            if kind is Kind.OWN:
                raise ConfigError(
                    "policy.ceilings: got one for own, expected none: "
                    "the own organisation reads what it holds"
                )
            highest = max(
                level for level in Tlp if TABLE[kind][level] is not Reach.NEVER
            )
            if ceiling > highest:
                raise ConfigError(
                    f"policy.ceilings.{kind}: got {ceiling.label}, expected "
                    f"{highest.label} or lower: a policy only tightens TLP"
                )

    @classmethod
    def from_texts(cls, granular: str, ceilings: Mapping[str, str]) -> Policy:
        """Read the `[policy]` section of the configuration.

        Raises:
            ConfigError: an unknown word, kind or level, or a ceiling that loosens.
        """
        levels: dict[Kind, Tlp] = {}
        for name, text in ceilings.items():
            if name not in {kind.value for kind in Kind}:
                kinds = ", ".join(Kind)
                raise ConfigError(
                    f"policy.ceilings: got kind {name!r}, expected one of {kinds}"
                )
            try:
                levels[Kind(name)] = Tlp.parse(text)
            except ValueError as fault:
                raise ConfigError(f"policy.ceilings.{name}: {fault}") from fault
        # __post_init__ checks the word; a type checker cannot see that from here.
        return cls(granular, levels)  # type: ignore[arg-type]


def judge(
    marked: MarkingSet,
    known: Mapping[str, Marking],
    recipient: Party,
    *,
    own: str,
    policy: Policy,
    circles: Mapping[str, Circle],
    by: Way = Way.MACHINE,
    purpose: Purpose | None = None,
) -> Verdict:
    """Judge whether an object so marked may go to a recipient.

    Args:
        marked: the markings of the object.
        known: the marking definitions that this node holds, by id. TLP's are implied.
        recipient: who would get it.
        own: this node's own party name.
        policy: how the node tightens the table.
        circles: by id, the circles whose members this node knows.
        by: how it would leave.
        purpose: what for; None: the usual purpose of such a party.
    """
    mine = recipient.kind is Kind.OWN
    if marked.recalled and not (mine and marked.recalled is Recalled.KEPT):
        return _refused(
            "recalled", "what its creator recalled", "what was not recalled"
        )
    parts = marked.each()
    if len({part.redacted for part in parts}) > 1:
        return _refused(
            "mixed-redaction",
            "versions of one object, some derived and some original",
            "all derived or all original",
        )

    def ask(part: MarkingSet, extra: tuple[str, ...] = ()) -> Verdict:
        refs = (*part.refs, *extra)
        markings = tuple(look_up(ref, known) for ref in refs)
        handling = () if part.handled_as is None else (part.handled_as,)
        levels = [each.tlp for each in markings if each.tlp is not None]
        question = _Question(
            marked=part,
            markings=markings,
            tlp=max((*levels, *handling), default=None),
            audiences=tuple(x.audience for x in markings if x.audience is not None),
            definition=look_up(part.definition, known) if part.definition else None,
            recipient=recipient,
            own=own,
            policy=policy,
            circles=circles,
            by=by,
            purpose=purpose or recipient.usual,
        )
        return next(said for rule in _ORDER if (said := rule(question)) is not None)

    verdicts = [ask(part) for part in parts]
    whole = next((each for each in verdicts if not each.released), verdicts[0])
    if not whole.released:
        return whole
    by_part = (ask(part, (ref,)) for part in parts for ref in part.granular)
    refusal = next((each for each in by_part if not each.released), None)
    return _with_parts(whole, refusal, redacted=marked.redacted, policy=policy)


def ended(recipient: Party) -> Verdict:
    """Give the verdict on anything for a party whose access has ended."""
    return _refused(
        "party-ended",
        f"{recipient.name}, whose access has ended",
        f"{recipient.name} to have access",
    )


def _with_parts(
    whole: Verdict, refusal: Verdict | None, *, redacted: bool, policy: Policy
) -> Verdict:
    """Weigh the granular markings of an object that as a whole may go."""
    if redacted and policy.granular == "derive":
        if refusal is not None:
            return whole
        return _refused(
            "has-the-original",
            "a derived object whose original the party may have",
            "a party that may not have the original",
        )
    if redacted:
        return _refused(
            "granular-withheld",
            "a derived object, while policy.granular is withhold",
            "policy.granular to be derive",
        )
    if refusal is None:
        return whole
    if policy.granular == "derive":
        rule, instead = "granular-derived-instead", "; the derived object goes instead"
    else:
        rule, instead = "granular-withheld", ""
    return _refused(
        rule, f"a part of it with {refusal.got}", refusal.expected + instead
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What the rules of one object-level judgement look at."""

    marked: MarkingSet
    markings: tuple[Marking, ...]
    tlp: Tlp | None
    audiences: tuple[Audience, ...]
    definition: Marking | None
    recipient: Party
    own: str
    policy: Policy
    circles: Mapping[str, Circle]
    by: Way
    purpose: Purpose

    @property
    def reach(self) -> Reach:
        """Give the table's cell; what it does not list is never."""
        if self.tlp is None:
            return Reach.NEVER
        return TABLE.get(self.recipient.kind, {}).get(self.tlp, Reach.NEVER)

    @property
    def names(self) -> frozenset[str]:
        """Give what an audience may call the recipient."""
        return frozenset({self.recipient.name, self.recipient.identity} - {""})

    def named_by(self, audience: Audience, names: frozenset[str]) -> bool:
        """Tell whether an audience names one of `names`, itself or through a circle.

        A circle whose members this node does not know names nobody.
        """
        return not names.isdisjoint(audience.named) or any(
            not names.isdisjoint(self.circles[circle].members)
            for circle in audience.circles
            if circle in self.circles
        )

    def left_out_by(self, excepted: frozenset[str]) -> bool:
        """Tell whether the recipient is, or could be, one of those excepted."""
        if not (self.names | {self.recipient.client_of}).isdisjoint(excepted):
            return True
        # Without an identity nobody can tell that it is not the one excepted by id.
        return not self.recipient.identity and any(map(IDENTITY.fullmatch, excepted))

    def admitted_by(self, audience: Audience, *, clients: bool) -> bool:
        """Tell whether an audience admits the recipient.

        clients: whether our client with a need to know stands behind us in it.
        """
        if self.recipient.kind is Kind.PUBLIC:
            return False
        if audience.everyone_but is not None:
            return not self.left_out_by(audience.everyone_but)
        if self.named_by(audience, self.names):
            return True
        return (
            clients
            and self.recipient.kind is Kind.OPERATOR
            and self.recipient.need_to_know
            and self.recipient.client_of == self.own
            and self.named_by(audience, frozenset({self.own}))
        )

    @property
    def got(self) -> str:
        """Say the level and audiences: `TLP:AMBER naming sg, th`."""
        level = "no TLP level" if self.tlp is None else self.tlp.label
        if self.tlp is not None and self.tlp == self.marked.handled_as:
            level += " (this node's handling)"
        said = [self._said(audience) for audience in self.audiences]
        return f"{level} {' and '.join(sorted(said))}" if said else level

    def _said(self, audience: Audience) -> str:
        if audience.everyone_but is not None:
            return f"for everyone but {', '.join(sorted(audience.everyone_but))}"
        circles = (
            f"circle {self.circles[circle].name}"
            if circle in self.circles
            else f"{circle} (members unknown here)"
            for circle in sorted(audience.circles)
        )
        return f"naming {', '.join([*sorted(audience.named), *circles]) or 'nobody'}"


def _refused(rule: str, got: str, expected: str) -> Verdict:
    return Verdict(False, rule, got, expected)


def _blocked(asked: _Question) -> Verdict | None:
    name = asked.recipient.name
    if not asked.recipient.blocked:
        return None
    return _refused(
        "party-blocked", f"{name}, which is blocked", f"{name} not to be blocked"
    )


def _purpose(asked: _Question) -> Verdict | None:
    party = asked.recipient
    if party.kind is Kind.OWN or asked.purpose in party.allowed:
        return None
    return _refused(
        "purpose-not-allowed",
        f"{asked.purpose} for {party.name}",
        f"{' or '.join(sorted(party.allowed))}",
    )


def _unknown(asked: _Question) -> Verdict | None:
    strange = [each for each in asked.markings if each.kind == "unknown"]
    if not strange or asked.recipient.kind is Kind.OWN:
        return None
    return _refused(
        "unknown-marking",
        f"{strange[0].id}: {strange[0].text}",
        "only markings that this node understands",
    )


def _forbidden(asked: _Question) -> Verdict | None:
    kind = asked.recipient.kind
    if asked.tlp is None or asked.reach is not Reach.NEVER:
        return None
    allowed = [level.label for level in Tlp if TABLE[kind][level] is not Reach.NEVER]
    return _refused(
        "tlp-forbids-kind", asked.got, f"{' or '.join(allowed)} for a {kind} party"
    )


def _by_machine(asked: _Question) -> Verdict | None:
    by_hand_only = asked.reach in {Reach.BY_HAND, Reach.OWN_HAND}
    if not by_hand_only or asked.by is Way.PERSON:
        return None
    return _refused(
        "red-by-person-only", asked.got, "a person to hand it to a named recipient"
    )


def _ceiling(asked: _Question) -> Verdict | None:
    party = asked.recipient
    ceilings = {
        f"for {party.name}": party.ceiling,
        f"for {party.kind} parties": asked.policy.ceilings.get(party.kind),
    }
    for whom, ceiling in ceilings.items():
        if ceiling is not None and asked.tlp is not None and asked.tlp > ceiling:
            return _refused(
                "above-ceiling", asked.got, f"{ceiling.label} or lower {whom}"
            )
    return None


def _own(asked: _Question) -> Verdict | None:
    if asked.recipient.kind is not Kind.OWN:
        return None
    return Verdict(True, "own-organisation", asked.got, "the own organisation")


def _definition(asked: _Question) -> Verdict | None:
    definition = asked.definition
    if definition is None or definition.kind not in {"audience", "unknown"}:
        return None
    audience = definition.audience
    if audience is not None and asked.admitted_by(audience, clients=False):
        return None
    return _refused(
        "definition-for-its-audience",
        f"the definition of an audience ({definition.text})",
        f"one that admits {asked.recipient.name} itself",
    )


def _no_audience(asked: _Question) -> Verdict | None:
    needed = {Reach.NAMED, Reach.CLIENT, Reach.BY_HAND}
    if asked.reach not in needed or any(
        audience.everyone_but is None for audience in asked.audiences
    ):
        return None
    lacking = ", which names nobody" if asked.audiences else " and no audience"
    return _refused(
        "no-audience",
        asked.got + lacking,
        f"an audience marking that names {asked.recipient.name} "
        "(docs/release-policy.md says how to add one)",
    )


def _audience(asked: _Question) -> Verdict | None:
    name = asked.recipient.name
    clients = asked.tlp is not None and asked.tlp <= Tlp.AMBER
    for audience in asked.audiences:
        if asked.admitted_by(audience, clients=clients):
            continue
        if asked.recipient.kind is Kind.PUBLIC:
            expected = "no audience: what the public reads everybody reads"
        elif audience.everyone_but is not None:
            expected = f"the audience not to leave {name} out"
        else:
            expected = f"the audience to name {name}"
        return _refused("not-in-audience", asked.got, expected)
    return None


def _operator(asked: _Question) -> Verdict | None:
    if (
        asked.reach is not Reach.OURS
        or asked.recipient.client_of == asked.own
        or any(audience.everyone_but is None for audience in asked.audiences)
    ):
        return None
    return _refused(
        "not-our-operator",
        f"{asked.got} for an operator that is a client of "
        f"{asked.recipient.client_of or 'nobody'}",
        f"a client of {asked.own}, or an audience that names {asked.recipient.name}",
    )


def _granted(asked: _Question) -> Verdict | None:
    if asked.tlp is None:
        return _refused("no-tlp", asked.got, "a TLP marking, or a handling here")
    return Verdict(True, _GRANTS[asked.tlp], asked.got, asked.reach.value)


_ORDER: Final[tuple[Callable[[_Question], Verdict | None], ...]] = (
    _blocked,
    _purpose,
    _unknown,
    _forbidden,
    _by_machine,
    _ceiling,
    _own,
    _definition,
    _no_audience,
    _audience,
    _operator,
    _granted,
)


def table_markdown() -> str:
    """Write the table and the rules as Markdown, for docs/release-policy.md."""
    lines = [
        f"| Party | {' | '.join(level.label for level in Tlp)} |",
        f"|---|{'---|' * len(Tlp)}",
        *(
            f"| {kind} | {' | '.join(cells[level].value for level in Tlp)} |"
            for kind, cells in TABLE.items()
        ),
        "",
        "| Rule | Meaning |",
        "|---|---|",
        *(f"| `{rule}` | {meaning} |" for rule, meaning in RULES.items()),
    ]
    return "\n".join(lines) + "\n"
