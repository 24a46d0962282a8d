"""What parties answer for, as rows: prefixes, AS numbers, domains, countries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records import acts, tables
from serantau.records.database import Tx
from serantau.rules.asset import Asset, Kind, read_value
from serantau.rules.party import Kind as PartyKind

_FOREVER: Final = 1 << 62
_FIND: Final = (
    "SELECT a.n, p.name AS party, a.member, a.kind, a.value, a.since, a.until, "
    "a.source FROM asset a JOIN party p ON p.n = a.party "
)


class Assets:
    """The rows of assets. One thing has one owner at any time."""

    def all(self, tx: Tx) -> list[Asset]:
        """Give every asset, also those that hold no more, in a stable order."""
        return [_asset(row) for row in tx.rows(_FIND + "ORDER BY a.n")]

    def of(self, tx: Tx, party: str) -> list[Asset]:
        """Give the assets of one party."""
        return [
            _asset(row)
            for row in tx.rows(
                _FIND + "WHERE p.name = :party ORDER BY a.kind, a.value", party=party
            )
        ]

    def add(self, tx: Tx, asset: Asset) -> bool:
        """Add an asset, or change the end and source of the one that is here.

        Args:
            tx: a transaction that writes.
            asset: what to add; an empty `member` is that of its party.

        Returns:
            Whether it is new.

        Raises:
            BadRequest: the value is none of its kind, or it ends before it begins.
            NotFound: no party has its name.
            Conflict: it is another party's at the same time.
        """
        return self.add_many(tx, [asset]) == 1

    def add_many(self, tx: Tx, assets: Iterable[Asset]) -> int:
        """Add many assets; gives how many are new. The rest as `add`."""
        parties = {
            row.name: row
            for row in tx.rows("SELECT n, name, kind, client_of FROM party")
        }
        own = next(
            (row.name for row in parties.values() if row.kind == PartyKind.OWN), ""
        )
        new = 0
        for asset in assets:
            party = parties.get(asset.party)
            if party is None:
                raise NotFound(
                    f"No party is named {asset.party!r}.",
                    mend="`serantau party list` shows them.",
                )
            values = _values(asset)
            self._refuse_second(tx, asset.party, values)
            values["party"] = int(party.n)
            values["member"] = asset.member or _member(party, own)
            changed = tx.run(
                "UPDATE asset SET until = :until, source = :source, member = :member "
                "WHERE party = :party AND kind = :kind AND value = :value "
                "AND since = :since",
                **values,
            )
            if not changed:
                tx.insert(tables.asset, values)
                new += 1
            acts.decided(
                tx,
                "changed an asset" if changed else "added an asset",
                asset.party,
                after={"kind": values["kind"], "value": values["value"]},
            )
        return new

    @staticmethod
    def _refuse_second(tx: Tx, party: str, values: dict[str, Any]) -> None:
        """Refuse what another party has then: each would be told of the other's."""
        held = tx.row(
            "SELECT p.name FROM asset a JOIN party p ON p.n = a.party "
            "WHERE a.kind = :kind AND a.value = :value AND p.name <> :party "
            "AND a.since < :until AND coalesce(a.until, :forever) > :since",
            kind=values["kind"],
            value=values["value"],
            party=party,
            since=values["since"],
            until=values["until"] if values["until"] is not None else _FOREVER,
            forever=_FOREVER,
        )
        if held is not None:
            raise Conflict(
                f"{values['kind']} {values['value']} is {held.name}'s at that time.",
                mend=f"Take it from there first: `serantau asset remove {held.name} "
                f"{values['value']}`.",
            )

    def remove(self, tx: Tx, party: str, kind: Kind, value: str) -> int:
        """Forget an asset, with all of its times; gives how many rows went.

        Raises:
            BadRequest: the value is none of its kind.
            NotFound: the party has no such asset.
        """
        stored = _read(kind, value)
        gone = tx.run(
            "DELETE FROM asset WHERE kind = :kind AND value = :value "
            "AND party = (SELECT n FROM party WHERE name = :party)",
            kind=str(kind),
            value=stored,
            party=party,
        )
        if not gone:
            raise NotFound(
                f"{party} has no {kind} {stored}.",
                mend="`serantau asset list` shows what is there.",
            )
        before = {"kind": str(kind), "value": stored}
        acts.decided(tx, "removed an asset", party, before=before)
        return gone


def _asset(row: Any) -> Asset:
    return Asset(
        party=row.party,
        member=row.member,
        kind=Kind(row.kind),
        value=row.value,
        since=row.since or None,
        until=row.until,
        source=row.source,
    )


def _values(asset: Asset) -> dict[str, Any]:
    since = asset.since or 0
    if asset.until is not None and asset.until <= since:
        raise BadRequest(f"{asset.value} would end before it begins.")
    return {
        "kind": str(asset.kind),
        "value": _read(asset.kind, asset.value),
        "since": since,
        "until": asset.until,
        "source": asset.source,
    }


def _member(party: Any, own: str) -> str:
    """Give the state that a party belongs to, as far as the registry says."""
    if party.kind == PartyKind.OPERATOR:
        return str(party.client_of or own)
    return str(party.name) if party.kind in {PartyKind.MEMBER, PartyKind.OWN} else ""


def _read(kind: Kind, text: str) -> str:
    try:
        return read_value(kind, text)
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault
