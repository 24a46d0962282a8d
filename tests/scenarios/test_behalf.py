"""What a coordinator publishes on behalf tells nobody whose it was, itself included."""

from __future__ import annotations

import base64
import io
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import orjson
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from samples import made
from serantau.desk import publisher
from serantau.desk.behalf import Behalf, Edits, Plan
from serantau.desk.handout import Handout
from serantau.desk.keys import Keys, standing
from serantau.desk.ledger import Book
from serantau.desk.publisher import Publisher
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound
from serantau.records import tables
from serantau.records.registry import Caller
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience
from serantau.rules.party import Kind
from serantau.rules.sco import sco_id
from serantau.rules.signature import Standing
from serantau.testing import Region, Site, identity_of, signer_of
from serantau.wire.behalf import NOTHING, PATH, Parcel, Question
from serantau.wire.taxii import API_ROOT

HUB = "asean"
EXACT = "2026-02-17T07:13:42.517Z"
AUDIENCE = make_audience(named=["sg"])
SAID = {"name": "C2 of a botnet", "description": "Seen with many victims."}


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """A coordinator and two members that pull from it, and it from them."""
    with Region(tmp_path, ["th", "vn"]) as region:
        around(region)
        yield region


def around(region: Region) -> None:
    members = [site.name for site in region]
    region.join(HUB, Kind.COORDINATOR)
    for name in members:
        region.peer(HUB, name)


def originals(name: str) -> list[dict[str, Any]]:
    """Make what a member holds: all of it tells whose it is."""
    marks = {
        "created_by_ref": identity_of(name),
        "created": EXACT,
        "modified": EXACT,
        "object_marking_refs": sorted([TLP_2_IDS[Tlp.AMBER], AUDIENCE["id"]]),
    }
    address = {"type": "ipv4-addr", "spec_version": "2.1", "value": "192.0.2.66"}
    address["id"] = str(sco_id(address))

    def named(kind: str) -> str:
        return f"{kind}--{uuid.uuid5(uuid.NAMESPACE_DNS, name + kind)}"

    indicator = made(
        "indicator",
        id=named("indicator"),
        **marks,
        **SAID,
        pattern="[ipv4-addr:value = '192.0.2.66']",
        valid_from=EXACT,
        labels=[f"desk-of-{name}"],
        lang="th",
        x_sensor=f"probe7.{name}.internal.example",
        external_references=[
            {"source_name": f"{name} tickets", "url": f"https://rt.{name}.example/417"}
        ],
    )
    malware = made(
        "malware", id=named("malware"), **marks, first_seen=EXACT, last_seen=EXACT
    )
    link = made(
        "relationship",
        id=named("relationship"),
        **marks,
        relationship_type="indicates",
        source_ref=indicator["id"],
        target_ref=malware["id"],
    )
    return [address, indicator, malware, link]


def provenance(name: str, objects: list[dict[str, Any]]) -> list[bytes]:
    """List every string that would tell that objects are a member's."""
    ids = [one["id"].partition("--")[2] for one in objects[1:]]
    hour = EXACT[11:-1]
    said = [AUDIENCE["id"], EXACT[:19], hour, hour[:8], "x_sensor", "probe7"]
    return [
        text.encode() for text in (*ids, *said, f"desk-of-{name}", f"{name} tickets")
    ]


def names(name: str) -> list[bytes]:
    """List what names a member to the outside."""
    known = (identity_of(name), signer_of(name).key.id, f"{name} CERT")
    return [text.encode() for text in (*known, f"node-{name}", f"{name}.example")]


def plan(site: Site, objects: list[dict[str, Any]], **edits: Any) -> Plan:
    ids = [one["id"] for one in objects]
    said: Edits = {ids[1]: edits} if edits else {}
    return Behalf(site.node).plan(HUB, ids, tlp=Tlp.GREEN, edits=said)


def hand(region: Region, name: str, *, sealed: bool = False) -> dict[str, str]:
    """Hand a member's objects over; gives the new ids by the old ones."""
    objects = originals(name)
    region.load(name, [AUDIENCE, *objects])
    made_plan = plan(region[name], objects)
    Behalf(region[name].node).hand(made_plan, actor="duty", sealed=sealed)
    region[HUB].sync()
    return dict(made_plan.ids)


def stored(site: Site) -> bytes:
    """Give every byte of a node's folder but its keys."""
    site.node.db.settle_log()
    return b"".join(
        path.read_bytes()
        for path in site.config.home.rglob("*")
        if path.is_file() and path.parent.name != "keys"
    )


