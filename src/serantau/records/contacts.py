"""The rows of contacts: the only addresses that anything is ever sent to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from serantau.errors import BadRequest, NotFound
from serantau.records import acts, tables
from serantau.records.database import Tx
from serantau.records.seal import Seal
from serantau.rules.contact import (
    Contact,
    Kind,
    State,
    read_address,
    read_language,
)

_FIND: Final = (
    "SELECT c.*, p.name AS party_name FROM contact c JOIN party p ON p.n = c.party "
)


class Contacts:
    """Reads and changes contacts. The secret of a webhook is sealed in the store."""

    def all(self, tx: Tx, party: str = "") -> list[Contact]:
        """Give the contacts of one party, or of all, without secrets."""
        rows = tx.rows(
            _FIND + "WHERE :party = '' OR p.name = :party ORDER BY p.name, c.n",
            party=party,
        )
        return [_contact(row) for row in rows]

    def get(self, tx: Tx, number: int, seal: Seal | None = None) -> Contact:
        """Give one contact; with its secret when there is a key to open it.

        Raises:
            NotFound: there is none of this number.
        """
        row = tx.row(_FIND + "WHERE c.n = :number", number=number)
        if row is None:
            raise _unknown(number)
        found = _contact(row)
        return found if seal is None else replace(found, secret=seal.open(row.secret))

    def put(self, tx: Tx, contact: Contact, seal: Seal | None = None) -> Contact:
        """Add a contact, or change the one at this address; that unblocks it.

        Args:
            tx: a transaction that writes.
            contact: what to add. An empty certificate or secret leaves the held one.
            seal: needed when there is a secret.

        Raises:
            BadRequest: an address or language that is none.
            NotFound: no party has its name.
        """
        try:
            address = read_address(contact.kind, contact.address)
            language = read_language(contact.language)
        except ValueError as fault:
            raise BadRequest(f"{fault}.") from fault
        party = tx.value("SELECT n FROM party WHERE name = :name", name=contact.party)
        if party is None:
            raise NotFound(
                f"No party is named {contact.party!r}.",
                mend="`serantau party list` shows them.",
            )
        now = tx.clock.now()
        place = {"party": int(party), "kind": str(contact.kind), "address": address}
        held = tx.row(
            "SELECT n, certificate, secret FROM contact WHERE party = :party "
            "AND kind = :kind AND address = :address",
            **place,
        )
        sealed = seal.seal(contact.secret) if seal is not None else ""
        values: dict[str, Any] = {
            "language": language,
            "certificate": contact.certificate or (held.certificate if held else ""),
            "secret": sealed or (held.secret if held else ""),
            "state": str(State.ACTIVE),
            "fault": "",
            "changed": now,
        }
        acts.decided(
            tx,
            "added a contact" if held is None else "changed a contact",
            contact.party,
            after={"kind": place["kind"], "address": address, "language": language},
        )
        if held is None:
            number = tx.insert(tables.contact, {**place, **values, "created": now})
            return self.get(tx, number)
        fields = ", ".join(f"{name} = :{name}" for name in values)
        tx.run(
            f"UPDATE contact SET {fields} WHERE n = :number", number=held.n, **values
        )
        return self.get(tx, int(held.n))

    def mark(self, tx: Tx, number: int, state: State, fault: str = "") -> None:
        """Say whether a contact is written to from now on, and why not.

        A blocked contact stays blocked, whatever bounces.

        Raises:
            NotFound: there is none of this number.
        """
        self.get(tx, number)
        tx.run(
            "UPDATE contact SET state = :state, fault = :fault, changed = :now "
            "WHERE n = :number AND (state <> 'blocked' OR :state <> 'bouncing')",
            state=str(state),
            fault=fault[:500],
            now=tx.clock.now(),
            number=number,
        )

    def remove(self, tx: Tx, number: int) -> None:
        """Forget a contact. What was sent to it stays in the ledger of deliveries.

        Raises:
            NotFound: there is none of this number.
        """
        held = self.get(tx, number)
        tx.run("DELETE FROM contact WHERE n = :number", number=number)
        acts.decided(
            tx, "removed a contact", held.party, before={"address": held.address}
        )


def _unknown(number: int) -> NotFound:
    return NotFound(
        f"There is no contact {number}.", mend="`serantau contact list` shows them."
    )


def _contact(row: Any) -> Contact:
    return Contact(
        party=row.party_name,
        kind=Kind(row.kind),
        address=row.address,
        language=row.language,
        certificate=row.certificate,
        state=State(row.state),
        fault=row.fault,
        number=int(row.n),
    )
