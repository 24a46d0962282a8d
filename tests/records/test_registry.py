"""Who is who: parties, circles, users, tokens and collections."""

from typing import Any

import pytest

from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records.audiences import Audiences
from serantau.records.registry import Access, Query
from serantau.rules.marking import Tlp, make_audience
from serantau.rules.party import Kind, Party
from serantau.rules.release import Policy
from stores import AMBER, CLEAR, GREEN, Store, indicator

CIRCLE_ID = "circle--0f9a3c52-6a0f-4a8e-9a55-0d8f7d1c2b11"


def put(store: Store, party: Party) -> list[Any]:
    with store.db.write() as tx:
        return store.registry.put_party(tx, party)


def epoch(store: Store) -> int:
    with store.db.read() as tx:
        return tx.epoch()


def test_a_party_is_kept_with_all_that_is_known_of_it(store: Store) -> None:
    full = Party(
        name="bank-1",
        kind=Kind.OPERATOR,
        title="A bank",
        identity="identity--11111111-1111-4111-8111-111111111111",
        client_of="th",
        need_to_know=True,
        blocked=True,
        ceiling=Tlp.AMBER,
        until=5,
    )
    put(store, full)
    with store.db.read() as tx:
        assert store.registry.party(tx, "bank-1")[1] == full
    changed = Party(name="bank-1", kind=Kind.MEMBER)
    put(store, changed)
    with store.db.read() as tx:
        assert store.registry.party(tx, "bank-1")[1] == changed


def test_a_party_of_no_name_or_of_our_kind_is_refused(store: Store) -> None:
    with pytest.raises(BadRequest, match="own party is 'th'"):
        put(store, Party("vn", Kind.OWN))
    with pytest.raises(NotFound, match="party list"), store.db.read() as tx:
        store.registry.party(tx, "nobody")
    strange = Party("vn", Kind.MEMBER)
    object.__setattr__(strange, "name", "Not A Name")
    with pytest.raises(BadRequest, match="not a party's name"):
        put(store, strange)


def test_a_change_of_a_party_tells_what_it_changes(store: Store) -> None:
    store.admit(indicator("a", GREEN), indicator("b", GREEN), indicator("c", CLEAR))
    assert put(store, Party("vn", Kind.MEMBER, title="Viet Nam")) == []
    changes = put(store, Party("vn", Kind.MEMBER, ceiling=Tlp.CLEAR))
    assert [
        (change.party.name, change.objects, change.before, change.after.rule)
        for change in changes
        if change.objects
    ] == [("vn", 2, changes[0].before, "above-ceiling")]
    assert changes[0].before is not None
    assert changes[0].before.released


def test_a_change_can_be_looked_at_before_it_is_made(store: Store) -> None:
    store.admit(indicator("a", GREEN))
    blocked = Party("vn", Kind.MEMBER, blocked=True)
    with store.db.read() as tx:
        number = store.registry.party(tx, "vn")[0]
        found = store.audiences.changes(tx, parties={number: blocked})
        stricter = store.audiences.changes(
            tx, policy=Policy(ceilings={Kind.PARTNER: Tlp.CLEAR})
        )
    assert {change.after.rule for _, change in found} == {"party-blocked"}
    assert {change.party.name for _, change in stricter} == {"jp"}
    assert store.ids("vn")
    assert store.ids("jp")


def test_a_circle_is_known_to_others_by_an_id_that_tells_nothing(store: Store) -> None:
    with store.db.write() as tx:
        made = store.registry.put_circle(tx, "banks", ["vn", "jp", "vn"])
        again = store.registry.put_circle(tx, "banks", ["vn"])
        given = store.registry.put_circle(tx, "ports", [], circle_id=CIRCLE_ID)
    assert made.members == {"vn", "jp"}
    assert again.id == made.id
    assert again.members == {"vn"}
    assert "banks" not in made.id
    assert given.id == CIRCLE_ID
    with store.db.read() as tx:
        assert {circle.name for circle in store.audiences.circles(tx).values()} == {
            "banks",
            "ports",
        }


@pytest.mark.parametrize(
    ("name", "members", "circle_id", "fault"),
    [
        ("banks", ["nobody"], "", NotFound),
        ("banks", [], "circle--1", BadRequest),
        ("banks", [], CIRCLE_ID.upper(), BadRequest),
        ("banks", [], CIRCLE_ID, Conflict),
        (" ", [], "", BadRequest),
        ("a\x00b", [], "", BadRequest),
    ],
)
def test_a_circle_that_is_none_is_refused(
    store: Store, name: str, members: list[str], circle_id: str, fault: type[Exception]
) -> None:
    with store.db.write() as tx:
        store.registry.put_circle(tx, "ports", [], circle_id=CIRCLE_ID)
    with pytest.raises(fault), store.db.write() as tx:
        store.registry.put_circle(tx, name, members, circle_id=circle_id)
    with store.db.read() as tx:
        assert len(store.audiences.circles(tx)) == 1