def mentions(site: Site, name: str) -> int:
    """Count the values in a node's tables that name a member.

    Without the heads of its log, which grows by one line whoever fetches whatever.
    """
    found = re.compile(rf"\b({re.escape(name)}|{identity_of(name)})\b")
    with site.node.db.read() as tx:
        number, _ = site.node.registry.party(tx, name)
        count = 0
        for table in tables.metadata.sorted_tables:
            if table.name == "seen_head":
                continue
            for row in tx.connection.execute(sa.select(table)).mappings():
                count += any(
                    (column in {"party", "peer"} and value == number)
                    or found.search(
                        value.decode("latin-1")
                        if isinstance(value, bytes)
                        else str(value)
                    )
                    is not None
                    for column, value in row.items()
                )
    return count


def ask(
    site: Site, user: str, path: str, body: bytes | None = None
) -> tuple[httpx2.Headers, bytes]:
    """Ask one of a node's doors as a user."""
    with site.node.db.write() as tx:
        token = site.node.registry.add_token(tx, user, "probe")
    answer = site.line.handle_request(
        httpx2.Request(
            "GET" if body is None else "POST",
            f"https://{site.name}.example{path}",
            headers={"Authorization": f"Bearer {token}", "Serantau-Receipt": "wanted"},
            content=body,
        )
    )
    answer.read()
    assert answer.status_code == 200, answer.text
    return answer.headers, answer.content


def published(region: Region, party: str, ids: list[str], folder: Path) -> bytes:
    """Give every byte that the coordinator gives to a party, by every way."""
    site, user = region[HUB], f"node-{party}"
    (collection,) = orjson.loads(ask(site, user, f"{API_ROOT}collections/")[1])[
        "collections"
    ]
    where = f"{API_ROOT}collections/{collection['id']}"
    found = []
    for path in (
        *("/taxii2/", API_ROOT, f"{where}/", f"{where}/manifest/"),
        f"{where}/objects/?match[version]=all",
        *(f"{where}/objects/{one}/" for one in ids),
        *(f"{where}/objects/{one}/versions/" for one in ids),
    ):
        headers, body = ask(site, user, path)
        found += [repr(headers.raw).encode(), body]
    # Beside its own head a node tells of those of all members' logs.
    _, head = ask(site, user, "/federation/ledger/head")
    found.append(orjson.loads(head)["head"].encode())
    out = Handout(site.node, "duty")
    for write in (out.bundle, out.misp_file):
        stream = io.BytesIO()
        write(party, stream)
        found.append(stream.getvalue())
    out.misp_feed(party, folder)
    found += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    book = Book(site.node)
    found += [msgspec.json.encode(book.prove(one)) for one in ids]
    return opened(b"\n".join(found))


def opened(output: bytes) -> bytes:
    """Give an output, and beside it what its signatures say in base64url."""
    parts = {
        part for one in re.findall(rb"eyJ[\w.-]+", output) for part in one.split(b".")
    }
    return output + b"\n".join(
        base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in parts
    )


def versions(site: Site, object_id: str) -> list[dict[str, Any]]:
    with site.node.db.read() as tx:
        found = site.node.search.versions(tx, object_id)
    return [orjson.loads(one.body) for one in found]


def test_nothing_that_is_published_or_kept_there_tells_whose_it_was(
    region: Region, tmp_path: Path
) -> None:
    region.join("sg")
    region.peer(HUB, "sg")
    hub = region[HUB]
    region.sync()
    before = {name: mentions(hub, name) for name in ("th", "vn")}
    with capture_logs() as logs:
        ids = hand(region, "th")
        region[HUB].sync()
        (held,) = Publisher(hub.node).all()
        Publisher(hub.node).publish(held.number)
    region.sync()
    originals_ = originals("th")
    new = [ids[one["id"]] for one in originals_]
    searched = provenance("th", originals_)
    for party in ("th", "vn", "sg"):
        assert set(new) <= region[party].ids()
        output = published(region, party, new, tmp_path / f"feed-{party}")
        assert all(one.encode() in output for one in new)
        found = [text for text in (*searched, *names("th")) if text in output]
        assert not found
    kept = stored(hub)
    assert all(one.encode() in kept for one in new)
    assert not [text for text in searched if text in kept]
    # Two members are there: the one whose it was leaves no more than the other.
    after = {name: mentions(hub, name) for name in ("th", "vn")}
    assert after["th"] - before["th"] == after["vn"] - before["vn"]
    told = repr([one for one in logs if one.get("peer") == "th"])
    assert told == repr([one for one in logs if one.get("peer") == "vn"]).replace(
        "'vn'", "'th'"
    )
    (row,) = Behalf(region["th"].node).all()
    assert {(one.original, one.published) for one in row[1]} == set(ids.items())


