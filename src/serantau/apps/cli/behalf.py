"""`serantau behalf`: have a coordinator publish something, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serantau.apps.cli.door import opened, secret_from
from serantau.apps.cli.handout import confirm, person
from serantau.apps.cli.output import Column, Json, answer, document, note, say, when

if TYPE_CHECKING:
    from serantau.desk.behalf import Behalf, Plan

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `list` shows it.")]
Tlp = Annotated[
    str,
    typer.Option("--tlp", metavar="LEVEL", help="CLEAR or GREEN; without it, its own."),
]
Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="ID:PROPERTY=TEXT",
        help="What to publish in place of a property; an empty text leaves it out. "
        "The id may be left out where there is one object. May be repeated.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]


@app.callback()
def behalf() -> None:
    """Have a coordinator publish something without telling whose it is.

    At the coordinator: see what members hand over, and publish it or not.
    """


@app.command()
def hand(
    ctx: typer.Context,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="What belongs together.")
    ],
    to: Annotated[str, typer.Option(metavar="PARTY", help="The coordinator.")],
    tlp: Tlp = "",
    edits: Edits = None,
    sealed: Annotated[
        bool,
        typer.Option(
            "--sealed", help="The coordinator keeps whose it is, under a passphrase."
        ),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Hand objects to a coordinator, to be published in its name.

    Shows exactly what would be published and what falls away, and asks.
    """
    from serantau.desk.behalf import Behalf

    with opened(ctx) as node:
        work = Behalf(node)
        plan = work.plan(to, ids, tlp=_level(tlp), edits=_edits(edits, ids))
        _hand(work, plan, sealed=sealed, yes=yes, as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    number: Number,
    tlp: Tlp = "",
    edits: Edits = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Hand over the newest versions of what was handed over before.

    What was set with --set then still holds, unless it is set anew.
    """
    from serantau.desk.behalf import Behalf

    with opened(ctx) as node:
        work = Behalf(node)
        with node.db.read() as tx:
            ids = [link.original for link in work.rows.links(tx, number=number)]
        plan = work.plan_again(number, _level(tlp), _edits(edits, ids))
        _hand(work, plan, sealed=False, yes=yes, as_json=as_json)


@app.command()
def withdraw(
    ctx: typer.Context, number: Number, yes: Yes = False, as_json: Json = False
) -> None:
    """Have all that was published of a handing-over revoked."""
    from serantau.desk.behalf import Behalf

    with opened(ctx) as node:
        work = Behalf(node)
        with node.db.read() as tx:
            handed = work.rows.get(tx, number)
        confirm(yes, f"{handed.party}, to revoke what it published")
        work.withdraw(number)
    if as_json:
        document({"number": number, "party": handed.party, "state": "withdrawn"})
    else:
        say(
            f"{handed.party} revokes it when its node asks next. What others have, "
            "they have."
        )


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List what was handed over, and at a coordinator what came."""
    from serantau.desk.audit import note_reading
    from serantau.desk.behalf import Behalf
    from serantau.desk.publisher import Publisher

    with opened(ctx) as node:
        handed = Behalf(node).all()
        came = Publisher(node).all()
        read = [link.original for _, links, _ in handed for link in links]
        note_reading(node, "behalf list", "", count=len(handed), objects=read)
    given: list[dict[str, Any]] = [
        {
            "number": one.number,
            "to": one.party,
            "at": when(one.at),
            "by": one.actor,
            "state": one.state + (", parcel waits" if one.waits else ""),
            "sealed": one.sealed,
            "changed": changed,
            "objects": [
                {"id": link.original, "published_as": link.published} for link in links
            ],
        }
        for one, links, changed in handed
    ]
    taken: list[dict[str, Any]] = [
        {
            "number": one.number,
            "day": one.day,
            "state": one.state,
            "published": list(one.published),
            "sealed": bool(one.origin),
            "reason": one.reason,
        }
        for one in came
    ]
    if as_json:
        document({"handed": given, "came": taken})
        return
    if given or not taken:
        _list_given(given)
    if taken:
        _list_taken(taken)


def _list_given(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["what"] = "\n".join(
            f"{each['id']} as {each['published_as']}" for each in row["objects"]
        )
        row["note"] = "changed here since: `behalf update`" if row["changed"] else ""
    columns = (
        Column("number", "No.", right=True),
        Column("to", "To"),
        Column("at", "Handed over", spare=2),
        Column("state", "State"),
        Column("what", "What"),
        Column("note", ""),
    )
    answer(columns, rows, False, empty="Nothing was handed over.")


def _list_taken(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["ids"] = "\n".join(row["published"])
    columns = (
        Column("number", "No.", right=True),
        Column("day", "Came"),
        Column("state", "State"),
        Column("ids", "Published"),
        Column("reason", "Why not"),
    )
    answer(columns, rows, False, empty="")


@app.command()
def show(ctx: typer.Context, number: Number, as_json: Json = False) -> None:
    """Show what came under a number, as it would be or was published."""
    import orjson

    from serantau.desk.audit import note_reading
    from serantau.desk.publisher import Publisher

    with opened(ctx) as node:
        looked = Publisher(node).look(number)
        ids = [str(data["id"]) for data in looked.objects]
        note_reading(node, "behalf show", str(number), count=len(ids), objects=ids)
    if as_json:
        document(
            {
                "number": number,
                "state": looked.held.state,
                "objects": list(looked.objects),
                "doubts": [{"id": one, "found": said} for one, said in looked.doubts],
                "reason": looked.held.reason,
            }
        )
        return
    say(f"Number {number}: {looked.held.state}. {looked.held.reason}".rstrip(), "bold")
    for data in looked.objects:
        say(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())
    for one, said in looked.doubts:
        note(f"{one} names {said!r}, which is of a member. Is that meant?")


@app.command()
def publish(
    ctx: typer.Context, number: Number, yes: Yes = False, as_json: Json = False
) -> None:
    """Make what came under a number this node's own, signed. Look at it before."""
    from serantau.desk.publisher import Publisher

    with opened(ctx) as node:
        confirm(yes, "all whom its level reaches, in this node's name")
        ids, stay = Publisher(node).publish(number)
    if as_json:
        document({"number": number, "published": ids, "unchanged": stay})
    else:
        for one in stay:
            note(f"{one} is here already with other markings, and stays so.")
        for one in ids:
            say(one)
        say("Published. Nothing here says whose it was.")


@app.command()
def refuse(
    ctx: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, for this node's own people.")],
    as_json: Json = False,
) -> None:
    """Publish nothing of what waits under a number. Its origin is not told why."""
    from serantau.desk.publisher import Publisher

    with opened(ctx) as node:
        Publisher(node).refuse(number, reason)
    if as_json:
        document({"number": number, "state": "refused"})
    else:
        say(f"Number {number} is not published. Its origin learns so when it is asked.")


@app.command()
def key(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Option(
            "--passphrase-file", help="File with it; - is standard input.", metavar="F"
        ),
    ] = "",
) -> None:
    """Make the key to which this coordinator encrypts whose something is."""
    from serantau.desk.publisher import Publisher

    with opened(ctx) as node:
        passphrase = secret_from(file, "Passphrase, known to those who may open")
        path = Publisher(node).make_key(passphrase)
    say(f"{path} is made. Without the passphrase nobody opens what is sealed to it.")


@app.command("open")
def open_(
    ctx: typer.Context,
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, for the log.")],
    file: Annotated[
        str,
        typer.Option(
            "--passphrase-file", help="File with it; - is standard input.", metavar="F"
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Tell whose something is, where its origin asked for that. It is logged."""
    from serantau.desk.publisher import Publisher

    with opened(ctx) as node:
        passphrase = secret_from(file, "Passphrase")
        member = Publisher(node).open(number, passphrase, reason)
    if as_json:
        document({"number": number, "member": member})
    else:
        say(f"Number {number} is {member}'s.")


def _hand(work: Behalf, plan: Plan, *, sealed: bool, yes: bool, as_json: bool) -> None:
    from serantau.errors import Forbidden

    for one in plan.objects:
        _tell(plan, one)
    for gone in plan.gone:
        note(f"{gone} is revoked: what it was published as is revoked, too.")
    if plan.hits:
        for object_id, hit in plan.hits:
            note(f"  {object_id} {hit}", "red")
        raise Forbidden(
            f"{len(plan.hits)} traces or faults: nothing is handed over.",
            mend="`--set ID:PROPERTY=TEXT` says it otherwise; an empty text leaves it "
            "out.",
        )
    confirm(yes, f"{plan.party}, to be published")
    number = work.hand(plan, actor=person(), sealed=sealed)
    if as_json:
        document(
            {
                "number": number,
                "party": plan.party,
                "objects": [
                    {
                        "id": one.id,
                        "published_as": plan.ids[one.id],
                        "data": one.data,
                        "left": [
                            {"place": left.place, "why": left.why} for left in one.left
                        ],
                    }
                    for one in plan.objects
                ],
                "revoked": list(plan.gone),
            }
        )
    else:
        say(f"Number {number}: {plan.party} has it when its node asks next.")


def _tell(plan: Plan, one: Any) -> None:
    import orjson

    note(f"{one.id} would be published as:")
    note(orjson.dumps(one.data, option=orjson.OPT_INDENT_2).decode())
    for left in one.left:
        note(f"  falls away: {left}")
    note(f"  created, modified: when {plan.party} publishes it, signed by it")


def _level(text: str) -> Any:
    from serantau.errors import BadRequest
    from serantau.rules.marking import Tlp

    if not text:
        return None
    try:
        return Tlp.parse(text)
    except ValueError as fault:
        raise BadRequest(f"--tlp: {fault}.") from fault


def _edits(texts: list[str] | None, ids: list[str]) -> dict[str, dict[str, Any]]:
    from serantau.desk.behalf import read_edits

    return read_edits(texts or [], ids)
