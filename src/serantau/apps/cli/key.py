"""`serantau key`: this node's signing key, and whose keys it believes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from serantau.apps.cli.door import opened, secret_from
from serantau.apps.cli.handout import person
from serantau.apps.cli.output import (
    Column,
    Json,
    answer,
    clean,
    document,
    note,
    say,
    several,
    stamp,
    when,
)

if TYPE_CHECKING:
    from serantau.desk.intake import Report
    from serantau.node import Node
    from serantau.rules.key import Key
    from serantau.wire.signer import Signer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Party = Annotated[str, typer.Argument(metavar="PARTY", help="The party's name.")]
Follower = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="PEM",
        help="A copy of the key that follows, when a secret store makes and keeps it.",
    ),
]

# The id of a key may begin with a hyphen.
_MAY_BE_IDS: Final = {"ignore_unknown_options": True}


@app.callback()
def key() -> None:
    """See and change the key that signs, and say whose keys are believed."""


@app.command()
def show(
    ctx: typer.Context,
    code: Annotated[
        bool, typer.Option("--qr/--no-qr", help="Also draw the key as a QR code.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Show this node's key: the words that others compare before they pin it."""
    from serantau.desk.signing import card_of

    with opened(ctx) as node:
        party, held = node.config.node.member, node.signer.key
        card = card_of(party, held, node.config.node.realm)
    if as_json:
        told = {"party": party, "id": held.id, "words": held.words, "card": card}
        document({**told, "jwk": held.jwk})
        return
    say(f"The key of {party} is {held.id}")
    say()
    _words(held)
    say()
    if code:
        _draw(card)
    say("Read the words to who asks, by telephone or face to face; the QR code is for")
    say(f"`serantau key pin {party}` at the other's. Mail alone proves nothing.")


def _words(held: Key) -> None:
    words = held.words.split()
    for row in range(0, len(words), 4):
        say("  " + "".join(f"{word:<12}" for word in words[row : row + 4]).rstrip())


def _draw(text: str) -> None:
    from io import StringIO

    import segno

    drawn = StringIO()
    segno.make(text, error="m").terminal(drawn, compact=True, border=2)
    typer.echo(drawn.getvalue())


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List whose keys are pinned, and what became of each."""
    from serantau.desk.keys import Keys

    with opened(ctx) as node, node.db.read() as tx:
        keys = Keys(node)
        ring, pins, without = keys.ring(tx), keys.pins(tx), keys.parties_without(tx)
    rows: list[dict[str, Any]] = []
    for pin in pins:
        ringed = ring.keys.get(pin.identity, ()) if pin.identity else ()
        followed = [one for one in ringed if pin.key and one.id == pin.key.id]
        # What follows from a pin stands below it, once.
        if not any(row["identity"] == pin.identity != "" for row in rows):
            pinned = {one.key.id for one in pins if one.key}
            followed += [one for one in ringed if one.id not in pinned]
        rows += [
            {
                "party": pin.party,
                "key": one.id,
                "state": str(one.state),
                "until": stamp(one.until) if as_json else when(one.until),
                "pinned": stamp(pin.at) if as_json else when(pin.at),
                "by": pin.by if pin.key and one.id == pin.key.id else "a statement",
                "identity": pin.identity,
            }
            for one in followed
        ] or [
            {
                "party": pin.party,
                "key": pin.key.id if pin.key else pin.fingerprint,
                "state": "waiting",
                "until": None if as_json else "",
                "pinned": stamp(pin.at) if as_json else when(pin.at),
                "by": pin.by,
                "identity": pin.identity,
            }
        ]
    columns = (
        Column("party", "Party"),
        Column("key", "Key"),
        Column("state", "State"),
        Column("until", "Until"),
        Column("pinned", "Pinned"),
        Column("by", "By"),
    )
    answer(columns, rows, as_json, empty="No keys are pinned yet.")
    if not as_json and without:
        note(f"No key is pinned of: {', '.join(without)}.")
    if not as_json and any(row["state"] == "waiting" for row in rows):
        note("A waiting pin holds from the moment at which its party shows the key.")


@app.command(context_settings=_MAY_BE_IDS)
def pin(
    ctx: typer.Context,
    party: Annotated[
        str, typer.Argument(metavar="PARTY", help="The party's name.")
    ] = "",
    key: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY...",
            help="The twelve words, the id, or the text of the QR code.",
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option("--from-profile", help="Pin what the federation's profile says."),
    ] = False,
) -> None:
    """Pin a party's key after you compared it with a person there.

    What waited in quarantine for it is tried again.
    """
    from serantau.desk.intake import Intake
    from serantau.desk.keys import WAITING
    from serantau.desk.signing import pin as pin_key
    from serantau.desk.signing import pin_profile
    from serantau.errors import BadRequest

    if profile:
        with opened(ctx) as node:
            with node.db.write() as tx:
                rows = pin_profile(node, tx)
            again = Intake(node).again(WAITING)
        for row in rows:
            say(f"Pinned a key of {row.party}: {row.fingerprint}")
        say(f"{several(len(rows), 'key')} of the profile pinned.")
        _tell_again(again)
        return
    if not (party and key):
        raise BadRequest(
            "Say whose key, and which.",
            mend="`serantau key pin PARTY twelve words ...`; "
            "`serantau key show` there tells them.",
        )
    with opened(ctx) as node:
        done = pin_key(node, party, " ".join(key), person())
    if done.row.key is None:
        say(f"Pinned for {party}. It holds from the moment at which {party} shows a")
        say("key with these words; nothing of that kind has come yet.")
    elif not done.row.identity:
        say(f"Pinned for {party}: {done.row.key.id}. Whose identity it is, its first")
        say("signed identity object tells.")
    else:
        say(f"Pinned for {party}: {done.row.key.id}")
    _tell_again(done.again)


def _tell_again(again: Report) -> None:
    if again.total:
        said = several(again.new + again.held, "object")
        say(f"{said} that waited for it came in; {again.refused} stay in quarantine.")


@app.command(context_settings=_MAY_BE_IDS)
def unpin(
    ctx: typer.Context,
    party: Party,
    key: Annotated[
        str, typer.Argument(metavar="ID", help="Only this key; all without it.")
    ] = "",
) -> None:
    """Believe a party's key no longer; what it signed stays, as by an unknown key."""
    from serantau.errors import BadRequest
    from serantau.records.pins import Pins

    with opened(ctx) as node, node.db.write() as tx:
        if party == node.config.node.member:
            raise BadRequest(
                "This node's own key is not unpinned.",
                mend="`serantau key rotate` and `key revoke` end it.",
            )
        count = Pins().drop(tx, party, key)
    say(f"{several(count, 'pin')} of {party} removed.")


