"""Files as they come: unpacked, in UTF-8, within limits, never an archive in another.

gz, zst and zip are opened, by what they are and not by their name. UTF-16 and UTF-32
become UTF-8. Memory: one buffer of a few hundred kB for each stage, whatever the file.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol

import zstandard

from serantau.errors import BadInput, TooLarge
from serantau.lane.formats.rows import Limits

CHUNK: Final = 1 << 18
_SLACK: Final = 64_000_000
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZIP: Final = b"PK\x03\x04"
_OTHERS: Final = (
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"PK\x05\x06", "an empty zip"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"%PDF-", "PDF"),
)
_TAR_AT: Final = 257
_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SUFFIX: Final = re.compile(r"\.(?:gz|zip|zst|zstd)$", re.IGNORECASE)
_HTML: Final = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes; none at the end."""
        ...


Source = Path | BinaryIO | bytes


@dataclass(frozen=True, slots=True)
class Member:
    """One file to be read. name: without folders and packing. stream: of UTF-8 text."""

    name: str
    stream: Readable


def plain_name(name: str) -> str:
    """Give a file's name without folders and without what says how it is packed."""
    return _SUFFIX.sub("", name.replace("\\", "/").rsplit("/", 1)[-1])


@contextmanager
def _file(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


def members(source: Source, name: str, limits: Limits) -> Iterator[Member]:
    """Give the files that a source holds, one after the other; most hold just one.

    A member's stream is to be read before the next member is asked for.

    Args:
        source: a path, bytes, or a file that can seek.
        name: what the file is called.
        limits: what it may be.

    Raises:
        BadInput: it is damaged, locked, an archive within an archive, or of a kind that
            is not opened here.
        TooLarge: it unpacks to more than the limits say.
    """
    with _file(source) as file:
        file.seek(0, io.SEEK_END)
        packed = file.tell()
        file.seek(0)
        budget = _Budget(limits, packed)
        magic = file.read(8)
        file.seek(0)
        if magic.startswith(_ZIP):
            yield from _zipped(file, name, limits, budget)
            return
        stream: Readable = file
        if magic.startswith(_GZIP):
            stream = _Unpacked(gzip.GzipFile(fileobj=file), "gz", budget)
        elif magic.startswith(_ZSTD):
            stream = _Unpacked(_Zstandard(file), "zst", budget)
        yield Member(plain_name(name), _text(stream, within=stream is not file))


def _zipped(
    file: BinaryIO, name: str, limits: Limits, budget: _Budget
) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise BadInput(f"{name or 'the file'} is a damaged zip: {error}") from error
    with archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > limits.members:
            raise TooLarge(f"{len(infos)} files in one zip, limit {limits.members}")
        for info in infos:
            if PurePosixPath(info.filename).parts[:1] == ("__MACOSX",):
                continue
            if info.flag_bits & 0x1:
                raise BadInput(
                    f"{info.filename} in the zip is locked by a password",
                    mend="Unlock it before it is handed in.",
                )
            try:
                opened = archive.open(info)
            except (zipfile.BadZipFile, NotImplementedError) as error:
                raise BadInput(f"{info.filename} in the zip: {error}") from error
            with closing(opened):
                stream = _Unpacked(opened, "zip", budget)
                yield Member(plain_name(info.filename), _text(stream, within=True))


class _Budget:
    """What may still be unpacked, of all members together."""

    def __init__(self, limits: Limits, packed: int) -> None:
        self._limits = limits
        self._packed = max(packed, 1)
        self._unpacked = 0

    def spend(self, size: int) -> None:
        self._unpacked += size
        limits = self._limits
        if self._unpacked > limits.file_bytes:
            raise TooLarge(f"unpacks to more than {limits.file_bytes} bytes")
        if self._unpacked > max(_SLACK, self._packed * limits.ratio):
            raise TooLarge(f"unpacks to more than {limits.ratio} times its size")


class _Zstandard:
    """A zst file being unpacked, frame after frame; one that is cut off is a fault.

    The library's own reader takes the end of the file for the end of a frame. Little
    is fed at once, as 1 kB may unpack to 32 MB.
    """

    _FED: Final = 1 << 10
    _WINDOW: Final = 1 << 27

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fed = b""
        self._out = b""
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def read(self, size: int, /) -> bytes:
        parts, held = [self._out], len(self._out)
        while held < size:
            self._fed = self._fed or self._file.read(self._FED)
            if not self._fed:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                break
            if self._frame is None:
                opener = zstandard.ZstdDecompressor(max_window_size=self._WINDOW)
                self._frame = opener.decompressobj()
            data = self._frame.decompress(self._fed)
            self._fed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
            parts.append(data)
            held += len(data)
        whole = b"".join(parts)
        self._out = whole[size:]
        return whole[:size]


class _Unpacked:
    """A stream being unpacked: counts what comes out, and says what is wrong."""

    def __init__(self, stream: Readable, kind: str, budget: _Budget) -> None:
        self._stream = stream
        self._kind = kind
        self._budget = budget

    def read(self, size: int, /) -> bytes:
        try:
            data = self._stream.read(size)
        except (OSError, EOFError, RuntimeError) as error:
            raise BadInput(
                f"the {self._kind} is damaged or cut off: {error}"
            ) from error
        except (zlib.error, zipfile.BadZipFile, zstandard.ZstdError) as error:
            raise BadInput(f"the {self._kind} is damaged: {error}") from error
        self._budget.spend(len(data))
        return data


def _text(stream: Readable, *, within: bool) -> Readable:
    """Look at the first bytes: refuse what is no text, and make UTF-8 of the rest."""
    head = b""
    while len(head) < _TAR_AT + 8 and (more := stream.read(CHUNK)):
        head += more
    if within and head.startswith((_GZIP, _ZSTD, _ZIP)):
        raise BadInput("an archive within an archive is not opened")
    for magic, kind in _OTHERS:
        if head.startswith(magic):
            raise BadInput(f"{kind} is not read here", mend="Unpack it first.")
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        raise BadInput("tar is not read here", mend="Unpack it first.")
    if _HTML.match(head[:4096].removeprefix(codecs.BOM_UTF8)):
        raise BadInput("it is a web page and no report")
    joined = _Joined(head, stream)
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            return _Recoded(joined, encoding)
    wide = _unmarked(head)
    if wide:
        return _Recoded(joined, wide)
    if head.startswith(codecs.BOM_UTF8):
        joined.skip(len(codecs.BOM_UTF8))
    return joined


def _unmarked(head: bytes) -> str:
    """Tell UTF-16 without its mark by the zero bytes between plain letters."""
    start = head[:256]
    if len(start) < 4 or b"\0" not in start:
        return ""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if odd > len(start) * 0.4 and not even:
        return "utf-16-le"
    return "utf-16-be" if even > len(start) * 0.4 and not odd else ""


class _Joined:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def skip(self, size: int) -> None:
        self._head = self._head[size:]

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)


