"""Mail of people, as it comes in: who wrote it, what it answers, what it says.

Nothing in a mail is believed here but what its signature covers, and that is told
apart. What is too large, too deep or of too many parts is not read at all: a mail costs
no more than its size.
"""

from __future__ import annotations

import email.policy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser
from itertools import pairwise
from typing import Final

from serantau.errors import BadInput
from serantau.wire.mailbox import GIVES_UP, Attachment, bounded
from serantau.wire.openpgp import Key
from serantau.wire.openpgp_in import NONE, Signed, check_around, check_detached
from serantau.wire.taxii import REALM_HEADER

_POLICY: Final = email.policy.default.clone(max_line_length=None)
_MOST_LINES: Final = 400_000
_MOST_FILES: Final = 50
_MOST_TEXT: Final = 400_000
_MOST_NAMES: Final = 100
_NAME: Final = 200
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{3,900}>")
_BULK: Final = frozenset({"bulk", "junk", "list", "auto_reply"})
_ROBOTS: Final = ("x-autoreply", "x-autorespond", "x-auto-reply", "list-id")
_AROUND: Final = b"-----BEGIN PGP SIGNED MESSAGE-----"
_AROUND_END: Final = b"-----END PGP SIGNATURE-----"
_HIDDEN: Final = b"-----BEGIN PGP MESSAGE-----"
_HIDDEN_END: Final = b"-----END PGP MESSAGE-----"
# Names by which mail programs call what Python knows by others.
_CHARSETS: Final = {"windows-874": "cp874", "x-windows-874": "cp874"}
_SKIPPED: Final = frozenset({"style", "script", "head", "title", "template"})
_BREAKS: Final = frozenset(
    {*("br", "p", "div", "tr", "li", "table", "hr"), "blockquote", "h1", "h2", "h3"}
)


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of a mail.

    name: its Message-ID, with brackets; empty without one. senders: addresses of From,
    lower case. subject: as it is read. answers: Message-IDs that it goes on from.
    automatic: why no person wrote it; empty: one may have. report: a mail server did,
    about another mail. realm: that it names.
    """

    name: str
    senders: tuple[str, ...]
    subject: str
    answers: tuple[str, ...]
    automatic: str
    report: bool
    realm: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What a mail says.

    text: of its body, quoted lines and all. covered: what a good signature covers, with
    the subject where that is among it; empty without one. signed: how it stands with
    the signature. files: what is attached. fault: why it may say something else than
    what was written; empty: nothing.
    """

    text: str
    covered: str
    signed: Signed
    files: tuple[Attachment, ...]
    fault: str = ""


def read_head(raw: bytes) -> Head:
    """Read the headers of a mail.

    Raises:
        BadInput: it is no mail, or one that cannot be read at all.
    """
    try:
        return _head(raw)
    except GIVES_UP as fault:
        raise BadInput(f"The mail cannot be read: {fault}.") from fault


def _head(raw: bytes) -> Head:
    found = BytesParser(policy=_POLICY).parsebytes(raw, headersonly=True)
    senders = [
        one.addr_spec.lower()
        for header in found.get_all("from", ())
        for one in header.addresses
    ]
    said = " ".join(
        str(header)
        for name in ("references", "in-reply-to")
        for header in found.get_all(name, ())
    )
    answers = tuple(dict.fromkeys(_MESSAGE_ID.findall(said)))[-_MOST_NAMES:]
    name = _MESSAGE_ID.search(str(found.get("message-id", "")))
    return Head(
        name=name[0] if name else "",
        senders=tuple(dict.fromkeys(senders)),
        subject=" ".join(str(found.get("subject", "")).split()),
        answers=answers,
        automatic=_automatic(found),
        report=found.get_content_type() == "multipart/report",
        realm=str(found.get(REALM_HEADER, "")).strip(),
    )


