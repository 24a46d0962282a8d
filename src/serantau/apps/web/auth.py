"""Who is calling: Basic and bearer credentials, checked, remembered, and limited.

A password costs its hash once: what was proven is remembered for ten minutes under a
keyed digest, and every request still reads the user's row, so that a new password or a
disabled user holds at once. Wrong ones are counted per user name and per address.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from serantau.apps.web.logs import logger
from serantau.errors import Forbidden, TooMany, Unauthenticated
from serantau.node import Node
from serantau.records.registry import Caller
from serantau.rules.role import RANKS, reaches

T = TypeVar("T")

REMEMBERED_SECONDS = 600.0
WINDOW_SECONDS = 300.0
_REMEMBERED = 4096
_COUNTED = 20_000
_BEGUN = 100
_LONGEST = 4096
_WRONG = "The user name, password or token is not right."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller showed: a name and password, or a token alone."""

    secret: str = field(repr=False)
    name: str = ""

    @property
    def bearer(self) -> bool:
        """Say whether this is a token."""
        return not self.name


def read_credentials(header: str | None) -> Credentials:
    """Read an Authorization header.

    Raises:
        Unauthenticated: there is none, or it is not Basic (RFC 7617) or Bearer.
    """
    if not header:
        raise Unauthenticated("This needs a user name and password, or a token.")
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if len(header) > _LONGEST or not rest:
        raise Unauthenticated("The Authorization header cannot be read.")
    if scheme.lower() == "bearer":
        return Credentials(secret=rest)
    if scheme.lower() != "basic":
        raise Unauthenticated("The Authorization header is neither Basic nor Bearer.")
    try:
        name, colon, password = (
            base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
        )
    except (binascii.Error, ValueError) as fault:
        raise Unauthenticated("The Basic credentials cannot be read.") from fault
    if not colon or not name.isprintable() or not name:
        raise Unauthenticated("The Basic credentials have no user name.")
    return Credentials(secret=password, name=name)


class Attempts:
    """Counts what went wrong within a sliding window, by any key."""

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        """Allow `most` failures within five minutes of `now`."""
        self._most = most
        self._now = now
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def wait(self, *keys: tuple[str, ...]) -> int:
        """Give the seconds until every one of `keys` may try again; 0 for at once."""
        now = self._now()
        longest = 0.0
        for key in keys:
            failures = self._failures.get(key)
            if failures is None:
                continue
            while failures and failures[0] <= now - WINDOW_SECONDS:
                failures.popleft()
            if not failures:
                del self._failures[key]
            elif len(failures) >= self._most:
                longest = max(longest, failures[0] + WINDOW_SECONDS - now)
        return int(longest) + 1 if longest else 0

    def failed(self, *keys: tuple[str, ...]) -> None:
        """Count one failure for each of `keys`."""
        now = self._now()
        for key in keys:
            failures = self._failures.setdefault(key, deque(maxlen=self._most))
            failures.append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _COUNTED:
            self._failures.popitem(last=False)

    def forget(self, *keys: tuple[str, ...]) -> None:
        """Start `keys` anew."""
        for key in keys:
            self._failures.pop(key, None)


@dataclass(slots=True)
class _Proven:
    """A password that was right: whose, under which row, until when, from where."""

    name: str
    digest: str
    until: float
    addresses: set[str]


