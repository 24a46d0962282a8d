"""The cases: which are open and what is due first, and opening one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.case import left, path_of, words_for
from serantau.apps.web.pages.case_acts import digest_of
from serantau.apps.web.pages.case_entries import judged, judging
from serantau.apps.web.pages.case_fields import (
    Field,
    line,
    of_parties,
    pick,
    read_fields,
    text,
)
from serantau.apps.web.pages.case_words import CLOCKS, WHY, Words, word
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reader_zone,
    reading,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.live import seen_by
from serantau.desk.audit import note_reading
from serantau.desk.case_log import parties_of
from serantau.desk.case_private import Private
from serantau.desk.case_reach import Reach, Receiver
from serantau.desk.case_who import Pasted, pasted
from serantau.desk.cases import Casework
from serantau.errors import TheirError
from serantau.node import Node
from serantau.records.case_board import CaseBoard, Page, Wanted
from serantau.records.cases import PartRow, Summary
from serantau.records.database import Tx
from serantau.rules.case_entry import LEVELS
from serantau.rules.level import Tlp
from serantau.rules.role import Power
from serantau.rules.text import fold

_ROWS: Final = 50
_COLUMN: Final = 12
_MOST_TEXT: Final = 200
_COLUMNS: Final = (
    ("no-answer",),
    ("received", "valid"),
    ("accepted",),
    ("deferred",),
    ("closed", "invalid"),
    ("",),
)
"""The columns of the board, by how far our own party is with a case."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the board. all: how many cases it has; href: the table of them."""

    title: str
    found: list[Summary]
    all: int
    href: str


@page("/cases", Power.CASES)
async def cases(request: Asking) -> Response[bytes]:
    """List cases: what is due first stands first."""
    _, node, asked = words_of(request), node_of(request), request.query_params
    wanted, since = _wanted(request), seen_by(request)
    board = asked.get("view") == "board"
    query = [(key, value) for key, value in asked.multi_items() if key != "at"]

    def work(tx: Tx) -> dict[str, Any]:
        names = parties_of(node, tx)
        counts = CaseBoard.counts(tx, closed=wanted.closed)
        columns: list[Column] = []
        found = Page([], "", "")
        if board and not wanted.closed:
            for mine in _COLUMNS:
                if wanted.mine and not set(mine) & set(wanted.mine):
                    continue
                columns.append(_column(tx, wanted, mine, counts, query, _))
            shown_now = [one for column in columns for one in column.found]
        else:
            found = CaseBoard.page(tx, wanted, cursor=asked.get("at", ""), limit=_ROWS)
            shown_now = found.found
        ids = [one.id for one in shown_now]
        return {
            "found": found,
            "columns": columns,
            "counts": counts,
            "parties": CaseBoard.parties(tx, ids),
            "names": names,
            "ids": ids,
            "now": tx.clock.now(),
            "known": sorted(
                party
                for party in node.registry.parties(tx)
                if party != node.config.node.member
            ),
        }

    values = await reading(request, work)
    ids = values.pop("ids")
    await doing(
        request,
        lambda: note_reading(
            node, "case board" if board else "case list",
            wanted.text, count=len(ids), objects=ids,
        ),
    )  # fmt: skip

    def at(cursor: str) -> str | None:
        return f"/cases?{urlencode([*query, ('at', cursor)])}" if cursor else None

    now, words = values["now"], words_for(_)
    return await shown(
        request,
        "cases.html",
        **values,
        wanted=wanted,
        text=asked.get("q", "")[:_MOST_TEXT],
        board=board,
        since=since,
        address=f"/cases?{urlencode(query)}",
        newer=at(values["found"].newer),
        older=at(values["found"].older),
        words=words,
        late=lambda one: left(one.due - now, _),
        clock=lambda one: word(CLOCKS, one.due_clock.partition(":")[0], _),
        chips=partial(_chips, words["state"], node.config.node.identity),
        works=signed_of(request).may(Power.WORK),
    )


def _wanted(request: Asking) -> Wanted:
    asked = request.query_params
    return Wanted(
        closed=asked.get("closed") == "1",
        mine=tuple(_plain(asked.getall("mine", []))),
        severities=tuple(_plain(asked.getall("severity", []))),
        classes=tuple(_plain(asked.getall("class", []))),
        party=asked.get("party", "")[:100],
        owner=node_of(request).config.node.identity if asked.get("ours") else "",
        text=fold(asked.get("q", "")[:_MOST_TEXT].strip()),
    )


