"""Before anything leaves: what each party would get is shown, and nobody else is."""

from collections.abc import Iterator

import pytest

from serantau.clock import SetClock
from serantau.records.registry import OF_OTHERS
from sharing_desk import CIRCLE, HOSTILE, SharingDesk, sharing_desk
from stores import CLEAR, indicator
from visitors import text_of

CLOCK = SetClock()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharingDesk]:
    with sharing_desk(tmp_path_factory.mktemp("share"), CLOCK) as desk:
        yield desk


def test_each_party_is_shown_with_what_goes_and_what_stays_by_rule(
    desk: SharingDesk,
) -> None:
    said = desk.pages.visitor("mali", "analyst").read("/share")
    assert "green-to-community" in said
    assert "red-by-person-only" in said
    assert "Nothing has left." in said
    with desk.node.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.release") == 0


def test_a_party_is_shown_markings_rules_and_samples_in_words(
    desk: SharingDesk,
) -> None:
    mali = desk.pages.visitor("mali")
    said = mali.read("/share/jp")
    assert "TLP:AMBER" in said
    assert "amber-to-audience" in said
    assert desk.made["watched"]["id"] in said
    assert "expected" in said
    found = mali.read("/share/jp?q=watched")
    assert desk.made["watched"]["id"] in found
    assert desk.made["green"]["id"] not in found
    assert mali.get("/share/nobody").status_code == 404


def test_two_parties_are_compared_where_they_differ(desk: SharingDesk) -> None:
    mali = desk.pages.visitor("mali")
    sent = mali.get("/share/_compare?one=vn&other=sg")
    assert sent.headers["location"] == "/share/vn/sg"
    said = mali.read("/share/vn/sg")
    assert desk.made["watched"]["id"] in said
    assert desk.made["green"]["id"] not in said
    assert "They would get the same" in mali.read("/share/vn/jp")


def test_exactly_the_fields_that_would_go_are_shown(desk: SharingDesk) -> None:
    mali, parted = desk.pages.visitor("mali"), desk.made["parted"]["id"]
    said = mali.read(f"/share/sg/object/{parted}")
    assert "granular-derived-instead" in said
    assert "Another object goes instead" in said
    fields = said.partition("Fields")[2]
    assert "description stays" in fields
    assert "name goes parted" in fields
    held_back = mali.read(f"/share/sg/object/{desk.made['red']['id']}")
    assert " goes " not in held_back.partition("Fields")[2]


def test_what_is_shown_to_go_is_what_goes(desk: SharingDesk) -> None:
    mali = desk.pages.visitor("mali")
    for user, party in (("wei", "sg"), ("hana", "jp")):
        went = set(desk.gives(user))
        for name in ("clear", "green", "watched", "red"):
            one = desk.made[name]["id"]
            shown = "name goes" in mali.read(f"/share/{party}/object/{one}")
            assert shown == (one in went), (party, name)


def test_hostile_names_and_addresses_stay_text(desk: SharingDesk) -> None:
    mali, green = desk.pages.visitor("mali"), desk.made["green"]["id"]
    for path in (
        f"/share/sg/object/{green}",
        "/share?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/share/sg?q=" + "x" * 10_000,
        "/share/sg?n=-1&q=%00%e2%80%ae",
        "/share/sg?n=" + "9" * 40,
        "/share/sg/marking/1?before=" + "9" * 40,
        "/share/javascript:alert(1)",
        "/share/%3Cscript%3E/sg",
        "/share/sg/object/%22%3E%3Cscript%3E",
        "/share/sg/marking/999999999999",
    ):
        answer = mali.get(path)
        assert answer.status_code in {200, 404}, (path, answer.text[:300])
        assert "<script>alert" not in answer.text, path
    assert HOSTILE[:12] in text_of(mali.get(f"/share/sg/object/{green}").text)


def test_only_who_may_see_what_left_is_shown_who_would_get_what(
    desk: SharingDesk,
) -> None:
    see = {"analyst"}
    paths = ["/share", "/share/sg", "/share/sg/vn", "/share/sg/marking/1"]
    paths.append(f"/share/jp/object/{desk.made['watched']['id']}")
    for role in ("analyst", "policy", "operator", "auditor"):
        own = desk.pages.visitor(f"own-{role}", role)
        for path in paths:
            assert own.get(path).status_code == (200 if role in see else 403)
    for role in OF_OTHERS:
        other = desk.pages.visitor(f"sg-{role}", role, party="sg")
        for path in paths:
            refused = other.get(path)
            assert refused.status_code == 403
            assert CIRCLE not in refused.text


def test_a_look_is_in_the_audit(desk: SharingDesk) -> None:
    desk.pages.visitor("nok", "analyst").read("/share/jp?q=watched")
    with desk.node.db.read() as tx:
        body = tx.value("SELECT body FROM ledger.reading WHERE actor = 'nok'")
    assert '"asked":"jp watched"' in body
    assert '"way":"page"' in body


def test_new_objects_are_counted_and_listed_fifty_a_page(desk: SharingDesk) -> None:
    mali = desk.pages.visitor("mali")
    tally = desk.outlook("vn")
    desk.load(*(indicator(f"more {n}", CLEAR) for n in range(60)))
    assert desk.outlook("vn").gets == tally.gets + 60
    row = next(
        each for each in desk.lines("vn") if each.row.rule == "clear-to-everyone"
    )
    first = mali.get(f"/share/vn/marking/{row.number}").text
    assert first.count("<tr tabindex") == 50
    older = first.partition('rel="next" href="')[2].partition('"')[0]
    rest = mali.get(f"/share/vn/marking/{row.number}{older}").text
    assert "more 59" in first
    assert "more 0<" in rest
