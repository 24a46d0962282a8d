"""The proof about rows and mail: who has them is whose they are, and nobody else.

Every row that came from a peer is held against the archive of that peer: it must have
had the row for this very member, at a level that may go. Every mail that was caught is
held against the registry, the deliveries and the archive. What left by the release log
and what is there must be the same numbers.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from serantau.apps.demo.catcher import Caught
from serantau.apps.demo.lane import Crossing, Sent, crossings, scan
from serantau.apps.demo.region import FOLLOWS, Region, Site
from serantau.desk.abroad import WAY
from serantau.desk.lane_ask import archive_of
from serantau.desk.share import Share
from serantau.records.contacts import Contacts
from serantau.rules.level import Tlp
from serantau.rules.notice import Sending

_FEED: Final = "node."
_PARCEL: Final = re.compile(r" parcel (\d+) of batch ")
_KEY: Final = re.compile(r", key ([^,]+),")
# What makes a finding, but not who reported it: at the other end that is the peer.
_SAME: Final = (
    *("source_address", "source_port", "source_domain", "source_url"),
    *("destination_address", "destination_port", "destination_domain"),
    *("destination_url", "protocol", "type", "identifier", "malware", "hash"),
    *("report", "day"),
)


@dataclass(slots=True)
class Came:
    """What was found at one node about rows that came from another one.

    logged: rows in the giver's release log. there: rows in the receiver's archive.
    repeated: read there, and one with rows that were there. kept_back: rows about this
    member that may not go, none of which is there.
    """

    giver: str
    receiver: str
    logged: int = 0
    there: int = 0
    repeated: int = 0
    kept_back: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Mailed:
    """What was found about mail. rows: attached, each about its owner's machines."""

    mails: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RowsProof:
    """All that was checked. without: nodes that have no row from a peer."""

    came: list[Came]
    mailed: Mailed
    without: list[str]

    @property
    def faults(self) -> list[str]:
        """List what must not be."""
        return [one for each in self.came for one in each.faults] + self.mailed.faults

    @property
    def holds(self) -> bool:
        """Say whether nothing is anywhere that must not be, and nothing is missing."""
        return not self.faults


def prove_rows(
    region: Region, sender: str, sent: Sequence[Sent], mails: Sequence[Caught]
) -> RowsProof:
    """Check all rows that crossed a border, and all mail of `sender`."""
    came = []
    for giver in region.sites:
        packed = {one.member: one for one in crossings(region, giver)}
        for receiver, site in region.sites.items():
            follows = giver in FOLLOWS[receiver]
            if giver in _givers(site) or (follows and receiver in packed):
                crossing = packed.get(receiver, Crossing(receiver))
                came.append(_check(region, giver, receiver, crossing))
    got = {one.receiver for one in came if one.there}
    return RowsProof(
        came,
        _check_mail(region[sender], sent, mails),
        [name for name in region.sites if name not in got],
    )


def _givers(site: Site) -> set[str]:
    """Name the nodes that a node has batches of."""
    with site.opened.db.read() as tx:
        rows = tx.rows(
            "SELECT DISTINCT feed FROM batch WHERE feed LIKE :feed", feed=f"{_FEED}%"
        )
    return {row.feed.removeprefix(_FEED) for row in rows}


def _check(region: Region, giver: str, receiver: str, crossing: Crossing) -> Came:
    came = Came(giver, receiver)
    ours = _rows(region[giver], pl.col("member") == receiver)
    theirs = _rows(region[receiver], pl.col("feed") == f"{_FEED}{giver}")
    node = region[giver].opened
    with node.db.read() as tx:
        verdicts = Share(node).judge_rows(tx, receiver, receiver, Tlp)
    levels = [int(level) for level, verdict in verdicts.items() if verdict.released]
    may = pl.col("tlp").is_in(levels).fill_null(value=False)
    free, back = ours.filter(may), ours.filter(~may)
    came.there, came.kept_back = theirs.height, back.height

    def fault(many: int, said: str) -> None:
        if many:
            came.faults.append(f"{many:,} rows from {giver} at {receiver}: {said}")

    whole = [*_SAME, "tlp"]
    fault(_without(theirs, ours, whole), f"{giver} has none like them of {receiver}")
    fault(theirs.filter(~may).height, "their level may not go there")
    fault(_without(free, theirs, whole), "released, and not there")
    alone = back.join(free, on=_SAME, how="anti", nulls_equal=True)
    there = alone.height - _without(alone, theirs, list(_SAME))
    fault(there, "withheld, and there")
    _check_log(region[giver], came, crossing)
    return came


