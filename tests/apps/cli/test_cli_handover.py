"""Handing over by hand: for a case and a purpose, by the same rules, and logged so."""

from pathlib import Path

import orjson
import pytest

from commands import Run, indicator, opened, written
from serantau.desk.share import Share
from serantau.records import leaves, tree
from serantau.records.views import Asked
from serantau.rules.leaf import read_leaf
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience

ID = "indicator--00000000-0000-4000-8000-{:012d}"
FOR_POLICE = make_audience(named=["police"])


def police(run: Run, tmp_path: Path) -> None:
    added = run(
        *("party", "add", "police", "--kind", "partner"),
        *("--purpose", "law-enforcement"),
    )
    assert added.code == 0, added.err
    marked = [FOR_POLICE["id"]]
    red = indicator(2, object_marking_refs=[TLP_2_IDS[Tlp.RED], *marked])
    unnamed = indicator(3, Tlp.RED)
    loaded = run(
        "load", written(tmp_path / "b.json", FOR_POLICE, indicator(1), red, unnamed)
    )
    assert loaded.code == 0, loaded.err


def test_police_get_by_hand_what_they_may_and_nothing_by_machine(
    run: Run, home: Path, tmp_path: Path
) -> None:
    police(run, tmp_path)
    (machine,) = run("share", "preview", "--to", "police", "--json").json
    assert machine["released"] == 0
    assert {row["rule"] for row in machine["rows"]} == {"purpose-not-allowed"}
    out = tmp_path / "case.json"
    words = (
        *("share", "handover", out, ID.format(1), ID.format(2), ID.format(3)),
        *("--to", "police", "--case", "case 17"),
    )
    unasked = run(*words)
    assert (unasked.code, out.exists()) == (2, False)
    assert f"goes: {ID.format(2)}" in unasked.err
    told = run(*words, "--yes", "--json").json
    assert told["objects"] == [ID.format(1), ID.format(2)]
    assert "no-audience" in told["withheld"][ID.format(3)]
    bundle = orjson.loads(out.read_bytes())
    assert [one["id"] for one in bundle["objects"]] == told["objects"]
    with opened(home) as node:
        with node.db.read() as tx:
            (row,) = node.ledger.log(tx, party=None, since=0, after=0, limit=10)
            found = node.search.versions(tx, ID.format(2))[-1]
        assert (row.party, row.way, row.purpose, row.count, row.request) == (
            *("police", "handover", "law-enforcement", 2),
            "case case 17",
        )
        (release,) = Share(node).who_got(found)
        assert release.rule == "red-by-hand"


def test_a_purpose_that_is_not_allowed_hands_over_nothing(
    run: Run, home: Path, tmp_path: Path
) -> None:
    police(run, tmp_path)
    for party, purpose in (("jp", "law-enforcement"), ("police", "defence")):
        refused = run(
            *("share", "handover", tmp_path / "x.json", ID.format(1), "--to", party),
            *("--case", "17", "--purpose", purpose, "--yes"),
        )
        assert refused.code != 0
        assert "purpose-not-allowed" in refused.err
    for words in (("--purpose", "war"), ("--case", " ")):
        wrong = run(
            *("share", "handover", tmp_path / "x.json", ID.format(1), "--to", "jp"),
            *("--case", "17", *words),
        )
        assert wrong.code == 2
    assert not (tmp_path / "x.json").exists()
    with opened(home) as node, node.db.read() as tx:
        assert node.ledger.log(tx, party=None, since=0, after=0, limit=10) == []


def test_what_is_not_here_or_for_whom_it_ended_is_not_handed_over(
    run: Run, tmp_path: Path
) -> None:
    police(run, tmp_path)
    out = tmp_path / "x.json"
    how = ("--to", "police", "--case", "17", "--yes")
    nothing = run("share", "handover", out, ID.format(9), *how)
    assert (nothing.code, "No object is named" in nothing.err) == (6, True)
    assert run("party", "set", "police", "--until", "2020-01-01").code == 0
    ended = run("share", "handover", out, ID.format(1), *how)
    assert ended.code != 0
    assert "party-ended" in ended.err
    assert not out.exists()


@pytest.mark.parametrize("kind", ["member", "coordinator", "partner", "operator"])
@pytest.mark.parametrize("level", list(Tlp))
def test_what_names_nobody_never_leaves_by_handover_above_green(
    run: Run, home: Path, tmp_path: Path, kind: str, level: Tlp
) -> None:
    run("party", "add", "x", "--kind", kind, "--purpose", "law-enforcement")
    run("load", written(tmp_path / "b.json", indicator(1, level)))
    out = tmp_path / "x.json"
    ran = run(
        *("share", "handover", out, ID.format(1), "--to", "x", "--case", "17", "--yes")
    )
    # An operator that is nobody's client here gets what everybody does.
    goes = level is Tlp.CLEAR or (level is Tlp.GREEN and kind != "operator")
    assert (ran.code == 0, out.exists()) == (goes, goes)
    with opened(home) as node, node.db.read() as tx:
        rows = node.ledger.log(tx, party=None, since=0, after=0, limit=10)
    assert len(rows) == goes


@pytest.mark.parametrize("level", list(Tlp))
def test_what_is_above_clear_never_leaves_by_handover_to_the_public(
    run: Run, home: Path, tmp_path: Path, level: Tlp
) -> None:
    run("load", written(tmp_path / "b.json", indicator(1, level)))
    out = tmp_path / "x.json"
    ran = run(
        *("share", "handover", out, ID.format(1), "--to", "public", "--case", "17"),
        *("--purpose", "public-warning", "--yes"),
    )
    assert (ran.code == 0, out.exists()) == (level is Tlp.CLEAR, level is Tlp.CLEAR)


def test_pages_name_their_purpose_in_the_log_and_in_its_leaves(
    run: Run, home: Path, tmp_path: Path
) -> None:
    run("load", written(tmp_path / "b.json", indicator(1, Tlp.CLEAR)))
    with opened(home) as node:
        with node.db.write() as tx:
            node.registry.add_user(tx, "v", "vn", "reader")
            node.registry.add_user(tx, "p", "public", "reader")
        for user in ("v", "p"):
            with node.db.read() as tx:
                caller = node.registry.caller_by_name(tx, user)
                assert caller is not None
                whole = node.registry.collection(tx, "released")
            Share(node).page(caller, whole, Asked(), way="test")
        made = leaves.Leaves("th")
        while made.seal(node.db):
            pass
        with node.db.read() as tx:
            rows = node.ledger.log(tx, party=None, since=0, after=0, limit=10)
            log = tree.held(tx)
            assert log is not None
            texts = [
                made.text(log, seq, row, row.recipient, row.objects)
                for seq, row in made.each(tx, 0, log.size)
            ]
        assert [row.purpose for row in rows] == ["defence", "public-warning"]
        read = [read_leaf(text.decode()).purpose for text in texts]
        assert read == ["defence", "public-warning"]
