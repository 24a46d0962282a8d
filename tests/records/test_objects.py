"""Versions are admitted once, kept as they came, and stay where they may be seen."""

import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serantau.records.objects import Objects, digest_of
from serantau.records.views import Saved
from serantau.rules.marking import Tlp, make_audience
from serantau.rules.party import Kind
from serantau.rules.stix import sco_id
from stores import AMBER, CLEAR, GREEN, RED, Store, indicator, later, read


def sco(**properties: Any) -> dict[str, Any]:
    made = {"type": "domain-name", "spec_version": "2.1", "id": "", **properties}
    made["id"] = sco_id(made)
    return made


def statement(text: str, uid: str, created: str = "2026-01-01T00:00:00.000Z") -> Any:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{uid}",
        "created": created,
        "definition_type": "statement",
        "definition": {"statement": text},
        "object_marking_refs": [CLEAR],
    }


def rules(store: Store, *made: dict[str, Any], **how: Any) -> list[str]:
    return [refusal.rule for refusal in store.admit(*made, **how).refused]


def test_the_same_object_again_is_held_and_not_stored_twice(store: Store) -> None:
    one = indicator("x", GREEN)
    first = store.admit(one, one)
    assert (len(first.new), len(first.held)) == (1, 1)
    shuffled = dict(reversed(one.items()))
    again = store.admit(one, shuffled)
    assert (len(again.new), len(again.held), len(again.refused)) == (0, 2, 0)
    assert (again.first, again.last) == (0, 0)
    assert store.page("th").bodies == orjson.dumps(one)


def test_the_same_version_with_other_content_is_refused(store: Store) -> None:
    one = indicator("x", GREEN)
    store.admit(one)
    assert rules(store, {**one, "name": "y"}) == ["same-version-differs"]
    fresh = indicator("z", GREEN)
    assert rules(store, fresh, {**fresh, "name": "y"}) == ["same-version-differs"]
    assert store.seen("vn") == [one, fresh]


def test_an_unversioned_object_that_differs_is_refused(store: Store) -> None:
    one = sco(value="a.example", object_marking_refs=[GREEN])
    store.admit(one)
    assert rules(store, {**one, "x_note": 1}) == ["differs-from-held"]
    assert rules(store, {**one, "object_marking_refs": [CLEAR]}) == [
        "differs-from-held"
    ]
    assert len(store.admit(one).held) == 1
    assert store.ids("public") == []


def test_a_marking_definition_has_no_second_version(store: Store) -> None:
    # Whoever could bring one would change what everything so marked is released to.
    uid = str(uuid.uuid4())
    secret = {
        **statement("", uid),
        "definition_type": "house-rules",
        "definition": {"house-rules": "ask us first"},
    }
    made = indicator("withheld", GREEN, secret["id"])
    store.admit(secret, made)
    assert made["id"] not in store.ids("vn")
    for created in ("2026-02-01T00:00:00.000Z", "2025-02-01T00:00:00.000Z"):
        assert rules(store, statement("harmless", uid, created)) == [
            "differs-from-held"
        ]
        twice = [statement(text, str(uuid.uuid4())) for text in ("a", "b")]
        twice[1] |= {"id": twice[0]["id"], "created": created}
        assert rules(store, *twice) == ["differs-from-held"]
    assert made["id"] not in store.ids("vn")


def test_two_definitions_that_are_held_under_one_id_are_not_believed(
    store: Store,
) -> None:
    one = statement("harmless", str(uuid.uuid4()))
    made = indicator("x", GREEN, one["id"])
    store.admit(one, made)
    assert made["id"] in store.ids("vn")
    changed = orjson.dumps({**one, "definition": {"statement": "other"}})
    with store.db.write() as tx:
        # As an older program could have stored it.
        row = tx.row("SELECT * FROM object WHERE id = :id", id=one["id"])
        tx.run(
            "INSERT INTO object (added, key, modified, slot, type, source, id, "
            "version, own_set, body) VALUES (:added, :key, 5, :slot, :type, :source, "
            ":id, :version, :own_set, :body)",
            **{**row._asdict(), "added": tx.stamps(1), "body": changed},
        )
        tx.run("INSERT INTO definition SELECT max(added), '' FROM object")
        store.audiences.refresh(tx)
    assert made["id"] not in store.ids("vn")


