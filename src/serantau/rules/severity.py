"""How grave an incident is: a score of weighted answers, and the level that it means.

The factors and the bands are those of CISA's National Cyber Incident Scoring System,
with one of our own: how many states are hit at once. The weights are a table, so that
anybody can see why one incident wakes people up and another does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from serantau.rules.case_schema import SEVERITIES


class Factor(NamedTuple):
    """One question. weight: how much it counts. answers: points of 100, by answer."""

    question: str
    weight: int
    answers: Mapping[str, int]


FACTORS: Final[Mapping[str, Factor]] = {
    "function": Factor(
        "What does not work any more?",
        6,
        {
            "none": 0,
            "degraded": 20,
            "significant": 45,
            "non-critical-denied": 60,
            "critical-degraded": 80,
            "critical-denied": 100,
        },
    ),
    "activity": Factor(
        "What is the attacker doing?",
        5,
        {"prepare": 30, "engage": 60, "presence": 80, "effect": 100},
    ),
    "location": Factor(
        "How far in was that seen?",
        4,
        {
            "unsuccessful": 0,
            "dmz": 20,
            "business-network": 40,
            "business-management": 55,
            "critical-network": 75,
            "critical-management": 85,
            "safety-systems": 100,
        },
    ),
    "actor": Factor(
        "Who is it, as far as is known?",
        4,
        {
            "hobbyist": 10,
            "criminal": 40,
            "hacktivist": 50,
            "organised": 70,
            "state": 100,
        },
    ),
    "information": Factor(
        "What was read, taken or changed?",
        2,
        {
            "none": 0,
            "suspected": 20,
            "personal-data": 50,
            "proprietary": 60,
            "credentials": 80,
            "critical-systems-data": 100,
        },
    ),
    "recovery": Factor(
        "What does recovery take?",
        4,
        {"regular": 20, "supplemented": 50, "extended": 75, "not-recoverable": 100},
    ),
    "sector": Factor(
        "Whom does it hit?",
        4,
        {
            "individuals": 5,
            "company": 20,
            "important-service": 50,
            "government": 70,
            "critical-infrastructure": 100,
        },
    ),
    "states": Factor(
        "How many states are hit at once?",
        5,
        {"1": 0, "2": 40, "3": 60, "4": 80, "5": 100},
    ),
}
"""The questions of the score, by name."""

BANDS: Final[Mapping[str, int]] = {
    "baseline": 0,
    "low": 20,
    "medium": 35,
    "high": 50,
    "severe": 65,
    "emergency": 80,
}
"""From how many points of 100 each level begins."""
_MOST_STATES: Final = 5


class Score(NamedTuple):
    """What the answers come to.

    points: of 100, of what was answered. level: one of SEVERITIES. parts: how many
    points each answer brought. open: what nobody answered, and so does not count.
    """

    points: float
    level: str
    parts: Mapping[str, float]
    open: tuple[str, ...]


def score(answers: Mapping[str, str]) -> Score:
    """Score an incident by the answers to some of the questions.

    1. Each answer has points; they count as much as the weight of the question.
    2. What is not answered counts neither way: the rest is taken for the whole.
    3. The level is the last band that begins at or below the points.

    Args:
        answers: by the name of the factor; of `states` any number.

    Raises:
        ValueError: no answer at all, no such factor, or no such answer to it.
    """
    if not answers:
        raise ValueError("nothing is answered: give at least one factor")
    given = {name: _points(name, answer) for name, answer in answers.items()}
    whole = sum(FACTORS[name].weight for name in given)
    parts = {  # 1, 2
        name: FACTORS[name].weight * points / whole for name, points in given.items()
    }
    points = round(sum(parts.values()), 1)
    level = [name for name in SEVERITIES if BANDS[name] <= points][-1]  # 3
    unanswered = tuple(name for name in FACTORS if name not in given)
    return Score(points, level, parts, unanswered)


def _points(name: str, answer: str) -> int:
    factor = FACTORS.get(name)
    if factor is None:
        raise ValueError(f"{name!r} is no factor; one of: {', '.join(FACTORS)}")
    said = answer
    if name == "states" and answer.isascii() and answer.isdigit():
        said = str(min(int(answer[:9]), _MOST_STATES))
    points = factor.answers.get(said)
    if points is None:
        known = ", ".join(factor.answers)
        raise ValueError(f"{answer!r} is no answer to {name}; one of: {known}")
    return points


def table_markdown() -> str:
    """Write the table for docs/cases.md."""
    lines = [
        "| Factor | Question | Weight | Answers, with their points |",
        "|---|---|---|---|",
    ]
    for name, factor in FACTORS.items():
        answers = ", ".join(
            f"`{one}` {points}" for one, points in factor.answers.items()
        )
        lines.append(f"| `{name}` | {factor.question} | {factor.weight} | {answers} |")
    return "\n".join(lines) + "\n"
