"""The release log: what left, when, to whom and by whom, and the proof of each row.

Who may see what left comes in by /share/log, who checks the node by /audit/log: both
see the same rows, and neither an object's body.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named, numbered, whole
from serantau.apps.web.pages.door import (
    action,
    as_file,
    doing,
    gone_to,
    node_of,
    page,
    reader_zone,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.audit import Audit, Got, Sought, note_reading, period
from serantau.desk.ledger import Book
from serantau.desk.watch import Watch
from serantau.errors import BadRequest, NotFound
from serantau.records.audit import Period
from serantau.records.ledger import Released
from serantau.records.seen import Seen
from serantau.rules.role import Power

ROWS: Final = 50
_FIELD: Final = 300


@dataclass(frozen=True, slots=True)
class Told:
    """What a form with filters asks for. wrong: by field, what is not as expected."""

    sought: Sought
    texts: dict[str, str]
    wrong: dict[str, str]

    def address(self, **more: object) -> dict[str, str]:
        """Give the filters for the address of another page of the same list."""
        held = {name: text for name, text in self.texts.items() if text}
        return held | {name: str(value) for name, value in more.items()}


def told_of(request: Asking) -> Told:
    """Read the filters of a log from the address: party, person, object and period."""
    names = ("party", "person", "object", "since", "until")
    texts = {
        name: "".join(
            letter
            for letter in request.query_params.get(name, "").strip()[:_FIELD]
            if letter.isprintable()
        )
        for name in names
    }
    wrong: dict[str, str] = {}
    within, zone = Period(), reader_zone(request)
    try:
        now = node_of(request).clock.now()
        within = period(texts["since"], texts["until"], zone, now)
    except BadRequest:
        _ = words_of(request)
        wrong["since"] = _(
            "Expected a time such as 2026-03, 2026-03-01 or 7d, and From before To."
        )
    sought = Sought(
        party=texts["party"],
        person=texts["person"],
        object=texts["object"],
        within=within,
        before=whole(request, "before"),
    )
    return Told(sought, texts, wrong)


def _base(request: Asking) -> str:
    """Give the address of the log, by whichever door the reader came in."""
    path: str = request.scope["path"]
    return "/audit/log" if path.startswith("/audit/") else "/share/log"


def _both(
    rest: str,
) -> Callable[[Callable[[Asking], Awaitable[Any]]], tuple[HTTPRouteHandler, ...]]:
    """Make a function a page at both doors."""

    def made(work: Callable[[Asking], Awaitable[Any]]) -> tuple[HTTPRouteHandler, ...]:
        return (
            page(f"/share/log{rest}", Power.SEE)(work),
            page(f"/audit/log{rest}", Power.AUDIT)(work),
        )

    return made


@_both("")
async def log(request: Asking) -> Response[bytes]:
    """List what left, newest first."""
    node, told = node_of(request), told_of(request)

    def work() -> tuple[list[Got], int, list[str], str]:
        with node.db.read() as tx:
            parties = sorted(node.registry.parties(tx))
        if told.wrong:
            return [], 0, parties, ""
        try:
            rows, on = Audit(node).log(told.sought, ROWS)
        except NotFound as fault:
            return [], 0, parties, str(fault)
        asked = " ".join(filter(None, told.texts.values()))
        note_reading(node, "releases", asked, count=len(rows))
        return rows, on, parties, ""

    rows, on, parties, missing = await doing(request, work)
    return await shown(
        request,
        "log.html",
        status=422 if told.wrong else 200,
        base=_base(request),
        told=told,
        rows=rows,
        on=on,
        parties=parties,
        missing=missing,
    )


@_both("/{number:int}")
async def log_row(request: Asking) -> Response[bytes]:
    """Show one release and which object versions went."""
    node, number = node_of(request), numbered(request, "number")
    after = whole(request, "n")

    def work() -> tuple[Released, list[Any], bool]:
        row, went, more = Audit(node).release(number, after, ROWS)
        ids = [one.id for one in went]
        note_reading(node, "release", str(number), count=len(ids), objects=ids)
        return row, list(went), more

    row, went, more = await doing(request, work)
    return await shown(
        request,
        "log-row.html",
        base=_base(request),
        row=row,
        went=went,
        more=more,
        after=after,
        step=ROWS,
    )


@_both("/{number:int}/proof")
async def log_proof(request: Asking) -> Response[bytes]:
    """Prove one release in the reader's own browser."""
    number, object_id = numbered(request, "number"), _object(request)
    source = f"{_base(request)}/{number}/proof.json"
    return await _checker(request, number=number, source=source, object_id=object_id)


