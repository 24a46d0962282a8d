"""Share: before anything leaves, who would get what, and why not the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

from litestar import Response

from serantau.apps.web.hall import Asking, Lane, hall_of, state_of
from serantau.apps.web.pages.asked import named, numbered, whole
from serantau.apps.web.pages.door import doing, gone_to, node_of, page, shown
from serantau.desk.audit import note_reading
from serantau.desk.outlook import SHOWN, Item, Outlook, Tally
from serantau.errors import NotFound, SerantauError
from serantau.rules.release import RULES
from serantau.rules.role import Power

T = TypeVar("T")

COMPARE: Final = "/share/_compare"
"""No party's name begins so."""
_QUERY: Final = 500
_WHAT: Final = "share preview"
_counting: set[asyncio.Task[None]] = set()


def alike(tallies: Sequence[Tally]) -> list[tuple[Tally, list[Tally]]]:
    """Give one row for all parties of a kind that get the same by the same rules."""
    found: dict[tuple[object, ...], list[Tally]] = {}
    for each in tallies:
        key = (each.party.kind, tuple(each.released), tuple(each.withheld))
        found.setdefault(key, []).append(each)
    return [(several[0], several) for several in found.values()]


def outlook_of(request: Asking) -> Outlook:
    """Give what is kept of who would get what, of the node that was asked."""
    state = state_of(request)
    if "outlook" not in state:
        state.outlook = Outlook(node_of(request))
    found: Outlook = state.outlook
    return found


def query_of(request: Asking) -> str:
    """Give what is searched for."""
    text = request.query_params.get("q", "").strip()[:_QUERY]
    return "".join(letter for letter in text if letter.isprintable())


async def _looked(
    request: Asking,
    asked: str,
    work: Callable[[Outlook], T],
    ids: Callable[[T], Sequence[str]] = lambda _: (),
) -> T:
    """Look, write down that somebody did, and count anew behind the answer if due."""
    node, outlook = node_of(request), outlook_of(request)

    def within() -> tuple[T, bool]:
        found = work(outlook)
        named = ids(found)
        note_reading(node, _WHAT, asked, count=len(named), objects=named)
        return found, outlook.stale()

    found, stale = await doing(request, within)
    if stale and not _counting:
        task = asyncio.create_task(_recount(request, outlook))
        _counting.add(task)
        task.add_done_callback(_counting.discard)
    return found


async def _recount(request: Asking, outlook: Outlook) -> None:
    try:
        await hall_of(request).run(Lane.SIDE, outlook.recount)
    except (SerantauError, RuntimeError):
        return  # the next look tries again


@page("/share", Power.SEE)
async def share(request: Asking) -> Response[bytes]:
    """Show for each party how many objects it would get and how many stay."""
    query = query_of(request)
    tallies, counted = await _looked(request, query, lambda held: held.all(query))
    return await shown(
        request,
        "share.html",
        tallies=tallies,
        rows=alike(tallies),
        counted=counted,
        query=query,
    )


@page("/share/{party:str}", Power.SEE)
async def share_party(request: Asking) -> Response[bytes]:
    """Show what exactly one party would get and what stays, by marking."""
    name, query, after = named(request, "party"), query_of(request), whole(request, "n")
    tally, lines, count, counted = await _looked(
        request,
        f"{name} {query}".strip(),
        lambda held: held.party(name, query, after),
    )
    return await shown(
        request,
        "share-party.html",
        tally=tally,
        lines=lines,
        count=count,
        counted=counted,
        query=query,
        rules=RULES,
        after=after,
        step=SHOWN,
    )


@page("/share/{party:str}/marking/{number:int}", Power.SEE)
async def share_objects(request: Asking) -> Response[bytes]:
    """List the objects of one marking, for one party."""
    name, query = named(request, "party"), query_of(request)
    number, before = numbered(request, "number"), whole(request, "before")
    node = node_of(request)

    def work(held: Outlook) -> tuple[str, list[Item], bool]:
        with node.db.read() as tx:
            node.registry.party(tx, name)
        return held.objects(number, query, before)

    words, items, more = await _looked(
        request,
        f"{name} {query}".strip(),
        work,
        lambda found: [item.id for item in found[1]],
    )
    return await shown(
        request,
        "share-objects.html",
        party=name,
        number=number,
        words=words,
        items=items,
        more=more,
        query=query,
        before=before,
    )


@page("/share/{party:str}/object/{object_id:str}", Power.SEE)
async def share_object(request: Asking) -> Response[bytes]:
    """Show exactly the fields of an object that one party would get."""
    name, object_id = named(request, "party"), named(request, "object_id")
    node = node_of(request)

    def work() -> object:
        found = outlook_of(request).exactly(name, object_id)
        note_reading(node, _WHAT, name, count=1, objects=[object_id])
        return found

    exact = await doing(request, work)
    return await shown(request, "share-object.html", exact=exact, rules=RULES)


@page("/share/{party:str}/{other:str}", Power.SEE)
async def share_apart(request: Asking) -> Response[bytes]:
    """Show where two parties would not get the same."""
    one, other = named(request, "party"), named(request, "other")
    query, after = query_of(request), whole(request, "n")
    rows, count, counted = await _looked(
        request,
        f"{one} {other} {query}".strip(),
        lambda held: held.apart(one, other, query, after),
    )
    return await shown(
        request,
        "share-apart.html",
        one=one,
        other=other,
        rows=rows,
        count=count,
        counted=counted,
        query=query,
        after=after,
        step=SHOWN,
    )


@page(COMPARE, Power.SEE)
async def share_compare(request: Asking) -> Response[bytes]:
    """Lead to the comparison of two parties that a form names."""
    one, other = (
        quote(request.query_params.get(name, "")[:100], safe="")
        for name in ("one", "other")
    )
    if not (one and other):
        raise NotFound("Choose two parties to compare.")
    return gone_to(request, f"/share/{one}/{other}")


HANDLERS = (
    share, share_party, share_objects, share_object, share_apart, share_compare,
)  # fmt: skip
