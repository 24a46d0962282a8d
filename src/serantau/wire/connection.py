"""One line to one server: bounded answers, patience where asked for, no way elsewhere.

Everything that went wrong is told as a `PeerError` that names the server and what was
expected. A login goes to the server it was given for and stands in no message.
"""

from __future__ import annotations

import base64
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx2

from serantau.clock import Clock, SystemClock
from serantau.errors import PeerError, PeerUnreachable
from serantau.wire.envelope import read_object
from serantau.wire.hints import Hints
from serantau.wire.taxii import MEDIA_TYPE, REALM_HEADER

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_REDIRECTS_FOLLOWED: Final = 5
_BUSY: Final = (429, 503)
_ATTEMPTS: Final = 5
_LONGEST_WAIT: Final = 300.0
_login: Final = re.compile(r"//[^/]*@")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, read to its end."""

    headers: httpx2.Headers
    body: bytes
    url: httpx2.URL


class Connection:
    """Sends requests to one server. Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        user: str = "",
        password: str = "",
        token: str = "",
        realm: str = "",
        ca: str = "",
        certificate: tuple[str, str] | None = None,
        timeout: float = 30.0,
        body_bytes: int = 100_000_000,
        clock: Clock | None = None,
        sleep: Callable[[float], object] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
        extra: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Prepare; nothing is sent yet. Arguments as `TaxiiClient` has them.

        extra: headers of each request.

        Raises:
            PeerError: an address that cannot be used, or is unsafe for a login.
        """
        self.url = _usable(url, bool(user or token))
        self.name = name or self.url.host
        self.sleep = sleep
        self._realm = realm
        self._timeout = timeout
        self._body_bytes = body_bytes
        self._clock = clock or SystemClock()
        headers = {"Accept": MEDIA_TYPE, "Accept-Encoding": "gzip", **extra}
        if realm:
            headers[REALM_HEADER] = realm
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif user:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        self._http = httpx2.Client(
            headers=headers,
            timeout=timeout,
            transport=transport,
            verify=_trust(ca, certificate) if transport is None else True,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, url: httpx2.URL) -> Answer:
        """Ask for a resource.

        Raises:
            PeerError: no success; PeerUnreachable when nobody answered.
        """
        return self._send("GET", url, None)

    def post(self, url: httpx2.URL, body: bytes) -> Answer:
        """Send TAXII JSON. Sent again where the server is busy: TAXII allows it."""
        return self._send("POST", url, body)

    def hints(self, path: str, quiet: float) -> Hints:
        """Listen for hints that something new is there, until the server hangs up.

        Args:
            path: where, at this server.
            quiet: seconds without a sign of life after which the line counts as dead.

        Raises:
            PeerError: the server gives no hints; polling still works.
        """
        url = self.url.join(path)
        request = self._http.build_request(
            "GET",
            url,
            headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(self._timeout, read=quiet),
        )
        try:
            response = self._http.send(request, stream=True)
        except httpx2.HTTPError as fault:
            raise self._unreachable(fault) from fault
        try:
            self.check_realm(response.headers.get(REALM_HEADER, ""))
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
            if response.status_code != 200 or kind.lower() != "text/event-stream":
                raise self.fault(
                    f"gives no hints ({response.status_code}, {kind or 'no type'})",
                    "200 with text/event-stream",
                )
        except BaseException:
            response.close()
            raise
        return Hints(self.name, response)

    def _send(self, method: str, url: httpx2.URL, body: bytes | None = None) -> Answer:
        """Send, wait where the server asks for it, and read the answer to its end."""
        for attempt in range(1, _ATTEMPTS + 1):
            response, text = self._follow(method, url, body)
            if response.status_code not in _BUSY or attempt == _ATTEMPTS:
                break
            self.sleep(self._wait(response, attempt))
        if response.status_code >= 300:
            raise self._refusal(response, text, url)
        return Answer(response.headers, text, response.url)

    def _follow(
        self, method: str, url: httpx2.URL, body: bytes | None
    ) -> tuple[httpx2.Response, bytes]:
        """Send and follow redirects, never away from the server."""
        here = origin(url)
        for _ in range(_REDIRECTS_FOLLOWED):
            response, text = self._once(method, url, body)
            to = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not to:
                return response, text
            try:
                url = response.url.join(to)
            except httpx2.InvalidURL as fault:
                raise self.fault("redirects to no address", "a URL") from fault
            if origin(url) != here:
                raise self.fault(
                    f"redirects to {origin(url)}",
                    f"to stay at {here}: a login goes nowhere else",
                    mend="If the server has moved, change the peer's address.",
                )
            if method != "GET" and response.status_code not in (307, 308):
                raise self.fault("redirects a POST", "202, or a redirect that keeps it")
        raise self.fault("redirects in a circle", "an answer")

    def _once(
        self, method: str, url: httpx2.URL, body: bytes | None
    ) -> tuple[httpx2.Response, bytes]:
        headers = {} if body is None else {"Content-Type": MEDIA_TYPE}
        try:
            with self._http.stream(
                method, url, content=body, headers=headers
            ) as response:
                return response, self._body(response)
        except (httpx2.DecodingError, httpx2.RemoteProtocolError) as fault:
            raise self.fault(
                f"sent an answer that breaks off or cannot be unpacked ({fault})",
                "a whole HTTP answer",
            ) from fault
        except (httpx2.HTTPError, OSError) as fault:
            raise self._unreachable(fault) from fault

    def _body(self, response: httpx2.Response) -> bytes:
        """Read a body; what unpacks to more than the limit is left unread."""
        self.check_realm(response.headers.get(REALM_HEADER, ""))
        pieces: list[bytes] = []
        size = 0
        for piece in response.iter_bytes():
            size += len(piece)
            if size > self._body_bytes:
                raise self.fault(
                    f"sent more than {self._body_bytes:,} bytes in one answer",
                    "at most that (limits.post_bytes)",
                    mend="Ask for smaller pages: federation.page.",
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _wait(self, response: httpx2.Response, attempt: int) -> float:
        """Give the seconds to wait: as the server asks (RFC 9110 §10.2.3), bounded."""
        asked = response.headers.get("Retry-After", "").strip()
        wait = float(2**attempt)
        if asked.isascii() and asked.isdigit():
            wait = float(asked[:9])
        elif asked:
            try:
                then = parsedate_to_datetime(asked).timestamp()
            except (ValueError, OverflowError):
                pass
            else:
                wait = then - self._clock.now() / 1_000_000
        return min(max(wait, 0.0), _LONGEST_WAIT)

    def check_realm(self, theirs: str) -> None:
        """Refuse a server that says it is of another realm; most say nothing."""
        if theirs and self._realm and theirs != self._realm:
            raise self.fault(
                f"is in another realm: {clean(theirs)}",
                self._realm,
                mend="Realms never mix; nothing was read from it.",
            )

    def _refusal(
        self, response: httpx2.Response, text: bytes, url: httpx2.URL
    ) -> PeerError:
        """Put a status that is no success into words."""
        code = response.status_code
        said = _title(text)
        told = f' and says "{said}"' if said else ""
        if code == 401:
            return self.fault(
                f"does not accept the login (401){told}",
                "to be let in",
                mend="Ask its operators, and give it anew: `serantau peer add`.",
            )
        if code == 403:
            return self.fault(
                f"does not let this login have {url.path} (403){told}", "a right to it"
            )
        if code == 404:
            return self.fault(
                f"has nothing at {url.path} (404){told}",
                "a TAXII 2.1 resource",
                mend="Compare the peer's address and collection.",
            )
        if code == 406:
            return self.fault(f"cannot answer in TAXII 2.1 (406){told}", MEDIA_TYPE)
        if code in _BUSY:
            return self.fault(
                f"is still busy ({code}) after {_ATTEMPTS} attempts{told}", "an answer"
            )
        return self.fault(f"answered {code} at {url.path}{told}", "200 or 202")

    def fault(self, got: str, expected: str, *, mend: str = "") -> PeerError:
        """Make the error that says what this server did, and what it should have."""
        return PeerError(f"{self.name} {got}, expected {expected}.", mend=mend)

    def _unreachable(self, fault: Exception) -> PeerError:
        why = clean(str(fault)) or type(fault).__name__
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return PeerError(
                f"{self.name} shows a certificate that is not trusted here: {why}.",
                mend="Give the authority that signed it as the peer's certificate.",
            )
        if isinstance(fault, httpx2.TimeoutException):
            why = f"no answer within {self._timeout:g} s"
        return PeerUnreachable(
            f"{self.name} cannot be reached at {origin(self.url)}: {why}."
        )


def _usable(url: str, login: bool) -> httpx2.URL:
    shown = clean(_login.sub("//", url))
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise PeerError(
            f"{shown!r} is not an address, expected https://HOST/"
        ) from None
    if found.scheme not in ("http", "https") or not found.host:
        raise PeerError(f"{shown!r} is not an address, expected https://HOST/")
    if found.userinfo:
        raise PeerError(
            f"The address of {found.host} holds a login.",
            mend="Give user and password beside the address, where they are sealed.",
        )
    # TAXII 2.1 §8.2: a server is reached over TLS.
    if login and found.scheme == "http" and found.host not in _LOOPBACK:
        raise PeerError(
            f"http://{found.host} would carry the login in the clear, expected https."
        )
    return slashed(found)


def slashed(url: httpx2.URL) -> httpx2.URL:
    """Give an address without query, its path ending in a slash as TAXII's do."""
    plain = url.copy_with(query=None, fragment=None)
    return plain if plain.path.endswith("/") else plain.copy_with(path=plain.path + "/")


def origin(url: httpx2.URL) -> str:
    """Give scheme, host and port of an address: the server that it means."""
    port = f":{url.port}" if url.port is not None else ""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}{port}"


def _trust(ca: str, certificate: tuple[str, str] | None) -> ssl.SSLContext:
    try:
        context = (
            ssl.create_default_context(cafile=ca) if ca else httpx2.create_ssl_context()
        )
        if certificate:
            context.load_cert_chain(*certificate)
    except (OSError, ssl.SSLError) as fault:
        files = ", ".join(filter(None, (ca, *(certificate or ()))))
        raise PeerError(f"{files} cannot be used as PEM files: {fault}.") from fault
    return context


def _title(text: bytes) -> str:
    """Give the title of a TAXII error body, if it is one."""
    try:
        return clean(str(read_object(text).get("title", "")))
    except ValueError:
        return ""


def clean(text: str, limit: int = 200) -> str:
    """Make what a stranger wrote fit for one line of a log."""
    line = "".join(c if c.isprintable() else " " for c in text).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
