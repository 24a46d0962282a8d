"""Recalls and answers that are forged, invented, replayed or of another realm."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import orjson
import pytest

from recalls import (
    answer,
    answers,
    goes_round,
    held,
    of_th,
    relayed,
    shared,
    states,
    take,
    text_of,
    told,
)
from serantau.desk.recall import Recalling
from serantau.errors import Forbidden
from serantau.rules.marking import TLP_2_IDS, Recalled, Tlp, make_audience
from serantau.rules.party import Kind
from serantau.rules.recall import Said
from serantau.testing import Region, identity_of
from serantau.wire.recalls import PATH, Reported

LATER = "2026-03-02T00:00:00.000Z"
FOR_SG = make_audience(named=["sg"])


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """One for all tests: each makes objects of its own."""
    with relayed(tmp_path_factory.mktemp("region")) as made:
        yield made


def test_a_relay_that_invents_receipts_is_not_believed(region: Region) -> None:
    thing = shared(region)
    th = region["th"]
    Recalling(th.node).recall([thing["id"]], "")
    recall = told(th, thing)
    own = answer(recall, "sg", "sg", state=Said.KEPT)
    forged = answer(recall, "jp", "sg")
    others = answer(recall, "sg", "jp")
    assert answers(th, forged, own, caller="sg") == 2
    assert states(th, thing) == {
        "sg": ("kept", "", ""),
        "jp": ("withdrawn", "sg", "it is not signed by jp"),
    }
    # Neither another's answer, nor one to something else, nor an old one counts.
    odd = [
        msgspec.structs.replace(others, party="jp"),
        answer(recall, "jp", "jp", recall="0" * 64),
        answer(recall, "jp", "jp", realm="exercise:acid"),
        Reported(recall.held.digest, "jp", "a.b.c"),
        Reported("0" * 64, "jp", forged.answer),
        Reported(recall.held.digest, "No Name", forged.answer),
        answer(recall, "sg", "sg", at=recall.held.at),
        answer(recall, "sg", "sg", at=recall.held.at + 10**15),
    ]
    assert answers(th, *odd, caller="sg") == 0
    assert states(th, thing)["sg"] == ("kept", "", "")
    # The party's own answer takes the invented one's place, and keeps it.
    true = answer(recall, "jp", "jp", at=recall.held.at + 5, state=Said.ABSENT)
    assert answers(th, true, caller="sg") == 1
    later = answer(recall, "jp", "sg", at=recall.held.at + 9)
    assert answers(th, later, caller="sg") == 0
    assert states(th, thing)["jp"] == ("absent", "sg", "")


def test_who_is_not_told_of_a_recall_answers_nothing(region: Region) -> None:
    thing = shared(region)
    th = region["th"]
    Recalling(th.node).recall([thing["id"]], "")
    recall = told(th, thing)
    assert answers(th, answer(recall, "jp", "jp"), caller="jp") == 0
    th.party("sg", blocked=True)
    with pytest.raises(Forbidden):
        answers(th, answer(recall, "sg", "sg"), caller="sg")
    goes_round(region)
    assert states(th, thing) == {"sg": ("", "", "")}
    with pytest.raises(Forbidden):
        answers(th, answer(recall, "sg", "sg"), caller="th")
    th.party("sg", blocked=False)


def test_an_answer_is_not_proven_before_the_partys_key_is_compared(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, ["th", "sg"]) as region:
        region["sg"].follow(region["th"])
        thing = of_th()
        region.load("th", [thing])
        region.sync()
        Recalling(region["th"].node).recall([thing["id"]], "")
        region["sg"].sync()
        with region["th"].node.db.write() as tx:
            tx.run("DELETE FROM key_pin WHERE party = 'sg'")
        assert states(region["th"], thing) == {
            "sg": ("withdrawn", "", "no key of sg is pinned")
        }
        region["th"].pin("sg")
        assert states(region["th"], thing) == {"sg": ("withdrawn", "", "")}


def test_a_recall_by_somebody_who_is_not_the_creator_changes_nothing(
    region: Region,
) -> None:
    thing = shared(region)
    jp = region["jp"]
    jp.pin("sg")
    of_sg = text_of(thing, "sg", creator=identity_of("sg"), node="sg")
    in_ths_name = text_of(thing, "sg", creator=identity_of("th"), node="th")
    changed = _changed(text_of(thing, "th", node="th"))
    for text in (of_sg, in_ths_name, changed, "no recall"):
        assert not take(jp.node, text, "sg")
    assert held(jp, thing) == [(thing["modified"], Recalled.NO)]
    for one in Recalling(jp.node).told(thing["id"]):
        assert (one.held.hold, list(one.lines), one.own) == (Recalled.NO, [], "")
        assert one.held.fault


def _changed(text: str) -> str:
    header, payload, signature = text.split(".")
    return ".".join(
        (
            header,
            payload,
            signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1],
        )
    )


def test_a_broken_copy_that_comes_first_does_not_keep_the_true_one_out(
    region: Region,
) -> None:
    thing = shared(region)
    region["jp"].pin("th")
    true = text_of(thing, "th", node="th")
    assert not take(region["jp"].node, _changed(true), "sg")
    assert take(region["jp"].node, true, "sg")
    assert held(region["jp"], thing) == [(thing["modified"], Recalled.HIDDEN)]


def test_a_recall_waits_for_the_creators_key_to_be_compared(tmp_path: Path) -> None:
    with Region(tmp_path, ["th"]) as region:
        jp = region.join("jp", Kind.PARTNER, pinned=False)
        jp.follow(region["th"], signatures="pinned")
        thing = of_th()
        region.load("th", [thing])
        jp.sync()
        Recalling(region["th"].node).recall([thing["id"]], "")
        jp.sync()
        (waiting,) = Recalling(jp.node).told(thing["id"])
        assert "nobody here compared" in waiting.held.fault
        assert held(jp, thing) == [(thing["modified"], Recalled.NO)]
        jp.pin("th")
        jp.sync()
        assert held(jp, thing) == [(thing["modified"], Recalled.HIDDEN)]
        region["th"].pin("jp")
        assert states(region["th"], thing) == {"jp": ("withdrawn", "", "")}


def test_a_recall_of_another_realm_changes_nothing(region: Region) -> None:
    thing = shared(region)
    exercise = text_of(thing, "th", node="th", realm="exercise:acid")
    region["jp"].pin("th")
    for name in ("sg", "jp"):
        assert not take(region[name].node, exercise, "th")
        assert held(region[name], thing) == [(thing["modified"], Recalled.NO)]
        (found,) = Recalling(region[name].node).told(thing["id"])
        assert "exercise:acid" in found.held.fault
    # Nor does a node of another realm come in at the door.
    request = httpx2.Request(
        "GET",
        f"https://th.example{PATH}",
        headers={"Serantau-Realm": "exercise:acid", "Authorization": "Bearer x"},
    )
    response = region.carry("sg", request)
    response.read()
    assert response.status_code == 403


def test_an_old_version_that_is_brought_again_stays_withdrawn(region: Region) -> None:
    thing = shared(region)
    with region["jp"].node.db.read() as tx:
        (body,) = (
            one.body for one in region["jp"].node.search.versions(tx, thing["id"])
        )
    Recalling(region["th"].node).recall([thing["id"]], "")
    goes_round(region)
    for name in ("sg", "jp"):
        site = region[name]
        with site.node.db.write() as tx:
            site.node.objects.delete(tx, thing["id"])
        site.load([body])
        assert held(site, thing) == [(thing["modified"], Recalled.HIDDEN)]
        assert told(site, thing).own == "withdrawn"


def test_a_relay_that_widens_a_marking_is_refused(region: Region) -> None:
    jp, sg = region["jp"], region["sg"]
    jp.pin("th")
    thing = of_th(object_marking_refs=[TLP_2_IDS[Tlp.AMBER], FOR_SG["id"]])
    region.load("th", [FOR_SG, thing])
    sg.sync()
    with sg.node.db.read() as tx:
        (one,) = sg.node.search.versions(tx, thing["id"])
    wide = {**orjson.loads(one.body), "object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]]}
    for widened in (wide, {k: v for k, v in wide.items() if k != "extensions"}):
        with sg.node.db.write() as tx:
            sg.node.objects.delete(tx, thing["id"])
        sg.plant(widened)
        jp.sync()
        assert thing["id"] not in jp.ids()
    with jp.node.db.read() as tx:
        rules = {
            row.rule for row in jp.node.quarantine.list(tx) if row.id == thing["id"]
        }
    assert rules == {"signature-invalid", "signature-missing"}


def test_an_old_recall_does_not_reach_a_version_made_since(region: Region) -> None:
    thing = shared(region)
    Recalling(region["th"].node).recall([thing["id"]], "")
    goes_round(region)
    text = told(region["th"], thing).held.signed
    mended = {**thing, "modified": LATER, "name": "the right host"}
    region.load("th", [mended])
    goes_round(region)
    for name in ("sg", "jp"):
        assert not take(region[name].node, text, "sg")
        assert held(region[name], thing)[-1] == (mended["modified"], Recalled.NO)
