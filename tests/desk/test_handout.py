"""What is handed out as files: to whom it may go, when it is there, and in the log."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from doors import indicator
from serantau.desk.gather import Gathering
from serantau.desk.handout import Event, Handout
from serantau.desk.whole import whole
from serantau.errors import BadRequest, Conflict, Forbidden, NotFound
from serantau.records.views import Asked
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience
from serantau.rules.party import Kind
from serantau.testing import Region, Site

MADE = "2026-01-01T00:00:00.000Z"
ACTOR = "ann"
FORMATS = ("stix", "misp", "misp-feed")
PARTIES = {
    "sg": Kind.MEMBER,
    "asc": Kind.COORDINATOR,
    "jp": Kind.PARTNER,
    "power": Kind.OPERATOR,
    "other-power": Kind.OPERATOR,
    "public": Kind.PUBLIC,
}
ALL = frozenset(PARTIES)
COMMUNITY = frozenset({"sg", "asc", "jp", "power"})
NAMED = frozenset({"sg", "power"})
BOUND = ALL - {"public"}
# Who may have what, written down once more by hand: level, audience -> parties.
MAY_HAVE: dict[tuple[Tlp, str], frozenset[str]] = {
    (Tlp.CLEAR, "anyone"): ALL,
    (Tlp.GREEN, "anyone"): COMMUNITY,
    (Tlp.CLEAR, "named"): NAMED,
    (Tlp.GREEN, "named"): NAMED,
    (Tlp.AMBER, "named"): NAMED,
    (Tlp.AMBER_STRICT, "named"): NAMED,
    (Tlp.CLEAR, "circle"): frozenset({"jp"}),
    (Tlp.GREEN, "circle"): frozenset({"jp"}),
    (Tlp.AMBER, "circle"): frozenset({"jp"}),
    (Tlp.AMBER_STRICT, "circle"): frozenset({"jp"}),
    (Tlp.CLEAR, "not-jp"): BOUND - {"jp"},
    (Tlp.GREEN, "not-jp"): COMMUNITY - {"jp"},
}
MODES = ("anyone", "named", "circle", "not-jp", "nobody")
CIRCLE = "the reef watchers"


def word(level: Tlp, mode: str) -> str:
    return f"{level.name.lower().replace('_', '-')}-{mode}.example"


def released(party: str) -> set[str]:
    return {word(*key) for key, names in MAY_HAVE.items() if party in names}


def report(number: int, *refs: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "report",
        "spec_version": "2.1",
        "id": f"report--{number:08d}-0000-4000-8000-000000000000",
        "created": MADE,
        "modified": MADE,
        "published": MADE,
        "name": f"report {number}",
        "object_refs": list(refs),
        "object_marking_refs": [TLP_2_IDS[Tlp.GREEN]],
        **more,
    }


def hand(site: Site, form: str, party: str, folder: Path, **how: Any) -> bytes:
    """Everything that a hand-out of this form lets out, as one text."""
    handout = Handout(site.node, ACTOR)
    if form == "misp-feed":
        handout.misp_feed(party, folder, **how)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return b"\n".join(path.read_bytes() for path in files)
    stream = io.BytesIO()
    write = handout.bundle if form == "stix" else handout.misp_file
    write(party, stream, **how)
    return stream.getvalue()


def logged(site: Site, party: str) -> list[Any]:
    with site.node.db.read() as tx:
        number, _ = site.node.registry.party(tx, party)
        return site.node.ledger.of_party(tx, number)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node with an object of every level and audience, also inside reports."""
    with Region(tmp_path_factory.mktemp("region"), ["th"]) as region:
        site = region["th"]
        for name, kind in PARTIES.items():
            site.party(name, kind=kind, client_of="th" if name == "power" else "")
        circle = site.circle(CIRCLE, ["jp"])
        audiences = {
            "named": make_audience(named=NAMED),
            "circle": make_audience(circles=[circle.id]),
            "not-jp": make_audience(everyone_but=["jp"]),
            "nobody": make_audience(),
        }
        region.load("th", audiences.values(), handle_as="TLP:CLEAR")
        objects = []
        for number, (level, mode) in enumerate((t, m) for t in Tlp for m in MODES):
            refs = [TLP_2_IDS[level]]
            refs += [audiences[mode]["id"]] if mode in audiences else []
            pattern = f"[domain-name:value = '{word(level, mode)}']"
            more = {"object_marking_refs": refs, "pattern": pattern}
            objects.append(indicator(number, name=f"about {word(level, mode)}", **more))
        clear = {"object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]]}
        some = [one["id"] for one in objects[::2]]
        report_of_all = region.load("th", [*objects, report(1, *some, **clear)])
        assert report_of_all.refused == 0
        yield site


def about(level: Tlp, text: bytes) -> set[str]:
    return {word(level, mode) for mode in MODES if word(level, mode).encode() in text}


@pytest.fixture(params=FORMATS, scope="module")
def given(
    request: pytest.FixtureRequest,
    guarded: Site,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, bytes]:
    """What each party was handed, in each form."""
    return {
        party: hand(guarded, request.param, party, tmp_path_factory.mktemp("feed"))
        for party in PARTIES
    }


@pytest.mark.parametrize("party", PARTIES)
def test_red_object_never_leaves_by_handout(
    given: dict[str, bytes], party: str
) -> None:
    assert about(Tlp.RED, given[party]) == set()


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("level", [Tlp.AMBER, Tlp.AMBER_STRICT])
def test_amber_object_leaves_by_handout_only_to_its_audience(
    given: dict[str, bytes], party: str, level: Tlp
) -> None:
    assert about(level, given[party]) == released(party) & {
        word(level, mode) for mode in MODES
    }


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("level", [Tlp.CLEAR, Tlp.GREEN])
def test_open_object_leaves_by_handout_but_not_to_whom_its_audience_leaves_out(
    given: dict[str, bytes], party: str, level: Tlp
) -> None:
    assert about(level, given[party]) == released(party) & {
        word(level, mode) for mode in MODES
    }


@pytest.mark.parametrize("party", PARTIES)
def test_neither_name_nor_members_of_a_circle_leave_by_handout(
    given: dict[str, bytes], party: str
) -> None:
    assert CIRCLE.encode() not in given[party]
    assert b'"members"' not in given[party]


def test_blocked_party_gets_an_empty_handout(guarded: Site, tmp_path: Path) -> None:
    guarded.party("sg", blocked=True)
    try:
        for form in FORMATS:
            text = hand(guarded, form, "sg", tmp_path / "feed")
            assert b".example" not in text
    finally:
        guarded.party("sg", blocked=False)


def test_party_whose_access_has_ended_gets_no_handout(guarded: Site) -> None:
    guarded.party("jp", until=1)
    try:
        with pytest.raises(Forbidden, match="has ended"):
            Handout(guarded.node, ACTOR).bundle("jp", io.BytesIO())
    finally:
        guarded.party("jp", until=None)


def test_collection_that_a_party_may_not_read_is_not_handed_out(guarded: Site) -> None:
    def put(tx: Any) -> None:
        guarded.node.registry.put_collection(tx, "ours", "Ours")

    guarded.write(put)
    with pytest.raises(NotFound):
        Handout(guarded.node, ACTOR).bundle("sg", io.BytesIO(), "ours")
    with pytest.raises(NotFound):
        Handout(guarded.node, ACTOR).bundle("nobody", io.BytesIO())


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path / "region", ["th"]) as region:
        region["th"].party("sg", kind=Kind.MEMBER)
        region["th"].party("jp", kind=Kind.PARTNER)
        yield region


