"""Feeds of events: how each stands, looking now, pausing, and how files are read."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from typing import Any, Final

import tomli_w
from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reading,
    shown,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.peers import shown_url
from serantau.apps.web.pages.slow import begun
from serantau.config import FEED, FeedSection, load_config
from serantau.desk.audit import note_reading
from serantau.desk.lane import FeedStanding, Lane
from serantau.errors import ConfigError, NotFound, TheirError
from serantau.node import Node
from serantau.records.batches import State
from serantau.records.database import Tx
from serantau.records.feeds import Feeds
from serantau.rules.level import Tlp
from serantau.rules.role import Power

FORMATS: Final = "/feeds/_formats"
WRITE: Final = "/feeds/_write"
"""No feed's name begins so."""
_HEAD: Final = 1_000_000
_SHOWN: Final = 200
_WAYS: Final = ("url", "folder", "mailbox", "posted")


def _address(section: FeedSection) -> str:
    """Give where a feed comes from, without the keys that an address may hold."""
    return shown_url(section.url) or section.folder or shown_box(section.mailbox)


def shown_box(mailbox: str) -> str:
    """Give a mailbox's address without a password."""
    login, at, host = mailbox.rpartition("@")
    head, colon, _secret = login.rpartition(":")
    # imaps://USER@HOST has a colon of its own.
    hidden = head if colon and not _secret.startswith("//") else login
    return f"{hidden}{at}{host}"


# Looking


@page("/feeds", Power.SEE)
async def feeds(request: Asking) -> Response[bytes]:
    """Show how it stands with every feed."""
    node = node_of(request)
    lane = Lane(node)
    standing = await doing(request, lane.standing)
    rows = standing.feeds[:_SHOWN]

    def work(tx: Tx) -> dict[str, int]:
        return {one.name: Feeds().paused(tx, one.name) for one in rows}

    paused = await reading(request, work)
    return await shown(
        request,
        "feeds.html",
        rows=[_row(lane, one, paused[one.name]) for one in rows],
        left_out=len(standing.feeds) - len(rows),
        held=standing.states.get(State.HELD, 0),
    )


def _row(lane: Lane, one: FeedStanding, paused: int) -> dict[str, Any]:
    section, totals = lane.section(one.name), one.totals
    tone = "quiet" if paused else "danger" if one.alarms else "good"
    return {
        "one": one,
        "paused": paused,
        "tone": tone,
        "address": _address(section),
        "can_look": one.configured and one.way != "posted",
        "last": totals.last if totals else 0,
        "rows": totals.rows if totals else 0,
        "rejects": totals.rejects if totals else 0,
        "section": section,
    }


async def _one(
    request: Asking, form: Form | None = None, left: tuple[str, ...] = ()
) -> Response[bytes]:
    node, name = node_of(request), named(request, "name")
    lane = Lane(node)
    standing = await doing(request, lane.standing)
    found = next((one for one in standing.feeds if one.name == name), None)
    if found is None:
        raise NotFound(f"No feed is called {name!r}.")

    def work(tx: Tx) -> tuple[int, list[Any]]:
        return (
            Feeds().paused(tx, name),
            lane.batches.recent(tx, feed=name, limit=20),
        )

    paused, batches = await reading(request, work)
    return await shown(
        request,
        "feed.html",
        status=200 if form is None else 422,
        row=_row(lane, found, paused),
        batches=batches,
        form=form,
        left=left,
    )


@page("/feeds/{name:str}", Power.SEE)
async def feed(request: Asking) -> Response[bytes]:
    """Show one feed: its settings, last look, and last batches."""
    return await _one(request)


def _configured(node: Node, name: str) -> None:
    if name not in node.config.feeds:
        raise NotFound(
            f"No feed is called {name!r}.",
            mend="Feeds are tables [feeds.NAME] of serantau.toml.",
        )


# Doing


@action("/feeds/{name:str}/look", Power.WORK)
async def look(request: Asking, form: Form) -> Response[bytes]:
    """Look at a feed now, whether it is due or not."""
    node, name = node_of(request), named(request, "name")
    _configured(node, name)

    def work() -> tuple[bool, tuple[str, ...]]:
        from serantau.desk.lane_ways import Ways

        found = Ways(Lane(node)).look(name, now=True)
        return bool(found and not found.fault), tuple(found.left) if found else ()

    done = await begun(request, f"look at {name}", work)
    if done is not None and done[1]:
        return await _one(request, left=done[1][:_SHOWN])
    said = "feed-begun" if done is None else "feed-came" if done[0] else "feed-failed"
    return gone_to(request, f"/feeds/{name}", said)


@action("/feeds/{name:str}/pause", Power.ADMIN)
async def pause(request: Asking, form: Form) -> Response[bytes]:
    """Look at a feed by the clock no more."""
    return await _pause(request, form, paused=True)


@action("/feeds/{name:str}/resume", Power.ADMIN)
async def resume(request: Asking, form: Form) -> Response[bytes]:
    """Look at a paused feed again."""
    return await _pause(request, form, paused=False)


async def _pause(request: Asking, form: Form, *, paused: bool) -> Response[bytes]:
    name = named(request, "name")
    _configured(node_of(request), name)
    reason = form.line("reason", needed=paused, most=300)
    if not form.ok:
        return await _one(request, form)
    await writing(request, lambda tx: Feeds().pause(tx, name, paused, reason))
    return gone_to(request, f"/feeds/{name}", "saved")


