"""A party sees exactly its release, page by page, whatever happens meanwhile."""

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serantau.records.registry import Query
from serantau.records.views import Asked, Saved
from serantau.rules.marking import make_audience
from serantau.rules.party import Kind, Party
from stores import AMBER, CLEAR, GREEN, RED, Store, indicator, later


def test_each_party_sees_what_its_verdicts_release(store: Store) -> None:
    clear, green = indicator("clear", CLEAR), indicator("green", GREEN)
    amber, red, plain = indicator("amber", AMBER), indicator("red", RED), indicator()
    store.admit(clear, green, amber, red, plain)
    assert store.ids("vn") == [clear["id"], green["id"]]
    assert store.ids("jp") == [clear["id"], green["id"]]
    assert store.ids("public") == [clear["id"]]
    assert store.ids("th") == [clear["id"], green["id"], amber["id"], plain["id"]]


def test_bodies_are_served_as_they_came(store: Store) -> None:
    made = indicator("ข้อมูล", GREEN, x_number=1.50)
    store.admit(made)
    assert store.page("vn").bodies == orjson.dumps(made)


def test_pages_join_to_the_whole_at_any_size(store: Store) -> None:
    made = [indicator(str(n), (CLEAR, GREEN, AMBER)[n % 3]) for n in range(25)]
    store.admit(*made)
    expected = [one["id"] for one in made if AMBER not in one["object_marking_refs"]]
    for size in (1, 2, 7, 17, 100):
        assert store.ids("vn", limit=size) == expected


def test_a_full_last_page_says_that_there_is_no_more(store: Store) -> None:
    store.admit(*(indicator("x", GREEN) for _ in range(4)))
    assert not store.page("vn", limit=4).more
    assert store.page("vn", limit=3).more


def test_the_same_place_gives_the_same_page_again(store: Store) -> None:
    store.admit(*(indicator("x", GREEN) for _ in range(9)))
    first = store.page("vn", limit=3)
    second = store.page("vn", limit=3, after=first.last)
    store.admit(indicator("y", GREEN))
    assert store.page("vn", limit=3, after=first.last) == second


def test_only_the_newest_version_is_seen_unless_others_are_asked_for(
    store: Store,
) -> None:
    one = indicator("v", GREEN)
    two, three = later(one, 2), later(one, 3)
    store.admit(one, two)
    store.admit(three)

    def days(**asked: Any) -> list[str]:
        return [seen["modified"][8:10] for seen in store.seen("vn", **asked)]

    assert days() == ["03"]
    assert days(all_versions=True) == ["01", "02", "03"]
    assert days(first=True, last=False) == ["01"]
    assert days(first=True) == ["01", "03"]
    at = [read_day(store, one["id"], day) for day in (2, 3)]
    assert days(last=False, at=(at[0],)) == ["02"]
    assert days(at=(at[0],)) == ["02", "03"]
    assert days(ids=(one["id"],), last=False, at=(at[0],)) == ["02"]
    assert days(ids=(one["id"],), all_versions=True) == ["01", "02", "03"]


def test_a_long_run_of_later_versions_is_not_walked_by_one_page(store: Store) -> None:
    old = [indicator(f"old {n}", GREEN) for n in range(3)]
    store.admit(*old)
    store.admit(*(later(one, day) for day in range(2, 29) for one in old))
    new = [indicator(f"new {n}", AMBER if n % 2 else GREEN) for n in range(4)]
    store.admit(*new)
    held = [one["id"] for one in (*old, *new) if one not in new[1::2]]
    for limit in (1, 2, 100):
        assert store.ids("vn", first=True, last=False, limit=limit) == held
    assert {one["modified"][8:10] for one in store.seen("vn", first=True, limit=2)} == {
        "01",
        "28",
    }
    after = store.page("vn", first=True, last=False, limit=3).last
    empty = store.page("vn", first=True, last=False, limit=1, after=after)
    assert (empty.count, empty.more) == (0, True)
    # As many rows of a range are looked at as objects are wanted.
    with store.db.read() as tx:
        view = store.views.view(tx, store.registry.party(tx, "vn")[0], Saved())
        asked = Asked(after=after, first=True, last=False, limit=1)
        assert store.views.lines(tx, view, asked) == ([], empty.after)
        stamps = tx.rows(
            "SELECT added FROM object WHERE added > :after ORDER BY added", after=after
        )
    assert [row.added for row in stamps].index(empty.after) == 1


