"""Incidents in a region of real nodes: who has what in the end, and who never does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from samples import LATER, made
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience
from serantau.rules.party import Kind
from serantau.testing import Region, Site, identity_of

MEMBERS = ("th", "sg", "id", "vn")
EVERYONE = {*MEMBERS, "jp"}


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """th, sg, id, vn and the partner jp, each following every other."""
    with Region(tmp_path, MEMBERS, partners=["jp"]) as region:
        region.mesh()
        yield region


def indicator(tlp: Tlp, *audiences: dict[str, Any], **more: Any) -> dict[str, Any]:
    refs = [TLP_2_IDS[tlp], *(one["id"] for one in audiences)]
    return made("indicator", object_marking_refs=refs, **more)


def who_has(region: Region, thing: dict[str, Any]) -> set[str]:
    return {site.name for site in region if thing["id"] in site.ids()}


@pytest.mark.no_cover
def test_each_colour_reaches_exactly_whom_it_may(region: Region) -> None:
    for_vn = make_audience(named=["vn"])
    for_nobody = make_audience()
    clear, green = indicator(Tlp.CLEAR), indicator(Tlp.GREEN)
    unnamed = indicator(Tlp.AMBER)
    amber = indicator(Tlp.AMBER, for_vn)
    strict = indicator(Tlp.AMBER_STRICT, for_vn)
    red = indicator(Tlp.RED, for_vn)
    nobodys = indicator(Tlp.GREEN, for_nobody)
    unmarked = made("indicator")
    loaded = [clear, green, unnamed, amber, strict, red, nobodys, unmarked]
    report = region.load("th", [for_vn, for_nobody, *loaded])
    assert (report.new, report.refused) == (10, 0)
    region.sync()
    assert who_has(region, clear) == who_has(region, green) == EVERYONE
    assert who_has(region, amber) == who_has(region, strict) == {"th", "vn"}
    for kept in (unnamed, red, nobodys, unmarked):
        assert who_has(region, kept) == {"th"}
    # The name of vn stands in the audience, so nobody else gets to read that either.
    assert who_has(region, for_vn) == {"th", "vn"}


@pytest.mark.no_cover
def test_what_arrives_is_what_was_sent_to_the_byte(region: Region) -> None:
    sent = [indicator(Tlp.GREEN, x_odd={"n": 1.50, "ไทย": "ก"}) for _ in range(30)]
    region.load("th", sent)
    region.sync()
    for site in region:
        assert site.versions() == region["th"].versions()


@pytest.mark.no_cover
def test_loops_between_three_end_by_themselves(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "sg", "id"]) as region:
        region.mesh()
        region.load("th", [indicator(Tlp.GREEN) for _ in range(20)])
        region.sync()
        quiet = [report for site in region for report in site.sync()]
        assert not any(r.new or r.held or r.refused or r.faults for r in quiet)
        assert {len(site.versions()) for site in region} == {20}


@pytest.mark.no_cover
def test_relay_does_not_widen(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "sg", "id", "vn"]) as region:
        # A chain: what vn and id get of th, they get through sg.
        region.peer("th", "sg")
        region.peer("sg", "vn")
        region.peer("sg", "id")
        sg_vn = make_audience(named=["sg", "vn"])
        only_sg = make_audience(named=["sg"])
        green = indicator(Tlp.GREEN)
        relayed = indicator(Tlp.AMBER, sg_vn)
        ended = indicator(Tlp.AMBER, only_sg)
        region.load("th", [sg_vn, only_sg, green, relayed, ended])
        region.sync()
        assert who_has(region, green) == {"th", "sg", "id", "vn"}
        assert who_has(region, relayed) == {"th", "sg", "vn"}
        assert who_has(region, ended) == {"th", "sg"}


@pytest.mark.no_cover
def test_a_circle_is_not_passed_on_by_who_does_not_know_it(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "sg", "id"]) as region:
        region.peer("th", "sg")
        region.peer("sg", "id")
        circle = region["th"].circle("night watch", ["sg", "id"])
        audience = make_audience(circles=[circle.id])
        thing = indicator(Tlp.AMBER, audience)
        region.load("th", [audience, thing])
        region.sync()
        assert who_has(region, thing) == {"th", "sg"}
        # Asked to relay, sg is told who is in it; then it may.
        site = region["sg"]
        site.write(
            lambda tx: site.node.registry.put_circle(
                tx, "watch of th", ["sg", "id"], circle_id=circle.id
            )
        )
        region.sync()
        assert who_has(region, thing) == {"th", "sg", "id"}


@pytest.mark.no_cover
def test_a_late_joiner_gets_the_whole_history_it_may_have(region: Region) -> None:
    first = indicator(Tlp.GREEN)
    second = {**first, "modified": LATER, "name": "seen again"}
    secret = indicator(Tlp.AMBER, make_audience(named=["sg"]))
    region.load("th", [make_audience(named=["sg"]), first, secret])
    region.sync()
    region.load("th", [second])
    region.sync()
    region.clock.advance(days=400)
    late = region.join("la")
    region.peer("la", "id")
    region.sync()
    assert late.versions() == {
        one for one in region["th"].versions() if one[0] == first["id"]
    }
    assert len(late.versions()) == 2


@pytest.mark.no_cover
def test_a_node_that_was_away_for_a_week_catches_up(region: Region) -> None:
    early, missed = indicator(Tlp.GREEN), indicator(Tlp.GREEN)
    region.load("th", [early])
    region.sync()
    for other in EVERYONE - {"id"}:
        region.cut("id", other)
    for day in range(7):
        region.clock.advance(days=1)
        region.load("sg", [indicator(Tlp.GREEN) for _ in range(5)])
        if day == 3:
            region.load("th", [missed])
        if day % 3:
            continue
        reports = region.sync()
        away = [report for report in reports if report.fault]
        assert away
        assert all("cannot be reached" in report.fault for report in away)
    assert region["id"].ids() == {early["id"]}
    for other in EVERYONE - {"id"}:
        region.heal("id", other)
    region.sync()
    assert region["id"].versions() == region["th"].versions()
    assert len(region["id"].ids()) == 37
    assert all(not status.fault for status in region["id"].federation.status())


@pytest.mark.no_cover
def test_a_new_member_of_a_circle_gets_what_came_before(region: Region) -> None:
    circle = region["th"].circle("ports", ["sg"])
    audience = make_audience(circles=[circle.id])
    thing = indicator(Tlp.AMBER, audience)
    region.load("th", [audience, thing])
    region.load("th", [indicator(Tlp.GREEN)])
    region.sync()
    assert who_has(region, thing) == {"th", "sg"}
    region["th"].circle("ports", ["sg", "vn"])
    region.sync()
    assert who_has(region, thing) == {"th", "sg", "vn"}


@pytest.mark.no_cover
def test_who_has_left_a_circle_gets_nothing_more_of_it(region: Region) -> None:
    circle = region["th"].circle("ports", ["sg", "vn"])
    audience = make_audience(circles=[circle.id])
    before, after = indicator(Tlp.AMBER, audience), indicator(Tlp.AMBER, audience)
    region.load("th", [audience, before])
    region["sg"].sync()
    # vn leaves before it has asked; what was published while it was in stays away too.
    region["th"].circle("ports", ["sg"])
    region.load("th", [after])
    region.sync()
    assert who_has(region, before) == who_has(region, after) == {"th", "sg"}


@pytest.mark.no_cover
def test_a_lifted_block_gives_back_what_was_missed(region: Region) -> None:
    region["th"].party("id", blocked=True)
    for site in region:
        # Nobody else shall bring it meanwhile.
        if site.name not in {"th", "id"}:
            region.cut(site.name, "id")
    missed = indicator(Tlp.GREEN)
    region.load("th", [missed])
    region.sync()
    assert who_has(region, missed) == EVERYONE - {"id"}
    region["th"].party("id", blocked=False)
    region.sync()
    assert who_has(region, missed) == EVERYONE


@pytest.mark.no_cover
def test_a_definition_that_arrives_late_sets_free_what_waited(region: Region) -> None:
    audience = make_audience(named=["vn", "sg"])
    thing = indicator(Tlp.AMBER, audience)
    region.load("th", [thing])
    region.sync()
    assert who_has(region, thing) == {"th"}
    region.load("th", [audience])
    region.sync()
    assert who_has(region, thing) == {"th", "sg", "vn"}


@pytest.mark.no_cover
def test_a_later_version_that_narrows_stops_the_earlier_ones(region: Region) -> None:
    thing = indicator(Tlp.GREEN)
    region.load("th", [thing])
    region["sg"].sync()
    amber = [TLP_2_IDS[Tlp.AMBER]]
    narrowed = {**thing, "modified": LATER, "object_marking_refs": amber}
    region.load("th", [narrowed])
    region["id"].federation.pull("th")
    assert thing["id"] not in region["id"].ids()


def test_nodes_of_another_realm_exchange_nothing(region: Region) -> None:
    drill = region.join("la", realm="exercise:monsoon")
    region.peer("la", "th")
    region.load("th", [indicator(Tlp.CLEAR)])
    region.load("la", [indicator(Tlp.CLEAR)])
    refused = [drill.federation.pull("th"), region["th"].federation.pull("la")]
    assert all("another realm" in report.fault for report in refused)
    assert drill.ids().isdisjoint(region["th"].ids())
    with region["th"].node.db.read() as tx:
        assert region["th"].node.quarantine.count(tx) == 0


def test_an_object_of_another_realm_ends_in_quarantine(region: Region) -> None:
    drill = indicator(Tlp.GREEN, x_serantau_realm="exercise:monsoon")
    live = indicator(Tlp.GREEN, x_serantau_realm="live")
    plant(region["th"], [drill, live])
    report = region["sg"].federation.pull("th")
    assert (report.new, report.refused) == (1, 1)
    with region["sg"].node.db.read() as tx:
        (held,) = region["sg"].node.quarantine.list(tx)
    assert (held.id, held.rule) == (drill["id"], "another-realm")
    assert held.source == "peer:th"
    # Trying again opens no second door.
    again = Intake(region["sg"].node).retry(held.number)
    assert (again.new, again.refused) == (0, 1)
    assert drill["id"] not in region["sg"].ids()


def plant(site: Site, things: list[dict[str, Any]]) -> None:
    """Put objects into a store past the checks of its node."""
    versions = [site.node.reader.read(orjson.dumps(thing)) for thing in things]
    site.write(
        lambda tx: site.node.objects.admit(
            tx, versions, source="file", handling=lambda _: Tlp.GREEN
        )
    )


def test_no_file_brings_another_realms_objects(region: Region) -> None:
    drill = indicator(Tlp.GREEN, x_serantau_realm="exercise:monsoon")
    report = region.load("th", [drill])
    assert (report.new, dict(report.reasons)) == (0, {"another-realm": 1})


@pytest.mark.no_cover
def test_nobody_revokes_in_anothers_name(region: Region) -> None:
    ours = indicator(Tlp.GREEN, created_by_ref=identity_of("sg"))
    region.load("sg", [ours])
    region.sync()
    forged = {**ours, "modified": LATER, "revoked": True}
    invented = indicator(Tlp.GREEN, created_by_ref=identity_of("sg"))
    assert region.load("th", [forged, invented]).reasons == {"signature-missing": 2}
    # A faithless th holds and relays them all the same.
    region["th"].plant(forged, invented)
    report = region["sg"].federation.pull("th")
    assert (report.new, report.refused) == (0, 2)
    assert region["sg"].ids() == {ours["id"]}
    with region["sg"].node.db.read() as tx:
        rules = {held.rule for held in region["sg"].node.quarantine.list(tx)}
    assert rules == {"in-our-name"}


@pytest.mark.no_cover
def test_a_conflicting_copy_is_kept_apart_and_the_rest_goes_on(region: Region) -> None:
    thing = indicator(Tlp.GREEN, name="as sg knows it")
    region.load("sg", [thing])
    region.load("th", [{**thing, "name": "as th says"}, good := indicator(Tlp.GREEN)])
    report = region["sg"].federation.pull("th")
    assert (report.new, report.refused) == (1, 1)
    assert good["id"] in region["sg"].ids()
    again = region["sg"].federation.pull("th")
    assert (again.new, again.refused) == (0, 0)


def test_a_restart_goes_on_where_it_was(region: Region) -> None:
    region.load("th", [indicator(Tlp.GREEN) for _ in range(10)])
    region.sync()
    region.restart("sg")
    region.load("th", [indicator(Tlp.GREEN)])
    report = region["sg"].federation.pull("th")
    assert (report.new, report.held) == (1, 0)


@pytest.mark.no_cover
def test_the_sender_knows_what_went_to_whom(region: Region) -> None:
    thing = indicator(Tlp.GREEN)
    region.load("th", [thing])
    region["jp"].federation.pull("th")
    site = region["th"]
    with site.node.db.read() as tx:
        (found,) = site.node.search.versions(tx, thing["id"])
    (row,) = Share(site.node).who_got(found)
    assert (row.party, row.way, row.actor) == ("jp", "taxii", "node-jp")


def test_a_guest_whose_time_is_over_is_not_let_in(region: Region) -> None:
    region["th"].party("jp", kind=Kind.PARTNER, until=region.clock.now())
    region.load("th", [indicator(Tlp.CLEAR)])
    assert "does not accept the login" in region["jp"].federation.pull("th").fault
