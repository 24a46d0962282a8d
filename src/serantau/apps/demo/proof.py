"""The proof: what the receivers hold is what was released to them, and nothing else.

For every version that a sender loaded and every other node, the sender's verdict is
held against the receiver's store. What a receiver got from anyone must stand in the
release log of whoever gave it, under a verdict that released it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from serantau.apps.demo.region import FOLLOWS, Region, Site
from serantau.apps.demo.watch import FROM_FILE, Held, Key, held, verdicts
from serantau.rules.release import Verdict

_PEER = "peer:"
_SHOWN = 20


@dataclass(slots=True)
class Checked:
    """What was found at one receiver about one sender's data.

    there: released and there. relayed: there though this sender does not serve the
    receiver itself. absent: withheld and not there. pending: the sender would release
    it, but no one whom the receiver follows may pass it on. refused: released, and
    refused by the receiver, with its reason in quarantine. others: withheld by this
    sender, and there by another one's own release. faults: what must not be.
    """

    sender: str
    recipient: str
    there: int = 0
    relayed: int = 0
    absent: int = 0
    pending: int = 0
    refused: int = 0
    others: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Proof:
    """All that was checked. given: objects found in the release log of their giver."""

    checked: list[Checked]
    given: int
    faults: list[str]

    @property
    def holds(self) -> bool:
        """Say whether nothing is anywhere that must not be, and nothing is missing."""
        return not self.faults and not any(each.faults for each in self.checked)

    @property
    def all_faults(self) -> list[str]:
        """List what must not be, the first of each kind."""
        found = list(self.faults)
        for each in self.checked:
            found += each.faults
        return found[:_SHOWN]


@dataclass(slots=True)
class _Store:
    """One node's store, read once. quarantined: ids that it refused."""

    versions: dict[Key, Held]
    bodies: dict[Key, bytes]
    quarantined: set[str]


def prove(region: Region, senders: tuple[str, ...]) -> Proof:
    """Check every receiver against every sender."""
    stores = {site.name: _read(site) for site in region.sites.values()}
    checked = [
        _check(region, stores, sender, recipient)
        for sender in senders
        for recipient in region.sites
        if recipient != sender
    ]
    given, faults = 0, []
    for name in region.sites:
        count, found = _check_givers(region, stores, name)
        given += count
        faults += found
    return Proof(checked, given, faults)


def _read(site: Site) -> _Store:
    with site.opened.db.read() as tx:
        versions = dict(held(tx))
        bodies = {
            (int(row.key), int(row.modified)): bytes(row.body)
            for row in tx.stream("SELECT key, modified, body FROM object")
        }
        quarantined = {row.id for row in tx.rows("SELECT id FROM quarantine")}
    return _Store(versions, bodies, quarantined)


def _check(
    region: Region, stores: dict[str, _Store], sender: str, recipient: str
) -> Checked:
    checked = Checked(sender, recipient)
    site, ours, theirs = region[sender], stores[sender], stores[recipient]
    direct = sender in FOLLOWS[recipient]
    with site.opened.db.read() as tx:
        decided = verdicts(site, tx, recipient)
    for key, one in ours.versions.items():
        if one.source != FROM_FILE:
            continue
        verdict = decided[one.marking_set]
        there = theirs.versions.get(key)
        if there is None:
            _absent(checked, one, verdict, theirs, direct=direct)
        elif verdict.released:
            checked.there += direct
            checked.relayed += not direct
            if theirs.bodies[key] != ours.bodies[key]:
                checked.faults.append(f"{one.id} is not the same at {recipient}")
        elif _by_another(region, stores, key, recipient):
            checked.others += 1
        else:
            checked.faults.append(
                f"{one.id} is at {recipient}, from {there.source}, "
                f"though {sender} has it {verdict}"
            )
    return checked


def _absent(
    checked: Checked, one: Held, verdict: Verdict, theirs: _Store, *, direct: bool
) -> None:
    if not verdict.released:
        checked.absent += 1
    elif one.id in theirs.quarantined:
        checked.refused += 1
    elif direct:
        checked.faults.append(
            f"{one.id} was released by {checked.sender}, "
            f"and is not at {checked.recipient}"
        )
    else:
        checked.pending += 1


def _by_another(
    region: Region, stores: dict[str, _Store], key: Key, recipient: str
) -> bool:
    """Say whether the receiver loaded it too, or another who did releases it to it."""
    if not stores[recipient].versions[key].source.startswith(_PEER):
        return True
    for name, store in stores.items():
        one = store.versions.get(key)
        if name == recipient or one is None or one.source != FROM_FILE:
            continue
        site = region[name]
        with site.opened.db.read() as tx:
            if verdicts(site, tx, recipient)[one.marking_set].released:
                return True
    return False


def _check_givers(
    region: Region, stores: dict[str, _Store], recipient: str
) -> tuple[int, list[str]]:
    """Find each object that came from a peer in that peer's release log."""
    by_giver: dict[str, list[tuple[Key, Held]]] = {}
    for key, one in stores[recipient].versions.items():
        if one.source.startswith(_PEER):
            giver = one.source.removeprefix(_PEER)
            by_giver.setdefault(giver, []).append((key, one))
    count, faults = 0, []
    for giver, several in by_giver.items():
        site = region[giver]
        with site.opened.db.read() as tx:
            decided = verdicts(site, tx, recipient)
            logged = _Logged(site, recipient)
        for key, one in several:
            source = stores[giver].versions.get(key)
            if source is None:
                faults.append(f"{one.id} came to {recipient} from {giver}, without it")
            elif not decided[source.marking_set].released:
                verdict = decided[source.marking_set]
                faults.append(f"{one.id} went from {giver} to {recipient}: {verdict}")
            elif source.added not in logged:
                faults.append(f"{one.id} went to {recipient}; {giver}'s log has no row")
            else:
                count += 1
    return count, faults


class _Logged:
    """The stamps that a node's release log says went to one party."""

    def __init__(self, site: Site, recipient: str) -> None:
        node = site.opened
        self._runs: list[tuple[int, int]] = []
        with node.db.read() as tx:
            number, _ = node.registry.party(tx, recipient)
            for row in tx.rows(
                "SELECT n FROM ledger.release WHERE party = :party", party=number
            ):
                self._runs += node.ledger.stamps_of(tx, int(row.n))
        self._runs.sort()

    def __contains__(self, stamp: object) -> bool:
        return isinstance(stamp, int) and any(
            first <= stamp <= last for first, last in self._runs
        )
