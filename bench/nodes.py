"""Nodes to be measured: founded in a folder, run as processes, as people run them."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from serantau.config import NodeConfig, load_config
from serantau.desk.found import Charter, found
from serantau.desk.signing import card_of, pin_in
from serantau.node import Node
from serantau.records.peers import Peer, Peers
from serantau.wire.taxii import API_ROOT, DISCOVERY, MEDIA_TYPE

HOST = "127.0.0.1"
WHOLE = "released"
BOX = "inbox"
COMMAND = [sys.executable, "-m", "serantau.apps.cli.main"]
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Bench:
    """A founded node. settings: of the environment of its processes."""

    home: Path
    member: str
    port: int
    settings: Mapping[str, str]

    @property
    def config(self) -> NodeConfig:
        """Give the node's configuration."""
        return load_config(self.home, self.settings)

    @property
    def url(self) -> str:
        """Give the address at which the node answers."""
        return f"http://{HOST}:{self.port}{DISCOVERY}"

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a command of the node with --json, and give what it says.

        Raises:
            AssertionError: it failed.
        """
        done = subprocess.run(
            [*COMMAND, "--home", str(self.home), *arguments, "--json"],
            env=environment(self.settings),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        said = orjson.loads(done.stdout)
        return said if isinstance(said, dict) else {"rows": said}

    def token(self, user: str, party: str, role: str = "reader") -> str:
        """Let a user of a party in, and give its token."""
        with Node(self.config) as node, node.db.write() as tx:
            node.registry.add_user(tx, user, party, role)
            return node.registry.add_token(tx, user, "bench")

    def follow(self, other: Bench) -> None:
        """Make another node a peer of this one."""
        token = other.token(f"node-{self.member}-{self.port}", self.member)
        peer = Peer(name=other.member, url=other.url, secret=token)
        with Node(other.config) as node:
            card = card_of(other.member, node.signer.key)
        with Node(self.config) as node, node.db.write() as tx:
            Peers().add(tx, peer, node.seal)
            pin_in(node, tx, other.member, card, "bench")

    @contextmanager
    def served(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the node's server, `serantau serve` unless told otherwise."""
        serve = [*COMMAND, "--home", str(self.home), "serve"]
        log = self.home / "server.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command) or serve,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait(process, log)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        give_up = time.monotonic() + _READY_SECONDS
        while time.monotonic() < give_up and process.poll() is None:
            try:
                status, _ = ask(self.port, "GET", "/readyz")
            except OSError:
                time.sleep(0.05)
            else:
                if status == 200:
                    return
        raise AssertionError(f"no server:\n{log.read_text(errors='replace')}")


def found_node(
    folder: Path, member: str = "th", *, store: str = "", **settings: str
) -> Bench:
    """Found a node in a folder of its own.

    Args:
        folder: where its folder is made.
        member: a code of the profile.
        store: a database's URL; SQLite in the folder without it.
        settings: of its configuration, named as in the environment.
    """
    home = folder / member
    port = free_port()
    found(home, Charter(member, f"{member} CERT", host=HOST, port=port, store=store))
    given = {"SERANTAU_LOG_LEVEL": "warning", **settings}
    return Bench(home, member, port, given)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a process that is measured: no coverage, our settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_", "COV_CORE_", "SERANTAU_"))
    }
    return {**kept, **settings}


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


def headers(token: str) -> tuple[str, ...]:
    """Give the headers of a TAXII request with a bearer token."""
    return (f"Authorization: Bearer {token}", f"Accept: {MEDIA_TYPE}")


def ask(
    port: int, method: str, path: str, token: str = "", body: bytes | None = None
) -> tuple[int, bytes]:
    """Ask a node on this machine once."""
    with open_line(port) as line:
        return request(line, method, path, token, body)


@contextmanager
def open_line(port: int) -> Iterator[http.client.HTTPConnection]:
    """Open a connection for several questions."""
    line = http.client.HTTPConnection(HOST, port, timeout=120)
    try:
        yield line
    finally:
        line.close()


def request(
    line: http.client.HTTPConnection,
    method: str,
    path: str,
    token: str = "",
    body: bytes | None = None,
) -> tuple[int, bytes]:
    """Ask over an open connection."""
    said = dict(head.split(": ", 1) for head in headers(token)) if token else {}
    if body is not None:
        said["Content-Type"] = MEDIA_TYPE
    line.request(method, path, body=body, headers=said)
    answer = line.getresponse()
    return answer.status, answer.read()


def collection_path(name: str = WHOLE) -> str:
    """Give the path of a collection."""
    return f"{API_ROOT}collections/{name}/"
