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
_TAIL: Final = 1 << 16


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
            parts: list[bytes] = []
            held = 0
            while held < size and (data := self._read(size - held)):
                parts.append(data)
                held += len(data)
            fits = self._to_line_end(parts, held, size)
            data = b"".join(parts)
            if not fits:
                # The last line is too long; what stands before it is a block.
                cut = data.rfind(b"\n") + 1
                if cut:
                    yield Block(data[:cut])
                yield Block(b"", long=data[cut : cut + _SHOWN].decode(errors="replace"))
                self._skip_line()
                continue
            last = not self.peek(1)
            yield Block(data, last)
            if last:
                return

    def _block_size(self) -> int:
        """Take as many bytes at once as hold about the rows that are wanted."""
        head = self.peek()
        rows = max(head.count(b"\n"), 1)
        wanted = len(head) // rows * self._limits.block_rows
        most = self._limits.block_bytes
        return max(min(wanted, most), min(CHUNK, most))

    def _to_line_end(self, parts: list[bytes], held: int, size: int) -> bool:
        """Read on to where a line ends; not when that is too far."""
        most = size + self._limits.line_bytes
        if parts and parts[-1].endswith(b"\n"):
            return True
        while data := self._read(_TAIL):
            at = data.find(b"\n")
            if at >= 0:
                parts.append(data[: at + 1])
                self._buffer = data[at + 1 :] + self._buffer
                return True
            parts.append(data)
            held += len(data)
            if held > most:
                return False
        return True

    def _skip_line(self) -> None:
        while data := self._read(CHUNK):
            at = data.find(b"\n")
            if at >= 0:
                self._buffer = data[at + 1 :] + self._buffer
                return

    def _read(self, size: int) -> bytes:
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        return self._stream.read(size)

    def _more(self) -> bool:
        data = self._stream.read(CHUNK)
        self._buffer += data
        return bool(data)
