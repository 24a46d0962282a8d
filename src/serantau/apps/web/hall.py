"""What all doors of one process share: the node, its callers, and who does the work.

The store is synchronous, so work runs in threads: two that read pages, one that writes
(writers take turns anyway), one for password hashes, one that packs answers, two for
people's pages, two for what is asked of the archive of events, one for whatever else no
peer waits for.
"""

from __future__ import annotations

import asyncio
import contextvars
import ipaddress
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import structlog
from litestar import Request
from litestar.datastructures import State

from serantau.apps.web.auth import Logins, challenge, read_credentials
from serantau.apps.web.lanes import Pages
from serantau.apps.web.metrics import Metrics
from serantau.apps.web.pages.pace import Pace
from serantau.desk.abroad import Abroad
from serantau.desk.intake import Intake
from serantau.desk.recall_line import RecallLine
from serantau.desk.share import Share
from serantau.desk.signin import SignIn
from serantau.errors import BadInput, TooLarge, TooMany, UnsupportedMedia
from serantau.node import Node
from serantau.records.registry import Caller
from serantau.wire.taxii import content_length, too_large

T = TypeVar("T")
Asking = Request[Any, Any, State]

# Where an ASGI scope has what is the asked node's own.
STATE = "serantau_state"
_PACKED_ABOVE = 1024
_GZIP = 31  # zlib's window bits with gzip's header
_PIECE = 1 << 20
# Bodies that are being received may together take this many times the limit of one.
_BODIES_AT_ONCE = 4


class Lane(Enum):
    """Which thread does a piece of work."""

    READ = "read"
    WRITE = "write"
    HASH = "hash"
    PACK = "pack"
    DESK = "desk"
    SIDE = "side"
    EVENTS = "events"


_THREADS = {Lane.DESK: 2, Lane.EVENTS: 2}


class Heads:
    """What a request's head tells of its caller; "" for what it does not."""

    __slots__ = ("_fields", "client")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        """Read the head of an ASGI scope. Of a field that comes twice, the first."""
        self._fields: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        client = scope["client"]
        self.client: str = client[0] if client is not None else ""

    def _text(self, name: bytes) -> str:
        return self._fields.get(name, b"").decode("latin-1")

    @property
    def authorization(self) -> str:
        """Give the field Authorization."""
        return self._text(b"authorization")

    @property
    def accept(self) -> str:
        """Give the field Accept."""
        return self._text(b"accept")

    @property
    def accept_encoding(self) -> str:
        """Give the field Accept-Encoding."""
        return self._text(b"accept-encoding")

    @property
    def receipt(self) -> str:
        """Give the field Serantau-Receipt."""
        return self._text(b"serantau-receipt")

    @property
    def forwarded(self) -> str:
        """Give the field X-Forwarded-For."""
        return self._text(b"x-forwarded-for")


