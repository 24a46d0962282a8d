"""How nodes follow each other: pulled pages, hints that make a pull happen now.

A page, its refusals and the cursor behind it are one transaction. So a crash at any
instruction leaves a place from which the next pull goes on, and loops between peers end
by themselves: what a node already holds is not new to it.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import httpx2
import structlog

from serantau.desk.abroad import Abroad
from serantau.desk.arriving import Arriving
from serantau.desk.case_flood import RULES, expect_room
from serantau.desk.follow import Follow
from serantau.desk.intake import Intake, Report, uncollected
from serantau.desk.keys import WAITING, Bringer
from serantau.desk.publisher import Publisher
from serantau.desk.reading import BATCH, Read, Reading
from serantau.desk.recall_line import Exchanged, RecallLine
from serantau.desk.watch import Watch, Watched
from serantau.errors import PeerError, SerantauError
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.peers import Peer, Peers
from serantau.records.quarantine import Fault
from serantau.rules.party import Kind
from serantau.rules.stix import ObjectVersion
from serantau.rules.trust import Demand
from serantau.wire.client import CollectionIn, PageIn, TaxiiClient

# Federation wants every version: a new member has the history, not only its end.
_EVERY_VERSION = {"version": "all"}
WHOLE = "released"
# How often the list of peers is read again.
_ROSTER_SECONDS = 2.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Pulled:
    """What one pull brought from one collection. fault: why it broke off, or empty."""

    collection: str
    title: str
    new: int = 0
    held: int = 0
    refused: int = 0
    pages: int = 0
    seconds: float = 0.0
    fault: str = ""


@dataclass(slots=True)
class PullReport:
    """What one pull brought.

    events: rows about this member's machines. fault: why the peer could not be asked,
    or empty. log: what its release log told, None where it was not looked at. recalls:
    what came of asking for those.
    """

    peer: str
    collections: list[Pulled] = field(default_factory=list)
    events: int = 0
    fault: str = ""
    log: Watched | None = None
    recalls: Exchanged = field(default_factory=Exchanged)

    @property
    def new(self) -> int:
        """Count the objects that were new here."""
        return sum(one.new for one in self.collections)

    @property
    def held(self) -> int:
        """Count the objects that were here already."""
        return sum(one.held for one in self.collections)

    @property
    def refused(self) -> int:
        """Count the objects that went to quarantine."""
        return sum(one.refused for one in self.collections)

    @property
    def faults(self) -> list[str]:
        """List what went wrong, in words."""
        several = [self.fault, *(one.fault for one in self.collections)]
        return list(dict.fromkeys(filter(None, several)))


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """How it stands with a peer.

    at: when this node last had everything that the peer lets it have, as an instant; 0
    before. lag: seconds since then, None before. fault: why the last pull broke off.
    new, held, refused: objects since the beginning. alarms: what is wrong with its log.
    """

    peer: Peer
    at: int
    lag: float | None
    fault: str
    new: int
    held: int
    refused: int
    alarms: tuple[str, ...] = ()


class Federation:
    """Pulls what peers let this node have."""

    def __init__(
        self,
        node: Node,
        *,
        transport: Callable[[Peer], httpx2.BaseTransport | None] = lambda _: None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Pull into `node`.

        Args:
            node: an open node.
            transport: what carries the requests to a peer, None for sockets.
            sleep: waits where a peer asks for it.
        """
        self._node = node
        self._transport = transport
        self._sleep = sleep
        self._stop = threading.Event()
        self._bulk = threading.Lock()
        self._intake = Intake(node)
        self._abroad = Abroad(node)
        self._publisher = Publisher(node)
        self.watch = Watch(node)
        self.recalls = RecallLine(node)
        self.peers = Peers()

    def peer(self, name: str) -> Peer:
        """Give a peer, ready to be asked.

        Raises:
            NotFound: no peer has this name.
        """
        with self._node.db.read() as tx:
            return self.peers.get(tx, name, self._node.seal)

    def client(self, peer: Peer) -> TaxiiClient:
        """Open a line to a peer; whoever asked for it closes it.

        Raises:
            PeerError: its address or its certificate cannot be used.
        """
        config = self._node.config
        own = (config.http.certificate, config.http.key)
        return TaxiiClient(
            peer.url,
            name=peer.name,
            user=peer.user,
            password=peer.secret if peer.user else "",
            token="" if peer.user else peer.secret,
            realm=config.node.realm,
            ca=peer.certificate,
            certificate=own if all(own) else None,
            timeout=config.federation.timeout_seconds,
            body_bytes=config.limits.post_bytes,
            clock=self._node.clock,
            sleep=self._sleep,
            transport=self._transport(peer),
            receipts=config.ledger.receipts,
        )

    def pull(self, name: str) -> PullReport:
        """Pull everything new from one peer; what a peer does wrong is in the report.

        Raises:
            NotFound: no peer has this name.
            StoreError, ConfigError: this node cannot do it.
        """
        peer = self.peer(name)
        try:
            client = self.client(peer)
        except PeerError as fault:
            return self._told(peer, PullReport(name, fault=str(fault)))
        with client:
            return self.pull_over(peer, client)

    def pull_over(self, peer: Peer, client: TaxiiClient) -> PullReport:
        """Do what `pull` does over a line that is open already."""
        report = PullReport(peer.name)
        try:
            with self._node.db.read() as tx:
                self._expect_open(tx, peer)
                expect_room(tx, self._node.config.limits, peer.name)
            for collection in self._chosen(peer, client):
                pulled = Pulled(collection.id, collection.title)
                report.collections.append(pulled)
                self._pull_collection(peer, client, collection, pulled)
            if client.api_root().member:
                with self._node.db.read() as tx:
                    self._expect_open(tx, peer)
                report.events = self._abroad.fetch(peer, client)
                report.log = self.watch.look(peer.name, client)
                report.recalls = self.recalls.exchange(peer.name, client.line)
                self._publisher.fetch(peer, client)
        except PeerError as fault:
            report.fault = str(fault)
        return self._told(peer, report)

    def _expect_open(self, tx: Tx, peer: Peer) -> None:
        """Take nothing from a party that is blocked here, from that moment on.

        Raises:
            PeerError: it is.
        """
        held = self._node.registry.parties(tx).get(peer.name)
        if held is not None and held[1].blocked:
            raise PeerError(
                f"{peer.name} is blocked here: nothing is taken from it.",
                mend=f"`serantau party unblock {peer.name}` lifts that.",
            )

    def _told(self, peer: Peer, report: PullReport) -> PullReport:
        """Write down how a pull ended; what waited for a key it brought is tried."""
        if self._intake.turned:
            self._intake.again(WAITING)
        with self._node.db.write() as tx:
            self.peers.ended(tx, peer, "", next(iter(report.faults), ""))
            for pulled in report.collections:
                self.peers.ended(tx, peer, pulled.collection, pulled.fault)
        if report.faults:
            _log.warning("pull_broke_off", peer=peer.name, faults=report.faults)
        elif report.new or report.refused or report.events or report.recalls.new:
            _log.info(
                "pulled",
                peer=peer.name,
                new=report.new,
                refused=report.refused,
                events=report.events,
                recalls=report.recalls.new,
            )
        return report

    @staticmethod
    def _chosen(peer: Peer, client: TaxiiClient) -> list[CollectionIn]:
        readable = [one for one in client.collections() if one.can_read]
        if not peer.collection:
            # A node of our kind has one collection that holds all of the others.
            ours = client.api_root().member
            whole = [one for one in readable if ours and one.alias == WHOLE]
            return whole or readable
        chosen = [one for one in readable if peer.collection in (one.id, one.alias)]
        if not chosen:
            names = ", ".join(one.alias or one.id for one in readable) or "none"
            raise PeerError(
                f"{peer.name} lets this node read no collection {peer.collection!r}.",
                mend=f"Readable there: {names}.",
            )
        return chosen

    def _pull_collection(
        self,
        peer: Peer,
        client: TaxiiClient,
        collection: CollectionIn,
        pulled: Pulled,
    ) -> None:
        """Admit batch after batch, what comes next on its way meanwhile."""
        began = time.monotonic()
        with self._node.db.read() as tx:
            cursor = self.peers.cursor(tx, peer, collection.id)
        pages = client.pages(
            collection.id,
            added_after=cursor.added_after,
            limit=self._node.config.federation.page,
            match=_EVERY_VERSION,
        )

        def settle(resume: str, held: int) -> None:
            self._admit(peer, collection, [], [], resume, held, "")

        ours = client.api_root().member == peer.name
        pages = self._receiving(pages, peer.name if ours else "")
        arriving = Arriving(pages, self._node.db, settle, self._stop)
        reading = self._intake.reading(_origin(peer, collection))
        claimed = self._claimed(peer, client)
        try:
            with closing(self._read(reading, arriving)) as batches, uncollected():
                for versions, faults in batches:
                    resume, held = arriving.passed()
                    report = self._admit(
                        peer, collection, versions, faults, resume, held, claimed
                    )
                    self._intake.learnt(reading, versions)
                    pulled.new += report.new
                    pulled.held += report.held
                    pulled.refused += report.refused
                    versions.clear()
                    gc.collect(0)
            arriving.settle()
        finally:
            pulled.held += arriving.held
            pulled.pages = arriving.count
            pulled.fault = str(arriving.fault or "")
            pulled.seconds = time.monotonic() - began

    def _receiving(self, pages: Iterator[PageIn], member: str) -> Iterator[PageIn]:
        """Take the receipts of pages as they come."""
        for page in pages:
            self.watch.arrived(page, member)
            yield page

    def _read(
        self, reading: Reading, arriving: Arriving
    ) -> Generator[Read, None, None]:
        """Check what arrives: a page at a time, until it turns out to be a long pull.

        Then a reader process works ahead; one long pull at a time may have one.
        """
        pages = arriving.pages()
        short = BATCH
        for page in pages:
            yield reading.here(page)
            short -= len(page)
            if short <= 0 and self._bulk.acquire(blocking=False):
                break
        else:
            return
        try:
            arriving.batch = BATCH
            yield from reading.batches(piece for page in pages for piece in page)
        finally:
            self._bulk.release()

    def _admit(
        self,
        peer: Peer,
        collection: CollectionIn,
        versions: list[ObjectVersion],
        faults: list[Fault],
        resume: str,
        held: int,
        claimed: str,
    ) -> Report:
        """Take in a batch and move the cursor up to `resume`, in one transaction.

        `held` objects before it were here already, and were not even read. `claimed`:
        whom the peer says it is.
        """
        node = self._node
        # The label is kept with what is refused, so that a retry handles it the same.
        handle_as = peer.handle_as or node.config.handling.sources.get(peer.name, "")
        origin = _origin(peer, collection)
        source = f"peer:{peer.name}"
        bringer = Bringer(
            source,
            origin,
            ours=False,
            demand=Demand(peer.signatures),
            claimed=claimed,
        )
        with node.db.write() as tx:
            self._expect_open(tx, peer)
            report, _ = self._intake.admit(
                tx,
                versions,
                faults,
                source=source,
                origin=origin,
                handling=self._intake.handling(peer.name, handle_as),
                handle_as=handle_as,
                bringer=bringer,
            )
            self.peers.advance(
                tx,
                peer,
                collection.id,
                resume=resume,
                pulled=report.new,
                held=report.held + held,
                refused=report.refused,
            )
        if any(rule in report.reasons for rule in RULES):
            with node.db.read() as tx:
                expect_room(tx, node.config.limits, peer.name)
        return report

    def _claimed(self, peer: Peer, client: TaxiiClient) -> str:
        """Give the identity that a member's node says is its own; empty for others.

        Nothing is believed because of it: what is in that name has to be signed.
        """
        with self._node.db.read() as tx:
            held = self._node.registry.parties(tx).get(peer.name)
        if held is None or held[1].kind not in {Kind.MEMBER, Kind.COORDINATOR}:
            return ""
        return client.api_root().identity

    def status(self) -> list[PeerStatus]:
        """Tell how it stands with each peer."""
        with self._node.db.read() as tx:
            now = tx.clock.now()
            return [self._status(tx, peer, now) for peer in self.peers.list(tx)]

    def _status(self, tx: Tx, peer: Peer, now: int) -> PeerStatus:
        cursors = self.peers.cursors(tx, peer)
        # The row of no collection tells of the last pull as a whole.
        whole = self.peers.cursor(tx, peer, "")
        return PeerStatus(
            peer=peer,
            at=whole.at,
            lag=(now - whole.at) / 1_000_000 if whole.at else None,
            fault=whole.fault,
            new=sum(cursor.pulled for cursor in cursors),
            held=sum(cursor.held for cursor in cursors),
            refused=sum(cursor.refused for cursor in cursors),
            alarms=tuple(one.said for one in self.watch.rows.alarms(tx, peer.name)),
        )

    def run(self, stop: threading.Event) -> None:
        """Follow every enabled peer until `stop`; peers added meanwhile too."""
        self._stop, self._sleep = stop, stop.wait
        follows: dict[str, Follow] = {}
        try:
            while not stop.is_set():
                self._match(follows, stop)
                stop.wait(_ROSTER_SECONDS)
        finally:
            for follow in follows.values():
                follow.end()
            for follow in follows.values():
                follow.join()

    def _match(self, follows: dict[str, Follow], stop: threading.Event) -> None:
        """Follow whom the table names, and no one else."""
        try:
            with self._node.db.read() as tx:
                wanted = {peer.name: peer for peer in self.peers.list(tx)}
        except SerantauError as fault:
            _log.error("peers_unlisted", fault=str(fault))
            return
        for name, follow in list(follows.items()):
            if wanted.get(name) != follow.peer or not follow.peer.enabled:
                follow.end()
                del follows[name]
        for name, peer in wanted.items():
            if peer.enabled and name not in follows:
                follows[name] = Follow(self, peer, stop, self._poll_seconds)

    @property
    def _poll_seconds(self) -> float:
        return self._node.config.federation.poll_seconds


def _origin(peer: Peer, collection: CollectionIn) -> str:
    return f"{peer.name}, collection {collection.alias or collection.id}"
