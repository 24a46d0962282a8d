"""The demo ends well by itself, and its proof notices what it is there to notice."""

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import orjson
import polars as pl
import pytest

from commands import indicator
from serantau.apps.demo import board, case_act, case_board
from serantau.apps.demo.case_act import CaseAct, Worked
from serantau.apps.demo.case_proof import prove_case
from serantau.apps.demo.catcher import Catcher, Caught
from serantau.apps.demo.lane import Act, Feed, Sent, scan
from serantau.apps.demo.proof import prove
from serantau.apps.demo.region import FOLLOWS, Ended, Region, Site
from serantau.apps.demo.reports import find_reports
from serantau.apps.demo.rows import RowsProof, prove_rows
from serantau.apps.demo.watch import Watch
from serantau.desk.abroad import FORMAT, Abroad
from serantau.desk.case_assist import Assistance
from serantau.desk.case_verify import Compared, Verified, state_of
from serantau.desk.gather import Gathering
from serantau.desk.intake import Intake
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_ask import archive_of
from serantau.desk.lane_work import Worker
from serantau.desk.share import Share
from serantau.records.views import Asked
from serantau.rules.case_entry import Kind
from serantau.rules.event import ABROAD
from serantau.rules.marking import Tlp
from serantau.wire.bundle import Piece

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "examples" / "events"
FREE, SECRET = indicator(1, Tlp.GREEN), indicator(2, Tlp.RED)


def give(region: Region, sender: str, recipient: str) -> None:
    """Hand over what is released, as a pull does."""
    node = region[sender].opened
    share = Share(node)
    with node.db.read() as tx:
        caller = node.registry.caller_by_name(tx, f"{recipient}-node")
    assert caller is not None
    collection = share.offer(caller, "released").collection
    page = share.page(caller, collection, Asked(all_versions=True), way="taxii")
    take(region, recipient, f"peer:{sender}", b"[%b]" % page.bodies)


