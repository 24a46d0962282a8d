"""From rows of events to notices: who is told what, and why of the rest nobody is.

Rows of one owner, class and day become one notice. What stands in it is fixed when it
is made: the file is kept with it, and its findings are noted as told in the same
transaction. So two workers, or a second look at the same rows, make no second notice.
`desk.courier` hands notices over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from serantau.config import SEVERITIES, NodeConfig
from serantau.desk.share import Share
from serantau.lane.frame import conform
from serantau.node import Node
from serantau.records.contacts import Contacts
from serantau.records.database import Tx
from serantau.records.notices import Notice, Notices
from serantau.rules.asset import range_of
from serantau.rules.contact import Contact
from serantau.rules.contact import State as ContactState
from serantau.rules.level import Tlp
from serantau.rules.notice import (
    ABOUT,
    COMPROMISED,
    CSV_COLUMNS,
    PLACE,
    RISKY,
    SERVICES,
    Mute,
    Setting,
    State,
    Terms,
    Told,
    finding,
    is_due,
    terms_of,
)
from serantau.rules.text import defang
from serantau.rules.wording import Catalogue, family_of
from serantau.wire.catalogue import TEXTS, load_source

NEEDED: Final = tuple(
    dict.fromkeys((*CSV_COLUMNS, "source_hi", "source_lo", "member", "party", "marks"))
)
"""The columns of an event that notices are made of."""

_EXAMPLES: Final = 20
_FAMILIES: Final = 4
_LONGEST: Final = 100
_FORGET_DAYS: Final = 366
_CONTROLS: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_RISKY: Final = (
    r"^[ \u00a0\u3000]*[" + "".join(rf"\x{{{ord(c):x}}}" for c in RISKY) + "]"
)
_UNSAID: Final = -1


@dataclass(slots=True)
class Plan:
    """What one owner would be told of one class, or was.

    rows, places, findings: what is in the notice; 0 when there is none. left: rows that
    are not, by reason (rules.notice.LEFT_OUT). levels: rows by TLP level. withheld: a
    verdict for each level that may not go. contacts: who would get it. notice: what was
    made of it.
    """

    party: str
    group: str
    day: str
    terms: Terms
    rows: int = 0
    places: int = 0
    findings: int = 0
    left: dict[str, int] = field(default_factory=dict)
    levels: dict[Tlp, int] = field(default_factory=dict)
    withheld: dict[Tlp, str] = field(default_factory=dict)
    contacts: list[Contact] = field(default_factory=list)
    notice: Notice | None = None
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    csv: bytes = field(default=b"", repr=False)
    told: dict[int, int] = field(default_factory=dict, repr=False)
    before: dict[int, Told] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> State | None:
        """Give the state that a notice would begin in; None: there is none."""
        if not self.rows:
            return None
        return State.READY if self.terms.automatic else State.WAITING


@dataclass(slots=True)
class Outlook:
    """All plans of one day, and how many rows are nobody's here."""

    plans: list[Plan]
    nobodys: int = 0

    @property
    def made(self) -> list[Notice]:
        """Give the notices that were made."""
        return [plan.notice for plan in self.plans if plan.notice is not None]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is looked up once for all owners."""

    parties: frozenset[str]
    settings: Sequence[Setting]
    mutes: Sequence[Mute]
    contacts: Sequence[Contact]
    source: Catalogue


class Notify:
    """Plans and makes notices. `actor` is the person or worker who does it."""

    def __init__(self, node: Node, actor: str) -> None:
        """Tell the owners of `node`'s registry."""
        self._node = node
        self._share = Share(node)
        self._actor = actor
        self._notices = Notices()
        self._contacts = Contacts()

    def plan(self, frame: pl.DataFrame, day: str, party: str = "") -> Outlook:
        """Work out what owners would be told; nothing is kept, nothing leaves.

        Args:
            frame: rows of events, with the columns of `serantau.rules.event` as the
                archive gives them, in any order.
            day: `YYYY-MM-DD`, UTC: the day that the rows are of.
            party: only what this one would be told.
        """
        with self._node.db.read() as tx:
            known = self._known(tx)
            groups, nobodys = _groups(frame, known, self._node.config, party)
            return Outlook(
                [
                    self._plan(tx, known, name, group, rows, day)
                    for name, group, rows in groups
                ],
                nobodys,
            )

    def make(self, frame: pl.DataFrame, day: str, party: str = "") -> Outlook:
        """Make notices of rows, and note what they tell of. Arguments as `plan`.

        Each is a transaction of its own: when the machine stops in the middle, the next
        run makes the others.
        """
        with self._node.db.read() as tx:
            known = self._known(tx)
        groups, nobodys = _groups(frame, known, self._node.config, party)
        plans = []
        for name, group, rows in groups:
            with self._node.db.read() as tx:
                plan = self._plan(tx, known, name, group, rows, day)
            if plan.rows:
                plan = self._keep(known, plan, rows)
            plans.append(plan)
        with self._node.db.write() as tx:
            self._notices.forget(tx, _FORGET_DAYS)
        return Outlook(plans, nobodys)

    def _keep(self, known: _Known, plan: Plan, rows: pl.DataFrame) -> Plan:
        with self._node.db.write() as tx:
            number = self._number(tx, plan.party)
            if self._notices.told(tx, number, plan.told) != plan.before:
                # Another worker told some of it since it was planned.
                plan = self._plan(tx, known, plan.party, plan.group, rows, plan.day)
            state = plan.state
            if state is None:
                return plan
            plan.notice = self._notices.make(
                tx,
                party=plan.party,
                group=plan.group,
                day=plan.day,
                state=state,
                actor=self._actor,
                facts=plan.facts,
                csv=plan.csv,
                told=plan.told,
            )
        return plan

    def _number(self, tx: Tx, party: str) -> int:
        return self._node.registry.party(tx, party)[0]

    def _known(self, tx: Tx) -> _Known:
        now = tx.clock.now()
        return _Known(
            frozenset(self._node.registry.parties(tx)),
            self._notices.settings(tx),
            [each for each in self._notices.mutes(tx) if each.holds(now)],
            self._contacts.all(tx),
            load_source(self._node.home / TEXTS),
        )

    def _plan(
        self,
        tx: Tx,
        known: _Known,
        party: str,
        group: str,
        rows: pl.DataFrame,
        day: str,
    ) -> Plan:
        terms = terms_of(party, group, known.settings, default_terms(self._node.config))
        plan = Plan(party, group, day, terms)
        plan.contacts = [
            each
            for each in known.contacts
            if each.party == party and each.state is ContactState.ACTIVE
        ]
        left = _Sieve(rows, plan.left)
        own = self._node.config.node.member
        left.drop("abroad", pl.col("member").fill_null(own) != own)
        left.drop("marked", pl.col("marks").fill_null("") != "")
        self._drop_withheld(tx, plan, left)
        worst = pl.col("severity").fill_null(terms.least_severity)
        left.drop("mild", worst < terms.least_severity)
        mutes = [mute for mute in known.mutes if mute.party == party]
        left.drop("muted", _any(_muted(mute) for mute in mutes))
        left.drop("unreachable", pl.lit(not plan.contacts))
        self._drop_quiet(tx, plan, left)
        if 0 < left.rows.height < terms.least_rows:
            left.drop("few", pl.lit(True))
        if left.rows.height:
            self._fill(plan, left.rows, known.source)
        return plan

    def _drop_withheld(self, tx: Tx, plan: Plan, left: _Sieve) -> None:
        levels = [Tlp(each) for each in left.rows["tlp"].unique().sort()]
        verdicts = self._share.judge_rows(tx, plan.party, plan.party, levels)
        plan.withheld = {
            level: str(verdict)
            for level, verdict in verdicts.items()
            if not verdict.released
        }
        left.drop(
            "withheld", pl.col("tlp").is_in([int(each) for each in plan.withheld])
        )

    def _drop_quiet(self, tx: Tx, plan: Plan, left: _Sieve) -> None:
        left.rows = with_findings(left.rows)
        found = left.rows.group_by("finding").agg(
            pl.col("severity").fill_null(_UNSAID).max().alias("worst"),
            pl.col("type").first(),
        )
        plan.before = self._notices.told(
            tx, self._number(tx, plan.party), found["finding"]
        )
        now = tx.clock.now()
        due = {
            number: int(worst)
            for number, worst, kind in found.iter_rows()
            if is_due(plan.before.get(number), worst, kind, now, plan.terms)
        }
        # Compared again when the notice is kept: of the findings that it tells of.
        plan.before = {n: each for n, each in plan.before.items() if n in due}
        left.drop("quiet", ~pl.col("finding").is_in(list(due)))
        plan.told = due

    def _fill(self, plan: Plan, rows: pl.DataFrame, source: Catalogue) -> None:
        attached = _chosen(rows, self._node.config.notice.rows)
        plan.rows = rows.height
        plan.places = rows["place"].n_unique()
        plan.findings = rows["finding"].n_unique()
        counts = rows.group_by("tlp").len().sort("tlp")
        plan.levels = {Tlp(level): count for level, count in counts.iter_rows()}
        plan.csv = csv_of(attached)
        types = set(rows["type"])
        days = (
            plan.terms.compromised_days
            if types & COMPROMISED
            else plan.terms.other_days
        )
        plan.facts = {
            "rows": plan.rows,
            "places": plan.places,
            "findings": plan.findings,
            "attached": attached.height,
            "days": days,
            "levels": {str(int(each)): count for each, count in plan.levels.items()},
            "types": list(_types(rows, source)),
            "examples": list(_examples(rows)),
        }