def _automatic(found: EmailMessage) -> str:
    """Say by what a program shows that it wrote a mail (RFC 3834 §5, and custom)."""
    submitted = str(found.get("auto-submitted", "no")).partition(";")[0].strip().lower()
    if submitted not in {"no", ""}:
        return f"Auto-Submitted: {submitted}"
    precedence = str(found.get("precedence", "")).strip().lower()
    if precedence in _BULK:
        return f"Precedence: {precedence}"
    for name in _ROBOTS:
        if name in found:
            return name.title()
    if str(found.get("return-path", "")).replace(" ", "") == "<>":
        return "Return-Path: <>"
    if found.get_content_type() == "multipart/report":
        return "multipart/report"
    return ""


def open_mail(
    raw: bytes, key: Key | None, certificates: Sequence[str], *, limit: int
) -> Opened:
    """Read what a mail says, opened and checked.

    Args:
        raw: the mail.
        key: for what is encrypted; None: such mail cannot be opened.
        certificates: of those who may have signed it, in ASCII armour.
        limit: bytes that a mail may have.

    Raises:
        BadInput: it cannot be opened, or is too large, deep or of too many parts.
    """
    try:
        return _opened(bounded(raw, _MOST_LINES), key, certificates, limit)
    except GIVES_UP as fault:
        raise BadInput(f"The mail cannot be read: {fault}.") from fault


def _opened(
    raw: bytes, key: Key | None, certificates: Sequence[str], limit: int
) -> Opened:
    found = _parsed(raw)
    kind = found.get_content_type()
    if kind == "multipart/signed":
        return _signed(raw, found, certificates)
    if kind == "multipart/encrypted":
        parts = list(found.iter_parts())
        if len(parts) == 2:  # RFC 3156 §4
            hidden = parts[1].get_payload(decode=True)
            return _unlocked(bytes(hidden or b""), key, certificates, limit)
    said, fault = _text(found)
    body = said.strip().encode()
    if body.startswith(_AROUND) and body.endswith(_AROUND_END):
        return _around(found, check_around(body, certificates), fault)
    if body.startswith(_HIDDEN) and body.endswith(_HIDDEN_END):
        return _unlocked(body, key, certificates, limit)
    return _said(found, Signed(NONE))


def _around(found: EmailMessage, signed: Signed, fault: str) -> Opened:
    opened = _said(found, signed)
    if not signed.fingerprints:
        return opened
    text = signed.content.decode("utf-8", "replace")
    if opened.files:
        fault = fault or "its signature does not cover what is attached"
    return replace(opened, text=text, covered=text, fault=fault)


def _unlocked(
    data: bytes, key: Key | None, certificates: Sequence[str], limit: int
) -> Opened:
    if key is None:
        raise BadInput("The mail is encrypted, and this node has no key for mail.")
    signed = key.decrypt(data, certificates, limit)
    inner = bounded(signed.content, _MOST_LINES)
    found = _parsed(inner)
    if not found.keys():
        # No entity but a text: it was encrypted by hand.
        text = inner.decode("utf-8", "replace")
        covered = text if signed.fingerprints else ""
        return Opened(text, covered, signed, ())
    if found.get_content_type() == "multipart/signed" and signed.signature == NONE:
        return _signed(inner, found, certificates)  # RFC 3156 §6.1
    return _said(found, signed)


def _signed(raw: bytes, found: EmailMessage, certificates: Sequence[str]) -> Opened:
    """Read multipart/signed: only the first part counts, byte by byte as it came."""
    boundary = found.get_boundary("")
    protocol = str(found.get_param("protocol", "")).lower()
    parts = _split(raw, boundary.encode("ascii", "replace")) if boundary else []
    if protocol != "application/pgp-signature" or len(parts) != 2:
        return _said(found, Signed(NONE))
    # RFC 3156 §5: lines end in CRLF where it is signed, whatever a mailbox makes of it.
    entity = re.sub(rb"\r?\n", b"\r\n", parts[0])
    signature = _parsed(parts[1]).get_payload(decode=True)
    signed = check_detached(
        entity, signature if isinstance(signature, bytes) else b"", certificates
    )
    return _said(_parsed(entity), signed)


