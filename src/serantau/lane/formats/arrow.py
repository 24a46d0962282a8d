"""Arrow IPC streams and files, as programs and other nodes hand them in."""

from __future__ import annotations

import io
from collections.abc import Iterator

import polars as pl

from serantau.errors import BadInput, TooLarge
from serantau.lane.formats.form import Fit, Format, fit
from serantau.lane.formats.harmonise import harmonise
from serantau.lane.formats.rows import Limits, Piece, Rows
from serantau.lane.formats.source import CHUNK, Readable
from serantau.lane.origin import Origin

_MAGIC = b"ARROW1"


def pieces(
    stream: Readable, form: Format, report: str, origin: Origin, limits: Limits
) -> Iterator[tuple[Piece, int]]:
    """Read Arrow; it is held whole, up to the limit of a document.

    Values are taken as their texts, and lists and structs as JSON, so that they are
    read by the same rules as any other report's.

    Raises:
        BadInput: it is no Arrow.
        TooLarge: it is larger than the limit.
    """
    data = io.BytesIO()
    while part := stream.read(CHUNK):
        data.write(part)
        if data.tell() > limits.document_bytes:
            raise TooLarge(
                f"Arrow of more than {limits.document_bytes} bytes",
                mend="Hand it in as several files.",
            )
    whole = data.getvalue()
    if not whole:
        return
    read = pl.read_ipc if whole.startswith(_MAGIC) else pl.read_ipc_stream
    try:
        frame = read(io.BytesIO(whole))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"no Arrow: {error}") from error
    fitted = fit(form, report, frame.columns)
    for part_of in frame.iter_slices(limits.block_rows):
        yield _piece(part_of, fitted, origin)


def _piece(frame: pl.DataFrame, fitted: Fit, origin: Origin) -> tuple[Piece, int]:
    texts = frame.select(_text(column) for column in frame.iter_columns())
    rows = Rows(
        texts,
        pl.int_range(texts.height, eager=True),
        texts.height,
        texts.height,
        lambda places: [(at, texts[at].write_ndjson().strip()) for at in places],
    )
    return harmonise(rows, fitted, origin), rows.counted


def _text(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        return column.dt.to_string("iso:strict")
    if isinstance(kind, pl.Struct):
        return column.struct.json_encode()
    if isinstance(kind, (pl.List, pl.Array)):
        # As a struct of one member, whose name is then taken off again.
        shell = column.alias("v").to_frame().to_struct().struct.json_encode()
        return shell.str.strip_prefix('{"v":').str.strip_suffix("}").alias(column.name)
    if kind == pl.Binary:
        return column.bin.encode("hex")
    return column.cast(pl.String, strict=False)
