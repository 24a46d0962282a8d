"""The score of an incident: weighted answers, one level, and no silent guess."""

from __future__ import annotations

from itertools import product

import pytest

from serantau.rules.case_schema import SEVERITIES
from serantau.rules.severity import BANDS, FACTORS, score, table_markdown


def test_every_level_is_a_band_and_the_ends_are_reached() -> None:
    assert tuple(BANDS) == SEVERITIES
    assert list(BANDS.values()) == sorted(BANDS.values())
    least = {
        name: min(f.answers, key=f.answers.__getitem__) for name, f in FACTORS.items()
    }
    most = {
        name: max(f.answers, key=f.answers.__getitem__) for name, f in FACTORS.items()
    }
    assert score(least).level == "baseline"
    assert (score(most).points, score(most).level) == (100.0, "emergency")


def test_the_parts_are_the_points_and_what_is_open_counts_neither_way() -> None:
    found = score({"function": "critical-denied", "recovery": "regular"})
    # 6 of 10 parts at 100, 4 of 10 at 20
    assert (found.points, found.level) == (68.0, "severe")
    assert found.parts == {"function": 60.0, "recovery": 8.0}
    assert "states" in found.open
    assert not set(found.parts) & set(found.open)


def test_more_states_at_once_never_lower_it_and_do_raise_it() -> None:
    said = {"function": "degraded", "activity": "presence", "sector": "company"}
    points = [score({**said, "states": str(n)}).points for n in range(1, 12)]
    assert points == sorted(points)
    assert points[0] < points[1] < points[4] == points[10]


def test_a_graver_answer_never_gives_a_lower_level() -> None:
    names = ("function", "activity", "states")
    ranked = [
        sorted(FACTORS[name].answers, key=FACTORS[name].answers.__getitem__)
        for name in names
    ]
    for a, b, c in product(*ranked):
        here = score(dict(zip(names, (a, b, c), strict=True))).points
        for at, answer in enumerate((a, b, c)):
            for graver in ranked[at][ranked[at].index(answer) :]:
                said = dict(zip(names, (a, b, c), strict=True))
                assert score(said | {names[at]: graver}).points >= here


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({}, "nothing is answered"),
        ({"mood": "bad"}, "'mood' is no factor"),
        ({"actor": "martian"}, "'martian' is no answer to actor; one of: hobbyist"),
        ({"states": "0"}, "'0' is no answer to states"),
        ({"states": "many"}, "'many' is no answer"),
        ({"states": "٣"}, "is no answer"),
    ],
)
def test_what_is_no_answer_is_refused_with_those_there_are(
    answers: dict[str, str], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        score(answers)


def test_the_table_in_the_documentation_has_each_factor() -> None:
    lines = table_markdown().splitlines()
    assert len(lines) == 2 + len(FACTORS)
    assert "| `states` | How many states are hit at once? | 5 |" in lines[-1]