def _plain(values: list[str]) -> list[str]:
    return ["" if one == "-" else one[:100] for one in values[:50]]


def _column(
    tx: Tx,
    wanted: Wanted,
    mine: tuple[str, ...],
    counts: Mapping[str, Mapping[str, int]],
    query: list[tuple[str, str]],
    _: Words,
) -> Column:
    titles = {
        "no-answer": _("Waits for us"),
        "received": _("To be judged"),
        "accepted": _("We work on it"),
        "deferred": _("Put off"),
        "closed": _("Done here"),
        "": _("Of others"),
    }
    of = Wanted(
        mine=mine,
        severities=wanted.severities,
        classes=wanted.classes,
        party=wanted.party,
        owner=wanted.owner,
        text=wanted.text,
    )
    found = CaseBoard.page(tx, of, limit=_COLUMN).found
    rest = [pair for pair in query if pair[0] not in {"view", "mine"}]
    href = urlencode([*rest, *(("mine", one or "-") for one in mine)])
    many = sum(counts["mine"].get(one, 0) for one in mine)
    return Column(titles[mine[0]], found, many, f"/cases?{href}")


def _chips(
    states: Mapping[str, tuple[str, str]], own: str, parts: list[PartRow]
) -> list[tuple[str, str, str, None]]:
    """Give the other parties of a case with their states."""
    return [
        (part.name or part.party, *states[part.state], None)
        for part in parts
        if part.party != own
    ]


# Opening one


@page("/cases/open", Power.WORK)
async def open_form(request: Asking) -> Response[bytes]:
    """Ask what the case is about."""
    form = Form(request.query_params.multi_items(), words_of(request))
    fields = await doing(request, partial(_fields, node_of(request), words_of(request)))
    return await shown(
        request, "case-open.html", form=form, fields=fields, told=None, reasons=WHY,
        receivers=(), reach="", sure=False,
    )  # fmt: skip


@action("/cases/open", Power.WORK)
async def open_done(request: Asking, form: Form) -> Response[bytes]:
    """Show what is proposed and whom it reaches; open the case when that was seen."""
    _, node = words_of(request), node_of(request)
    fields = await doing(request, partial(_fields, node, _))
    given = read_fields(form, fields, reader_zone(request), _)
    told: Pasted | None = None
    receivers: list[Receiver] = []
    if form.ok:
        told = await doing(request, partial(_pasted, node, given["pasted"]))
        level = Tlp.parse(given["tlp"])
        receivers = await doing(
            request, lambda: Reach(node).if_opened(level, given["parties"])
        )
    reach = digest_of(receivers)
    if form.ok and form.ticked("sure") and form.given("reach") == reach and told:
        try:
            case = await doing(request, partial(_open, node, given, told))
        except TheirError as fault:
            form.fault("", str(fault))
        else:
            return gone_to(request, path_of(case), "case-opened")
    return await shown(
        request,
        "case-open.html",
        status=200 if form.ok else 422,
        form=form,
        fields=fields,
        told=told,
        reasons=WHY,
        receivers=receivers,
        reach=reach,
        sure=form.ok,
    )


def _fields(node: Node, _: Words) -> list[Field]:
    levels = [(each.label, each.label) for each in reversed(LEVELS)]
    judges = {each.name: each for each in judging(_, _("not said"), "medium")}
    first = [
        line("name", _("What it is about, in a line"), needed=True, most=300),
        of_parties("parties", _("Whom to invite"), Reach(node).candidates(), _, False),
        text(
            "pasted",
            _("Evidence, pasted as it is"),
            _("Addresses, names and ids of objects. They propose whom to invite."),
        ),
        judges.pop("severity_level"),
        pick("tlp", _("Marking of the whole log"), levels, value=Tlp.AMBER.label),
    ]
    return [*first, *judges.values()]


def _pasted(node: Node, said: str) -> Pasted:
    told = pasted(node, said)
    if told.read:
        note_reading(
            node, "case who", "pasted", count=len(told.read), objects=told.read
        )
    return told


def _open(node: Node, given: Mapping[str, Any], told: Pasted) -> str:
    work = Casework(node)
    said = judged(given)
    case = work.open(given["name"], given["parties"], level=given["tlp"], **said).id
    if told.objects:
        work.add_evidence(case, told.objects)
    if given["pasted"]:
        Private(node).note(case, given["pasted"])
    return case


HANDLERS = (cases, open_form, open_done)
