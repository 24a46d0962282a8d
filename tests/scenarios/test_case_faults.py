"""Faults of delivery, of a node in the middle of its work, and of a party that floods.

One node, th, and what others wrote: given to its intake as pulls would give it.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from serantau.config import LimitsSection
from serantau.desk import case_flood
from serantau.desk.case_flood import CASES, ENTRIES, WITHIN
from serantau.desk.case_verify import state_of
from serantau.desk.case_waiting import CaseWaiting
from serantau.desk.cases import Casework
from serantau.desk.intake import Report
from serantau.records.cases import Cases
from serantau.records.database import Tx
from serantau.rules.case import Case
from serantau.rules.case_entry import Entry, Kind, make_entry, read_entry
from serantau.rules.level import Tlp
from serantau.rules.party import Kind as PartyKind
from serantau.rules.signature import signed
from serantau.testing import Region, Site, identity_of, signer_of
from serantau.wire.bundle import Piece

OTHERS = ("sg", "vn")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """th, which knows sg and vn by their keys, and jp by its name alone."""
    with Region(tmp_path, ["th"]) as region:
        site = region["th"]
        for name in OTHERS:
            site.party(name)
            site.pin(name)
        site.party("jp", kind=PartyKind.PARTNER)
        yield site


class Book:
    """What others write, each on top of all that is in the book."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.objects: list[dict[str, Any]] = []
        self.cases: dict[str, list[Entry]] = {}

    def begin(self, case: str) -> None:
        """Write on what th has of a case."""
        with self.site.node.db.read() as tx:
            self.cases[case] = Cases().entries(tx, case)

    def open(self, author: str, *invited: str, sign: bool = True) -> str:
        said = {"name": "A case", "nonce": secrets.token_hex(16)}
        made = self._write(author, Kind.OPENED, said, sign, case="")
        for party in invited:
            self.say(author, made, Kind.INVITED, party_ref=identity_of(party))
        return made

    def say(self, author: str, case: str, kind: Kind, **said: Any) -> str:
        folded = Case(case, self.cases[case])
        tail = folded.tail(identity_of(author))
        return self._write(
            author, kind, said, True,
            case=case, previous=tail, after=folded.heads(tail),
        )  # fmt: skip

    def _write(
        self,
        author: str,
        kind: Kind,
        said: Mapping[str, Any],
        sign: bool,
        **links: Any,
    ) -> str:
        at = self.site.node.clock.now()
        made = make_entry(
            kind, said, author=identity_of(author), at=at, level=Tlp.AMBER, **links
        )
        if sign:
            made = signed(made, signer_of(author).jws)
        entry = read_entry(orjson.dumps(made))
        self.cases.setdefault(entry.case, []).append(entry)
        self.objects.append(made)
        return entry.id


def give(
    site: Site, objects: Sequence[Mapping[str, Any]], source: str = "peer:vn"
) -> Report:
    pieces = (
        Piece(ordinal=place, offset=0, line=1, raw=orjson.dumps(one))
        for place, one in enumerate(objects, 1)
    )
    return site.intake.take(pieces, origin="a pull", source=source)


def limit(site: Site, **limits: int) -> None:
    """Open the node again under other limits."""
    site.close()
    site.config = msgspec.structs.replace(site.config, limits=LimitsSection(**limits))
    site.open()


def later(site: Site, days: float) -> None:
    site.node.clock.advance(days=days)  # type: ignore[attr-defined]


def board(site: Site) -> list[str]:
    return sorted(row.id for row in Casework(site.node).board())


def waiting(site: Site) -> dict[str, str]:
    """Give the rule that each object waits by."""
    with site.node.db.read() as tx:
        return {one.id: one.rule for one in site.node.quarantine.list(tx, limit=1000)}


