"""Contacts, notices and deliveries as rows, on each kind of database."""

from __future__ import annotations

import pytest

from serantau.clock import SetClock
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records.contacts import Contacts
from serantau.records.notices import Notice, Notices
from serantau.records.seal import Seal
from serantau.rules.contact import Contact, Kind
from serantau.rules.contact import State as ContactState
from serantau.rules.notice import Mute, Sending, Setting, State, Told
from stores import Store


def made(store: Store, told: dict[int, int], day: str = "2026-03-05") -> Notice:
    with store.db.write() as tx:
        return Notices().make(
            tx,
            party="vn",
            group="fraud",
            day=day,
            state=State.READY,
            actor="ann",
            facts={"rows": 1, "levels": {"2": 1}},
            csv=b"a,b\r\n" * 1000,
            told=told,
        )


def forward(store: Store, days: float) -> None:
    clock = store.db.clock
    assert isinstance(clock, SetClock)
    clock.advance(days=days)


def reach(store: Store, address: str = "noc@vn.example") -> Contact:
    with store.db.write() as tx:
        return Contacts().put(tx, Contact("vn", Kind.MAIL, address))


def test_a_notice_is_kept_with_its_file_and_what_it_told(store: Store) -> None:
    notice = made(store, {5: 2, -7: -1})
    with store.db.read() as tx:
        assert Notices().csv(tx, notice.number) == b"a,b\r\n" * 1000
        told = Notices().told(tx, notice.party_number, [5, -7, 9])
        assert Notices().told(tx, 999, [5]) == {}
    assert {n: each.severity for n, each in told.items()} == {5: 2, -7: -1}
    assert (notice.round, notice.facts["late"], notice.actor) == (1, 0, "ann")
    again = made(store, {5: 4})
    with store.db.read() as tx:
        assert Notices().told(tx, notice.party_number, [5])[5].severity == 4
        assert [each.number for each in Notices().all(tx, party="vn")] == [
            again.number,
            notice.number,
        ]
        assert Notices().all(tx, state="told") == []
    assert (again.round, again.facts["late"]) == (2, notice.number)


def test_many_findings_are_asked_and_told_in_pieces(store: Store) -> None:
    many = dict.fromkeys(range(12001), 1)
    notice = made(store, many)
    made(store, many)
    with store.db.read() as tx:
        found = Notices().told(tx, notice.party_number, many)
    assert len(found) == len(many)
    assert all(isinstance(each, Told) for each in found.values())


def test_what_was_told_long_ago_is_forgotten(store: Store) -> None:
    notice = made(store, {1: 1})
    forward(store, 10)
    made(store, {2: 1}, "2026-03-15")
    with store.db.write() as tx:
        assert Notices().forget(tx, 5) == 1
        assert set(Notices().told(tx, notice.party_number, [1, 2])) == {2}


def test_a_delivery_is_made_once_and_taken_by_one_worker(store: Store) -> None:
    notices, contact = Notices(), reach(store)
    notice = made(store, {1: 1})
    with store.db.write() as tx:
        assert notices.address(tx, notice, {contact.number: "k"}) == 1
        assert notices.address(tx, notice, {contact.number: "k"}) == 1
        assert notices.unaddressed(tx) == [notice]
        taken = notices.take(tx, 60, ["mail"])
        assert taken is not None
        assert notices.take(tx, 60, ["mail"]) is None
        assert notices.by_key(tx, "k") == taken
        assert notices.by_key(tx, "other") is None
    assert (taken.state, taken.tries, taken.address) == (
        Sending.TAKEN,
        1,
        "noc@vn.example",
    )


