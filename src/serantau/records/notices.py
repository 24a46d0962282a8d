"""Notices, their deliveries, and what was told: the ledger behind "never twice".

A notice and the findings that it tells of are one transaction, and writers take turns:
two workers that look at the same rows make one notice. A delivery is taken under a
lease. Each step that it goes is written before the next is done, and only by whoever
holds the lease (its end is the fence), so that a worker that was frozen and comes back
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import zstandard

from serantau.errors import Conflict, NotFound
from serantau.records import acts, tables
from serantau.records.database import Tx
from serantau.rules.notice import (
    DAY,
    DELIVERIES,
    NOTICES,
    Mute,
    Sending,
    Setting,
    State,
    Told,
)

_AT_ONCE: Final = 5_000
_SETTINGS: Final = (
    *("automatic", "least_severity", "least_rows"),
    *("compromised_days", "other_days"),
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice, without what is attached.

    group: the RSIT class. day: `YYYY-MM-DD`, UTC. round: from 1; a later one tells what
    came late for that day. facts: what its text is written from (desk.notify).
    """

    number: int
    party: str
    party_number: int
    group: str
    day: str
    round: int
    state: State
    made: int
    changed: int
    actor: str
    fault: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice to one contact. lease: until when it is taken; 0 when it is not.

    released: whether it is in the release log. address: empty when the contact is gone.
    """

    number: int
    notice: int
    contact: int
    party: str
    address: str
    key: str
    state: Sending
    tries: int
    due: int
    lease: int
    released: bool
    fault: str


class Notices:
    """Reads and writes notices, deliveries, mutes, settings and what was told."""

    # --- what is quiet ----------------------------------------------------------------

    def told(self, tx: Tx, party: int, findings: Iterable[int]) -> dict[int, Told]:
        """Give when these findings were told of last; those that never were are out."""
        wanted = list(findings)
        found: dict[int, Told] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            rows = tx.rows(
                "SELECT finding, at, severity FROM told WHERE party = :party AND "
                + tx.among("finding", "findings"),
                party=party,
                findings=tx.array(wanted[start : start + _AT_ONCE]),
            )
            found |= {int(row.finding): Told(row.at, row.severity) for row in rows}
        return found

    def teller(self, tx: Tx, party: int, finding: int) -> int | None:
        """Give the number of the notice that told of a finding last, if it is here."""
        held = tx.value(
            "SELECT n.n FROM told t JOIN notice n ON n.n = t.notice "
            "WHERE t.party = :party AND t.finding = :finding",
            party=party,
            finding=finding,
        )
        return None if held is None else int(held)

    def mutes(self, tx: Tx, party: str = "") -> list[Mute]:
        """Give the mutes of one owner or of all, also those that ended."""
        rows = tx.rows(
            'SELECT m.n, p.name AS party, m.network, m."class" AS grp, m.feed, '
            "m.until, m.reason FROM mute m JOIN party p ON p.n = m.party "
            "WHERE :party = '' OR p.name = :party ORDER BY m.n",
            party=party,
        )
        return [
            Mute(r.party, r.network, r.grp, r.feed, r.until, r.reason, int(r.n))
            for r in rows
        ]

    def mute(self, tx: Tx, mute: Mute) -> int:
        """Add a mute that `rules.notice.read_mute` gave; gives its number."""
        said = {"network": mute.network, "class": mute.group, "feed": mute.feed}
        acts.decided(tx, "muted", mute.party, after=said, why=mute.reason)
        return tx.insert(
            tables.mute,
            {
                "party": _party(tx, mute.party),
                "network": mute.network,
                "class": mute.group,
                "feed": mute.feed,
                "until": mute.until,
                "reason": mute.reason,
                "at": tx.clock.now(),
            },
        )

    def unmute(self, tx: Tx, number: int) -> None:
        """Take a mute away.

        Raises:
            NotFound: there is none of this number.
        """
        if not tx.run("DELETE FROM mute WHERE n = :number", number=number):
            raise NotFound(f"There is no mute {number}.")
        acts.decided(tx, "ended a mute", str(number))

    def settings(self, tx: Tx) -> list[Setting]:
        """Give every setting of owners and classes."""
        rows = tx.rows(
            "SELECT coalesce(p.name, '') AS name, s.\"class\" AS grp, s.automatic, "
            "s.least_severity, s.least_rows, s.compromised_days, s.other_days "
            "FROM notice_setting s LEFT JOIN party p ON p.n = s.party "
            "WHERE s.party = 0 OR p.n IS NOT NULL ORDER BY name, grp"
        )
        return [
            Setting(
                row.name,
                row.grp,
                None if row.automatic is None else bool(row.automatic),
                *(getattr(row, name) for name in _SETTINGS[1:]),
            )
            for row in rows
        ]

    def put_setting(self, tx: Tx, setting: Setting) -> None:
        """Set what of a setting is not None; the rest of it stays."""
        party = _party(tx, setting.party) if setting.party else 0
        place = {"party": party, "grp": setting.group}
        said = {name: getattr(setting, name) for name in _SETTINGS}
        about = f"{setting.party or 'every owner'} {setting.group}".strip()
        acts.decided(tx, "set how owners are told", about, after=said)
        tx.run(
            'INSERT INTO notice_setting (party, "class") VALUES (:party, :grp) '
            "ON CONFLICT DO NOTHING",
            **place,
        )
        for name, value in said.items():
            if value is not None:
                tx.run(
                    f"UPDATE notice_setting SET {name} = :value "
                    'WHERE party = :party AND "class" = :grp',
                    value=value,
                    **place,
                )

    # --- notices ----------------------------------------------------------------------

    def make(
        self,
        tx: Tx,
        *,
        party: str,
        group: str,
        day: str,
        state: State,
        actor: str,
        facts: Mapping[str, Any],
        csv: bytes,
        told: Mapping[int, int],
    ) -> Notice:
        """Keep a notice, and that its findings are told of: finding -> severity.

        `late` in its facts is the number of the notice before for the same day, or 0.
        """
        number = _party(tx, party)
        now = tx.clock.now()
        before = tx.row(
            'SELECT n, round FROM notice WHERE party = :party AND "class" = :grp '
            "AND day = :day ORDER BY round DESC LIMIT 1",
            party=number,
            grp=group,
            day=day,
        )
        late = int(before.n) if before is not None else 0
        made = tx.insert(
            tables.notice,
            {
                "party": number,
                "class": group,
                "day": day,
                "round": int(before.round) + 1 if before is not None else 1,
                "state": str(state),
                "made": now,
                "changed": now,
                "actor": actor,
                "fault": "",
                "facts": orjson.dumps({**facts, "late": late}).decode(),
                "rows_csv": zstandard.compress(csv),
            },
        )
        findings = list(told)
        for start in range(0, len(findings), _AT_ONCE):
            tx.run(
                "DELETE FROM told WHERE party = :party AND "
                + tx.among("finding", "findings"),
                party=number,
                findings=tx.array(findings[start : start + _AT_ONCE]),
            )
        tx.insert_many(
            tables.told,
            ("party", "finding", "at", "severity", "notice"),
            [(number, each, now, worst, made) for each, worst in sorted(told.items())],
        )
        return self.get(tx, made)

    def get(self, tx: Tx, number: int) -> Notice:
        """Give one notice.

        Raises:
            NotFound: there is none of this number.
        """
        row = tx.row(_NOTICE + "WHERE n.n = :number", number=number)
        if row is None:
            raise NotFound(
                f"There is no notice {number}.",
                mend="`serantau notice list` shows them.",
            )
        return _notice(row)

    def all(
        self,
        tx: Tx,
        *,
        state: str = "",
        party: str = "",
        before: int = 0,
        limit: int = 1000,
    ) -> list[Notice]:
        """Give notices, the newest first; of one state or party when named.

        `before`: only numbers below it; 0 for all.
        """
        rows = tx.rows(
            _NOTICE + "WHERE (:state = '' OR n.state = :state) "
            "AND (:before = 0 OR n.n < :before) "
            "AND (:party = '' OR p.name = :party) ORDER BY n.n DESC LIMIT :most",
            before=before,
            state=state,
            party=party,
            most=limit,
        )
        return [_notice(row) for row in rows]

    def csv(self, tx: Tx, number: int) -> bytes:
        """Give what is attached to a notice."""
        packed = tx.value("SELECT rows_csv FROM notice WHERE n = :n", n=number)
        return zstandard.decompress(bytes(packed))

    def move(self, tx: Tx, number: int, event: str, fault: str = "") -> Notice:
        """Let something happen to a notice.

        Raises:
            NotFound: there is none of this number.
            Conflict: it cannot happen to a notice in its state.
        """
        held = self.get(tx, number)
        after = NOTICES[held.state].get(event)
        if after is None:
            raise Conflict(f"Notice {number} is {held.state}: it cannot {event}.")
        tx.run(
            "UPDATE notice SET state = :state, fault = :fault, changed = :now "
            "WHERE n = :number",
            state=str(after),
            fault=fault[:500],
            now=tx.clock.now(),
            number=number,
        )
        return self.get(tx, number)

    # --- deliveries -------------------------------------------------------------------

    def address(self, tx: Tx, notice: Notice, keys: Mapping[int, str]) -> int:
        """Make the deliveries of a notice: contact -> idempotency key.

        One that is there already stays as it is. Gives how many there are.
        """
        for contact, key in keys.items():
            tx.run(
                "INSERT INTO delivery (notice, contact, key, state, tries, due, lease, "
                "released, changed, fault) VALUES (:notice, :contact, :key, :ready, "
                "0, 0, 0, :no, :now, '') ON CONFLICT DO NOTHING",
                notice=notice.number,
                contact=contact,
                key=key,
                ready=str(Sending.READY),
                no=False,
                now=tx.clock.now(),
            )
        return len(self.deliveries(tx, notice.number))

    def deliveries(self, tx: Tx, notice: int) -> list[Delivery]:
        """Give the deliveries of a notice."""
        rows = tx.rows(
            _DELIVERY + "WHERE d.notice = :notice ORDER BY d.n", notice=notice
        )
        return [_delivery(row) for row in rows]

    def by_key(self, tx: Tx, key: str) -> Delivery | None:
        """Give the delivery that has this idempotency key."""
        row = tx.row(_DELIVERY + "WHERE d.key = :key", key=key)
        return None if row is None else _delivery(row)

    def unaddressed(self, tx: Tx, limit: int = 1000) -> list[Notice]:
        """Give notices that are ready, the oldest first."""
        rows = tx.rows(
            _NOTICE + "WHERE n.state = 'ready' ORDER BY n.n LIMIT :most", most=limit
        )
        return [_notice(row) for row in rows]

    def take(self, tx: Tx, seconds: int, kinds: Iterable[str]) -> Delivery | None:
        """Take the next delivery that is due, under a lease of some seconds.

        Args:
            tx: a transaction that writes.
            seconds: how long it is ours.
            kinds: of contacts that can be reached now.
        """
        now = tx.clock.now()
        row = tx.row(
            f"{_DELIVERY} {_SENDABLE} AND d.due <= :now AND "
            + tx.among("c.kind", "kinds")
            + " ORDER BY d.n LIMIT 1",
            now=now,
            kinds=tx.array(kinds),
        )
        if row is None:
            return None
        lease = now + seconds * 1_000_000
        tx.run(
            "UPDATE delivery SET state = :state, lease = :lease, changed = :now, "
            "tries = tries + 1 WHERE n = :number",
            state=str(DELIVERIES[Sending.READY]["take"]),
            lease=lease,
            now=now,
            number=row.n,
        )
        return self.delivery(tx, int(row.n))

    def work(self, tx: Tx, kinds: Iterable[str]) -> bool:
        """Say whether there is anything to do for who hands over; see `take`."""
        found = tx.value(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM notice n WHERE n.state = 'ready' "
            "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.notice = n.n)) "
            "OR EXISTS (SELECT 1 FROM delivery d WHERE d.state IN ('taken', 'handing') "
            "AND d.lease <= :now) "
            f"OR EXISTS ({_DELIVERY} {_SENDABLE} AND d.due <= :now AND "
            + tx.among("c.kind", "kinds")
            + ")",
            now=tx.clock.now(),
            kinds=tx.array(kinds),
        )
        return found is not None

    def blocked(self, tx: Tx, kinds: Iterable[str]) -> int:
        """Count deliveries that could go if contacts of other kinds were reachable."""
        held = tx.value(
            f"SELECT count(*) FROM ({_DELIVERY} {_SENDABLE} AND NOT ("
            + tx.among("c.kind", "kinds")
            + ")) AS held",
            kinds=tx.array(kinds),
        )
        return int(held)

    def delivery(self, tx: Tx, number: int) -> Delivery:
        """Give one delivery.

        Raises:
            NotFound: there is none of this number.
        """
        row = tx.row(_DELIVERY + "WHERE d.n = :number", number=number)
        if row is None:
            raise NotFound(f"There is no delivery {number}.")
        return _delivery(row)

    def log(self, tx: Tx, delivery: Delivery) -> None:
        """Remember that a delivery is in the release log, which has it once."""
        tx.run(
            "UPDATE delivery SET released = :yes WHERE n = :n",
            yes=True,
            n=delivery.number,
        )

    def step(
        self,
        tx: Tx,
        delivery: Delivery,
        event: str,
        *,
        fault: str = "",
        due: int = 0,
        lease: int | None = None,
    ) -> Delivery:
        """Let something happen to a delivery.

        Args:
            tx: a transaction that writes.
            delivery: which; its lease is the fence.
            event: what happens, of `rules.notice.DELIVERIES`.
            fault: what went wrong, in words.
            due: not to be tried again before.
            lease: keep the lease until then; it ends when not given.

        Raises:
            Conflict: it cannot happen now, or another worker took it since.
        """
        held = self.delivery(tx, delivery.number)
        after = DELIVERIES[held.state].get(event)
        # Who was frozen while handing over may still say how it ended.
        late = held.state is Sending.UNSURE and event in {"accept", "bounce"}
        if after is None or (held.lease != delivery.lease and not late):
            raise Conflict(
                f"Delivery {held.number} is {held.state}: it cannot {event} now."
            )
        tx.run(
            "UPDATE delivery SET state = :state, lease = :lease, due = :due, "
            "fault = :fault, changed = :now WHERE n = :number",
            state=str(after),
            lease=lease or 0,
            due=due,
            fault=fault[:500],
            now=tx.clock.now(),
            number=held.number,
        )
        return self.delivery(tx, held.number)

    def expire(self, tx: Tx) -> list[Delivery]:
        """End leases that are over; gives what became of those deliveries."""
        rows = tx.rows(
            _DELIVERY + "WHERE d.state IN ('taken', 'handing') AND d.lease <= :now",
            now=tx.clock.now(),
        )
        return [
            self.step(
                tx,
                _delivery(row),
                "expire",
                fault="the worker that had it ended in the middle",
            )
            for row in rows
        ]

    def forget(self, tx: Tx, days: int) -> int:
        """Forget what was told of longer than some days ago; gives how many."""
        return tx.run(
            "DELETE FROM told WHERE at < :before", before=tx.clock.now() - days * DAY
        )

    def counts(self, tx: Tx) -> dict[str, int]:
        """Count notices and deliveries by state, such as `delivery unsure`."""
        rows: Sequence[Any] = tx.rows(
            "SELECT 'notice' AS what, state, count(*) AS many FROM notice "
            "GROUP BY state UNION ALL "
            "SELECT 'delivery', state, count(*) FROM delivery GROUP BY state"
        )
        return {f"{row.what} {row.state}": int(row.many) for row in rows}


_NOTICE: Final = (
    'SELECT n.n, p.name AS party, n.party AS party_number, n."class" AS grp, n.day, '
    "n.round, n.state, n.made, n.changed, n.actor, n.fault, n.facts "
    "FROM notice n JOIN party p ON p.n = n.party "
)
# The contact must still be one of the party that the notice is for.
_DELIVERY: Final = (
    "SELECT d.*, p.name AS party, coalesce(c.address, '') AS address "
    "FROM delivery d JOIN notice m ON m.n = d.notice JOIN party p ON p.n = m.party "
    "LEFT JOIN contact c ON c.n = d.contact AND c.party = m.party "
)
_SENDABLE: Final = (
    "WHERE d.state = 'ready' AND c.state = 'active' "
    "AND m.state IN ('ready', 'told', 'failed')"
)


def _party(tx: Tx, name: str) -> int:
    number = tx.value("SELECT n FROM party WHERE name = :name", name=name)
    if number is None:
        raise NotFound(
            f"No party is named {name!r}.", mend="`serantau party list` shows them."
        )
    return int(number)


def _notice(row: Any) -> Notice:
    return Notice(
        number=int(row.n),
        party=row.party,
        party_number=int(row.party_number),
        group=row.grp,
        day=row.day,
        round=int(row.round),
        state=State(row.state),
        made=row.made,
        changed=row.changed,
        actor=row.actor,
        fault=row.fault,
        facts=orjson.loads(row.facts),
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        number=int(row.n),
        notice=int(row.notice),
        contact=int(row.contact),
        party=row.party,
        address=row.address,
        key=row.key,
        state=Sending(row.state),
        tries=int(row.tries),
        due=int(row.due),
        lease=int(row.lease),
        released=bool(row.released),
        fault=row.fault,
    )
