"""A block holds on every way out and in, at once; relays keep to `everyone but`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import orjson
import polars as pl
import pytest

from samples import made
from serantau.desk.abroad import Abroad
from serantau.desk.handout import Handout
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.errors import Forbidden
from serantau.lane.frame import EVENTS, conform
from serantau.records.ledger import Released
from serantau.records.registry import EVERYONE, Access, Caller
from serantau.records.views import Asked
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience
from serantau.testing import Region, Site
from serantau.wire.taxii import API_ROOT

MEMBERS = ("th", "sg", "id", "vn")


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, MEMBERS) as region:
        region.mesh()
        yield region


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Region]:
    """th and vn, with pages of ten objects."""
    with Region(tmp_path, ["th", "vn"], page=10) as region:
        region.mesh()
        yield region


def indicator(tlp: Tlp, *audiences: dict[str, Any], **more: Any) -> dict[str, Any]:
    refs = [TLP_2_IDS[tlp], *(one["id"] for one in audiences)]
    return made("indicator", object_marking_refs=refs, **more)


def who_has(region: Region, thing: dict[str, Any]) -> set[str]:
    return {site.name for site in region if thing["id"] in site.ids()}


def logged(site: Site) -> list[Released]:
    with site.node.db.read() as tx:
        return site.node.ledger.log(tx, party=None, since=0, after=0, limit=1000)


def who_was_given(site: Site, thing: dict[str, Any]) -> set[str]:
    """Tell from a node's own release log to whom an object went."""
    with site.node.db.read() as tx:
        found = site.node.search.versions(tx, thing["id"])
    return {row.party for one in found for row in Share(site.node).who_got(one)}


def ways_out(
    site: Site, name: str, thing: dict[str, Any]
) -> dict[str, Callable[[], int]]:
    """Give every way by which a party gets something, each told as a count.

    Who asks is the same all the time: somebody who came in before a block.
    """
    node = site.node
    with node.db.write() as tx:
        node.registry.add_user(tx, "probe", name, "writer")
        headers = {
            "Authorization": f"Bearer {node.registry.add_token(tx, 'probe', 'x')}"
        }
        number, party = node.registry.party(tx, name)
        collection = node.registry.collection(tx, "released")
    caller = Caller("probe", number, party, "writer")
    share, abroad = Share(node), Abroad(node)

    def asked(path: str) -> int:
        request = httpx2.Request(
            "GET", f"{site.url[:-8]}{API_ROOT}{path}", headers=headers
        )
        response = site.line.handle_request(request)
        response.read()
        # TAXII 2.1 §5.6: what nobody may have by its id is not there.
        if response.status_code == 404:
            return 0
        assert response.status_code == 200, response.text
        told = response.json()
        return len(told.get("objects", told.get("versions", [])))

    def handed(write: Callable[[Handout], int]) -> Callable[[], int]:
        return lambda: write(Handout(node, "a person"))

    def rows() -> int:
        with node.db.read() as tx:
            verdicts = share.judge_rows(tx, name, name, Tlp)
        return sum(verdict.released for verdict in verdicts.values())

    at = f"collections/{collection.id}"
    return {
        "pages": lambda: share.page(caller, collection, Asked(), way="t").count,
        "lines": lambda: len(share.lines(caller, collection, Asked(), way="t")[0]),
        "hints": lambda: share.news(caller, collection, 0),
        "hints of rows": lambda: abroad.news(caller, 0),
        "parcels": lambda: abroad.page(caller, -1, "t") is not None,
        "notices": rows,
        "bundle": handed(lambda out: out.bundle(name, io.BytesIO()).objects),
        "misp": handed(lambda out: len(list(out.misp_events(name)))),
        "taxii objects": lambda: asked(f"{at}/objects/"),
        "taxii manifest": lambda: asked(f"{at}/manifest/"),
        "taxii object": lambda: asked(f"{at}/objects/{thing['id']}/"),
        "taxii versions": lambda: asked(f"{at}/objects/{thing['id']}/versions/"),
        "preview": lambda: share.preview([name])[0].released,
    }


def rows_of(member: str) -> pl.DataFrame:
    event = {
        "time": 1_790_000_000_000_000,
        "received": 1_790_000_000_000_000,
        "member": member,
        "tlp": int(Tlp.GREEN),
        "type": "vulnerable-system",
    }
    frame = pl.DataFrame([event], schema_overrides={"tlp": pl.Int16})
    return conform(frame.cast({"time": EVENTS["time"], "received": EVENTS["received"]}))


def test_a_block_stops_every_way_out_at_once_and_lifting_it_opens_them(
    pair: Region,
) -> None:
    th = pair["th"]
    thing = indicator(Tlp.CLEAR)
    pair.load("th", [thing])
    Abroad(th.node).queue("ab" * 32, [rows_of("vn")])
    ways = ways_out(th, "vn", thing)
    assert [way for way, count in ways.items() if not count()] == []
    before = len(logged(th))
    th.party("vn", blocked=True)
    for way, count in ways.items():
        try:
            assert count() == 0, way
        except Forbidden:
            # Whoever reads nothing at all is told so.
            assert way in {"bundle", "misp"}
    assert len(logged(th)) == before
    th.party("vn", blocked=False)
    assert [way for way, count in ways.items() if not count()] == []