def test_ids_that_share_a_digest_are_told_apart(store: Store) -> None:
    one, two, three = indicator("a", GREEN), indicator("b", GREEN), indicator("c", RED)
    versions = [read(one), read(later(two, 2)), read(three)]
    for version in versions[1:]:
        version.key = versions[0].key

    def put(*chosen: int) -> list[Any]:
        with store.db.write() as tx:
            return store.objects.admit(
                tx,
                [versions[at] for at in chosen],
                source="file",
                handling=lambda _: Tlp.AMBER,
            ).refused

    assert [refusal.rule for refusal in put(0, 1)] == ["id-collides"]
    (refusal,) = put(2)
    assert refusal.rule == "id-collides"
    # The sender may not be meant to know of the other one.
    assert one["id"] not in refusal.got + refusal.expected
    assert store.ids("vn") == [one["id"]]


ODD = "\x00 \x1f \u200b \ufeff \uffff \U0010fffd \u202e e\u0301 ﬁ Ⅷ \\u0000 %00 '\"`"


def test_odd_text_of_any_kind_goes_in_and_comes_out_as_it_was(store: Store) -> None:
    made = [
        indicator(ODD, GREEN, labels=[ODD], x_odd={ODD: [ODD]}),
        indicator("deep", GREEN, x_odd={"a\x00_ref": f"identity--{uuid.uuid4()}"}),
        indicator("long", GREEN, x_odd={"y" * 5000 + "_ref": "identity--" + "1" * 36}),
        indicator("", GREEN, description=ODD * 100),
    ]
    made[2]["x_odd"] = {"y" * 5000 + "_ref": f"identity--{uuid.uuid4()}"}
    result = store.admit(*made)
    assert not result.refused
    assert store.seen("vn") == made
    assert store.search_ids("deep") == [made[1]["id"]]


def test_what_an_object_is_about_is_found_by_value(store: Store) -> None:
    one = indicator("x", GREEN, pattern="[domain-name:value = 'Evil.Example']")
    store.admit(one, later(one, 2))
    with store.db.read() as tx:
        digest = digest_of("domain-name", "evil.example")
        rows = tx.rows("SELECT object FROM value WHERE digest = :d", d=digest)
    assert len(rows) == 2
    assert store.search_ids("evil.example") == [one["id"]]


def relationship(one: str, other: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "relationship",
        "spec_version": "2.1",
        "id": f"relationship--{uuid.uuid4()}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "relationship_type": "related-to",
        "source_ref": one,
        "target_ref": other,
        **more,
    }


def test_neighbours_are_told_also_of_what_is_not_here(store: Store) -> None:
    one = indicator("x", GREEN)
    missing = f"malware--{uuid.uuid4()}"
    tie = relationship(one["id"], missing)
    store.admit(one, tie, later(tie, 2))
    with store.db.read() as tx:
        for end, kind in ((one["id"], "source_ref"), (missing, "target_ref")):
            found = store.search.neighbours(tx, end)
            assert found == [(tie["id"], "relationship", kind)]
        assert store.search.neighbours(tx, f"malware--{uuid.uuid4()}") == []


