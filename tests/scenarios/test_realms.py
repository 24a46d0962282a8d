"""Every door between a live node and one of an exercise is shut, and says so."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import orjson
import pytest

from samples import made
from serantau.apps.web.pages.door import cookie_name
from serantau.config import (
    FILE_NAME,
    FeedSection,
    NodeConfig,
    SigningSection,
    load_config,
)
from serantau.desk import carry
from serantau.desk.found import Charter, found
from serantau.desk.gather import Gathering
from serantau.desk.handout import Handout
from serantau.desk.lane import Lane
from serantau.desk.lane_ways import Ways
from serantau.desk.returned import take_back
from serantau.desk.signing import card_of, countersign, pin, rotate
from serantau.errors import BadInput, BadRequest, ConfigError, PeerError
from serantau.node import SIGNING_FILE, Node
from serantau.records.peers import Peers
from serantau.records.registry import EVERYONE, Access
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.rules.realm import PROPERTY
from serantau.rules.signature import Standing, examine
from serantau.testing import Region, Site, signer_of
from serantau.wire.client import TaxiiClient
from serantau.wire.mail import Attached, Letter, compose
from serantau.wire.signer import Signer, new_signer
from serantau.wire.taxii import REALM_HEADER
from visitors import signed_in

DRILL = "exercise:monsoon"
GREEN = [TLP_2_IDS[Tlp.GREEN]]


@dataclass
class World:
    """th, live, and la, of an exercise, who know and follow each other by mistake."""

    folder: Path
    region: Region

    @property
    def th(self) -> Site:
        return self.region["th"]

    @property
    def la(self) -> Site:
        return self.region["la"]

    def client(self) -> TaxiiClient:
        """Give th's client of la, with the login that la gave it."""
        with self.th.node.db.read() as tx:
            peer = Peers().get(tx, "la", self.th.node.seal)
        return self.th.federation.client(peer)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("realms")
    with Region(folder, ["th"]) as region:
        la = region.join("la", realm=DRILL)
        region.peer("th", "la")
        la.load([made("indicator", object_marking_refs=GREEN)])
        yield World(folder, region)