def default_terms(config: NodeConfig) -> Terms:
    """Give the terms that the configuration sets."""
    said = config.notice
    return Terms(
        automatic=said.automatic,
        least_severity=SEVERITIES.index(said.least_severity),
        least_rows=said.least_rows,
        compromised_days=said.compromised_days,
        other_days=said.other_days,
    )


# --- on frames -----------------------------------------------------------------------


class _Sieve:
    """Rows that are left, and why the others are not."""

    def __init__(self, rows: pl.DataFrame, counts: dict[str, int]) -> None:
        self.rows = rows
        self._counts = counts

    def drop(self, reason: str, which: pl.Expr) -> None:
        before = self.rows.height
        self.rows = self.rows.filter(~which)
        if gone := before - self.rows.height:
            self._counts[reason] = gone


def _groups(
    frame: pl.DataFrame, known: _Known, config: NodeConfig, party: str
) -> tuple[list[tuple[str, str, pl.DataFrame]], int]:
    """Give the rows of each owner and class, and how many are nobody's."""
    levels = {
        name: int(Tlp.parse(said)) for name, said in config.handling.sources.items()
    }
    default = int(Tlp.parse(config.handling.default))
    by_feed = pl.col("feed").replace_strict(
        levels, default=default, return_dtype=pl.Int16
    )
    whole = conform(frame)
    owned = whole.filter(pl.col("party").is_in(list(known.parties)))
    level = pl.col("tlp").fill_null(by_feed)
    # What is no level restricts: it goes to nobody.
    known_level = level.is_between(int(Tlp.CLEAR), int(Tlp.RED))
    rows = owned.with_columns(
        pl.when(known_level).then(level).otherwise(int(Tlp.RED)).alias("tlp")
    )
    if party:
        rows = rows.filter(pl.col("party") == party)
    parts = rows.partition_by(["party", "class"], as_dict=True)
    groups = [(str(key[0]), str(key[1]), part) for key, part in sorted(parts.items())]
    return groups, whole.height - owned.height


