"""A TAXII 2.1 client that gets what it came for from servers as they are.

It never trusts an answer's end or order: a walk over pages ends even when the server's
does not, and goes on where the server says nothing of how.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx2

from serantau.clock import Clock
from serantau.errors import PeerError, PeerUnreachable, TooLarge
from serantau.wire.connection import Answer, Connection, clean, origin, slashed
from serantau.wire.envelope import Envelope, read_envelope, read_object
from serantau.wire.hints import Hints
from serantau.wire.taxii import (
    DISCOVERY,
    FIRST_HEADER,
    LAST_HEADER,
    MEDIA_TYPE,
    RECEIPT_HEADER,
    WANTED,
)
from serantau.wire.walk import Walk, order_of

_HINTS_PATH: Final = "/federation/hints"
_EVENTS_PATH: Final = "/federation/events"
PARCEL_HEADERS: Final = ("Serantau-Parcel", "Serantau-Rows")
_STATUS_WAIT: Final = 120.0
_MANIFEST_PAGES: Final = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiRoot:
    """An API root.

    realm, member, identity: what a Serantau node says of itself, else empty.
    """

    url: str
    title: str
    max_content_length: int
    realm: str
    member: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class CollectionIn:
    """A collection as the server describes it to this caller."""

    id: str
    alias: str
    title: str
    can_read: bool
    can_write: bool


@dataclass(frozen=True, slots=True)
class PageIn:
    """One page: the objects' texts as they came.

    first, last: the page's bounds as the server wrote them, "" when it did not.
    resume: the `added_after` from which a later pull goes on, so that nothing is
    lost and little comes twice; "" when the server gave no way to know. receipt: what
    it signed for this page, "" for nothing.
    """

    objects: tuple[bytes, ...]
    first: str
    last: str
    more: bool
    next: str
    resume: str
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class StatusIn:
    """What became of a POST. failures: (object id, message)."""

    id: str
    complete: bool
    total: int
    successes: int
    failures: tuple[tuple[str, str], ...]
    pending: int


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """A version in a collection: its id, when it was added, and which version."""

    id: str
    date_added: str
    version: str


class TaxiiClient:
    """Reads and writes one API root of one server. Threads may share it."""

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
        pages: int = 100_000,
        clock: Clock | None = None,
        sleep: Callable[[float], object] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
        receipts: bool = False,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: an API root, a discovery resource, or the server's bare address.
            name: what to call the server in messages; its host when empty.
            user: for Basic authentication, with `password`.
            password: the user's password.
            token: a bearer token, instead of a user.
            realm: this node's realm; a server that announces another is refused.
            ca: PEM file of the only authorities to trust, instead of the system's.
            certificate: PEM files of this node's certificate and key, for servers that
                ask for one.
            timeout: seconds to wait for a connection and for each piece of an answer.
            body_bytes: what one answer may unpack to.
            pages: how many pages one walk may have.
            clock: tells how far off a Retry-After date is.
            sleep: waits that many seconds.
            transport: what carries requests, instead of sockets.
            receipts: whether to ask for one with each page.

        Raises:
            PeerError: an address that cannot be used, or is unsafe for a login.
        """
        self._line = Connection(
            url,
            name=name,
            user=user,
            password=password,
            token=token,
            realm=realm,
            ca=ca,
            certificate=certificate,
            timeout=timeout,
            body_bytes=body_bytes,
            clock=clock,
            sleep=sleep,
            transport=transport,
            extra={RECEIPT_HEADER: WANTED} if receipts else {},
        )
        self.name = self._line.name
        self._pages = pages
        self._root: ApiRoot | None = None

    @property
    def line(self) -> Connection:
        """Give the line to the server, for what is no TAXII."""
        return self._line

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def __enter__(self) -> TaxiiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # TAXII 2.1 §4.1

    def discovery(self) -> list[str]:
        """Give the addresses of the API roots at this server, the default one first.

        Raises:
            PeerError: the server did not answer as agreed.
        """
        found = self._read(self._line.get(self._line.url.join(DISCOVERY)), read_object)
        return self._roots(found, self._line.url)

    def api_root(self) -> ApiRoot:
        """Give the API root that is read and written.

        The address given may be the root itself, a discovery resource, or neither.

        Raises:
            PeerError: the server did not answer as agreed, or is of another realm.
        """
        if self._root is None:
            self._root = self._find_root()
        return self._root

    def _find_root(self) -> ApiRoot:
        url = self._line.url
        if url.path in ("", "/"):
            url = url.join(DISCOVERY)
        found = self._read(self._line.get(url), read_object)
        if "api_roots" in found or "default" in found:
            url = httpx2.URL(self._roots(found, url)[0])
            found = self._read(self._line.get(url), read_object)
        versions = found.get("versions")
        if not isinstance(versions, list):
            raise self._line.fault(
                f"shows no API root at {url}",
                "a resource with `title`, `versions` and `max_content_length`",
            )
        size = found.get("max_content_length")
        root = ApiRoot(
            url=str(url),
            title=str(found.get("title", "")),
            max_content_length=size if isinstance(size, int) and size > 0 else 0,
            realm=str(found.get("x_serantau_realm", "")),
            member=str(found.get("x_serantau_member", "")),
            identity=str(found.get("x_serantau_identity", "")),
        )
        self._line.check_realm(root.realm)
        return root

    def _roots(self, found: Mapping[str, Any], url: httpx2.URL) -> list[str]:
        """Read the API roots of a discovery resource; relative ones are allowed."""
        listed = found.get("api_roots")
        names = [found.get("default"), *(listed if isinstance(listed, list) else [])]
        roots = [url.join(name) for name in names if isinstance(name, str) and name]
        here = [slashed(root) for root in roots if origin(root) == origin(url)]
        if not here:
            elsewhere = f", only at {roots[0].host}" if roots else ""
            raise self._line.fault(
                f"names no API root at its own address{elsewhere}",
                f"one at {origin(url)}",
                mend="Give the API root's own address instead.",
            )
        return list(dict.fromkeys(map(str, here)))

    # TAXII 2.1 §5

    def collections(self) -> list[CollectionIn]:
        """List the collections that this login may know of."""
        found = self._read(self._line.get(self._below("collections/")), read_object)
        listed = found.get("collections") or []
        if not isinstance(listed, list):
            raise self._line.fault("sent `collections` that is no list", "a list")
        return [
            CollectionIn(
                id=str(one["id"]),
                alias=str(one.get("alias", "")),
                title=str(one.get("title", "")),
                can_read=one.get("can_read") is True,
                can_write=one.get("can_write") is True,
            )
            for one in listed
            if isinstance(one, dict) and one.get("id")
        ]

    def pages(
        self,
        collection: str,
        *,
        added_after: str = "",
        limit: int = 1000,
        match: Mapping[str, str] | None = None,
    ) -> Iterator[PageIn]:
        """Walk over a collection's objects, a page at a time, oldest first.

        Args:
            collection: its id.
            added_after: only what was added later, as a page's `resume` says it.
            limit: objects asked for at a time; the server may give fewer.
            match: filters, such as {"type": "indicator"}.

        Raises:
            PeerError: the server did not answer as agreed. Pages given before stand.
        """
        url = self._below(f"collections/{quote(collection, safe='')}/objects/")
        asked = {"limit": str(limit)} | {
            f"match[{field}]": value for field, value in (match or {}).items()
        }
        walk = Walk(self.name, self._pages)
        after, token, known = added_after, "", added_after
        while True:
            envelope, first, last, receipt = self._ask(url, asked, after, token)
            walk.step(envelope, first, last)
            resume = last
            if envelope.objects and not last:
                resume = self._last_in_manifest(collection, asked, known, envelope)
            known = resume or known
            yield PageIn(
                envelope.objects,
                first,
                last,
                envelope.more,
                envelope.next,
                resume,
                receipt,
            )
            if not envelope.more:
                return
            if envelope.next:
                token = envelope.next
            else:
                # TAXII 2.1 §3.4: without `next` a client goes on after the last.
                walk.past(after, resume)
                after, token = resume, ""

    def manifest(
        self,
        collection: str,
        *,
        added_after: str = "",
        limit: int = 1000,
        match: Mapping[str, str] | None = None,
    ) -> Iterator[list[ManifestLine]]:
        """Walk over a collection's manifest, as `pages` does over its objects."""
        asked = {"limit": str(limit)} | {
            f"match[{field}]": value for field, value in (match or {}).items()
        }
        return self._manifest(collection, asked, added_after)

    def _manifest(
        self, collection: str, asked: Mapping[str, str], after: str
    ) -> Iterator[list[ManifestLine]]:
        url = self._below(f"collections/{quote(collection, safe='')}/manifest/")
        walk = Walk(self.name, self._pages)
        token = ""
        while True:
            envelope, first, last, _ = self._ask(url, asked, after, token)
            walk.step(envelope, first, last)
            try:
                lines = [_read_line(text) for text in envelope.objects]
            except ValueError as fault:
                raise self._line.fault(
                    f"sent {clean(str(fault))}", "a manifest"
                ) from fault
            yield lines
            if not envelope.more:
                return
            if envelope.next:
                token = envelope.next
            else:
                last = max(
                    (line.date_added for line in lines), key=order_of, default=""
                )
                walk.past(after, last)
                after, token = last, ""

    def _last_in_manifest(
        self,
        collection: str,
        asked: Mapping[str, str],
        after: str,
        envelope: Envelope,
    ) -> str:
        """Find when the last object of a page was added, where no header says so.

        Gives "" unless the manifest has each object of the page: a time that is too
        late would lose what was added meanwhile.
        """
        wanted = {_read_version(text) for text in envelope.objects}
        wanted.discard(("", ""))
        last = ""
        try:
            for count, lines in enumerate(self._manifest(collection, asked, after), 1):
                for line in lines:
                    for known in ((line.id, line.version), (line.id, "")):
                        if known in wanted:
                            wanted.remove(known)
                            last = max(last, line.date_added, key=order_of)
                if not wanted or count == _MANIFEST_PAGES:
                    break
        except PeerUnreachable:
            raise
        except PeerError:
            return ""
        return "" if wanted else last

    def post(self, collection: str, objects: Iterable[bytes]) -> StatusIn:
        """Put objects into a collection and wait until the server has seen to them.

        Raises:
            TooLarge: the server takes no body of this size.
            PeerError: the server did not answer as agreed, or not within two minutes.
        """
        body = b'{"objects":[' + b",".join(objects) + b"]}"
        allowed = self.api_root().max_content_length
        if allowed and len(body) > allowed:
            raise TooLarge(
                f"{len(body):,} bytes; {self.name} takes at most {allowed:,} at a time."
            )
        url = self._below(f"collections/{quote(collection, safe='')}/objects/")
        status = self._read(self._line.post(url, body), _read_status)
        waited, wait = 0.0, 0.1
        while not status.complete:
            if waited > _STATUS_WAIT:
                raise self._line.fault(
                    f"has not finished status {status.id} after {waited:.0f} s",
                    "status `complete`",
                )
            self._line.sleep(wait)
            waited, wait = waited + wait, min(wait * 2, 5.0)
            status = self.status(status.id)
        return status

    def status(self, status_id: str) -> StatusIn:
        """Ask what became of a POST (TAXII 2.1 §4.3)."""
        return self._read(
            self._line.get(self._below(f"status/{quote(status_id, safe='')}/")),
            _read_status,
        )

    def hints(self, quiet: float = 60.0) -> Hints:
        """Listen for hints that something new is there, until the server hangs up.

        Args:
            quiet: seconds without a sign of life after which the line counts as dead.

        Raises:
            PeerError: the server gives no hints; polling still works.
        """
        return self._line.hints(_HINTS_PATH, quiet)

    def events(self, after: int) -> tuple[int, int, bytes] | None:
        """Ask a node of our kind for the next event rows that are this member's.

        Args:
            after: the number of the last parcel that is here, -1 for none.

        Returns:
            The parcel's number, how many rows it holds, and its Arrow IPC stream; None
            when there is nothing more.

        Raises:
            PeerError: the server gives none, or not as it should.
        """
        url = self._line.url.join(_EVENTS_PATH).copy_merge_params({"after": str(after)})
        answer = self._line.get(url)
        number, rows = (answer.headers.get(name, "") for name in PARCEL_HEADERS)
        if not number and not answer.body:
            return None
        if not (number.isdecimal() and rows.isdecimal() and answer.body):
            raise self._line.fault(
                f"answers at {answer.url.path} without saying which parcel it is",
                f"an Arrow IPC stream with {' and '.join(PARCEL_HEADERS)}",
                mend="Its node may be of a later version: compare the versions.",
            )
        return int(number), int(rows), answer.body

    def _below(self, path: str) -> httpx2.URL:
        return httpx2.URL(self.api_root().url).join(path)

    def _ask(
        self, url: httpx2.URL, asked: Mapping[str, str], after: str, token: str
    ) -> tuple[Envelope, str, str, str]:
        """Ask for one page; gives it, its bounds and its receipt."""
        query = dict(asked)
        if after:
            query["added_after"] = after
        if token:
            # TAXII 2.1 §3.4: `next` goes with the original query.
            query["next"] = token
        answer = self._line.get(url.copy_merge_params(query))
        receipt = answer.headers.get(RECEIPT_HEADER, "")
        return self._read(answer, read_envelope), *_bounds(answer.headers), receipt

    def _read(self, answer: Answer, read: Callable[[bytes], T]) -> T:
        """Read a body, and say what it was when it cannot be read."""
        # Many servers say application/json or nothing: what is in it decides.
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise self._line.fault(
                f"shows a web page at {answer.url.path}",
                MEDIA_TYPE,
                mend="Compare the peer's address.",
            )
        try:
            return read(answer.body)
        except ValueError as fault:
            raise self._line.fault(
                f"sent at {answer.url.path} what cannot be read: {clean(str(fault))}",
                "TAXII 2.1 JSON",
            ) from fault


