"""An IMAP server over TLS with one folder: as much of RFC 9051 as a reader needs."""

import re
import shlex
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from certificates import write_certificate


@dataclass
class Mailbox:
    """What the server has. flags: of each mail, by its number from 1."""

    mails: dict[int, bytes] = field(default_factory=dict)
    flags: dict[int, set[str]] = field(default_factory=dict)
    user: str = "rat@th.example"
    password: str = "open sesame"
    folder: str = "INBOX/Reports"
    refuses: str = ""

    def add(self, raw: bytes) -> int:
        number = len(self.mails) + 1
        self.mails[number] = raw
        self.flags[number] = set()
        return number


class _Session(socketserver.StreamRequestHandler):
    server: "_Server"

    def say(self, *lines: bytes) -> None:
        self.wfile.write(b"".join(line + b"\r\n" for line in lines))

    def handle(self) -> None:
        box = self.server.box
        self.say(b"* OK ready")
        while line := self.rfile.readline():
            tag, _, rest = line.decode().strip().partition(" ")
            words = shlex.split(rest)
            verb = " ".join(words[:2] if words[0].upper() == "UID" else words[:1])
            verb = verb.upper()
            answer = tag.encode() + b" OK done"
            if verb == box.refuses:
                answer = tag.encode() + b" NO not today"
            elif verb == "CAPABILITY":
                self.say(b"* CAPABILITY IMAP4rev1")
            elif verb == "LOGIN" and words[1:] != [box.user, box.password]:
                answer = tag.encode() + b" NO wrong login"
            elif verb == "SELECT":
                if words[1] != box.folder:
                    answer = tag.encode() + b" NO no such folder"
                else:
                    self.say(b"* %d EXISTS" % len(box.mails))
            elif verb == "UID SEARCH":
                assert words[2:] == ["UNSEEN", "UNFLAGGED"]
                new = [
                    str(number)
                    for number, flags in box.flags.items()
                    if not flags & {"\\Seen", "\\Flagged"}
                ]
                self.say(b"* SEARCH " + " ".join(new).encode())
            elif verb == "UID FETCH":
                self.fetch(int(words[2]), " ".join(words[3:]))
            elif verb == "UID STORE":
                flags = re.findall(r"\\\\?(\w+)", rest.partition("(")[2])
                box.flags[int(words[2])] |= {f"\\{one}" for one in flags}
            elif verb == "LOGOUT":
                self.say(b"* BYE", answer)
                return
            self.say(answer)

    def fetch(self, number: int, what: str) -> None:
        raw = self.server.box.mails[number]
        if "SIZE" in what:
            self.say(b"* 1 FETCH (UID %d RFC822.SIZE %d)" % (number, len(raw)))
            return
        assert what == "(BODY.PEEK[])"
        self.wfile.write(b"* 1 FETCH (UID %d BODY[] {%d}\r\n" % (number, len(raw)))
        self.wfile.write(raw)
        self.say(b")")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, box: Mailbox, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.box = box
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""


@contextmanager
def imap_server(folder: Path, box: Mailbox) -> Iterator[tuple[int, ssl.SSLContext]]:
    """Serve a mailbox; gives the port, and what trusts the server."""
    certificate, key = write_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Server(box, context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            trusted = ssl.create_default_context(cafile=str(certificate))
            yield int(server.server_address[1]), trusted
        finally:
            server.shutdown()
            thread.join()
