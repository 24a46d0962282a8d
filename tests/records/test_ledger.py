"""The release log names exactly what went out, to whom, and why, and finds it again."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serantau.records.ledger import Released, pack, unpack
from serantau.records.views import Asked, Saved
from serantau.rules.marking import Tlp, make_audience
from serantau.rules.party import Kind
from stores import AMBER, CLEAR, GREEN, RED, Store, indicator, later

STAMPS = st.sets(
    st.one_of(st.integers(0, 300), st.integers(0, 2**62)), min_size=1, max_size=60
)


@given(stamps=STAMPS)
def test_what_is_packed_is_unpacked_as_ascending_runs(stamps: set[int]) -> None:
    runs = list(unpack(pack(sorted(stamps))))
    assert [n for first, last in runs for n in range(first, last + 1)] == sorted(stamps)
    for (_, last), (first, _) in pairwise(runs):
        assert first > last + 1


def test_a_page_of_neighbours_takes_a_few_bytes() -> None:
    start = 1_790_000_000_000_000
    assert len(pack(range(start, start + 1000))) <= 12
    assert pack([]) == b""


def test_a_page_with_every_fourth_missing_takes_little_more() -> None:
    start = 1_790_000_000_000_000
    stamps = [start + n for n in range(1000) if n % 4]
    assert len(pack(stamps)) < 100
    assert [n for a, b in unpack(pack(stamps)) for n in range(a, b + 1)] == stamps


def test_a_long_gap_among_neighbours_is_packed_too() -> None:
    stamps = [*range(0, 60, 2), *range(400, 460, 2)]
    assert [n for a, b in unpack(pack(stamps)) for n in range(a, b + 1)] == stamps


def test_stamps_in_any_order_and_twice_are_logged_once(store: Store) -> None:
    number = record(store, "sg", [5, 7, 6, 5, 12])
    with store.db.read() as tx:
        assert store.ledger.stamps_of(tx, number) == [(5, 7), (12, 12)]
        count = "SELECT count FROM ledger.release WHERE n = :n"
        assert tx.value(count, n=number) == 4


def record(store: Store, party: str, stamps: list[int], **more: Any) -> int:
    """Log a release and give its number."""
    with store.db.read() as tx:
        store.ledger.record(
            tx,
            party=store.registry.party(tx, party)[0],
            stamps=stamps,
            epoch=tx.epoch(),
            **{
                "actor": "desk",
                "way": "taxii",
                "collection": 0,
                "request": "",
                **more,
            },
        )
    with store.db.read() as tx:
        return int(tx.value("SELECT max(n) FROM ledger.release"))


def told(store: Store, object_id: str, version: int = -1) -> list[Released]:
    with store.db.read() as tx:
        found = store.search.versions(tx, object_id)[version]
        return store.ledger.of_object(tx, found.added, found.marking_set)


def released(store: Store, party: str, **asked: Any) -> list[str]:
    """Read a page as the way out does, log it, and give the ids on it."""
    page = store.page(party, **asked)
    assert page.count
    record(store, party, list(page.objects))
    return [one["id"] for one in orjson.loads(b"[" + page.bodies + b"]")]


def logged_ids(store: Store, number: int) -> set[str]:
    with store.db.read() as tx:
        runs = store.ledger.stamps_of(tx, number)
        stamps = [n for first, last in runs for n in range(first, last + 1)]
        assert len(store.search.at(tx, stamps)) == len(stamps)
        return {one.id for one in store.search.at(tx, stamps)}


def test_a_row_names_exactly_what_was_on_the_page(store: Store) -> None:
    marks = (GREEN, RED, GREEN, AMBER)
    store.admit(*(indicator(str(n), marks[n % 4]) for n in range(24)))
    for asked in ({"limit": 5}, {"limit": 100}, {"types": ("indicator",), "limit": 3}):
        ids = released(store, "vn", **asked)
        with store.db.read() as tx:
            number = tx.value("SELECT max(n) FROM ledger.release")
        assert logged_ids(store, number) == set(ids)


@given(chosen=st.sets(st.integers(0, 11), min_size=1))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_release_of_an_object_is_found_and_no_other(
    store: Store, chosen: set[int]
) -> None:
    with store.db.read() as tx:
        have = tx.value("SELECT count(*) FROM object")
    if not have:
        for number in range(12):
            # Far apart and close together, so that rows have every kind of span.
            store.db.clock.advance(seconds=10.0 ** (number % 6))  # type: ignore[attr-defined]
            store.admit(indicator(str(number), GREEN))
    everything = store.seen("vn")
    ids = tuple(everything[n]["id"] for n in chosen)
    with store.db.read() as tx:
        before = int(tx.value("SELECT coalesce(max(n), 0) FROM ledger.release"))
    assert set(released(store, "vn", ids=ids)) == set(ids)
    for one in everything:
        numbers = [row.number for row in told(store, one["id"])]
        assert (before + 1 in numbers) == (one["id"] in ids)


def test_what_was_entered_anew_is_logged_by_its_own_stamp(store: Store) -> None:
    old, new = indicator("old", GREEN), indicator("new", GREEN)
    store.admit(old)
    store.put("vn", Kind.MEMBER, blocked=True)
    store.put("vn", Kind.MEMBER, blocked=False)
    store.admit(new)
    assert released(store, "vn") == [old["id"], new["id"]]
    for one in (old, new):
        (row,) = told(store, one["id"])
        assert (row.party, row.way, row.actor, row.count) == ("vn", "taxii", "desk", 2)
        assert row.rule == "green-to-community"


def test_a_verdict_is_told_also_after_the_object_was_narrowed(store: Store) -> None:
    one = indicator("x", GREEN)
    store.admit(one)
    released(store, "vn")
    store.admit(later(one, 2, AMBER))
    store.admit(later(one, 3, RED))
    (row,) = told(store, one["id"], 0)
    assert (row.rule, row.got) == ("green-to-community", "TLP:GREEN")
    assert told(store, one["id"], 1) == []


def test_a_verdict_between_two_narrowings_is_told(store: Store) -> None:
    one = indicator("x", CLEAR)
    audience = make_audience(named=["vn"])
    store.admit(audience)
    store.admit(one, later(one, 2, GREEN, audience["id"]))
    released(store, "vn", all_versions=True)
    store.admit(later(one, 3, RED))
    with store.db.read() as tx:
        first = store.search.versions(tx, one["id"])[0]
        joined = store.audiences.set_of(tx, first.marking_set)
        content = orjson.loads(tx.value("SELECT content FROM ledger.grant_view"))
    assert len(joined.each()) == 3
    (between,) = (key for key in content if '"parts"' in key)
    (row,) = told(store, one["id"], 0)
    assert [row.rule, row.got, row.expected] == content[between]


def test_a_release_under_verdicts_that_are_not_the_present_ones_keeps_its_own(
    store: Store,
) -> None:
    one = indicator("x", GREEN)
    store.admit(one)
    released(store, "vn")
    store.put("vn", Kind.MEMBER, blocked=True)
    (row,) = told(store, one["id"])
    assert row.rule == "green-to-community"
    with store.db.read() as tx:
        number = store.registry.party(tx, "vn")[0]
        (content,) = (
            orjson.loads(grant.content)
            for grant in tx.rows(
                "SELECT content FROM ledger.grant_view WHERE party = :n", n=number
            )
        )
        assert store.audiences.grant(tx, number)[0] == "{}"
    assert [verdict[0] for verdict in content.values()] == ["green-to-community"]


def test_one_grant_stands_for_all_pages_under_the_same_verdicts(store: Store) -> None:
    store.admit(indicator("x", GREEN))
    for _ in range(3):
        released(store, "vn")
        released(store, "jp")
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.grant_view") == 2
    store.admit(indicator("y"), handled=Tlp.CLEAR)
    released(store, "vn")
    with store.db.read() as tx:
        assert tx.value("SELECT count(*) FROM ledger.grant_view") == 3


def test_what_went_to_one_party_is_told_in_order(store: Store) -> None:
    store.admit(indicator("x", GREEN))
    for party in ("vn", "jp", "vn"):
        released(store, party)
    with store.db.read() as tx:
        number = store.registry.party(tx, "vn")[0]
        rows = store.ledger.of_party(tx, number)
        assert [row.party for row in rows] == ["vn", "vn"]
        assert store.ledger.of_party(tx, number, since=rows[1].at) == rows[1:]
        assert store.ledger.of_party(tx, number, limit=1) == rows[:1]
        assert store.ledger.stamps_of(tx, 10**6) == []


def test_a_name_in_a_question_that_no_database_takes_is_logged(store: Store) -> None:
    store.admit(indicator("x", GREEN))
    number = record(store, "vn", [1], request="/objects/\x00?é")
    with store.db.read() as tx:
        assert (
            tx.value("SELECT request FROM ledger.release WHERE n = :n", n=number)
            == "/objects/%00?é"
        )


def test_a_party_that_is_gone_and_a_collection_are_told_by_what_is_known(
    store: Store,
) -> None:
    one = indicator("x", GREEN)
    store.admit(one)
    with store.db.write() as tx:
        number = store.registry.put_collection(tx, "all", "All").number
    record(store, "jp", told_stamps(store), collection=number)
    with store.db.write() as tx:
        tx.run("DELETE FROM party WHERE name = 'jp'")
    (row,) = told(store, one["id"])
    assert (row.party, row.collection) == ("(a party since removed)", "all")


def told_stamps(store: Store) -> list[int]:
    with store.db.read() as tx:
        rows = tx.rows("SELECT added FROM object ORDER BY added")
        return [int(row.added) for row in rows]


def test_an_object_shown_twice_on_a_page_is_logged_and_found(store: Store) -> None:
    one, other = indicator("x", GREEN), indicator("between", RED)
    store.admit(one, other, indicator("y", GREEN))
    first, _, last = told_stamps(store)
    record(store, "vn", [last, first, first])
    assert len(told(store, one["id"])) == 1
    assert told(store, other["id"]) == []


@pytest.mark.parametrize("wide", [0, 1, 5, 31, 32, 33, 48, 61])
def test_a_row_is_found_at_both_of_its_ends_and_not_beside_them(
    store: Store, wide: int
) -> None:
    low = 2**61
    high = low + 2**wide
    record(store, "vn", [low, high])
    with store.db.read() as tx:
        for stamp, found in ((low, 1), (high, 1), (low - 1, 0), (high + 1, 0)):
            assert len(store.ledger.of_object(tx, stamp, 0)) == found


def test_views_are_read_with_the_same_question_as_pages(store: Store) -> None:
    store.admit(*(indicator(str(n), (GREEN, RED)[n % 2]) for n in range(9)))
    with store.db.read() as tx:
        view = store.views.view(tx, store.registry.party(tx, "vn")[0], Saved())
        lines, more = store.views.lines(tx, view, Asked(limit=3))
    assert more
    page = store.page("vn", limit=3)
    assert [line.object for line in lines] == list(page.objects)
