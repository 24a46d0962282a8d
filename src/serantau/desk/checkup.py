"""The doctor: what is well with a node, what is not, and how to mend it.

It changes nothing, and goes as far as it gets: a check that another one's finding makes
impossible is left out.
"""

from __future__ import annotations

import os
import shutil
import ssl
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from serantau.clock import Clock, SystemClock, moment
from serantau.config import FILE_NAME, NodeConfig, load_config
from serantau.desk.case_log import parties_of
from serantau.desk.case_post import MAILBOX
from serantau.desk.federate import Federation, PeerStatus
from serantau.desk.keys import Keys
from serantau.errors import ConfigError, PeerUnreachable, SerantauError
from serantau.node import SEAL_FILE, SIGNING_FILE, Node
from serantau.records.case_mail import Mails
from serantau.records.case_rounds import Steps
from serantau.records.chores import Chores
from serantau.records.database import Database
from serantau.records.migrations import current, head
from serantau.records.peers import Peer, Peers
from serantau.records.pins import Pins
from serantau.records.recalls import Recalls
from serantau.records.seal import Seal
from serantau.wire.profile import load_profile

_MB: Final = 1_000_000
_LITTLE_BYTES: Final = 1000 * _MB
_NO_BYTES: Final = 100 * _MB
_WAL_BYTES: Final = 512 * _MB
_SLOW_SECONDS: Final = 0.1
_DAY: Final = 86_400.0
_SOON_DAYS: Final = 30
_APART_SECONDS: Final = 5.0
_OLD_POLLS: Final = 10
_LOOPBACK: Final = ("127.", "localhost", "::1")
# SQLite's write-ahead log needs memory that all its processes share: no network disks.
_REMOTE: Final = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs")


class Level(StrEnum):
    """How it stands: well, not for long or not as it should be, or broken."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. mend: what to do, empty when all is well."""

    area: str
    level: Level
    said: str
    mend: str = ""


def _ok(area: str, said: str) -> Finding:
    return Finding(area, Level.OK, said)


def _warn(area: str, said: str, mend: str) -> Finding:
    return Finding(area, Level.WARN, said, mend)


def _fail(area: str, said: str, mend: str) -> Finding:
    return Finding(area, Level.FAIL, said, mend)


def checkup(
    home: Path,
    environment: Mapping[str, str] | None = None,
    *,
    clock: Clock | None = None,
    peers: bool = True,
) -> Iterator[Finding]:
    """Look at everything, in the order in which it would break.

    Args:
        home: the node's folder.
        environment: as `load_config` takes it.
        clock: where the present comes from.
        peers: also ask the peers and the mail server, as long as they take.
    """
    clock = clock or SystemClock()
    try:
        config = load_config(home, environment)
    except ConfigError as fault:
        yield _fail("config", fault.message, fault.mend or f"Edit {home / FILE_NAME}.")
        return
    if not config.node.member:
        mend = "`serantau init` makes one; --home names another folder."
        yield _fail("config", f"There is no node in {home}.", mend)
        return
    yield from _config(config)
    yield from _certificate(config, clock)
    yield from _keys(config)
    yield from _disk(config)
    sound = True
    for finding in _database(config, clock):
        sound = sound and finding.level is not Level.FAIL
        yield finding
    if not sound:
        return
    with Node(config, clock) as node:
        yield from of_node(node, ask=peers)
        if peers:
            yield from _peers(node)


def of_node(node: Node, *, ask: bool) -> Iterator[Finding]:
    """Look at what an open node holds; `ask`: also ask its mail server."""
    yield from _signing(node)
    yield from _records(node)
    yield from _clock(node)
    yield from _log(node)
    yield from _recalls(node)
    yield from _behalf(node)
    yield from _clocks(node)
    yield from _case_mail(node)
    yield from _lane(node, ask)


