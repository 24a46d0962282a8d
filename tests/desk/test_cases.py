"""Working a case: what others would flag is refused before it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from samples import made
from serantau.clock import stix_text
from serantau.desk.case_log import CaseLog
from serantau.desk.case_private import MOST_FILE, Private
from serantau.desk.cases import Casework
from serantau.errors import BadRequest, ConfigError, Conflict, Forbidden, NotFound
from serantau.records import acts
from serantau.records.acts import By, acting
from serantau.records.audit import Period
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.testing import Region


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """th and sg, which follow each other; vn is a party whose identity nobody knows."""
    with Region(tmp_path_factory.mktemp("pair"), ["th", "sg"]) as region:
        region.mesh()
        for site in region:
            site.party("vn", identity="")
        yield region


@pytest.fixture
def th(pair: Region) -> Casework:
    return Casework(pair["th"].node)


@pytest.fixture
def sg(pair: Region) -> Casework:
    return Casework(pair["sg"].node)


@pytest.fixture
def case(pair: Region, th: Casework) -> str:
    """The id of a new case that both are in."""
    found = th.open("Phishing kit", ["sg"]).id
    pair.sync()
    return found


def unchanged(pair: Region, work: Callable[[], object]) -> None:
    """Do something that is refused, and claim that nothing was written by it."""
    before = [site.versions() for site in pair]
    work()
    assert [site.versions() for site in pair] == before


def test_a_case_that_is_red_or_unnamed_or_too_long_is_not_opened(
    pair: Region, th: Casework
) -> None:
    def refused() -> None:
        for name, how, said in (
            ("x", {"level": "RED"}, "no case can be that"),
            ("x", {"level": "PINK"}, "PINK"),
            ("", {}, "name"),
            ("x" * 301, {}, "name"),
            ("x", {"severity_level": "awful"}, "severity_level"),
        ):
            with pytest.raises(BadRequest, match=said):
                th.open(name, **how)
        with pytest.raises(NotFound, match="'xx'"):
            th.open("x", ["sg", "xx"])
        with pytest.raises(BadRequest, match="identity of vn is not known"):
            th.open("x", ["sg", "vn"])

    unchanged(pair, refused)
    assert th.open("x", level="AMBER+STRICT").level == "TLP:AMBER+STRICT"


def test_whom_the_policy_withholds_a_case_from_is_not_invited(
    pair: Region, th: Casework, case: str
) -> None:
    site = pair["th"]
    fresh = th.open("Another").id
    for change, back, said in (
        ({"blocked": True}, {"blocked": False}, "party-blocked"),
        ({"ceiling": Tlp.GREEN}, {"ceiling": None}, "above-ceiling"),
        ({"until": 1}, {"until": None}, "has ended"),
    ):
        site.party("sg", **change)

        before = site.versions()
        with pytest.raises(Forbidden, match=said):
            th.invite(fresh, ["sg"])
        assert site.versions() == before
        site.party("sg", **back)
    assert th.invite(fresh, ["sg", "sg"]).parties == 2
    assert th.invite(fresh, ["sg"]).entries == 2


def test_only_the_owner_closes_and_hands_over(
    pair: Region, th: Casework, sg: Casework, case: str
) -> None:
    def refused() -> None:
        works: tuple[Callable[[], object], ...] = (
            lambda: sg.close(case),
            lambda: sg.hand_over(case, "th"),
            lambda: sg.reopen(case),
        )
        for work in works:
            with pytest.raises(Forbidden, match="Only the owner"):
                work()
        with pytest.raises(Conflict, match="not handed over"):
            sg.take(case)
        with pytest.raises(Conflict, match="no such step"):
            th.reopen(case)

    unchanged(pair, refused)
    th.hand_over(case, "sg")
    pair.sync()
    assert sg.take(case).offered == ""
    pair.sync()
    with pytest.raises(Forbidden):
        th.close(case)
    assert sg.close(case).closed > 0
    pair.sync()
    assert th.reopen(case).closed == 0


def test_who_speaks_has_received_it_and_takes_each_step(
    pair: Region, sg: Casework, case: str
) -> None:
    assert sg.assess(case, "accepted", severity_level="high").mine == "accepted"
    said = [
        (line.entry.kind, line.entry.stance, line.entry.severity_level)
        for line in sg.show(case).lines[2:]
    ]
    assert said == [
        ("acknowledged", "", ""),
        ("assessment", "valid", ""),
        ("assessment", "accepted", "high"),
    ]
    with pytest.raises(Conflict, match="nothing leads to invalid"):
        sg.assess(case, "invalid")
    for stance in ("accepted", ""):
        with pytest.raises(Conflict, match="Nothing new is said"):
            sg.assess(case, stance)
    assert sg.assess(case, "accepted", description="still").entries == 6


def test_tasks_are_named_by_how_they_begin_and_moved_by_whose_they_are(
    pair: Region, th: Casework, sg: Casework, case: str
) -> None:
    due = pair.clock.now() // 1000 * 1000
    _, task = th.add_task(case, "Take it down", "sg", due)
    _, own = th.add_task(case, "Call the bank", "th")
    pair.sync()
    assert sg.show(case).state.tasks[task].due == stix_text(due)
    assert sg.move_task(case, task[12:20], "doing").tasks == 2
    assert sg.move_task(case, task, "done").tasks == 1
    with pytest.raises(Conflict, match="no such step"):
        sg.move_task(case, task, "dropped")
    with pytest.raises(Forbidden):
        sg.move_task(case, own, "done")
    with pytest.raises(NotFound, match="no task that begins"):
        sg.move_task(case, "0000-0", "done")
    with pytest.raises(BadRequest, match="Several"):
        sg.move_task(case, "", "done")
    with pytest.raises(NotFound, match="vn is not in the case"):
        th.add_task(case, "x", "vn")


def test_evidence_is_given_to_nobody_by_being_that(
    pair: Region, th: Casework, case: str
) -> None:
    strict, clear = (
        made("malware", name=name, object_marking_refs=[TLP_2_IDS[level]])
        for name, level in (("a", Tlp.AMBER), ("b", Tlp.CLEAR))
    )
    pair["th"].load([strict, clear])
    _, unseen = th.add_evidence(case, [strict["id"], clear["id"]])
    assert [(one.object, one.party) for one in unseen] == [(strict["id"], "sg")]
    assert "no-audience" in unseen[0].verdict
    assert set(th.show(case).state.evidence) == {strict["id"], clear["id"]}
    pair.sync()
    assert strict["id"] not in pair["sg"].ids()
    with pytest.raises(NotFound, match="No object here"):
        th.add_evidence(case, ["malware--11111111-2222-4333-8444-555555555555"])


def test_an_embargo_needs_an_end_and_two_who_agree(
    pair: Region, th: Casework, sg: Casework, case: str
) -> None:
    until = pair.clock.now() + 86_400_000_000
    with pytest.raises(BadRequest, match="needs an end"):
        sg.embargo(case, "propose")
    assert sg.embargo(case, "propose", until).embargo == "proposed"
    pair.sync()
    assert th.embargo(case, "accept").embargo == "active"
    with pytest.raises(Conflict):
        th.embargo(case, "propose", until)


def test_only_its_author_corrects_an_entry(
    pair: Region, th: Casework, sg: Casework, case: str
) -> None:
    assert th.correct(case, case, name="Phishing kit, two").name == "Phishing kit, two"
    pair.sync()
    with pytest.raises(Forbidden):
        sg.correct(case, case, name="Nothing")
    with pytest.raises(NotFound):
        sg.correct(case, "0000-0", name="Nothing")


def test_a_node_that_is_not_in_a_case_or_has_no_identity_writes_nothing(
    pair: Region, th: Casework, case: str
) -> None:
    node = pair["th"].node
    config = node.config
    for identity, fault in (
        ("identity--0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e", Forbidden),
        ("", ConfigError),
    ):
        config = node.config
        node.config = replace(config, node=replace(config.node, identity=identity))
        try:
            with pytest.raises(fault):
                th.acknowledge(case)
        finally:
            node.config = config


def test_what_is_private_has_its_actor_and_its_bounds(
    pair: Region, th: Casework, case: str
) -> None:
    mine = Private(pair["th"].node)
    with acting(By("ann", "cli")):
        mine.note(case, "the bank called")
        number = mine.add_task(case, "call back", 7)
        mine.end_task(case, number)
        file = mine.add_file(case, "a.txt", b"x")
    view = th.show(case)
    assert [(one.actor, one.text) for one in view.notes] == [("ann", "the bank called")]
    assert view.tasks[0].done > 0
    assert mine.file(case, file) == ("a.txt", b"x")
    works: tuple[Callable[[], object], ...] = (
        lambda: mine.note(case, " "),
        lambda: mine.add_task(case, ""),
    )
    for work in works:
        with pytest.raises(BadRequest, match="empty"):
            work()
    with pytest.raises(BadRequest, match="at most"):
        mine.add_file(case, "b", bytes(MOST_FILE + 1))
    with pytest.raises(NotFound):
        mine.file(case, file + 1)
    with pair["th"].node.db.read() as tx:
        decided = acts.decided_by(tx, "ann", Period(), 100)
    assert {one.about for one in decided} == {case}
    assert "the bank called" not in str(decided)


def test_every_shared_entry_is_a_decision_of_who_wrote_it(
    pair: Region, th: Casework, case: str
) -> None:
    with acting(By("bob", "cli")):
        th.close(case, "done")
    with pair["th"].node.db.read() as tx:
        (decided,) = acts.decided_by(tx, "bob", Period(), 100)
    assert (decided.what, decided.about) == ("wrote into a case", case)
    assert decided.after == {"kinds": ["closed"]}


def test_two_desks_of_one_node_go_on_from_each_other(
    pair: Region, th: Casework, case: str
) -> None:
    other = Casework(pair["th"].node)
    for number in range(3):
        th.add_task(case, f"a {number}")
        other.add_task(case, f"b {number}")
    assert th.show(case).summary.flagged == 0
    assert th.show(case).summary.tasks == 6


def test_what_an_older_program_left_unsorted_on_the_board_is_worked_out(
    pair: Region, th: Casework, case: str
) -> None:
    site = pair["th"]

    def shown() -> object:
        return next(one for one in th.board() if one.id == case)

    before = shown()
    site.write(lambda tx: tx.run("UPDATE case_board SET due = -1, words = ''"))
    assert shown() != before
    site.write(CaseLog(site.node).catch_up)
    assert shown() == before
