"""The release log: one row for each page that went to an outsider.

A row is written in the transaction that read the page. It names the party, the way, the
verdicts in force (`grant`), and exactly which object versions were on the page: their
stamps, as runs. A page of a thousand neighbours takes a few bytes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Any

import orjson

from serantau.records.audiences import Audiences
from serantau.records.database import Tx
from serantau.rules.marking import MarkingSet
from serantau.rules.release import Verdict

_SPANS = 64
_SERIALIZATION_FAILURE = "40001"


@dataclass(frozen=True, slots=True)
class Released:
    """One release as it is told: when (instant), to whom, by which way, how many.

    rule, got, expected: the verdict under which the object asked about went; empty
    when the question was not about one object. purpose: what for; empty before that was
    written down.
    """

    number: int
    at: int
    party: str
    actor: str
    way: str
    collection: str
    count: int
    request: str
    rule: str = ""
    got: str = ""
    expected: str = ""
    purpose: str = ""


_RUNS, _GAPS, _LONG_GAPS = 0, 1, 2
_MANY = 16
# What deflating may use: for a few hundred bytes, what zlib usually takes is a quarter
# of a megabyte to fill with zeros.
_WINDOW, _LITTLE = 12, 4


def _steps(stamps: Sequence[int]) -> bytes | None:
    """Give the gaps between stamps, None when one of them is not of 1 to 255."""
    try:
        found = bytes(map(sub, stamps[1:], stamps))
    except ValueError:
        return None
    return None if 0 in found else found


def pack(stamps: Sequence[int], base: int = 0, steps: bytes | None = None) -> bytes:
    """Write a set of stamps, in ascending order and each less `base`, as few bytes.

    The first byte tells how: a few, or all in a row, as runs: (gap, length - 1) pairs
    of LEB128 numbers; others as the first stamp and the gaps behind it, deflated (RFC
    1950), each in one byte, or in eight (little-endian) where one is long. `steps` are
    those gaps, where they are known and short.
    """
    if not stamps:
        return b""
    start, last = base + stamps[0], base + stamps[-1]
    packed = bytearray([_RUNS])
    if last - start + 1 == len(stamps):
        _number(packed, start)
        _number(packed, last - start)
        return bytes(packed)
    if len(stamps) >= _MANY:
        steps = steps or _steps(stamps)
        packed[0] = _GAPS if steps is not None else _LONG_GAPS
        _number(packed, start)
        if steps is None:
            gaps = map(sub, stamps[1:], stamps)
            steps = struct.pack(f"<{len(stamps) - 1}q", *gaps)
        deflating = zlib.compressobj(1, wbits=_WINDOW, memLevel=_LITTLE)
        return bytes(packed + deflating.compress(steps) + deflating.flush())
    end, before = 0, start
    for distance in stamps:
        stamp = base + distance
        if stamp - before > 1:
            _number(packed, start - end)
            _number(packed, before - start)
            end, start = before + 1, stamp
        before = stamp
    _number(packed, start - end)
    _number(packed, before - start)
    return bytes(packed)


def _number(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def unpack(packed: bytes) -> Iterator[tuple[int, int]]:
    """Read stamps back, as runs from a first to a last one."""
    if not packed:
        return
    numbers: list[int] = []
    number = shift = 0
    for place, byte in enumerate(packed[1:], 1):
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
            if packed[0] != _RUNS:
                told = zlib.decompress(packed[place + 1 :])
                gaps: Sequence[int] = told
                if packed[0] == _LONG_GAPS:
                    gaps = struct.unpack(f"<{len(told) // 8}q", told)
                yield from _by_gaps(numbers[0], gaps)
                return
    end = 0
    for gap, more in zip(numbers[::2], numbers[1::2], strict=True):
        first = end + gap
        end = first + more + 1
        yield first, end - 1


def _by_gaps(first: int, gaps: Sequence[int]) -> Iterator[tuple[int, int]]:
    last = first
    for gap in gaps:
        if gap > 1:
            yield first, last
            first = last + gap
        last += gap
    yield first, last


class Ledger:
    """Writes and answers from the release log."""

    def __init__(self, audiences: Audiences) -> None:
        """Name the verdicts in force as `audiences` keeps them."""
        self._audiences = audiences
        self._grants: dict[int, tuple[int, int]] = {}

    def record(
        self,
        tx: Tx,
        *,
        party: int,
        actor: str,
        way: str,
        purpose: str = "",
        collection: int,
        request: str,
        stamps: Sequence[int],
        base: int = 0,
        epoch: int,
        at: int | None = None,
        receipt: str = "",
        verdicts: Mapping[str, Verdict] | None = None,
    ) -> None:
        """Write one row, as the last thing in the transaction.

        Args:
            tx: the transaction that read what goes out.
            party: the number of who gets it.
            actor: the user who asked.
            way: the door it leaves by.
            purpose: what for.
            collection: the collection's number, 0 for none.
            request: the question as it was put.
            stamps: of the object versions that go, at least one, in any order.
            base: what each of the stamps is short of.
            epoch: of the verdicts that released them.
            at: when, where a receipt says so already; otherwise at the end.
            receipt: the digest of the receipt that goes with the page, empty for none.
            verdicts: under which they go, by the key of their marking set, where those
                are not the ones by machine.
        """
        steps = _steps(stamps)
        ordered = sorted(set(stamps)) if steps is None else stamps
        low, high = base + ordered[0], base + ordered[-1]
        values = {
            "party": party,
            "actor": actor,
            "way": way,
            "purpose": purpose,
            "collection": collection,
            "request": request.replace("\x00", "%00"),
            "count": len(ordered),
            "span": (high - low).bit_length(),
            "low": low,
            "high": high,
            "stamps": pack(ordered, base, steps),
        }

        def write() -> None:
            granted = (
                self._grant(tx, party, epoch)
                if verdicts is None
                else self._keep_verdicts(tx, party, verdicts)
            )
            if receipt:
                tx.run(_PROMISED, at=at, granted=granted, receipt=receipt, **values)
            else:
                tx.run(_RELEASE, at=tx.clock.now(), granted=granted, **values)

        tx.at_end(write)

    def record_rows(
        self,
        tx: Tx,
        *,
        party: int,
        actor: str,
        way: str,
        purpose: str = "",
        request: str,
        count: int,
        verdicts: Mapping[str, Verdict],
    ) -> None:
        """Write one row for event rows, which have no stamps; otherwise as `record`.

        Args:
            tx: the transaction that decides that they go.
            party: the number of who gets them.
            actor: the user who sends them.
            way: the door they leave by.
            purpose: what for.
            request: what they are, with the digest of what leaves.
            count: how many rows.
            verdicts: under which they go, by the key of their marking set.
        """
        values = {
            "party": party,
            "actor": actor,
            "way": way,
            "purpose": purpose,
            "collection": 0,
            "request": request.replace("\x00", "%00"),
            "count": count,
            "span": 0,
            "low": 0,
            "high": 0,
            "stamps": b"",
        }

        def write() -> None:
            granted = self._keep_verdicts(tx, party, verdicts)
            tx.run(_RELEASE, at=tx.clock.now(), granted=granted, **values)

        tx.at_end(write)

    def _grant(self, tx: Tx, party: int, epoch: int) -> int:
        """Give the number of what a party's view consists of, written once.

        The number is made of the content, so that nothing has to be read first: with
        SQLite a read before the write would fail whenever another process logs in
        between, and with PostgreSQL the row that it just wrote would not be seen.
        """
        held = tx.recall(self._grants, party)
        if held is not None and held[0] == epoch:
            return int(held[1])
        content, digest = self._audiences.grant(tx, party)
        number = self._keep_grant(tx, party, content, digest)
        tx.note(self._grants, party, (epoch, number))
        return number

    def _keep_verdicts(
        self, tx: Tx, party: int, verdicts: Mapping[str, Verdict]
    ) -> int:
        content = orjson.dumps(
            {
                key: [verdict.rule, verdict.got, verdict.expected]
                for key, verdict in sorted(verdicts.items())
            }
        )
        digest = hashlib.sha256(content).hexdigest()
        return self._keep_grant(tx, party, content.decode(), digest)

    @staticmethod
    def _keep_grant(tx: Tx, party: int, content: str, digest: str) -> int:
        named = hashlib.sha256(f"{party}:{digest}".encode()).digest()
        number = int.from_bytes(named[:8], "big") >> 1
        values = {
            "n": number,
            "party": party,
            "digest": digest,
            "at": tx.clock.now(),
            "content": content,
        }
        if tx.lite:
            tx.run(_GRANT, **values)
        else:
            try:
                with tx.connection.begin_nested():
                    tx.run(_GRANT, **values)
            except Exception as fault:
                # Another process wrote the same row since this transaction began.
                if getattr(fault, "sqlstate", "") != _SERIALIZATION_FAILURE:
                    raise
        return number

    def of_object(self, tx: Tx, stamp: int, marking_set: int) -> list[Released]:
        """Tell every release of the object version with this stamp, oldest first.

        `marking_set` is the one that it has now. It may have gone out under a wider
        one, before a later version narrowed it; then that one's verdict is told.
        """
        keys = set_keys(tx, stamp, marking_set)
        found = []
        # A row covers the stamp only when low is at most 2^span below it: one short
        # range of the index for each span.
        for span in range(_SPANS):
            for row in tx.rows(
                _TOLD + "WHERE r.span = :span AND r.low BETWEEN :floor AND :stamp "
                "AND r.high >= :stamp",
                span=span,
                floor=max(stamp - (1 << span), 0),
                stamp=stamp,
            ):
                runs = unpack(bytes(row.stamps))
                if any(first <= stamp <= last for first, last in runs):
                    found.append(_told(row, keys))
        return sorted(found, key=lambda released: released.number)

    def of_party(
        self, tx: Tx, party: int, *, since: int = 0, limit: int = 1000
    ) -> list[Released]:
        """Tell what went to one party from an instant on, oldest first."""
        rows = tx.rows(
            _TOLD
            + "WHERE r.party = :party AND r.at >= :since ORDER BY r.at LIMIT :limit",
            party=party,
            since=since,
            limit=limit,
        )
        return [_told(row, ()) for row in rows]

    def log(
        self, tx: Tx, *, party: int | None, since: int, after: int, limit: int
    ) -> list[Released]:
        """Tell what went out, to one party or to all, oldest first.

        Args:
            tx: any transaction.
            party: a party's number; all parties when None.
            since: the instant from which on.
            after: the number of the last row told before, 0 to begin.
            limit: how many rows at most.
        """
        if party is None:
            where = "WHERE r.n > :after AND r.at >= :since ORDER BY r.n LIMIT :limit"
            last = 0
        else:
            # By the index of a party's rows in time; two of one instant by number.
            where = (
                "WHERE r.party = :party AND r.at >= :since "
                "AND (r.at, r.n) > (:last, :after) ORDER BY r.at, r.n LIMIT :limit"
            )
            found = tx.value("SELECT at FROM ledger.release WHERE n = :n", n=after)
            last = int(found or 0)
        rows = tx.rows(
            _TOLD + where, party=party, since=since, last=last, after=after, limit=limit
        )
        return [_told(row, ()) for row in rows]

    @staticmethod
    def told(tx: Tx, numbers: Sequence[int]) -> list[Released]:
        """Tell some rows, in the order of their numbers as given."""
        rows = tx.rows(
            _TOLD + "WHERE " + tx.among("r.n", "numbers"), numbers=tx.array(numbers)
        )
        found = {int(row.n): _told(row, ()) for row in rows}
        return [found[number] for number in numbers if number in found]

    @staticmethod
    def rule_of(tx: Tx, number: int, stamp: int, marking_set: int) -> str:
        """Name the rule under which one row released an object version.

        Args:
            tx: any transaction.
            number: of the row.
            stamp: of the object version.
            marking_set: the one that it has now.
        """
        content = tx.once(
            ("verdicts of", number),
            lambda: tx.value(
                "SELECT g.content FROM ledger.release r JOIN ledger.grant_view g "
                "ON g.n = r.grant_view WHERE r.n = :n",
                n=number,
            ),
        )
        keys = set_keys(tx, stamp, marking_set)
        if not (content and keys):
            return ""
        return verdict_of(orjson.loads(content), keys)[0]

    @staticmethod
    def stamps_of(tx: Tx, number: int) -> list[tuple[int, int]]:
        """Give the runs of object stamps that one row released."""
        row = tx.row("SELECT stamps FROM ledger.release WHERE n = :n", n=number)
        return list(unpack(bytes(row.stamps))) if row is not None else []


def set_keys(tx: Tx, stamp: int, marking_set: int) -> list[str]:
    """Give the keys of the marking sets of an object: the one that it has, and its own.

    Args:
        tx: any transaction.
        stamp: of the object version.
        marking_set: the one that it has now.
    """
    return [
        str(row.key)
        for row in tx.rows(
            "SELECT m.key FROM marking_set m WHERE m.n = :now OR m.n = "
            "(SELECT own_set FROM object WHERE added = :stamp) "
            "ORDER BY CASE WHEN m.n = :now THEN 0 ELSE 1 END",
            now=marking_set,
            stamp=stamp,
        )
    ]


_RELEASE = (
    "INSERT INTO ledger.release (at, party, actor, way, collection, grant_view, "
    "request, count, span, low, high, purpose, stamps) VALUES (:at, :party, :actor, "
    ":way, :collection, :granted, :request, :count, :span, :low, :high, :purpose, "
    ":stamps)"
)
_PROMISED = _RELEASE.replace("stamps)", "stamps, receipt)", 1).replace(
    ":stamps)", ":stamps, :receipt)"
)
_GRANT = (
    "INSERT INTO ledger.grant_view (n, party, digest, at, content) "
    "VALUES (:n, :party, :digest, :at, :content) ON CONFLICT DO NOTHING"
)
_TOLD = (
    "SELECT r.n, r.at, p.name AS party, r.actor, r.way, r.purpose, "
    "coalesce(c.alias, '') AS collection, r.count, r.request, r.stamps, g.content "
    "FROM ledger.release r LEFT JOIN party p ON p.n = r.party "
    "LEFT JOIN collection c ON c.n = r.collection "
    "LEFT JOIN ledger.grant_view g ON g.n = r.grant_view "
)


def _told(row: Any, keys: Sequence[str]) -> Released:
    rule, got, expected = "", "", ""
    if keys:
        rule, got, expected = verdict_of(orjson.loads(row.content), keys)
    return Released(
        number=row.n,
        at=row.at,
        party=row.party or "(a party since removed)",
        actor=row.actor,
        way=row.way,
        purpose=row.purpose,
        collection=row.collection,
        count=row.count,
        request=row.request,
        rule=rule,
        got=got,
        expected=expected,
    )


def verdict_of(granted: dict[str, list[str]], keys: Sequence[str]) -> list[str]:
    """Find the verdict under which one of these marking sets went.

    keys: the set that the object has now, and the one of its own version alone. What it
    had in between joins some of the parts of the first, the more the later.
    """
    now, own = (set(MarkingSet.from_key(keys[at]).each()) for at in (0, -1))
    best: list[str] = ["", "", ""]
    most = 0
    for key, verdict in granted.items():
        parts = set(MarkingSet.from_key(key).each())
        if own <= parts <= now and len(parts) > most:
            best, most = verdict, len(parts)
    return best
