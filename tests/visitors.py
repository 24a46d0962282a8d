"""Somebody at the pages of a node: signed in, sending forms as a browser does."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from litestar.testing import TestClient

from doors import PASSWORD
from serantau.apps.web.server import Doors, create_app
from serantau.node import Node
from serantau.records.sessions import Person, Sessions, put_person, user_number

HOST = "http://testserver.local"
HTML = {"Accept": "text/html,application/xhtml+xml", "Origin": HOST}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(html: str) -> str:
    """What a reader sees of a page, spaces as one."""
    parser = _Text()
    parser.feed(html)
    return " ".join(" ".join(parser.parts).split())


@dataclass
class Visitor:
    """A browser without a screen. `secret`: of its session, empty for nobody's."""

    client: TestClient[Doors]
    secret: str = ""

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        # The client is everybody's: it must keep nobody's cookie.
        self.client.cookies.clear()
        cookie = {"Cookie": f"serantau={self.secret}"} if self.secret else {}
        return {**HTML, **cookie, **more}

    def get(self, path: str, **headers: str) -> Any:
        """Open a page; redirections are shown, not followed."""
        return self.client.get(
            path, headers=self._headers(headers), follow_redirects=False
        )

    def read(self, path: str) -> str:
        """Open a page that must be there, and give what a reader sees."""
        answer = self.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        return text_of(answer.text)

    @property
    def token(self) -> str:
        """The token that a form of this session has."""
        plain = hashlib.sha256(f"csrf:{self.secret}".encode()).digest()[:16]
        return "00" * 16 + plain.hex()

    def send(self, path: str, *, files: Any = None, **fields: Any) -> Any:
        """Send a form with its token; redirections are shown, not followed."""
        return self.client.post(
            path,
            data={"csrf": self.token, **fields},
            files=files,
            headers=self._headers({}),
            follow_redirects=False,
        )


def signed_in(
    node: Node,
    name: str,
    role: str = "",
    *,
    party: str = "",
    person: Person | None = None,
) -> str:
    """Sign a user of a node in, and give its session's secret.

    With a role the user is made first.
    """
    sessions = Sessions(node.registry, hours=12, idle_minutes=60)
    with node.db.write() as tx:
        if role:
            whose = party or node.audiences.own
            node.registry.add_user(tx, name, whose, role, PASSWORD)
        number = user_number(tx, name)
        if person is not None:
            put_person(tx, number, person)
        return sessions.open(tx, number, "password")


@dataclass
class Pages:
    """The pages of a node, in memory."""

    node: Node
    client: TestClient[Doors]

    def stranger(self) -> Visitor:
        """Somebody who is not signed in."""
        return Visitor(self.client)

    def visitor(self, name: str, role: str = "", **more: Any) -> Visitor:
        """A user who is signed in; with a role a new one (see `signed_in`)."""
        return Visitor(self.client, signed_in(self.node, name, role, **more))


@contextmanager
def pages_of(node: Node) -> Iterator[Pages]:
    """Serve the pages of a node, in memory."""
    with TestClient(create_app(node), base_url=HOST) as client:
        yield Pages(node, client)