@pytest.mark.parametrize("form", FORMATS)
def test_every_object_of_a_handout_is_in_the_release_log(
    region: Region, tmp_path: Path, form: str
) -> None:
    region.load("th", [indicator(n) for n in range(5)])
    hand(region["th"], form, "sg", tmp_path / "feed")
    rows = logged(region["th"], "sg")
    assert {(row.way, row.actor, row.collection) for row in rows} == {
        ("handout", ACTOR, "released")
    }
    assert sum(row.count for row in rows) == 5
    assert logged(region["th"], "jp") == []


def test_bundle_has_every_body_as_it_is_held_and_an_id_of_its_content(
    region: Region,
) -> None:
    site = region["th"]
    odd = orjson.dumps(indicator(1, x_odd="\u0e44")).replace(
        b'"x_odd":', b'"x_number":1.50e3,"x_odd":'
    )
    region.load("th", [odd, indicator(2)])
    site.node.config = _paged(site, 1)
    text = hand(site, "stix", "sg", Path())
    assert all(body in text for _, _, body in site.versions())
    assert hand(site, "stix", "sg", Path()) == text
    bundle = orjson.loads(text)
    assert bundle["type"] == "bundle"
    region.load("th", [indicator(3)])
    later = orjson.loads(hand(site, "stix", "sg", Path()))
    assert later["id"] != bundle["id"]
    assert len(later["objects"]) == 3