def _bounds(headers: httpx2.Headers) -> tuple[str, str]:
    """Give a page's bounds, or "" for what is no date or the wrong way round."""
    first, last = (
        headers.get(FIRST_HEADER, "").strip(),
        headers.get(LAST_HEADER, "").strip(),
    )
    low, high = order_of(first), order_of(last)
    if high < 0 or low > high:
        return "", ""
    return (first if low >= 0 else ""), last


def _read_line(text: bytes) -> ManifestLine:
    found = read_object(text)
    added = str(found.get("date_added", ""))
    if order_of(added) < 0:
        raise ValueError("a manifest whose `date_added` is no date")
    return ManifestLine(str(found.get("id", "")), added, str(found.get("version", "")))


def _read_version(text: bytes) -> tuple[str, str]:
    """Give (id, version) of an object; ("", "") when it is none."""
    try:
        found = read_object(text)
    except ValueError:
        return "", ""
    version = found.get("modified") or found.get("created") or ""
    return str(found.get("id", "")), str(version)


def _read_status(body: bytes) -> StatusIn:
    found = read_object(body)
    failures = found.get("failures")
    counts = [found.get(f"{name}_count") for name in ("total", "success", "pending")]
    total, successes, pending = (n if isinstance(n, int) else 0 for n in counts)
    if found.get("status") not in ("complete", "pending"):
        raise ValueError("a status that is neither `complete` nor `pending`")
    return StatusIn(
        id=str(found.get("id", "")),
        complete=found["status"] == "complete",
        total=total,
        successes=successes,
        failures=tuple(
            (str(one.get("id", "")), clean(str(one.get("message", ""))))
            for one in (failures if isinstance(failures, list) else ())
            if isinstance(one, dict)
        ),
        pending=pending,
    )
