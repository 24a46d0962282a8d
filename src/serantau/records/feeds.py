"""Scheduled feeds: how the last look at each went, and when the next is due."""

from __future__ import annotations

from dataclasses import dataclass

from serantau.records import acts, tables
from serantau.records.database import Tx


@dataclass(frozen=True, slots=True)
class Look:
    """How it stands with one feed.

    address: what was looked at; what a server says belongs to it. etag, modified: what
    the server named its content by, as it wrote them. digest: of the last content.
    checked: when it was last asked. fetched: when it last answered well. due: when to
    ask next. failures: in a row. fault: what went wrong last; empty: nothing.
    """

    name: str
    address: str = ""
    etag: str = ""
    modified: str = ""
    digest: str = ""
    checked: int = 0
    fetched: int = 0
    due: int = 0
    failures: int = 0
    fault: str = ""


_NAMES = tuple(column.name for column in tables.feed.columns)
_COLUMNS = ", ".join(_NAMES)
_FAULT = 1000
_PAUSED = "feed paused "


class Feeds:
    """The rows of feeds."""

    def get(self, tx: Tx, name: str, address: str) -> Look:
        """Give how it stands with a feed; nothing is known of another address."""
        row = tx.row(f"SELECT {_COLUMNS} FROM feed WHERE name = :name", name=name)
        if row is None or row.address != address:
            return Look(name, address)
        return Look(*row)

    def put(self, tx: Tx, look: Look) -> None:
        """Note how it stands with a feed."""
        marks = ", ".join(f":{name}" for name in _NAMES)
        changes = ", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])
        values = {name: getattr(look, name) for name in _NAMES}
        values["fault"] = look.fault.replace("\x00", "\\u0000")[:_FAULT]
        tx.run(
            f"INSERT INTO feed ({_COLUMNS}) VALUES ({marks}) "
            f"ON CONFLICT (name) DO UPDATE SET {changes}",
            **values,
        )

    def pause(self, tx: Tx, name: str, paused: bool, why: str = "") -> None:
        """Look at a feed by the clock no more, or again; `why`: the reason."""
        acts.decided(tx, "paused a feed" if paused else "resumed a feed", name, why=why)
        tx.run("DELETE FROM meta WHERE name = :name", name=_PAUSED + name)
        if paused:
            tx.run(
                "INSERT INTO meta (name, value) VALUES (:name, :at)",
                name=_PAUSED + name,
                at=str(tx.clock.now()),
            )

    def paused(self, tx: Tx, name: str) -> int:
        """Give since when a feed is paused, as an instant; 0: it is not."""
        found = tx.value("SELECT value FROM meta WHERE name = :n", n=_PAUSED + name)
        return int(found or 0)

    def all(self, tx: Tx) -> list[Look]:
        """Give all that were ever looked at, by name."""
        return [
            Look(*row) for row in tx.rows(f"SELECT {_COLUMNS} FROM feed ORDER BY name")
        ]
