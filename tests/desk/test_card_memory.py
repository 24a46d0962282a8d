"""Cards are read once, and whatever a card or its belief depends on is seen at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import orjson
import pytest

from serantau.desk.contacts import HEARSAY, THEIRS, Contacts, Held
from serantau.errors import Conflict
from serantau.node import Node
from serantau.records.card_memory import CardMemory
from serantau.records.database import Tx
from serantau.records.pins import Pins
from serantau.rules.card import Card, Duty
from serantau.rules.signature import SIGNATURE_EXTENSION, Standing
from serantau.testing import Region, Site, identity_of

SOMCHAI = Card(
    "Somchai", "th", duties=(Duty.ALWAYS,), phones=("+66812345678",), source="th"
)


@dataclass
class Desks:
    """th writes cards; sg reads them in a process that remembers."""

    region: Region
    th: Contacts
    sg: Site

    def write(self, card: Card = SOMCHAI) -> Held:
        """Write a card at th, and bring it to sg."""
        held = self.th.put(card, parties=["sg"])
        self.region.sync()
        return held

    def seen(self, card: str) -> list[Held]:
        """Give what sg has of a card: what a process that knows nothing has, too."""
        found = Contacts(self.sg.node).all()
        with Node(self.sg.node.config, self.sg.node.clock) as other:
            assert Contacts(other).all() == found
        return [one for one in found if one.card.id == card]


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    home = tmp_path_factory.mktemp("memory")
    with Region(home, members=["th", "sg"]) as region:
        region.mesh()
        yield Desks(region, Contacts(region["th"].node), region["sg"])


def test_a_key_that_is_dropped_or_newly_pinned_is_seen_at_once(desks: Desks) -> None:
    card, sg = desks.write().card.id, desks.sg
    (before,) = desks.seen(card)
    assert before.origin == THEIRS
    sg.write(lambda tx: Pins().drop(tx, "th"))
    (after,) = desks.seen(card)
    assert after.signature is Standing.UNKNOWN_KEY
    assert (after.origin, after.believed) == (HEARSAY, False)
    sg.pin("th", desks.region["th"].node.signer.key)
    assert desks.seen(card) == [before]


def test_a_changed_card_and_one_that_is_no_more_are_seen_at_once(desks: Desks) -> None:
    held = desks.write()
    assert desks.seen(held.card.id)
    changed = desks.write(replace(held.card, phones=("+6621111111",)))
    (found,) = desks.seen(held.card.id)
    assert found.card == changed.card
    desks.th.erase(held.card.id, "asked for by the person")
    desks.region.sync()
    assert not desks.seen(held.card.id)


def test_what_is_written_into_a_version_in_place_is_judged_anew(desks: Desks) -> None:
    card, node = desks.write().card.id, desks.sg.node
    (before,) = desks.seen(card)
    with node.db.read() as tx:
        (version,) = node.search.versions(tx, card)
    bare = orjson.loads(version.body)
    del bare["extensions"][SIGNATURE_EXTENSION]
    body = orjson.dumps(bare)
    desks.sg.write(lambda tx: Pins.rewrite(tx, [(version.added, body)]))
    (found,) = desks.seen(card)
    assert found.signature is Standing.UNSIGNED
    desks.sg.write(lambda tx: Pins.rewrite(tx, [(version.added, version.body)]))
    assert desks.seen(card) == [before]


def test_a_party_that_is_blocked_or_is_another_now_is_seen_at_once(
    desks: Desks,
) -> None:
    card, sg = desks.write().card.id, desks.sg
    (before,) = desks.seen(card)
    # Nothing goes to who is blocked; what it says of itself is still its own.
    sg.party("th", blocked=True)
    assert desks.seen(card) == [before]
    sg.write(lambda tx: Pins().drop(tx, "th"))
    sg.party("th", blocked=False, identity=identity_of("xx"))
    (after,) = desks.seen(card)
    assert not after.believed
    assert after.by == identity_of("th")
    sg.party("th", identity=identity_of("th"))
    sg.pin("th", desks.region["th"].node.signer.key)
    assert desks.seen(card) == [before]


def test_a_card_is_found_though_its_stamp_was_another_s_that_was_given_up(
    desks: Desks,
) -> None:
    node = desks.region["th"].node

    def give_up(tx: Tx) -> None:
        tx.stamps(1000)
        desks.th.believed(tx, "th")
        raise Conflict("given up")

    with pytest.raises(Conflict), node.db.write() as tx:
        give_up(tx)
    held = desks.th.put(SOMCHAI)
    assert held in desks.th.all()


def test_a_card_that_nobody_changed_is_read_once(desks: Desks) -> None:
    card, cards = desks.write().card.id, Contacts(desks.sg.node)
    cards.all()
    assert cards.some([card])[card].card is cards.some([card])[card].card


def test_no_more_is_kept_than_there_is_room_for_and_nothing_of_whom_one_forgets(
    desks: Desks,
) -> None:
    held, node = desks.write(), desks.region["th"].node
    known = desks.th.all()
    assert len(node.card_memory) == len(known)
    desks.th.erase(held.card.id, "asked for by the person")
    assert len(node.card_memory) == len(known) - 1
    node.card_memory = CardMemory(most=1)
    desks.th.all()
    assert len(node.card_memory) == 0