@app.command()
def rotate(ctx: typer.Context, follower: Follower = None) -> None:
    """Sign with a new key from now on, stated with the old one.

    Others follow by themselves. A running node takes the new key up at once.
    """
    from serantau.desk.signing import rotate as rotate_key

    with opened(ctx) as node:
        new = rotate_key(node, _signer(node, follower))
        _handed_in(node)
    say(f"This node signs with {new.id} from now on:")
    _words(new)
    say("Who pinned the old key follows by itself; the old one is gone.")


def _signer(node: Node, path: Path | None) -> Signer | None:
    from serantau.errors import BadRequest
    from serantau.wire.signer import Signer

    if path is None:
        return None
    try:
        pem, realm = path.read_bytes(), node.config.node.realm
        return Signer.read(pem, node.passphrase, str(path), realm)
    except OSError as fault:
        raise BadRequest(f"{path} cannot be read: {fault.strerror}.") from fault


def _handed_in(node: Node) -> None:
    signing = node.config.signing
    if signing.key or signing.key_file:
        note("Let the secret store hand in the new key before the node runs again.")


@app.command()
def revoke(
    ctx: typer.Context,
    lost: Annotated[bool, typer.Option("--lost", help="Nobody has the key.")] = False,
    stolen: Annotated[
        bool, typer.Option("--compromised", help="Somebody else may have it.")
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Since when, such as 2026-03-01T08:00:00Z; else now."
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to write the request.")
    ] = Path("key-request.json"),
    follower: Follower = None,
) -> None:
    """Give the key up as lost or stolen, and ask others to believe a new one.

    Send the request to the coordinator and to another member, and tell each the words
    of the new key by telephone. When both have countersigned, all nodes follow.
    """
    import orjson

    from serantau.clock import instant
    from serantau.desk.signing import request
    from serantau.errors import BadRequest, Conflict
    from serantau.rules.key import Key
    from serantau.rules.statement import Told

    if lost == stolen:
        raise BadRequest("Say which: --lost or --compromised.")
    if out.exists():
        raise Conflict(f"{out} is there already.", mend="Name another with --out.")
    try:
        at = instant(since) if since else None
    except ValueError as fault:
        raise BadRequest(f"--since: {fault}.") from fault
    with opened(ctx) as node:
        told = Told.LOSS if lost else Told.COMPROMISE
        if at is not None and at > node.clock.now():
            raise BadRequest("--since is in the future.")
        asked = request(node, told, at, _signer(node, follower))
        _handed_in(node)
    out.write_bytes(orjson.dumps(asked, option=orjson.OPT_INDENT_2) + b"\n")
    say(f"This node signs with a new key; {out} asks others to believe it.")
    say("Send it to the coordinator and to another member, and read each of them:")
    say()
    _words(Key.from_jwk(asked["new_key"]))
    say()
    say(f"There: serantau key countersign {out.name} WORDS...")
    say("Until both did, what this node makes waits in others' quarantine.")


@app.command(context_settings=_MAY_BE_IDS)
def countersign(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `key revoke` wrote there.")
    ],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORDS...",
            help="The new key's words, as a person you know read them to you.",
        ),
    ],
) -> None:
    """State for another member that its key is lost or stolen."""
    import orjson

    from serantau.desk.signing import countersign as sign
    from serantau.errors import BadInput

    try:
        asked = orjson.loads(file.read_bytes())
    except OSError as fault:
        raise BadInput(f"{file} cannot be read: {fault.strerror}.") from fault
    except orjson.JSONDecodeError as fault:
        raise BadInput(f"{file} is not JSON: {fault}.") from fault
    if not isinstance(asked, dict):
        raise BadInput(f"{file} is no request about a key.")
    with opened(ctx) as node:
        claims, _ = sign(node, asked, " ".join(words))
    party = clean(str(asked.get("party", claims.subject)))
    say(f"Countersigned: {claims.told} of {claims.key_id} of {party}.")
    say("It holds where a coordinator and another member have both said the same.")


@app.command()
def protect(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="File with the new passphrase; - is standard input. Empty: none. "
            "Without it you are asked.",
        ),
    ] = "",
) -> None:
    """Put the key's file under a passphrase, or under another."""
    from serantau.desk.signing import protect as protect_key
    from serantau.errors import BadRequest

    passphrase = secret_from(file, "New passphrase (empty: none)")
    with opened(ctx) as node:
        signing = node.config.signing
        if signing.key or signing.key_file:
            raise BadRequest("This node's key comes from a secret store, not a file.")
        protect_key(node, passphrase)
    if not passphrase:
        say("The key's file is under no passphrase now.")
        return
    say("The key's file is under the passphrase now. Hand it in from now on: as")
    say("signing.passphrase_file, or as the variable SERANTAU_SIGNING_PASSPHRASE.")