def refused(kind: type[Exception], work: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        work()
    return str(caught.value)


def load(world: World, path: Path | str) -> str:
    gathering = Gathering(world.th.node)
    (one,) = gathering.inputs([path])
    sheet = gathering.take(one)
    assert sheet.report.new == 0
    return " ".join([sheet.skipped, *sheet.unread])


def pull(world: World) -> str:
    return world.th.federation.pull("la").fault


def pull_by_the_drill(world: World) -> str:
    return world.la.federation.pull("th").fault


def hints(world: World) -> str:
    return refused(PeerError, lambda: world.client().hints())


def event_rows(world: World) -> str:
    return refused(PeerError, lambda: world.client().events(-1))


def post(world: World) -> str:
    thing = orjson.dumps(made("indicator"))
    return refused(PeerError, lambda: world.client().post("inbox", [thing]))


def bundle(world: World) -> str:
    path = world.folder / "bundle.json"
    with path.open("wb") as stream:
        assert Handout(world.la.node, "ann").bundle("th", stream).objects
    return load(world, path)


def bundle_packed(world: World) -> str:
    stream = io.BytesIO()
    Handout(world.la.node, "ann").bundle("th", stream)
    (world.folder / "bundle.json.gz").write_bytes(gzip.compress(stream.getvalue()))
    return load(world, world.folder / "bundle.json.gz")


def misp_file(world: World) -> str:
    path = world.folder / "misp.json"
    with path.open("wb") as stream:
        assert Handout(world.la.node, "ann").misp_file("th", stream).events
    return load(world, path)


def misp_feed(world: World) -> str:
    folder = world.folder / "feed"
    assert Handout(world.la.node, "ann").misp_feed("th", folder).events
    return load(world, folder)


def one_object(world: World) -> str:
    """What the drill makes itself says so: its identity, and its sightings."""
    report = world.th.load([made("indicator", x_serantau_realm=DRILL)])
    assert (report.new, list(report.reasons)) == (0, ["another-realm"])
    return (
        f"another realm: {report.faults[0].got}, expected {report.faults[0].expected}"
    )


def mailed_report(world: World) -> str:
    mailbox = world.th.node.home / "mail"
    for name in ("new", "cur", "tmp"):
        (mailbox / name).mkdir(parents=True)
    (mailbox / "new" / "1").write_bytes(letter())
    section = FeedSection(mailbox="mail", senders=["cert@cert.example.la"], tlp="GREEN")
    world.th.node.config = msgspec.structs.replace(
        world.th.node.config, feeds={"reports": section}
    )
    looked = Ways(Lane(world.th.node)).look("reports", now=True)
    assert looked is not None
    assert (looked.new, len(looked.left)) == (0, 1)
    return looked.left[0]


def letter() -> bytes:
    csv = Attached(
        "notice.csv", "text/csv", b"time,ip\n2026-01-01T00:00:00Z,192.0.2.1\n"
    )
    return compose(
        Letter(
            sender_name="LaoCERT",
            sender="cert@cert.example.la",
            to="noc@th.example",
            subject="EXERCISE",
            text="Nothing in it is real.",
            key="k",
            at=0,
            realm=DRILL,
            attached=(csv,),
        )
    )


def other_settings(world: World) -> str:
    node = msgspec.structs.replace(world.la.config.node, realm="live")
    config = msgspec.structs.replace(world.la.config, node=node)
    return refused(ConfigError, lambda: Node(config))


def carried_keys(world: World) -> str:
    home = world.folder / "copied"
    shutil.copytree(world.la.config.keys, home / "keys")
    config = NodeConfig(home=home, node=world.th.config.node)
    return refused(ConfigError, lambda: Node(config))


def edited_export(world: World) -> str:
    _, out = exported(world)
    text = (out / FILE_NAME).read_text().replace(DRILL, "live")
    (out / FILE_NAME).write_text(text)
    home = world.folder / "restored"
    said = refused(BadInput, lambda: carry.restore(out, home))
    assert not (home / FILE_NAME).exists()
    return said


def loaded_export(world: World) -> str:
    _, out = exported(world)
    return refused(BadInput, lambda: Gathering(world.th.node).inputs([out]))


def keys_of_the_drill(world: World) -> str:
    """Its identity, which names its keys, is taken in by no live node."""
    home, _ = exported(world)
    config = load_config(home)
    with Node(config) as node, node.db.read() as tx:
        body = tx.value(
            "SELECT body FROM object WHERE id = :id", id=config.node.identity
        )
    report = world.th.load([bytes(body)])
    assert (report.new, list(report.reasons)) == (0, ["another-realm"])
    return f"another realm: {report.faults[0].got}"


def exported(world: World) -> tuple[Path, Path]:
    home, out = world.folder / "mm", world.folder / "export"
    if not home.exists():
        found(home, Charter("mm", "mmCERT", realm=DRILL))
    shutil.rmtree(out, ignore_errors=True)
    with Node(load_config(home)) as node:
        carry.export(node, out)
    return home, out


DOORS: dict[str, Callable[[World], str]] = {
    "TAXII, the live node asks": pull,
    "TAXII, the drill asks": pull_by_the_drill,
    "TAXII, objects are written": post,
    "hints": hints,
    "event rows": event_rows,
    "a bundle, by hand": bundle,
    "a packed bundle, by hand": bundle_packed,
    "a MISP file, by hand": misp_file,
    "a MISP feed": misp_feed,
    "an object that says so": one_object,
    "a mailed report": mailed_report,
    "other settings": other_settings,
    "other keys": carried_keys,
    "an export that was edited": edited_export,
    "an export, loaded": loaded_export,
    "keys": keys_of_the_drill,
}


@pytest.mark.parametrize("door", DOORS)
def test_no_door_leads_into_another_realm(world: World, door: str) -> None:
    before = world.th.ids(), world.la.ids()
    said = DOORS[door](world)
    assert "realm" in said, said
    assert DRILL in said or door == "an export, loaded"
    assert (world.th.ids(), world.la.ids()) == before


def ask(site: Site, method: str, path: str, **headers: str) -> httpx2.Response:
    url = f"https://{site.name}.example{path}"
    answer = site.line.handle_request(httpx2.Request(method, url, headers=headers))
    answer.read()
    answer.close()
    return answer


def test_every_route_refuses_a_caller_of_another_realm(world: World) -> None:
    """Whatever doors there will be: none even looks at who is asking."""
    app: Any = world.th.line._app
    asked = 0
    for route in app.router.routes:
        parts = [one if isinstance(one, str) else "x" for one in route.path_components]
        path = "/" + "/".join(part.strip("/") for part in parts)
        for method in sorted(getattr(route, "methods", {"GET"}) - {"OPTIONS"}):
            answer = ask(world.th, method, path, **{REALM_HEADER: DRILL})
            assert answer.status_code == 403, (method, path)
            assert f"another realm: {DRILL}, expected live" in answer.text
            asked += 1
    assert asked > 40
    # Who says nothing is asked who they are, as ever.
    assert ask(world.th, "GET", "/taxii2/").status_code == 401
    assert ask(world.th, "GET", "/").status_code == 200


def test_every_page_of_a_drill_has_a_banner_and_no_live_one(world: World) -> None:
    for site, shown in ((world.la, True), (world.th, False)):
        cookie = f"{cookie_name(site.node)}={signed_in(site.node, 'boss', 'admin')}"
        for path, headers in (("/", {}), ("/peers", {"Cookie": cookie})):
            page = ask(site, "GET", path, **headers)
            assert page.status_code == 200
            assert (f"EXERCISE: {DRILL}" in page.text) == shown


def test_a_mail_that_came_back_to_another_realm_is_nobodys(world: World) -> None:
    """Its key was made with the realm in it, so no store but its own knows it."""
    head = letter().split(b"\r\n\r\n")[0]
    came_back = (
        b"From: MAILER-DAEMON@mx.example\r\nMIME-Version: 1.0\r\nContent-Type: "
        b'multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n'
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        b"Final-Recipient: rfc822; noc@th.example\r\nAction: failed\r\n\r\n--b\r\n"
        b"Content-Type: text/rfc822-headers\r\n\r\n" + head + b"\r\n--b--\r\n"
    )
    assert not take_back(world.th.node, came_back, "ann")


def drill_made(world: World) -> list[dict[str, Any]]:
    """Give what la makes itself: its people's object, and what it states of its key."""
    la = world.la
    ours = la.node.config.node.identity
    la.load([made("indicator", object_marking_refs=GREEN, created_by_ref=ours)])
    rotate(la.node)
    with la.node.db.read() as tx:
        rows = tx.rows("SELECT body FROM object ORDER BY added")
    found = [orjson.loads(row.body) for row in rows]
    return [one for one in found if one.get("created_by_ref") == ours]


def test_what_a_drill_makes_says_so_and_no_live_node_takes_it_by_any_door(
    tmp_path: Path,
) -> None:
    """Each piece by itself, as somebody carries it or a mistaken node has it."""
    with Region(tmp_path, ["th", "sg"]) as region:
        la = region.join("la", realm=DRILL)
        world = World(tmp_path, region)
        region.peer("th", "sg")
        pieces = drill_made(world)
        assert {one["type"] for one in pieces} >= {"indicator", "key-statement"}
        before = world.th.ids()
        region["sg"].plant(*pieces)
        for piece in pieces:
            assert piece[PROPERTY] == DRILL
            # It stands under the signature: who takes the sign off is found out.
            keys = {la.node.config.node.identity: [signer_of("la").key]}
            bare = {name: said for name, said in piece.items() if name != PROPERTY}
            assert examine(piece, keys).standing != Standing.INVALID
            assert examine(bare, keys).standing != Standing.VALID
            by_hand = world.th.load([piece])
            assert (by_hand.new, dict(by_hand.reasons)) == (0, {"another-realm": 1})
            assert posted(world.th, piece)["failure_count"] == 1
        pulled = world.th.federation.pull("sg")
        assert pulled.new == 0
        assert world.th.ids() == before
        with world.th.node.db.read() as tx:
            held = world.th.node.quarantine.list(tx, limit=100)
        assert {one.rule for one in held} == {"another-realm"}


def posted(site: Site, piece: dict[str, Any]) -> dict[str, Any]:
    """Write something into the inbox of a node, as a member's program does."""
    registry = site.node.registry

    def login(tx: Any) -> tuple[Any, Any]:
        if all(user.name != "sg-tool" for user in registry.users(tx)):
            registry.add_user(tx, "sg-tool", "sg", "writer")
        access = Access(write=(EVERYONE,))
        box = registry.put_collection(tx, "inbox", "Inbox", box=True, access=access)
        return registry.caller_by_name(tx, "sg-tool"), box

    caller, inbox = site.write(login)
    envelope = orjson.dumps({"objects": [piece]})
    return site.intake.post(caller, inbox, envelope)


def test_a_key_of_a_drill_neither_signs_nor_is_pinned_for_a_live_node(
    world: World, tmp_path: Path
) -> None:
    pem = new_signer().pem(realm=DRILL)
    (tmp_path / "key.pem").write_bytes(pem)
    live = world.th.node.config
    for signing in (
        SigningSection(key_file=str(tmp_path / "key.pem")),
        SigningSection(key=pem.decode()),
    ):
        config = msgspec.structs.replace(live, home=tmp_path, signing=signing)
        with Node(config) as node:
            said = refused(ConfigError, lambda: node.signer)
        assert f"another realm: {DRILL}, expected live" in said
    # A key from before there were realms, or of the same one, is of this node.
    assert Signer.read(new_signer().pem(), "", "a file", "live")
    assert Signer.read(new_signer().pem(realm="live"), "", "a file", "live")
    assert refused(
        ConfigError, lambda: Signer.read(new_signer().pem(realm="live"), "", "x", DRILL)
    )

    theirs, ours = new_signer().key, new_signer().key
    card = card_of("la", theirs, DRILL)
    said = refused(BadRequest, lambda: pin(world.th.node, "la", card, "ann"))
    assert f"another realm: {DRILL}" in said
    card = card_of("th", ours)
    assert "realm" in refused(BadRequest, lambda: pin(world.la.node, "th", card, "ann"))

    asked = {"type": "key-request", "party": "la", "realm": DRILL}
    assert "realm" in refused(BadInput, lambda: countersign(world.th.node, asked, "x"))


def test_a_new_node_writes_its_realm_above_its_key(tmp_path: Path) -> None:
    home = tmp_path / "mm"
    found(home, Charter("mm", "mmCERT", realm=DRILL))
    pem = (home / "keys" / SIGNING_FILE).read_text()
    assert pem.startswith(f"Serantau-Realm: {DRILL}\n-----BEGIN PRIVATE KEY")
    with Node(load_config(home)) as node:
        assert node.signer.key


def test_a_live_node_marks_nothing_that_it_hands_out(world: World) -> None:
    world.th.load([made("indicator", object_marking_refs=GREEN)])
    stream = io.BytesIO()
    Handout(world.th.node, "ann").bundle("la", stream)
    assert b"x_serantau_realm" not in stream.getvalue()
