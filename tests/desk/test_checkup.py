"""The doctor on PostgreSQL, and with a peer that it can ask."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.checkup import Finding, Level, checkup
from serantau.desk.found import Charter, found
from serantau.node import Node
from serantau.records.peers import Peer, Peers


def about(findings: list[Finding], area: str) -> list[Finding]:
    return [finding for finding in findings if finding.area == area]


@contextmanager
def answering(status: int, date: str) -> Iterator[str]:
    """A server that refuses everybody, at a time of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", date)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found(tmp_path / "th", Charter("th", "ThaiCERT"))
    return tmp_path / "th"


def follow(home: Path, url: str) -> None:
    with Node(load_config(home)) as node, node.db.write() as tx:
        Peers().add(tx, Peer("vn", url, secret="token"), node.seal)


def test_postgresql_is_looked_at_and_never_trusted_without_fsync(
    postgres_database: str, tmp_path: Path
) -> None:
    found(tmp_path / "th", Charter("th", "ThaiCERT", store=postgres_database))
    findings = list(checkup(tmp_path / "th", peers=False))
    said = {finding.said: finding.level for finding in about(findings, "postgresql")}
    # The tests' own server runs without, for speed.
    assert said["fsync is off"] is Level.FAIL
    assert any(one.startswith("version ") for one in said)
    assert any("text search" in one for one in said)
    assert all(one.mend for one in findings if one.level is not Level.OK)


def test_a_database_that_does_not_answer_is_told_without_its_password(
    tmp_path: Path, home: Path
) -> None:
    url = "postgresql+psycopg://th:secret@127.0.0.1:9/th"
    findings = list(checkup(home, {"SERANTAU_STORE_URL": url}))
    (finding,) = about(findings, "database")
    assert finding.level is Level.FAIL
    assert "secret" not in finding.said


def test_a_peer_that_refuses_the_login_and_whose_clock_differs_is_told(
    home: Path,
) -> None:
    with answering(401, formatdate(0, usegmt=True)) as url:
        follow(home, url)
        findings = about(list(checkup(home)), "peer vn")
    levels = [finding.level for finding in findings]
    assert levels == [Level.FAIL, Level.WARN, Level.WARN]
    assert "nothing was pulled yet" in findings[1].said
    assert "ahead of its clock" in findings[2].said


def test_a_clock_behind_the_last_stamp_is_told(home: Path) -> None:
    findings = list(checkup(home, clock=SetClock("2020-01-01T00:00:00Z")))
    (finding,) = about(findings, "clock")
    assert finding.level is Level.WARN
    assert "behind the store's last stamp" in finding.said


def test_listening_beyond_loopback_without_tls_is_told(home: Path) -> None:
    findings = list(checkup(home, {"SERANTAU_HTTP_HOST": "0.0.0.0"}))  # noqa: S104
    assert [one.level for one in about(findings, "http")] == [Level.WARN]
    behind = {"SERANTAU_HTTP_HOST": "0.0.0.0", "SERANTAU_HTTP_BASE_URL": "https://x"}  # noqa: S104
    assert about(list(checkup(home, behind)), "http") == []


def test_a_certificate_that_cannot_be_used_is_told(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("no certificate")
    named = {"SERANTAU_HTTP_CERTIFICATE": str(file), "SERANTAU_HTTP_KEY": str(file)}
    findings = about(list(checkup(home, named)), "certificate")
    assert [one.level for one in findings] == [Level.FAIL]


def test_the_doctor_leaves_nothing_behind(home: Path) -> None:
    before = sorted(path.name for path in home.iterdir())
    list(checkup(home))
    after = {path.name for path in home.iterdir()}
    # SQLite's own files beside a database come and go with its connections.
    kept = [name for name in after if not name.endswith(("-wal", "-shm"))]
    assert sorted(kept) == before
