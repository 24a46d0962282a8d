"""Mail out: a letter as bytes, signed and encrypted, and its handing over by SMTP.

A letter has one recipient. It is 7-bit, so that no relay on its way changes a byte that
was signed. `Relay.send` stops before the last line of a message, without which a server
keeps nothing (RFC 5321 §4.1.1.4), and lets the caller write down that it goes on.
"""

from __future__ import annotations

import base64
import hashlib
import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from serantau.clock import moment
from serantau.errors import ConfigError
from serantau.wire.openpgp import Certificate, Key, encrypt
from serantau.wire.taxii import REALM_HEADER

SECURITIES: Final = ("starttls", "tls", "none")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WIRE: Final = SMTP.clone(max_line_length=76)
_LONGEST_LINE: Final = 998
_LONGEST_SUBJECT: Final = 900
# An encoded word has at most 75 letters (RFC 2047 §2).
_WORD_BYTES: Final = 45
_SHOWN: Final = 300
_ACCEPTED: Final = 250
_GO_ON: Final = 354
_REFUSED: Final = 500
_CONNECT_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that goes with a letter: its name, MIME type and bytes."""

    name: str
    kind: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one recipient.

    sender: name and address. to: one address. key: the idempotency key; it becomes the
    Message-ID. at: an instant. cover: the subject that an encrypted letter shows.
    realm: of the node, when it is an exercise. answers: the Message-IDs of the thread
    that it goes on, the first first.
    """

    sender_name: str
    sender: str
    to: str
    subject: str
    text: str
    key: str
    at: int
    language: str = "en"
    cover: str = ""
    realm: str = ""
    answers: tuple[str, ...] = ()
    attached: tuple[Attached, ...] = field(default=())

    @property
    def message_id(self) -> str:
        """Give the Message-ID (RFC 5322 §3.6.4)."""
        return message_id(self.key, self.sender)


def message_id(key: str, sender: str) -> str:
    """Give the Message-ID of an idempotency key, for mail from `sender`."""
    return f"<{key}@{sender.rpartition('@')[2]}>"


def compose(
    letter: Letter, key: Key | None = None, certificate: Certificate | None = None
) -> bytes:
    """Write a letter as RFC 5322 bytes with CRLF.

    With a key it is signed; with a certificate it is encrypted for it, and its subject
    stands inside only.

    Raises:
        BadInput: it cannot be encrypted for this certificate. It never goes in clear
            instead.
    """
    inner = _inner(letter, hidden=certificate is not None)
    if certificate is not None:
        secret = encrypt(inner, certificate, key, letter.at)
        return _encrypted(letter, secret)
    if key is not None:
        return _signed(letter, inner, key)
    return _headers(letter, letter.subject) + inner


def _headers(letter: Letter, subject: str) -> bytes:
    made = EmailMessage(policy=_WIRE)
    made["To"] = Address(addr_spec=letter.to)
    made["Date"] = format_datetime(moment(letter.at))
    made["Message-ID"] = letter.message_id
    # RFC 3834 §5: no vacation program answers it.
    made["Auto-Submitted"] = "auto-generated"
    made["Content-Language"] = letter.language
    if letter.realm:
        made[REALM_HEADER] = letter.realm
    made["MIME-Version"] = "1.0"
    head = _subject(subject) + _from(letter.sender_name, letter.sender)
    if letter.answers:
        # RFC 5322 §3.6.4. The library would encode long ones as words.
        names = "\r\n ".join(letter.answers)
        head += f"In-Reply-To: {letter.answers[-1]}\r\nReferences: {names}\r\n".encode()
    return head + made.as_bytes().removesuffix(b"\r\n")


def _subject(text: str) -> bytes:
    """Write the subject's header. ASCII stays on one line: some readers show a fold."""
    said = _one_line(text)[:_LONGEST_SUBJECT]
    if said.isascii():
        policy = _WIRE.clone(max_line_length=_LONGEST_LINE)
        made = EmailMessage(policy=policy)
        made["Subject"] = said
        return made.as_bytes().removesuffix(b"\r\n")
    plain = said[: next(at for at, one in enumerate(said) if not one.isascii())]
    plain = plain[: plain.rfind(" ") + 1]
    # What would look like an encoded word is encoded itself.
    plain = "" if "=?" in plain or len(plain) > _WORD_BYTES else plain
    words = "\r\n ".join(_words_of(said[len(plain) :]))
    return f"Subject: {plain}{words}\r\n".encode()


def _from(name: str, address: str) -> bytes:
    checked = Address(name, addr_spec=address)
    if name.isascii():
        made = EmailMessage(policy=_WIRE)
        made["From"] = checked
        return made.as_bytes().removesuffix(b"\r\n")
    words = "\r\n ".join(_words_of(name))
    return f"From: {words}\r\n <{address}>\r\n".encode()


