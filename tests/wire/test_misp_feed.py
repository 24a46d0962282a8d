"""MISP feeds: written whole, read only where changed, and no name is trusted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from serantau.errors import BadInput, NotFound, TooLarge
from serantau.wire import misp_feed
from serantau.wire.misp_feed import FeedEvent, read, write

ORG = {"name": "ThaiCERT", "uuid": "55f6ea5e-51ac-4344-bc8c-4170950d210f", "id": "1"}


def uuid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def event(number: int, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "77",
        "uuid": uuid(number),
        "info": f"Event {number}",
        "date": "2026-01-01",
        "timestamp": str(1_700_000_000 + number),
        "analysis": "2",
        "threat_level_id": "4",
        "Orgc": ORG,
        "Org": ORG,
        "Tag": [{"name": "tlp:green", "colour": "#fff"}],
        "Attribute": [{"type": "ip-dst|port", "value": "198.51.100.7|443"}],
        "Object": [{"name": "x", "Attribute": [{"type": "md5", "value": "ab"}]}],
    }
    return {"Event": {**made, **more}}


def test_a_feed_that_was_written_is_read_again(tmp_path: Path) -> None:
    assert write(tmp_path, [event(2), event(1)]) == [uuid(2), uuid(1)]
    first, second = read(tmp_path)
    assert (first.uuid, first.stamp, first.fault) == (uuid(1), 1_700_000_001, "")
    assert second.event is not None
    assert second.event["Attribute"] == event(2)["Event"]["Attribute"]


def test_manifest_and_hashes_are_as_misp_reads_them(tmp_path: Path) -> None:
    write(tmp_path, [event(1)])
    manifest = orjson.loads((tmp_path / "manifest.json").read_bytes())
    assert manifest == {
        uuid(1): {
            "info": "Event 1",
            "date": "2026-01-01",
            "analysis": "2",
            "threat_level_id": "4",
            "timestamp": 1_700_000_001,
            "Orgc": {"name": "ThaiCERT", "uuid": ORG["uuid"]},
            "Tag": [{"name": "tlp:green"}],
        }
    }
    lines = (tmp_path / "hashes.csv").read_text().splitlines()
    md5 = [hashlib.md5(v.encode()).hexdigest() for v in ("198.51.100.7", "443", "ab")]  # noqa: S324 - the format's
    assert lines == [f"{each},{uuid(1)}" for each in md5]


def test_what_belongs_to_one_instance_stays_behind(tmp_path: Path) -> None:
    write(tmp_path, [event(1)])
    inner = orjson.loads((tmp_path / f"{uuid(1)}.json").read_bytes())["Event"]
    assert "id" not in inner
    assert "Org" not in inner
    assert inner["Orgc"] == {"name": "ThaiCERT", "uuid": ORG["uuid"]}


def test_an_event_that_is_given_no_more_is_gone(tmp_path: Path) -> None:
    write(tmp_path, [event(1), event(2)])
    (tmp_path / "notes.json").write_text("{}")
    write(tmp_path, [event(2)])
    assert {path.name for path in tmp_path.iterdir()} == {
        "manifest.json",
        "hashes.csv",
        "notes.json",
        f"{uuid(2)}.json",
    }


def test_only_what_changed_is_read(tmp_path: Path) -> None:
    write(tmp_path, [event(1), event(2)])
    known = {each.uuid: each.stamp for each in read(tmp_path)}
    assert list(read(tmp_path, known)) == []
    write(tmp_path, [event(1), event(2, timestamp="1800000000")])
    assert [each.uuid for each in read(tmp_path, known)] == [uuid(2)]


def test_a_feed_is_read_through_a_function_that_fetches(tmp_path: Path) -> None:
    write(tmp_path, [event(1)])
    asked = []

    def fetch(name: str) -> bytes:
        asked.append(name)
        return (tmp_path / name).read_bytes()

    (found,) = read(fetch)
    assert found.event is not None
    assert asked == ["manifest.json", f"{uuid(1)}.json"]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "", f"{uuid(1)}/../x", "a" * 500]
)
def test_a_name_that_is_no_uuid_is_never_fetched(name: str) -> None:
    asked = []

    def fetch(wanted: str) -> bytes:
        asked.append(wanted)
        return orjson.dumps({name: {"timestamp": 1_700_000_000}})

    (found,) = read(fetch)
    assert found.event is None
    assert "refused" in found.fault
    assert asked == ["manifest.json"]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    feed = tmp_path / "feed"
    write(feed, [event(1)])
    secret = tmp_path / "secret.json"
    secret.write_bytes(orjson.dumps(event(1)))
    (feed / f"{uuid(1)}.json").unlink()
    (feed / f"{uuid(1)}.json").symlink_to(secret)
    (found,) = read(feed)
    assert "leads out" in found.fault


def faulty(manifest: Any, **files: bytes) -> list[FeedEvent]:
    def fetch(name: str) -> bytes:
        if name == "manifest.json":
            return manifest if isinstance(manifest, bytes) else orjson.dumps(manifest)
        if name not in files:
            raise NotFound(f"{name} is not there.")
        return files[name]

    return list(read(fetch))


def test_one_broken_event_stops_no_other() -> None:
    lines = {uuid(n): {"timestamp": n} for n in range(1, 6)}
    found = faulty(
        lines,
        **{
            f"{uuid(1)}.json": b"{",
            f"{uuid(2)}.json": orjson.dumps(event(9)),
            f"{uuid(3)}.json": orjson.dumps([event(3), event(3)]),
            f"{uuid(5)}.json": orjson.dumps(event(5)),
        },
    )
    said = {each.uuid: each.fault for each in found}
    assert "is not JSON" in said[uuid(1)]
    assert f"is the event {uuid(9)}" in said[uuid(2)]
    assert "holds 2 events" in said[uuid(3)]
    assert "is not there" in said[uuid(4)]
    assert said[uuid(5)] == ""


@pytest.mark.parametrize("line", [{}, {"timestamp": "soon"}, None, 7])
def test_a_line_without_a_time_is_said(line: object) -> None:
    (found,) = faulty({uuid(1): line})
    assert found.fault == "the manifest gives no time for it"


@pytest.mark.parametrize(("raw", "said"), [(b"<html>", "not JSON"), (b"[]", "a list")])
def test_what_is_no_manifest_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        faulty(raw)


def test_a_folder_without_a_manifest_is_no_feed(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"manifest\.json is not in"):
        list(read(tmp_path))


def test_a_file_over_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [event(1)])
    monkeypatch.setattr(misp_feed, "FILE_BYTES", 10)
    with pytest.raises(TooLarge):
        list(read(tmp_path))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"uuid": "../x"}, "uuid"),
        ({"timestamp": "soon"}, "timestamp"),
        ({"Orgc": None}, "Orgc"),
    ],
)
def test_an_event_that_is_not_whole_goes_into_no_feed(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        write(tmp_path, [event(1, **more)])
    assert not (tmp_path / "manifest.json").exists()


def test_a_feed_takes_each_uuid_once_and_only_objects(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the uuid of another"):
        write(tmp_path, [event(1), event(1)])
    with pytest.raises(BadInput, match="a list, expected an object"):
        write(tmp_path, [{"Event": []}])