def test_deleting_leaves_nothing_of_an_object_behind(store: Store) -> None:
    one = indicator("gone", GREEN)
    tie = relationship(one["id"], one["id"])
    with store.db.write() as tx:
        box = store.registry.put_collection(tx, "b", "B", box=True).number
    store.admit(one, later(one, 2), tie, box=box)
    with store.db.write() as tx:
        assert store.objects.delete(tx, one["id"]) == 2
        assert store.objects.delete(tx, tie["id"]) == 1
        assert store.objects.delete(tx, f"indicator--{uuid.uuid4()}") == 0
    with store.db.read() as tx:
        for table in ("object", "entry", "edge", "value"):
            assert tx.value(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
        if not tx.lite:
            assert tx.value("SELECT count(*) FROM object_text") == 0
    assert store.search_ids("gone") == []
    # And it may come again.
    assert len(store.admit(one).new) == 1
    assert store.search_ids("gone") == [one["id"]]


def test_deleting_a_definition_withholds_what_it_explained(store: Store) -> None:
    definition = statement("handle with care", str(uuid.uuid4()))
    made = indicator("x", GREEN, definition["id"])
    store.admit(definition, made)
    assert made["id"] in store.ids("vn")
    with store.db.write() as tx:
        store.objects.delete(tx, definition["id"])
    assert store.ids("vn") == []


def test_what_a_deleted_version_hid_comes_past_the_cursor(store: Store) -> None:
    one = indicator("x", GREEN)
    store.admit(one)
    store.admit(later(one, 2, RED))
    store.admit(indicator("newer", GREEN))
    cursor = store.page("vn").last
    with store.db.read() as tx:
        red = store.search.versions(tx, one["id"])[1]
    with store.db.write() as tx:
        assert store.objects.delete(tx, one["id"], stamps=(red.added,)) == 1
    assert one["id"] in store.ids("vn", after=cursor)
    assert one["id"] in store.ids("jp", after=cursor)


def test_an_object_taken_in_through_a_box_leaves_the_store_with_it(
    store: Store,
) -> None:
    with store.db.write() as tx:
        number = [
            store.registry.put_collection(tx, name, name, box=True).number
            for name in ("a", "b")
        ]
        made = indicator("x", GREEN)
        store.objects.admit(
            tx,
            [read(made)],
            source="user:vn",
            handling=lambda _: Tlp.GREEN,
            boxes=number,
        )
    for box, left in zip(number, ([made["id"]], []), strict=True):
        with store.db.write() as tx:
            assert store.objects.delete(tx, made["id"], box=box) == 1
            assert store.objects.delete(tx, made["id"], box=box) == 0
        assert store.ids("vn") == left


def test_an_object_is_put_into_a_box_once_however_often_it_comes(store: Store) -> None:
    with store.db.write() as tx:
        box = store.registry.put_collection(tx, "b", "B", box=True).number
    one, other = indicator("one", GREEN), indicator("other", GREEN)
    store.admit(one, one, other, box=box)
    store.admit(other, later(one, 2), later(one, 2), later(one, 3), box=box)
    with store.db.read() as tx:
        entered = [row.object for row in tx.rows("SELECT object FROM entry")]
        held = [row.added for row in tx.rows("SELECT added FROM object")]
    assert sorted(entered) == sorted(held)
    assert len(held) == 4


def test_a_version_that_joins_a_set_opened_late_is_not_lost(store: Store) -> None:
    # The set of a later version was opened to vn by a lifted block; the earlier version
    # of an object that came before the block joins it and has no entry there.
    audience = make_audience(named=["vn"])
    old = indicator("old", GREEN)
    store.admit(old)
    joined = indicator("opener", GREEN)
    store.admit(joined, later(joined, 2, GREEN, audience["id"]))
    store.admit(audience)
    cursor = store.page("vn").last
    store.admit(later(old, 2, GREEN, audience["id"]))
    seen = store.seen("vn", all_versions=True)
    days = [one["modified"][8:10] for one in seen if one["id"] == old["id"]]
    assert sorted(days) == ["01", "02"]
    assert old["id"] in store.ids("vn", after=cursor, all_versions=True)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("admit"),
            st.integers(0, 2),
            st.integers(1, 4),
            st.sampled_from(["CLEAR", "GREEN", "AMBER", "RED", "FOR"]),
        ),
        st.tuples(st.just("block"), st.booleans()),
        st.tuples(st.just("define")),
        st.tuples(st.just("delete"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("box"), st.integers(0, 2)),
        st.tuples(st.just("poll")),
    ),
    min_size=4,
    max_size=18,
)


class Model:
    """What vn may have, worked out from what was done and nothing else."""

    def __init__(self, audience: str) -> None:
        self.held: dict[tuple[str, str], tuple[str, ...]] = {}
        self.boxed: set[str] = set()
        self.blocked = self.defined = False
        self._audience = audience

    def _open(self, marks: tuple[str, ...]) -> bool:
        return (
            AMBER not in marks
            and RED not in marks
            and (self.defined or self._audience not in marks)
        )

    def visible(self) -> set[tuple[str, str]]:
        if self.blocked:
            return set()
        return {
            (name, modified)
            for name, modified in self.held
            if all(
                self._open(marks)
                for (other, when), marks in self.held.items()
                if other == name and when >= modified
            )
        }