def _rows(site: Site, which: pl.Expr) -> pl.DataFrame:
    day = pl.col("time").dt.date().alias("day")
    rows = scan(archive_of(site.opened).events).filter(which)
    return rows.select(day, "tlp", *(name for name in _SAME if name != "day")).collect()


def _without(rows: pl.DataFrame, others: pl.DataFrame, same: Sequence[str]) -> int:
    """Count the rows that have no like among others."""
    return rows.join(others, on=list(same), how="anti", nulls_equal=True).height


def _check_log(site: Site, came: Came, crossing: Crossing) -> None:
    """Hold the release log against what the receiver counted, parcel by parcel."""
    logged = {
        int(found[1]): count
        for request, count in _released(site, came.receiver, WAY)
        if (found := _PARCEL.search(request)) is not None
    }
    came.logged = sum(logged.values())
    came.repeated = sum(crossing.landed.values()) - came.there
    for number in sorted(logged.keys() | crossing.landed.keys()):
        left, read = logged.get(number, 0), crossing.landed.get(number, 0)
        if left != read:
            came.faults.append(
                f"Parcel {number}: {left:,} rows in the release log of {came.giver}, "
                f"{read:,} read at {came.receiver}"
            )
    if came.logged != crossing.released:
        came.faults.append(
            f"{crossing.released:,} rows may go from {came.giver} to {came.receiver}, "
            f"{came.logged:,} are in its release log"
        )
    if came.repeated < 0:
        came.faults.append(f"{-came.repeated:,} rows at {came.receiver} in no parcel")


def _released(site: Site, party: str, way: str) -> list[tuple[str, int]]:
    """Give what went to a party by a way: the request, and how many rows."""
    node = site.opened
    with node.db.read() as tx:
        number, _ = node.registry.party(tx, party)
        rows = tx.rows(
            "SELECT request, count FROM ledger.release "
            "WHERE party = :party AND way = :way",
            party=number,
            way=way,
        )
    return [(row.request, int(row.count)) for row in rows]


# --- Mail ----------------------------------------------------------------------------


def _check_mail(site: Site, sent: Sequence[Sent], mails: Sequence[Caught]) -> Mailed:
    mailed = Mailed(len(mails))
    with site.opened.db.read() as tx:
        registered = {
            (one.party, one.address) for one in Contacts().all(tx) if one.address
        }
    by_key = {each.key: one for one in sent for each in one.deliveries}
    logged = {
        found[1]: count
        for party in {one.notice.party for one in sent}
        for request, count in _released(site, party, "notice by mail")
        if (found := _KEY.search(request)) is not None
    }
    owned = _owned(site)
    caught: set[str] = set()
    for mail in mails:
        one = by_key.get(mail.key)
        said = f"A mail to {', '.join(mail.recipients)}"
        if one is None:
            mailed.faults.append(f"{said} is none of the notices")
            continue
        if mail.key in caught:
            mailed.faults.append(f"{said} came twice")
        caught.add(mail.key)
        party = one.notice.party
        if any((party, each) not in registered for each in mail.recipients):
            mailed.faults.append(f"{said}, which is no address of {party}")
        if logged.get(mail.key) != one.notice.facts["rows"]:
            mailed.faults.append(f"{said}: the release log tells of other rows")
        attached = _attached(mail)
        if attached != one.csv:
            mailed.faults.append(f"{said} has another file than its notice")
            continue
        rows = pl.read_csv(io.BytesIO(attached), infer_schema=False)
        mailed.rows += rows.height
        theirs = owned.filter(pl.col("party") == party)["fingerprint"]
        if not rows["fingerprint"].is_in(theirs.implode()).all():
            mailed.faults.append(f"{said} has rows that are not about {party}")
        if rows["tlp"].eq(Tlp.RED.label).any():
            mailed.faults.append(f"{said} has rows at {Tlp.RED.label}")
    for one in sent:
        for each in one.deliveries:
            if each.state is not Sending.SENT or each.key not in caught:
                was = "" if each.key in caught else ", and was not caught"
                mailed.faults.append(
                    f"Notice {one.notice.number} to {each.address} is {each.state}{was}"
                )
    return mailed


def _owned(site: Site) -> pl.DataFrame:
    rows = scan(archive_of(site.opened).events)
    return rows.drop_nulls("party").select("party", "fingerprint").unique().collect()


def _attached(mail: Caught) -> bytes:
    """Give the file of a mail, unpacked; empty when there is none."""
    for part in mail.message.iter_attachments():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            packed = part.get_content_type() == "application/gzip"
            return gzip.decompress(content) if packed else content
    return b""