def _paged(site: Site, page: int) -> Any:
    import msgspec

    limits = msgspec.structs.replace(site.node.config.limits, page=page)
    return msgspec.structs.replace(site.node.config, limits=limits)


def test_bundle_of_nothing_is_a_bundle_without_objects(region: Region) -> None:
    bundle = orjson.loads(hand(region["th"], "stix", "sg", Path()))
    assert bundle.keys() == {"type", "id"}


def test_filters_and_collection_narrow_a_handout(region: Region) -> None:
    site = region["th"]
    one = indicator(1)
    region.load("th", [one, report(1, one["id"])])
    asked = Asked(types=("report",))
    found = orjson.loads(hand(site, "stix", "sg", Path(), asked=asked))["objects"]
    assert [each["type"] for each in found] == ["report"]


def events(site: Site, party: str = "sg") -> list[Event]:
    return list(Handout(site.node, ACTOR).misp_events(party))


def values(one: Event) -> set[str]:
    return {each["value"] for each in one.event["Event"]["Attribute"]}


def test_report_is_one_event_and_the_rest_one_a_day_and_level(region: Region) -> None:
    first = [indicator(n) for n in range(3)]
    clear = {"object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]]}
    region.load("th", [*first, indicator(3, **clear), report(1, first[0]["id"])])
    region.clock.advance(seconds=86_400)
    region["th"].node.config = _paged(region["th"], 3)
    region.load("th", [indicator(4), report(2, first[0]["id"])])
    made = events(region["th"])
    found = {one.event["Event"]["info"]: values(one) for one in made}
    assert found == {
        "report 1": {"host0.example"},
        "report 2": {"host0.example"},
        "th CERT, 2026-01-01, TLP:CLEAR": {"host3.example"},
        "th CERT, 2026-01-01, TLP:GREEN": {"host1.example", "host2.example"},
        "th CERT, 2026-01-02, TLP:GREEN": {"host4.example"},
    }
    dates = [one.event["Event"]["date"] for one in made[2:]]
    assert dates == ["2026-01-01", "2026-01-01", "2026-01-02"]


def test_an_attribute_of_two_events_has_a_uuid_in_each(region: Region) -> None:
    one = indicator(1)
    region.load("th", [one, report(1, one["id"]), report(2, one["id"])])
    first, second = events(region["th"])
    (uuid,) = (each["uuid"] for each in first.event["Event"]["Attribute"])
    (other,) = (each["uuid"] for each in second.event["Event"]["Attribute"])
    assert uuid == one["id"].removeprefix("indicator--")
    assert other != uuid
    assert values(first) == values(second)


def test_what_a_report_names_and_a_party_may_not_have_is_not_in_its_event(
    region: Region,
) -> None:
    red = indicator(1, object_marking_refs=[TLP_2_IDS[Tlp.RED]])
    region.load("th", [red, indicator(2), report(1, red["id"], indicator(2)["id"])])
    (one,) = events(region["th"])
    assert values(one) == {"host2.example"}


def test_objects_without_tlp_go_out_as_strict_however_they_are_handled_here(
    region: Region,
) -> None:
    bare = indicator(1)
    del bare["object_marking_refs"]
    region.load("th", [bare], handle_as="TLP:CLEAR")
    (one,) = events(region["th"])
    assert {"name": "tlp:amber+strict"} in one.event["Event"]["Tag"]


def test_loss_names_its_object_and_event(region: Region) -> None:
    ring = {
        "type": "relationship",
        "spec_version": "2.1",
        "id": "relationship--00000001-0000-4000-8000-000000000000",
        "created": MADE,
        "modified": MADE,
        "relationship_type": "related-to",
        "source_ref": indicator(1)["id"],
        "target_ref": indicator(2)["id"],
        "object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]],
    }
    region.load("th", [ring, indicator(1), indicator(2)])
    stream = io.BytesIO()
    handed = Handout(region["th"].node, ACTOR).misp_file("sg", stream)
    (loss,) = handed.losses
    assert (loss.id, loss.outcome) == (ring["id"], "lost")
    assert loss.event.encode() in stream.getvalue()


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


def test_feed_that_has_nothing_new_is_not_touched(
    region: Region, tmp_path: Path
) -> None:
    one = indicator(1)
    region.load("th", [one, indicator(2), report(1, one["id"])])
    handout = Handout(region["th"].node, ACTOR)
    first = handout.misp_feed("sg", tmp_path / "feed")
    before = files(tmp_path / "feed")
    again = handout.misp_feed("sg", tmp_path / "feed")
    assert files(tmp_path / "feed") == before
    assert (first.events, first.unchanged) == (2, 0)
    assert (again.events, again.unchanged) == (2, 2)
    handout.misp_feed("sg", tmp_path / "other")
    others = files(tmp_path / "other")
    assert {n: t for n, (t, _) in others.items()} == {
        n: t for n, (t, _) in before.items()
    }


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((folder / "manifest.json").read_bytes())
    return found


def test_feed_takes_out_what_is_released_no_more_and_its_event_is_younger(
    region: Region, tmp_path: Path
) -> None:
    region.load("th", [indicator(1), indicator(2)])
    feed = tmp_path / "feed"
    hand(region["th"], "misp-feed", "sg", feed)
    ((uuid, line),) = manifest(feed).items()
    later = {"modified": "2026-01-02T00:00:00.000Z"}
    red = indicator(2, object_marking_refs=[TLP_2_IDS[Tlp.RED]], **later)
    region.load("th", [red])
    text = hand(region["th"], "misp-feed", "sg", feed)
    assert b"host2.example" not in text
    assert manifest(feed)[uuid]["timestamp"] > line["timestamp"]
    region["th"].party("sg", blocked=True)
    hand(region["th"], "misp-feed", "sg", feed)
    assert {path.name for path in feed.iterdir()} == {"manifest.json", "hashes.csv"}


def test_feed_whose_event_was_tampered_with_is_made_whole(
    region: Region, tmp_path: Path
) -> None:
    region.load("th", [indicator(1)])
    feed = tmp_path / "feed"
    before = hand(region["th"], "misp-feed", "sg", feed)
    (uuid,) = manifest(feed)
    (feed / f"{uuid}.json").write_bytes(b"{}")
    after = hand(region["th"], "misp-feed", "sg", feed)
    assert b"host1.example" in after
    assert after != before  # the event's time went on, so that readers fetch it


def test_folder_of_another_party_or_of_something_else_is_no_feed(
    region: Region, tmp_path: Path
) -> None:
    region.load("th", [indicator(1)])
    feed = tmp_path / "feed"
    hand(region["th"], "misp-feed", "sg", feed)
    before = files(feed)
    with pytest.raises(Conflict, match="feed of sg"):
        hand(region["th"], "misp-feed", "jp", feed)
    assert files(feed) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(Conflict, match="not empty"):
        hand(region["th"], "misp-feed", "sg", tmp_path / "mine")


def test_handout_as_misp_loads_into_another_node(
    region: Region, tmp_path: Path
) -> None:
    one = indicator(1)
    region.load("th", [one, indicator(2), report(1, one["id"])])
    path = tmp_path / "events.json"
    with whole(path) as stream:
        Handout(region["th"].node, ACTOR).misp_file("sg", stream)
    region.join("sg", pinned=False)
    gathering = Gathering(region["sg"].node)
    (given,) = gathering.inputs([path])
    sheet = gathering.take(given)
    assert (sheet.kind, sheet.events, sheet.report.refused) == ("misp", 2, 0)
    names = {one["id"] for one in (indicator(1), indicator(2), report(1))}
    found = region["sg"].ids()
    assert {each.partition("--")[2] for each in names} <= {
        each.partition("--")[2] for each in found
    }
    green = TLP_2_IDS[Tlp.GREEN].encode()
    bodies = [body for each, _, body in region["sg"].versions() if each in names]
    assert bodies
    assert all(green in body for body in bodies)


def test_whole_file_is_for_its_user_only_and_takes_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    with whole(path) as stream:
        stream.write(b"first")
        with pytest.raises(Conflict, match="just being written"), whole(path):
            pass
        assert not path.exists()
    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadRequest, match="is a folder"), whole(tmp_path):
        pass
    # As root a device such as /dev/null would be replaced by a file.
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadRequest, match="is no file"), whole(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_fault_in_writing_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), whole(path) as stream:
        stream.write("half")  # type: ignore[call-overload]
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        "out.json": b"old"
    }


