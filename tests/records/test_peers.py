from collections.abc import Iterator
from pathlib import Path

import pytest

from serantau.clock import SetClock
from serantau.errors import BadRequest, ConfigError, NotFound
from serantau.records.database import Database
from serantau.records.migrations import migrate
from serantau.records.peers import Cursor, Peer, Peers
from serantau.records.seal import Seal

SEAL = Seal(Seal.new_key())
PEERS = Peers()


@pytest.fixture
def db(store_url: str) -> Iterator[Database]:
    db = Database(store_url, SetClock())
    migrate(db)
    yield db
    db.close()


def add(db: Database, **fields: str) -> Peer:
    peer = Peer(**{"name": "th", "url": "https://th.example/", **fields})  # type: ignore[arg-type]
    with db.write() as tx:
        return PEERS.add(tx, peer, SEAL)


def advance(db: Database, peer: Peer, resume: str, **counts: int) -> None:
    with db.write() as tx:
        counts = {"pulled": 0, "held": 0, "refused": 0, **counts}
        PEERS.advance(tx, peer, "c1", resume=resume, **counts)


def cursor(db: Database, peer: Peer) -> Cursor:
    with db.read() as tx:
        return PEERS.cursor(tx, peer, "c1")


def test_a_secret_is_nowhere_in_the_store_in_clear(
    db: Database, tmp_path: Path
) -> None:
    peer = add(db, secret="correct horse", user="sg")
    assert peer.secret == "correct horse"
    assert "correct horse" not in repr(peer)
    with db.read() as tx:
        row = tx.row("SELECT * FROM peer")
        assert "correct horse" not in str(row)
        assert [one.secret for one in PEERS.list(tx)] == [""]
        assert PEERS.get(tx, "th", SEAL).secret == "correct horse"
        with pytest.raises(ConfigError, match="another key"):
            PEERS.get(tx, "th", Seal(Seal.new_key()))
    db.close()
    for file in tmp_path.iterdir():
        assert b"correct horse" not in file.read_bytes()


def test_no_secret_stays_no_secret() -> None:
    assert SEAL.seal("") == SEAL.open("") == ""
    assert "key" not in repr(SEAL).lower()
    with pytest.raises(ValueError, match="32"):
        Seal(b"short")


def test_a_name_or_label_that_is_none_is_refused(db: Database) -> None:
    for fields in ({"name": "TH!"}, {"name": ""}, {"handle_as": "TLP:PINK"}):
        with pytest.raises(BadRequest):
            add(db, **fields)
    with db.read() as tx:
        assert PEERS.list(tx) == []


def test_a_cursor_moves_and_counts(db: Database) -> None:
    peer = add(db)
    assert cursor(db, peer) == Cursor("c1")
    advance(db, peer, "2026-01-01T00:00:00.000001Z", pulled=3, held=1)
    advance(db, peer, "", refused=2)
    now = cursor(db, peer)
    assert (now.pulled, now.held, now.refused) == (3, 1, 2)
    assert now.added_after == "2026-01-01T00:00:00.000001Z"


def test_a_rolled_back_page_leaves_its_cursor_behind(db: Database) -> None:
    peer = add(db)

    def crash() -> None:
        with db.write() as tx:
            PEERS.advance(tx, peer, "c1", resume="later", pulled=1, held=0, refused=0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert cursor(db, peer) == Cursor("c1")


def test_a_new_secret_keeps_the_cursor_and_a_new_address_does_not(
    db: Database,
) -> None:
    peer = add(db, secret="one")
    advance(db, peer, "2026-01-01T00:00:00.000001Z")
    assert add(db, secret="two").number == peer.number
    assert cursor(db, peer).added_after
    add(db, url="https://new.example/")
    assert cursor(db, peer) == Cursor("c1")


def test_a_fault_is_told_until_a_pull_ends_well(db: Database) -> None:
    peer = add(db)
    for fault in ("", "th cannot be reached"):
        with db.write() as tx:
            PEERS.ended(tx, peer, "c1", fault)
    broken = cursor(db, peer)
    assert (broken.fault, broken.at > 0) == ("th cannot be reached", True)
    with db.write() as tx:
        PEERS.ended(tx, peer, "c1", "")
    mended = cursor(db, peer)
    assert mended.fault == ""
    assert mended.at > broken.at


def test_a_removed_peer_takes_its_cursors_and_admits_nothing_more(
    db: Database,
) -> None:
    peer = add(db)
    advance(db, peer, "2026-01-01T00:00:00.000001Z")
    with db.write() as tx:
        PEERS.remove(tx, "th")
    with db.read() as tx:
        assert PEERS.cursors(tx, peer) == []
    with pytest.raises(NotFound):
        advance(db, peer, "later")
    with db.write() as tx:
        PEERS.ended(tx, peer, "c1", "too late")
        assert PEERS.cursors(tx, peer) == []
        for act in (PEERS.remove, lambda tx, name: PEERS.enable(tx, name, True)):
            with pytest.raises(NotFound, match="No peer is named 'th'"):
                act(tx, "th")


def test_a_disabled_peer_is_kept(db: Database) -> None:
    add(db, secret="one")
    with db.write() as tx:
        PEERS.enable(tx, "th", False)
        assert [one.enabled for one in PEERS.list(tx)] == [False]
        assert PEERS.get(tx, "th", SEAL).secret == "one"


def test_a_rewound_peer_is_pulled_anew(db: Database) -> None:
    peer = add(db)
    advance(db, peer, "2026-01-01T00:00:00.000001Z", pulled=3)
    with db.write() as tx:
        PEERS.rewind(tx, peer)
    assert cursor(db, peer) == Cursor("c1", pulled=3)
