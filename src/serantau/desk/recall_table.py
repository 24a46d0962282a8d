"""How it stands with a recall: whom it is for, and what each has answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serantau.desk.watch import Watch
from serantau.node import Node
from serantau.records.addressees import Addressee, Addressees
from serantau.records.database import Tx
from serantau.records.pins import Pins
from serantau.records.recalls import Held, Hold, Recalls
from serantau.rules.head import take_apart
from serantau.rules.recall import read_answer, read_recall, unproven


@dataclass(frozen=True, slots=True)
class Line:
    """How it stands with one party.

    party: its name. ways: by which it got it here; empty: it had it from a relay. got:
    when first, as an instant. versions: which, with their digests. fetched: when its
    node fetched the recall, 0 never. state: of its answer, empty for none. via: the
    relay that told it. answered: when. doubt: why the answer is not proven to be the
    party's; empty when it is. noted: what a person wrote down of it.
    """

    party: str
    ways: str
    got: int
    versions: Sequence[tuple[str, str]]
    fetched: int
    state: str = ""
    via: str = ""
    answered: int = 0
    doubt: str = ""
    noted: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A recall, everybody whom it is for, and what was done here (`own`)."""

    held: Held
    lines: Sequence[Line]
    own: str
    hold: Hold | None


class RecallTable:
    """Tells of the recalls of one node; an answer is held to its party's keys."""

    def __init__(self, node: Node) -> None:
        """Tell of what `node` keeps."""
        self._own = node.config.node.member
        self._watch = Watch(node)

    def tell(self, tx: Tx, held: Held) -> Told:
        """Tell how it stands with one recall: one line a party."""
        rows: dict[str, list[Addressee]] = {}
        own = ""
        for row in Addressees.parties(tx, held.number):
            if row.party == self._own:
                own = row.state
            else:
                rows.setdefault(row.party, []).append(row)
        lines = [self._line(tx, held, several) for several in rows.values()]
        return Told(held, lines, own, Recalls.hold(tx, held.object))

    def _line(self, tx: Tx, held: Held, several: list[Addressee]) -> Line:
        """Join what is known of one party: what it got here, and its best answer."""
        direct = next((row for row in several if not row.via), several[0])
        line = Line(
            direct.party,
            direct.ways,
            direct.got,
            direct.versions,
            direct.fetched,
            via=direct.via,
        )
        answers = [(self.doubt(tx, held, row), row) for row in several if row.state]
        if not answers:
            return line
        doubt, row = min(answers, key=lambda one: (one[0] != "", one[1].via != ""))
        return Line(
            line.party,
            line.ways,
            line.got,
            line.versions,
            line.fetched,
            row.state,
            row.via,
            row.answered,
            doubt,
            row.noted,
        )

    def doubt(self, tx: Tx, held: Held, row: Addressee) -> str:
        """Say why an answer is not proven to be the party's; empty when it is."""
        if not row.answer:
            return "by hand"
        return self.doubt_of(tx, held, row.party, row.answer)

    def doubt_of(self, tx: Tx, held: Held, party: str, text: str) -> str:
        """Say why a signed text is not proven to be a party's answer."""
        try:
            signed = take_apart(text)
            said = read_answer(signed)
            recall = read_recall(take_apart(held.signed))
        except ValueError as fault:
            return str(fault)
        return unproven(
            signed,
            said,
            recall=recall,
            party=party,
            keys=self._watch.keys_of(tx, party),
            compared=[
                pin.fingerprint
                for pin in Pins().all(tx)
                if pin.party == party and pin.key is None
            ],
        )
