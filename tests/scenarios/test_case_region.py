"""Cases between real nodes: merged without conflict, private things kept at home."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import sqlalchemy as sa

from serantau.clock import stix_text
from serantau.desk.case_log import CaseLog
from serantau.desk.case_private import Private
from serantau.desk.case_verify import state_of, verify
from serantau.desk.cases import Casework
from serantau.errors import NotFound, PeerError
from serantau.records import tables
from serantau.records.cases import Cases
from serantau.rules.case import Case
from serantau.rules.case_entry import Kind, audience_of, circle_of, make_entry
from serantau.rules.case_steps import Flag
from serantau.rules.level import Tlp
from serantau.rules.party import Kind as PartyKind
from serantau.rules.signature import signed
from serantau.testing import Region, Site, identity_of, signer_of
from serantau.wire.cases import ask_case

MEMBERS = ("th", "sg", "id", "vn")


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, MEMBERS) as region:
        region.mesh()
        yield region


def desk(region: Region, name: str) -> Casework:
    return Casework(region[name].node)


def folded(site: Site, case: str) -> Case:
    with site.node.db.read() as tx:
        return Case(case, Cases().entries(tx, case))


def hashes(region: Region, case: str, names: tuple[str, ...] = MEMBERS) -> set[str]:
    return {state_of(region[name].node, case).hash for name in names}


def later(region: Region, **time: float) -> None:
    region.clock.advance(**time)


@pytest.mark.no_cover
def test_who_is_not_invited_has_nothing_and_who_comes_late_has_all(
    region: Region,
) -> None:
    case = desk(region, "th").open("Phishing kit", ["sg"], severity_level="high").id
    region.sync()
    desk(region, "sg").assess(case, "accepted", description="we are at it")
    region.sync()
    hidden = {case, audience_of(case)["id"], *(folded(region["th"], case)._held)}
    assert hidden <= region["sg"].ids()
    for name in ("id", "vn"):
        assert not hidden & region[name].ids()
        with region[name].node.db.read() as tx:
            assert circle_of(case) not in region[name].node.audiences.circles(tx)
    desk(region, "th").invite(case, ["vn"])
    # The node that opened the case is gone: what it wrote comes by another.
    region.cut("th", "vn")
    region.sync()
    assert hidden <= region["vn"].ids()
    assert not hidden & region["id"].ids()
    assert len(hashes(region, case, ("th", "sg", "vn"))) == 1
    (row,) = desk(region, "vn").board()
    assert (row.name, row.severity, row.mine) == ("Phishing kit", "high", "no-answer")
    assert {part.name for part in desk(region, "vn").show(case).parts} == {
        *("th", "sg", "vn"),
    }


@pytest.mark.no_cover
def test_two_halves_that_work_apart_for_a_day_come_to_the_same_state(
    region: Region,
) -> None:
    case = desk(region, "th").open("Outage", ["sg", "id", "vn"]).id
    region.sync()
    halves = (("th", "sg"), ("id", "vn"))
    for one in halves[0]:
        for other in halves[1]:
            region.cut(one, other)
    for hour in range(4):
        later(region, seconds=6 * 3600)
        name = MEMBERS[hour]
        desk(region, name).add_task(case, f"task {hour}", name)
        if hour == 3:
            desk(region, "th").close(case)
            desk(region, "vn").assess(case, "deferred")
        region.sync()
    apart = [hashes(region, case, half) for half in halves]
    assert [len(one) for one in apart] == [1, 1]
    assert apart[0] != apart[1]
    for one in halves[0]:
        for other in halves[1]:
            region.heal(one, other)
    region.sync()
    assert len(hashes(region, case)) == 1
    seen = folded(region["id"], case)
    assert (len(seen.state.tasks), seen.waiting, seen.flagged()) == (4, [], [])
    for name in MEMBERS:
        found = desk(region, name).board(closed=True)
        assert [(row.tasks, bool(row.closed)) for row in found] == [(4, True)]


@pytest.mark.no_cover
def test_a_node_that_was_off_for_a_week_catches_up_and_goes_on(region: Region) -> None:
    case = desk(region, "th").open("Outage", ["sg", "vn"]).id
    region.sync()
    for name in ("th", "sg", "id"):
        region.cut(name, "vn")
    for _ in range(3):
        later(region, days=2.5)
        desk(region, "sg").assess(case, description="still at it")
        region.sync()
    region.restart("vn")
    for name in ("th", "sg", "id"):
        region.heal(name, "vn")
    region.sync()
    desk(region, "vn").acknowledge(case, "we are back")
    region.sync()
    assert len(hashes(region, case, ("th", "sg", "vn"))) == 1
    assert desk(region, "th").board()[0].silent == 0


def hostile(
    region: Region,
    who: str,
    case: str,
    kind: Kind,
    /,
    *,
    previous: str = "",
    ago: int = 0,
    **said: Any,
) -> str:
    """Put an entry into a hostile node's store that an honest one would not write."""
    made = make_entry(
        kind, said, author=identity_of(who), at=region.clock.now() - ago,
        level=Tlp.AMBER, case=case, previous=previous,
    )  # fmt: skip
    region[who].plant(signed(made, signer_of(who).jws))
    return str(made["id"])


