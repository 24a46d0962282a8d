"""What a party keeps for itself beside a case: notes, tasks and files.

Nothing of it is an object, and it is in no log: only the board of this node shows it.
"""

from __future__ import annotations

from typing import Final

from serantau.errors import BadRequest
from serantau.node import Node
from serantau.records import acts
from serantau.records.cases import Cases

MOST_FILE: Final = 32 * 1024 * 1024


class Private:
    """What stays in one node."""

    def __init__(self, node: Node) -> None:
        """Keep in `node`."""
        self._node = node
        self._cases = Cases()

    def note(self, name: str, text: str) -> int:
        """Keep a note that never leaves this node; gives its number.

        Raises:
            NotFound: no such case.
            BadRequest: it is empty.
        """
        if not text.strip():
            raise BadRequest("The note is empty.")
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            acts.decided(tx, "kept a private note", case)
            return self._cases.add_note(tx, case, _actor(), text)

    def add_task(self, name: str, title: str, due: int = 0) -> int:
        """Keep a task that never leaves this node; gives its number.

        Raises:
            NotFound: no such case.
            BadRequest: it is empty.
        """
        if not title.strip():
            raise BadRequest("The task is empty.")
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            acts.decided(tx, "kept a private task", case)
            return self._cases.add_task(tx, case, _actor(), title, due)

    def end_task(self, name: str, number: int) -> None:
        """Say that a private task is done.

        Raises:
            NotFound: no such case or task.
        """
        with self._node.db.write() as tx:
            self._cases.end_task(tx, self._cases.find(tx, name).id, number)

    def add_file(self, name: str, file: str, content: bytes) -> int:
        """Keep a file that never leaves this node; gives its number.

        Raises:
            NotFound: no such case.
            BadRequest: it is too large.
        """
        if len(content) > MOST_FILE:
            raise BadRequest(
                f"{file} has {len(content):,} bytes, expected {MOST_FILE:,} at most."
            )
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            acts.decided(tx, "kept a private file", case)
            return self._cases.add_file(tx, case, _actor(), file, content)

    def file(self, name: str, number: int) -> tuple[str, bytes]:
        """Give the name and content of a private file.

        Raises:
            NotFound: no such case or file.
        """
        with self._node.db.read() as tx:
            case = self._cases.find(tx, name).id
            content = self._cases.file(tx, case, number)
            held = {each.n: each.name for each in self._cases.files(tx, case)}
        return held[number], content


def _actor() -> str:
    by = acts.who()
    return by.who if by is not None else ""
