"""A real SMTP server on loopback, which can be told to fail at each step.

It runs on an event loop in a thread of its own and keeps what it accepted, as the bytes
came. It also counts messages that ended before their last line: those it keeps not.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path, *, days: int = 30) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 and its key; it is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.fromtimestamp(time.time(), tz=datetime.UTC)
    now -= datetime.timedelta(days=60)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=60 + days))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "mail-cert.pem", folder / "mail-key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, secret


@dataclass
class Accepted:
    """One message that was accepted: envelope and content."""

    sender: str
    recipients: list[str]
    content: bytes
    secure: bool
    user: str


@dataclass
class Mailbox:
    """What a server is told and what it got.

    answers: by the first word of a command, or `END` for that to a whole message: what
    is said instead; `CLOSE` hangs up without a word. before: called before a command is
    answered. hold: called when a message is kept, before that is said.
    """

    port: int = 0
    accepted: list[Accepted] = field(default_factory=list)
    unfinished: int = 0
    connections: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    hold: Callable[[], object] | None = None
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    starttls: bool = True
    login: tuple[str, str] | None = None

    @property
    def messages(self) -> list[bytes]:
        return [each.content for each in self.accepted]


def _between(line: str) -> str:
    """Give the address in a command."""
    return line.partition("<")[2].partition(">")[0]


class _Session:
    def __init__(
        self,
        box: Mailbox,
        context: ssl.SSLContext | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        secure: bool,
    ) -> None:
        self.box, self.context = box, context
        self.reader, self.writer = reader, writer
        self.secure = secure
        self.user = self.sender = ""
        self.recipients: list[str] = []

    async def say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()

    async def run(self) -> None:
        self.box.connections += 1
        try:
            await self.say("220 catcher")
            while line := await self.reader.readline():
                if not await self.command(line.decode("latin-1").strip()):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.writer.close()
            with suppress(Exception):
                await self.writer.wait_closed()

    async def command(self, line: str) -> bool:
        verb = line.split(" ", 1)[0].upper()
        if verb in self.box.before:
            self.box.before.pop(verb)()
        told = self.box.answers.get(verb)
        if told == "CLOSE":
            return False
        if told is not None:
            await self.say(told)
            return True
        if verb in {"EHLO", "HELO"}:
            extra = ["250-catcher", "250-SIZE 50000000"]
            if self.box.starttls and not self.secure:
                extra.append("250-STARTTLS")
            if self.box.login is not None:
                extra.append("250-AUTH PLAIN")
            await self.say("\r\n".join([*extra, "250 8BITMIME"]))
        elif verb == "STARTTLS":
            await self.say("220 go on")
            assert self.context is not None
            await self.writer.start_tls(self.context)
            self.secure = True
        elif verb == "AUTH":
            _, user, password = base64.b64decode(line.split()[2]).split(b"\0")
            if (user.decode(), password.decode()) == self.box.login:
                self.user = user.decode()
                await self.say("235 in")
            else:
                await self.say("535 5.7.8 no")
        elif verb == "MAIL":
            self.sender, self.recipients = _between(line), []
            await self.say("250 ok")
        elif verb == "RCPT":
            self.recipients.append(_between(line))
            await self.say("250 ok")
        elif verb == "DATA":
            await self.say("354 go on")
            return await self.message()
        elif verb == "QUIT":
            await self.say("221 bye")
            return False
        else:
            await self.say("250 ok")
        return True

    async def message(self) -> bool:
        lines = []
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\n"):
                # RFC 5321 §4.1.1.4: without its end there is no message.
                self.box.unfinished += 1
                return False
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        told = self.box.answers.get("END")
        if told is not None and told[:1] != "2" and told != "LOSE":
            if told == "CLOSE":
                return False
            await self.say(told)
            return True
        self.box.accepted.append(
            Accepted(
                self.sender,
                list(self.recipients),
                b"".join(lines),
                self.secure,
                self.user,
            )
        )
        if self.box.hold is not None:
            self.box.hold()
        if told == "LOSE":
            return False
        await self.say(told or "250 2.0.0 kept")
        return True


@contextmanager
def smtp_server(
    folder: Path | None = None, *, implicit: bool = False, days: int = 30
) -> Iterator[Mailbox]:
    """Run a server; with a folder it has a certificate there, else no TLS."""
    box = Mailbox()
    context: ssl.SSLContext | None = None
    if folder is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(folder, days=days))
    box.starttls = context is not None
    ready = threading.Event()
    stops: list[Callable[[], object]] = []

    async def serve() -> None:
        async def meet(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await _Session(box, context, reader, writer, implicit).run()

        more: dict[str, Any] = {"ssl": context} if implicit else {}
        server = await asyncio.start_server(
            meet, "127.0.0.1", 0, limit=100_000_000, **more
        )
        box.port = server.sockets[0].getsockname()[1]
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        ready.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield box
    finally:
        stops[0]()
        thread.join(30)
