"""Hints that a peer has something new, as server-sent events (HTML Standard §9.2)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import httpx2

from serantau.errors import PeerError, PeerUnreachable

_EVENT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Hint:
    """One event; a comment, which only keeps the line open, is the event "alive"."""

    event: str
    data: str = ""


class Hints:
    """An open line to one peer. Iterate it in one thread; any thread may close it."""

    def __init__(self, name: str, response: httpx2.Response) -> None:
        """Read events from `response`, an answer whose body is still to come."""
        self._name = name
        self._response = response
        self._closed = False

    def __enter__(self) -> Hints:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._response.close()

    def close(self) -> None:
        """Hang up: whoever iterates comes to an end."""
        self._closed = True
        stream = self._response.extensions.get("network_stream")
        line = stream.get_extra_info("socket") if stream is not None else None
        if line is not None:
            # Closing a socket does not wake who waits for it; shutting it down does.
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def __iter__(self) -> Iterator[Hint]:
        """Give events as they come, until either side hangs up.

        Raises:
            PeerUnreachable: the line broke or was quiet for too long.
            PeerError: an event without end.
        """
        event, data = "", ""
        try:
            for line in self._lines():
                if self._closed:
                    return
                if not line:
                    if event or data:
                        yield Hint(event or "message", data)
                    event, data = "", ""
                    continue
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not field:
                    yield Hint("alive", value)
                elif field == "event":
                    event = value
                elif field == "data":
                    data = f"{data}\n{value}" if data else value
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as fault:
            if self._closed:
                return
            why = str(fault) or type(fault).__name__
            raise PeerUnreachable(
                f"{self._name}: the line for hints broke: {why}."
            ) from fault

    def _lines(self) -> Iterator[str]:
        rest = b""
        for piece in self._response.iter_bytes():
            *whole, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
            if len(rest) > _EVENT_BYTES:
                raise PeerError(
                    f"{self._name} sent a hint of more than {_EVENT_BYTES:,} bytes."
                )
