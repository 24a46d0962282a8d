"""The board of cases, asked: which ones, the one with the worst clock first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from serantau.records.cases import PartRow, Summary
from serantau.records.database import Tx

_COLUMNS: Final = ", ".join(field.name for field in fields(Summary))
_NEVER: Final = 1 << 62
# Open cases by what is due first, those of which nothing is due behind them. Closed
# ones from the newest on.
_RANK: Final = {
    False: f"CASE WHEN due > 0 THEN due ELSE {_NEVER} END",
    True: "-changed",
}
_FACETS: Final = ("mine", "severity", "incident_class")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases are asked for; what is empty asks for nothing.

    closed: the closed ones, else the open ones. mine, severities, classes: as the board
    has them, "" among them for none. party: its name. owner: an identity. text: folded;
    it is looked for in name, class and description, and at the beginning of the id.
    """

    closed: bool = False
    mine: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    party: str = ""
    owner: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some cases. newer, older: cursors of the pages beside it, empty for none."""

    found: list[Summary]
    newer: str
    older: str


class CaseBoard:
    """Asks the board."""

    @staticmethod
    def page(tx: Tx, wanted: Wanted, *, cursor: str = "", limit: int = 50) -> Page:
        """Give cases from a cursor on; from the first without one.

        A cursor that is none asks for the first page.
        """
        where, values = _where(tx, wanted)
        rank = _RANK[wanted.closed]
        way, at, case = _read_cursor(cursor)
        if way:
            values |= {"at": at, "case": case}
            where += f" AND (({rank}) {way} :at OR (({rank}) = :at AND id {way} :case))"
        turn = " DESC" if way == "<" else ""
        rows = tx.execute(
            f"SELECT {_COLUMNS}, {rank} FROM case_board WHERE {where} "
            f"ORDER BY {rank}{turn}, id{turn} LIMIT :most",
            {**values, "most": limit + 1},
        ).fetchall()
        more, rows = len(rows) > limit, list(rows[:limit])
        if way == "<":
            rows.reverse()
        if not rows:
            return Page([], "", "")
        before = bool(way) if way != "<" else more
        behind = more if way != "<" else True
        return Page(
            [Summary(*row[:-1]) for row in rows],
            f"<{int(rows[0][-1])}.{rows[0][0]}" if before else "",
            f">{int(rows[-1][-1])}.{rows[-1][0]}" if behind else "",
        )

    @staticmethod
    def counts(tx: Tx, *, closed: bool = False) -> dict[str, dict[str, int]]:
        """Give how many cases there are by our state, severity and class."""
        found: dict[str, dict[str, int]] = {name: {} for name in _FACETS}
        rows = tx.execute(
            f"SELECT {', '.join(_FACETS)}, count(*) FROM case_board "
            f"WHERE {'closed <> 0' if closed else 'closed = 0'} "
            f"GROUP BY {', '.join(_FACETS)} ORDER BY {', '.join(_FACETS)}",
            {},
        ).fetchall()
        for *values, many in rows:
            for name, value in zip(_FACETS, values, strict=True):
                found[name][value] = found[name].get(value, 0) + int(many)
        return found

    @staticmethod
    def parties(tx: Tx, cases: Sequence[str]) -> dict[str, list[PartRow]]:
        """Give who is in each of some cases."""
        found: dict[str, list[PartRow]] = {case: [] for case in cases}
        rows = tx.rows(
            "SELECT case_id, party, name, state, invited, answered, mail "
            f"FROM case_part WHERE {tx.among('case_id', 'cases')} "
            "ORDER BY case_id, name, party",
            cases=tx.array(cases),
        )
        for row in rows:
            found[row.case_id].append(
                PartRow(
                    row.party, row.name, row.state, int(row.invited),
                    int(row.answered), bool(row.mail),
                )
            )  # fmt: skip
        return found


def _where(tx: Tx, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    asked, values = ["closed <> 0" if wanted.closed else "closed = 0"], {}
    for column, name, several in (
        ("mine", "mine", wanted.mine),
        ("severity", "severities", wanted.severities),
        ("incident_class", "classes", wanted.classes),
    ):
        if several:
            asked.append(tx.among(column, name))
            values[name] = tx.array(several)
    if wanted.party:
        asked.append("id IN (SELECT case_id FROM case_part WHERE name = :party)")
        values["party"] = wanted.party
    if wanted.owner:
        asked.append("owner = :owner")
        values["owner"] = wanted.owner
    if wanted.text:
        asked.append("(words LIKE :text ESCAPE '!' OR id LIKE :begins ESCAPE '!')")
        plain = wanted.text
        for sign in "!%_":
            plain = plain.replace(sign, f"!{sign}")
        values |= {"text": f"%{plain}%", "begins": f"case-entry--{plain}%"}
    return " AND ".join(asked), values


def _read_cursor(text: str) -> tuple[str, int, str]:
    way, (at, _, case) = text[:1], text[1:].partition(".")
    digits = at.removeprefix("-")
    if way not in {"<", ">"} or not (digits.isascii() and digits.isdigit()):
        return "", 0, ""
    return way, max(-_NEVER, min(int(at[:25]), _NEVER)), case
