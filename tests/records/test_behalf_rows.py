"""The rows of what is published on behalf, at its origin and at the coordinator."""

from __future__ import annotations

import pytest

from serantau.errors import NotFound
from serantau.records.behalf import REFUSED, WAITING, Given, Held, Taken
from stores import Store


def test_a_parcel_waits_until_its_party_has_it_and_is_not_kept_after(
    store: Store,
) -> None:
    rows = Given()
    with store.db.write() as tx:
        one, two = (
            rows.add(
                tx, hand=name, party="hub", actor="a", sealed=sealed, token="t", how={}
            )
            for name, sealed in (("one", True), ("two", False))
        )
        rows.bind(tx, one, [("a--1", "a--2", "v")])
        rows.bind(tx, one, [("a--1", "a--3", "w")])
        assert rows.next(tx, "hub", sealed=True) is None
        for number in (one, two):
            rows.put(tx, number, b"x", step=1, state=WAITING, how={"tlp": 1})
    with store.db.read() as tx:
        assert rows.next(tx, "other", sealed=True) is None
        (plain, sealed) = (rows.next(tx, "hub", sealed=x) for x in (False, True))
        assert plain is not None
        assert sealed is not None
        assert (plain.hand, sealed.hand) == ("two", "one")
        (link,) = rows.links(tx, original="a--1")
        assert (link.number, link.published, link.version) == (one, "a--3", "w")
        assert rows.links(tx, number=one) == [link]
    with store.db.write() as tx:
        for party, hand, step in (("hub", "two", 7), ("x", "two", 1), ("hub", "", 0)):
            rows.fetched(tx, party, hand, step)
        assert rows.get(tx, two) == plain
        rows.fetched(tx, "hub", "two", 1)
        rows.refused(tx, "hub", ["one", "two", "three"])
    with store.db.read() as tx:
        found = {held.hand: (held.state, held.waits) for held in rows.all(tx)}
        assert found == {"one": (WAITING, True), "two": (REFUSED, False)}
        with pytest.raises(NotFound):
            rows.get(tx, 99)


def test_what_came_is_counted_found_and_written_anew(store: Store) -> None:
    rows = Taken()
    made = Held(0, "one", "t", "2026-01-01", WAITING, 1, b"[]", (), "", "")
    with store.db.write() as tx:
        rows.put(tx, made)
        held = rows.find(tx, "one")
        assert held is not None
        assert rows.get(tx, held.number) == held
        assert (rows.waiting(tx), rows.refused(tx, 9)) == (1, ())
        again = Held(held.number, "one", "t", "d", REFUSED, 2, b"", ("a",), "no", "o")
        rows.put(tx, again)
        assert rows.all(tx) == [again]
        assert (rows.waiting(tx), rows.refused(tx, 9)) == (0, ("one",))
        assert rows.find(tx, "two") is None
        with pytest.raises(NotFound):
            rows.get(tx, 99)
