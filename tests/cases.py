"""Entries of cases for tests: parties that write, each on top of what it has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from keys import identity
from serantau.clock import instant
from serantau.rules.case import Case
from serantau.rules.case_entry import Entry, Kind, make_entry, read_entry
from serantau.rules.level import Tlp

START = instant("2026-03-01T00:00:00.000Z")
_SECOND = 1_000_000
NONCE = "0123456789abcdef0123456789abcdef"


def opening(author: str, name: str = "Phishing kit", **said: Any) -> dict[str, Any]:
    """Make the entry that opens a case."""
    return make_entry(
        Kind.OPENED,
        {"name": name, "nonce": NONCE, **said},
        author=identity(author),
        at=START,
        level=Tlp.AMBER,
    )


@dataclass
class Log:
    """The entries of one case as they are written, and who has seen which.

    Without `cut`, everybody sees everything at once.
    """

    objects: list[dict[str, Any]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    at: int = START

    @classmethod
    def opened(cls, author: str, *invited: str, **said: Any) -> Log:
        """Open a case, and invite parties to it."""
        log = cls()
        log.keep(opening(author, **said))
        for party in invited:
            log.say(author, Kind.INVITED, party_ref=identity(party))
        return log

    @property
    def id(self) -> str:
        return self.entries[0].id

    @property
    def case(self) -> Case:
        return Case(self.id, self.entries)

    def keep(self, made: dict[str, Any]) -> str:
        self.objects.append(made)
        self.entries.append(read_entry(orjson.dumps(made)))
        return str(made["id"])

    def say(
        self,
        author: str,
        kind: Kind,
        *,
        seen: Case | None = None,
        later: int = 1,
        previous: str | None = None,
        after: tuple[str, ...] | None = None,
        **said: Any,
    ) -> str:
        """Write an entry on top of `seen`, or of all there is."""
        case = seen or self.case
        self.at += later * _SECOND
        tail = case.tail(identity(author)) if previous is None else previous
        return self.keep(
            make_entry(
                kind, said, author=identity(author), at=self.at, level=Tlp.AMBER,
                case=self.id, previous=tail,
                after=case.heads(tail) if after is None else after,
            )
        )  # fmt: skip
