"""`serantau show` and `serantau search`: read what the node holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened
from serantau.apps.cli.output import (
    Column,
    Json,
    brief,
    clean,
    console,
    document,
    say,
    stamp,
    table,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.dossier import Dossier
    from serantau.rules.signature import Examined


def show(
    ctx: typer.Context,
    object_id: Annotated[str, typer.Argument(metavar="ID", help="A STIX id.")],
    as_json: Json = False,
) -> None:
    """Tell all about one object, also who got it."""
    from serantau.desk.audit import note_reading
    from serantau.desk.behalf import Behalf
    from serantau.desk.dossier import dossier

    with opened(ctx) as node:
        told = dossier(node, object_id.strip())
        links = Behalf(node).of_object(told.id)
        note_reading(node, "show", told.id, count=1, objects=[told.id])
    if as_json:
        said = [{"by": one.party, "id": one.published} for one in links]
        document({**_document(told), "published_as": said})
    else:
        _print(told)
        for one in links:
            say(f"Published by {one.party} as {one.published} (number {one.number}).")


def _document(told: Dossier) -> dict[str, Any]:
    return {
        "id": told.id,
        "type": told.type,
        "name": told.name,
        "object": told.data,
        "versions": [
            {
                "version": one.found.version,
                "added": stamp(one.found.added),
                "source": one.found.source,
                "marking": one.marking,
                "signature": one.signature.standing.value,
                "signature_reason": one.signature.reason,
                "key": one.signature.key_id,
                "superseded": one.found.superseded,
                "released": [
                    {
                        "at": stamp(each.at),
                        "party": each.party,
                        "user": each.actor,
                        "way": each.way,
                        "purpose": each.purpose,
                        "collection": each.collection,
                        "rule": each.rule,
                        "got": each.got,
                        "expected": each.expected,
                    }
                    for each in one.released
                ],
            }
            for one in told.versions
        ],
        "verdicts": [
            {
                "party": party.name,
                "kind": str(party.kind),
                "released": verdict.released,
                "rule": verdict.rule,
                "got": verdict.got,
                "expected": verdict.expected,
            }
            for party, verdict in told.verdicts
        ],
        "refers_to": [_link(each) for each in told.refers],
        "referred_by": [_link(each) for each in told.referred],
    }


def _link(link: Any) -> dict[str, str]:
    return {"by": link.kind, "id": link.id, "type": link.type, "name": link.name}


def _print(told: Dossier) -> None:
    import orjson
    from rich.json import JSON

    say(f"{told.type}  {told.name}".rstrip(), "bold")
    say(told.id)
    say(told.versions[0].marking)
    say(signed_in_words(told.versions[0].signature))
    say()
    text = orjson.dumps(told.data, option=orjson.OPT_INDENT_2).decode()
    shown = console()
    if shown.is_terminal:
        shown.print(JSON(clean(text), ensure_ascii=False))
    else:
        say(text)
    say()
    versions = (
        Column("version", "Version"),
        Column("added", "Admitted"),
        Column("source", "From"),
        Column("marking", "Marked"),
        Column("signature", "Signature"),
        Column("went", "Releases", right=True),
    )
    table(
        versions,
        [
            {
                "version": one.found.version
                + ("" if one.found.superseded else " (newest)"),
                "added": when(one.found.added),
                "source": one.found.source,
                "marking": brief(one.marking),
                "signature": str(one.signature.standing).replace("_", " "),
                "went": len(one.released),
            }
            for one in told.versions
        ],
        title="Versions",
    )
    say()
    _print_links("Refers to", told.refers)
    _print_links("Referred to by", told.referred)
    _print_released(told)
    table(
        (
            Column("party", "Party"),
            Column("kind", "Kind"),
            Column("may", "May have it"),
            Column("rule", "Rule"),
            Column("why", "Why"),
        ),
        _verdicts(told),
        title="Who may have the newest version",
    )


def signed_in_words(found: Examined) -> str:
    """Say in one line how it stands with a signature."""
    if found.standing == "valid":
        # Only the first letter: an id is written as it is.
        said = f"{found.reason}, with key {found.key_id}"
        return said[:1].upper() + said[1:]
    if found.standing == "unsigned":
        return "Unsigned: nobody proves who wrote it"
    kind = "unknown key" if found.standing == "unknown_key" else "invalid"
    return f"Signature {kind}: {clean(found.reason)}"


def _verdicts(told: Dossier) -> list[dict[str, Any]]:
    """Give one row for all parties of a kind with the same verdict."""
    alike: dict[tuple[str, bool, str, str], list[str]] = {}
    for party, verdict in told.verdicts:
        why = verdict.got
        if not verdict.released:
            # What is expected may name the party; else it is the same for its like.
            wanted = re.sub(rf"\b{party.name}\b", "it", verdict.expected)
            why = f"got {verdict.got}; expected {wanted}"
        key = (str(party.kind), verdict.released, verdict.rule, why)
        alike.setdefault(key, []).append(party.name)
    return [
        {"party": names, "kind": kind, "may": may, "rule": rule, "why": why}
        for (kind, may, rule, why), names in alike.items()
    ]


def _print_links(title: str, links: Any) -> None:
    if not links:
        return
    columns = (Column("by", "By"), Column("id", "Id"), Column("name", "Name"))
    table(columns, [_link(link) for link in links], title=title)
    say()


def _print_released(told: Dossier) -> None:
    rows = [
        {
            "at": when(each.at),
            "party": each.party,
            "actor": each.actor,
            "way": each.way,
            "version": one.found.version,
            "rule": each.rule,
        }
        for one in told.versions
        for each in one.released
    ]
    columns = (
        Column("at", "When"),
        Column("party", "To"),
        Column("actor", "By user"),
        Column("way", "Way"),
        Column("version", "Version"),
        Column("rule", "Rule"),
    )
    table(columns, rows, title="Released", empty="It was released to nobody.")
    say()


def search(
    ctx: typer.Context,
    text: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...",
            help="An address, name, hash or URL, defanged or not; an id; or any text.",
        ),
    ],
    limit: Annotated[int, typer.Option(min=1, help="Objects shown at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Find objects by value, name, id or text in any script."""
    from serantau.desk.audit import note_reading
    from serantau.desk.dossier import name_of
    from serantau.desk.keys import Keys, standing
    from serantau.desk.share import Share

    with opened(ctx) as node:
        share = Share(node)
        with node.db.read() as tx:
            found = node.search.find(tx, " ".join(text), limit=limit + 1)
            ring = Keys(node).ring(tx)
        rows = [
            {
                "id": one.id,
                "type": one.type,
                "name": name_of(node, one.body),
                "version": one.version,
                "marking": share.marking(one),
                "source": one.source,
                "signature": standing(one.body, ring, one.added).standing.value,
            }
            for one in found[:limit]
        ]
        ids = [str(row["id"]) for row in rows]
        note_reading(node, "search", " ".join(text), count=len(ids), objects=ids)
    columns = (
        Column("type", "Type"),
        Column("name", "Name"),
        Column("marking", "Marked"),
        Column("source", "From"),
        Column("id", "Id"),
    )
    if as_json:
        document(rows)
        return
    shown = [{**row, "marking": brief(row["marking"], 40)} for row in rows]
    table(columns, shown, empty="Nothing here holds that.")
    if len(found) > limit:
        say(f"There is more; the newest {limit} are shown. --limit shows more.")
