"""The demo's nodes: founded, introduced to each other, and run as real processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import httpx2
import tomli_w

from serantau.config import FILE_NAME, PREFIX, load_config
from serantau.desk.found import Charter, found
from serantau.desk.signing import card_of, pin_in
from serantau.errors import ProofFailed, SerantauError
from serantau.node import Node
from serantau.records.peers import Peer, Peers

# Who takes part, with their teams as the profile has them; jp is a dialogue partner.
TEAMS: Final = {
    "th": "ThaiCERT (demo)",
    "sg": "SingCERT (demo)",
    "id": "ID-SIRTII/CC (demo)",
    "vn": "VNCERT/CC (demo)",
    "jp": "JPCERT/CC (demo)",
}
COORDINATOR: Final = "sg"
# Members follow each other; the partner and two of them follow each other.
FOLLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "th": ("sg", "id", "vn", "jp"),
    "sg": ("th", "id", "vn", "jp"),
    "id": ("th", "sg", "vn"),
    "vn": ("th", "sg", "id"),
    "jp": ("th", "sg"),
}
# Named by an audience of the example data; who is in it is th's secret.
CIRCLE: Final = "circle--6a1f2c1e-5f0e-4d38-9a77-0d4be3c1f5aa"
REALM: Final = "exercise:demo"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
# Of a node's log, told where it ended by itself.
_LOG_CHARACTERS: Final = 4000


class NotStarted(SerantauError):
    """A node of the demo did not start."""


class Ended(ProofFailed):
    """A node of the demo ended before it was told to."""


@dataclass(slots=True)
class Site:
    """One node: its folder, address, administrator's password, and process."""

    name: str
    home: Path
    port: int
    password: str = ""
    node: Node | None = None
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Give the node's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def opened(self) -> Node:
        """Give the node's store, opened beside its own process."""
        if self.node is None:
            raise NotStarted(f"The node {self.name} is not open.")
        return self.node

    def open(self) -> None:
        """Open the node's store in this process too, to look into it."""
        self.node = Node(load_config(self.home))

    def close(self) -> None:
        """Close what `open` opened."""
        if self.node is not None:
            self.node.close()
            self.node = None


class Region:
    """Five nodes. Use it as a context manager: its end ends their processes."""

    def __init__(self, folder: Path) -> None:
        """Keep the nodes' folders in `folder`."""
        self.folder = folder
        ports = _free_ports(len(TEAMS))
        self.sites = {
            name: Site(name, folder / name, port)
            for name, port in zip(TEAMS, ports, strict=True)
        }

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def __enter__(self) -> Region:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def found(self) -> None:
        """Make every node, and let each know whom it follows."""
        for site in self.sites.values():
            made = found(
                site.home,
                Charter(
                    member=site.name,
                    team=TEAMS[site.name],
                    role="coordinator" if site.name == COORDINATOR else "member",
                    url=site.url,
                    port=site.port,
                    coordinators=(COORDINATOR,),
                    # Nothing here is real: whatever leaves a node says so.
                    realm=REALM,
                ),
            )
            site.password = made.password
            site.open()
        self._introduce()
        with self["th"].opened.db.write() as tx:
            registry = self["th"].opened.registry
            registry.put_circle(tx, "mekong", ["kh", "la", "vn"], circle_id=CIRCLE)

    def configure(self, name: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Add tables to a node's settings, before it is started."""
        site = self[name]
        site.close()
        with (site.home / FILE_NAME).open("a", encoding="utf-8") as file:
            file.write("\n" + tomli_w.dumps(tables))
        site.open()

    def _introduce(self) -> None:
        for follower, followed in FOLLOWS.items():
            for name in followed:
                there, here = self[name].opened, self[follower].opened
                user = f"{follower}-node"
                with there.db.write() as tx:
                    there.registry.add_user(tx, user, follower, "reader")
                    token = there.registry.add_token(tx, user, "federation")
                with here.db.write() as tx:
                    peer = Peer(name=name, url=self[name].url, secret=token)
                    Peers().add(tx, peer, here.seal)
        # Their people have met, and compared the words of all keys.
        for one in self.sites.values():
            with one.opened.db.write() as tx:
                for other in self.sites.values():
                    if other is not one:
                        key = other.opened.signer.key
                        card = card_of(other.name, key, REALM)
                        pin_in(one.opened, tx, other.name, card, "admin")

    def start(self) -> None:
        """Start every node as a process of its own, and wait until they answer.

        Raises:
            NotStarted: one ended, or did not answer within a minute.
        """
        environment = {
            name: value for name, value in os.environ.items() if PREFIX not in name
        }
        for site in self.sites.values():
            site.log = (site.home / "serve.log").open("wb")
            site.process = subprocess.Popen(  # noqa: S603 - our own program
                [
                    *(sys.executable, "-m", "serantau.apps.cli.main"),
                    *("--home", str(site.home), "serve"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=site.log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C is for the demo, which then stops them in order.
                start_new_session=True,
            )
        give_up = time.monotonic() + _START_SECONDS
        for site in self.sites.values():
            while not _answers(site):
                ended = site.process is not None and site.process.poll() is not None
                if ended or time.monotonic() > give_up:
                    text = (site.home / "serve.log").read_text("utf-8", "replace")
                    raise NotStarted(
                        f"The node {site.name} does not answer at {site.url}.",
                        mend=text.strip()[-_LOG_CHARACTERS:] or "Its log is empty.",
                    )
                time.sleep(0.1)

    def expect_alive(self) -> None:
        """Make sure that every node's process still runs.

        Raises:
            Ended: one ended by itself; says how, and the end of what it wrote.
        """
        for site in self.sites.values():
            code = site.process.poll() if site.process is not None else None
            if code is not None:
                text = (site.home / "serve.log").read_text("utf-8", "replace")
                raise Ended(
                    f"The node {site.name} ended by itself, with code {code}.",
                    mend=text.strip()[-_LOG_CHARACTERS:] or "Its log is empty.",
                )

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Stop a node's process where it is, and let it go on afterwards."""
        site = self[name]
        # Who writes to a store or its log holds it: stopped there, all the time.
        with site.opened.db.write(), site.opened.db.ledger():
            _signal(site, signal.SIGSTOP)
            if site.process is not None:
                # Its threads go on until the signal is there, and would take the store.
                how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
                os.waitid(os.P_PID, site.process.pid, how)
        try:
            yield
        finally:
            _signal(site, signal.SIGCONT)

    def stop(self) -> None:
        """End every process, and close the stores."""
        running = [site for site in self.sites.values() if site.process is not None]
        for site in running:
            _signal(site, signal.SIGTERM)
        give_up = time.monotonic() + _STOP_SECONDS
        for site in running:
            _wait(site, give_up)
            if site.log is not None:
                site.log.close()
            site.process = None
        for site in self.sites.values():
            site.close()

    def remove(self) -> None:
        """Remove the nodes' folders; other files there stay."""
        for site in self.sites.values():
            if (site.home / FILE_NAME).exists():
                shutil.rmtree(site.home)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _signal(site: Site, number: int) -> None:
    if site.process is not None and site.process.poll() is None:
        site.process.send_signal(number)


def _wait(site: Site, give_up: float) -> None:
    if site.process is None:
        return
    try:
        site.process.wait(max(give_up - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        site.process.kill()
        site.process.wait()


def _answers(site: Site) -> bool:
    try:
        return httpx2.get(f"{site.url}/", timeout=2, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def _free_ports(count: int) -> Iterable[int]:
    """Find ports that are free now; all are held until the last is found."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()