def test_whatever_a_hostile_party_writes_is_seen_by_all_and_binds_nobody(
    region: Region,
) -> None:
    case = desk(region, "th").open("Phishing kit", ["sg", "vn"]).id
    region.sync()
    later(region, days=1)
    desk(region, "vn").acknowledge(case)
    tail = folded(region["vn"], case).tail(identity_of("vn"))
    sg = identity_of("sg")
    others = folded(region["th"], case).tail(identity_of("th"))
    wrong = {
        hostile(
            region, "vn", case, Kind.ACKNOWLEDGED, for_ref=sg, previous=tail
        ): {Flag.FORK, Flag.FOR_ANOTHER},
        hostile(
            region, "vn", case, Kind.INVITED, party_ref=identity_of("id"), previous=tail
        ): {Flag.FORK, Flag.NOT_OWNER},
        hostile(region, "vn", case, Kind.CLOSED, previous=tail, description="x"): {
            *(Flag.FORK, Flag.NOT_OWNER)
        },
        hostile(region, "vn", case, Kind.TASK, name="x", previous=others): {
            Flag.NOT_OWN_CHAIN
        },
        hostile(
            region, "vn", case, Kind.EVIDENCE, object_refs=["malware--1"],
            previous=tail, ago=86_400_000_000,
        ): {Flag.FORK, Flag.BACKDATED},
    }  # fmt: skip
    region.sync()
    for name in ("th", "sg"):
        seen = folded(region[name], case)
        assert {one: {*seen.flags(one)} for one in wrong} == wrong
        assert seen.state.closed == ""
        assert seen.state.silent == [sg]
        with region[name].node.db.read() as tx:
            circle = region[name].node.audiences.circles(tx)[circle_of(case)]
        assert "id" not in circle.members
        assert not region["id"].ids() & {*wrong}
    assert len(hashes(region, case, ("th", "sg"))) == 1
    assert desk(region, "th").board()[0].flagged == 5


@pytest.mark.no_cover
def test_what_was_not_signed_by_its_author_never_enters_a_case(region: Region) -> None:
    case = desk(region, "th").open("Phishing kit", ["sg", "vn"]).id
    region.sync()
    before = hashes(region, case, ("th",))
    # vn signs in the name of sg, and leaves a signature of its own off.
    made = make_entry(
        Kind.ACKNOWLEDGED, {}, author=identity_of("sg"), at=region.clock.now(),
        level=Tlp.AMBER, case=case,
    )  # fmt: skip
    region["vn"].plant(signed(made, signer_of("vn").jws))
    bare = make_entry(
        Kind.ACKNOWLEDGED, {}, author=identity_of("vn"), at=region.clock.now(),
        level=Tlp.AMBER, case=case,
    )  # fmt: skip
    region["vn"].plant(bare)
    reports = region["th"].sync()
    assert sum(report.refused for report in reports) == 2
    assert hashes(region, case, ("th",)) == before


def test_an_unsigned_entry_of_a_partner_counts_only_once_it_is_proven(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, ["th"], partners=["jp"]) as region:
        region.mesh()
        case = desk(region, "th").open("Phishing kit", ["jp"]).id
        region.sync()
        later(region, seconds=5)
        hostile(region, "jp", case, Kind.ACKNOWLEDGED)
        region.sync()
        (row,) = desk(region, "th").board()
        assert (row.entries, row.silent) == (2, 1)
        (doubt,) = desk(region, "th").show(case).doubts
        assert doubt.standing == "unknown_key"
        region["th"].pin("jp")
        with region["th"].node.db.write() as tx:
            assert CaseLog(region["th"].node).catch_up(tx) == [case]
            assert CaseLog(region["th"].node).catch_up(tx) == []
        assert desk(region, "th").board()[0].silent == 0