_KILLED = """
import os, signal, sys
from pathlib import Path
from serantau.config import NodeConfig, LimitsSection, NodeSection
from serantau.desk.handout import Handout
from serantau.desk.whole import whole
from serantau.node import Node

home, path = map(Path, sys.argv[1:])
config = NodeConfig(
    home=home, node=NodeSection(member="th"), limits=LimitsSection(page=2)
)

class Stopping:
    def __init__(self, stream):
        self.stream, self.left = stream, 3
    def write(self, text):
        self.stream.write(text)
        self.stream.flush()
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

with Node(config) as node, whole(path) as stream:
    Handout(node, "ann").bundle("sg", Stopping(stream))
"""


@pytest.mark.kill
def test_kill_in_the_middle_leaves_the_old_file_and_what_was_written_in_the_log(
    region: Region, tmp_path: Path, uncovered_environment: dict[str, str]
) -> None:
    site = region["th"]
    region.load("th", [indicator(n) for n in range(9)])
    path = tmp_path / "out.json"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(site.config.home), str(path)],
        env=uncovered_environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == b"old"
    half = (tmp_path / ".out.json.new").read_bytes()
    written = half.count(b'"type":"indicator"')
    assert written > 0
    assert sum(row.count for row in logged(site, "sg")) >= written
    with whole(path) as stream:
        handed = Handout(site.node, ACTOR).bundle("sg", stream)
    assert handed.objects == len(orjson.loads(path.read_bytes())["objects"]) == 9
    assert not (tmp_path / ".out.json.new").exists()