# Settings of a feed


@page(WRITE, Power.ADMIN)
async def write_page(request: Asking) -> Response[bytes]:
    """Ask how a feed is to come."""
    return await _asked(request)


async def _asked(
    request: Asking, form: Form | None = None, lines: str = ""
) -> Response[bytes]:
    name = request.query_params.get("name", "")[:63]
    return await shown(
        request,
        "feed-write.html",
        status=200 if form is None or form.ok else 422,
        form=form,
        lines=lines,
        name=name,
        section=node_of(request).config.feeds.get(name, FeedSection()),
        levels=[level.label for level in Tlp],
        ways=_WAYS,
    )


@action(WRITE, Power.ADMIN)
async def write_feed(request: Asking, form: Form) -> Response[bytes]:
    """Check the settings of a feed, and give the lines for the configuration."""
    node, _ = node_of(request), words_of(request)
    name = form.line("name", most=63)
    if name and not FEED.fullmatch(name):
        form.fault("name", _("A name has small letters, digits, dots and hyphens."))
    way = form.choice("way", _WAYS, default="posted")
    fields: dict[str, Any] = {}
    if way != "posted":
        fields[way] = form.line("address", most=1000)
    for text in ("format", "key_header", "key_file", "password_file"):
        if said := form.line(text, needed=False):
            fields[text] = said
    level = form.choice("tlp", ("-", *(each.label for each in Tlp)), default="-")
    if level != "-":
        fields["tlp"] = level
    if senders := form.line("senders", needed=False).replace(",", " ").split():
        fields["senders"] = senders
    fields["every_seconds"] = form.whole("minutes", 1, 100_000, default=60) * 60.0
    if hours := form.whole("fresh_hours", 0, 10_000):
        fields["fresh_hours"] = float(hours)
    if form.ok:
        try:
            await doing(
                request,
                lambda: load_config(node.home, os.environ, {"feeds": {name: fields}}),
            )
        except ConfigError as fault:
            form.fault("address", fault.message.rpartition(": ")[2])
    lines = tomli_w.dumps({"feeds": {name: fields}}) if form.ok else ""
    return await _asked(request, form, lines)


# How files are read


@page(FORMATS, Power.SEE)
async def formats(request: Asking) -> Response[bytes]:
    """Show the formats that are known, and ask for a file of a new kind."""
    return await _formats(request)


async def _formats(
    request: Asking,
    form: Form | None = None,
    found: Any = None,
    raw: str = "",
    file_name: str = "",
) -> Response[bytes]:
    node = node_of(request)

    def work() -> list[dict[str, str]]:
        from serantau.desk.lane_ask import known_formats  # brings Polars

        return known_formats(node)

    known = await doing(request, work)
    columns = (
        list(dict.fromkeys(name for row in found.preview for name in row))
        if (found)
        else []
    )
    return await shown(
        request,
        "formats.html",
        status=200 if form is None or form.ok else 422,
        known=known,
        form=form,
        found=found,
        columns=columns,
        raw=raw,
        file_name=file_name,
    )


@action(FORMATS, Power.ADMIN, limit=4 * _HEAD)
async def try_file(request: Asking, form: Form) -> Response[bytes]:
    """Propose a format for a pasted file, show its first rows; with `save` keep it."""
    node, _ = node_of(request), words_of(request)
    head, file_name = await _file(form)
    text = form.given("toml")[:100_000]
    save = form.line("save", needed=False, most=63) if form.ticked("keep") else ""
    if form.ticked("keep") and not save:
        form.fault("save", _("This is needed."))
    if not head:
        form.fault("file", _("Choose a file, or paste some lines of one."))
    if not form.ok:
        return await _formats(request, form)

    def work() -> Any:
        from serantau.desk.lane_ask import keep_format, propose, try_format

        note_reading(node, "lane guess", file_name)
        if not text.strip():
            return propose(node, head, file_name)
        found = try_format(node, head, file_name, text)
        if save:
            keep_format(node, save, text.replace("\r\n", "\n"))
        return found

    raw = b64encode(head).decode()
    try:
        found = await doing(request, work)
    except (TheirError, ConfigError) as fault:
        told = "toml" if isinstance(fault, ConfigError) else "save" if save else "file"
        form.fault(told, str(fault))
        return await _formats(request, form, None, raw, file_name)
    if save:
        return gone_to(request, FORMATS, "format-kept")
    return await _formats(request, form, found, raw, file_name)


async def _file(form: Form) -> tuple[bytes, str]:
    """Give the first bytes of a file, and its name: chosen, pasted, or sent again."""
    if raw := form.given("raw"):
        try:
            return b64decode(raw, validate=True)[:_HEAD], form.given("file_name")[:200]
        except ValueError:
            return b"", ""
    if data := await form.file("file", 3 * _HEAD):
        return data[:_HEAD], form.file_name("file")[:200]
    return form.given("text").strip().encode()[:_HEAD], ""


HANDLERS: tuple[Any, ...] = (
    feeds,
    feed,
    look,
    pause,
    resume,
    write_page,
    write_feed,
    formats,
    try_file,
)
