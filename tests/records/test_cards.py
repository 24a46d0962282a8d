"""Cards are found among objects, and an ask of a drill is taken by one process."""

from typing import Any

import orjson
import pytest

from serantau.errors import NotFound
from serantau.records.card_memory import CardMemory
from serantau.records.cards import MAIL, SENDING, SENT, WAITING, Cards
from serantau.rules.card import Card, card_object
from serantau.rules.marking import Tlp
from stores import AMBER, READER, Store

MAKER = "identity--22222222-2222-4222-8222-222222222222"
ID = "identity--11111111-1111-4111-8111-111111111111"
LATER = 1_000_000


def made(modified: int = 0, **more: Any) -> dict[str, Any]:
    card = Card("ဦးဘ", "vn", ID)
    return {
        **card_object(card, creator=MAKER, created=0, modified=modified, marks=[AMBER]),
        **more,
    }


def admit(store: Store, *objects: dict[str, Any]) -> None:
    versions = [READER.read(orjson.dumps(one)) for one in objects]
    with store.db.write() as tx:
        store.objects.admit(tx, versions, source="x", handling=lambda _: Tlp.AMBER)


def test_cards_are_found_by_their_extension_and_once(store: Store) -> None:
    plain = made(id=MAKER)
    del plain["extensions"]
    admit(store, made(), made(LATER), plain)
    with store.db.read() as tx:
        assert Cards().ids(tx) == [ID]


def test_a_card_is_remembered_and_one_that_comes_later_is_found(store: Store) -> None:
    memory, other = CardMemory(), "identity--33333333-3333-4333-8333-333333333333"
    for objects, known in (([made()], {ID}), ([made(id=other)], {ID, other})):
        admit(store, *objects)
        for _ in range(2):
            with store.db.read() as tx:
                assert memory.ids(tx) == known


def test_what_was_found_out_about_a_card_is_kept_until_it_is_forgotten(
    store: Store,
) -> None:
    cards = Cards()
    with store.db.write() as tx:
        cards.note(tx, ID, actor="ann", way=MAIL, holds=True)
        cards.note(tx, ID, actor="ann", way=MAIL, holds=False, said="moved")
        drill = cards.begin(tx, "ann", LATER << 40, [(ID, "vn", MAIL, "a@vn.example")])
    with store.db.read() as tx:
        assert [one.holds for one in cards.checks(tx)[ID]] == [True, False]
        assert len(cards.asks(tx, drill.n)) == 1
    with store.db.write() as tx:
        cards.forget(tx, ID)
        assert cards.checks(tx) == {}
        assert cards.asks(tx, drill.n) == []


def test_an_ask_is_taken_by_one_and_moves_only_from_the_state_it_is_in(
    store: Store,
) -> None:
    cards = Cards()
    with store.db.write() as tx, pytest.raises(NotFound):
        cards.drill(tx)
    with store.db.write() as tx:
        drill = cards.begin(tx, "ann", LATER << 40, [(ID, "vn", MAIL, "a@vn.example")])
        assert cards.running(tx) == drill == cards.drill(tx)
        ask = cards.take(tx, MAIL)
        assert ask is not None
        assert cards.take(tx, MAIL) is None
    with store.db.write() as tx:
        assert not cards.move(tx, ask, WAITING, SENT)
        assert cards.move(tx, ask, SENDING, SENT, sent=1)
        assert not cards.move(tx, ask, SENDING, SENT)
        assert cards.close(tx) == 0
        tx.run("UPDATE card_drill SET ends = 1")
        assert cards.close(tx) == 1
        assert cards.running(tx) is None
