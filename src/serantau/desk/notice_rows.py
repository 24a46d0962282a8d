"""The rows that notices are made of: one owner's of one class and day at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from serantau.clock import instant, moment
from serantau.desk.notify import NEEDED, Notify, Outlook
from serantau.errors import BadRequest
from serantau.lane.archive import Archive
from serantau.lane.question import Asking, Question
from serantau.node import Node
from serantau.rules.notice import DAY
from serantau.rules.taxonomy import CLASSES


def days_before(now: int, count: int) -> list[str]:
    """Give the last days as `YYYY-MM-DD` in UTC, the oldest first, today included."""
    today = moment(now).date()
    return [
        (today - timedelta(days=back)).isoformat() for back in reversed(range(count))
    ]


def read_day(text: str) -> str:
    """Give a day as it is named.

    Raises:
        BadRequest: it is none.
    """
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError as fault:
        raise BadRequest(f"{text!r} is no day such as 2026-03-31.") from fault


def frames(
    node: Node,
    day: str,
    party: str = "",
    *,
    least: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[pl.DataFrame]:
    """Read rows of a day from the archive, an owner's of one class at a time.

    Args:
        node: whose archive it is.
        day: `YYYY-MM-DD`, UTC.
        party: only this owner's.
        least: only rows that are at least so severe, 0 to 4.
        stop: asked often; when it says so, there are no more frames.

    Yields:
        Frames with the columns of EVENTS that notices need; none is empty.
    """
    archive = Archive(node.config.archive, node.config.lane.storage)
    begin = instant(f"{day}T00:00:00Z")
    whole = Question(since=begin, until=begin + DAY, severity=least)
    with node.db.read() as tx:
        parties = [party] if party else sorted(node.registry.parties(tx))
    asked = replace(whole, where={"party": parties})
    owners = Asking(archive, asked).top("party", limit=len(parties))["party"]
    for owner in sorted(owners.drop_nulls()):
        if stop():
            return
        about = replace(whole, where={"party": [owner]})
        groups = Asking(archive, about).top("class", limit=len(CLASSES))["class"]
        for group in sorted(groups.drop_nulls()):
            narrow = replace(whole, where={"party": [owner], "class": [group]})
            found = []
            for chunk in Asking(archive, narrow).chunks(NEEDED):
                if stop():
                    return
                found.append(chunk)
            if found:
                yield pl.concat(found)


def tell(
    node: Node,
    notify: Notify,
    day: str,
    party: str = "",
    *,
    dry: bool = False,
    least: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outlook:
    """Make the notices of a day, or with `dry` only work them out.

    What is left undone by `stop` is made by the next call. Arguments as `frames`.

    Raises:
        NotFound: no party has this name.
        StoreError: the archive cannot be read.
    """
    if party:
        with node.db.read() as tx:
            node.registry.party(tx, party)
    whole = Outlook([])
    for frame in frames(node, day, party, least=least, stop=stop):
        one = notify.plan(frame, day) if dry else notify.make(frame, day)
        whole.plans += one.plans
        whole.nobodys += one.nobodys
    return whole