def read_day(store: Store, object_id: str, day: int) -> int:
    with store.db.read() as tx:
        found = store.search.versions(tx, object_id)[day - 1]
        return int(
            tx.value("SELECT modified FROM object WHERE added = :at", at=found.added)
        )


def test_versions_that_arrive_late_do_not_displace_the_newest(store: Store) -> None:
    one = indicator("v", GREEN)
    store.admit(later(one, 3))
    store.admit(one)
    store.admit(later(one, 2))
    assert [seen["modified"][8:10] for seen in store.seen("vn")] == ["03"]


def test_types_and_ids_are_anded_and_their_members_ored(store: Store) -> None:
    made = indicator("x", GREEN)
    rel = {
        "type": "relationship",
        "spec_version": "2.1",
        "id": "relationship--aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
        "created": made["created"],
        "modified": made["created"],
        "relationship_type": "related-to",
        "source_ref": made["id"],
        "target_ref": made["id"],
        "object_marking_refs": [GREEN],
    }
    store.admit(made, rel)
    assert store.ids("vn", types=("indicator",)) == [made["id"]]
    assert store.ids("vn", types=("indicator", "relationship")) == [
        made["id"],
        rel["id"],
    ]
    assert store.ids("vn", types=("relationship",), ids=(made["id"],)) == []
    assert store.ids("vn", ids=(made["id"], str(rel["id"]))) == [made["id"], rel["id"]]
    assert store.ids("vn", types=("malware",)) == []
    assert store.ids("vn", Saved(types=("relationship",))) == [rel["id"]]
    assert store.ids("vn", Saved(types=("relationship",)), types=("indicator",)) == []


def test_a_later_narrowing_holds_for_earlier_versions(store: Store) -> None:
    one = indicator("v", GREEN)
    store.admit(one)
    store.admit(later(one, 2, RED))
    assert store.ids("vn", all_versions=True) == []
    store.admit(later(one, 3, GREEN))
    seen = store.seen("vn", all_versions=True)
    assert [each["modified"][8:10] for each in seen] == ["03"]


def test_what_was_narrower_first_is_not_freed_by_a_later_widening(store: Store) -> None:
    one = indicator("v", RED)
    store.admit(one, later(one, 2, GREEN))
    seen = store.seen("vn", all_versions=True)
    assert [each["modified"][8:10] for each in seen] == ["02"]
    assert [each["modified"][8:10] for each in store.seen("vn", first=True)] == ["02"]


VERSIONS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(1, 9),
        st.sampled_from([CLEAR, GREEN, AMBER, RED]),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