def test_entries_that_come_twice_and_in_any_order_come_to_the_same_state(
    site: Site,
) -> None:
    book = Book(site)
    case = book.open("sg", "th", "vn")
    for _ in range(4):
        book.say("vn", case, Kind.TASK, name="Block it", party_ref=identity_of("vn"))
        book.say("sg", case, Kind.ASSESSMENT, severity_level="high")
    expected = Case(case, book.cases[case]).hash()
    chance = random.Random(5)
    for place, one in enumerate(chance.sample(book.objects, len(book.objects))):
        give(site, [one], f"peer:{OTHERS[place % 2]}")
        give(site, [one], f"peer:{OTHERS[1 - place % 2]}")
    give(site, chance.sample(book.objects, len(book.objects)))
    assert state_of(site.node, case).hash == expected
    (row,) = Casework(site.node).board()
    assert (row.entries, row.waiting, row.tasks, row.severity) == (11, 0, 4, "high")
    assert not waiting(site)


class Crash(BaseException):
    """The end of a process."""


def test_a_crash_at_any_statement_leaves_what_was_or_what_is_to_be(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Casework(site.node)
    case = work.open("Phishing kit", ["sg"], severity_level="high").id
    book = Book(site)
    book.begin(case)
    for kind in (Kind.ACKNOWLEDGED, Kind.TASK):
        book.say("sg", case, kind, **({"name": "x"} if kind is Kind.TASK else {}))

    def stands() -> object:
        return state_of(site.node, case).hash, site.versions(), work.board(closed=True)

    left = 0
    execute = Tx.execute

    def dying(tx: Tx, sql: str, values: Mapping[str, Any]) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash
        return execute(tx, sql, values)

    crashes = 0
    for step in (
        lambda: give(site, book.objects),
        lambda: work.hand_over(case, "sg"),
        lambda: work.close(case),
    ):
        before, at = stands(), 0
        while True:
            at += 1
            left = at
            with monkeypatch.context() as patched:
                patched.setattr(Tx, "execute", dying)
                try:
                    step()
                    break
                except Crash:
                    crashes += 1
            assert stands() == before, at
        assert stands() != before
    assert crashes > 30
    # What was cut off in the middle is not half remembered either.
    with site.node.db.read() as tx:
        anew = Case(case, Cases().entries(tx, case))
    assert state_of(site.node, case).hash == anew.hash()
    assert (anew.waiting, anew.flagged()) == ([], [])


def test_a_party_that_opens_many_cases_fills_only_its_own_room(site: Site) -> None:
    limit(site, cases=3)
    book = Book(site)
    many = [book.open("vn", "th") for _ in range(8)]
    report = give(site, book.objects)
    # With each case that waits its other entry waits.
    assert report.reasons == {CASES: 10}
    assert board(site) == sorted(many[:3])
    assert {*many[3:]} < waiting(site).keys()
    with site.node.db.read() as tx:
        found = site.node.quarantine.list(tx)[0]
    assert found.got == (
        f"{identity_of('vn')} in {many[3]}: a case beside 3 cases that are open or "
        "came within a day"
    )
    # Another party's case comes in, and what it says in one that waits takes no room.
    other = Book(site)
    other.cases = book.cases
    for case in many[3:]:
        other.say("sg", case, Kind.ACKNOWLEDGED)
    mine = [other.open("sg", "th") for _ in range(3)]
    assert give(site, other.objects, "peer:sg").reasons == {CASES: 5}
    assert {*mine} < {*board(site)}
    assert CaseWaiting(site.node).admit() == 0
    # They are closed, and the day is over: there is room for as many again.
    closing = Book(site)
    closing.cases = book.cases
    for case in many[:3]:
        closing.say("vn", case, Kind.CLOSED)
    give(site, closing.objects)
    assert CaseWaiting(site.node).admit() == 0
    later(site, 1.01)
    # Each with its other entry, and with what sg said in it.
    assert CaseWaiting(site.node).admit() == 3 * 3
    assert board(site) == sorted([*many[3:6], *mine])
    # A person lets in what a person wants to see.
    with site.node.db.read() as tx:
        (number,) = (
            one.number for one in site.node.quarantine.list(tx) if one.id == many[7]
        )
    assert site.intake.retry(number).new == 1
    assert many[7] in board(site)
    limit(site, cases=100)
    CaseWaiting(site.node).admit()
    assert not waiting(site)
    assert board(site) == sorted([*many[3:], *mine])


def test_a_flood_of_entries_waits_and_delays_nobody_else(site: Site) -> None:
    limit(site, case_entries=5)
    case = Casework(site.node).open("Phishing kit", ["sg", "vn"]).id
    book = Book(site)
    book.begin(case)
    for number in range(9):
        book.say("vn", case, Kind.TASK, name=f"task {number}")
    flood = list(book.objects)
    assert give(site, flood).reasons == {ENTRIES: 4}
    other = Book(site)
    other.begin(case)
    for _ in range(5):
        other.say("sg", case, Kind.ASSESSMENT, description="at it")
    assert give(site, other.objects, "peer:sg").refused == 0
    # The same again, by whichever peer, is nothing new.
    assert give(site, flood[:5], "peer:sg").refused == 0
    assert CaseWaiting(site.node).admit() == 0
    later(site, 1.01)
    assert CaseWaiting(site.node).admit() == 4
    assert state_of(site.node, case).entries == 3 + 9 + 5
    assert not waiting(site)


def test_what_others_build_on_is_let_in_however_much_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_flood, "MOST", 5)
    case = Casework(site.node).open("Phishing kit", ["sg", "vn"]).id
    book = Book(site)
    book.begin(case)
    for number in range(9):
        book.say("vn", case, Kind.TASK, name=f"task {number}")
    book.say("sg", case, Kind.ACKNOWLEDGED)
    beyond = len(book.objects)
    for number in range(3):
        book.say("vn", case, Kind.TASK, name=f"task {number} of later")
    assert give(site, book.objects).reasons == {WITHIN: 7}
    assert Casework(site.node).board()[0].waiting == 1
    assert CaseWaiting(site.node).admit() == 4
    row = Casework(site.node).board()[0]
    assert (row.waiting, row.entries) == (0, 3 + 9 + 1)
    # What nobody builds on stays out, also tomorrow.
    later(site, 2)
    assert CaseWaiting(site.node).admit() == 0
    assert waiting(site) == {one["id"]: WITHIN for one in book.objects[beyond:]}