def test_nothing_comes_in_from_a_party_that_is_blocked(pair: Region) -> None:
    th, vn = pair["th"], pair["vn"]
    box = th.write(
        lambda tx: th.node.registry.put_collection(
            tx,
            "box",
            "Box",
            box=True,
            access=Access(read=(EVERYONE,), write=(EVERYONE,)),
        )
    )
    with th.node.db.read() as tx:
        number, _ = th.node.registry.party(tx, "vn")
    th.party("vn", blocked=True)
    thing, posted = indicator(Tlp.GREEN), indicator(Tlp.GREEN)
    pair.load("vn", [thing])
    Abroad(vn.node).queue("cd" * 32, [rows_of("th")])
    pulled = th.federation.pull("vn")
    assert (pulled.new, pulled.events) == (0, 0)
    assert "vn is blocked here" in pulled.fault
    assert "vn is blocked here" in {
        status.fault.partition(":")[0] for status in th.federation.status()
    }
    with th.node.db.read() as tx:
        caller = Caller("probe", number, th.node.audiences.party(tx, number), "writer")
    body = orjson.dumps({"objects": [posted]})
    with pytest.raises(Forbidden):
        th.intake.post(caller, box, body)
    assert th.ids() == set()
    th.party("vn", blocked=False)
    pulled = th.federation.pull("vn")
    assert (pulled.new, pulled.events, pulled.fault) == (1, 1, "")


def test_a_block_in_the_middle_of_a_pull_holds_from_the_next_batch_on(
    pair: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    th = pair["th"]
    pair.load("vn", [indicator(Tlp.GREEN) for _ in range(40)])
    admit = Intake.admit

    def blocking(intake: Intake, tx: Any, *args: Any, **how: Any) -> Any:
        done = admit(intake, tx, *args, **how)
        _, vn = th.node.registry.party(tx, "vn")
        th.node.registry.put_party(tx, replace(vn, blocked=True))
        return done

    monkeypatch.setattr(Intake, "admit", blocking)
    pulled = th.federation.pull("vn")
    assert "blocked here" in next(iter(pulled.faults))
    assert 0 < len(th.ids()) < 40
    monkeypatch.undo()
    th.party("vn", blocked=False)
    th.federation.pull("vn")
    assert th.ids() == pair["vn"].ids()


@pytest.mark.no_cover
def test_everyone_but_binds_the_relays_and_their_logs_prove_it(region: Region) -> None:
    but_vn = make_audience(everyone_but=["vn"])
    kept, open_ = indicator(Tlp.GREEN, but_vn), indicator(Tlp.GREEN)
    region.load("th", [but_vn, kept, open_])
    region.sync()
    assert who_has(region, kept) == {"th", "sg", "id"}
    assert who_has(region, open_) == set(MEMBERS)
    for site in region:
        given = who_was_given(site, kept)
        assert "vn" not in given, site.name
        # The same log has what did go to vn, so that it is not merely silent.
        if site.name != "vn":
            assert who_was_given(site, open_) >= {"vn"}, site.name
    assert who_was_given(region["th"], kept) == {"sg", "id"}


@pytest.mark.no_cover
def test_two_who_block_each_other_still_both_work_with_the_rest(region: Region) -> None:
    th, vn = region["th"], region["vn"]
    th.party("vn", blocked=True)
    vn.party("th", blocked=True)
    of_th, of_vn, of_sg = (indicator(Tlp.GREEN) for _ in range(3))
    not_vn = make_audience(everyone_but=["vn"])
    not_th = make_audience(everyone_but=["th"])
    secret_th = indicator(Tlp.GREEN, not_vn)
    secret_vn = indicator(Tlp.GREEN, not_th)
    region.load("th", [of_th, not_vn, secret_th])
    region.load("vn", [of_vn, not_th, secret_vn])
    region.load("sg", [of_sg])
    region.sync()
    # Both get what the rest have, and the rest have what both give.
    assert who_has(region, of_sg) == set(MEMBERS)
    # A block is between two nodes: what one lets go to all comes round by the others.
    assert who_has(region, of_th) == who_has(region, of_vn) == set(MEMBERS)
    # What shall not reach the other at all says so, and every relay keeps to it.
    assert who_has(region, secret_th) == {"th", "sg", "id"}
    assert who_has(region, secret_vn) == {"vn", "sg", "id"}
    for thing in (of_th, of_vn, of_sg, secret_th, secret_vn):
        assert "vn" not in who_was_given(th, thing)
        assert "th" not in who_was_given(vn, thing)