def _config(config: NodeConfig) -> Iterator[Finding]:
    node, path = config.node, config.home / FILE_NAME
    yield _ok("config", f"{node.team} ({node.member}), {node.role}, realm {node.realm}")
    try:
        profile = load_profile(node.profile)
    except ConfigError as fault:
        yield _fail("profile", fault.message, fault.mend)
    else:
        if profile.member(node.member) or profile.partner(node.member):
            yield _ok("profile", f"{profile.name} knows {node.member}")
        else:
            said = f"{profile.name} does not know {node.member!r}"
            yield _warn("profile", said, "Correct node.member or node.profile.")
    secret = "://" in config.store.url and "@" in config.store.url
    if secret and path.exists() and _open_to_others(path):
        said = f"{path} may hold a password, and others may read it"
        yield _fail("config", said, f"chmod 600 {path}")
    http = config.http
    exposed = not http.host.startswith(_LOOPBACK) and not http.certificate
    if exposed and not http.base_url.startswith("https://"):
        yield _warn(
            "http",
            f"it listens on {http.host} without TLS",
            "Set http.certificate and http.key, or listen on loopback behind a proxy "
            "with TLS and say so in http.base_url.",
        )


def _certificate(config: NodeConfig, clock: Clock) -> Iterator[Finding]:
    http = config.http
    if not http.certificate:
        return
    try:
        held = x509.load_pem_x509_certificates(Path(http.certificate).read_bytes())[0]
        key = load_pem_private_key(Path(http.key).read_bytes(), None)
    except (OSError, ValueError, TypeError, IndexError) as fault:
        said = f"http.certificate or http.key cannot be used: {fault}"
        yield _fail("certificate", said, "Name PEM files that this user may read.")
        return
    if key.public_key() != held.public_key():
        said = f"{http.key} is not the key of {http.certificate}"
        yield _fail("certificate", said, "Name the key that the certificate is for.")
    days = (held.not_valid_after_utc - moment(clock.now())).total_seconds() / _DAY
    until = f"{held.not_valid_after_utc:%Y-%m-%d}"
    if days < 0:
        yield _fail("certificate", f"it ended on {until}", "Get a new one.")
    elif days < _SOON_DAYS:
        yield _warn("certificate", f"it ends on {until}", "Get a new one soon.")
    else:
        yield _ok("certificate", f"valid until {until}")


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _keys(config: NodeConfig) -> Iterator[Finding]:
    folder = config.keys
    backup = f"Restore {folder} from a backup or an export."
    if not folder.is_dir():
        yield _fail("keys", f"{folder} is not there", backup)
        return
    sound = True
    try:
        Seal((folder / SEAL_FILE).read_bytes().strip())
    except (OSError, ValueError) as fault:
        sound = False
        yield _fail("keys", f"{folder / SEAL_FILE} cannot be used: {fault}", backup)
    for path in (folder, *sorted(folder.iterdir())):
        if _open_to_others(path):
            sound = False
            mode = "700" if path.is_dir() else "600"
            said = f"others may read {path}"
            yield _fail("keys", said, f"chmod {mode} {path}")
    if sound:
        yield _ok("keys", "there, sound, and for this user only")


def _disk(config: NodeConfig) -> Iterator[Finding]:
    home = config.home
    usage = shutil.disk_usage(home)
    free = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"
    room = "Make room, or move the node to a larger disk."
    if usage.free < _NO_BYTES:
        yield _fail("disk", free, room)
    elif usage.free < _LITTLE_BYTES or usage.free < usage.total // 20:
        yield _warn("disk", free, room)
    else:
        yield _ok("disk", free)
    if config.store.url.startswith("postgresql"):
        return
    kind = _file_system(home)
    if kind in _REMOTE:
        said = f"{home} is on {kind}, where SQLite cannot keep data safe"
        yield _fail("disk", said, "Use a local disk, or PostgreSQL (store.url).")
    try:
        seconds = _sync_seconds(home)
    except OSError as fault:
        said = f"{home} cannot be written: {fault.strerror}"
        yield _fail("disk", said, "Run as the node's own user, or mend the folder.")
        return
    took = f"a durable write takes {seconds * 1000:.1f} ms"
    if seconds > _SLOW_SECONDS:
        yield _warn("disk", took, "Each page pulled costs one: use a faster disk.")
    else:
        yield _ok("disk", took)