def take(region: Region, name: str, source: str, objects: bytes) -> None:
    pieces = [
        Piece(ordinal=1, offset=0, line=0, raw=orjson.dumps(one))
        for one in orjson.loads(objects)
    ]
    Intake(region[name].opened).take(pieces, origin="test", source=source)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five founded nodes, to be copied: their passwords cost time."""
    folder = tmp_path_factory.mktemp("demo") / "region"
    with Region(folder) as region:
        region.found()
    return folder


@pytest.fixture
def region(founded: Path, tmp_path: Path) -> Iterator[Region]:
    """The five nodes; th has loaded two objects, and what may go has gone."""
    shutil.copytree(founded, tmp_path / "region")
    with Region(tmp_path / "region") as region:
        for site in region.sites.values():
            site.open()
        take(region, "th", "file", orjson.dumps([FREE, SECRET]))
        for recipient, followed in FOLLOWS.items():
            if "th" in followed:
                give(region, "th", recipient)
        yield region


def test_the_proof_holds_when_all_that_may_go_went_and_nothing_else(
    region: Region,
) -> None:
    proof = prove(region, ("th",))
    assert proof.holds, proof.all_faults
    assert {
        each.recipient: (each.there, each.absent) for each in proof.checked
    } == dict.fromkeys(("sg", "id", "vn", "jp"), (1, 1))
    assert proof.given >= 4


def test_the_proof_fails_when_something_withheld_is_there(region: Region) -> None:
    take(region, "vn", "peer:th", orjson.dumps([SECRET]))
    proof = prove(region, ("th",))
    assert not proof.holds
    assert any(SECRET["id"] in fault for fault in proof.all_faults)


def test_the_proof_fails_when_something_released_is_missing(region: Region) -> None:
    node = region["vn"].opened
    with node.db.write() as tx:
        node.objects.delete(tx, FREE["id"])
    proof = prove(region, ("th",))
    assert [fault for each in proof.checked for fault in each.faults] == [
        f"{FREE['id']} was released by th, and is not at vn"
    ]


def test_the_proof_fails_when_the_release_log_says_nothing(region: Region) -> None:
    node = region["th"].opened
    with node.db.write() as tx:
        number, _ = node.registry.party(tx, "jp")
        tx.run("DELETE FROM ledger.release WHERE party = :party", party=number)
    proof = prove(region, ("th",))
    assert any("log has no row" in fault for fault in proof.faults)


def test_the_proof_fails_when_an_object_was_changed_on_the_way(region: Region) -> None:
    node = region["id"].opened
    with node.db.write() as tx:
        tx.run(
            "UPDATE object SET body = :body WHERE id = :id",
            body=orjson.dumps({**FREE, "name": "another"}),
            id=FREE["id"],
        )
    proof = prove(region, ("th",))
    assert any("is not the same at id" in fault for fault in proof.all_faults)


def test_what_the_receiver_loaded_itself_is_no_fault(region: Region) -> None:
    take(region, "id", "file", orjson.dumps([SECRET]))
    checked = {each.recipient: each for each in prove(region, ("th",)).checked}
    assert (checked["id"].others, checked["id"].faults) == (1, [])


def test_the_watch_counts_by_rule_and_times_each_arrival(region: Region) -> None:
    streams = {each.recipient: each for each in Watch(region, ("th",)).look()}
    assert streams.keys() == {"sg", "id", "vn", "jp"}
    for stream in streams.values():
        assert (stream.released, stream.arrived, stream.complete) == (1, 1, True)
        assert stream.withheld == {"red-by-person-only": 1}
        assert stream.slowest is not None
        assert stream.slowest >= 0


def test_the_examples_show_every_verdict_that_people_meet(
    founded: Path, tmp_path: Path
) -> None:
    shutil.copytree(founded, tmp_path / "region")
    with Region(tmp_path / "region") as region:
        rules: set[str] = set()
        for name in ("th", "id"):
            region[name].open()
            gathering = Gathering(region[name].opened)
            for one in gathering.inputs([ROOT / "examples" / name]):
                assert not gathering.take(one).skipped, one.origin
            for preview in Share(region[name].opened).preview():
                rules |= {row.rule for row in preview.rows}
        with region["th"].opened.db.read() as tx:
            assert region["th"].opened.quarantine.count(tx) == 4
    assert rules >= {
        "clear-to-everyone",
        "green-to-community",
        "amber-to-audience",
        "strict-to-audience",
        "no-audience",
        "not-in-audience",
        "red-by-person-only",
        "granular-withheld",
        "tlp-forbids-kind",
    }


# --- Events --------------------------------------------------------------------------


@dataclass
class Reported:
    """A region after the act for events, and what was caught."""

    region: Region
    act: Act
    feeds: list[Feed]
    sent: list[Sent]
    mails: list[Caught]

    def prove(self) -> RowsProof:
        return prove_rows(self.region, "th", self.sent, self.mails)


def work(site: Site) -> None:
    """Work on batches, as a running node does."""
    worker = Worker(Lane(site.opened))
    while worker.once():
        pass


def hand_over(region: Region, recipient: str) -> None:
    """Let a node fetch its rows from th, as a pull does."""
    node = region["th"].opened
    with node.db.read() as tx:
        caller = node.registry.caller_by_name(tx, f"{recipient}-node")
    assert caller is not None
    after = -1
    while (page := Abroad(node).page(caller, after, "test")) is not None:
        receive(region, recipient, page.arrow, page.number)
        after = page.number
    work(region[recipient])


def receive(region: Region, name: str, arrow: bytes, number: int) -> None:
    told = Told("node.th", format=FORMAT, name=f"th-{number}.arrow", source="peer:th")
    Lane(region[name].opened).add(BytesIO(arrow), told)


@pytest.fixture(scope="module")
def acted(
    founded: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reported]:
    """The act for events on the examples, once; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("acted") / "region"
    shutil.copytree(founded, folder)
    with Catcher() as catcher, Region(folder) as region:
        for site in region.sites.values():
            site.open()
        act = Act(region, find_reports(EVENTS))
        act.prepare(EVENTS / "owners.toml", catcher.port, theirs=False)
        act.take_in()
        work(region["th"])
        feeds, sent = act.feeds(), act.tell()
        for name in ("sg", "id", "vn"):
            hand_over(region, name)
        yield Reported(region, act, feeds, sent, catcher.mails)


