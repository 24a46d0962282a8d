"""Opening the node that a command works with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from serantau.config import NodeConfig
    from serantau.node import Node


def config_of(
    ctx: typer.Context, flags: Mapping[str, Mapping[str, Any]] | None = None
) -> NodeConfig:
    """Read the configuration of the node that the command names."""
    from serantau.config import load_config

    # SERANTAU_HOME and SERANTAU_DEBUG name no section, so they are no settings.
    return load_config(ctx.obj.home, os.environ, flags)


@contextmanager
def opened(ctx: typer.Context) -> Iterator[Node]:
    """Open the node for the length of a command, which the account's person works."""
    from serantau.desk.audit import account
    from serantau.desk.broken_off import refuse_broken_off
    from serantau.node import Node
    from serantau.records.acts import acting

    refuse_broken_off(ctx.obj.home)
    with _quiet(), Node(config_of(ctx)) as node, acting(account()):
        yield node


def said_to(ctx: typer.Context) -> str:
    """Give what a command was told, by name, as the log of readings has it."""
    said = {name: value for name, value in ctx.params.items() if value}
    return " ".join(f"{name}={value}" for name, value in sorted(said.items()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what servers log away from results: a command tells what happened itself."""
    import structlog

    before = structlog.get_config()
    level = "error" if os.environ.get("SERANTAU_DEBUG") else "critical"
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def asked(answer: str | None, question: str, flag: str, default: str = "") -> str:
    """Give what a flag said, or ask a person for it; a machine is told the flag.

    Raises:
        BadRequest: nobody is there to be asked.
    """
    if answer:
        return answer
    if not sys.stdin.isatty():
        if default:
            return default
        from serantau.errors import BadRequest

        raise BadRequest(f"{flag} is missing.", mend=f"{flag}: {question}.")
    return str(typer.prompt(question, default=default or None))


def secret_from(file: str, question: str) -> str:
    """Read a secret from a file or standard input (`-`), or ask a person for it.

    It is no argument of a command, since those can be read by every user of a machine.

    Raises:
        BadRequest: there is no such file.
    """
    from serantau.errors import BadRequest

    if file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").split("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as fault:
            raise BadRequest(f"{file} cannot be read: {fault}.") from fault
    if not sys.stdin.isatty():
        return ""
    return str(typer.prompt(question, default="", show_default=False, hide_input=True))