class _Recoded:
    """A stream in another encoding, as UTF-8; what is no character becomes U+FFFD."""

    def __init__(self, stream: Readable, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while not self._ended:
            data = self._stream.read(size)
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended)
            if text:
                # A surrogate alone, which UTF-32 can hold, is no character in UTF-8.
                return text.encode("utf-8", "replace")
        return b""


# --- The beginning of a file, for telling what it is ---------------------------------

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_STORED: Final = 0
_DEFLATED: Final = 8


def opening(name: str, head: bytes) -> tuple[str, str]:
    """Give the name and first text of what a file holds, from its own first bytes.

    Nothing is raised: what cannot be unpacked gives no text.
    """
    name = plain_name(name)
    if head.startswith(_ZIP) and len(head) > _LOCAL.size:
        return _zip_opening(name, head)
    try:
        if head.startswith(_GZIP):
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, CHUNK)
        elif head.startswith(_ZSTD):
            head = zstandard.ZstdDecompressor().decompressobj().decompress(head)[:CHUNK]
    except (zlib.error, zstandard.ZstdError):
        return name, ""
    return name, _decoded(head)


def _zip_opening(name: str, head: bytes) -> tuple[str, str]:
    fields = _LOCAL.unpack_from(head)
    method, size, name_size, more = fields[3], fields[7], fields[9], fields[10]
    start = _LOCAL.size + name_size
    inner = head[_LOCAL.size : start].decode("utf-8", "replace")
    data = head[start + more :]
    try:
        if method == _DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, CHUNK)
        elif method == _STORED:
            data = data[:size] if size else data
        else:
            data = b""
    except zlib.error:
        data = b""
    return (plain_name(inner) if inner.isprintable() else "") or name, _decoded(data)


def _decoded(head: bytes) -> str:
    for mark, encoding in (*_WIDE, (codecs.BOM_UTF8, "utf-8-sig")):
        if head.startswith(mark):
            return head.decode(encoding, "replace")
    return head.decode(_unmarked(head) or "utf-8", "replace")
