"""Signed objects between nodes: what is admitted, from whom, and by whose word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from samples import AT, LATER, TLP_AMBER, made
from serantau.config import FILE_NAME, load_config
from serantau.desk.intake import Intake
from serantau.desk.keys import Keys, standing
from serantau.desk.signing import (
    card_of,
    countersign,
    introduce,
    pin,
    protect,
    request,
    rotate,
    sign_held,
)
from serantau.errors import BadInput, BadRequest, ConfigError, Conflict, NotFound
from serantau.node import NEXT_FILE, SIGNING_FILE, Node
from serantau.records.pins import Pins
from serantau.rules.key import Key
from serantau.rules.party import Kind
from serantau.rules.signature import (
    SIGNATURE_EXTENSION,
    Standing,
    is_signed,
    signed,
    unsigned,
)
from serantau.rules.statement import Told
from serantau.rules.stix import ObjectVersion
from serantau.testing import Region, Site, identity_of, signer_of
from serantau.wire.bundle import Piece
from serantau.wire.signer import new_signer

pytestmark = pytest.mark.no_cover

_GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
_IDENTITY = {"identity_class": "organization", "name": "a team"}


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, members=["th", "sg", "my"], partners=["jp"]) as region:
        region.mesh()
        yield region


def _of(maker: str, kind: str = "tool", /, **more: Any) -> dict[str, Any]:
    how = {"object_marking_refs": [_GREEN], **more}
    return made(kind, created_by_ref=identity_of(maker), **how)


def _signed(maker: str, data: dict[str, Any]) -> dict[str, Any]:
    return signed(data, signer_of(maker).jws)


def _body(site: Site, object_id: str) -> dict[str, Any]:
    with site.node.db.read() as tx:
        found: dict[str, Any] = orjson.loads(
            site.node.search.versions(tx, object_id)[-1].body
        )
        return found


def _standing(site: Site, object_id: str) -> Standing:
    with site.node.db.read() as tx:
        found = site.node.search.versions(tx, object_id)[-1]
        ring = Keys(site.node).ring(tx)
    return standing(found.body, ring, found.added).standing


def _refused(site: Site) -> list[tuple[str, str]]:
    with site.node.db.read() as tx:
        return [(row.id, row.rule) for row in site.node.quarantine.list(tx)]


def test_what_a_node_makes_verifies_at_a_node_that_got_it_by_another(
    tmp_path: Path,
) -> None:
    tool = _of("th", x_ratio=0.25)
    with Region(tmp_path, members=["th", "sg", "my"]) as region:
        # th and my never meet: sg relays.
        region.peer("th", "sg")
        region.peer("sg", "my")
        region.load("th", [tool])
        region.sync()
        assert _standing(region["my"], tool["id"]) is Standing.VALID
        assert unsigned(_body(region["my"], tool["id"])) == tool
        bodies = {site.versions() == region["th"].versions() for site in region}
        assert bodies == {True}


def test_an_object_that_was_signed_is_not_signed_again(region: Region) -> None:
    tool = _signed("th", _of("th"))
    assert region.load("th", [tool, unsigned(tool), tool]).held == 2
    assert _body(region["th"], tool["id"]) == tool
    # One that is signed with a stranger's key, in our name, stays outside.
    strange = signed(_of("th"), signer_of("sg").jws)
    assert region.load("th", [strange]).reasons == {"unknown-key": 1}


def test_a_long_input_goes_on_by_the_keys_that_its_beginning_made_known(
    region: Region,
) -> None:
    node, tool = region["sg"].node, _signed("jp", _of("jp"))
    intake = Intake(node)
    reading = intake.reading("a pull")

    def read(data: dict[str, Any]) -> ObjectVersion:
        ((version,), _) = reading.here([Piece(1, 0, 1, orjson.dumps(data))])
        return version

    assert read(tool).examined[0] == Standing.UNKNOWN_KEY
    pin(node, "jp", card_of("jp", signer_of("jp").key), "admin")
    intake.learnt(reading, [read(tool)])
    assert read(tool).examined[0] == Standing.UNKNOWN_KEY
    intake.learnt(reading, [read(made("identity", **_IDENTITY))])
    assert read(tool).examined[0] == Standing.VALID


def test_a_relay_that_changes_anything_is_found_out(region: Region) -> None:
    good = _signed("th", _of("th", object_marking_refs=[TLP_AMBER]))
    wider = {**good, "object_marking_refs": [_GREEN]}
    stripped = unsigned(_of("th"))
    swapped = signed(_of("th"), signer_of("sg").jws)
    forged = _of(
        "th",
        extensions={
            SIGNATURE_EXTENSION: {
                "extension_type": "property-extension",
                "jws": _signed("th", _of("th"))["extensions"][SIGNATURE_EXTENSION][
                    "jws"
                ],
            }
        },
    )
    # sg lets them in by doing what its program would not: it writes them to its store.
    region["sg"].plant(wider, stripped, swapped, forged)
    region["my"].sync()
    assert sorted(_refused(region["my"])) == sorted(
        [
            (wider["id"], "signature-invalid"),
            (stripped["id"], "signature-missing"),
            (swapped["id"], "unknown-key"),
            (forged["id"], "signature-invalid"),
        ]
    )
    assert not {wider["id"], stripped["id"]} & region["my"].ids()


def test_only_the_creator_versions_or_revokes_whoever_brings_it(
    region: Region,
) -> None:
    tool = _of("th")
    region.load("th", [tool])
    region.sync()
    taken = {**tool, "modified": LATER}
    revoked = _signed(
        "sg", {**taken, "created_by_ref": identity_of("sg"), "revoked": True}
    )
    nameless = {k: v for k, v in taken.items() if k != "created_by_ref"}
    assert region.load("sg", [revoked]).reasons == {"another-creator": 1}
    assert region.load("sg", [nameless]).reasons == {"another-creator": 1}
    assert region.load("sg", [taken]).reasons == {"signature-missing": 1}
    # Nor within one batch, where the first is not in the store yet.
    fresh = _signed("sg", _of("sg"))
    other = _of("jp", id=fresh["id"], modified=LATER)
    assert region.load("my", [fresh, other]).reasons == {"another-creator": 1}


def test_an_old_version_brought_again_widens_nothing(region: Region) -> None:
    first = _signed("th", _of("th"))
    second = _signed(
        "th", {**unsigned(first), "modified": LATER, "object_marking_refs": [TLP_AMBER]}
    )
    region.load("my", [second])
    region["sg"].plant(first)
    region["my"].sync()
    with region["my"].node.db.read() as tx:
        held = region["my"].node.search.versions(tx, first["id"])
    assert [one.superseded for one in held] == [True, False]
    # The narrower marking of the later version holds for both.
    region.cut("jp", "sg")
    region["jp"].sync()
    assert region["jp"].ids() == set()


def test_an_unsigned_third_party_is_admitted_as_that_unless_all_must_be_signed(
    region: Region,
) -> None:
    attack = made(
        "attack-pattern",
        created_by_ref=made("identity")["id"],
        object_marking_refs=[_GREEN],
    )
    partners = _of("jp")
    region.load("sg", [attack])
    region.load("jp", [partners])
    region["my"].sync()
    assert _standing(region["my"], attack["id"]) is Standing.UNSIGNED
    assert _standing(region["my"], partners["id"]) is Standing.UNKNOWN_KEY
    region.cut("th", "my")
    region["th"].follow(region["sg"], signatures="all")
    region["th"].sync()
    assert (attack["id"], "not-signed") in _refused(region["th"])
    assert partners["id"] in region["th"].ids()
    with pytest.raises(BadRequest, match="nothing that is asked"):
        region["th"].follow(region["sg"], signatures="some")


def test_a_member_whose_key_nobody_compared_waits_until_somebody_does(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, members=["th", "sg"]) as region:
        region.join("vn", pinned=False)
        region["vn"].party("th", identity="")
        region["th"].party("vn", identity="")
        for name in ("vn", "th"):
            _present(region[name])
        tool = _of("vn")
        region.load("vn", [tool])
        region.peer("th", "vn")
        region["th"].sync()
        # Not because it came first, and not because the peer says who it is.
        assert {rule for _, rule in _refused(region["th"])} == {"key-not-pinned"}
        with region["th"].node.db.read() as tx:
            assert Keys(region["th"].node).parties_without(tx) == ["vn"]
        key = signer_of("vn").key
        with pytest.raises(BadRequest, match="fingerprint"):
            pin(region["th"].node, "vn", "it starts with a k", "admin")
        done = pin(region["th"].node, "vn", key.words, "admin")
        assert done.again.new == 3
        assert (done.row.key, done.row.identity) == (key, identity_of("vn"))
        assert _refused(region["th"]) == []
        assert _standing(region["th"], tool["id"]) is Standing.VALID


def _present(site: Site) -> None:
    """Give a node the identity object that `init` makes, and its key in it."""
    site.plant(
        made(
            "identity",
            id=identity_of(site.name),
            created_by_ref=identity_of(site.name),
            object_marking_refs=[_GREEN],
            **_IDENTITY,
        ),
    )
    introduce(site.node)


def test_a_party_that_shows_anothers_identity_does_not_become_it(
    region: Region,
) -> None:
    region["my"].party("jp", identity="")
    _present(region["jp"])
    false = _of("sg", "identity", id=identity_of("sg"))
    declared = _body(region["jp"], identity_of("jp"))["extensions"]
    keys = {k: v for k, v in declared.items() if k != SIGNATURE_EXTENSION}
    region["jp"].plant(signed({**false, "extensions": keys}, signer_of("jp").jws))
    pin(region["my"].node, "jp", signer_of("jp").key.id, "admin")
    region["my"].sync()
    with region["my"].node.db.read() as tx:
        ring = Keys(region["my"].node).ring(tx)
    assert ring.keys[identity_of("sg")] == (signer_of("sg").key,)
    assert (identity_of("sg"), "unknown-key") in _refused(region["my"])


def test_a_rotated_key_is_followed_and_the_old_one_signs_no_more(
    region: Region,
) -> None:
    _present(region["th"])
    before, after = _of("th"), _of("th")
    region.load("th", [before])
    region.sync()
    region.clock.advance(seconds=60)
    new = rotate(region["th"].node)
    region.load("th", [after])
    region.sync()
    for tool in (before, after):
        assert _standing(region["my"], tool["id"]) is Standing.VALID
    late = _signed("th", _of("th", modified="2026-06-01T00:00:00.000Z"))
    assert region.load("my", [late]).reasons == {"signature-invalid": 1}
    region.restart("th")
    assert region["th"].node.signer.key == new
    # What is loaded again after a rotation is what it was.
    assert region.load("th", [before]).held == 1
    with pytest.raises(Conflict, match="signs now"):
        rotate(region["th"].node, region["th"].node.signer)


def test_a_change_of_keys_that_was_broken_off_goes_on(region: Region) -> None:
    _present(region["th"])
    keys = region["th"].config.keys
    old = (keys / SIGNING_FILE).read_bytes()
    new = rotate(region["th"].node)
    (keys / SIGNING_FILE).rename(keys / NEXT_FILE)
    (keys / SIGNING_FILE).write_bytes(old)
    region.restart("th")
    assert region["th"].node.signer.key == new
    assert not (keys / NEXT_FILE).exists()


def test_a_stolen_key_is_given_up_with_two_others_words(tmp_path: Path) -> None:
    names = ["th", "sg", "my"]
    with Region(tmp_path, members=names) as region:
        region.join("hub", Kind.COORDINATOR)
        region.mesh()
        _present(region["th"])
        early = _of("th")
        region.load("th", [early])
        region.sync()
        region.clock.advance(seconds=3600)
        stolen = region.clock.now()
        region.clock.advance(seconds=3600)
        # The thief signs with an old date, by way of sg's faithless relay.
        thief = _signed("th", _of("th", name="the thief's", modified=AT))
        region["sg"].plant(thief)
        region["my"].sync()
        assert _standing(region["my"], thief["id"]) is Standing.VALID
        asked = request(region["th"].node, Told.COMPROMISE, stolen)
        new = Key.from_jwk(asked["new_key"])
        tool = _of("th")
        region.load("th", [tool])
        region.sync()
        assert (tool["id"], "unknown-key") in _refused(region["my"])
        with pytest.raises(BadRequest, match="somebody may be in between"):
            countersign(region["hub"].node, asked, signer_of("th").key.words)
        countersign(region["hub"].node, asked, new.words)
        region.sync()
        assert thief["id"] in region["my"].ids()
        countersign(region["my"].node, asked, new.id)
        region.sync()
        for name in ("my", "hub", "sg"):
            assert _standing(region[name], tool["id"]) is Standing.VALID
            assert _standing(region[name], early["id"]) is Standing.VALID
            assert thief["id"] not in region[name].ids()
        assert (thief["id"], "signature-invalid") in _refused(region["my"])
        again = _signed("th", _of("th", modified=AT))
        assert region.load("my", [again]).reasons == {"signature-invalid": 1}
        # th signed anew what it had made, so that who joins now can have it.
        region.join("vn")
        region["vn"].pin("th", new)
        region["vn"].write(lambda tx: Pins().drop(tx, "th", signer_of("th").key.id))
        region["vn"].follow(region["th"])
        region["vn"].sync()
        assert _standing(region["vn"], early["id"]) is Standing.VALID


def test_what_is_countersigned_is_about_a_key_that_is_pinned(region: Region) -> None:
    _present(region["th"])
    asked = request(region["th"].node, Told.LOSS)
    words = Key.from_jwk(asked["new_key"]).words
    sg = region["sg"].node
    for wrong, fault in (
        ({}, BadInput),
        ({**asked, "told": "rotation"}, BadInput),
        ({**asked, "subject_ref": identity_of("sg")}, BadRequest),
        ({**asked, "key_id": "another"}, NotFound),
    ):
        with pytest.raises(fault):
            countersign(sg, wrong, words)
    assert countersign(sg, asked, words)[0].told is Told.LOSS
    with pytest.raises(Conflict, match="Nobody was told"):
        request(sg, Told.LOSS)


def test_a_node_of_before_tells_of_its_key_and_signs_what_it_made(
    region: Region,
) -> None:
    site, tool = region["th"], _of("th")
    site.plant(tool)
    region["jp"].write(lambda tx: Pins().drop(tx, "th"))
    region["jp"].follow(site, signatures="pinned")
    region["jp"].sync()
    assert not is_signed(_body(region["jp"], tool["id"]))
    _present(site)
    assert not introduce(site.node)
    assert sign_held(site.node) == 0
    region.sync()
    assert _standing(region["my"], tool["id"]) is Standing.VALID
    # Where the bare one is held, the signature is put into it when it comes again.
    site_jp = region["jp"]
    site_jp.write(
        lambda tx: site_jp.federation.peers.rewind(tx, site_jp.federation.peer("th"))
    )
    site_jp.sync()
    pin(site_jp.node, "th", card_of("th", signer_of("th").key), "admin")
    assert _standing(site_jp, tool["id"]) is Standing.VALID
    assert _refused(site_jp) == []


def test_nobody_else_is_signed_for(region: Region) -> None:
    tool = _of("th")
    report = region["th"].intake.take([], origin="a feed", source="feed:example.org")
    assert report.total == 0
    assert region["th"].load([tool], source="feed:example.org").reasons == {
        "in-our-name": 1
    }
    # Of users only this node's own people write in its name.
    site = region["th"]
    with site.node.db.write() as tx:
        site.node.registry.add_user(tx, "guest", "sg", "writer")
        site.node.registry.add_user(tx, "analyst", "th", "writer")
    refused = site.load([tool], source="user:guest")
    assert refused.reasons == {"in-our-name": 1}
    assert site.intake.again({"in-our-name"}).new == 0
    assert site.ids() == set()
    assert site.load([tool], source="user:analyst").new == 1
    assert _standing(site, tool["id"]) is Standing.VALID


def test_what_no_two_programs_read_alike_stays_unsigned(region: Region) -> None:
    tool = orjson.dumps(_of("th"))[:-1] + b',"x_big":18446744073709551617}'
    assert region.load("th", [tool]).new == 1
    (object_id,) = region["th"].ids()
    assert _standing(region["th"], object_id) is Standing.UNSIGNED


def test_a_lost_key_is_not_replaced_behind_anybodys_back(region: Region) -> None:
    _present(region["th"])
    path = region["th"].config.keys / SIGNING_FILE
    path.unlink()
    region.restart("th")
    with pytest.raises(ConfigError, match="cannot be read"):
        region["th"].load([_of("th")])
    path.write_bytes(new_signer().pem())
    with pytest.raises(ConfigError, match="others know"):
        _ = region["th"].node.signer


def test_a_key_comes_from_a_file_a_variable_or_under_a_passphrase(
    tmp_path: Path,
) -> None:
    signer = new_signer()
    (tmp_path / "key.pem").write_bytes(signer.pem("open sesame"))
    (tmp_path / "word").write_text("open sesame\n")
    (tmp_path / FILE_NAME).write_text("[node]\nmember = 'th'\n")
    several: tuple[dict[str, str], ...] = (
        {
            "SERANTAU_SIGNING_KEY_FILE": str(tmp_path / "key.pem"),
            "SERANTAU_SIGNING_PASSPHRASE": "open sesame",
        },
        {
            "SERANTAU_SIGNING_KEY": signer.pem("open sesame").decode(),
            "SERANTAU_SIGNING_PASSPHRASE_FILE": str(tmp_path / "word"),
        },
        {"SERANTAU_SIGNING_KEY": signer.pem().decode()},
    )
    for environment in several:
        config = load_config(tmp_path, environment)
        assert "open sesame" not in repr(config)
        assert "PRIVATE" not in repr(config)
        with Node(config) as node:
            assert node.signer.key == signer.key
            with pytest.raises(BadRequest, match="secret store"):
                request_after_telling(node)
    with pytest.raises(ConfigError, match="one of them is enough"):
        load_config(tmp_path, {**several[0], **several[2]})


def request_after_telling(node: Node) -> None:
    with node.db.write() as tx:
        Pins.sign_with(tx, node.signer.key.id)
    request(node, Told.LOSS)


def test_a_key_is_put_under_a_passphrase_and_out_again(region: Region) -> None:
    node = region["th"].node
    path, key = node.config.keys / SIGNING_FILE, node.signer.key
    protect(node, "secret")
    assert b"ENCRYPTED" in path.read_bytes()
    assert node.signer.key == key
    protect(node, "")
    assert b"ENCRYPTED" not in path.read_bytes()


def test_a_card_pins_a_key_at_once(region: Region) -> None:
    key = new_signer().key
    done = pin(region["th"].node, "jp", card_of("jp", key), "admin")
    assert (done.row.key, done.row.identity) == (key, identity_of("jp"))
    for text in (card_of("sg", key), "serantau-key:jp:rubbish", "serantau-key:"):
        with pytest.raises(BadRequest):
            pin(region["th"].node, "jp", text, "admin")
    with region["th"].node.db.write() as tx, pytest.raises(NotFound):
        Pins().drop(tx, "jp", "no such")
