"""The demo ends well by itself, and its proof notices what it is there to notice."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from commands import indicator
from serantau.apps.demo.proof import prove
from serantau.apps.demo.region import FOLLOWS, Region
from serantau.apps.demo.watch import Watch
from serantau.desk.gather import Gathering
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.records.views import Asked
from serantau.rules.marking import Tlp
from serantau.wire.bundle import Piece

ROOT = Path(__file__).parents[2]
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
    for name in ("sg", "id", "vn", "jp"):
        assert f"th     {name} " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_says_when_there_is_nothing_to_load(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serantau.apps.demo", "--data", tmp_path, "--once"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "holds neither STIX nor MISP" in done.stderr
