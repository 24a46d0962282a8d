"""A stream of text is cut into blocks of whole lines, however long the stream is.

Memory: one block, and what was read beyond it. A line is held until it is longer than
both a block and the limit; then the rest of it is read and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from serantau.lane.formats.rows import Limits
from serantau.lane.formats.source import CHUNK, Readable

HEAD: Final = 1 << 16
_SHOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines. last: the stream ends with them. long: a too long line's beginning.

    A block with `long` has no data and stands for that one line.
    """

    data: bytes
    last: bool = False
    long: str = ""


class Lines:
    """Lines of a stream, one by one at its beginning and then in blocks."""

    def __init__(self, stream: Readable, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._buffer = b""
        self._ended = False

    def peek(self, size: int = HEAD) -> bytes:
        """Give up to `size` bytes without taking them."""
        while len(self._buffer) < size and self._more():
            pass
        return self._buffer[:size]

    def line(self) -> bytes:
        """Take one line with its end; nothing at the end of the stream."""
        at = self._buffer.find(b"\n")
        while at < 0 and len(self._buffer) <= self._limits.line_bytes and self._more():
            at = self._buffer.find(b"\n")
        end = at + 1 if at >= 0 else len(self._buffer)
        taken, self._buffer = self._buffer[:end], self._buffer[end:]
        return taken

    def everything(self, most: int) -> bytes | None:
        """Take all that is left, or None when that is more than `most` bytes."""
        parts, size = [self._buffer], len(self._buffer)
        self._buffer = b""
        while size <= most and (data := self._stream.read(CHUNK)):
            parts.append(data)
            size += len(data)
        return b"".join(parts) if size <= most else None

    def blocks(self) -> Iterator[Block]:
        """Take all that is left, in blocks that end where a line ends."""
        size = self._block_size()
        while True:
            end = self._cut(size)
            if end < 0:
                yield self._too_long()
                continue
            data, self._buffer = self._buffer[:end], self._buffer[end:]
            last = not self._buffer and not self._more()
            yield Block(data, last)
            if last:
                return

    def _block_size(self) -> int:
        """Take as many bytes at once as hold about the rows that are wanted."""
        head = self.peek()
        rows = max(head.count(b"\n"), 1)
        wanted = len(head) // rows * self._limits.block_rows
        return max(min(wanted, self._limits.block_bytes), CHUNK)

    def _cut(self, size: int) -> int:
        """Find where a block ends; -1 when its only line is too long."""
        parts, held = [self._buffer], len(self._buffer)
        while held < size and (data := self._read()):
            parts.append(data)
            held += len(data)
        self._buffer = b"".join(parts)
        while True:
            if self._ended and len(self._buffer) <= size:
                return len(self._buffer)
            at = self._buffer.rfind(b"\n", 0, size)
            if at < 0:
                at = self._buffer.find(b"\n")
            if at >= 0:
                return at + 1
            if len(self._buffer) > max(size, self._limits.line_bytes):
                return -1
            if not self._more():
                return len(self._buffer)

    def _too_long(self) -> Block:
        """Read past the line that fills the buffer."""
        shown = self._buffer[:_SHOWN].decode("utf-8", "replace")
        self._buffer = b""
        while self._more():
            at = self._buffer.find(b"\n")
            if at >= 0:
                self._buffer = self._buffer[at + 1 :]
                break
            self._buffer = b""
        return Block(b"", long=shown)

    def _read(self) -> bytes:
        data = self._stream.read(CHUNK)
        self._ended = self._ended or not data
        return data

    def _more(self) -> bool:
        data = self._read()
        self._buffer += data
        return bool(data)