@pytest.mark.no_cover
def test_what_is_published_is_the_coordinators_own_and_verifies_everywhere(
    region: Region,
) -> None:
    ids = hand(region, "th")
    Publisher(region[HUB].node).publish(1)
    region.sync()
    for old, new in ids.items():
        if old.startswith("ipv4-addr"):
            assert old == new
            continue
        (found,) = versions(region["vn"], new)
        assert found["created_by_ref"] == identity_of(HUB)
        with region["vn"].node.db.read() as tx:
            ring = Keys(region["vn"].node).ring(tx)
        body = orjson.dumps(found)
        assert standing(body, ring, 0).standing is Standing.VALID
    link = versions(region["vn"], next(x for x in ids.values() if "relation" in x))[0]
    assert {link["source_ref"], link["target_ref"]} <= set(ids.values())
    malware = next(x for x in ids.values() if "malware" in x)
    found = versions(region["vn"], malware)[0]
    assert found["first_seen"] == "2026-02-17T00:00:00.000Z"
    assert found["last_seen"] == "2026-02-18T00:00:00.000Z"


def test_an_update_is_a_new_version_and_a_withdrawal_a_revocation(
    region: Region,
) -> None:
    ids = hand(region, "th")
    th, hub = Behalf(region["th"].node), Publisher(region[HUB].node)
    hub.publish(1)
    region.sync()
    first = originals("th")[1]
    later = {**first, "modified": "2026-02-18T09:00:00.000Z", "name": "Another name"}
    region.load("th", [later])
    assert th.all()[0][2]
    again = th.plan_again(1, None, {})
    assert dict(again.ids) == ids
    assert th.hand(again, actor="duty") == 1
    region[HUB].sync()
    region.sync()
    assert hub.all()[0].state == "waiting"
    assert len(versions(region["vn"], ids[first["id"]])) == 1
    hub.publish(1)
    region.sync()
    one, two = versions(region["vn"], ids[first["id"]])
    assert (one["name"], two["name"]) == (SAID["name"], "Another name")
    assert one["created"] == two["created"] < two["modified"]
    # What was revoked at home goes with the rest; then all of it.
    gone = {**later, "modified": "2026-02-19T09:00:00.000Z", "revoked": True}
    link = next(one for one in ids if "relation" in one)
    ended = {**originals("th")[3], "modified": gone["modified"], "revoked": True}
    region.load("th", [gone, ended])
    fewer = th.plan_again(1, None, {})
    assert set(fewer.gone) == {first["id"], link}
    th.hand(fewer, actor="duty")
    region[HUB].sync()
    region.sync()
    assert versions(region["vn"], ids[first["id"]])[-1]["revoked"]
    hub.publish(1)
    th.withdraw(1)
    region[HUB].sync()
    region.sync()
    malware = next(one for one in ids.values() if "malware" in one)
    assert versions(region["vn"], malware)[-1]["revoked"]
    assert hub.all()[0].state == "withdrawn"
    with pytest.raises(Conflict, match="withdrawn"):
        th.withdraw(1)
    with pytest.raises(Conflict, match="Nothing of number 1 waits"):
        hub.publish(1)


def test_what_a_person_refuses_is_told_to_its_origin_and_to_nobody_else(
    region: Region,
) -> None:
    hand(region, "th")
    hand(region, "vn")
    hub = Publisher(region[HUB].node)
    hub.refuse(1, "known since May")
    region[HUB].sync()
    states = {
        name: [row[0].state for row in Behalf(region[name].node).all()]
        for name in ("th", "vn")
    }
    assert sorted(states["th"] + states["vn"]) == ["fetched", "refused"]
    assert b"known since May" not in b"".join(stored(region[x]) for x in states)
    with pytest.raises(NotFound):
        hub.refuse(7, "x")


def test_the_hand_over_is_in_the_release_log_and_stops_at_a_block(
    region: Region,
) -> None:
    objects = originals("th")
    region.load("th", [AUDIENCE, *objects])
    th = region["th"]
    Behalf(th.node).hand(plan(th, objects), actor="duty")
    th.party(HUB, blocked=True)
    region[HUB].sync()
    assert Publisher(region[HUB].node).all() == []
    with pytest.raises(Forbidden, match="party-blocked"):
        Behalf(th.node).hand(plan(th, objects), actor="duty")
    th.party(HUB, blocked=False)
    region[HUB].sync()
    with th.node.db.read() as tx:
        log = th.node.ledger.log(tx, party=None, since=0, after=0, limit=100)
    rows = [(row.party, row.way, row.count) for row in log if row.way == "behalf"]
    assert rows == [(HUB, "behalf", 4)]
    # A second question gets nothing, and neither does anybody else.
    region["vn"].follow(th)
    assert len(Publisher(region[HUB].node).all()) == 1
    for name in ("vn", HUB):
        _, answer = ask(th, f"node-{name}", PATH, b"{}")
        assert answer == NOTHING
    with pytest.raises(AssertionError, match="cannot be read"):
        ask(th, "node-vn", PATH, b'{"what": 1}')