@_both("/verify")
async def log_verify(request: Asking) -> Response[bytes]:
    """Check a proof that somebody else gave, in the reader's own browser."""
    return await _checker(request, number=0, source="", object_id="")


async def _checker(
    request: Asking, *, number: int, source: str, object_id: str
) -> Response[bytes]:
    node = node_of(request)
    key: str = (await doing(request, lambda: node.signer.key)).jwk["x"]
    return await shown(
        request,
        "log-proof.html",
        base=_base(request),
        key=key,
        number=number,
        source=source,
        object_id=object_id,
    )


@_both("/{number:int}/proof.json")
async def log_proof_file(request: Asking) -> Response[bytes]:
    """Give the proof of one release, as `docs/verify.py` takes it."""
    node, number = node_of(request), numbered(request, "number")
    object_id = _object(request)

    def work() -> bytes:
        proof = Book(node).prove_row(number, object_id)
        asked = f"row {number} {object_id}".strip()
        note_reading(node, "ledger prove", asked, count=len(proof.entries))
        return msgspec.json.encode(proof)

    body = await doing(request, work)
    return as_file(body, f"proof-{number}.json", "application/json")


def _object(request: Asking) -> str:
    return request.query_params.get("object", "").strip()[:_FIELD]


@_both("/heads")
async def log_heads(request: Asking) -> Response[bytes]:
    """Show the heads of the tree over the log here and of peers', and alarms."""
    node = node_of(request)

    def work() -> dict[str, Any]:
        head = Book(node).head()
        with node.db.read() as tx:
            seen = Seen()
            heads = seen.newest(tx)
            parties = node.registry.parties(tx)
        note_reading(node, "ledger head", "")
        return {
            "head": head.head,
            "key": node.signer.key,
            "heads": heads,
            "alarms": Watch(node).alarms(),
            "parties": parties,
        }

    found = await doing(request, work)
    return await shown(
        request, "log-heads.html", base=_base(request), form=Form(), **found
    )


@action("/share/log/heads/{member:str}", Power.DECIDE)
async def log_accept(request: Asking, form: Form) -> Response[bytes]:
    """End the alarms about a member's log, with what its team explained."""
    node, member = node_of(request), named(request, "member")
    reason = form.line("reason", most=1000)
    if not form.ok:
        raise BadRequest(
            "The alarms go on: say what the member's team explained, in one line."
        )
    who = signed_of(request).caller.user
    await doing(request, lambda: Watch(node).accept(member, who, reason))
    return gone_to(request, "/share/log/heads", "alarms-ended")


# What this node gave to one's own party


@page("/my", Power.OWN)
async def mine(request: Asking) -> Response[bytes]:
    """List what this node gave to the reader's own party, newest first."""
    node, party = node_of(request), signed_of(request).caller.party.name
    sought = Sought(party=party, before=whole(request, "before"))
    rows, on = await doing(request, lambda: Audit(node).log(sought, ROWS))
    return await shown(request, "my.html", rows=[each.release for each in rows], on=on)


HANDLERS = (
    *log, *log_row, *log_proof, *log_proof_file, *log_verify, *log_heads, log_accept,
    mine,
)  # fmt: skip
