"""Files of a web address, fetched within limits and from nowhere else.

An address is given by a person with a shell on the node; what the server answers is not
trusted. It can send no more than was allowed, not for longer, and cannot send the node
on to another host, such as one behind its own firewall.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

import httpx2

from serantau.errors import BadRequest, NotFound, PeerError, PeerUnreachable, TooLarge

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_REDIRECTS_FOLLOWED: Final = 5
_BYTES: Final = 256_000_000
_SECONDS: Final = 300.0
_SHOWN: Final = 200


class Fetching:
    """Fetches files below one base address. Close it, or use it in a `with`."""

    def __init__(
        self,
        base: str,
        *,
        body_bytes: int = _BYTES,
        timeout: float = 30.0,
        seconds: float = _SECONDS,
        transport: httpx2.BaseTransport | None = None,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base: `https://HOST/PATH/`, or http.
            body_bytes: what one file may unpack to.
            timeout: seconds without any answer after which the server counts as dead.
            seconds: how long one file may take in all.
            transport: how requests travel; the network otherwise.
            tick: seconds of a clock that never goes back.

        Raises:
            BadRequest: an address that is not fetched.
        """
        self.base = _usable(base)
        self._body_bytes = body_bytes
        self._seconds = seconds
        self._tick = tick
        self._http = httpx2.Client(
            headers={"Accept": "application/json, */*;q=0.5"},
            timeout=timeout,
            transport=transport,
            follow_redirects=False,
        )

    def __call__(self, name: str) -> bytes:
        """Give the bytes of one file.

        Raises:
            NotFound: the server has none of that name.
            TooLarge: it is over the limit; no more of it was read.
            PeerError: any other answer, or none in time, or a way to another host.
        """
        # A name joins as a path of the base: none can lead elsewhere.
        if "/" in name or name in {"", ".", ".."}:
            raise BadRequest(f"{name[:_SHOWN]!r} is no name of a file.")
        url = self.base.copy_with(path=self.base.path + name)
        until = self._tick() + self._seconds
        for _ in range(_REDIRECTS_FOLLOWED):
            found = self._once(url, until)
            if isinstance(found, bytes):
                return found
            url = found
        raise PeerError(f"{self.base.host} redirects {name} in a circle.")

    def _once(self, url: httpx2.URL, until: float) -> bytes | httpx2.URL:
        """Give the file, or where the server says that it is."""
        try:
            with self._http.stream("GET", url) as response:
                code = response.status_code
                if code in _REDIRECTS and "Location" in response.headers:
                    return self._next(url, response.headers["Location"])
                if code in {404, 410}:
                    raise NotFound(f"{_shown(url)} is not there ({code}).")
                if code != 200:
                    raise PeerError(f"{_shown(url)} answers {code}, expected 200.")
                return self._body(response, until)
        except (httpx2.HTTPError, OSError) as fault:
            raise PeerUnreachable(f"{_shown(url)} cannot be read: {fault}.") from fault

    def _body(self, response: httpx2.Response, until: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._body_bytes:
                raise TooLarge(
                    f"{_shown(response.url)} has more than {self._body_bytes:,} bytes."
                )
            if self._tick() > until:
                raise PeerUnreachable(
                    f"{_shown(response.url)} took longer than {self._seconds:g} s."
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def _next(self, url: httpx2.URL, location: str) -> httpx2.URL:
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

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Fetching:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_address(text: str) -> bool:
    """Tell an address, good or bad, from the path of a file."""
    scheme, found, _ = text.partition("://")
    return bool(found) and scheme.isalpha()


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
            f"The address at {url.host} holds a login, which would stay in the store.",
            mend="Fetch such a feed with another tool, and load its folder.",
        )
    if url.query or url.fragment:
        raise BadRequest(f"{_shown(url)} is no base address: it has more than a path.")
    path = url.path.removesuffix("manifest.json")
    return url.copy_with(path=path if path.endswith("/") else f"{path}/")


def _shown(url: httpx2.URL) -> str:
    """Write an address for a person: no login, no control character, not endless."""
    plain = str(url.copy_with(userinfo=b"", query=None, fragment=None))
    line = "".join(one if one.isprintable() else " " for one in plain)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
