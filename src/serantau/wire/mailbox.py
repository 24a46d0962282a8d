"""Mail with attachments: a maildir or an IMAP folder, of known senders only.

Anybody can write a sender's name on a mail. So whose mail is taken in is said by name,
and where our own mail server checks senders, by its word on each (RFC 8601). What is
not taken in stays in the mailbox, flagged, for a person to look at.
"""

from __future__ import annotations

import email.policy
import imaplib
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from serantau.errors import BadInput, BadRequest, PeerError, PeerUnreachable, TooLarge
from serantau.wire.taxii import REALM_HEADER

_SECONDS: Final = 60.0
_IMAPS: Final = 993
_SHOWN: Final = 120
_MOST_NESTED: Final = 20
_MOST_PARTS: Final = 500
_NESTED: Final = re.compile(rb"^content-type:\s*(multipart|message)/", re.I | re.M)
_DELIMITER: Final = re.compile(rb"^--", re.MULTILINE)
_INFO: Final = ":2,"
_SEEN: Final = "S"
_FLAGGED: Final = "F"
_AUTHENTICATED: Final = "authentication-results"
# RFC 8601 §2.2, as far as it is needed: a method, its result, and its properties.
_COMMENT: Final = re.compile(r"\([^()]*\)")
_METHOD: Final = re.compile(r"^\s*(dmarc|dkim)\s*=\s*([a-z]+)", re.IGNORECASE)
_SIGNER: Final = re.compile(r"header\.d\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a mail, under the name that its sender gave it."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Senders:
    """Whose mail is taken in.

    allowed: addresses, or `@DOMAIN` for all of one domain, in lower case.
    authenticator: the name by which our own mail server signs its word on a sender;
    empty: there is none, and names are believed.
    """

    allowed: tuple[str, ...]
    authenticator: str = ""


class Letter(Protocol):
    """A mail in a mailbox that nobody has dealt with."""

    @property
    def name(self) -> str:
        """Give what the mailbox calls it."""
        ...

    def read(self) -> bytes:
        """Give it as it came.

        Raises:
            TooLarge: it has more bytes than may come.
        """
        ...

    def done(self) -> None:
        """Mark it as read: it is not given again."""
        ...

    def leave(self) -> None:
        """Flag it for a person: it is not given again."""
        ...


def attachments(raw: bytes, senders: Senders) -> list[Attachment]:
    """Give the files of a mail, when its sender is one of those.

    Raises:
        BadInput: it is of somebody else, or is no mail; the text says which.
    """
    try:
        message = BytesParser(policy=_POLICY).parsebytes(raw)
        _check_sender(message, senders)
        return list(_files(message))
    except GIVES_UP as fault:
        raise BadInput(f"The mail cannot be read: {fault}.") from fault


def bounded(raw: bytes, most_lines: int = 0) -> bytes:
    """Give a mail that can be read at a cost of no more than its size.

    Args:
        raw: the mail.
        most_lines: that it may have; 0: any number.

    Raises:
        BadInput: it has too many lines, or parts, or parts in parts.
    """
    for what, many, most in (
        ("lines", raw.count(b"\n"), most_lines or len(raw)),
        ("parts in parts", len(_NESTED.findall(raw)), _MOST_NESTED),
        ("parts", len(_DELIMITER.findall(raw)), _MOST_PARTS),
    ):
        if many > most:
            raise BadInput(f"The mail has {many:,} {what}, expected at most {most:,}.")
    return raw


def realm_of_mail(raw: bytes) -> str:
    """Give the realm that a mail says it is of; empty when it says none."""
    try:
        head = BytesParser(policy=_POLICY).parsebytes(raw, headersonly=True)
        return str(head.get(REALM_HEADER, "")).strip()
    except GIVES_UP:
        return ""


# The parser gives up on some hostile mails in ways of its own.
GIVES_UP: Final = (
    MessageError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RecursionError,
)
_POLICY: Final = email.policy.default.clone(max_line_length=None)


def _check_sender(message: Any, senders: Senders) -> None:
    addresses = [
        one.addr_spec.lower()
        for header in message.get_all("from", ())
        for one in header.addresses
    ]
    # RFC 5322 §3.6.2 allows several authors; then nobody vouches for any of them.
    if len(addresses) != 1 or "@" not in addresses[0]:
        raise BadInput(f"The mail has {len(addresses)} senders, expected one.")
    (sender,) = addresses
    domain = sender.rpartition("@")[2]
    if sender not in senders.allowed and f"@{domain}" not in senders.allowed:
        raise BadInput(f"The mail is of {sender[:_SHOWN]}, whose mail is not taken in.")
    if senders.authenticator and not _vouched(message, senders.authenticator, domain):
        raise BadInput(
            f"{senders.authenticator} does not say that the mail is of "
            f"{sender[:_SHOWN]}."
        )


def _vouched(message: Any, authenticator: str, domain: str) -> bool:
    """Say whether our server's newest word is that the sender's domain sent it.

    RFC 8601 §5: only the header of our own server counts, and only its topmost one; the
    sender may have written more of them.
    """
    for header in message.get_all(_AUTHENTICATED, ()):
        text = _COMMENT.sub(" ", str(header))
        server, _, results = text.partition(";")
        if server.split()[:1] != [authenticator]:
            continue
        return any(_passes(one, domain) for one in results.split(";"))
    return False


def _passes(result: str, domain: str) -> bool:
    method = _METHOD.match(result)
    if method is None or method[2].lower() != "pass":
        return False
    if method[1].lower() == "dmarc":
        return True
    signer = _SIGNER.search(result)
    by = signer[1].lower().rstrip(".") if signer else ""
    # Aligned as DMARC may have it (RFC 7489 §3.1.1), and never by a top-level domain.
    return "." in by and (
        domain == by or domain.endswith(f".{by}") or by.endswith(f".{domain}")
    )


def _files(message: Any) -> Iterator[Attachment]:
    # This goes into forwarded mails too; only the outermost sender was checked.
    for part in message.walk():
        if part.is_multipart() or not isinstance(part, EmailMessage):
            continue
        name = part.get_filename("")
        kind = part.get_content_type()
        if kind.startswith("image/") or kind.endswith("-signature"):
            continue
        if not name and part.get_content_disposition() != "attachment":
            continue
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and content:
            yield Attachment(name, content)


@dataclass(frozen=True, slots=True)
class _File:
    """A mail in a maildir (https://cr.yp.to/proto/maildir.html)."""

    path: Path
    name: str
    limit: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            raw = file.read(self.limit + 1)
        if len(raw) > self.limit:
            raise TooLarge(f"The mail has more than {self.limit:,} bytes.")
        return raw

    def done(self) -> None:
        self._move(_SEEN)

    def leave(self) -> None:
        self._move(_FLAGGED)

    def _move(self, flag: str) -> None:
        plain, _, flags = self.path.name.partition(_INFO)
        every = "".join(sorted({*flags, flag}))
        cur = self.path.parent.parent / "cur"
        cur.mkdir(mode=0o700, exist_ok=True)
        self.path.rename(cur / f"{plain}{_INFO}{every}")


def maildir(folder: Path, limit: int) -> Iterator[Letter]:
    """Give the mails of a maildir that are new, the oldest name first.

    Raises:
        BadRequest: there is no such maildir.
    """
    new = folder / "new"
    if not new.is_dir():
        raise BadRequest(f"{folder} is no maildir: it has no folder `new`.")
    for path in sorted(new.iterdir()):
        if path.is_file() and not path.is_symlink():
            yield _File(path, path.name, limit)


@dataclass(frozen=True, slots=True)
class _Remote:
    """A mail in an IMAP folder."""

    box: imaplib.IMAP4
    name: str
    limit: int

    def read(self) -> bytes:
        size = re.search(rb"RFC822\.SIZE (\d+)", self._fetch("(RFC822.SIZE)")[0])
        if size is None:
            raise PeerError("The mail server does not say how large a mail is.")
        if int(size[1]) > self.limit:
            raise TooLarge(f"The mail has more than {self.limit:,} bytes.")
        # PEEK: it is not seen before its files are on disk (RFC 9051 §6.4.5).
        return self._fetch("(BODY.PEEK[])")[1]

    def _fetch(self, what: str) -> tuple[bytes, bytes]:
        code, found = self.box.uid("FETCH", self.name, what)
        if code != "OK":
            raise PeerError(f"The mail server does not give mail {self.name}: {code}.")
        for one in found:
            if isinstance(one, tuple):
                return one[0], one[1]
            if isinstance(one, bytes) and b"RFC822.SIZE" in one:
                return one, b""
        raise PeerError(f"The mail server gives nothing of mail {self.name}.")

    def done(self) -> None:
        self._store("(\\Seen)")

    def leave(self) -> None:
        self._store("(\\Flagged)")

    def _store(self, flags: str) -> None:
        code, _ = self.box.uid("STORE", self.name, "+FLAGS.SILENT", flags)
        if code != "OK":
            raise PeerError(f"The mail server does not flag mail {self.name}: {code}.")


@contextmanager
def imap(
    address: str,
    password: str,
    limit: int,
    *,
    context: ssl.SSLContext | None = None,
) -> Iterator[Iterator[Letter]]:
    """Open an IMAP folder, and give its mails that are neither read nor flagged.

    Args:
        address: `imaps://USER@HOST[:PORT]/FOLDER`; TLS always.
        password: of the user.
        limit: bytes that one mail may have.
        context: which authorities are trusted; the system's otherwise.

    Raises:
        BadRequest: the address is none of this kind.
        PeerError: the server does not do as asked, or is not there.
    """
    host, port, user, folder = read_imap(address)
    try:
        with imaplib.IMAP4_SSL(
            host,
            port,
            ssl_context=context or ssl.create_default_context(),
            timeout=_SECONDS,
        ) as box:
            box.login(user, password)
            code, said = box.select(_quoted(folder))
            if code != "OK":
                raise PeerError(f"{host} does not open {folder!r}: {_first(said)}.")
            code, found = box.uid("SEARCH", "UNSEEN", "UNFLAGGED")
            if code != "OK":
                raise PeerError(f"{host} does not search {folder!r}: {code}.")
            numbers = [one.decode("ascii") for one in (found[0] or b"").split()]
            yield (_Remote(box, number, limit) for number in numbers)
    except imaplib.IMAP4.error as fault:
        raise PeerError(f"{host} does not do as asked: {_first([fault])}.") from fault
    except OSError as fault:
        raise PeerUnreachable(f"{host} cannot be read: {fault}.") from fault


def read_imap(address: str) -> tuple[str, int, str, str]:
    """Give host, port, user and folder of an address.

    Raises:
        BadRequest: it is none of this kind.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _IMAPS
    except ValueError:
        host = None
    if host is None or parts.scheme != "imaps" or not parts.username:
        raise BadRequest(
            "A mailbox is a maildir's folder, or imaps://USER@HOST/FOLDER."
        )
    if parts.password is not None:
        raise BadRequest("A mailbox's password stands in a file: password_file.")
    return host, port, unquote(parts.username), unquote(parts.path[1:]) or "INBOX"


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _first(said: Sequence[Any]) -> str:
    text = said[0] if said else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return "".join(one if one.isprintable() else " " for one in text)[:_SHOWN]