def caller(site: Site, name: str) -> Caller:
    with site.node.db.read() as tx:
        number, party = site.node.registry.party(tx, name)
    return Caller(f"node-{name}", number, party, "reader")


def parcel_of(site: Site, objects: list[dict[str, Any]]) -> Parcel:
    """Give what a member would hand over, as another could have learnt it."""
    behalf = Behalf(site.node)
    behalf.hand(plan(site, objects), actor="duty")
    answer = behalf.page(caller(site, HUB), Question())
    return msgspec.convert(orjson.loads(answer)["parcel"], Parcel)


def test_only_the_origin_changes_what_it_handed_over(region: Region) -> None:
    objects = originals("th")
    region.load("th", [AUDIENCE, *objects])
    parcel = parcel_of(region["th"], objects)
    hub = Publisher(region[HUB].node)
    hub.take(parcel, "th")
    (held,) = hub.all()
    # The answer was lost, and it comes once more.
    hub.take(parcel, "th")
    assert hub.all() == [held]
    hub.publish(held.number)
    forged = msgspec.structs.replace(
        parcel,
        step=2,
        token="0" * 64,
        objects=(),
        revoked=tuple(one["id"] for one in parcel.objects),
    )
    hub.take(forged, "vn")
    assert hub.all()[0].state == "published"
    first = parcel.objects[1]["id"]
    assert "revoked" not in versions(region[HUB], first)[-1]


def test_nobody_hands_over_what_is_not_to_be_published_or_anothers(
    region: Region,
) -> None:
    objects = originals("th")
    region.load("th", [AUDIENCE, *objects])
    parcel = parcel_of(region["th"], objects)
    own = made("indicator", created_by_ref=identity_of(HUB), **SAID)
    own["object_marking_refs"] = [TLP_2_IDS[Tlp.GREEN]]
    region.load(HUB, [own])
    hub = Publisher(region[HUB].node)
    fair = parcel.objects[1]
    for place, (wrong, why) in enumerate(
        (
            ({**fair, "id": own["id"]}, "is here already"),
            ({**fair, "labels": ["th"]}, "'labels', which is not told"),
            ({**fair, "created_by_ref": identity_of("th")}, "publisher's name"),
            ({**fair, "object_marking_refs": [AUDIENCE["id"]]}, "marked"),
            ({**fair, "pattern": 7}, "/pattern"),
            ({**fair, "id": "a\x00b"}, "'a\\x00b'"),
            ({**fair, "x" * 9999: 1}, "has 'xxx"),
        )
    ):
        other = str(uuid.UUID(int=place, version=4))
        hub.take(msgspec.structs.replace(parcel, hand=other, objects=(wrong,)), "th")
        held = hub.all()[-1]
        assert (held.state, held.body) == ("refused", b"")
        assert len(held.reason) <= 500
        assert why in held.reason
    hub.take(parcel, "th")
    number = hub.all()[-1].number
    region[HUB].plant({**fair, "created": EXACT, "modified": EXACT})
    with pytest.raises(Conflict, match="came from elsewhere"):
        hub.publish(number)