def _file_system(folder: Path) -> str:
    """Give the kind of file system of a folder, as far as Linux tells it."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    real = str(folder.resolve())
    best, kind = "", ""
    for line in lines:
        _, place, found, *_ = line.split(" ")
        below = real == place or real.startswith(place.rstrip("/") + "/")
        if below and len(place) >= len(best):
            best, kind = place, found
    return kind


def _sync_seconds(folder: Path) -> float:
    path = folder / f".doctor-{os.getpid()}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(handle, b"\0" * 4096)
        began = time.monotonic()
        os.fsync(handle)
        return time.monotonic() - began
    finally:
        os.close(handle)
        path.unlink()


def _database(config: NodeConfig, clock: Clock) -> Iterator[Finding]:
    try:
        database = Database(config.database_url, clock)
    except ConfigError as fault:
        yield _fail("database", fault.message, fault.mend or "Correct store.url.")
        return
    try:
        file = Path(str(database.url.database)) if database.lite else None
        if file is not None and not file.exists():
            mend = "Restore it from a backup, or `serantau init --from` an export."
            yield _fail("database", f"{file} is not there", mend)
            return
        try:
            yield from _revision(database)
            if database.lite:
                yield from _sqlite(database)
            else:
                yield from _postgres(database)
        except SerantauError as fault:
            yield _fail("database", fault.message, fault.mend)
    finally:
        database.close()


def _revision(database: Database) -> Iterator[Finding]:
    with database.read() as tx:
        tx.value("SELECT 1")
    at = current(database)
    if at == head():
        yield _ok("database", f"{database.shown} answers, revision {at}")
    elif not at:
        mend = "`serantau init` makes a node; was store.url changed?"
        yield _fail("database", f"{database.shown} has no tables of a node", mend)
    else:
        said = f"revision {at}, this program's is {head()}"
        yield _warn("database", said, "An older one is brought up at the next start.")


def _sqlite(database: Database) -> Iterator[Finding]:
    with database.read() as tx:
        for schema in ("main", "ledger"):
            faults = [row[0] for row in tx.rows(f"PRAGMA {schema}.quick_check(3)")]
            name = "release log" if schema == "ledger" else "database"
            if faults == ["ok"]:
                yield _ok(name, "its file is sound")
            else:
                mend = "Stop the node and restore the file from a backup."
                yield _fail(name, f"its file is damaged: {faults[0]}", mend)
        sync = int(tx.value("PRAGMA main.synchronous"))
    if sync < 2:
        yield _fail("database", "writes are not synced", "A fault of the program.")
    for path in (Path(str(database.url.database)), database.ledger_path):
        log = Path(f"{path}-wal")
        size = log.stat().st_size if log.exists() else 0
        if size > _WAL_BYTES:
            said = f"{log} has grown to {size / 1e9:.1f} GB"
            mend = "A reader has been open for long: restart the node."
            yield _warn("database", said, mend)


def _postgres(database: Database) -> Iterator[Finding]:
    with database.read() as tx:
        number = int(tx.value("SHOW server_version_num"))
        version = str(tx.value("SHOW server_version"))
        if number < 130_000:
            mend = "Use PostgreSQL 13 or later."
            yield _fail("postgresql", f"version {version}", mend)
        else:
            yield _ok("postgresql", f"version {version}")
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            if tx.value(f"SHOW {name}") == "off":
                mend = f"Set {name} = on: what was acknowledged must be durable."
                yield _fail("postgresql", f"{name} is off", mend)
        indexed = "SELECT 1 FROM pg_indexes WHERE indexname = 'ix_object_text_text'"
        if tx.value(indexed):
            yield _ok("postgresql", "text search has its index (pg_trgm)")
        else:
            yield _warn(
                "postgresql",
                "text search reads every text: pg_trgm is missing",
                "As its administrator: CREATE EXTENSION pg_trgm; CREATE INDEX "
                "ix_object_text_text ON object_text USING gin (text gin_trgm_ops);",
            )


def _records(node: Node) -> Iterator[Finding]:
    with node.db.read() as tx:
        held = int(tx.value("SELECT count(*) FROM object"))
        waiting = node.quarantine.count(tx)
        users = node.registry.users(tx)
        parties = node.registry.parties(tx)
    yield _ok("store", f"{held:,} object versions, {len(parties)} parties")
    if node.config.node.member not in parties:
        said = f"no party is named {node.config.node.member!r}, this node's own"
        yield _fail("store", said, "Correct node.member, or restore the node.")
    if not any(user.role == "admin" and not user.disabled for user in users):
        mend = "`serantau user enable NAME`, or `user add NAME --role admin`."
        yield _warn("users", "no administrator may log in", mend)
    if waiting:
        mend = "`serantau quarantine list` shows why; retry or drop them."
        yield _warn("quarantine", f"{waiting:,} objects wait in quarantine", mend)


def _signing(node: Node) -> Iterator[Finding]:
    with node.db.read() as tx:
        told = Pins.signed_with(tx)
        without = Keys(node).parties_without(tx)
        peers = {peer.name for peer in Peers().list(tx)}
    signing = node.config.signing
    path = node.config.keys / SIGNING_FILE
    if not (told or signing.key or signing.key_file or path.exists()):
        said = "this node has no signing key yet, and signs nothing"
        yield _warn("signing", said, "Its next start makes one: `serantau serve`.")
        return
    try:
        key = node.signer.key
    except ConfigError as fault:
        yield _fail("signing", fault.message, fault.mend)
        return
    if not told:
        said = f"others were not told of key {key.id} yet"
        yield _warn("signing", said, "The next start tells them: `serantau serve`.")
    else:
        yield _ok("signing", f"signs with key {key.id}")
    waiting = [name for name in without if name in peers]
    if waiting:
        said = f"no key is pinned of {', '.join(waiting)}: what they make waits"
        mend = "Compare `serantau key show` there, then `serantau key pin NAME WORDS`."
        yield _warn("signing", said, mend)


def _clock(node: Node) -> Iterator[Finding]:
    with node.db.read() as tx:
        last, now = int(tx.value("SELECT last FROM stamp")), tx.clock.now()
    ahead = (last - now) / 1e6
    if ahead > _APART_SECONDS:
        said = f"this machine's clock is {ahead:,.0f} s behind the store's last stamp"
        mend = "Let it follow NTP. Stamps go on from the last one meanwhile."
        yield _warn("clock", said, mend)
    else:
        yield _ok("clock", f"{moment(now):%Y-%m-%d %H:%M:%S}Z, after the last stamp")


def _recalls(node: Node) -> Iterator[Finding]:
    """Tell of recalls without an answer, and of those that are not believed."""
    with node.db.read() as tx:
        mine, silent, doubted = Recalls.counts(tx)
    if mine or doubted:
        said = f"{mine:,} of this node's own, {silent:,} parties have not answered"
        yield _ok("recalls", said)
    if doubted:
        said = f"{doubted:,} that came are not believed, and so not followed"
        mend = "`serantau recall list` says why; `serantau key pin` mends most of it."
        yield _warn("recalls", said, mend)


def _log(node: Node) -> Iterator[Finding]:
    """Tell of the log's tree, and of what is wrong with those of others."""
    from serantau.records import tree
    from serantau.records.leaves import Leaves
    from serantau.records.seen import Seen, State

    seen = Seen()
    with node.db.read() as tx:
        log = tree.held(tx)
        waiting = Leaves(node.config.node.member).waiting(tx)
        alarms = seen.alarms(tx)
        counts = seen.counts(tx)
        last = seen.newest(tx)
        now = tx.clock.now()
    said = f"{log.size if log else 0:,} leaves, {waiting:,} rows to be sealed"
    yield _ok("release log", said)
    for alarm in alarms:
        mend = (
            "`serantau ledger watch` shows what proves it. Ask its team; "
            f"`serantau ledger accept {alarm.node}` once it is explained."
        )
        yield _fail(f"log of {alarm.node}", alarm.said, mend)
    for one in last:
        if (now - one.head.at) / 1e6 > _DAY:
            said = f"its head was seen last at {moment(one.head.at):%Y-%m-%d %H:%M}Z"
            mend = "`serantau ledger watch` looks now, and says why not."
            yield _warn(f"log of {one.head.node}", said, mend)
    for (name, state), count in counts.items():
        if state == State.PROVEN:
            yield _ok(f"log of {name}", f"{count:,} receipts are proven")


