"""All the real MISP events: in, checked, out again, with nothing unaccounted for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from serantau.rules.stix import Limits, Reader
from serantau.wire.misp import Converted, events, to_stix
from serantau.wire.misp_feed import read, write
from serantau.wire.misp_out import to_misp_event
from serantau.wire.misp_values import read_moment
from serantau.wire.schemas import load_schemas

ORG = "97821762-a783-405e-9e47-7e0a24e1d0f1"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Limits(), load_schemas())


Both = tuple[dict[str, Any], Converted]


@pytest.fixture(scope="module")
def converted(reader: Reader) -> dict[str, Both]:
    return {}


def each_event(corpora: Path, done: dict[str, Both], reader: Reader) -> list[Both]:
    if not done:
        for path in sorted((corpora / "misp").glob("*.json")):
            for event in events(path.read_bytes(), origin=path.name):
                done[path.name] = (event, to_stix(event, reader))
    assert len(done) == 27
    return list(done.values())


def attributes(event: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [each for one in event.get("Object", ()) for each in one["Attribute"]]
    return [*event.get("Attribute", ()), *inner]


def test_every_attribute_of_every_event_is_accounted_for(
    corpora: Path, converted: dict[str, Both], reader: Reader
) -> None:
    for event, made in each_event(corpora, converted, reader):
        fates = {each.uuid: each for each in made.fates if each.kind == "attribute"}
        by_id = {orjson.loads(one)["id"]: one for one in made.objects}
        assert len(by_id) == len(made.objects)
        for each in attributes(event):
            fate = fates.pop(each["uuid"])
            assert fate.outcome == "converted" or "TLP:AMBER+STRICT" in fate.reason
            assert fate.ids
            carried = b"".join(by_id[one] for one in fate.ids)
            pieces = [each["value"], *each["value"].split("|")]
            assert read_moment(each["value"]) is not None or any(
                orjson.dumps(piece)[1:-1].replace(b"\\\\", b"\\")
                in carried.replace(b"\\\\\\\\", b"\\").replace(b"\\\\", b"\\")
                for piece in pieces
            ), fate
        assert not fates


def test_every_object_passes_the_nodes_own_check(
    corpora: Path, converted: dict[str, Both], reader: Reader
) -> None:
    for _, made in each_event(corpora, converted, reader):
        for raw in made.objects:
            reader.read(raw)


def test_only_a_persons_address_is_lost(
    corpora: Path, converted: dict[str, Both], reader: Reader
) -> None:
    lost = Counter(
        fate.kind
        for _, made in each_event(corpora, converted, reader)
        for fate in made.fates
        if fate.outcome == "lost"
    )
    assert lost == {"event_creator_email": 27}


def test_the_big_event_is_the_same_every_time(
    corpora: Path, converted: dict[str, Both], reader: Reader
) -> None:
    each_event(corpora, converted, reader)
    for name in ("misp-badiis.json", "misp-moustachedbouncer.event.json"):
        event, made = converted[name]
        assert to_stix(event, reader).objects == made.objects


def test_every_value_goes_to_stix_and_back(
    corpora: Path, converted: dict[str, Both], reader: Reader, tmp_path: Path
) -> None:
    def told(event: dict[str, Any]) -> Counter[tuple[object, ...]]:
        def instant(value: str) -> object:
            # A time comes back as the same instant, written otherwise.
            at = read_moment(value)
            return value if at is None else at

        whole: Counter[tuple[object, ...]] = Counter(
            (
                *(one["uuid"], one["type"], one["value"]),
                *(bool(one["to_ids"]), one.get("comment", "")),
            )
            for one in event.get("Attribute", ())
        )
        inner: Counter[tuple[object, ...]] = Counter(
            (one["uuid"], each["object_relation"], instant(each["value"]))
            for one in event.get("Object", ())
            for each in one["Attribute"]
        )
        return whole + inner

    sent = []
    for event, made in each_event(corpora, converted, reader):
        out = to_misp_event(made.objects, organisation="x", organisation_uuid=ORG)
        back = out.event["Event"]
        assert told(back) == told(event)
        assert not out.losses
        assert back["info"] == event["info"]
        assert back["Orgc"]["name"] == event["Orgc"]["name"]
        sent.append(out.event)
    assert len(write(tmp_path, sent)) == 27
    assert all(not each.fault for each in read(tmp_path))
