"""What was refused is kept once, with its reason, until someone decides."""

from typing import Any

import pytest

from serantau.errors import NotFound
from serantau.records.quarantine import Fault, Quarantine
from stores import Store

HELD = Quarantine()


def fault(body: bytes = b"{}", **more: Any) -> Fault:
    return Fault(
        **{
            "body": body,
            "rule": "pattern",
            "place": "/pattern",
            "got": "nonsense",
            "expected": "a pattern",
            "origin": "feed.json, object 17",
            "id": "indicator--1",
            **more,
        }
    )


def hold(store: Store, *faults: Fault, source: str = "file", **how: Any) -> int:
    with store.db.write() as tx:
        return HELD.hold(tx, source, faults, **how)


def test_a_row_keeps_the_bytes_and_the_finding(store: Store) -> None:
    body = b'\xff\x00{"broken": '
    assert hold(store, fault(body), handle_as="TLP:GREEN", boxes=(3, 4)) == 1
    with store.db.read() as tx:
        (listed,) = HELD.list(tx)
        held, kept = HELD.get(tx, listed.number)
    assert held == listed
    assert kept == body
    assert held.size == len(body)
    assert (held.source, held.origin, held.id) == (
        "file",
        "feed.json, object 17",
        "indicator--1",
    )
    assert (held.rule, held.place, held.got, held.expected) == (
        "pattern",
        "/pattern",
        "nonsense",
        "a pattern",
    )
    assert (held.handle_as, held.boxes) == ("TLP:GREEN", (3, 4))
    assert held.at > 0


def test_the_same_bytes_from_the_same_source_are_kept_once(store: Store) -> None:
    assert hold(store, fault(), fault(origin="elsewhere")) == 1
    assert hold(store, fault()) == 0
    assert hold(store, fault(), source="jp") == 1
    with store.db.read() as tx:
        assert HELD.count(tx) == 2


def test_what_was_too_large_to_keep_is_told_apart_by_its_place(store: Store) -> None:
    faults = [fault(b"", origin=f"feed.json, object {n}") for n in (1, 2, 3)]
    assert hold(store, *faults) == 3
    assert hold(store, *faults) == 0


def test_a_hostile_finding_is_kept_readable_and_short(store: Store) -> None:
    odd = fault(
        got="a\x00b\udcff" + "c" * 5000, place="/\x00", id="x\x00", origin="\x00\ud800"
    )
    assert hold(store, odd) == 1
    with store.db.read() as tx:
        (held,) = HELD.list(tx)
    assert held.got.startswith("a\\u0000b?c")
    assert len(held.got) == 2000
    assert "\x00" not in held.place + held.id + held.origin


def test_a_list_goes_on_where_it_ended_and_by_source(store: Store) -> None:
    hold(store, *(fault(b"%d" % n) for n in range(5)))
    hold(store, fault(), source="jp")
    with store.db.read() as tx:
        first = HELD.list(tx, limit=4)
        rest = HELD.list(tx, after=first[-1].number)
        assert [held.number for held in first + rest] == sorted(
            held.number for held in first + rest
        )
        assert len(first + rest) == 6
        assert [held.source for held in HELD.list(tx, source="jp")] == ["jp"]


def test_what_is_dropped_is_gone_and_cannot_be_dropped_again(store: Store) -> None:
    hold(store, fault())
    with store.db.write() as tx:
        (held,) = HELD.list(tx)
        HELD.drop(tx, held.number)
        assert HELD.count(tx) == 0
        with pytest.raises(NotFound, match=str(held.number)):
            HELD.drop(tx, held.number)
        with pytest.raises(NotFound, match="quarantine"):
            HELD.get(tx, held.number)
    assert hold(store, fault()) == 1