@pytest.fixture
def copied(acted: Reported, tmp_path: Path) -> Iterator[Reported]:
    shutil.copytree(acted.region.folder, tmp_path / "region")
    with Region(tmp_path / "region") as region:
        for site in region.sites.values():
            site.open()
        yield replace(acted, region=region, mails=list(acted.mails))


def test_every_row_of_the_examples_is_counted_where_it_went(acted: Reported) -> None:
    lines = {
        one.path.name: one.path.read_text("utf-8").splitlines()
        for one in find_reports(EVENTS).files
    }
    for name, held in lines.items():
        comments = sum(line.startswith("#") for line in held)
        lines[name] = held[comments or 1 :]
    feeds = {one.name: one for one in acted.feeds}
    assert {name: one.read for name, one in feeds.items()} == {
        "shadowserver": sum(len(s) for n, s in lines.items() if n.startswith("2026-")),
        "ipsum": len(lines["ipsum.txt"]),
        "sensors": len(lines["sensors.csv"]),
    }
    assert feeds["shadowserver"].rejects == 5 == feeds["shadowserver"].reasons.total()
    owners = acted.act.owners()
    assert owners["rows"].sum() == sum(one.kept for one in acted.feeds)
    assert set(owners["reason"]) == {"prefix", "domain", "asn", "country", None}


def test_the_proof_about_rows_holds_when_each_is_where_it_belongs(
    acted: Reported,
) -> None:
    proof = acted.prove()
    assert proof.holds, proof.faults
    came = {one.receiver: one for one in proof.came}
    assert came.keys() == {"sg", "id", "vn"}
    for one in came.values():
        assert one.logged == one.there + one.repeated > 0
    assert (came["id"].kept_back, came["vn"].kept_back) == (2, 3)
    assert set(proof.without) == {"th", "jp"}
    assert proof.mailed.mails == len(acted.sent) > 0
    # The bank's row at TLP:RED is told by no machine.
    told = sum(one.notice.facts["rows"] for one in acted.sent)
    left = acted.act.left
    assert set(left) == {("siam-orchid-bank", "intrusion-attempts", "withheld")}
    owned = acted.act.owners().drop_nulls("party")
    assert proof.mailed.rows == told == owned["rows"].sum() - left.total()


@pytest.mark.parametrize(
    ("level", "member", "said"),
    [
        ("RED", "vn", "their level may not go there"),
        ("GREEN", "id", "th has none like them of vn"),
    ],
)
def test_the_proof_about_rows_fails_when_a_row_is_where_it_must_not_be(
    copied: Reported, level: str, member: str, said: str
) -> None:
    table = archive_of(copied.region["th"].opened).events
    rows = scan(table).filter(
        pl.col("tlp") == int(Tlp.parse(f"TLP:{level}")), pl.col("member") == member
    )
    stream = BytesIO()
    rows.select(ABROAD).collect().write_ipc_stream(stream)
    receive(copied.region, "vn", stream.getvalue(), 1)
    work(copied.region["vn"])
    proof = copied.prove()
    assert not proof.holds
    assert any(said in fault for fault in proof.faults)
    assert any("rows at vn in no parcel" in fault for fault in proof.faults)


def test_the_proof_about_rows_fails_when_the_release_log_says_nothing(
    copied: Reported,
) -> None:
    with copied.region["th"].opened.db.write() as tx:
        tx.run("DELETE FROM ledger.release WHERE way = 'events'")
    faults = copied.prove().faults
    assert any("0 rows in the release log of th" in fault for fault in faults)


