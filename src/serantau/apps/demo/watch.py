"""What travels between the demo's nodes, read from their own stores as it happens."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from serantau.apps.demo.region import FOLLOWS, Region, Site
from serantau.records.database import Tx
from serantau.rules.release import Verdict

# Digest of the id, and instant of the version: (id, modified) as the store has it.
Key = tuple[int, int]
FROM_FILE = "file"


@dataclass(frozen=True, slots=True)
class Held:
    """One object version in one store: its id, stamp, marking set and source."""

    id: str
    added: int
    marking_set: int
    source: str


def held(tx: Tx, after: int = -1) -> Iterator[tuple[Key, Held]]:
    """Give every version in a store with a stamp greater than `after`."""
    rows = tx.stream(
        "SELECT o.key, o.modified, o.id, o.added, o.slot, w.text AS source "
        "FROM object o JOIN word w ON w.n = o.source WHERE o.added > :after",
        after=after,
    )
    for row in rows:
        found = Held(row.id, int(row.added), int(row.slot) // 2, row.source)
        yield (int(row.key), int(row.modified)), found


def verdicts(site: Site, tx: Tx, party: str) -> dict[int, Verdict]:
    """Give what a node has decided for a party, by marking set."""
    number, _ = site.opened.registry.party(tx, party)
    return site.opened.audiences.verdicts(tx, number)


@dataclass(slots=True)
class Stream:
    """What goes from one node to one that follows it.

    released, withheld: versions that the sender loaded, by verdict; the latter by rule.
    arrived: how many of the released ones the recipient has. seconds: from admission
    there to admission here, of each.
    """

    sender: str
    recipient: str
    released: int = 0
    withheld: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Say whether all that may go has arrived."""
        return self.arrived >= self.released

    @property
    def median(self) -> float | None:
        """Give the median of the seconds."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def slowest(self) -> float | None:
        """Give the longest of the seconds."""
        return max(self.seconds, default=None)


class Watch:
    """Looks into the stores again and again, each time only at what is new."""

    def __init__(self, region: Region, senders: tuple[str, ...]) -> None:
        """Watch what `senders` loaded reach those who follow them."""
        self._region = region
        self._senders = senders
        self._there: dict[str, dict[Key, int]] = {name: {} for name in region.sites}
        self._last = dict.fromkeys(region.sites, -1)

    def look(self) -> list[Stream]:
        """Look now; gives one stream for each sender and who follows it."""
        for site in self._region.sites.values():
            self._read_new(site)
        return [
            self._stream(sender, recipient)
            for sender in self._senders
            for recipient, followed in FOLLOWS.items()
            if sender in followed
        ]

    def totals(self) -> dict[str, int]:
        """Give how many object versions each node holds."""
        return {name: len(there) for name, there in self._there.items()}

    def _read_new(self, site: Site) -> None:
        with site.opened.db.read() as tx:
            for key, one in held(tx, self._last[site.name]):
                self._there[site.name][key] = one.added
                self._last[site.name] = max(self._last[site.name], one.added)

    def _stream(self, sender: str, recipient: str) -> Stream:
        stream = Stream(sender, recipient)
        site, there = self._region[sender], self._there[recipient]
        with site.opened.db.read() as tx:
            decided = verdicts(site, tx, recipient)
            for key, one in held(tx):
                if one.source != FROM_FILE:
                    continue
                verdict = decided[one.marking_set]
                if not verdict.released:
                    stream.withheld[verdict.rule] += 1
                    continue
                stream.released += 1
                if key in there:
                    stream.arrived += 1
                    stream.seconds.append(max(there[key] - one.added, 0) / 1e6)
        return stream
