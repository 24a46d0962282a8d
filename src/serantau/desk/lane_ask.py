"""Asking the lane: formats and rejects, and events as a person or a file gets them.

This is a part of the lane that holds frames, and is imported when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

import orjson
import polars as pl

from serantau.clock import instant
from serantau.config import FEED
from serantau.desk.lane_kernel import FORMATS
from serantau.desk.whole import whole
from serantau.errors import BadInput, BadRequest, NotFound
from serantau.lane.archive import Archive
from serantau.lane.condition import ANY, equals
from serantau.lane.formats.form import read_form
from serantau.lane.formats.guess import guess
from serantau.lane.formats.reading import read
from serantau.lane.formats.registry import Formats
from serantau.lane.formats.rows import Piece
from serantau.lane.formats.source import opening
from serantau.lane.origin import Origin
from serantau.node import Node
from serantau.records.batches import Batches
from serantau.rules.notice import RISKY, is_risky

_AGO: Final = re.compile(r"(\d{1,6})(min|h|d|w)")
_UNITS: Final = {"min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SECOND: Final = 1_000_000
_ROW: Final = re.compile(r"([0-9a-f]{1,64}):(\d{1,18})")
# What a spreadsheet would run as a formula (CWE-1236).
_RUNS: Final = (
    r"^[ \x{a0}\x{3000}]*[" + "".join(rf"\x{{{ord(one):x}}}" for one in RISKY) + "]"
)


def archive_of(node: Node) -> Archive:
    """Give the archive of a node."""
    return Archive(node.config.archive, node.config.lane.storage)


# Formats


@dataclass(frozen=True, slots=True)
class Proposal:
    """A format as it is proposed. preview: the first rows as events. notes: doubts."""

    text: str
    notes: tuple[str, ...]
    preview: list[dict[str, Any]]
    unread: int


def propose(node: Node, head: bytes, name: str) -> Proposal:
    """Propose a format for a file by its first bytes.

    Raises:
        BadInput: there is no row in it.
    """
    found = guess(head, name=name, received=node.clock.now())
    return _proposal(found.text, found.notes, found.preview)


def try_format(node: Node, head: bytes, name: str, text: str) -> Proposal:
    """Show what a format makes of a file's first bytes; nothing is kept.

    Raises:
        ConfigError: the text is no format.
        BadInput: it reads no row of the file.
    """
    form = read_form(text, "tried", "the format")
    _, opened = opening(name, head)
    origin = Origin("preview", "0" * 64, node.clock.now(), name)
    piece = next(read(opened.encode(), form, origin), None)
    if piece is None:
        raise BadInput("There is no row in it.")
    return _proposal(text, (), piece)


def _proposal(text: str, notes: tuple[str, ...], preview: Piece) -> Proposal:
    rows = preview.frame.drop("received", "batch", "number", "feed", strict=False).head(
        20
    )
    told = [
        {key: value for key, value in row.items() if value is not None}
        for row in rows.iter_rows(named=True)
    ]
    return Proposal(text, notes, told, preview.rejects.height)


def keep_format(node: Node, name: str, text: str) -> Path:
    """Keep a format as the node's own.

    Raises:
        BadRequest: the name is none, or there is one of that name already.
        ConfigError: the text is no format.
    """
    if not FEED.fullmatch(name):
        raise BadRequest(f"{name!r} is no format's name: a-z, 0-9, '.', '_' and '-'.")
    folder = node.home / FORMATS
    path = folder / f"{name}.toml"
    if path.exists():
        raise BadRequest(f"{path} is there already.", mend="Give another name.")
    read_form(text, name, str(path))
    folder.mkdir(mode=0o700, exist_ok=True)
    with whole(path) as file:
        file.write(text.encode())
    return path


def known_formats(node: Node) -> list[dict[str, str]]:
    """List the formats that a node knows: name, title, and how files are cut.

    Raises:
        ConfigError: one of the node's own cannot be used.
    """
    return [
        {"name": form.name, "title": form.title, "cut": form.cut}
        for form in Formats(node.home / FORMATS)
    ]


# Rejects


def rejected(
    node: Node, *, feed: str = "", batch: str = "", limit: int = 50
) -> tuple[list[dict[str, Any]], int]:
    """Give rows that could not be read, the newest first, and how many there are.

    Raises:
        NotFound: there is no such batch.
    """
    condition = ANY
    with node.db.read() as tx:
        if batch:
            digest = Batches().get(tx, batch).digest
            condition &= equals("batch", [digest], measured=True)
    if feed:
        condition &= equals("feed", [feed], measured=True)
    table = archive_of(node).rejects
    paths = table.listed().filter(condition.file)["path"].to_list()
    rows = table.scan(paths).filter(condition.row)
    total = int(rows.select(pl.len()).collect(engine="streaming").item())
    page = rows.sort("received", "batch", "line", descending=[True, False, False])
    found = page.head(limit).collect().to_dicts()
    numbers = _numbers(node, [row["batch"] for row in found])
    return [
        {
            **row,
            "received": row["received"].isoformat(),
            "batch": numbers.get(row["batch"], 0),
            "digest": row["batch"],
        }
        for row in found
    ], total


def _numbers(node: Node, digests: Sequence[str]) -> dict[str, int]:
    """Give batches' numbers by their digests."""
    with node.db.read() as tx:
        return Batches().numbers(tx, digests)


