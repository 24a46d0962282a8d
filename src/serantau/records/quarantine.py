"""What was refused is kept, with the reason, until someone retries or drops it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.errors import NotFound
from serantau.records import acts
from serantau.records.database import Tx


@dataclass(frozen=True, slots=True)
class Fault:
    """Something refused: its bytes, and the finding.

    origin: where it stood, such as "feed.json object 17". rule, place (a JSON pointer),
    got, expected: the finding. id: the STIX id, when it could be read.
    """

    body: bytes
    rule: str
    place: str
    got: str
    expected: str
    origin: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A row of the quarantine, as it is shown and retried."""

    number: int
    at: int
    source: str
    origin: str
    id: str
    rule: str
    place: str
    got: str
    expected: str
    handle_as: str
    boxes: tuple[int, ...]
    size: int


_COLUMNS = (
    "n, at, source, origin, id, rule, place, got, expected, handle_as, collections, "
    "length(body) AS size"
)


class Quarantine:
    """The rows of things refused."""

    def hold(
        self,
        tx: Tx,
        source: str,
        faults: Iterable[Fault],
        *,
        handle_as: str = "",
        boxes: Sequence[int] = (),
    ) -> int:
        """Keep what was refused; the same bytes from the same source are kept once.

        Of what was too large to keep there is only the finding, told apart by its
        place in the input.
        """
        kept = 0
        for fault in faults:
            kept += tx.run(
                "INSERT INTO quarantine (at, source, origin, id, rule, place, got, "
                "expected, digest, handle_as, collections, body) VALUES (:at, :source, "
                ":origin, :id, :rule, :place, :got, :expected, :digest, :handle_as, "
                ":boxes, :body) "
                "ON CONFLICT (source, digest) DO NOTHING",
                at=tx.clock.now(),
                source=source,
                origin=_clean(fault.origin),
                id=_clean(fault.id),
                rule=fault.rule,
                place=_clean(fault.place),
                got=_clean(fault.got),
                expected=_clean(fault.expected),
                digest=_digest(fault),
                handle_as=handle_as,
                boxes=orjson.dumps(list(boxes)).decode(),
                body=fault.body,
            )
        return kept

    def count(self, tx: Tx) -> int:
        """Count what is held."""
        return int(tx.value("SELECT count(*) FROM quarantine"))

    @staticmethod
    def refused_by(tx: Tx, rules: Iterable[str]) -> Sequence[int]:
        """Give the numbers of what these rules refused, oldest first."""
        rows = tx.rows(
            "SELECT n FROM quarantine WHERE "
            + tx.among("rule", "rules")
            + " ORDER BY n",
            rules=tx.array(rules),
        )
        return [int(row.n) for row in rows]

    @staticmethod
    def by_rules(tx: Tx, rules: Iterable[str], limit: int) -> Sequence[Held]:
        """Give what these rules refused, oldest first."""
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM quarantine WHERE "
            + tx.among("rule", "rules")
            + " ORDER BY n LIMIT :limit",
            rules=tx.array(rules),
            limit=limit,
        )
        return [_held(row) for row in rows]

    @staticmethod
    def counts(tx: Tx, most: int) -> Sequence[tuple[str, int]]:
        """Count the newest of what is held by the rule that refused it."""
        rows = tx.rows(
            "SELECT rule, count(*) AS held FROM (SELECT rule FROM quarantine "
            "ORDER BY n DESC LIMIT :most) q GROUP BY rule ORDER BY 2 DESC, rule",
            most=most,
        )
        return [(str(row.rule), int(row.held)) for row in rows]

    def list(
        self,
        tx: Tx,
        *,
        after: int = 0,
        limit: int = 100,
        source: str = "",
        rule: str = "",
    ) -> list[Held]:
        """List what is held, oldest first."""
        rows = tx.rows(
            f"SELECT {_COLUMNS} FROM quarantine WHERE n > :after "
            "AND (:source = '' OR source = :source) "
            "AND (:rule = '' OR rule = :rule) ORDER BY n LIMIT :limit",
            after=after,
            limit=limit,
            source=source,
            rule=rule,
        )
        return [_held(row) for row in rows]

    def get(self, tx: Tx, number: int) -> tuple[Held, bytes]:
        """Give one row and its bytes.

        Raises:
            NotFound: nothing with this number is held.
        """
        row = tx.row(
            f"SELECT {_COLUMNS}, body FROM quarantine WHERE n = :number",
            number=number,
        )
        if row is None:
            raise NotFound(
                f"Nothing numbered {number} is in quarantine.",
                mend="`serantau quarantine list` shows what is.",
            )
        return _held(row), bytes(row.body)

    def dismiss(self, tx: Tx, number: int) -> None:
        """Let a person forget one for good.

        Raises:
            NotFound: nothing with this number is held.
        """
        held, _ = self.get(tx, number)
        about = f"{number} {held.id}".strip()
        before = {"rule": held.rule, "source": held.source}
        acts.decided(tx, "dropped from quarantine", about, before=before)
        self.drop(tx, number)

    def drop(self, tx: Tx, number: int) -> None:
        """Forget one row for good."""
        if not tx.run("DELETE FROM quarantine WHERE n = :number", number=number):
            raise NotFound(f"Nothing numbered {number} is in quarantine.")


def _digest(fault: Fault) -> str:
    told = fault.body or "\0".join(
        ("", fault.origin, fault.rule, fault.place, fault.got)
    ).encode("utf-8", "replace")
    return hashlib.sha256(told).hexdigest()


def _clean(text: str) -> str:
    """PostgreSQL takes no NUL in text, and a finding may quote a hostile one."""
    return text.replace("\x00", "\\u0000").encode("utf-8", "replace").decode()[:2000]


def _held(row: Any) -> Held:
    return Held(
        number=row.n,
        at=row.at,
        source=row.source,
        origin=row.origin,
        id=row.id,
        rule=row.rule,
        place=row.place,
        got=row.got,
        expected=row.expected,
        handle_as=row.handle_as,
        boxes=tuple(orjson.loads(row.collections)),
        size=row.size,
    )