def test_a_circle_that_is_dropped_admits_nobody(store: Store) -> None:
    with store.db.write() as tx:
        circle = store.registry.put_circle(tx, "banks", ["vn"])
    audience = make_audience(circles=[circle.id])
    made = indicator("x", AMBER, audience["id"])
    store.admit(audience, made)
    assert made["id"] in store.ids("vn")
    with store.db.write() as tx:
        store.registry.drop_circle(tx, "banks")
    assert store.ids("vn") == []
    with pytest.raises(NotFound), store.db.write() as tx:
        store.registry.drop_circle(tx, "banks")


def add(store: Store, name: str = "u", party: str = "vn", **more: Any) -> int:
    with store.db.write() as tx:
        return store.registry.add_user(
            tx, name, party, more.pop("role", "reader"), **more
        )


def login(store: Store, name: str, password: str) -> Any:
    with store.db.read() as tx:
        return store.registry.caller_by_password(tx, name, password)


def test_a_user_comes_in_by_its_password_and_by_no_other(store: Store) -> None:
    add(store, password="a long password ไทย")
    caller = login(store, "u", "a long password ไทย")
    assert (caller.user, caller.party.name, caller.role) == ("u", "vn", "reader")
    assert not caller.own
    for name, password in (
        ("u", "another"),
        ("u", ""),
        ("U", "a long password ไทย"),
        ("nobody", "a long password ไทย"),
        ("u\x00", "a long password ไทย"),
        ("\udcff", "\udcff"),
        ("", ""),
    ):
        assert login(store, name, password) is None


def test_a_user_without_a_password_comes_in_by_token_only(store: Store) -> None:
    add(store)
    assert login(store, "u", "") is None
    with store.db.write() as tx:
        secret = store.registry.add_token(tx, "u", "laptop")
        assert tx.value("SELECT count(*) FROM token WHERE digest = :s", s=secret) == 0
    with store.db.read() as tx:
        caller = store.registry.caller_by_token(tx, secret)
        assert caller is not None
        assert caller.user == "u"
        for wrong in ("", secret[:-1], secret + "x", "\x00", "\udcff"):
            assert store.registry.caller_by_token(tx, wrong) is None
        assert store.registry.caller_by_name(tx, "u") == caller
        assert store.registry.caller_by_name(tx, "v") is None
        assert store.registry.caller_by_name(tx, "u\x00") is None


def test_a_token_ends_when_it_expires_or_is_dropped(store: Store) -> None:
    add(store)
    with store.db.write() as tx:
        now = tx.clock.now()
        short = store.registry.add_token(tx, "u", "short", expires=now + 1_000_000)
        other = store.registry.add_token(tx, "u", "other")
        with pytest.raises(NotFound):
            store.registry.add_token(tx, "nobody", "x")
    assert token(store, short)
    store.db.clock.advance(seconds=2)  # type: ignore[attr-defined]
    assert not token(store, short)
    assert token(store, other)
    with store.db.write() as tx:
        assert store.registry.drop_tokens(tx, "u", "none") == 0
        assert store.registry.drop_tokens(tx, "u", "other") == 1
        assert store.registry.drop_tokens(tx, "u") == 1
    assert not token(store, other)


def token(store: Store, secret: str) -> bool:
    with store.db.read() as tx:
        return store.registry.caller_by_token(tx, secret) is not None


def test_a_disabled_user_or_an_ended_party_lets_nobody_in(store: Store) -> None:
    add(store, password="p")
    with store.db.write() as tx:
        secret = store.registry.add_token(tx, "u", "t")
        before = store.registry.password_digest(tx, "u")
        store.registry.set_user(tx, "u", disabled=True)
        assert store.registry.password_digest(tx, "u") != before
    assert login(store, "u", "p") is None
    assert not token(store, secret)
    with store.db.write() as tx:
        store.registry.set_user(tx, "u", disabled=False, password="q")
        store.registry.set_user(tx, "u")
        assert store.registry.password_digest(tx, "u") != before
        assert store.registry.password_digest(tx, "nobody") == ""
    assert login(store, "u", "p") is None
    assert login(store, "u", "q") is not None
    put(store, Party("vn", Kind.MEMBER, until=1))
    assert login(store, "u", "q") is None
    assert not token(store, secret)
    with store.db.read() as tx:
        assert store.registry.caller_by_name(tx, "u") is None
    with pytest.raises(NotFound), store.db.write() as tx:
        store.registry.set_user(tx, "nobody", password="p")


