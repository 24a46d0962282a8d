"""A region for tests: several real nodes in one process, no sockets, a set clock.

Each node has its own store and the real application; a request goes from one node's
client to another's doors through memory. A scenario reads like an incident:

    with Region(tmp_path, members=["th", "sg"], partners=["jp"]) as region:
        region.mesh()
        region.load("th", [indicator])
        region.sync()
        assert indicator["id"] in region["sg"].ids()
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, TypeVar

import httpx2
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serantau.apps.web.server import create_app
from serantau.clock import SetClock
from serantau.config import (
    FederationSection,
    HandlingSection,
    NodeConfig,
    NodeSection,
    StoreSection,
)
from serantau.desk.federate import WHOLE, Federation, PullReport
from serantau.desk.intake import Intake, Report
from serantau.node import SEAL_FILE, SIGNING_FILE, Node
from serantau.records.database import Database
from serantau.records.migrations import migrate
from serantau.records.peers import Peer
from serantau.records.pins import PinRow, Pins
from serantau.records.registry import Access
from serantau.records.seal import Seal
from serantau.rules.key import Key
from serantau.rules.party import Circle, Kind, Party
from serantau.testing_line import Line, Loop
from serantau.wire.bundle import Piece
from serantau.wire.signer import Signer, keep_signer

T = TypeVar("T")
_COMPARING = (Kind.MEMBER, Kind.COORDINATOR)
_SPACE = uuid.UUID("3f0c4d2e-52e4-4d68-9a40-3a3f0f0f9a11")


def identity_of(name: str) -> str:
    """Give the STIX id of a member's identity in a region."""
    return f"identity--{uuid.uuid5(_SPACE, name)}"


def signer_of(name: str) -> Signer:
    """Give what a node of a region signs with: the same in every run."""
    seed = hashlib.sha256(f"a region's {name}".encode()).digest()
    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


@cache
def _tables() -> dict[str, bytes]:
    """Make the tables of a store, by file: that takes longer than to copy them."""
    with TemporaryDirectory() as folder:
        db = Database(f"sqlite:///{folder}/serantau.db", SetClock())
        migrate(db)
        db.close()
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