class Logins:
    """Turns an Authorization header and an address into a caller."""

    def __init__(self, node: Node, now: Callable[[], float] = time.monotonic) -> None:
        """Let in the users of `node`; `now` is seconds of a clock that never jumps."""
        self._node = node
        self._now = now
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, _Proven] = OrderedDict()
        self._attempts = Attempts(node.config.http.login_attempts, now)
        self._begun = Attempts(_BEGUN, now)
        self._lock = threading.Lock()
        # One hash at a time: they are meant to be expensive, so they must not be able
        # to take all of the machine, and a burst of one new client hashes once.
        self._hashing = threading.Lock()

    def cheap(self, credentials: Credentials) -> bool:
        """Say whether checking these now needs no password hash."""
        with self._lock:
            return credentials.bearer or self._held(credentials) is not None

    def caller(self, credentials: Credentials, address: str) -> Caller:
        """Give which program or person is calling. Blocks as `person` does.

        Raises:
            Unauthenticated, TooMany: as `person`.
            Forbidden: a role that has the pages only, or a password alone where it
                takes a second factor.
        """
        found = self.person(credentials, address)
        if not reaches(found.role, RANKS[0]):
            raise Forbidden(f"The role {found.role} comes in by the pages only.")
        if found.second and not credentials.bearer:
            raise Forbidden(
                f"{found.user} signs in with a second factor, and here is no place "
                "for one.",
                mend="Show a token: `serantau user token` makes one.",
            )
        return found

    def person(self, credentials: Credentials, address: str) -> Caller:
        """Give whose credentials these are. For a new password takes a hash's time.

        Raises:
            Unauthenticated: nobody may come in with these.
            TooMany: too many wrong ones came under this name or from this address.
        """
        network = network_of(address)
        if credentials.bearer:
            return self._by_token(credentials, network)
        return self._remembered(credentials, network) or self._by_password(
            credentials, network
        )

    def check_second(self, name: str, address: str, check: Callable[[], T]) -> T:
        """Check what is shown as a second factor; what is falsy counts as wrong.

        A right password starts no count anew here: who has it may not guess for ever.
        Only one thread may do so at a time.

        Raises:
            TooMany: too many wrong ones came for this name or from this address.
        """
        keys = (("second", name), ("address", network_of(address)))
        with self._lock:
            self._refuse_if_over(*keys)
        found = check()
        with self._lock:
            if found:
                self._attempts.forget(keys[0])
            else:
                self._attempts.failed(*keys)
        if not found:
            note_refused("second", address, name)
        return found

    def begins(self, address: str) -> None:
        """Count a sign-in that somebody unknown begins: it costs a row.

        Raises:
            TooMany: many did so from this address.
        """
        key = ("address", network_of(address))
        with self._lock:
            wait = self._begun.wait(key)
            if wait:
                raise TooMany(mend=f"Try again in {wait} seconds.", wait=wait)
            self._begun.failed(key)

    def _by_token(self, credentials: Credentials, network: str) -> Caller:
        # A right token always passes: nobody guesses 256 bits, so others' wrong tries
        # from the same address are no reason to keep a peer out.
        with self._node.db.read() as tx:
            caller = self._node.registry.caller_by_token(tx, credentials.secret)
        if caller is not None:
            return caller
        with self._lock:
            self._refuse_if_over(("address", network))
            self._attempts.failed(("address", network))
        note_refused("token", network)
        raise Unauthenticated(_WRONG)

    def _remembered(self, credentials: Credentials, network: str) -> Caller | None:
        name = credentials.name
        pair = ("pair", name, network)
        with self._lock:
            proven = self._held(credentials)
            if proven is None:
                return None
            # Where this user was let in before, only wrong guesses at this very user
            # keep it out; a right one must not tell a guesser that it is right.
            if network in proven.addresses:
                self._refuse_if_over(pair)
            else:
                self._refuse_if_over(pair, ("name", name), ("address", network))
        with self._node.db.read() as tx:
            registry = self._node.registry
            same = registry.password_digest(tx, name) == proven.digest
            caller = registry.caller_by_name(tx, name) if same else None
        with self._lock:
            if caller is None:
                self._proven.pop(self._place(credentials), None)
            else:
                proven.addresses.add(network)
        return caller

    def _by_password(self, credentials: Credentials, network: str) -> Caller:
        name = credentials.name
        keys = (("name", name), ("address", network), ("pair", name, network))
        with self._hashing:
            # Someone with the same credentials may have been hashed meanwhile.
            caller = self._remembered(credentials, network)
            if caller is not None:
                return caller
            with self._lock:
                self._refuse_if_over(*keys)
            with self._node.db.read() as tx:
                digest = self._node.registry.password_digest(tx, name)
                caller = self._node.registry.caller_by_password(
                    tx, name, credentials.secret
                )
            with self._lock:
                if caller is None:
                    self._attempts.failed(*keys)
                    # A name that nobody has may be a password in the wrong field.
                    note_refused("password", network, name if digest else "")
                    raise Unauthenticated(_WRONG)
                # Not the address: an account of their own would clear it for anyone.
                self._attempts.forget(keys[0], keys[2])
                self._proven[self._place(credentials)] = _Proven(
                    name, digest, self._now() + REMEMBERED_SECONDS, {network}
                )
                while len(self._proven) > _REMEMBERED:
                    self._proven.popitem(last=False)
        return caller

    def _held(self, credentials: Credentials) -> _Proven | None:
        place = self._place(credentials)
        proven = self._proven.get(place)
        if proven is not None and proven.until <= self._now():
            del self._proven[place]
            return None
        return proven

    def _place(self, credentials: Credentials) -> bytes:
        """Give a digest that tells nothing of a password without this process's key."""
        text = f"{credentials.name}:{credentials.secret}"
        # Keyed BLAKE2 is a MAC of its own (RFC 7693), at a tenth of HMAC's cost here.
        return hashlib.blake2b(text.encode(), key=self._key).digest()

    def _refuse_if_over(self, *keys: tuple[str, ...]) -> None:
        wait = self._attempts.wait(*keys)
        if wait:
            raise TooMany(
                "Too many wrong passwords or tokens came under this name or from here.",
                mend=f"Try again in {wait} seconds.",
                wait=wait,
            )


def note_refused(how: str, address: str, user: str = "") -> None:
    """Tell the log that somebody was not let in: by what, from where, and never which.

    Args:
        how: password, token, second or passkey.
        address: where from.
        user: an account's name, empty where none is known.
    """
    network = network_of(address)
    logger(__name__).warning("sign_in_refused", how=how, user=user, network=network)


def network_of(address: str) -> str:
    """Give what counts as one address: for IPv6 its /64, which one host owns."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def challenge(realm: str) -> str:
    """Give the WWW-Authenticate header of a 401 (RFC 7235 §4.1)."""
    return f'Basic realm="{realm}", charset="UTF-8", Bearer realm="{realm}"'