def test_log_has_a_page_before_its_bytes_are_written(region: Region) -> None:
    site = region["th"]
    region.load("th", [indicator(n) for n in range(4)])
    site.node.config = _paged(site, 2)
    seen = []

    class Watching(io.BytesIO):
        def write(self, text: Any) -> int:
            seen.append(
                (bytes(text).count(b'"id":"indicator'), len(logged(site, "sg")))
            )
            return super().write(text)

    Handout(site.node, ACTOR).bundle("sg", Watching())
    assert [rows for count, rows in seen if count] == [1, 2]


def test_own_people_read_without_a_row_and_without_red(region: Region) -> None:
    red = indicator(1, object_marking_refs=[TLP_2_IDS[Tlp.RED]])
    region.load("th", [red, indicator(2)])
    text = hand(region["th"], "misp", "th", Path())
    assert b"host2.example" in text
    assert b"host1.example" not in text
    assert logged(region["th"], "th") == []


def test_all_versions_are_handed_out_where_they_are_asked_for(region: Region) -> None:
    later = indicator(1, modified="2026-01-02T00:00:00.000Z")
    region.load("th", [indicator(1), later])
    asked = replace(Asked(), all_versions=True)
    text = orjson.loads(hand(region["th"], "stix", "sg", Path(), asked=asked))
    assert [one["modified"] for one in text["objects"]] == [MADE, later["modified"]]
