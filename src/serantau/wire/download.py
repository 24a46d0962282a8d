"""One address, fetched again and again: only what changed, and within limits.

A server is asked with what it said of its last answer (RFC 9110 §13.1), so that mostly
it answers in a line. An answer that breaks off is asked for from there on. What the
server sends is not trusted: it can send no more than was allowed, not for longer, and
cannot send the node on to another host, nor have a key carried there.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any, Final

import httpx2

from serantau.clock import Clock
from serantau.errors import BadRequest, PeerError, PeerUnreachable, TooLarge

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_REDIRECTS_FOLLOWED: Final = 5
_RESUMED: Final = 5
_BUSY: Final = (429, 503)
_SHOWN: Final = 200
_LONGEST_WAIT: Final = 86_400.0

Write = Callable[[bytes], object]


class Wait(PeerUnreachable):
    """A server asked to be left alone for a while."""

    def __init__(self, message: str, seconds: float) -> None:
        """Say what it answered, and for how many seconds."""
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. changed: False when it still has what it had.

    etag, modified: how it names what it has, to be asked with the next time. media: the
    type that it says it is, in lower case. name: the last part of the address.
    """

    changed: bool
    etag: str = ""
    modified: str = ""
    media: str = ""
    name: str = ""


class Download:
    """Fetches one address. Close it, or use it in a `with`."""

    def __init__(
        self,
        address: str,
        *,
        clock: Clock,
        limit: int,
        headers: Mapping[str, str] | None = None,
        proxy: str = "",
        timeout: float = 60.0,
        seconds: float = 3600.0,
        transport: httpx2.BaseTransport | None = None,
        verify: ssl.SSLContext | None = None,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            address: `https://HOST/PATH?QUERY`, or http.
            clock: where the present comes from, to understand dates.
            limit: bytes that may come.
            headers: what is sent along, such as a key.
            proxy: address of one to go by.
            timeout: seconds without any answer after which the server counts as dead.
            seconds: how long it may take in all.
            transport: how requests travel; the network otherwise.
            verify: which authorities are trusted; the system's otherwise.
            tick: seconds of a clock that never goes back.

        Raises:
            BadRequest: an address that is not fetched.
        """
        self.url = _usable(address)
        self._clock = clock
        self._limit = limit
        self._seconds = seconds
        self._tick = tick
        try:
            self._http = httpx2.Client(
                # Ranges and digests are of what is stored there, not of a packing.
                headers={"Accept-Encoding": "identity", **(headers or {})},
                timeout=timeout,
                transport=transport,
                proxy=proxy or None,
                verify=verify or ssl.create_default_context(),
                follow_redirects=False,
                trust_env=False,
            )
        except (ValueError, httpx2.InvalidURL) as fault:
            raise BadRequest(f"{proxy[:_SHOWN]!r} is no proxy: {fault}.") from fault

    def get(
        self, begin: Callable[[], Write], *, etag: str = "", modified: str = ""
    ) -> Answer:
        """Fetch what is there, unless it is what `etag` or `modified` name.

        Args:
            begin: gives what takes the bytes. It is called again when they begin anew.
            etag: what the server named its last answer by.
            modified: the same, as a date in its own words.

        Raises:
            Wait: the server asks to be left alone for a while.
            TooLarge: there is more than may come; no more of it was read.
            PeerError: any other answer, or none in time, or a way to another host.
        """
        asked: dict[str, str] = {}
        if etag:
            asked["If-None-Match"] = etag
        if modified:
            asked["If-Modified-Since"] = modified
        transfer = _Transfer(self, begin, self._tick() + self._seconds)
        url, followed = self.url, 0
        while True:
            try:
                to = transfer.ask(url, asked)
            except (httpx2.HTTPError, OSError) as fault:
                if transfer.may_resume:
                    asked = transfer.rest
                    continue
                raise PeerUnreachable(
                    f"{_shown(url)} cannot be read: {_said(fault)}."
                ) from fault
            if to is None:
                return transfer.answer
            url, followed = to, followed + 1
            if followed > _REDIRECTS_FOLLOWED:
                raise PeerError(f"{self.url.host} redirects in a circle.")

    def stream(self, url: httpx2.URL, headers: Mapping[str, str]) -> Any:
        """Ask for an address of the server."""
        return self._http.stream("GET", url, headers=headers)

    def in_time(self, url: httpx2.URL, got: int, until: float) -> None:
        """Make sure that a transfer is within its limits.

        Raises:
            TooLarge, PeerUnreachable: it is not.
        """
        if got > self._limit:
            raise TooLarge(f"{_shown(url)} has more than {self._limit:,} bytes.")
        if self._tick() > until:
            raise PeerUnreachable(
                f"{_shown(url)} took longer than {self._seconds:g} s."
            )

    def wait(self, said: str) -> float:
        """Give the seconds that a Retry-After asks for (RFC 9110 §10.2.3), or 0."""
        if said.isascii() and said.isdigit():
            return min(float(said[:9]), _LONGEST_WAIT)
        try:
            at = parsedate_to_datetime(said)
        except (ValueError, TypeError):
            return 0.0
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        wait = at.timestamp() - self._clock.now() / 1_000_000
        return min(max(wait, 0.0), _LONGEST_WAIT)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Transfer:
    """The state of one fetching, over redirects and interruptions."""

    def __init__(self, of: Download, begin: Callable[[], Write], until: float) -> None:
        self._of = of
        self._begin = begin
        self._until = until
        self._write: Write | None = None
        self._got = 0
        self._strong = ""
        self._resumed = 0
        self.answer = Answer(changed=False)

    @property
    def may_resume(self) -> bool:
        """Say whether the rest can be asked for, and was not too often."""
        return bool(self._strong and self._got) and self._resumed < _RESUMED

    @property
    def rest(self) -> dict[str, str]:
        """Give the headers that ask for what is missing (RFC 9110 §14.2, §13.1.5)."""
        self._resumed += 1
        return {"Range": f"bytes={self._got}-", "If-Range": self._strong}

    def ask(self, url: httpx2.URL, headers: Mapping[str, str]) -> httpx2.URL | None:
        """Ask once; gives where the server says that it is instead, or None."""
        with self._of.stream(url, headers) as response:
            code = response.status_code
            if code in _REDIRECTS and "Location" in response.headers:
                return _next(url, response.headers["Location"])
            if code == 304 and "Range" not in headers:
                self.answer = self._told(response, url, changed=False)
                return None
            if code in _BUSY:
                wait = self._of.wait(response.headers.get("Retry-After", ""))
                raise Wait(f"{_shown(url)} answers {code}.", wait)
            if code == 206 and "Range" in headers:
                self._goes_on(response, url)
            elif code == 200:
                self._got = 0
                self._write = self._begin()
                tag = response.headers.get("ETag", "")
                ranges = response.headers.get("Accept-Ranges", "").strip().lower()
                self._strong = tag if tag.startswith('"') and ranges == "bytes" else ""
            else:
                raise PeerError(f"{_shown(url)} answers {code}, expected 200.")
            self._receive(response, url)
            self.answer = self._told(response, url, changed=True)
        return None

    def _goes_on(self, response: httpx2.Response, url: httpx2.URL) -> None:
        said = response.headers.get("Content-Range", "")
        if not said.startswith(f"bytes {self._got}-"):
            raise PeerError(
                f"{_shown(url)} gives another range than was asked: {said[:80]!r}."
            )

    def _receive(self, response: httpx2.Response, url: httpx2.URL) -> None:
        assert self._write is not None  # noqa: S101 - set by a 200, which comes first
        for chunk in response.iter_raw():
            self._got += len(chunk)
            self._of.in_time(url, self._got, self._until)
            self._write(chunk)

    def _told(
        self, response: httpx2.Response, url: httpx2.URL, *, changed: bool
    ) -> Answer:
        headers = response.headers
        return Answer(
            changed,
            headers.get("ETag", "")[:_SHOWN],
            headers.get("Last-Modified", "")[:_SHOWN],
            headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            PurePosixPath(url.path).name,
        )


def _usable(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise BadRequest(f"{text[:_SHOWN]!r} is not an address.") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise BadRequest(
            f"{_shown(url)} is not fetched: expected http:// or https:// and a host."
        )
    if url.userinfo:
        raise BadRequest(
            f"The address at {url.host} holds a login.",
            mend="Put a key into a file: key_file and key_header of the feed name it.",
        )
    return url.copy_with(fragment=None)


def _next(url: httpx2.URL, location: str) -> httpx2.URL:
    try:
        to = url.join(location)
    except httpx2.InvalidURL as fault:
        raise PeerError(f"{_shown(url)} redirects to no address.") from fault
    same = (to.scheme, to.host, to.port) == (url.scheme, url.host, url.port)
    # Default ports are none: only from http to https of the same host.
    safer = (url.scheme, to.scheme) == ("http", "https") and to.host == url.host
    if not (same or (safer and url.port is None and to.port is None)):
        raise PeerError(
            f"{_shown(url)} redirects to {_shown(to)}: refused.",
            mend="If the feed has moved, give its new address.",
        )
    return to


def _said(fault: Exception) -> str:
    return str(fault) or type(fault).__name__


def _shown(url: httpx2.URL) -> str:
    """Write an address for a person: no login, no query, which may hold a key."""
    plain = str(url.copy_with(userinfo=b"", query=None, fragment=None))
    line = "".join(one if one.isprintable() else " " for one in plain)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