def _words_of(text: str) -> Iterator[str]:
    """Write a text as encoded words (RFC 2047 §2), none of which cuts a letter.

    The library's own folding loses spaces between them.
    """
    part = b""
    for one in text:
        letter = one.encode()
        if len(part) + len(letter) > _WORD_BYTES:
            yield _word(part)
            part = b""
        part += letter
    yield _word(part)


def _word(part: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(part).decode()}?="


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _inner(letter: Letter, *, hidden: bool) -> bytes:
    """Write the entity that is read, signed or encrypted: text and what is attached."""
    made = EmailMessage(policy=_WIRE)
    made.set_content(
        letter.text,
        cte="quoted-printable" if letter.text.isascii() else "base64",
    )
    for one in letter.attached:
        main, _, sub = one.kind.partition("/")
        made.add_attachment(one.content, maintype=main, subtype=sub, filename=one.name)
    del made["MIME-Version"]
    if made.is_multipart():
        made.set_boundary(_boundary(letter, b"", "parts"))
    if not hidden:
        return made.as_bytes()
    # RFC 9788: the true subject is protected inside.
    made.set_param("hp", "cipher")
    return _subject(letter.subject) + made.as_bytes()


def _boundary(letter: Letter, content: bytes, what: str) -> str:
    """Give a boundary that is the same for the same letter and is not in `content`."""
    number = 0
    while True:
        text = f"{letter.key} {what} {number}".encode()
        made = "=-" + hashlib.sha256(text).hexdigest()[:40]
        if made.encode() not in content:
            return made
        number += 1


def _signed(letter: Letter, inner: bytes, key: Key) -> bytes:
    """Write multipart/signed (RFC 3156 §5)."""
    # The line end before a boundary belongs to the boundary.
    entity = inner.removesuffix(b"\r\n")
    signature, micalg = key.sign(entity)
    mark = _boundary(letter, inner, "signed")
    return _multipart(
        letter,
        letter.subject,
        f'multipart/signed; micalg="{micalg}"; '
        f'protocol="application/pgp-signature"; boundary="{mark}"',
        mark,
        entity,
        _part(
            'application/pgp-signature; name="signature.asc"',
            signature,
        ),
    )


def _encrypted(letter: Letter, secret: bytes) -> bytes:
    """Write multipart/encrypted (RFC 3156 §4)."""
    mark = _boundary(letter, secret, "encrypted")
    return _multipart(
        letter,
        letter.cover or "...",
        f'multipart/encrypted; protocol="application/pgp-encrypted"; boundary="{mark}"',
        mark,
        _part("application/pgp-encrypted", b"Version: 1\r\n"),
        _part('application/octet-stream; name="encrypted.asc"', secret),
    )


def _part(kind: str, content: bytes) -> bytes:
    lines = re.sub(rb"\r?\n", b"\r\n", content)
    return f"Content-Type: {kind}\r\n\r\n".encode() + lines.removesuffix(b"\r\n")


def _multipart(
    letter: Letter, subject: str, kind: str, mark: str, *parts: bytes
) -> bytes:
    head = _headers(letter, subject) + f"Content-Type: {kind}\r\n\r\n".encode()
    line = f"--{mark}".encode()
    middle = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    return head + middle + line + b"--\r\n"