def _any(conditions: Iterator[pl.Expr]) -> pl.Expr:
    found = pl.lit(False)
    for each in conditions:
        found = found | each
    return found


def _muted(mute: Mute) -> pl.Expr:
    """Say for rows of the mute's owner whether it fits them."""
    fits = pl.lit(True)
    if mute.group:
        fits = fits & (pl.col("class") == mute.group)
    if mute.feed:
        fits = fits & (pl.col("feed") == mute.feed)
    if mute.network:
        (first_hi, first_lo), (last_hi, last_lo) = range_of(mute.network)
        hi, lo = pl.col("source_hi"), pl.col("source_lo")
        above = (hi > first_hi) | ((hi == first_hi) & (lo >= first_lo))
        below = (hi < last_hi) | ((hi == last_hi) & (lo <= last_lo))
        fits = fits & (above & below).fill_null(False)
    return fits


def with_findings(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `place` (text) and `finding` (64 bits, see rules.notice) to rows."""
    port = (
        pl.when(pl.col("type").is_in(list(SERVICES)))
        .then(pl.col("source_port").cast(pl.String))
        .fill_null("")
    )
    url = pl.col("source_url").fill_null("")
    keys = rows.with_columns(
        pl.coalesce(*PLACE, pl.lit("")).alias("place"),
        port.alias("_port"),
        url.alias("_url"),
        *(pl.col(name).fill_null("").alias(f"_{name}") for name in ABOUT),
    )
    names = [*(f"_{name}" for name in ABOUT), "place", "_url", "_port"]
    unique = keys.select(names).unique(maintain_order=True)
    numbers = [
        finding(row[: len(ABOUT)], row[-3], row[-2], row[-1])
        for row in unique.iter_rows()
    ]
    numbered = unique.with_columns(pl.Series("finding", numbers, dtype=pl.Int64))
    made = keys.join(numbered, on=names, how="left", maintain_order="left")
    # A row without address or name is at its URL.
    place = pl.when(pl.col("place") == "").then("_url").otherwise("place")
    return made.with_columns(place.alias("place")).drop(
        "_port", "_url", *(f"_{name}" for name in ABOUT)
    )


def _chosen(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Give at most so many rows, each finding before any repeats, in order of place."""
    order = ("source_hi", "source_lo", "place", "time", "fingerprint")
    ordered = rows.sort(order, nulls_last=True)
    if rows.height <= most:
        return ordered
    rank = pl.int_range(pl.len()).over("finding").alias("_rank")
    first = ordered.with_columns(rank).sort("_rank", maintain_order=True).head(most)
    return first.drop("_rank").sort(order, nulls_last=True)


def csv_of(rows: pl.DataFrame) -> bytes:
    """Write what an owner gets of rows: CSV (RFC 4180), every cell in quotes, UTF-8.

    No cell begins as a formula does, and none has control characters or such as turn
    the order of letters. Times are ISO 8601 in UTC, TLP and severity are words.
    """
    severities = {str(place): said for place, said in enumerate(SEVERITIES)}
    levels = {str(int(level)): level.label for level in Tlp}
    texts = []
    for name in CSV_COLUMNS:
        kind = rows.schema[name]
        cell = pl.col(name)
        if isinstance(kind, pl.Datetime):
            texts.append(cell.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        elif name in {"severity", "tlp"}:
            words = severities if name == "severity" else levels
            texts.append(cell.cast(pl.String).replace(words))
        elif kind == pl.String:
            plain = cell.str.replace_all(_CONTROLS, " ")
            risky = plain.str.contains(_RISKY)
            texts.append(
                pl.when(risky).then(pl.lit("'") + plain).otherwise(plain).alias(name)
            )
        else:
            texts.append(cell.cast(pl.String))
    text = rows.select(texts).write_csv(quote_style="always", line_terminator="\r\n")
    return text.encode()


def _types(rows: pl.DataFrame, source: Catalogue) -> Iterator[dict[str, Any]]:
    """Tell of each type, most rows first: rows, places, families of its reports."""
    counted = rows.group_by("type").agg(
        pl.len().alias("rows"), pl.col("place").n_unique().alias("places")
    )
    reports = (
        rows.group_by("type", "report").len().sort("len", "report", descending=True)
    )
    for kind, many, places in counted.sort(
        ["rows", "type"], descending=[True, False]
    ).iter_rows():
        named = reports.filter(pl.col("type") == kind)["report"].drop_nulls()
        families = dict.fromkeys(family_of(each, source) for each in named)
        families.pop("", None)
        yield {
            "type": kind,
            "rows": many,
            "places": places,
            "families": list(families)[:_FAMILIES],
        }


def _examples(rows: pl.DataFrame) -> Iterator[str]:
    """Give some places, those with most rows first, safe to print and not to click."""
    counted = rows.group_by("place", "source_address", "source_hi", "source_lo").len()
    ordered = counted.sort(
        ["len", "source_hi", "source_lo", "place"],
        descending=[True, False, False, False],
        nulls_last=True,
    ).head(_EXAMPLES)
    for place, address in ordered.select("place", "source_address").iter_rows():
        plain = "".join(c if c.isprintable() else "?" for c in place)[:_LONGEST]
        yield plain if place == address else defang(plain)