def _behalf(node: Node) -> Iterator[Finding]:
    """Tell what waits to be published on behalf."""
    from serantau.records.behalf import Given, Taken

    with node.db.read() as tx:
        came = Taken().waiting(tx)
        now = tx.clock.now()
        late = [
            one for one in Given().all(tx) if one.waits and (now - one.at) / 1e6 > _DAY
        ]
    if came:
        mend = "`serantau behalf list` and `show`; then `publish` or `refuse`."
        yield _warn("on behalf", f"{came:,} wait for a person", mend)
    for one in late:
        said = f"number {one.number} was not fetched by {one.party}"
        mend = "Ask its team whether its node follows this one"
        mend += ", and has `serantau behalf key`." if one.sealed else "."
        yield _warn("on behalf", said, mend)


def _clocks(node: Node) -> Iterator[Finding]:
    """Tell of steps that the clocks of cases ask for and that cannot be taken."""
    with node.db.read() as tx:
        rows = Steps().all(tx)
        names = parties_of(node, tx)
    for row in rows:
        if row.said:
            case = row.case_id.partition("--")[2][:8]
            area = f"case {case}"
            said = f"{names.get(row.party, row.party)} is not paged: {row.said}"
            mend = "It is tried again. `serantau oncall` tells whom to call meanwhile."
            yield _warn(area, said, mend)