# --- handing it over -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How handing something over ended.

    event: what happened, as `rules.notice.DELIVERIES` names it: accept, defer, fail,
    bounce or lose. said: what the other side said, for a person.
    """

    event: str
    said: str


class Relay:
    """The SMTP server that mail of this node goes through. Close it after use."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: str = "starttls",
        user: str = "",
        password: str = "",
        sender: str = "",
        ca: str = "",
        hello: str = "",
        timeout: float = 30.0,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            host: its name or address.
            port: its port.
            security: `starttls` or `tls`, both with its certificate checked; `none`
                only for a server on this machine.
            user: whom to log in as; empty for nobody.
            password: of that user.
            sender: where bounces go (the envelope's sender).
            ca: PEM file of the only authorities to trust; empty for the system's.
            hello: what this machine calls itself; empty: its own name.
            timeout: seconds without an answer after which it counts as dead.

        Raises:
            ConfigError: a security that is none, or none where there must be one.
        """
        if security not in SECURITIES:
            raise ConfigError(
                f"mail.security is {security!r}, expected one of {SECURITIES}"
            )
        if security == "none" and host not in _LOOPBACK:
            raise ConfigError(
                f"mail.security is none, and {host} is another machine.",
                mend="Set mail.security to starttls or tls.",
            )
        self._address = (host, port)
        self._security = security
        self._login = (user, password)
        self._sender = sender
        self._hello = hello or None
        self._timeout = timeout
        self._context: ssl.SSLContext | None = None
        if security != "none":
            try:
                self._context = ssl.create_default_context(cafile=ca or None)
            except OSError as fault:
                raise ConfigError(f"mail.ca {ca} cannot be used: {fault}.") from fault
        self._open: smtplib.SMTP | None = None

    def send(self, to: str, message: bytes, handing: Callable[[], None]) -> Outcome:
        """Hand over one message to one recipient.

        Args:
            to: the only recipient.
            message: as `compose` gives it.
            handing: called when all but the message's last line was sent. What it
                raises goes to the caller, and the server keeps nothing.
        """
        try:
            smtp = self._connected()
            refusal = self._envelope(smtp, to, len(message))
        except (OSError, smtplib.SMTPException) as fault:
            self.close()
            return Outcome("defer", _words(fault))
        if refusal is not None:
            self.close()
            return refusal
        try:
            smtp.send(_stuffed(message))
        except (OSError, smtplib.SMTPException) as fault:
            self.close()
            return Outcome("defer", _words(fault))
        try:
            handing()
        except BaseException:
            self.close()
            raise
        try:
            smtp.send(b".\r\n")
            code, said = smtp.getreply()
        except (OSError, smtplib.SMTPException) as fault:
            self.close()
            return Outcome("lose", f"no answer to the message: {_words(fault)}")
        outcome = _judged(code, said)
        if outcome.event != "accept":
            self.close()
        return outcome

    def probe(self) -> str:
        """Connect and log in; gives what went wrong, empty when nothing did."""
        try:
            self._connected()
        except (OSError, smtplib.SMTPException) as fault:
            self.close()
            return _words(fault)
        return ""

    def _connected(self) -> smtplib.SMTP:
        """Give a connection that answers, the one at hand if it still does."""
        if self._open is not None:
            try:
                if self._open.noop()[0] == _ACCEPTED:
                    return self._open
            except (OSError, smtplib.SMTPException):
                pass
            self.close()
        host, port = self._address
        # Who wants to stop waits for this, and it is our own server.
        patience = min(self._timeout, _CONNECT_SECONDS)
        smtp: smtplib.SMTP
        if self._security == "tls":
            smtp = smtplib.SMTP_SSL(
                host,
                port,
                local_hostname=self._hello,
                timeout=patience,
                context=self._context,
            )
        else:
            smtp = smtplib.SMTP(
                host, port, local_hostname=self._hello, timeout=patience
            )
        self._open = smtp
        if smtp.sock is not None:
            smtp.sock.settimeout(self._timeout)
        smtp.ehlo_or_helo_if_needed()
        if self._security == "starttls":
            smtp.starttls(context=self._context)
            smtp.ehlo()
        user, password = self._login
        if user:
            smtp.login(user, password)
        return smtp

    def _envelope(self, smtp: smtplib.SMTP, to: str, size: int) -> Outcome | None:
        """Say from whom, to whom, and that a message comes; None: it may come."""
        options = [f"size={size}"] if smtp.has_extn("size") else []
        code, said = smtp.mail(self._sender, options)
        if code != _ACCEPTED:
            return _judged(code, said, ours=True)
        code, said = smtp.rcpt(to)
        # 251: the server passes it on itself (RFC 5321 §3.4).
        if code not in {_ACCEPTED, _ACCEPTED + 1}:
            return _judged(code, said)
        code, said = smtp.docmd("DATA")
        return None if code == _GO_ON else _judged(code, said, ours=True)

    def close(self) -> None:
        """End the connection, politely only when nothing is under way."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def leave(self) -> None:
        """Say good-bye, when everything was handed over."""
        if self._open is not None:
            try:
                self._open.quit()
            except (OSError, smtplib.SMTPException):
                self._open.close()
            self._open = None


def _stuffed(message: bytes) -> bytes:
    """Write a message for DATA, without its last line (RFC 5321 §4.5.2)."""
    lines = re.sub(rb"\r?\n", b"\r\n", message)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", lines)


_enhanced: Final = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}")
_about_the_mailbox: Final = re.compile(rb"5\.(1\.|2\.1$)")
_MAILBOX_CODES: Final = frozenset({550, 551, 553})


def _judged(code: int, said: bytes, *, ours: bool = False) -> Outcome:
    """Say what an answer means (RFC 5321 §4.2.1, RFC 3463).

    ours: whether a refusal cannot be the recipient's fault.
    """
    words = f"{code} {_clean(said)}"
    if code in {_ACCEPTED, _ACCEPTED + 1}:
        return Outcome("accept", words)
    if code < _REFUSED:
        return Outcome("defer", words)
    found = _enhanced.match(said)
    if found is not None:
        mailbox = _about_the_mailbox.match(found[0]) is not None
    else:
        mailbox = code in _MAILBOX_CODES
    return Outcome("bounce" if mailbox and not ours else "fail", words)


def _clean(said: bytes) -> str:
    text = said.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)[:_SHOWN]


def _words(fault: BaseException) -> str:
    if isinstance(fault, smtplib.SMTPResponseException):
        error = fault.smtp_error
        raw = error if isinstance(error, bytes) else str(error).encode()
        return f"{fault.smtp_code} {_clean(raw)}"
    return _clean(str(fault).encode("utf-8", "replace")) or type(fault).__name__
