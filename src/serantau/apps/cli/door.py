"""Opening the node that a command works with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    """Open the node for the length of a command."""
    from serantau.node import Node

    with Node(config_of(ctx)) as node:
        yield node


def asked(answer: str | None, question: str, flag: str, default: str = "") -> str:
    """Give what a flag said, or ask a person for it; a machine is told the flag.

    Raises:
        BadRequest: nobody is there to be asked.
    """
    import sys

    if answer:
        return answer
    if not sys.stdin.isatty():
        if default:
            return default
        from serantau.errors import BadRequest

        raise BadRequest(f"{flag} is missing.", mend=f"{flag}: {question}.")
    return str(typer.prompt(question, default=default or None))