class Region:
    """Nodes that know each other as parties. Links between them are made one by one."""

    def __init__(
        self,
        folder: Path,
        members: Sequence[str],
        *,
        partners: Sequence[str] = (),
        store_urls: Mapping[str, str] | None = None,
        start: str = "2026-01-01T00:00:00Z",
        realm: str = "live",
        handling: HandlingSection | None = None,
        page: int = 1000,
    ) -> None:
        """Open a node for each member and partner.

        Args:
            folder: where the nodes' data directories are made.
            members: names of members, such as "th".
            partners: names of dialogue partners.
            store_urls: SQLAlchemy URLs by name; SQLite in the node's folder otherwise.
            start: what the clock of all of them shows first.
            realm: the realm of all of them.
            handling: how objects without a TLP marking are handled.
            page: objects asked for at a time.
        """
        self.clock = SetClock(start)
        self._folder = folder
        self._urls = dict(store_urls or {})
        self._handling = handling or HandlingSection()
        self._realm = realm
        self._page = page
        self._kinds: dict[str, Kind] = {}
        self._sites: dict[str, Site] = {}
        self._cut: set[frozenset[str]] = set()
        self._loop = Loop()
        try:
            for name in members:
                self.join(name)
            for name in partners:
                self.join(name, Kind.PARTNER)
        except BaseException:
            self.close()
            raise

    def join(
        self,
        name: str,
        kind: Kind = Kind.MEMBER,
        *,
        realm: str = "",
        pinned: bool = True,
    ) -> Site:
        """Open one more node; those here and it get to know each other as parties.

        pinned: the members among them also pin each other's keys.
        """
        home = self._folder / name
        (home / "keys").mkdir(parents=True)
        (home / "keys" / SEAL_FILE).write_bytes(Seal.new_key())
        keep_signer(home / "keys" / SIGNING_FILE, signer_of(name))
        if name not in self._urls:
            for file, content in _tables().items():
                (home / file).write_bytes(content)
        config = NodeConfig(
            home=home,
            node=NodeSection(
                member=name,
                team=f"{name} CERT",
                realm=realm or self._realm,
                identity=identity_of(name),
                role="coordinator" if kind is Kind.COORDINATOR else "member",
            ),
            store=StoreSection(url=self._urls.get(name, "")),
            handling=self._handling,
            federation=FederationSection(page=self._page, hint_milliseconds=10),
        )
        site = Site(self, config)
        site.write(lambda tx: _furnish(site.node, tx))
        self._kinds[name] = kind
        for other in [*self._sites.values()]:
            other.party(name, kind=kind)
            site.party(other.name, kind=self._kinds[other.name])
            # Members compare fingerprints when they first meet, as people would.
            if kind in _COMPARING and pinned:
                other.pin(name)
            if self._kinds[other.name] in _COMPARING and pinned:
                site.pin(other.name)
        self._sites[name] = site
        return site

    def __getitem__(self, name: str) -> Site:
        return self._sites[name]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites.values())

    def peer(self, one: str, other: str) -> None:
        """Let two nodes pull from each other, each with a token of the other's."""
        self[one].follow(self[other])
        self[other].follow(self[one])

    def mesh(self) -> None:
        """Let every node pull from every other."""
        for site in self:
            for other in self:
                if other is not site:
                    site.follow(other)

    def load(
        self, name: str, objects: Iterable[Mapping[str, Any] | bytes], **how: Any
    ) -> Report:
        """Load objects into one node, as from a file."""
        return self[name].load(objects, **how)

    def sync(self) -> list[PullReport]:
        """Let every node pull from its peers, until nothing new comes to any.

        After the first time it pulls only from those that have something else since.

        Raises:
            AssertionError: it does not come to rest.
        """
        reports: list[PullReport] = []
        seen: dict[tuple[str, str], tuple[int, int]] = {}
        for _ in range(2 * len(self._sites) + 2):
            turn = self._turn(seen)
            reports += turn
            if not any(report.new for report in turn):
                return reports
        raise AssertionError("the region does not come to rest")

    def _turn(self, seen: dict[tuple[str, str], tuple[int, int]]) -> list[PullReport]:
        """Let every node pull once; `seen` is what its peers had the last time."""
        reports = []
        for site in self:
            for peer in site.peers():
                has = self._state(peer)
                if seen.get((site.name, peer)) != has:
                    seen[site.name, peer] = has
                    reports.append(site.federation.pull(peer))
        return reports

    def _state(self, name: str) -> tuple[int, int]:
        """Give what changes whenever a node has something else for anybody.

        One that is not of this region has nothing.
        """
        if name not in self._sites:
            return 0, 0
        with self._sites[name].node.db.read() as tx:
            return int(tx.value("SELECT last FROM stamp")), tx.epoch()

    def cut(self, one: str, other: str) -> None:
        """Cut the line between two nodes."""
        self._cut.add(frozenset((one, other)))

    def heal(self, one: str, other: str) -> None:
        """Mend the line between two nodes."""
        self._cut.discard(frozenset((one, other)))

    def restart(self, name: str) -> None:
        """Close one node and open it again on the same store."""
        self[name].close()
        self[name].open()

    def carry(self, caller: str, request: httpx2.Request) -> httpx2.Response:
        """Bring a request from one node to the doors of another."""
        host = request.url.host.removesuffix(".example")
        site = self._sites.get(host)
        if site is None or frozenset((caller, host)) in self._cut:
            raise httpx2.ConnectError("the line is cut", request=request)
        return site.line.handle_request(request)

    @property
    def loop(self) -> Loop:
        """Give the event loop that all doors run in."""
        return self._loop

    def close(self) -> None:
        """Close every node."""
        for site in self._sites.values():
            site.close()
        self._loop.close()

    def __enter__(self) -> Region:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