def test_only_who_holds_the_lease_moves_a_delivery(store: Store) -> None:
    notices, contact = Notices(), reach(store)
    notice = made(store, {1: 1})
    with store.db.write() as tx:
        notices.address(tx, notice, {contact.number: "k"})
        first = notices.take(tx, 60, ["mail"])
        assert first is not None
        assert notices.expire(tx) == []
    forward(store, 1)
    with store.db.write() as tx:
        (ended,) = notices.expire(tx)
        assert ended.state is Sending.READY
        second = notices.take(tx, 60, ["mail"])
        assert second is not None
        for event in ("hand", "defer", "fail"):
            with pytest.raises(Conflict):
                notices.step(tx, first, event)
        handing = notices.step(tx, second, "hand", lease=second.lease)
        with pytest.raises(Conflict, match="cannot take"):
            notices.step(tx, handing, "take")
        assert notices.step(tx, second, "accept").state is Sending.SENT
        assert notices.counts(tx) == {"notice ready": 1, "delivery sent": 1}


def test_what_is_not_here_is_told(store: Store) -> None:
    notices, contacts = Notices(), Contacts()
    with store.db.write() as tx:
        for work in (
            lambda: notices.get(tx, 9),
            lambda: notices.delivery(tx, 9),
            lambda: notices.move(tx, 9, "approve"),
            lambda: notices.unmute(tx, 9),
            lambda: notices.mute(tx, Mute("nobody", feed="x")),
            lambda: notices.put_setting(tx, Setting("nobody")),
            lambda: contacts.get(tx, 9),
            lambda: contacts.remove(tx, 9),
            lambda: contacts.mark(tx, 9, ContactState.BLOCKED),
            lambda: contacts.put(tx, Contact("nobody", Kind.MAIL, "a@b.example")),
        ):
            with pytest.raises(NotFound):
                work()


def test_settings_add_up_and_mutes_are_listed(store: Store) -> None:
    notices = Notices()
    with store.db.write() as tx:
        notices.put_setting(tx, Setting("vn", "fraud", automatic=True))
        notices.put_setting(tx, Setting("vn", "fraud", least_rows=3))
        notices.put_setting(tx, Setting(automatic=False))
        number = notices.mute(tx, Mute("vn", "10.0.0.0/8", "fraud", "f", 5, "lab"))
        assert notices.settings(tx) == [
            Setting(automatic=False),
            Setting("vn", "fraud", automatic=True, least_rows=3),
        ]
        (mute,) = notices.mutes(tx, "vn")
        assert (mute.number, mute.until, mute.reason) == (number, 5, "lab")
        assert notices.mutes(tx, "sg") == []


def test_a_contact_is_changed_by_its_address_and_keeps_what_is_not_given(
    store: Store,
) -> None:
    contacts, seal = Contacts(), Seal(Seal.new_key())
    hook = Contact("vn", Kind.WEBHOOK, "https://vn.example/x", secret="s3cret")
    with store.db.write() as tx:
        one = contacts.put(tx, hook, seal)
        assert contacts.get(tx, one.number).secret == ""
        assert contacts.get(tx, one.number, seal).secret == "s3cret"
        contacts.mark(tx, one.number, ContactState.BLOCKED, "no")
        contacts.mark(tx, one.number, ContactState.BOUNCING, "bounced")
        held = contacts.get(tx, one.number)
        assert (held.state, held.fault) == (ContactState.BLOCKED, "no")
        again = contacts.put(
            tx, Contact("vn", Kind.WEBHOOK, "https://vn.example/x", language="vi")
        )
        assert (again.number, again.state, again.language) == (
            one.number,
            ContactState.ACTIVE,
            "vi",
        )
        assert contacts.get(tx, one.number, seal).secret == "s3cret"
        assert [each.number for each in contacts.all(tx)] == [one.number]
        with pytest.raises(BadRequest):
            contacts.put(tx, Contact("vn", Kind.MAIL, "x"))
        with pytest.raises(BadRequest):
            contacts.put(tx, Contact("vn", Kind.MAIL, "a@b.example", language="!"))


def test_a_name_that_only_this_node_knows_is_the_same_for_ever() -> None:
    key = Seal.new_key()
    assert Seal(key).tag("a") == Seal(key).tag("a") != Seal(key).tag("b")
    assert Seal(key).tag("a") != Seal(Seal.new_key()).tag("a")
    assert len(Seal(key).tag("a")) == 32
