"""What its creator wants back is asked for, followed and answered, relays included."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recalls import (
    goes_round,
    held,
    line_of,
    of_th,
    recall_of,
    relayed,
    shared,
    states,
    told,
)
from serantau.clock import SystemClock, instant, stix_text
from serantau.config import RecallSection
from serantau.desk.recall import Recalling
from serantau.desk.recount import recount
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound
from serantau.rules.head import take_apart
from serantau.rules.marking import TLP_2_IDS, Recalled, Tlp, make_audience
from serantau.rules.recall import Said, read_recall
from serantau.testing import Region, identity_of

LATER = "2026-03-02T00:00:00.000Z"
FOR_SG = make_audience(named=["sg"])


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """One for all tests: each makes objects of its own."""
    with relayed(tmp_path_factory.mktemp("region")) as made:
        yield made


def test_a_recall_reaches_all_who_got_it_and_each_answers_for_itself(
    region: Region,
) -> None:
    thing = shared(region)
    recalling = Recalling(region["th"].node)
    recalling.recall([thing["id"]], "the wrong host")
    assert states(region["th"], thing) == {"sg": ("", "", "")}
    goes_round(region)
    assert states(region["th"], thing) == {
        "sg": ("withdrawn", "", ""),
        "jp": ("withdrawn", "sg", ""),
    }
    line = line_of(region["th"], thing, "sg")
    assert line.ways == "taxii"
    assert 0 < line.got < line.fetched
    assert [version for version, _ in line.versions] == [thing["modified"]]
    assert held(region["th"], thing) == [(thing["modified"], Recalled.KEPT)]
    for name in ("sg", "jp"):
        assert held(region[name], thing) == [(thing["modified"], Recalled.HIDDEN)]
        assert told(region[name], thing).held.reason == "the wrong host"
    with pytest.raises(Conflict, match="already"):
        recalling.recall([thing["id"]], "once more")


def test_nobody_is_told_twice_and_each_telling_is_in_the_release_log(
    region: Region,
) -> None:
    thing = shared(region)
    Recalling(region["th"].node).recall([thing["id"]], "")
    goes_round(region)
    before = _rows(region)
    region.clock.advance(seconds=120)
    goes_round(region, 3)
    assert _rows(region) == before
    for name, party in (("th", "sg"), ("sg", "jp")):
        node = region[name].node
        with node.db.read() as tx:
            rows = node.ledger.log(tx, party=None, since=0, after=0, limit=1000)
        digest = told(region[name], thing).held.digest
        (row,) = (row for row in rows if digest in row.request)
        assert (row.way, row.party, row.count) == ("recall", party, 1)


def _rows(region: Region) -> list[Any]:
    """All that nodes keep of recalls, but when they last looked through their logs."""
    found: list[Any] = []
    for site in region:
        with site.node.db.read() as tx:
            found += tx.rows("SELECT digest, hold, fault, signed FROM recall")
            found += tx.rows("SELECT * FROM recall_party")
            found += tx.rows("SELECT * FROM recall_source")
            log = site.node.ledger.log(tx, party=None, since=0, after=0, limit=100)
            found.append(sum(row.way == "recall" for row in log))
    return found


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"object_marking_refs": [TLP_2_IDS[Tlp.AMBER], FOR_SG["id"]]}, "narrowed"),
        ({"revoked": True}, "revoked"),
    ],
)
def test_a_stricter_version_and_a_revocation_reach_who_may_not_have_it(
    region: Region, change: dict[str, Any], kind: str
) -> None:
    thing = shared(region)
    later = {
        **thing,
        "modified": LATER,
        "name": "secret",
        **change,
    }
    region.load("th", [FOR_SG, later])
    goes_round(region)
    found = told(region["th"], thing)
    assert (str(found.held.kind), found.held.before) == (
        kind,
        instant(later["modified"]),
    )
    assert states(region["th"], thing) == {
        "sg": ("withdrawn", "", ""),
        "jp": ("withdrawn", "sg", ""),
    }
    assert held(region["sg"], thing) == [
        (thing["modified"], Recalled.HIDDEN),
        (later["modified"], Recalled.NO),
    ]
    versions = held(region["jp"], thing)
    assert versions[0] == (thing["modified"], Recalled.HIDDEN)
    # What jp may have of the later version is decided by its marking alone.
    assert len(versions) == (1 if kind == "narrowed" else 2)
    assert b"secret" not in take_apart(found.held.signed).payload


def test_a_wider_version_and_one_that_nobody_got_recall_nothing(
    region: Region,
) -> None:
    thing = shared(region)
    wider = {
        **thing,
        "modified": LATER,
        "object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]],
    }
    alone, open_ = of_th(tlp=Tlp.RED), of_th()
    red = {"modified": LATER, "object_marking_refs": [TLP_2_IDS[Tlp.RED]]}
    region.load("th", [wider, alone, {**alone, "revoked": True, "modified": LATER}])
    region.load("th", [open_, {**open_, **red}])
    for _ in range(2):
        goes_round(region, 1)
        for one in (wider, alone, open_):
            with pytest.raises(NotFound):
                told(region["th"], one)
        region.clock.advance(seconds=61)
    with region["th"].node.db.read() as tx:
        assert tx.value("SELECT count(*) FROM recall_due") == 0


def test_only_its_creator_recalls_an_object_and_only_one_that_is_here(
    region: Region,
) -> None:
    thing = shared(region)
    with pytest.raises(Forbidden, match="only its creator"):
        Recalling(region["sg"].node).recall([thing["id"]], "")
    with pytest.raises(NotFound):
        Recalling(region["th"].node).recall([of_th()["id"]], "")
    with pytest.raises(BadRequest, match="1001"):
        Recalling(region["th"].node).recall([thing["id"]], "x" * 1001)
    with pytest.raises(NotFound):
        told(region["th"], thing)


# What a receiver decides


def test_what_a_person_keeps_is_answered_so_and_let_go_later(region: Region) -> None:
    thing = shared(region)
    sg = Recalling(region["sg"].node)
    with pytest.raises(NotFound):
        sg.keep(of_th()["id"], "order 5", "ann")
    with pytest.raises(BadRequest):
        sg.keep(thing["id"], " ", "ann")
    with pytest.raises(NotFound):
        sg.let_go(thing["id"])
    assert sg.keep(thing["id"], "order 5", "ann") == 0
    Recalling(region["th"].node).recall([thing["id"]], "")
    goes_round(region)
    assert states(region["th"], thing)["sg"] == ("kept", "", "")
    assert held(region["sg"], thing) == [(thing["modified"], Recalled.KEPT)]
    assert sg.let_go(thing["id"]) == 1
    goes_round(region)
    assert states(region["th"], thing)["sg"] == ("withdrawn", "", "")
    assert held(region["sg"], thing) == [(thing["modified"], Recalled.HIDDEN)]


def test_what_is_not_held_is_answered_so_and_withdrawn_when_it_comes(
    region: Region,
) -> None:
    thing = shared(region)
    sg = region["sg"]
    with sg.node.db.write() as tx:
        sg.node.objects.delete(tx, thing["id"])
    Recalling(region["th"].node).recall([thing["id"]], "")
    goes_round(region)
    assert states(region["th"], thing)["sg"] == ("absent", "", "")
    with region["th"].node.db.read() as tx:
        (one,) = region["th"].node.search.versions(tx, thing["id"])
    sg.load([one.body])
    assert held(sg, thing) == [(thing["modified"], Recalled.HIDDEN)]
    goes_round(region)
    assert states(region["th"], thing)["sg"] == ("withdrawn", "", "")


def test_what_is_dropped_is_gone_and_stays_recalled(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "sg"]) as region:
        sg = region["sg"]
        sg.close()
        sg.config = msgspec.structs.replace(
            sg.config, recall=RecallSection(hold="dropped")
        )
        sg.open()
        sg.follow(region["th"])
        region["th"].follow(sg)
        thing, kept = of_th(), of_th()
        region.load("th", [thing, kept])
        region.sync()
        with sg.node.db.read() as tx:
            (one,) = sg.node.search.versions(tx, thing["id"])
        Recalling(sg.node).keep(kept["id"], "order 5", "ann")
        Recalling(region["th"].node).recall([thing["id"], kept["id"]], "")
        sg.sync()
        # Who got it is looked up once more before it goes.
        assert held(sg, thing) == [(thing["modified"], Recalled.HIDDEN)]
        for _ in range(2):
            region.clock.advance(seconds=61)
            Recalling(sg.node).settle()
        assert held(sg, thing) == []
        assert held(sg, kept) == [(kept["modified"], Recalled.KEPT)]
        found = recount(sg.node, objects=True)
        assert (found.fault, found.waiting) == ("", 0)
        sg.load([one.body])
        assert held(sg, thing) == [(thing["modified"], Recalled.HIDDEN)]
        Recalling(sg.node).settle()
        assert held(sg, thing) == []
        sg.sync()
        assert states(region["th"], thing)["sg"] == ("withdrawn", "", "")


def test_who_has_no_node_is_written_down_by_hand_and_shown_so(region: Region) -> None:
    thing = shared(region)
    th = Recalling(region["th"].node)
    th.recall([thing["id"]], "")
    assert th.note(thing["id"], "sg", Said.KEPT, "mail of 3 May", "ann") == 1
    line = line_of(region["th"], thing, "sg")
    assert (line.state, line.doubt, line.noted) == (
        "kept",
        "by hand",
        "ann: mail of 3 May",
    )
    with pytest.raises(NotFound):
        th.note(thing["id"], "jp", Said.KEPT, "", "ann")
    goes_round(region)
    assert states(region["th"], thing)["sg"] == ("withdrawn", "", "")
    with pytest.raises(Conflict):
        th.note(thing["id"], "sg", Said.KEPT, "", "ann")


def test_a_relay_names_nobody_whom_the_log_would_not_name(region: Region) -> None:
    thing = shared(region)
    Recalling(region["th"].node).recall([thing["id"]], "")
    region["sg"].sync()
    region["sg"].sync()
    # jp, a partner, has not answered: whether it had it is not told.
    assert set(states(region["th"], thing)) == {"sg"}
    assert set(states(region["sg"], thing)) == {"jp"}


def test_recalls_go_on_where_the_line_was_cut(region: Region) -> None:
    thing = shared(region)
    region.cut("th", "sg")
    Recalling(region["th"].node).recall([thing["id"]], "")
    goes_round(region)
    assert states(region["th"], thing) == {"sg": ("", "", "")}
    region.heal("th", "sg")
    region.restart("sg")
    goes_round(region)
    assert states(region["th"], thing)["jp"] == ("withdrawn", "sg", "")


# Killed in the middle

KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from serantau.config import load_config
from serantau.desk.recall import Recalling
from serantau.node import Node
from serantau.records.database import Database

left = int(sys.argv[2])
write = Database.write

@contextmanager
def counted(self):
    global left
    with write(self) as tx:
        yield tx
        if left == 0 and sys.argv[3] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

with Node(load_config(Path(sys.argv[1]))) as node:
    Database.write = counted
    Recalling(node).settle()
"""