@given(operations=OPERATIONS)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_happens_a_poller_has_exactly_what_it_may_have(
    store: Store, operations: list[tuple[Any, ...]]
) -> None:
    audience = make_audience(named=["vn", f"x{uuid.uuid4().hex[:8]}"])
    marks = {
        "CLEAR": (CLEAR,),
        "GREEN": (GREEN,),
        "AMBER": (AMBER,),
        "RED": (RED,),
        "FOR": (GREEN, audience["id"]),
    }
    store.put("vn", Kind.MEMBER)
    with store.db.write() as tx:
        for row in tx.rows("SELECT DISTINCT id FROM object"):
            store.objects.delete(tx, row.id)
        box = store.registry.put_collection(tx, "inbox", "Inbox", box=True).number
    bases = [indicator(f"base {n}") for n in range(3)]
    model = Model(audience["id"])
    pollers = {False: Poller(store, 0), True: Poller(store, box)}
    for operation in operations:
        match operation:
            case ("admit", which, day, mark):
                made = later(bases[which], day, *marks[mark])
                if store.admit(made).new:
                    model.held[made["id"], made["modified"]] = marks[mark]
            case ("block", blocked):
                store.put("vn", Kind.MEMBER, blocked=blocked)
                model.blocked = blocked
            case ("define",):
                store.admit(audience)
                model.defined = True
            case ("delete", which, day):
                name, when = bases[which]["id"], later(bases[which], day)["modified"]
                with store.db.write() as tx:
                    for one in store.search.versions(tx, name):
                        if one.version == when:
                            store.objects.delete(tx, name, stamps=(one.added,))
                            del model.held[name, when]
            case ("box", which):
                versions = [key for key in model.held if key[0] == bases[which]["id"]]
                with store.db.write() as tx:
                    found = store.search.versions(tx, bases[which]["id"])
                    store.objects.admit(
                        tx,
                        [read(orjson.loads(one.body)) for one in found],
                        source="file",
                        handling=lambda _: Tlp.AMBER,
                        boxes=(box,),
                    )
                if versions:
                    model.boxed.add(bases[which]["id"])
            case _:
                for poller in pollers.values():
                    poller.poll()
        # An object whose last version was deleted is in no box, should it come again.
        model.boxed &= {name for name, _ in model.held}
        for boxed, poller in pollers.items():
            expected = {
                key for key in model.visible() if not boxed or key[0] in model.boxed
            }
            assert poller.full() == expected
    for boxed, poller in pollers.items():
        poller.poll()
        expected = {
            key for key in model.visible() if not boxed or key[0] in model.boxed
        }
        assert expected <= poller.got


class Poller:
    """Reads all versions of a collection for vn, always from where it stopped."""

    def __init__(self, store: Store, box: int) -> None:
        self.store, self.saved = store, Saved(box=box)
        self.cursor = -1
        self.got: set[tuple[str, str]] = set()

    def poll(self) -> None:
        for bodies, last in self._pages(self.cursor, limit=2):
            self.got |= keys_of(bodies)
            self.cursor = last

    def full(self) -> set[tuple[str, str]]:
        found = [keys_of(bodies) for bodies, _ in self._pages(-1, limit=100)]
        return set().union(*found)

    def _pages(self, after: int, limit: int) -> Iterator[tuple[bytes, int]]:
        while True:
            page = self.store.page(
                "vn", self.saved, after=after, limit=limit, all_versions=True
            )
            if page.count:
                yield page.bodies, page.last
            if not page.more:
                return
            assert page.last > after
            after = page.last


def keys_of(bodies: bytes) -> set[tuple[str, str]]:
    return {
        (one["id"], one["modified"])
        for one in orjson.loads(b"[" + bodies + b"]")
        if one["type"] == "indicator"
    }


def test_rooms_above_ask_for_nothing_that_is_not_in_the_store(store: Store) -> None:
    with store.db.write() as tx:
        result = Objects(store.audiences).admit(
            tx, [], source="file", handling=lambda _: Tlp.RED, boxes=(3,)
        )
    assert (result.new, result.held, result.refused) == ([], [], [])


@pytest.mark.parametrize("level", list(Tlp))
def test_what_is_unmarked_is_handled_as_told_and_never_altered(
    store: Store, level: Tlp
) -> None:
    made = indicator("plain")
    store.admit(made, handled=level)
    assert (made["id"] in store.ids("vn")) == (level <= Tlp.GREEN)
    assert b"object_marking_refs" not in store.page("th").bodies