@given(steps=VERSIONS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_first_version_is_the_earliest_that_a_party_sees(
    store: Store, steps: list[tuple[int, int, str, bool]]
) -> None:
    """Whatever comes late, is marked otherwise, or is taken out again."""
    store.put("vn", Kind.MEMBER)
    with store.db.write() as tx:
        for row in tx.rows("SELECT DISTINCT id FROM object"):
            store.objects.delete(tx, row.id)
    bases = [indicator(f"base {n}") for n in range(3)]
    for number, day, mark, gone in steps:
        version = later(bases[number], day, mark)
        if not gone:
            store.admit(version)
            continue
        with store.db.write() as tx:
            held = tx.rows(
                "SELECT added FROM object WHERE id = :id AND version = :version",
                id=version["id"],
                version=version["modified"],
            )
            stamps = [row.added for row in held]
            if stamps:
                store.objects.delete(tx, version["id"], stamps=stamps)
    for party in ("vn", "th", "public"):
        first: dict[str, str] = {}
        for one in store.seen(party, all_versions=True):
            known = first.setdefault(one["id"], one["modified"])
            first[one["id"]] = min(known, one["modified"])
        found = store.seen(party, first=True, last=False)
        # What a deletion may have freed comes again, so that no cursor passes it by.
        assert {(one["id"], one["modified"]) for one in found} == set(first.items())
    with store.db.read() as tx:
        noted = tx.rows(
            "SELECT o.prior, (SELECT count(*) FROM object p WHERE p.key = o.key "
            "AND p.modified < o.modified) AS earlier, (SELECT count(*) FROM object p "
            "WHERE p.key = o.key AND p.modified < o.modified "
            "AND p.slot / 2 = o.slot / 2) AS same FROM object o"
        )
    for row in noted:
        assert row.prior == (1 if row.same else 2 if row.earlier else 0)


def test_a_lifted_block_brings_everything_past_the_cursor(store: Store) -> None:
    made = [indicator(str(n), GREEN) for n in range(5)]
    store.admit(*made[:2])
    store.put("vn", Kind.MEMBER, blocked=True)
    assert store.ids("vn") == []
    store.admit(*made[2:4])
    cursor = store.page("jp").last
    store.put("vn", Kind.MEMBER, blocked=False)
    store.admit(made[4])
    assert store.ids("vn", after=cursor) == [one["id"] for one in made]
    assert store.ids("vn", limit=2) == [one["id"] for one in made]
    assert store.ids("jp") == [one["id"] for one in made]


def test_blocking_twice_and_lifting_twice_shows_everything_once(store: Store) -> None:
    made = [indicator(str(n), GREEN) for n in range(3)]
    store.admit(*made)
    for _ in range(2):
        store.put("vn", Kind.MEMBER, blocked=True)
        assert store.ids("vn", all_versions=True) == []
        store.put("vn", Kind.MEMBER, blocked=False)
    assert sorted(store.ids("vn")) == sorted(one["id"] for one in made)


def test_a_new_party_sees_all_history_it_may_have(store: Store) -> None:
    made = indicator("old", GREEN)
    store.admit(made, indicator("amber", AMBER))
    store.put("la", Kind.MEMBER)
    assert store.ids("la") == [made["id"]]


def test_a_marking_definition_that_arrives_late_opens_what_it_marks(
    store: Store,
) -> None:
    audience = make_audience(named=["vn"])
    made = indicator("for vn", AMBER, audience["id"])
    store.admit(made)
    assert store.ids("vn") == []
    cursor = store.page("th").last
    store.admit(audience)
    assert made["id"] in store.ids("vn", after=cursor)
    assert store.ids("jp") == []


def test_a_new_member_of_a_circle_gets_what_the_circle_got(store: Store) -> None:
    with store.db.write() as tx:
        circle = store.registry.put_circle(tx, "banks", ["vn"])
    audience = make_audience(circles=[circle.id])
    made = indicator("for the circle", AMBER, audience["id"])
    store.admit(audience, made)
    assert made["id"] in store.ids("vn")
    assert store.ids("jp") == []
    cursor = store.page("th").last
    with store.db.write() as tx:
        store.registry.put_circle(tx, "banks", ["vn", "jp"])
    assert made["id"] in store.ids("jp", after=cursor)
    assert store.ids("vn", after=cursor) == []
    with store.db.write() as tx:
        store.registry.put_circle(tx, "banks", ["jp"])
    assert store.ids("vn") == []
    assert made["id"] in store.ids("jp")


def box(store: Store) -> int:
    with store.db.write() as tx:
        return store.registry.put_collection(tx, "inbox", "Inbox", box=True).number


def test_a_box_holds_what_was_put_into_it_and_nothing_else(store: Store) -> None:
    number = box(store)
    outside, inside = indicator("outside", GREEN), indicator("inside", GREEN)
    store.admit(outside)
    store.admit(inside, indicator("red", RED), box=number)
    assert store.ids("vn", Saved(box=number)) == [inside["id"]]
    assert store.ids("vn") == [outside["id"], inside["id"]]
    store.admit(outside, box=number)
    assert store.ids("vn", Saved(box=number)) == [inside["id"], outside["id"]]
    assert store.ids("vn", Saved(box=number), ids=(outside["id"],)) == [outside["id"]]


def test_a_new_version_follows_its_object_into_the_box(store: Store) -> None:
    number = box(store)
    one = indicator("x", GREEN)
    store.admit(one, box=number)
    store.admit(later(one, 2))
    seen = store.seen("vn", Saved(box=number))
    assert [each["modified"][8:10] for each in seen] == ["02"]


def test_a_lifted_block_reopens_boxes_too(store: Store) -> None:
    number = box(store)
    made = indicator("x", GREEN)
    store.put("vn", Kind.MEMBER, blocked=True)
    store.admit(made, box=number)
    cursor = store.page("th", Saved(box=number)).last
    store.put("vn", Kind.MEMBER, blocked=False)
    assert store.ids("vn", Saved(box=number), after=cursor) == [made["id"]]
    assert store.ids("vn", Saved(box=number)) == [made["id"]]


def test_what_is_deleted_is_seen_by_nobody(store: Store) -> None:
    number = box(store)
    one = indicator("x", GREEN)
    store.admit(one, later(one, 2), box=number)
    with store.db.write() as tx:
        assert store.objects.delete(tx, one["id"], box=number) == 2
    assert store.ids("vn", Saved(box=number)) == []
    # It came by hand, not through the box, so the node keeps it.
    assert store.ids("vn") == [one["id"]]
    with store.db.write() as tx:
        assert store.objects.delete(tx, one["id"]) == 2
    assert store.ids("th", all_versions=True) == []
    assert store.search_ids(one["name"]) == []


def test_when_the_newest_version_is_deleted_the_one_before_is_the_newest(
    store: Store,
) -> None:
    one = indicator("x", GREEN)
    store.admit(one, later(one, 2))
    with store.db.read() as tx:
        second = tx.value("SELECT max(added) FROM object")
    with store.db.write() as tx:
        assert store.objects.delete(tx, one["id"], stamps=(second,)) == 1
    assert [each["modified"][8:10] for each in store.seen("vn")] == ["01"]


def test_levels_of_a_saved_query_leave_out_what_is_above(store: Store) -> None:
    clear = indicator("clear", CLEAR)
    store.admit(clear, indicator("green", GREEN))
    with store.db.write() as tx:
        open_ = store.registry.put_collection(
            tx, "open", "Open", query=Query(up_to="TLP:CLEAR")
        )
        saved = store.registry.saved(tx, open_)
    assert store.ids("vn", saved) == [clear["id"]]


def test_hundreds_of_marking_sets_still_make_one_view(store: Store) -> None:
    audiences = [make_audience(named=["vn", f"x{n}"]) for n in range(450)]
    made = [indicator(str(n), GREEN, one["id"]) for n, one in enumerate(audiences)]
    store.admit(*audiences)
    store.admit(*made)
    assert set(store.ids("vn", limit=100)) >= {one["id"] for one in made}


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("admit"),
            st.integers(0, 3),
            st.integers(1, 5),
            st.sampled_from([CLEAR, GREEN, AMBER, RED]),
        ),
        st.tuples(st.just("block"), st.booleans()),
        st.tuples(st.just("read")),
    ),
    min_size=3,
    max_size=15,
)


