"""Who may see what: marking sets stored once, a verdict for each party and set.

Release costs a handful of verdicts, whatever the number of objects. When verdicts
change, what narrows leaves a party's view at once; what widens is entered into it anew
with stamps of its own, so that no cursor has passed it by.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import orjson

from serantau import __version__
from serantau.records import definitions, tables
from serantau.records.database import Database, Tx
from serantau.rules.marking import Marking, MarkingSet, Recalled, Tlp
from serantau.rules.party import Circle, Kind, Party, Purpose
from serantau.rules.release import Policy, Verdict, judge, table_markdown

_VERDICT = ("party", "marking_set", "released", "since", "rule", "got", "expected")
_JUDGED_BY = "judged-by"
_markings = re.compile(r"marking-definition--[0-9A-Fa-f-]{36}").findall
# So many ids are looked for by the database.
_FEW = 8
_SLOTS = "(:last, :superseded)"


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of policy does to one party and marking set."""

    party: Party
    marking_set: int
    before: Verdict | None
    after: Verdict
    objects: int


class Audiences:
    """Marking sets, verdicts and views of the parties of one node."""

    known = staticmethod(definitions.known)
    naming = staticmethod(definitions.naming)

    def __init__(self, own: str, policy: Policy) -> None:
        """Judge as the party named `own` under `policy`."""
        self.own = own
        self.policy = policy
        self._sets: dict[MarkingSet, int] = {}
        self._joined: dict[tuple[int, int], int] = {}
        self._words: dict[str, int] = {}

    def keep_up(self, database: Database) -> list[tuple[int, Change]]:
        """Judge everything anew when the rules are not those of the last time.

        A node that starts with a stricter policy, or with a newer program, must not go
        on serving by the verdicts of the old one.
        """
        rules = (
            self.own,
            self.policy.granular,
            sorted((str(kind), level) for kind, level in self.policy.ceilings.items()),
            table_markdown(),
            __version__,
        )
        now = hashlib.sha256(repr(rules).encode()).hexdigest()
        find = "SELECT value FROM meta WHERE name = 'judged-by'"
        with database.read() as tx:
            if tx.value(find) == now:
                return []
        with database.write() as tx:
            tx.run("DELETE FROM meta WHERE name = 'judged-by'")
            tx.run("INSERT INTO meta (name, value) VALUES ('judged-by', :now)", now=now)
            return self.refresh(tx)

    def words(self, tx: Tx, texts: Iterable[str]) -> dict[str, int]:
        """Give the numbers of small repeated texts; new ones are numbered."""
        found: dict[str, int] = {}
        missing = []
        for text in sorted(set(texts)):
            number = tx.recall(self._words, text)
            if number is None:
                missing.append(text)
            else:
                found[text] = number
        if missing:
            have = {
                row.text: int(row.n)
                for row in tx.rows(
                    "SELECT n, text FROM word WHERE " + tx.among("text", "texts"),
                    texts=tx.array(missing),
                )
            }
            known = len(have)
            for text in missing:
                if text not in have:
                    have[text] = tx.insert(tables.word, {"text": text})
                tx.note(self._words, text, have[text])
            if len(have) > known:
                # A view of a type that had no number yet is not what it was.
                tx.run("UPDATE stamp SET epoch = epoch + 1")
            found.update(have)
        return found

    def scope(self, tx: Tx, collection: int, party: int) -> int:
        """Give the number of the entries of a collection for a party (0: everyone)."""
        number = tx.value(
            "SELECT n FROM scope WHERE collection = :collection AND party = :party",
            collection=collection,
            party=party,
        )
        if number is not None:
            return int(number)
        # A view of a collection that held nothing yet is not what it was.
        tx.run("UPDATE stamp SET epoch = epoch + 1")
        return tx.insert(tables.scope, {"collection": collection, "party": party})

    def set_number(
        self,
        tx: Tx,
        marking_set: MarkingSet,
        arriving: Mapping[str, Marking] = MappingProxyType({}),
    ) -> int:
        """Give the number of a marking set; a new one is judged for every party.

        `arriving`: markings whose definitions are being admitted in this transaction.
        """
        number = tx.recall(self._sets, marking_set)
        if number is not None:
            return int(number)
        key = marking_set.key()
        found = tx.value("SELECT n FROM marking_set WHERE key = :key", key=key)
        if found is None:
            found = tx.insert(tables.marking_set, {"key": key})
            self._judge_new(tx, int(found), marking_set, arriving)
        tx.note(self._sets, marking_set, int(found))
        return int(found)

    def joined_number(self, tx: Tx, one: int, other: int) -> int:
        """Give the number of two sets joined; it is never wider than either."""
        held = tx.recall(self._joined, (one, other))
        if held is not None:
            return int(held)
        joined = self.set_of(tx, one).joined(self.set_of(tx, other))
        since = {
            int(row.party): int(row.since)
            for row in tx.rows(
                "SELECT party, max(since) AS since FROM verdict "
                "WHERE marking_set IN (:one, :other) GROUP BY party",
                one=one,
                other=other,
            )
        }
        known = tx.value("SELECT n FROM marking_set WHERE key = :key", key=joined.key())
        number = self.set_number(tx, joined)
        if known is None:
            for party, at in since.items():
                tx.run(
                    "UPDATE verdict SET since = :at "
                    "WHERE party = :party AND marking_set = :number",
                    at=at,
                    party=party,
                    number=number,
                )
        tx.note(self._joined, (one, other), number)
        return number

    def recalled_number(self, tx: Tx, number: int, state: Recalled) -> int:
        """Give the number of a set as it is when what it marks was recalled."""
        found = self._joined.get((number, -state))
        if found is None:
            marked = replace(self.set_of(tx, number), recalled=state)
            found = self.set_number(tx, marked)
            tx.note(self._joined, (number, -state), found)
        return found

    @staticmethod
    def set_of(tx: Tx, number: int) -> MarkingSet:
        """Give a marking set by its number."""
        key = tx.value("SELECT key FROM marking_set WHERE n = :number", number=number)
        return MarkingSet.from_key(str(key))

    @staticmethod
    def parties(tx: Tx, name: str | None = None) -> dict[int, Party]:
        """Give every party by its number; or the one of a name."""
        chosen, named = "", {}
        if name is not None:
            chosen, named = "WHERE name = :name ", {"name": name}
        rows = tx.rows(f"SELECT * FROM party {chosen}ORDER BY n", **named)
        return {int(row.n): _party(row) for row in rows}

    @staticmethod
    def party(tx: Tx, number: int) -> Party:
        """Give one party by its number, which must be one."""
        return _party(tx.row("SELECT * FROM party WHERE n = :number", number=number))

    @staticmethod
    def circles(tx: Tx, only: Iterable[str] | None = None) -> dict[str, Circle]:
        """Give the circles of this node by their opaque ids: all, or some."""
        chosen, ids = "", {}
        if only is not None:
            chosen = f" WHERE {tx.among('id', 'ids')}"
            ids = {"ids": tx.array(only)}
        return {
            row.id: Circle(row.id, row.name, frozenset(orjson.loads(row.members)))
            for row in tx.rows(f"SELECT id, name, members FROM circle{chosen}", **ids)
        }

    def _named(self, tx: Tx, known: Mapping[str, Marking]) -> dict[str, Circle]:
        """Give the circles that some markings name: each case has one of its own."""
        named = {
            circle
            for marking in known.values()
            if marking.audience is not None
            for circle in marking.audience.circles
        }
        return self.circles(tx, named) if named else {}

    @staticmethod
    def sets(tx: Tx, about: Collection[str] | None = None) -> dict[int, MarkingSet]:
        """Give every marking set by its number; or those that name one of some ids."""
        chosen, within, ids = set(about or ()), "", {}
        if about is not None and not chosen:
            return {}
        if 0 < len(chosen) <= _FEW:
            # The database looks faster; what it finds is looked at again.
            ids = {f"id_{place}": each for place, each in enumerate(sorted(chosen))}
            find = "instr(key, :%s)" if tx.lite else "position(:%s IN key)"
            within = "WHERE " + " OR ".join(f"{find % each} > 0" for each in ids)
        return {
            int(row.n): MarkingSet.from_key(row.key)
            for row in tx.rows(
                f"SELECT n, key FROM marking_set {within} ORDER BY n", **ids
            )
            if about is None or not chosen.isdisjoint(_markings(row.key))
        }

    def verdicts(
        self, tx: Tx, party: int, only: Iterable[int] | None = None
    ) -> dict[int, Verdict]:
        """Give what was decided for one party, by marking set: all, or of some."""
        among, sets = "", {}
        if only is not None:
            among = f" AND {tx.among('marking_set', 'sets')}"
            sets = {"sets": tx.array(only)}
        return {
            int(row.marking_set): Verdict(
                bool(row.released), row.rule, row.got, row.expected
            )
            for row in tx.rows(
                "SELECT marking_set, released, rule, got, expected FROM verdict "
                f"WHERE party = :party{among}",
                party=party,
                **sets,
            )
        }

    def changes(
        self,
        tx: Tx,
        *,
        parties: Mapping[int, Party] | None = None,
        circles: Mapping[str, Circle] | None = None,
        policy: Policy | None = None,
        about: Collection[str] | None = None,
    ) -> list[tuple[int, Change]]:
        """Work out what judging anew would change, without changing it.

        Args:
            tx: any transaction.
            parties: judge these instead of those in the store.
            circles: the same for circles.
            policy: the same for the node's policy.
            about: ids of markings: judge only what is marked with one of them.

        Returns:
            Pairs of party number and change, where the verdict would not be the same.
        """
        sets = self.sets(tx, about)
        known = definitions.known(
            tx, None if about is None else _named_by(sets.values())
        )
        if circles is None:
            circles = self._named(tx, known)
        counts: dict[int, int] | None = None
        found: list[tuple[int, Change]] = []
        for number, party in (self.parties(tx) if parties is None else parties).items():
            held = self.verdicts(tx, number, None if about is None else sets)
            for place, marking_set in sets.items():
                after = judge(
                    marking_set,
                    known,
                    party,
                    own=self.own,
                    policy=policy or self.policy,
                    circles=circles,
                )
                before = held.get(place)
                if before == after:
                    continue
                if counts is None:
                    counts = self.counts(tx, None if about is None else sets)
                change = Change(party, place, before, after, counts.get(place, 0))
                found.append((number, change))
        return found

    @staticmethod
    def counts(tx: Tx, only: Iterable[int] | None = None) -> dict[int, int]:
        """Count the newest versions of objects by marking set: of all, or of some."""
        chosen, slots = "slot % 2 = 0", {}
        if only is not None:
            chosen = tx.among("slot", "slots")
            slots = {"slots": tx.array(2 * number for number in only)}
        return {
            int(row.slot) // 2: int(row.held)
            for row in tx.rows(
                "SELECT slot, count(*) AS held FROM object "
                f"WHERE {chosen} GROUP BY slot",
                **slots,
            )
        }

    def refresh(
        self, tx: Tx, about: Collection[str] | None = None
    ) -> list[tuple[int, Change]]:
        """Judge everything anew and carry out what changes, in this transaction.

        To be called after parties, circles, marking definitions or policy changed.

        Args:
            tx: a write transaction.
            about: ids of markings, when nothing else changed than what they mean.
        """
        tx.memory.pop(_JUDGED_BY, None)
        found = self.changes(tx, about=about)
        for number, change in found:
            self._apply(tx, number, change)
        if found:
            tx.run("UPDATE stamp SET epoch = epoch + 1")
        return found

    def admit_party(self, tx: Tx, number: int) -> None:
        """Judge every marking set for a new party: it sees all history it may have."""
        tx.memory.pop(_JUDGED_BY, None)
        known = definitions.known(tx)
        circles, party = self._named(tx, known), self.party(tx, number)
        rows = []
        for place, marking_set in self.sets(tx).items():
            verdict = judge(
                marking_set,
                known,
                party,
                own=self.own,
                policy=self.policy,
                circles=circles,
            )
            rows.append(_row(number, place, verdict, 0))
        tx.insert_many(tables.verdict, _VERDICT, rows)
        tx.run("UPDATE stamp SET epoch = epoch + 1")

    def _judge_new(
        self,
        tx: Tx,
        number: int,
        marking_set: MarkingSet,
        arriving: Mapping[str, Marking],
    ) -> None:
        # A batch may bring hundreds of new sets; what they are judged by is read once.
        parties = tx.memory.get(_JUDGED_BY)
        if parties is None:
            parties = tx.memory[_JUDGED_BY] = self.parties(tx)
        known: Mapping[str, Marking] = definitions.known(tx, _named_by([marking_set]))
        if arriving:
            known = {**known, **arriving}
        circles = self._named(tx, known)
        rows = [
            _row(
                place,
                number,
                judge(
                    marking_set,
                    known,
                    party,
                    own=self.own,
                    policy=self.policy,
                    circles=circles,
                ),
                0,
            )
            for place, party in parties.items()
        ]
        tx.insert_many(tables.verdict, _VERDICT, rows)
        tx.run("UPDATE stamp SET epoch = epoch + 1")

    def follow(self, tx: Tx, added: int, slot: int, kind: int, *, anew: bool) -> None:
        """Keep a version in the views of those who may have it, after its set changed.

        In its new set it may lie before the stamp from which a party sees the set
        without entries (`verdict.since`); then it is entered for that party now.

        Args:
            tx: a write transaction.
            added: the version's stamp.
            slot: the one that it has now.
            kind: the number of its type.
            anew: enter it for everyone, since its old set may have hidden it.
        """
        since = {
            int(row.party): int(row.since)
            for row in tx.rows(
                "SELECT party, since FROM verdict "
                "WHERE marking_set = :number AND released",
                number=slot // 2,
            )
        }
        held: dict[int, set[int]] = {}
        base = {0: added}
        for row in tx.rows(
            "SELECT s.collection, s.party, e.added FROM entry e "
            "JOIN scope s ON s.n = e.scope WHERE e.object = :added",
            added=added,
        ):
            if row.party:
                held.setdefault(int(row.party), set()).add(int(row.collection))
            else:
                base[int(row.collection)] = int(row.added)
        for party, after in since.items():
            entered = held.get(party, set())
            for collection, stamp in base.items():
                if collection in entered or not (anew or stamp <= after):
                    continue
                entered.add(collection)
                tx.insert_many(
                    tables.entry,
                    ("added", "scope", "slot", "type", "object"),
                    [
                        (
                            tx.stamps(1),
                            self.scope(tx, collection, party),
                            slot,
                            kind,
                            added,
                        )
                    ],
                )
            if entered and not after:
                # Views look at a party's entries only where there is a `since`.
                tx.run(
                    "UPDATE verdict SET since = 1 "
                    "WHERE party = :party AND marking_set = :number",
                    party=party,
                    number=slot // 2,
                )
                tx.run("UPDATE stamp SET epoch = epoch + 1")

    def _apply(self, tx: Tx, party: int, change: Change) -> None:
        number = change.marking_set
        released = change.before is not None and change.before.released
        if released and change.after.released:
            tx.run(
                "UPDATE verdict SET rule = :rule, got = :got, expected = :expected "
                "WHERE party = :party AND marking_set = :number",
                rule=change.after.rule,
                got=change.after.got,
                expected=change.after.expected,
                party=party,
                number=number,
            )
            return
        slots = {"last": 2 * number, "superseded": 2 * number + 1}
        # Whether it widens or narrows, entries made for an earlier widening are void.
        tx.run(
            "DELETE FROM entry WHERE scope IN "
            "(SELECT n FROM scope WHERE party = :party) AND slot IN " + _SLOTS,
            party=party,
            **slots,
        )
        tx.run(
            "DELETE FROM verdict WHERE party = :party AND marking_set = :number",
            party=party,
            number=number,
        )
        since = 0
        if change.after.released:
            since = int(tx.value("SELECT last FROM stamp"))
            self._reenter(tx, party, slots)
        tx.insert_many(
            tables.verdict, _VERDICT, [_row(party, number, change.after, since)]
        )

    def _reenter(self, tx: Tx, party: int, slots: Mapping[str, int]) -> None:
        """Enter everything of a marking set anew into one party's views."""
        sources = [
            (0, "SELECT added, slot, type, added AS object FROM object WHERE slot")
        ]
        sources += [
            (
                int(row.collection),
                "SELECT added, slot, type, object FROM entry "
                f"WHERE scope = {int(row.n)} AND slot",
            )
            for row in tx.rows("SELECT n, collection FROM scope WHERE party = 0")
        ]
        for collection, source in sources:
            count = int(
                tx.value(f"SELECT count(*) FROM ({source} IN {_SLOTS}) AS s", **slots)
            )
            if not count:
                continue
            first = tx.stamps(count)
            tx.run(
                "INSERT INTO entry (added, scope, slot, type, object) "
                "SELECT :before + row_number() OVER (ORDER BY added), :scope, slot, "
                f"type, object FROM ({source} IN {_SLOTS}) AS s",
                before=first - 1,
                scope=self.scope(tx, collection, party),
                **slots,
            )

    def grant(self, tx: Tx, party: int) -> tuple[str, str]:
        """Give what a party may see now as JSON text, and its digest.

        The JSON maps each released marking set's key to rule, got and expected.
        """
        sets = {row.n: row.key for row in tx.rows("SELECT n, key FROM marking_set")}
        content = orjson.dumps(
            {
                sets[number]: [verdict.rule, verdict.got, verdict.expected]
                for number, verdict in sorted(self.verdicts(tx, party).items())
                if verdict.released
            }
        )
        return content.decode(), hashlib.sha256(content).hexdigest()


def _named_by(sets: Iterable[MarkingSet]) -> set[str]:
    """Give the ids of all markings that some sets name."""
    found: set[str] = set()
    for marking_set in sets:
        for part in marking_set.each():
            found.update(part.refs, part.granular, (part.definition,))
    return found - {""}


def _party(row: Any) -> Party:
    return Party(
        name=row.name,
        kind=Kind(row.kind),
        title=row.title,
        identity=row.identity,
        client_of=row.client_of,
        need_to_know=bool(row.need_to_know),
        blocked=bool(row.blocked),
        ceiling=Tlp.parse(row.ceiling) if row.ceiling else None,
        until=row.until,
        purposes=frozenset(map(Purpose, row.purposes.split())),
    )


def _row(party: int, number: int, verdict: Verdict, since: int) -> tuple[object, ...]:
    return (
        party,
        number,
        verdict.released,
        since,
        verdict.rule,
        verdict.got,
        verdict.expected,
    )
