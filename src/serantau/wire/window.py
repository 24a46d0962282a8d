"""The part of a stream that is in memory, unpacked, and where in the file it is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from serantau.rules.jsontext import over
from serantau.rules.refusal import Refused

WINDOW: Final = 1 << 20
# So many bytes tell what packing and what encoding begins.
HEAD: Final = 4
_GZIP: Final = b"\x1f\x8b"


class Cut(Exception):
    """The stream cannot be read on; carries the finding to end with."""

    def __init__(self, fault: Refused) -> None:
        self.fault = fault
        super().__init__(str(fault))


def unpacked(stream: BinaryIO, file_bytes: int) -> Iterator[bytes]:
    """Give the stream in chunks, unpacked if it is gzip, up to `file_bytes`."""
    total = 0
    for chunk in _chunks(stream):
        total += len(chunk)
        if total > file_bytes:
            kept = len(chunk) - (total - file_bytes)
            yield chunk[:kept]
            raise Cut(over("file_bytes", total, file_bytes, "bytes or more"))
        yield chunk


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    head = stream.read(WINDOW)
    while head and len(head) < HEAD and (more := stream.read(WINDOW)):
        head += more
    if not head.startswith(_GZIP):
        while head:
            yield head
            head = stream.read(WINDOW)
        return
    packed, unpacker = head, zlib.decompressobj(wbits=31)
    while packed:
        try:
            chunk = unpacker.decompress(packed, WINDOW)
        except zlib.error as error:
            raise Cut(
                Refused(
                    "gzip", "", f"damaged gzip ({error})", "the file as it was sent"
                )
            ) from error
        if chunk:
            yield chunk
        if unpacker.eof:
            # RFC 1952 §2.2: members may follow each other. Tools pad with zeros.
            packed = unpacker.unused_data or stream.read(WINDOW)
            packed = packed.lstrip(b"\0")
            if packed:
                unpacker = zlib.decompressobj(wbits=31)
        else:
            packed = unpacker.unconsumed_tail or stream.read(WINDOW)
    if not unpacker.eof:
        raise Cut(
            Refused("truncated", "", "a gzip file that ends early", "the whole file")
        )


class Window:
    """The part of the file that is in memory, and where in the file it is."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.text = b""
        self.base = 0
        self.final = False
        self.fault: Refused | None = None
        self._lines = 1
        self._counted = 0

    def more(self, keep: int) -> bool:
        """Read on, forgetting what stands before `keep`; False at the end."""
        try:
            chunk = next(self._chunks, b"")
        except Cut as cut:
            self.fault, chunk = cut.fault, b""
        if not chunk:
            self.final = True
            return False
        if keep:
            self.line(keep)
            self._counted -= keep
            self.base += keep
            self.text = self.text[keep:]
        self.text += chunk
        return True

    def line(self, at: int) -> int:
        """Give the line of a place; places are asked in rising order."""
        if at > self._counted:
            self._lines += self.text.count(b"\n", self._counted, at)
            self._counted = at
        return self._lines