class Site:
    """One node of a region, with its doors and its federation."""

    def __init__(self, region: Region, config: NodeConfig) -> None:
        """Open the node that `config` describes."""
        self.name = config.node.member
        self.config = config
        self._region = region
        self._opening = threading.Lock()
        self._line: Line | None = None
        self.open()

    def open(self) -> None:
        """Open the node."""
        self.node = Node(self.config, self._region.clock)
        self.intake = Intake(self.node)
        self.federation = Federation(
            self.node,
            transport=lambda _: _Carried(self._region, self.name),
            sleep=lambda seconds: self._region.clock.advance(seconds=seconds),
        )

    @property
    def line(self) -> Line:
        """Give the way to the doors, which open when somebody first comes."""
        with self._opening:
            if self._line is None:
                self._line = Line(create_app(self.node), self._region.loop)
            return self._line

    def close(self) -> None:
        """Close the doors and the node."""
        if self._line is not None:
            self._line.close()
            self._line = None
        self.node.close()

    @property
    def url(self) -> str:
        """Give the address under which the region's nodes reach this one."""
        return f"https://{self.name}.example/taxii2/"

    def write(self, work: Callable[[Any], T]) -> T:
        """Do something in a write transaction of this node's store."""
        with self.node.db.write() as tx:
            return work(tx)

    def party(self, name: str, **fields: Any) -> None:
        """Add a party to this node, or change one: kind, blocked, ceiling and so on."""

        def put(tx: Any) -> None:
            known = self.node.registry.parties(tx)
            held = (
                known[name][1]
                if name in known
                else Party(name, Kind.MEMBER, identity=identity_of(name))
            )
            self.node.registry.put_party(tx, replace(held, **fields))

        self.write(put)

    def pin(self, name: str, key: Key | None = None) -> None:
        """Pin a party's key, as a person does who compared its words."""
        key = key or signer_of(name).key
        row = PinRow(name, key.id, key, identity_of(name), 0, "admin")
        self.write(lambda tx: Pins().put(tx, row))

    def circle(self, name: str, members: Iterable[str]) -> Circle:
        """Make a circle on this node, or say anew who is in it."""
        return self.write(lambda tx: self.node.registry.put_circle(tx, name, members))

    def follow(self, other: Site, **fields: Any) -> None:
        """Make `other` a peer of this node, with a token that `other` gives out."""
        user = f"node-{self.name}"

        def admit(tx: Any) -> str:
            if user not in {row.name for row in other.node.registry.users(tx)}:
                other.node.registry.add_user(tx, user, self.name, "reader")
            return other.node.registry.add_token(tx, user, "federation")

        token = other.write(admit)
        peer = Peer(name=other.name, url=other.url, secret=token)
        self.write(
            lambda tx: self.federation.peers.add(
                tx, replace(peer, **fields), self.node.seal
            )
        )

    def load(self, objects: Iterable[Mapping[str, Any] | bytes], **how: Any) -> Report:
        """Load objects as from a file."""
        pieces = (
            Piece(
                ordinal=place,
                offset=0,
                line=place,
                raw=one if isinstance(one, bytes) else orjson.dumps(one),
            )
            for place, one in enumerate(objects, 1)
        )
        return self.intake.take(pieces, origin="a file", **how)

    def plant(self, *objects: Mapping[str, Any]) -> None:
        """Put objects into the store as no honest node would: nothing is looked at."""
        versions = [self.node.reader.read(orjson.dumps(each)) for each in objects]
        handling = self.intake.handling("file")
        self.write(
            lambda tx: self.node.objects.admit(
                tx, versions, source="file", handling=handling
            )
        )

    def peers(self) -> list[str]:
        """Name the peers that this node pulls from."""
        with self.node.db.read() as tx:
            peers = self.federation.peers.list(tx)
        return [peer.name for peer in peers if peer.enabled]

    def sync(self) -> list[PullReport]:
        """Pull once from every enabled peer."""
        return [self.federation.pull(peer) for peer in self.peers()]

    def ids(self) -> set[str]:
        """Give the ids of all objects that this node holds."""
        return {object_id for object_id, _, _ in self.versions()}

    def versions(self) -> set[tuple[str, int, bytes]]:
        """Give (id, modified, body) of all that this node holds, each exactly once.

        Raises:
            AssertionError: something is here twice.
        """
        with self.node.db.read() as tx:
            rows = tx.rows("SELECT id, modified, body FROM object")
        found = {(row.id, int(row.modified), bytes(row.body)) for row in rows}
        assert len({one[:2] for one in found}) == len(rows)  # noqa: S101 - a test's claim
        return found


def _furnish(node: Node, tx: Any) -> None:
    """Give a new node what every one has: its own party, and a collection of it all."""
    member = node.config.node.member
    node.registry.put_party(
        tx, Party(member, Kind.OWN, identity=node.config.node.identity)
    )
    node.registry.put_collection(
        tx, WHOLE, "What this node releases to you", access=Access(read=("everyone",))
    )


class _Carried(httpx2.BaseTransport):
    """A node's way to the others through its region."""

    def __init__(self, region: Region, caller: str) -> None:
        self._region = region
        self._caller = caller

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._region.carry(self._caller, request)
