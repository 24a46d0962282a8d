"""A mail server of the demo: what it is given it keeps, and nothing goes further."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Final, cast

_SILENT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Caught:
    """One mail as it came: to whom the envelope said, and its bytes."""

    recipients: tuple[str, ...]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """Give the mail, parsed."""
        return BytesParser(policy=default).parsebytes(self.raw)

    @property
    def key(self) -> str:
        """Give the idempotency key that its Message-ID carries."""
        return str(self.message["Message-ID"]).strip("<>").partition("@")[0]


class Catcher(socketserver.ThreadingTCPServer):
    """Listens on this machine only. Use it as a context manager."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a port that is free."""
        super().__init__(("127.0.0.1", 0), _Talk)
        self.mails: list[Caught] = []
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Give the port that it listens on."""
        return int(self.server_address[1])

    def __enter__(self) -> Catcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Talk(socketserver.StreamRequestHandler):
    """One connection, as RFC 5321 has it."""

    timeout = _SILENT_SECONDS

    def handle(self) -> None:
        recipients: list[str] = []
        self._say("220 caught here")
        while line := self.rfile.readline():
            verb, _, rest = line.decode("latin-1").strip().partition(" ")
            match verb.upper():
                case "QUIT":
                    self._say("221 bye")
                    return
                case "MAIL" | "RSET":
                    recipients = []
                case "RCPT":
                    recipients.append(rest.partition("<")[2].partition(">")[0])
                case "DATA":
                    self._say("354 go on")
                    raw = self._content()
                    if raw is None:
                        return
                    catcher = cast("Catcher", self.server)
                    catcher.mails.append(Caught(tuple(recipients), raw))
            self._say("250 ok")

    def _content(self) -> bytes | None:
        """Read up to the last line; without it there is no message (§4.1.1.4)."""
        lines: list[bytes] = []
        while line := self.rfile.readline():
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line.removeprefix(b"."))
        return None

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")
