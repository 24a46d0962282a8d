"""How much of the cases here came from one party: what limits on that are held against.

What came without a proof of who wrote it is counted by itself, so that nobody uses up
what another party may bring by writing in its name.
"""

from __future__ import annotations

from collections.abc import Iterable

from serantau.records.database import Tx

_PROVEN = "(e.standing = 'valid') = :proven"


class CaseFloods:
    """Counts of entries that are here, by who wrote them."""

    def brought(self, tx: Tx, author: str, proven: bool, since: int) -> int:
        """Count the cases whose first entry here is a party's.

        Those that came since an instant, and those that are not closed.
        """
        return int(
            tx.value(
                "SELECT count(*) FROM (SELECT case_id, min(added) AS first "
                "FROM case_entry GROUP BY case_id) f "
                "JOIN case_entry e ON e.added = f.first "
                "LEFT JOIN case_board b ON b.id = f.case_id "
                f"WHERE e.author = :author AND {_PROVEN} "
                "AND (f.first > :since OR coalesce(b.closed, 0) = 0)",
                author=author,
                proven=proven,
                since=since,
            )
        )

    def came(self, tx: Tx, author: str, proven: bool, since: int) -> int:
        """Count the entries of a party that came since an instant."""
        return int(
            tx.value(
                "SELECT count(*) FROM case_entry e "
                f"WHERE e.added > :since AND e.author = :author AND {_PROVEN}",
                author=author,
                proven=proven,
                since=since,
            )
        )

    def within(self, tx: Tx, case: str, author: str, proven: bool, most: int) -> int:
        """Count the entries of a party in one case, where that can be `most` at all."""
        every = int(
            tx.value("SELECT count(*) FROM case_entry WHERE case_id = :case", case=case)
        )
        if every < most:
            return 0
        return int(
            tx.value(
                "SELECT count(*) FROM case_entry e "
                f"WHERE e.case_id = :case AND e.author = :author AND {_PROVEN}",
                case=case,
                author=author,
                proven=proven,
            )
        )

    def known(self, tx: Tx, cases: Iterable[str]) -> set[str]:
        """Give those of some cases of which an entry is here."""
        rows = tx.rows(
            "SELECT DISTINCT case_id FROM case_entry WHERE "
            + tx.among("case_id", "cases"),
            cases=tx.array(cases),
        )
        return {row.case_id for row in rows}

    def lacking(self, tx: Tx) -> list[str]:
        """Give the cases on the board with entries that wait for one not here."""
        rows = tx.rows("SELECT id FROM case_board WHERE waiting > 0 ORDER BY id")
        return [row.id for row in rows]

    def held_back(self, tx: Tx, rules: Iterable[str], ids: Iterable[str]) -> set[str]:
        """Give those of some objects that wait in quarantine by some rules."""
        rows = tx.rows(
            f"SELECT DISTINCT id FROM quarantine WHERE {tx.among('rule', 'rules')} "
            f"AND {tx.among('id', 'ids')}",
            rules=tx.array(rules),
            ids=tx.array(ids),
        )
        return {row.id for row in rows}

    def waiting(self, tx: Tx, rules: Iterable[str], source: str) -> int:
        """Count what waits in quarantine by some rules from one source."""
        return int(
            tx.value(
                "SELECT count(*) FROM quarantine WHERE source = :source AND "
                + tx.among("rule", "rules"),
                source=source,
                rules=tx.array(rules),
            )
        )
