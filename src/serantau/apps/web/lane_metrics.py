"""What Prometheus is told of the event lane, of notices and of other members' rows.

Counts and times only, from the store: no label ever holds a party, a member or a feed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serantau.desk.courier import reachable
from serantau.errors import StoreError
from serantau.node import Node
from serantau.records.batches import State
from serantau.records.chores import Chores
from serantau.records.contacts import Contacts
from serantau.records.database import Tx
from serantau.records.feeds import Feeds
from serantau.records.notices import Notices
from serantau.rules.contact import State as ContactState
from serantau.rules.notice import Sending
from serantau.rules.notice import State as NoticeState

_SECOND: Final = 1_000_000
_HOUR: Final = 3600 * _SECOND
# Counting goes through all batches there ever were.
_KEPT_SECONDS: Final = 30.0


class LaneFigures(Collector):
    """Figures that are counted when they are asked for, at most twice a minute."""

    def __init__(self, node: Node) -> None:
        """Count what `node` holds."""
        self._node = node
        self._until = 0.0
        self._found: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """Give the figures; none when the store does not answer."""
        if time.monotonic() >= self._until:
            try:
                with self._node.db.read() as tx:
                    self._found = [
                        *self._batches(tx),
                        *self._feeds(tx),
                        *self._notices(tx),
                        *_parcels(tx),
                    ]
            except StoreError:
                return
            self._until = time.monotonic() + _KEPT_SECONDS
        yield from self._found

    def _batches(self, tx: Tx) -> Iterator[Metric]:
        rows = {
            State(row.state): row
            for row in tx.rows(
                "SELECT state, count(*) AS held, sum(size) AS size, "
                "min(received) AS first, sum(rows) AS rows, sum(rejects) AS rejects, "
                "sum(repeated) AS repeated FROM batch GROUP BY state"
            )
        }
        yield _by(
            "lane_batches",
            "Batches of events, by state.",
            "state",
            {one: rows[one].held if one in rows else 0 for one in State},
        )
        done = rows.get(State.DONE)
        yield _by(
            "lane_rows",
            "Rows of batches that are done, by what became of them.",
            "outcome",
            {
                name: getattr(done, column, 0)
                for name, column in (
                    ("archived", "rows"),
                    ("rejected", "rejects"),
                    ("repeated", "repeated"),
                )
            },
        )
        waits = [rows[one] for one in (State.STORED, State.RUNNING) if one in rows]
        yield _one(
            "lane_waiting_bytes",
            "Bytes of batches that wait for a worker or are worked on.",
            sum(int(row.size) for row in waits),
        )
        oldest = min((int(row.first) for row in waits), default=0)
        yield _one(
            "lane_lag_seconds",
            "How long the oldest of these has waited; 0 when none does.",
            (tx.clock.now() - oldest) / _SECOND if oldest else 0,
        )

    def _feeds(self, tx: Tx) -> Iterator[Metric]:
        now, late = tx.clock.now(), 0
        feeds = self._node.config.feeds
        for name, feed in feeds.items():
            last = tx.value(
                "SELECT received FROM batch WHERE feed = :feed ORDER BY n DESC LIMIT 1",
                feed=name,
            )
            late += bool(
                feed.fresh_hours and now - int(last or 0) > feed.fresh_hours * _HOUR
            )
        held = tx.value("SELECT count(DISTINCT feed) FROM batch WHERE state = 'held'")
        failing = sum(bool(one.fault) for one in Feeds().all(tx) if one.name in feeds)
        yield _by(
            "lane_feeds",
            "Feeds that a person should see to, by why; one may count more than once.",
            "why",
            {"held": held, "late": late, "failing": failing},
        )

    def _notices(self, tx: Tx) -> Iterator[Metric]:
        notices = Notices()
        counts = notices.counts(tx)
        yield _by(
            "notices",
            "Notices to owners, by state.",
            "state",
            {one: counts.get(f"notice {one}", 0) for one in NoticeState},
        )
        yield _by(
            "deliveries",
            "Notices to one contact each, by state.",
            "state",
            {one: counts.get(f"delivery {one}", 0) for one in Sending},
        )
        yield _one(
            "deliveries_blocked",
            "Deliveries that wait because no mail server is configured.",
            notices.blocked(tx, reachable(self._node.config)),
        )
        contacts = [one.state for one in Contacts().all(tx)]
        yield _one(
            "contacts_bouncing",
            "Contacts that are not written to, since mail to them came back.",
            contacts.count(ContactState.BOUNCING),
        )
        yield _one(
            "notices_made_timestamp_seconds",
            "The time of day until which a running node made notices; 0 before.",
            Chores().get(tx, "notices.times").done / _SECOND,
        )


def _parcels(tx: Tx) -> Iterator[Metric]:
    found: Any = tx.row(
        "SELECT count(*) AS parcels, coalesce(sum(p.rows), 0) AS total, "
        "count(DISTINCT p.member) AS members, coalesce(min(p.made), 0) AS oldest "
        "FROM parcel_turn t JOIN parcel p ON p.n = t.parcel "
        "LEFT JOIN parcel_asked a ON a.member = t.member "
        "WHERE t.n > coalesce(a.after, -1)"
    )
    yield _one("parcels_waiting", "Parcels that no node has fetched.", found.parcels)
    yield _one("parcel_rows_waiting", "Rows in these.", found.total)
    yield _one("parcel_members_waiting", "Members that these are for.", found.members)
    age = (tx.clock.now() - int(found.oldest)) / _SECOND if found.oldest else 0
    yield _one("parcel_lag_seconds", "How long the oldest of these has waited.", age)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"serantau_{name}", text, value=float(value))


def _by(name: str, text: str, label: str, values: dict[Any, Any]) -> Metric:
    made = GaugeMetricFamily(f"serantau_{name}", text, labels=(label,))
    for key, value in values.items():
        made.add_metric((str(key),), float(value or 0))
    return made