def test_what_waits_is_bounded(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Publisher(region[HUB].node)
    monkeypatch.setattr(publisher, "_WAITING_MOST", 1)
    hand(region, "th")
    hand(region, "vn")
    assert len(hub.all()) == 1
    hub.publish(1)
    monkeypatch.setattr(publisher, "_LARGEST", 99)
    region[HUB].sync()
    (_, held) = hub.all()
    assert "expected at most 99" in held.reason


def test_a_sealed_origin_opens_with_passphrase_and_reason_only(region: Region) -> None:
    hub = Publisher(region[HUB].node)
    hand(region, "th", sealed=True)
    # Without a key the coordinator takes none, rather than keep it in clear.
    assert hub.all() == []
    hub.make_key("night watch")
    region[HUB].sync()
    (held,) = hub.all()
    hub.publish(held.number)
    assert b"th" not in base64.b64decode(held.origin)
    with pytest.raises(BadRequest, match="reason"):
        hub.open(held.number, "night watch", " ")
    with pytest.raises(BadRequest, match="passphrase"):
        hub.open(held.number, "day watch", "court order")
    assert hub.open(held.number, "night watch", "court order") == "th"
    with pytest.raises(BadRequest, match="opens with it only"):
        hub.make_key("another")
    with pytest.raises(BadRequest, match="Without a passphrase"):
        hub.make_key("")
    hand(region, "vn")
    with pytest.raises(BadRequest, match="without a sealed origin"):
        hub.open(2, "night watch", "court order")


def test_a_trace_in_a_text_is_refused_with_its_place_until_a_person_edits_it(
    region: Region,
) -> None:
    objects = originals("th")
    objects[1]["description"] = "Seen by th CERT."
    region.load("th", [AUDIENCE, *objects])
    th = region["th"]
    found = plan(th, objects)
    assert [(one, hit.place) for one, hit in found.hits] == [
        (objects[1]["id"], "/description")
    ]
    with pytest.raises(Forbidden, match="/description: 'th CERT' is this team's name"):
        Behalf(th.node).hand(found, actor="duty")
    edited = plan(th, objects, description="Seen.")
    assert not edited.hits
    assert edited.objects[1].data["description"] == "Seen."
    assert "description" not in plan(th, objects, description=None).objects[1].data
    for name, value in (("pattern", "[x"), ("indicator_types", "x")):
        (hit,) = plan(th, objects, **{"description": "Seen.", name: value}).hits
        assert hit[1].place == f"/{name}"
    with pytest.raises(BadRequest, match="labels of a indicator is not published"):
        plan(th, objects, labels=["x"])
    region.load("th", [{**objects[1], "modified": "2026-02-18T09:00:00.000Z"}])
    with pytest.raises(Conflict, match="changed since"):
        Behalf(th.node).hand(edited, actor="duty")


def test_only_what_is_ours_goes_and_only_to_a_coordinator(region: Region) -> None:
    objects = originals("th")
    theirs = made("malware", created_by_ref=identity_of("vn"))
    theirs["object_marking_refs"] = [TLP_2_IDS[Tlp.CLEAR]]
    gone = {**made("tool", created_by_ref=identity_of("th")), "revoked": True}
    seen: dict[str, Any] = {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "value": "192.0.2.67",
    }
    seen |= {"id": sco_id(seen), "object_marking_refs": [TLP_2_IDS[Tlp.GREEN]]}
    region.load("vn", [theirs, seen])
    region.sync()
    region.load("th", [AUDIENCE, *objects, gone])
    behalf = Behalf(region["th"].node)

    def of(*ids: str, to: str = HUB, tlp: Tlp | None = Tlp.GREEN) -> Plan:
        return behalf.plan(to, ids, tlp=tlp, edits={})

    with pytest.raises(Forbidden, match="only its maker"):
        of(theirs["id"])
    with pytest.raises(BadRequest, match="publishes on nobody's behalf"):
        of(objects[1]["id"], to="vn")
    with pytest.raises(NotFound):
        of("tool--" + "0" * 36)
    with pytest.raises(BadRequest, match="is revoked"):
        of(gone["id"])
    with pytest.raises(BadRequest, match="0 objects at once"):
        of()
    with pytest.raises(BadRequest, match="is edited, and not handed over"):
        behalf.plan(HUB, [seen["id"]], tlp=None, edits={"x": {}})
    assert not of(seen["id"], tlp=None).hits
    assert "it came from peer:asean at TLP:GREEN" in str(
        of(seen["id"], tlp=Tlp.CLEAR).hits
    )
    assert "say --tlp" in str(of(objects[1]["id"], tlp=None).hits)
    # What everybody has may be referred to; what only some have points back.
    link = made(
        "relationship",
        created_by_ref=identity_of("th"),
        relationship_type="indicates",
        source_ref=objects[1]["id"],
        target_ref=theirs["id"],
    )
    region.load("th", [link])
    assert not of(objects[1]["id"], link["id"]).hits
    (hit,) = of(objects[2]["id"], objects[3]["id"]).hits
    assert str(hit[1]).startswith("/source_ref")


def test_what_a_drill_publishes_says_so(tmp_path: Path) -> None:
    with Region(tmp_path, ["th", "vn"], realm="exercise:storm") as region:
        around(region)
        ids = hand(region, "th")
        Publisher(region[HUB].node).publish(1)
        region.sync()
        for new in ids.values():
            assert (
                versions(region["vn"], new)[0]["x_serantau_realm"] == "exercise:storm"
            )