@given(operations=OPERATIONS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_cursor_ends_with_exactly_what_a_full_read_shows(
    store: Store, operations: list[tuple[Any, ...]]
) -> None:
    """Whatever happens, polling by cursor misses nothing that stays visible."""
    with store.db.write() as tx:
        store.registry.put_party(tx, Party(name="vn", kind=Kind.MEMBER))
        for row in tx.rows("SELECT DISTINCT id FROM object"):
            store.objects.delete(tx, row.id)
    bases = [indicator(f"base {n}") for n in range(4)]
    got: set[tuple[str, str]] = set()
    allowed: set[tuple[str, str]] = set()
    cursor = -1

    def poll() -> None:
        nonlocal cursor
        while True:
            page = store.page("vn", after=cursor, limit=2)
            for one in orjson.loads(b"[" + page.bodies + b"]"):
                got.add((one["id"], one["modified"]))
            cursor = max(cursor, page.last)
            if not page.more:
                return

    for operation in operations:
        match operation:
            case ("admit", which, day, mark):
                made = later(bases[which], day, mark)
                if store.admit(made).new and mark in (CLEAR, GREEN):
                    # It may go until a later version says otherwise.
                    allowed.add((made["id"], made["modified"]))
            case ("block", blocked):
                store.put("vn", Kind.MEMBER, blocked=blocked)
            case _:
                poll()
    poll()
    visible = {(one["id"], one["modified"]) for one in store.seen("vn")}
    assert visible <= got
    assert got <= allowed