def test_the_proof_about_rows_fails_when_mail_went_astray_or_nowhere(
    acted: Reported,
) -> None:
    first, *others = acted.mails
    astray = replace(acted, mails=[Caught(("x@example.org",), first.raw), *others])
    (fault,) = astray.prove().faults
    assert fault.startswith("A mail to x@example.org, which is no address of ")
    (fault,) = replace(acted, mails=others).prove().faults
    assert re.fullmatch(r"Notice \d+ to \S+ is sent, and was not caught", fault)
    stranger = Caught(("x@example.org",), b"Message-ID: <1@example.org>\r\n\r\nbuy\r\n")
    (fault,) = replace(acted, mails=[*acted.mails, stranger]).prove().faults
    assert fault == "A mail to x@example.org is none of the notices"


def test_the_board_shows_what_was_counted(
    acted: Reported, capsys: pytest.CaptureFixture[str]
) -> None:
    board.show_feeds(acted.feeds, acted.act.matched())
    board.show_notices(acted.sent, acted.act.left, {})
    board.show_mail(acted.mails, acted.sent)
    board.show_crossings(acted.act.cross())
    board.show_receiver("id", acted.act.at("id"), {})
    board.show_rows_proof(acted.prove())
    text = capsys.readouterr().out
    assert re.search(r"shadowserver +4 +154 +135 +14 +5 +source_address is no", text)
    assert "Subject: EXERCISE [TLP:" in text
    assert re.search(r"id +60 +58 +58 +2 +red-by-person-only 2", text)
    assert "waits: no node here" in text
    assert "The proof about rows held" in text


def test_peoples_own_reports_and_ranges_are_found_by_what_they_look_like(
    tmp_path: Path,
) -> None:
    ranges = "first,last,cc\n192.0.2.0,192.0.2.255,TH\n198.51.100.0,198.51.100.9,ID\n"
    (tmp_path / "places.csv").write_text(ranges)
    (tmp_path / "routes.csv").write_text(
        "prefix,asn,name\n192.0.2.0/25,64496,A\n192.0.2.128/25,64498,C\n"
    )
    (tmp_path / "bad.csv").write_text("192.0.2.0,x,TH\n192.0.2.0,y,TH\n")
    (tmp_path / "ipsum.txt").write_bytes(b"")
    (tmp_path / "objects.json").write_text('{"type": "bundle"}')
    listed = "# IPsum Threat Intelligence Feed\n# IP\n192.0.2.1\t3\n192.0.2.200\t2\n"
    (tmp_path / "list.txt.gz").write_bytes(
        gzip.compress(f"{listed}192.0.2.201\t1\n".encode())
    )
    found = find_reports(tmp_path)
    assert [(one.path.name, one.feed) for one in found.files] == [
        ("list.txt.gz", "ipsum")
    ]
    assert [path.name for path in found.country] == ["places.csv"]
    assert [path.name for path in found.asn] == ["routes.csv"]


# --- A case --------------------------------------------------------------------------


def worked_on(region: Region) -> Worked:
    """Let a case happen without the running nodes: objects are handed over by hand."""
    with Catcher() as catcher:
        home = CaseAct(region, catcher, lambda *_: None)
    home.prepare()
    for giver in case_act.INSIDE:
        for name in case_act.INSIDE:
            if name != giver:
                give(region, giver, name)
    case = home._open()
    work = {name: Assistance(region[name].opened) for name in case_act.INSIDE}

    def tell(giver: str = "th") -> None:
        for name in case_act.INSIDE:
            if name != giver:
                give(region, giver, name)

    tell()
    apart = {name: state_of(region[name].opened, case) for name in case_act.INSIDE}
    work["id"].assess(case, "accepted")
    apart["id"] = state_of(region["id"].opened, case)
    work["sg"].acknowledge(case)
    with region["th"].opened.db.write() as tx:
        vn = region["vn"].opened.config.node.identity
        work["th"].tell(tx, case, Kind.REMINDER, vn, "acknowledge")
        work["th"].tell(tx, case, Kind.PAGE, vn, "acknowledge", channel="on-call")
    for task in (case_act.TASK, case_act.BESIDE):
        work["th"].add_task(case, task)
    _, ask = work["th"].ask(case, case_act.ASKED, ["vn"])
    tell()
    work["vn"].answer(case, ask, "accept")
    for name in ("sg", "id", "vn"):
        give(region, name, "th")
    work["th"].close(case)
    tell()
    page = b"Subject: Page from th\r\n\r\ncase 1, severity high\r\n"
    compared = [Compared(name, equal=True) for name in ("id", "sg", "vn")]
    return Worked(
        case=case,
        mails=[Caught((case_act.ON_CALL,), page)],
        apart=apart,
        verified=Verified(state_of(region["th"].opened, case), True, compared),
    )