@pytest.mark.kill
@pytest.mark.parametrize(
    ("moment", "steps"), [("before", (0, 1, 0, 9)), ("after", (0, 0, 9))]
)
def test_a_recall_that_is_killed_at_any_commit_is_made_and_told_once(
    tmp_path: Path,
    moment: str,
    steps: tuple[int, ...],
    uncovered_environment: dict[str, str],
) -> None:
    with Region(tmp_path, ["th", "sg"], start=stix_text(SystemClock().now())) as region:
        region["sg"].follow(region["th"])
        thing = of_th()
        region.load("th", [thing])
        region.sync()
        later = {**thing, "revoked": True, "modified": LATER}
        region.load("th", [later])
        home = region["th"].config.home
        (home / "serantau.toml").write_text(
            f'[node]\nmember = "th"\nidentity = "{identity_of("th")}"\n'
        )
        kills = 0
        for step in steps:
            done = subprocess.run(
                [sys.executable, "-c", KILLED, home, str(step), moment],
                env={**uncovered_environment, "PYTHONPATH": os.pathsep.join(sys.path)},
                check=False,
                capture_output=True,
            )
            kills += done.returncode == -signal.SIGKILL
        assert kills >= 2
        assert done.returncode == 0, done.stderr
        goes = told(region["th"], thing)
        assert [line.party for line in goes.lines] == ["sg"]
        region["sg"].sync()
        assert states(region["th"], thing) == {"sg": ("withdrawn", "", "")}
        assert read_recall(take_apart(goes.held.signed)) == recall_of(
            thing,
            at=goes.held.at,
            before=instant(later["modified"]),
            kind=goes.held.kind,
            node="th",
        )


