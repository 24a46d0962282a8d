"""The event: one observation of somebody's machine, as a row of these columns.

The table below is the one place where a column is named. Frames, the archive and the
documentation are made from it. What a report says that has no column here is kept in
`extra`, so nothing that was read is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_TOP: Final = 1 << 63
_LOW: Final = (1 << 64) - 1
_MAPPED: Final = 0xFFFF << 32


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    SMALL = "16-bit integer"
    INTEGER = "32-bit integer"
    LONG = "64-bit integer"
    INSTANT = "instant"
    JSON = "JSON text"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. unit: of its values. null: what it means that there is none."""

    name: str
    kind: Kind
    unit: str
    null: str
    meaning: str


NEVER: Final = "never null"
_UNSAID: Final = "the report does not say"


def _side(side: str, whose: str) -> tuple[Column, ...]:
    """Write the columns of one end: `source`, the machine it is about, or the other."""
    half = "64 bits of the address, IPv4 as ::ffff:0:0/96, top bit flipped to sort"
    text, number = Kind.TEXT, Kind.LONG
    found = "it was not looked up, or nothing is known"
    return (
        Column(f"{side}_address", text, "IPv4 or IPv6", _UNSAID, f"{whose} address"),
        Column(f"{side}_hi", number, f"upper {half}", "no address", "for ordering"),
        Column(f"{side}_lo", number, f"lower {half}", "no address", "for ordering"),
        Column(f"{side}_port", Kind.INTEGER, "0 to 65535", _UNSAID, f"{whose} port"),
        Column(f"{side}_asn", number, "AS number", found, "who routes the address"),
        Column(f"{side}_network", text, "first-last", found, "the range looked up"),
        Column(f"{side}_country", text, "ISO 3166-1 alpha-2", found, "where it is"),
        Column(f"{side}_domain", text, "A-labels", _UNSAID, f"{whose} domain name"),
        Column(f"{side}_url", text, "URL", _UNSAID, f"a URL at {whose} end"),
        Column(f"{side}_name", text, "A-labels", _UNSAID, f"{whose} reverse name"),
    )


COLUMNS: Final[tuple[Column, ...]] = (
    Column("time", Kind.INSTANT, "UTC", NEVER, "when it was seen; else `received`"),
    Column("received", Kind.INSTANT, "UTC", NEVER, "when the batch arrived here"),
    Column("batch", Kind.TEXT, "SHA-256 in hex", NEVER, "the bytes it was read from"),
    Column("number", Kind.LONG, "from 1", NEVER, "the row's place in its batch"),
    Column("feed", Kind.TEXT, "name", NEVER, "who reported it"),
    Column("report", Kind.TEXT, "name", "the feed has one kind", "the kind of report"),
    *_side("source", "the reported machine's"),
    *_side("destination", "the other machine's"),
    Column("protocol", Kind.TEXT, "tcp, udp, ...", _UNSAID, "transport protocol"),
    Column("class", Kind.TEXT, "RSIT class", NEVER, "what happened, roughly"),
    Column("type", Kind.TEXT, "RSIT type", NEVER, "what happened; `undetermined` too"),
    Column("category", Kind.TEXT, "name", "no mapping", "the nation's own category"),
    Column("identifier", Kind.TEXT, "name", _UNSAID, "the feed's name for the finding"),
    Column("malware", Kind.TEXT, "lower case", _UNSAID, "family of malware"),
    Column("hash", Kind.TEXT, "hex, lower case", _UNSAID, "MD5, SHA-1 or SHA-256"),
    Column("severity", Kind.SMALL, "0 info to 4 critical", _UNSAID, "how bad it is"),
    Column("confidence", Kind.SMALL, "0 to 100", _UNSAID, "how sure the feed is"),
    Column("tlp", Kind.SMALL, "0 CLEAR to 4 RED", "the feed's own level", "TLP 2.0"),
    Column("first_seen", Kind.INSTANT, "UTC", _UNSAID, "when it was first seen"),
    Column("last_seen", Kind.INSTANT, "UTC", _UNSAID, "when it was last seen"),
    Column("count", Kind.LONG, "observations", "one", "how often it was seen"),
    Column("fingerprint", Kind.TEXT, "32 hex", NEVER, "equal for the same finding"),
    Column("member", Kind.TEXT, "profile code", "nobody's", "the state that answers"),
    Column("party", Kind.TEXT, "party name", "no asset fits", "who must act"),
    Column("asset", Kind.TEXT, "kind:value", "no asset fits", "the asset that fits"),
    Column("reason", Kind.TEXT, "rule", "nobody's", "the rule that named the owner"),
    Column("lookup", Kind.TEXT, "name@day, ...", "none", "the data looked up in"),
    Column("marks", Kind.TEXT, "names, by commas", "none", "special ranges and lists"),
    Column("indicators", Kind.TEXT, "STIX ids, by commas", "none", "what it matched"),
    Column("extra", Kind.JSON, "object", "nothing left", "columns without room here"),
)

NAMES: Final = tuple(column.name for column in COLUMNS)
ABROAD: Final = tuple(
    name
    for name in NAMES
    if name
    not in {
        # What this node made of a row, and by whom it has it, is its own business: its
        # register of assets and what it looks for can be read from these.
        "batch",
        "number",
        "received",
        "feed",
        "category",
        "fingerprint",
        "member",
        "party",
        "asset",
        "reason",
        "lookup",
        "marks",
        "indicators",
        # Worked out anew by whoever reads it.
        "class",
        "source_hi",
        "source_lo",
        "source_network",
        "destination_hi",
        "destination_lo",
        "destination_network",
    }
)
"""The columns that go to the node of the member who must act; nothing else does."""

SEVERITIES: Final = ("info", "low", "medium", "high", "critical")


def halves(address: int, version: int) -> tuple[int, int]:
    """Give an address as two signed numbers that sort as the address does.

    IPv4 stands where IPv6 keeps it (RFC 4291 §2.5.5.2), so that one range covers both.
    The archive knows no unsigned numbers: the top bit of each half is flipped.

    Args:
        address: the address as a number.
        version: 4 or 6.
    """
    whole = address | _MAPPED if version == 4 else address
    return (whole >> 64) - _TOP, (whole & _LOW) - _TOP


def table_markdown() -> str:
    """Write the columns as the documentation shows them."""
    lines = [
        "| Column | Holds | Unit | Null means | Meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{one.name}` | {one.kind.value} | {one.unit} | {one.null} | {one.meaning} |"
        for one in COLUMNS
    ]
    return "\n".join(lines) + "\n"
