"""Publishing on behalf by commands: shown first, asked, and told what became of it."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from commands import Run, indicator, opened, written
from serantau.desk.publisher import Publisher
from serantau.records import acts
from serantau.records.audit import Period
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.wire.behalf import Parcel

HUB = "identity--d7aabe61-a804-5353-9ba6-38a66af78e3a"
ONE, TWO = indicator(1)["id"], indicator(2)["id"]


@pytest.fixture
def member(run: Run, tmp_path: Path) -> None:
    """Let the node know a coordinator, and hold two objects of its own."""
    hub = ("hub", "--kind", "coordinator", "--identity", HUB)
    assert run("party", "add", *hub).code == 0
    two = indicator(2, Tlp.AMBER, name="Seen by ThaiCERT", lang="th")
    assert run("load", written(tmp_path / "b.json", indicator(1), two)).code == 0


def test_what_would_be_published_is_shown_and_nothing_goes_without_a_word(
    run: Run, member: None
) -> None:
    shown = run("behalf", "hand", ONE, "--to", "hub")
    assert shown.code == 2
    assert "Nobody is there to be asked" in shown.err
    assert f"{ONE} would be published as" in shown.err
    hit = run("behalf", "hand", ONE, TWO, "--to", "hub", "--yes")
    assert "/name: 'ThaiCERT' is this team's name" in hit.err
    assert "say --tlp CLEAR or GREEN" in hit.err
    assert "falls away: /lang" in hit.err
    assert run("behalf", "list", "--json").json == {"handed": [], "came": []}
    assert "Nothing was handed over." in run("behalf", "list").out


def test_it_is_handed_over_looked_up_updated_and_withdrawn(
    run: Run, member: None, tmp_path: Path
) -> None:
    ran = run(
        *("behalf", "hand", ONE, TWO, "--to", "hub", "--tlp", "green", "--yes"),
        *("--set", f"{TWO}:name=Seen often", "--json"),
    )
    assert ran.code == 0, ran.err
    names = {one["id"]: one["published_as"] for one in ran.json["objects"]}
    assert run("show", ONE, "--json").json["published_as"] == [
        {"by": "hub", "id": names[ONE]}
    ]
    assert f"Published by hub as {names[TWO]} (number 1)." in run("show", TWO).out
    newer = indicator(1, modified="2026-03-02T00:00:00.000Z", name="More of it")
    assert run("load", written(tmp_path / "c.json", newer)).code == 0
    listed = run("behalf", "list")
    assert "changed here since: `behalf update`" in listed.out
    again = run("behalf", "update", 1, "--yes", "--json").json
    assert {one["id"]: one["published_as"] for one in again["objects"]} == names
    told = {one["id"]: one["data"]["name"] for one in again["objects"]}
    assert told == {ONE: "More of it", TWO: "Seen often"}
    assert "hub revokes it" in run("behalf", "withdraw", 1, "--yes").out
    assert run("behalf", "withdraw", 1, "--yes").code == 2
    (row,) = run("behalf", "list", "--json").json["handed"]
    assert (row["state"], row["number"]) == ("withdrawn, parcel waits", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((ONE, "--to", "nobody"), "No party is named"),
        ((ONE, "--to", "vn"), "publishes on nobody's behalf"),
        (("indicator--x", "--to", "hub"), "No object is named"),
        ((ONE, "--to", "hub", "--tlp", "blue"), "--tlp: got 'blue'"),
        ((ONE, "--to", "hub", "--set", "name"), "cannot be read"),
        ((ONE, TWO, "--to", "hub", "--set", "name=x"), "cannot be read"),
        ((ONE, "--to", "hub", "--set", "labels=[]"), "labels of a indicator is not"),
        ((ONE, "--to", "hub", "--set", 'indicator_types=["x", 1]'), "1 traces or"),
        ((ONE, "--to", "hub", "--set", "pattern=[x"), "1 traces or faults"),
        ((ONE, "--to", "hub", "--set", "pattern="), "1 traces or faults"),
    ],
)
def test_what_cannot_be_handed_over_is_said_with_the_reason(
    run: Run, member: None, words: tuple[str, ...], said: str
) -> None:
    ran = run("behalf", "hand", *words, "--yes")
    assert ran.code not in {0, 1}
    assert said in ran.err


def test_a_coordinators_people_look_publish_refuse_and_open(
    run: Run, home: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    words.write_text("the night watch\n")
    made = run("behalf", "key", "--passphrase-file", words)
    assert made.code == 0, made.err
    with opened(home) as node:
        own = node.config.node.identity
        data = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": ONE,
            "created_by_ref": own,
            "object_marking_refs": [TLP_2_IDS[Tlp.GREEN]],
            "name": "Seen by VNCERT",
            "pattern": "[domain-name:value = 'x.example']",
            "pattern_type": "stix",
            "valid_from": "2026-03-01T00:00:00.000Z",
        }
        hands = [f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2)]
        for hand, one in zip(hands, (data, {**data, "id": TWO}), strict=True):
            Publisher(node).take(Parcel(hand, 1, "a" * 64, True, (), (one,)), "vn")
    assert "2 wait for a person" in run("doctor").out
    shown = run("behalf", "show", 1)
    assert orjson.loads(shown.out[shown.out.index("{") :])["name"] == "Seen by VNCERT"
    assert f"{ONE} names 'VNCERT', which is of a member" in shown.err
    assert run("behalf", "show", 1, "--json").json["state"] == "waiting"
    assert "Nobody is there" in run("behalf", "publish", 1).err
    assert ONE in run("behalf", "publish", 1, "--yes").out
    assert "not published" in run("behalf", "refuse", 2, "--reason", "known").out
    rows = run("behalf", "list", "--json").json["came"]
    assert [(row["state"], row["published"]) for row in rows] == [
        ("published", [ONE]),
        ("refused", []),
    ]
    assert ONE in run("behalf", "list").out
    why = ("--reason", "court order", "--passphrase-file", words)
    assert run("behalf", "open", 1, *why).out == "Number 1 is vn's.\n"
    assert run("behalf", "open", 1, *why, "--json").json["member"] == "vn"
    with opened(home) as node, node.db.read() as tx:
        by = tx.value("SELECT actor FROM decision LIMIT 1")
        done = {one.what: one.why for one in acts.decided_by(tx, by, Period(), 100)}
    assert done["opened an origin"] == "court order"
    assert {"published on behalf", "refused to publish on behalf"} <= done.keys()
    assert run("ledger", "verify").code == 0