class Hall:
    """The doors' common ground in one process. Close it."""

    def __init__(self, node: Node) -> None:
        """Serve `node`."""
        self.node = node
        self.share = Share(node)
        self.abroad = Abroad(node)
        self.recalls = RecallLine(node, self.share)
        self.intake = Intake(node)
        self.logins = Logins(node)
        self.signin = SignIn(node)
        self.sessions = self.signin.sessions
        self.pace = Pace(node.config.http.pages_a_second)
        self.metrics = Metrics(node)
        self.challenge = challenge(f"Serantau {node.config.node.member}")
        self._pages = Pages(node)
        self._lanes = {
            lane: ThreadPoolExecutor(
                _THREADS.get(lane, 1), thread_name_prefix=f"serantau-{lane.value}"
            )
            for lane in Lane
            if lane is not Lane.READ
        }
        self._receiving = 0

    def close(self) -> None:
        """End the threads, after what they are doing."""
        for lane in self._lanes.values():
            lane.shutdown(wait=True, cancel_futures=True)
        self._pages.shutdown()

    async def run(self, lane: Lane, work: Callable[[], T]) -> T:
        """Do blocking work in a lane's thread, and give what it gives."""
        inside = partial(contextvars.copy_context().run, work)
        if lane is Lane.READ:
            return await self._pages.submit(inside)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lanes[lane], inside)

    async def page(
        self, request_id: str, heads: Heads, work: Callable[[Caller], T]
    ) -> T:
        """Read for whoever is calling, as `as_caller`, with as little as can be here.

        The loop's thread is what pages wait for, so all of it is done by one that
        reads, unless a password has to be hashed first.
        """

        def read() -> tuple[T] | None:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                credentials = read_credentials(heads.authorization)
                if not self.logins.cheap(credentials):
                    return None
                return (work(self.logins.caller(credentials, self._address(heads))),)

        found = await self._pages.submit(read)
        if found is None:
            credentials = read_credentials(heads.authorization)
            check = partial(self.logins.caller, credentials, self._address(heads))
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                await self.run(Lane.HASH, check)
                return await self.run(Lane.READ, lambda: work(check()))
        return found[0]

    async def as_caller(
        self, request: Asking, work: Callable[[Caller], T], lane: Lane = Lane.READ
    ) -> T:
        """Do work for whoever is calling.

        Raises:
            Unauthenticated, TooMany: nobody comes in like this.
        """
        credentials = read_credentials(request.headers.get("authorization"))
        check = partial(self.logins.caller, credentials, self.address(request))
        if not self.logins.cheap(credentials):
            await self.run(Lane.HASH, check)
        return await self.run(lane, lambda: work(check()))

    def address(self, request: Asking) -> str:
        """Give the address that a request comes from.

        Behind a proxy on this machine (http.base_url is set) this is what the proxy
        wrote last; anyone else's word for it is not taken.
        """
        return self._address(Heads(request.scope))

    def _address(self, heads: Heads) -> str:
        address, forwarded = heads.client, heads.forwarded
        if forwarded and self.node.config.http.base_url and _is_loopback(address):
            return forwarded.rpartition(",")[2].strip()
        return address

    async def body(self, request: Asking) -> bytes:
        """Receive a request's body, unpacked, within limits.post_bytes.

        Raises:
            TooLarge: more comes than the limit, whatever the headers said.
            UnsupportedMedia: a Content-Encoding other than gzip.
            BadInput: what should be gzip is not, or ends early.
            TooMany: many large bodies are coming in at once.
        """
        limit = self.node.config.limits.post_bytes
        content_length(request.headers.get("content-length"), limit)
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip"}:
            raise UnsupportedMedia(
                f"Content-Encoding is {encoding[:40]!r}, expected gzip or none."
            )
        unpack = None if encoding == "identity" else Unpacker(limit)
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in request.stream():
                got = piece if unpack is None else await self._unpacked(unpack, piece)
                pieces.append(got)
                size += len(got)
                self._receiving += len(got)
                if size > limit:
                    raise too_large(limit)
                if self._receiving > _BODIES_AT_ONCE * limit:
                    raise TooMany("Too much is coming in at once.", wait=30)
            if unpack is not None:
                unpack.end()
            return b"".join(pieces)
        finally:
            self._receiving -= size

    async def _unpacked(self, unpack: Unpacker, piece: bytes) -> bytes:
        return await self.run(Lane.PACK, partial(unpack, piece))

    async def packed(
        self, accept_encoding: str, body: bytes
    ) -> tuple[bytes, dict[str, str]]:
        """Give a body as the caller takes it, and the headers that say so."""
        headers = {"Vary": "Accept, Accept-Encoding, Authorization"}
        if len(body) <= _PACKED_ABOVE or not takes_gzip(accept_encoding):
            return body, headers
        headers["Content-Encoding"] = "gzip"
        # Level 1: the line to a neighbour is rarely slower than a better level is.
        return await self.run(
            Lane.PACK, partial(zlib.compress, body, 1, _GZIP)
        ), headers


class Unpacker:
    """Unpacks gzip piece by piece, and never to more than a limit."""

    def __init__(self, limit: int) -> None:
        """Unpack to at most `limit` bytes."""
        self._limit = limit
        self._left = limit
        self._gzip = zlib.decompressobj(_GZIP)
        self._begun = False

    def __call__(self, packed: bytes) -> bytes:
        """Unpack one more piece.

        Raises:
            TooLarge: it unpacks to more than the limit.
            BadInput: it is not gzip.
        """
        found: list[bytes] = []
        while packed:
            self._begun = True
            if self._gzip.eof:
                # RFC 1952 §2.2: a file may be several members, one after another.
                self._gzip = zlib.decompressobj(_GZIP)
            try:
                got = self._gzip.decompress(packed, min(_PIECE, self._left + 1))
            except zlib.error as fault:
                raise BadInput(f"The body is not gzip as it says: {fault}.") from fault
            self._left -= len(got)
            if self._left < 0:
                raise self._over()
            found.append(got)
            packed = self._gzip.unconsumed_tail or self._gzip.unused_data
        return b"".join(found)

    def end(self) -> None:
        """Make sure that nothing is missing.

        Raises:
            BadInput: it ended in the middle.
        """
        if self._begun and not self._gzip.eof:
            raise BadInput("The gzip body ends before its end.")

    def _over(self) -> TooLarge:
        return too_large(self._limit)


def takes_gzip(accept_encoding: str) -> bool:
    """Say whether an Accept-Encoding header takes gzip (RFC 9110 §12.5.3)."""
    weights: dict[str, bool] = {}
    for one in accept_encoding.lower().split(","):
        name, _, rest = one.partition(";")
        weight = rest.strip().removeprefix("q=")
        try:
            weights[name.strip()] = not weight or float(weight) > 0
        except ValueError:
            weights[name.strip()] = False
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def state_of(request: Asking) -> State:
    """Give what the doors of the node that was asked keep (see `Doors`)."""
    scope: Mapping[str, Any] = request.scope
    found: State = scope[STATE]
    return found


def hall_of(request: Asking) -> Hall:
    """Give the hall of the node that was asked."""
    found: Hall = state_of(request).hall
    return found