def test_only_our_own_people_administer_the_node(store: Store) -> None:
    with pytest.raises(BadRequest, match="own people"):
        add(store, role="admin")
    add(store, "boss", "th", role="admin", password="p")
    assert login(store, "boss", "p").own
    with pytest.raises(BadRequest, match="none of reader, writer, analyst"):
        add(store, "x", role="root")
    with pytest.raises(Conflict):
        add(store, "boss")
    with pytest.raises(NotFound):
        add(store, "x", party="nobody")
    for name in ("a:b", "", " ", "a\nb", "a\x00"):
        with pytest.raises(BadRequest, match="not a user's name"):
            add(store, name)


def test_users_are_listed_without_their_secrets(store: Store) -> None:
    add(store, "b", password="p")
    add(store, "a", "th", role="admin")
    with store.db.write() as tx:
        store.registry.add_token(tx, "b", "t")
        rows = store.registry.users(tx)
    assert [(row.name, row.party, row.role, row.tokens) for row in rows] == [
        ("a", "th", "admin", 0),
        ("b", "vn", "reader", 1),
    ]
    assert not any("argon2" in str(field) for row in rows for field in row)


def test_a_collection_is_read_and_written_by_whom_its_rights_name(store: Store) -> None:
    with store.db.write() as tx:
        put = store.registry.put_collection
        open_ = put(tx, "open", "Open", access=Access(read=("everyone",)))
        box = put(
            tx,
            "box",
            "Box",
            box=True,
            access=Access(read=("kind:member",), write=("party:jp",)),
        )
        shut = put(tx, "shut", "Shut", access=Access(write=("everyone",)))
        listed = store.registry.collections(tx)
        assert store.registry.collection(tx, box.id) == box
        for name in ("nothing", "", "a\x00b"):
            with pytest.raises(NotFound):
                store.registry.collection(tx, name)
    assert [one.alias for one in listed] == ["open", "box", "shut"]
    vn, jp = Party("vn", Kind.MEMBER), Party("jp", Kind.PARTNER)
    assert (open_.readable_by(vn), open_.writable_by(vn)) == (True, False)
    assert (box.readable_by(vn), box.writable_by(vn)) == (True, False)
    assert (box.readable_by(jp), box.writable_by(jp)) == (False, True)
    # What is no box cannot be written, whatever its rights say.
    assert (shut.readable_by(vn), shut.writable_by(vn)) == (False, False)


def test_a_collection_keeps_its_id_and_is_looked_at_again_when_changed(
    store: Store,
) -> None:
    with store.db.write() as tx:
        one = store.registry.put_collection(tx, "a", "A")
    before = epoch(store)
    with store.db.write() as tx:
        two = store.registry.put_collection(
            tx, "a", "B", query=Query(types=("malware",), up_to="TLP:GREEN")
        )
    assert two.id == one.id
    assert (two.title, two.query.types) == ("B", ("malware",))
    assert epoch(store) > before


def test_a_collection_cannot_pass_for_another(store: Store) -> None:
    with store.db.write() as tx:
        one = store.registry.put_collection(tx, "a", "A")
        with pytest.raises(Conflict):
            store.registry.put_collection(tx, one.id, "B")
        with pytest.raises(Conflict):
            store.registry.put_collection(tx, "b", "B", collection_id=one.id)
        with pytest.raises(BadRequest, match="level"):
            store.registry.put_collection(tx, "b", "B", query=Query(up_to="PURPLE"))


def test_a_node_that_starts_under_other_rules_judges_anew(store: Store) -> None:
    store.admit(indicator("x", GREEN), indicator("y", CLEAR))
    assert len(store.ids("jp")) == 2
    stricter = Audiences("th", Policy(ceilings={Kind.PARTNER: Tlp.CLEAR}))
    assert store.audiences.keep_up(store.db) == []
    changes = stricter.keep_up(store.db)
    assert {change.party.name for _, change in changes} == {"jp"}
    assert len(store.ids("jp")) == 1
    before = epoch(store)
    assert stricter.keep_up(store.db) == []
    assert epoch(store) == before
    assert len(store.audiences.keep_up(store.db)) == 1
    assert len(store.ids("jp")) == 2


def test_a_new_word_or_a_first_entry_makes_views_be_looked_at_again(
    store: Store,
) -> None:
    store.admit(indicator("x", GREEN))
    before = epoch(store)
    store.admit(indicator("y", GREEN))
    assert epoch(store) == before
    with store.db.write() as tx:
        store.audiences.words(tx, ["malware"])
    assert epoch(store) == before + 1
    with store.db.write() as tx:
        number = store.audiences.scope(tx, 9, 0)
        assert store.audiences.scope(tx, 9, 0) == number
        assert store.audiences.words(tx, ["malware"])
    assert epoch(store) == before + 2
