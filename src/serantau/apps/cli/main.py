"""The command `serantau`: which commands there are, and how it ends when one fails.

Each noun is a module that is imported when it is asked for, and imports what it needs
when it runs; so `serantau --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from serantau import __version__
from serantau.errors import SerantauError

# Name -> (module below this package, what it does). The order is that of --help.
COMMANDS = {
    "init": ("init", "Make a node in a folder, or restore one from an export."),
    "serve": ("serve", "Run the node: answer, follow the peers, take in and tell."),
    "load": ("load", "Take in STIX and MISP data from files, folders or a pipe."),
    "show": ("objects", "Tell all about one object, also who got it."),
    "search": ("objects", "Find objects by value, name, id or text in any script."),
    "share": ("share", "See what would leave, to whom, and why not the rest."),
    "behalf": ("behalf", "Publish through a coordinator, without telling whose it is."),
    "peer": ("peer", "The servers that this node pulls from."),
    "ledger": ("ledger", "Prove what left, and hold peers to what they signed."),
    "recall": ("recall", "Ask for objects back, and see who answered what."),
    "key": ("key", "This node's signing key, and whose keys it believes."),
    "party": ("party", "Those whom something may be released to."),
    "asset": ("asset", "What parties answer for: networks, domains, countries."),
    "contact": ("contact", "Where parties are reached; nothing is sent elsewhere."),
    "contacts": ("contacts", "Whom to reach, for what, and whether they answer."),
    "oncall": ("oncall", "Tell whom to call now: who has the watch, the time there."),
    "notice": ("notice", "Tell owners what was seen on their machines, once."),
    "lane": ("lane", "Take events in from files and feeds, see how far they came."),
    "events": ("events", "Ask the archive of events."),
    "case": ("case", "Work with other states on an incident: one shared log."),
    "assist": ("assist", "Ask other states for help in a case, and answer them."),
    "shift": ("shift", "Tell the next shift what changed, is due, and waits."),
    "circle": ("circle", "Groups of parties; who is in one is this node's secret."),
    "collection": ("collection", "The named parts of the store that callers see."),
    "quarantine": ("quarantine", "What was refused, with the reason."),
    "user": ("user", "Who may log in, with passwords and tokens."),
    "audit": ("audit", "Who got or read what, and who decided it."),
    "export": ("export", "Write all data of the node into a folder."),
    "doctor": ("doctor", "Check the node, and say how to mend what is wrong."),
}
# Commands that are one word, with nothing below them.
SINGLE = (
    *("init", "serve", "load", "show", "search"),
    *("oncall", "shift", "export", "doctor"),
)


class Entrance(TyperGroup):
    """The commands by name, imported late; and the one place that translates errors."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Give the names in the order of --help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Give one command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            noun = import_module(f"serantau.apps.cli.{COMMANDS[cmd_name][0]}")
            held: Any
            if cmd_name not in SINGLE:
                held = noun.app
            else:
                held = typer.Typer(add_completion=False, rich_markup_mode=None)
                held.command(cmd_name)(getattr(noun, cmd_name))
            command = typer.main.get_command(held)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name; suggest one when there is none."""
        if args and args[0] not in COMMANDS:
            # What is suggested is taken from here, and only names matter.
            self.commands = {**dict.fromkeys(COMMANDS), **self.commands}  # type: ignore[dict-item]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; whatever goes wrong is told once, in words."""
        try:
            return super().invoke(ctx)
        except SerantauError as fault:
            if os.environ.get("SERANTAU_DEBUG"):
                raise
            from serantau.apps.cli.output import complain

            complain(fault.message, fault.mend)
            raise typer.Exit(fault.exit_code) from fault
        except KeyboardInterrupt as fault:
            from serantau.apps.cli.output import complain

            complain("Stopped.", ctx.obj.safe)
            raise typer.Exit(130) from fault
        except OSError as fault:
            if fault.errno == errno.EPIPE or os.environ.get("SERANTAU_DEBUG"):
                raise
            from serantau.apps.cli.output import complain

            where = f"{fault.filename}: " if fault.filename else ""
            full = fault.errno in {errno.ENOSPC, errno.EDQUOT}
            mend = f"Make room, and run it again. {ctx.obj.safe}" if full else ""
            complain(f"{where}{fault.strerror or fault}.", mend)
            raise typer.Exit(1) from fault


class Desk:
    """What all commands are told. home: the node's folder. safe: said at Ctrl-C."""

    def __init__(self, home: Path) -> None:
        """Work with the node in `home`."""
        self.home = home
        self.safe = "What was done before is kept, and nothing is half done."


app = typer.Typer(
    cls=Entrance,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def default_home() -> Path:
    """Give the folder of the node when none is named: this one, or the user's."""
    from serantau.config import FILE_NAME

    if Path(FILE_NAME).exists():
        return Path()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "serantau"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"serantau {__version__}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            envvar="SERANTAU_HOME",
            help="The node's folder. Otherwise the present one when it has a "
            "serantau.toml, else ~/.local/share/serantau.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """Run and use the node of a CERT: share what may be shared, and nothing else.

    Exit codes are listed in docs/operations.md. SERANTAU_DEBUG=1 shows tracebacks.
    """
    ctx.obj = Desk((home or default_home()).expanduser())


def main() -> None:
    """Run the command line of this process."""
    try:
        typer.main.get_command(app)(prog_name="serantau")
    except Exception as fault:
        if os.environ.get("SERANTAU_DEBUG"):
            raise
        from serantau.apps.cli.output import complain

        complain(
            f"Something went wrong inside the node: {type(fault).__name__}: {fault}",
            "This is a fault of the program. SERANTAU_DEBUG=1 shows where; "
            "please report it with that.",
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