# Events


def read_when(text: str, now: int) -> int | None:
    """Read an instant: RFC 3339, a day, or how long ago (`90min`, `12h`, `7d`, `4w`).

    Empty is none.

    Raises:
        BadRequest: it is none of these.
    """
    if not text:
        return None
    ago = _AGO.fullmatch(text)
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]] * _SECOND
    whole_day = f"{text}T00:00:00Z" if len(text) == len("2026-03-01") else text
    try:
        return instant(whole_day)
    except (ValueError, OverflowError) as fault:
        raise BadRequest(
            f"{text!r} is no time: expected 2026-03-01, 2026-03-01T10:00:00Z, or how "
            "long ago, such as 12h or 7d."
        ) from fault


def named(node: Node, rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows a first column `row`, by which a person names each: batch:number."""
    numbers = _numbers(node, rows["batch"].to_list())
    names = [
        f"{numbers.get(batch, batch)}:{number}"
        for batch, number in rows.select("batch", "number").iter_rows()
    ]
    return rows.select(pl.Series("row", names, dtype=pl.String), pl.all())


def find(node: Node, name: str) -> dict[str, Any]:
    """Give one event by the name that `named` gave it.

    Raises:
        BadRequest: it is no such name.
        NotFound: there is no such event.
    """
    parts = _ROW.fullmatch(name)
    if parts is None:
        raise BadRequest(
            f"{name[:80]!r} names no row: expected BATCH:NUMBER.",
            mend="`serantau events` shows it for each row.",
        )
    with node.db.read() as tx:
        digest = Batches().get(tx, parts[1]).digest
    table = archive_of(node).events
    condition = equals("batch", [digest], measured=True)
    paths = table.listed().filter(condition.file)["path"].to_list()
    rows = table.scan(paths).filter(condition.row, pl.col("number") == int(parts[2]))
    found = rows.collect(engine="streaming").to_dicts()
    if not found:
        raise NotFound(
            f"There is no event {name}.",
            mend="It may have been a repetition of an earlier one, a reject, or be "
            "kept no longer.",
        )
    row: dict[str, Any] = found[0]
    return row


def write_csv(frames: Iterable[pl.DataFrame], stream: IO[bytes]) -> int:
    """Write frames as one CSV file that no spreadsheet runs; gives how many rows.

    Times are RFC 3339. A text that a spreadsheet would take for a formula gets a `'`.
    """
    rows = 0
    for number, raw in enumerate(frames):
        frame = raw.rename(_named)
        texts = [
            pl.when(pl.col(name).str.contains(_RUNS))
            .then(pl.lit("'") + pl.col(name))
            .otherwise(pl.col(name))
            .alias(name)
            for name, kind in frame.schema.items()
            if kind == pl.String
        ]
        frame.with_columns(texts).write_csv(
            stream,
            include_header=number == 0,
            datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ",
            line_terminator="\r\n",
        )
        rows += frame.height
    return rows


def _named(column: str) -> str:
    """Name a column so that no spreadsheet runs its name: SQL lets people choose it."""
    return f"'{column}" if is_risky(column) else column


@contextmanager
def into(name: str) -> Iterator[IO[bytes]]:
    """Open a file to be written, which is there when it is whole; a pipe as it is.

    Raises:
        BadRequest: there is no folder for it.
    """
    path = Path(name)
    _check_folder(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as stream:
            yield stream
        return
    with whole(path) as stream:
        yield stream


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise BadRequest(f"There is no folder {path.parent} to write {path.name} in.")


def write_parquet(frames: Iterable[pl.DataFrame], path: Path) -> int:
    """Write frames as one Parquet file, holding few of them; gives how many rows.

    It is there when it is whole. There is at least one frame.

    Raises:
        BadRequest: there is no folder for it.
    """
    _check_folder(path)
    rows = 0
    with TemporaryDirectory(dir=path.parent, prefix=".events-") as folder:
        parts = Path(folder)
        for number, frame in enumerate(frames):
            frame.write_parquet(parts / f"{number:08}.parquet")
            rows += frame.height
        done = parts / "whole"
        pl.scan_parquet(sorted(parts.glob("*.parquet"))).sink_parquet(done)
        done.replace(path)
    return rows


def plain(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Give rows as JSON has them: times as RFC 3339, extra as an object."""
    times = [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Datetime)
    ]
    for row in frame.with_columns(times).iter_rows(named=True):
        yield row | {"extra": as_object(row["extra"])} if "extra" in row else row


def as_object(extra: Any) -> Any:
    """Give what `extra` holds, which is JSON as long as it is a text of ours."""
    if not isinstance(extra, str) or not extra.startswith("{"):
        return extra
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(extra)
    return extra