def _case_mail(node: Node) -> Iterator[Finding]:
    """Tell of letters of cases that do not go, and of answers that are held."""
    mails = Mails()
    with node.db.read() as tx:
        stuck = sum(bool(one.said) for one in mails.letters(tx))
        held, fault = len(mails.mails(tx)), Chores().get(tx, MAILBOX).fault
    for many, said in (
        (stuck, "letters of cases do not go"),
        (held, "answers by mail wait for a person"),
    ):
        if many:
            mend = "`serantau case mail list` says why."
            yield _warn("case mail", f"{many:,} {said}", mend)
    if fault:
        yield _warn("case mail", fault, "Correct cases.mailbox, or what it needs.")


def _lane(node: Node, ask: bool) -> Iterator[Finding]:
    # What reads the archive is imported only where there is one.
    from serantau.desk.lane_checkup import lane_checkup

    yield from lane_checkup(node, ask=ask)


def _peers(node: Node) -> Iterator[Finding]:
    federation = Federation(node, sleep=lambda _: None)
    for status in federation.status():
        name = f"peer {status.peer.name}"
        if not status.peer.enabled:
            mend = f"`serantau peer resume {status.peer.name}`, when it should be."
            yield _warn(name, "it is not followed", mend)
            continue
        try:
            peer = federation.peer(status.peer.name)
        except ConfigError as fault:
            yield _fail(name, fault.message, fault.mend)
            continue
        yield from _asked(federation, peer, name)
        yield from _lag(node, status, name)
        yield from _apart(node, peer, name)


def _asked(federation: Federation, peer: Peer, name: str) -> Iterator[Finding]:
    try:
        with federation.client(peer) as client:
            readable = [one for one in client.collections() if one.can_read]
    except PeerUnreachable as fault:
        mend = fault.mend or "Ask its team; this node goes on trying."
        yield _warn(name, fault.message, mend)
    except SerantauError as fault:
        mend = fault.mend or f"`serantau peer add {peer.name} URL` sets it anew."
        yield _fail(name, fault.message, mend)
    else:
        if readable:
            yield _ok(name, f"answers; {len(readable)} collections may be read")
        else:
            mend = "Ask its team for the right to read a collection."
            yield _warn(name, "answers, but lets this node read nothing", mend)


def _lag(node: Node, status: PeerStatus, name: str) -> Iterator[Finding]:
    if status.fault:
        mend = f"`serantau peer sync {status.peer.name}` tries again now."
        yield _warn(name, f"the last pull broke off: {status.fault}", mend)
    elif status.lag is None:
        mend = "`serantau serve` follows it; `serantau peer sync` pulls once."
        yield _warn(name, "nothing was pulled yet", mend)
    elif status.lag > _OLD_POLLS * node.config.federation.poll_seconds:
        said = f"pulled to its end {status.lag:,.0f} s ago"
        yield _warn(name, said, "Is the node running? `serantau serve` follows it.")
    else:
        yield _ok(name, f"pulled to its end {status.lag:,.0f} s ago")


def _apart(node: Node, peer: Peer, name: str) -> Iterator[Finding]:
    """Compare clocks by the Date header of any answer, also of a refusal."""
    verify: ssl.SSLContext | bool = True
    try:
        if peer.certificate:
            verify = ssl.create_default_context(cafile=peer.certificate)
        timeout = node.config.federation.timeout_seconds
        with httpx2.Client(verify=verify, timeout=timeout, trust_env=False) as client:
            answer = client.head(peer.url)
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, KeyError, ValueError):
        # That it does not answer, or how, was said before.
        return
    apart = node.clock.now() / 1e6 - theirs
    if abs(apart) > _APART_SECONDS:
        word = "ahead of" if apart > 0 else "behind"
        said = f"this machine's clock is {abs(apart):,.0f} s {word} its clock"
        yield _warn(name, said, "One of both is wrong: let both follow NTP.")