def test_recalls_are_the_same_in_both_databases(tmp_path: Path, store_url: str) -> None:
    with Region(tmp_path, ["th", "sg"], store_urls={"th": store_url}) as region:
        region.mesh()
        ours, narrowed = of_th(), of_th()
        theirs = {**of_th(), "created_by_ref": identity_of("sg")}
        region.load("th", [ours, narrowed])
        region.load("sg", [theirs])
        region.sync()
        red = {"modified": LATER, "object_marking_refs": [TLP_2_IDS[Tlp.RED]]}
        region.load("th", [{**narrowed, **red}])
        th, sg = Recalling(region["th"].node), Recalling(region["sg"].node)
        th.recall([ours["id"]], "the wrong host")
        sg.recall([theirs["id"]], "")
        for _ in range(2):
            for recalling, site in ((th, region["th"]), (sg, region["sg"])):
                recalling.settle()
                site.sync()
        for thing in (ours, narrowed):
            assert states(region["th"], thing) == {"sg": ("withdrawn", "", "")}
        assert states(region["sg"], theirs) == {"th": ("withdrawn", "", "")}
        node = region["th"].node
        with node.db.read() as tx:
            for text in (theirs["id"], theirs["name"], "n" + theirs["pattern"][25:-2]):
                assert node.search.find(tx, text) == []
            assert th.rows.counts(tx) == (2, 0, 0)
        assert th.keep(theirs["id"], "order 5", "ann") == 1
        assert held(region["th"], theirs) == [(theirs["modified"], Recalled.KEPT)]
        with node.db.read() as tx:
            assert [one.id for one in node.search.find(tx, theirs["id"])]