def test_nobody_fills_the_room_of_a_party_in_its_name(site: Site) -> None:
    limit(site, cases=2)
    forged = Book(site)
    for _ in range(4):
        forged.open("jp", "th", sign=False)
    assert give(site, forged.objects).reasons == {CASES: 4}
    with site.node.db.read() as tx:
        (*_, found) = site.node.quarantine.list(tx)
    assert found.got.startswith(f"{identity_of('jp')} unproven in ")
    site.pin("jp")
    own = Book(site)
    mine = [own.open("jp", "th") for _ in range(2)]
    assert give(site, own.objects, "peer:jp").refused == 0
    assert board(site) == sorted(mine)
    assert CaseWaiting(site.node).admit() == 0


def test_a_peer_keeps_what_is_more_than_may_wait_here(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "vn"], page=10) as region:
        region.peer("th", "vn")
        th = region["th"]
        limit(th, cases=2, case_entries=8)
        work = Casework(region["vn"].node)
        many = [work.open(f"Case {number}", ["th"]).id for number in range(9)]
        (report,) = th.sync()
        assert "so nothing more is taken from it" in report.fault
        held = waiting(th)
        assert 8 < len(held) < 2 * 7
        assert not {*many} <= {*board(th), *held}
        (again,) = th.sync()
        assert (again.new, again.refused, again.fault) == (0, 0, report.fault)
        # Room again, and the pull goes on where it stopped.
        limit(th, cases=100, case_entries=100)
        CaseWaiting(th.node).admit()
        (report,) = th.sync()
        assert not report.fault
        assert board(th) == sorted(many)
        assert not waiting(th)
