"""Where rows come from: what a format and the kernel must know of a batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """One batch, as every row read from it remembers it.

    feed: who reported it. batch: the SHA-256 of its bytes, in hex. received: the
    instant it arrived. name: the file's name as it came, which may tell the kind of
    report. report: the kind of report where the feed is configured to send one only;
    empty lets the file's name and the format tell. tlp: the feed's own level (0 CLEAR
    to 4 RED), for rows that name none. type, confidence, severity: what the feed's rows
    are where they do not say it themselves: an RSIT type, 0 to 100, 0 to 4.
    """

    feed: str
    batch: str
    received: int
    name: str = ""
    report: str = ""
    tlp: int | None = None
    type: str = ""
    confidence: int | None = None
    severity: int | None = None