def _split(raw: bytes, boundary: bytes) -> list[bytes]:
    """Give the parts between the delimiters of a multipart (RFC 2046 §5.1.1)."""
    mark = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?=\r?\n|\Z)"
    )
    places = list(mark.finditer(raw))
    parts = [raw[one.end() : other.start()] for one, other in pairwise(places)]
    return [part.removeprefix(b"\r").removeprefix(b"\n") for part in parts]


def _parsed(raw: bytes) -> EmailMessage:
    found = BytesParser(policy=_POLICY).parsebytes(raw)
    if not isinstance(found, EmailMessage):
        raise BadInput("The mail cannot be read.")
    return found


def _said(found: EmailMessage, signed: Signed) -> Opened:
    text, fault = _text(found)
    covered = ""
    if signed.fingerprints:
        # RFC 9788: the subject stands inside, where it is protected.
        covered = f"{found.get('subject', '')}\n{text}"
    files = tuple(_files(found))
    if len(files) > _MOST_FILES:
        raise BadInput(f"The mail has {len(files)} files, expected {_MOST_FILES}.")
    return Opened(text, covered, signed, files, fault)


def _bodies(found: EmailMessage) -> Iterator[EmailMessage]:
    """Give the parts of a mail that are no multiparts; mails in it are parts."""
    if found.get_content_maintype() != "multipart":
        yield found
        return
    for part in found.iter_parts():
        if isinstance(part, EmailMessage):
            yield from _bodies(part)


def _is_file(part: EmailMessage) -> bool:
    return (
        part.get_content_disposition() == "attachment"
        or bool(part.get_filename(""))
        or part.get_content_type() not in {"text/plain", "text/html"}
    )


def _text(found: EmailMessage) -> tuple[str, str]:
    """Give the text of a mail, and why it may not be what was written."""
    bodies = [part for part in _bodies(found) if not _is_file(part)]
    for kind in ("text/plain", "text/html"):
        said = [_decoded(one) for one in bodies if one.get_content_type() == kind]
        if any(text.strip() for text, _ in said):
            text = "\n".join(text for text, _ in said)[:_MOST_TEXT]
            fault = next((why for _, why in said if why), "")
            return (_unmarked(text) if kind == "text/html" else text), fault
    return "", ""


def _decoded(part: EmailMessage) -> tuple[str, str]:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return "", "a part of it has no content"
    named = str(part.get_content_charset() or "utf-8")
    try:
        return payload.decode(_CHARSETS.get(named, named)), ""
    except LookupError:
        said = f"its charset {named[:40]!r} is not known here"
    except UnicodeDecodeError:
        said = f"it is not in its charset {named[:40]!r}"
    return payload.decode("utf-8", "replace"), said


def _files(found: EmailMessage) -> Iterator[Attachment]:
    for place, part in enumerate(_bodies(found), 1):
        kind = part.get_content_type()
        if not _is_file(part) or kind == "application/pgp-signature":
            continue
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            payload = part.as_bytes()
        yield Attachment(_file_name(part.get_filename("")) or f"part-{place}", payload)


def _file_name(name: str) -> str:
    """Give the last part of a name, and nothing that commands a screen or a shell."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(one if one.isprintable() else "_" for one in last).strip(". ")[
        :_NAME
    ]


class _Unmarked(HTMLParser):
    """Takes the text out of HTML: nothing of it is run, followed or fetched."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipped.append(tag)
        if tag in _BREAKS:
            self.said.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipped:
            del self._skipped[self._skipped.index(tag) :]
        if tag in {"p", "div", "blockquote"}:
            self.said.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.said.append(" ".join(data.split(" ")).replace("\n", " "))


def _unmarked(text: str) -> str:
    reader = _Unmarked()
    reader.feed(text)
    reader.close()
    return re.sub(r"\n\s*\n+", "\n\n", "".join(reader.said)).strip()