class Once(threading.Event):
    """Stops what waits for it as soon as it waits."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def test_a_party_that_becomes_known_later_gets_the_log_from_this_node_too(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, ["th", "sg"]) as region:
        region.mesh()
        region.join("vn")
        region["sg"].party("vn", identity="")
        with region["sg"].node.db.write() as tx:
            tx.run("DELETE FROM key_pin WHERE party = 'vn'")
        case = desk(region, "th").open("Phishing kit", ["sg", "vn"]).id
        region.sync()
        region["vn"].follow(region["sg"])
        region["vn"].sync()
        assert case not in region["vn"].ids()
        region["sg"].party("vn", identity=identity_of("vn"))
        CaseLog(region["sg"].node).run(Once())
        region["vn"].sync()
        assert case in region["vn"].ids()


def test_a_fault_in_the_middle_leaves_neither_entry_nor_board(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = desk(region, "th")
    case = work.open("Phishing kit", ["sg"]).id
    before = (hashes(region, case, ("th",)), region["th"].versions(), work.board())

    class Crash(Exception):
        pass

    def crash(*_: object) -> None:
        raise Crash

    for place in ("keep_in_step", "summary_of"):
        with monkeypatch.context() as patched:
            patched.setattr(f"serantau.desk.case_log.{place}", crash)
            with pytest.raises(Crash):
                work.close(case)
        after = (hashes(region, case, ("th",)), region["th"].versions(), work.board())
        assert after == before
    work.close(case)
    assert work.board() == []
    region.sync()
    assert len(hashes(region, case, ("th", "sg"))) == 1


@pytest.mark.no_cover
def test_the_incident_of_a_case_is_in_step_and_goes_to_the_next_owner(
    region: Region,
) -> None:
    case = desk(region, "th").open("Outage", ["sg"], severity_level="medium").id
    region.sync()
    desk(region, "sg").assess(case, "accepted")
    region.sync()
    desk(region, "th").assess(case, severity_level="severe")
    desk(region, "th").hand_over(case, "sg")
    region.sync()
    desk(region, "sg").take(case)
    desk(region, "sg").close(case)
    region.sync()
    for name in ("th", "sg"):
        with region[name].node.db.read() as tx:
            rows = tx.rows("SELECT body FROM object WHERE id LIKE 'incident--%'")
        newest: dict[str, Any] = {}
        for one in sorted(
            (orjson.loads(bytes(row.body)) for row in rows),
            key=lambda each: each["modified"],
        ):
            newest[one["created_by_ref"]] = one
        former, present = newest[identity_of("th")], newest[identity_of("sg")]
        assert former["revoked"]
        assert "revoked" not in present
        (core,) = (
            each
            for each in present["extensions"].values()
            if "investigation_status" in each
        )
        assert (core["investigation_status"], core["criticality"]) == ("closed", 80)
    assert not any("incident--" in one for one in region["id"].ids())


def test_parties_compare_how_a_case_stands_and_nobody_else_learns_of_it(
    region: Region,
) -> None:
    case = desk(region, "th").open("Phishing kit", ["sg", "vn"]).id
    region.sync()
    site = region["th"]

    def compared() -> dict[str, Any]:
        found = verify(site.node, case, transport=site.federation._transport)
        assert found.board
        return {one.party: one for one in found.compared}

    assert [one.equal for one in compared().values()] == [True, True]
    region.cut("th", "vn")
    desk(region, "sg").acknowledge(case)
    found = compared()
    assert found["sg"].equal is False
    assert found["sg"].differs == (("sg", 1, 0),)
    assert found["vn"].equal is None
    assert "line is cut" in found["vn"].fault
    with site.node.db.write() as tx:
        tx.run("UPDATE case_board SET silent = 0")
    assert not verify(site.node, case, transport=site.federation._transport).board
    # A party that is not in the case cannot tell it from one that never was.
    stranger = region["id"].federation
    with stranger.client(stranger.peer("th")) as client:
        for asked in (case, "case-entry--00000000-0000-4000-8000-000000000000", ""):
            with pytest.raises(PeerError, match="404"):
                ask_case(client.line, asked)


class Overheard(Region):
    """A region in which every byte between nodes is kept."""

    def __init__(self, *args: Any, **how: Any) -> None:
        self.heard: list[bytes] = []
        super().__init__(*args, **how)

    def carry(self, caller: str, request: httpx2.Request) -> httpx2.Response:
        self.heard += [str(request.url).encode(), str(request.headers).encode()]
        self.heard.append(request.read())
        response = super().carry(caller, request)
        self.heard += [str(response.headers).encode(), response.read()]
        return response


CANARY = "the-bank-asked-us-not-to-tell"


@pytest.mark.no_cover
def test_private_notes_tasks_and_files_are_in_no_byte_that_is_sent_or_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    members = ["th", "sg", "id", "vn"]
    with (region := Overheard(tmp_path, members, partners=["jp"])):
        region.mesh()
        for site in region:
            site.pin("jp")
        case = desk(region, "th").open("Phishing kit", ["sg", "vn", "jp"]).id
        region.sync()
        for name in (*members, "jp"):
            if name == "id":
                continue
            mine = Private(region[name].node)
            mine.note(case, f"{CANARY} note of {name}")
            number = mine.add_task(case, f"{CANARY} task of {name}")
            mine.add_file(case, f"{CANARY}-{name}.txt", f"{CANARY} file".encode())
            mine.end_task(case, number)
            work = desk(region, name)
            work.assess(
                case, "closed" if name == "vn" else "accepted", description="ok"
            )
            work.add_task(case, "a task for all", name)
        desk(region, "th").invite(case, ["id"])
        region.sync()
        desk(region, "th").hand_over(case, "sg")
        region.sync()
        desk(region, "sg").take(case)
        desk(region, "sg").close(case)
        region.sync()
        verify(region["th"].node, case, transport=region["th"].federation._transport)
        everyone = (*members, "jp")
        assert len(hashes(region, case, everyone)) == 1
        assert len(region.heard) > 100
        heard = b"\n".join(region.heard)
        assert b"a task for all" in heard
        for name in everyone:
            keepers = holders(region[name])
            wanted = set() if name == "id" else {"case_note", "case_task", "case_file"}
            assert keepers == wanted, name
        with region["th"].node.db.read() as tx:
            path = region["th"].node.db.ledger_path
            assert tx.value("SELECT count(*) FROM ledger.release") > 0
        assert path is not None
        assert CANARY.encode() not in path.read_bytes()
    out, err = capfd.readouterr()
    assert CANARY not in out + err
    assert CANARY.encode() not in heard
    assert zlib.compress(CANARY.encode())[2:-4] not in heard
    # The file of who was only given the shared log holds nothing of it either.
    files = [path for path in (tmp_path / "id").rglob("*") if path.is_file()]
    assert files
    assert not any(CANARY.encode() in path.read_bytes() for path in files)


def holders(site: Site) -> set[str]:
    """Name the tables of a node in which the canary is."""
    found = set()
    with site.node.db.read() as tx:
        for table in tables.metadata.sorted_tables:
            for row in tx.connection.execute(sa.select(table)):
                if CANARY.encode() in b"\n".join(map(_raw, row)):
                    found.add(table.name)
    return found


def _raw(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def test_an_operator_of_ours_has_no_part_in_the_case(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "sg"]) as region:
        region.mesh()
        region["th"].party(
            "bank", kind=PartyKind.OPERATOR, identity="", client_of="th",
            need_to_know=True,
        )  # fmt: skip
        case = desk(region, "th").open("Phishing kit", ["sg"]).id
        node = region["th"].node
        with node.db.read() as tx:
            number, _ = node.registry.party(tx, "bank")
            slot = tx.value("SELECT slot FROM object WHERE id = :id", id=case)
            verdict = node.audiences.verdicts(tx, number)[slot // 2]
        assert not verdict.released
        with pytest.raises(NotFound):
            desk(region, "th").hand_over(case, "bank")


def test_times_of_a_case_are_those_that_its_authors_gave(region: Region) -> None:
    case = desk(region, "th").open("Outage", ["sg"]).id
    due = region.clock.now() + 3_600_000_000
    _, task = desk(region, "th").add_task(case, "Call them", "sg", due)
    region.sync()
    assert folded(region["sg"], case).state.tasks[task].due == stix_text(due)
