"""An entry of a case: what is one, and that nobody can write another under its id."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cases import NONCE, START, Log, opening
from keys import identity, signer
from samples import READER, made
from serantau.rules.case_entry import (
    ENTRY_EXTENSION,
    Kind,
    audience_of,
    case_extension_object,
    circle_of,
    entry_id,
    is_entry,
    make_entry,
    read_entry,
)
from serantau.rules.case_schema import NEEDED
from serantau.rules.level import Tlp
from serantau.rules.marking import TLP_2_IDS, read_marking
from serantau.rules.signature import signed
from serantau.rules.stix import Refused

# What an entry of a kind may say at most, to be taken apart.
SAID: dict[str, Any] = {
    "name": "Take it down",
    "description": "as we said",
    "party_ref": identity("sg"),
    "party_refs": [identity("sg"), identity("vn")],
    "object_refs": ["malware--c0931cc6-c75e-47e5-9036-78fabc95d4ec"],
    "state": "done",
    "stance": "valid",
    "step": "propose",
    "severity_level": "high",
    "incident_class": "fraud:phishing",
    "national_class": "scam",
    "clock": "acknowledge",
    "channel": "phone",
}


def refused(data: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        READER.read(orjson.dumps(data))
    return caught.value


def written(kind: Kind, **said: Any) -> dict[str, Any]:
    """Write an entry of a case, with a level and links as they should be."""
    log = Log.opened("th", "sg")
    log.say("sg", kind, **said)
    return log.objects[-1]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OPENED])
def test_each_kind_is_read_with_what_it_needs_and_refused_without(kind: Kind) -> None:
    everything = {**SAID, "about_ref": opening("th")["id"]}
    for needed in NEEDED[kind]:
        said = {name: everything[name] for name in needed}
        entry = read_entry(READER.read(orjson.dumps(written(kind, **said))).body)
        assert (entry.kind, entry.voice) == (kind, identity("sg"))
        assert entry.case == opening("th")["id"]
        for name in needed:
            del said[name]
            if not any(set(names) <= set(said) for names in NEEDED[kind]):
                assert refused(written(kind, **said)).rule == "schema"
            said[name] = everything[name]


def test_an_entry_is_searched_by_its_words_and_names_what_it_is_about() -> None:
    log = Log.opened("th", "sg")
    log.say("sg", Kind.TASK, about_ref=log.id, state="done", description="ไม่มีแล้ว")
    version = READER.read(orjson.dumps(log.objects[-1]))
    assert "ไม่มีแล้ว" in version.text
    assert ("about_ref", log.id) in version.edges
    assert ("case_ref", log.id) in version.edges
    assert READER.read(orjson.dumps(log.objects[0])).name == "Phishing kit"


def test_a_word_of_an_entry_cannot_be_changed_under_its_id() -> None:
    first = opening("th")
    for change in (
        {"name": "Nothing"},
        {"description": "more"},
        {"created_by_ref": identity("sg")},
        {"x_more": 1},
        {"id": f"case-entry--{'0' * 8}-0000-4000-8000-{'0' * 12}"},
        {
            "object_marking_refs": [
                TLP_2_IDS[Tlp.CLEAR],
                *first["object_marking_refs"][1:],
            ]
        },
    ):
        assert refused({**first, **change}).rule == "entry-id", change
    # What is no JSON that all read alike has no id at all.
    assert refused({**first, "x_more": 2**60}).rule == "entry-id"


def test_an_entry_is_never_changed() -> None:
    first = opening("th")
    found = refused({**first, "modified": "2026-03-02T00:00:00.000Z"})
    assert found.rule == "entry-changed"
    assert refused({**first, "revoked": True}).place == "/revoked"


def test_its_signature_is_not_part_of_its_id() -> None:
    first = opening("th")
    both = signed(first, signer("th").jws)
    assert READER.read(orjson.dumps(both)).id == first["id"]


def test_an_entry_is_marked_for_the_circle_of_its_own_case_alone() -> None:
    first, other = opening("th"), opening("sg")
    tlp, _ = first["object_marking_refs"]
    strange = audience_of(other["id"])["id"]

    def marked(*refs: str) -> dict[str, Any]:
        bare = {**first, "object_marking_refs": [tlp, *refs]}
        return {**bare, "id": entry_id(bare)}

    # A marking of another's circle makes another id, whose own circle is another.
    assert refused(marked(strange)).rule == "entry-audience"
    assert refused(marked()).rule == "entry-audience"
    task = written(Kind.TASK, name="x")
    own = audience_of(task["case_ref"])["id"]
    for refs, rule in (
        ([own], "entry-level"),
        ([own, TLP_2_IDS[Tlp.RED]], "entry-level"),
        ([own, TLP_2_IDS[Tlp.GREEN], TLP_2_IDS[Tlp.AMBER]], "entry-level"),
        ([strange, TLP_2_IDS[Tlp.AMBER]], "entry-audience"),
    ):
        bare = {**task, "object_marking_refs": refs}
        assert refused({**bare, "id": entry_id(bare, own)}).rule == rule
    # What restricts it further may stand beside both.
    narrower = {**task, "object_marking_refs": [*task["object_marking_refs"], strange]}
    narrower["id"] = entry_id(narrower, own)
    body = READER.read(orjson.dumps(narrower)).body
    assert read_entry(body).level is Tlp.AMBER


def test_the_circle_of_a_case_is_no_free_choice() -> None:
    one, other = opening("th")["id"], opening("sg")["id"]
    assert circle_of(one) == circle_of(one) != circle_of(other)
    marking = read_marking(audience_of(one))
    assert marking.audience is not None
    assert marking.audience.circles == {circle_of(one)}


def test_a_case_is_never_red() -> None:
    with pytest.raises(ValueError, match=r"TLP:RED, expected TLP:AMBER\+STRICT"):
        make_entry(
            Kind.OPENED,
            {"name": "x", "nonce": NONCE},
            author=identity("th"),
            at=START,
            level=Tlp.RED,
        )


@pytest.mark.parametrize("name", ["due", "until"])
def test_a_time_that_an_entry_names_exists(name: str) -> None:
    right, wrong = (
        written(Kind.EMBARGO, step="propose", **{name: f"2026-02-{day}T08:00:00.000Z"})
        for day in (28, 30)
    )
    assert READER.read(orjson.dumps(right)).id == right["id"]
    assert (refused(wrong).rule, refused(wrong).place) == ("time", f"/{name}")


def test_an_unknown_kind_is_read_and_kept() -> None:
    task = written(Kind.TASK, name="x")
    later = {**task, "kind": "from-the-future", "x_more": ["y"]}
    later["id"] = entry_id(later, audience_of(task["case_ref"])["id"])
    assert read_entry(READER.read(orjson.dumps(later)).body).kind == "from-the-future"
    first = {**later}
    del first["case_ref"]
    assert refused(first).rule == "schema"


def test_another_makers_type_of_that_name_is_none_of_ours() -> None:
    theirs = made("indicator") | {"type": "case-entry"}
    theirs["id"] = theirs["id"].replace("indicator", "case-entry")
    assert not is_entry(theirs)
    assert READER.read(orjson.dumps(theirs)).type == "case-entry"
    ours = {**theirs, "extensions": {ENTRY_EXTENSION: {"extension_type": "new-sdo"}}}
    assert refused(ours).rule == "schema"


def test_the_definition_of_its_extension_is_stix() -> None:
    version = READER.read(orjson.dumps(case_extension_object()))
    assert version.id == ENTRY_EXTENSION