def test_the_proof_about_the_case_fails_for_whatever_is_not_where_it_belongs(
    founded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(founded, tmp_path / "region")
    with Region(tmp_path / "region") as region:
        for site in region.sites.values():
            site.open()
        worked = worked_on(region)
        proof = prove_case(region, worked)
        assert proof.holds, proof.faults
        assert proof.found == {name: (0 if name == "jp" else 8) for name in FOLLOWS}
        assert proof.private == ["th"]
        case_board.show_worked(worked)
        case_board.show_case_proof(proof)
        assert "The proof about the case held" in capsys.readouterr().out

        def faults(**change: object) -> list[str]:
            return prove_case(region, replace(worked, **change)).faults  # type: ignore[arg-type]

        page = worked.mails[0].raw
        astray = Caught(("x@example.org",), page)
        assert faults(mails=[astray]) == ["a page went to x@example.org"]
        loud = Caught((case_act.ON_CALL,), page + case_act.TASK.encode())
        assert faults(mails=[loud]) == ["a page tells what is in the case"]
        assert faults(mails=[]) == ["0 pages were caught, the log has 1"]
        assert faults(late=["it is late"]) == ["it is late"]
        assert faults(apart={}) == ["the two halves were not apart"]
        here = state_of(region["th"].opened, worked.case)
        unlike = Verified(here, True, [Compared("id", equal=False)])
        assert faults(verified=unlike) == [
            "`case verify` did not find all equal: id: differs"
        ]
        Assistance(region["id"].opened).add_task(worked.case, "one more")
        assert faults() == ["its parties do not have the same state"]
        (region["sg"].home / "mail.txt").write_text(case_act.PRIVATE)
        assert "the private note of th is at th, sg" in faults()
        (region["jp"].home / "told.txt").write_text(f"x{case_act.TASK}")
        assert f"jp is not in the case, and has: {case_act.TASK}" in faults()


def test_the_demo_ends_by_itself_with_the_proof_held_and_nothing_left(
    uncovered_environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serantau.apps.demo", "--once"],
        cwd=tmp_path,
        env={**uncovered_environment, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The proof held" in done.stdout
    assert "The proof about rows held" in done.stdout
    assert "The proof about the case held" in done.stdout
    assert "pages the on-call contact of vn" in done.stdout
    assert re.search(r"^jp +no +- +0 of 8 +-$", done.stdout, re.M)
    assert "No row of anybody came to th, jp." in done.stdout
    assert re.search(r"^[1-9]\d* of the rows fit an indicator", done.stdout, re.M)
    for name in ("sg", "id", "vn", "jp"):
        assert f"th     {name} " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_ends_by_itself_is_told_with_its_code_and_its_last_words(
    region: Region,
) -> None:
    site = region["th"]
    words = "import sys; print('the disk is full'); sys.exit(4)"
    with (site.home / "serve.log").open("wb") as site.log:
        site.process = subprocess.Popen(
            [sys.executable, "-S", "-c", words], stdout=site.log
        )
        site.process.wait(60)
    with pytest.raises(Ended) as told:
        region.expect_alive()
    assert "th ended by itself, with code 4" in str(told.value)
    assert "the disk is full" in told.value.mend


def test_the_demo_says_when_there_is_nothing_to_load(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serantau.apps.demo", "--data", tmp_path, "--once"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "holds neither STIX nor MISP" in done.stderr
