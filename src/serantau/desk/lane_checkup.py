"""The doctor's look at events, notices, and rows of other members.

A node that has no feed and never had a batch is not told of what it does not use.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from serantau.clock import moment
from serantau.desk.abroad import Abroad
from serantau.desk.checkup import Finding, Level
from serantau.desk.courier import Courier
from serantau.desk.lane import Lane
from serantau.desk.telling import standing
from serantau.errors import ConfigError, SerantauError
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.rules.contact import Kind, State

_LITTLE_BYTES: Final = 5_000_000_000
_OLD_DAYS: Final = 45
_SHOWN: Final = 10
_DAY: Final = 86_400_000_000


def lane_checkup(node: Node, *, ask: bool = True) -> Iterator[Finding]:
    """Look at the lane of a node, and at what it tells others.

    Args:
        node: the node.
        ask: also ask the mail server.
    """
    yield from _formats(node)
    lane = Lane(node)
    with node.db.read() as tx:
        batches = sum(lane.batches.counts(tx).values())
    if batches or node.config.feeds:
        yield from _disks(node)
        yield from _archive(node)
        yield from _ranges(node)
        yield from _feeds(lane)
    yield from _notices(node)
    if ask and node.config.mail.host:
        yield from _mail(node)
    yield from _abroad(node)


def _formats(node: Node) -> Iterator[Finding]:
    own = node.home / "formats"
    if not own.is_dir():
        return
    from serantau.desk.lane_ask import known_formats

    try:
        many = sum(path.suffix == ".toml" for path in own.iterdir())
        known_formats(node)
    except ConfigError as fault:
        mend = fault.mend or f"Mend or remove it in {own}: no batch is read until then."
        yield Finding("formats", Level.FAIL, fault.message, mend)
    else:
        yield Finding("formats", Level.OK, f"{many} of the node's own can be used")


def _disks(node: Node) -> Iterator[Finding]:
    """Look at the disks of the lane's folders, where they are not the node's own."""
    seen = {node.home.stat().st_dev}
    places = [node.config.lane_folder]
    if "://" not in node.config.archive:
        places.append(Path(node.config.archive))
    for place in places:
        if not place.exists():
            continue
        device = place.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(place)
        free = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"
        little = usage.free < _LITTLE_BYTES
        yield Finding(
            "lane disk",
            Level.WARN if little else Level.OK,
            f"{place}: {free}",
            "Make room, or keep less: lane.keep_days, lane.originals_days."
            if little
            else "",
        )


def _archive(node: Node) -> Iterator[Finding]:
    from serantau.desk.lane_ask import archive_of

    place = node.config.archive
    local = None if "://" in place else Path(place)
    mend = "Correct lane.archive, or mend the folder; batches wait meanwhile."
    if local is not None:
        if not (local / "events" / "_delta_log").is_dir():
            yield Finding("archive", Level.OK, "there are no events yet")
            return
        try:
            mark = local / f".doctor-{os.getpid()}"
            mark.touch()
            mark.unlink()
        except OSError as fault:
            said = f"{local} cannot be written: {fault.strerror}"
            yield Finding("archive", Level.FAIL, said, mend)
    try:
        size = archive_of(node).size()
    except (SerantauError, OSError) as fault:
        yield Finding("archive", Level.FAIL, str(fault), mend)
        return
    said = f"{size.rows:,} events in {size.files:,} files, {size.bytes / 1e9:,.2f} GB"
    yield Finding("archive", Level.OK, said)


def _ranges(node: Node) -> Iterator[Finding]:
    from serantau.desk.lane_reference import RANGES
    from serantau.lane.ranges import Kind as Ranges
    from serantau.lane.ranges import Shelf

    shelf = Shelf(node.home / RANGES)
    today = moment(node.clock.now()).date()
    mend = "`serantau lane update` loads those that lane.country and lane.asn name."
    for kind in Ranges:
        versions = shelf.versions(kind)
        if not versions:
            said = f"there are no {kind} ranges: owners are found by assets only"
            yield Finding("ranges", Level.WARN, said, mend)
            continue
        newest = versions[-1]
        days = (today - date.fromisoformat(newest.day)).days
        said = f"{kind}: {newest.label}, {days} days old"
        old = days > _OLD_DAYS
        level = Level.WARN if old else Level.OK
        yield Finding("ranges", level, said, mend if old else "")


def _feeds(lane: Lane) -> Iterator[Finding]:
    now = lane.standing()
    for said in now.alarms[:_SHOWN]:
        mend = "`serantau lane status` and `lane list --state held` show more."
        yield Finding("feeds", Level.WARN, said, mend)
    if len(now.alarms) > _SHOWN:
        said = f"and {len(now.alarms) - _SHOWN:,} more alarms"
        yield Finding("feeds", Level.WARN, said, "`serantau lane status`")
    if not now.alarms:
        yield Finding("feeds", Level.OK, f"{len(now.feeds)} feeds, none late or held")


def _notices(node: Node) -> Iterator[Finding]:
    now = standing(node)
    with node.db.read() as tx:
        contacts = Contacts().all(tx)
        assets = Assets().all(tx)
    own = node.config.node.member
    reached = {one.party for one in contacts if one.state is State.ACTIVE}
    owners = sorted(
        {one.party for one in assets if one.member == own} - reached - {own}
    )
    count = now.counts.get
    found = []
    if now.blocked:
        why = "; ".join(dict.fromkeys(now.lacks.values()))
        found.append(
            (f"{now.blocked:,} deliveries cannot go: {why}", "Set [mail]; they wait.")
        )
    elif contacts and now.lacks.get(Kind.MAIL):
        found.append((f"owners are not told: {now.lacks[Kind.MAIL]}", "Set [mail]."))
    if many := count("delivery unsure", 0):
        found.append(
            (
                f"of {many:,} deliveries nobody knows whether they arrived",
                "`serantau notice list --state unsure`, then `notice settle`.",
            )
        )
    if many := count("notice failed", 0):
        found.append(
            (f"{many:,} notices reached nobody", "`notice list --state failed`.")
        )
    if many := sum(one.state is State.BOUNCING for one in contacts):
        found.append(
            (
                f"{many:,} contacts are not written to: mail to them came back",
                "`serantau contact list`; `contact add` with the right address.",
            )
        )
    if owners:
        shown = ", ".join(owners[:_SHOWN]) + (" ..." if owners[_SHOWN:] else "")
        found.append(
            (
                f"{len(owners):,} owners have no contact that is written to: {shown}",
                "`serantau contact add PARTY ADDRESS`; they are told from then on.",
            )
        )
    again = "A running node tries again; `serantau notice status`."
    found += [(each, again) for each in (now.fault, now.read_fault) if each]
    late = now.next and now.last and now.next - now.last > 2 * _DAY
    if late:
        found.append(
            (
                f"notices were made last at {moment(now.last):%Y-%m-%d %H:%M}Z",
                "Is the node running? `serantau serve` makes them.",
            )
        )
    for said, mend in found:
        yield Finding("notices", Level.WARN, said, mend)
    if not found and now.counts:
        waiting = count("notice waiting", 0)
        told = f"{waiting:,} wait for approval, {count('notice told', 0):,} are told"
        yield Finding("notices", Level.OK, told)


def _mail(node: Node) -> Iterator[Finding]:
    said = f"{node.config.mail.host}:{node.config.mail.port}"
    try:
        fault = Courier(node, "doctor").probe()
    except SerantauError as wrong:
        yield Finding(
            "mail", Level.FAIL, wrong.message, wrong.mend or "Correct [mail]."
        )
        return
    if fault:
        mend = "Correct [mail], or ask who runs that server; notices wait meanwhile."
        yield Finding("mail", Level.FAIL, f"{said}: {fault}", mend)
    else:
        yield Finding("mail", Level.OK, f"{said} answers")


def _abroad(node: Node) -> Iterator[Finding]:
    for one in Abroad(node).away():
        if one.why:
            yield Finding("abroad", Level.WARN, str(one), one.mend)
