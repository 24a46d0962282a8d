"""The ways by which feeds come in: an address, a watched folder, a mailbox.

What was brought is durable before its place is told that it was: before a file is
removed, a mail is marked as read, or what the server said is noted. So a kill makes the
same come again, and the same bytes are one batch.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx2
import structlog

from serantau.config import FeedSection
from serantau.desk.lane import Kept, Lane, Told, is_html, way_of
from serantau.errors import (
    BadInput,
    ConfigError,
    SerantauError,
    TheirError,
    TooLarge,
)
from serantau.lane.originals import Draft
from serantau.records.batches import State
from serantau.records.feeds import Look
from serantau.rules.realm import refusal
from serantau.wire.download import Answer, Download, Wait, Write
from serantau.wire.mailbox import (
    Letter,
    Senders,
    attachments,
    imap,
    maildir,
    realm_of_mail,
)

_SECOND: Final = 1_000_000
# A look that was begun by a process that is gone is begun anew after so long.
_LOOK_SECONDS: Final = 900.0
_BACK_OFF_SECONDS: Final = 30.0
# A file that was written to just now may not be whole.
_QUIET_SECONDS: Final = 5.0
_REFUSED: Final = "refused"
_UNFINISHED: Final = (".part", ".tmp", ".filepart", ".crdownload")
_HEAD: Final = 1 << 14

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Looked:
    """What one look at a feed brought. left: what was not taken in, and why."""

    feed: str
    kept: list[Kept] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    fault: str = ""

    @property
    def new(self) -> int:
        """Count the batches that were new."""
        return sum(one.new for one in self.kept)


class Ways:
    """Looks at the feeds of a node when they are due."""

    def __init__(
        self,
        lane: Lane,
        *,
        transport: Callable[[str], httpx2.BaseTransport | None] = lambda _: None,
        open_imap: Callable[..., Any] = imap,
    ) -> None:
        """Bring in what comes for `lane`.

        Args:
            lane: an open node's.
            transport: what carries requests for a feed, None for the network.
            open_imap: opens an IMAP folder, as `wire.mailbox.imap` does.
        """
        self.lane = lane
        self._transport = transport
        self._open_imap = open_imap

    def look_at_due(self, stop: threading.Event | None = None) -> list[Looked]:
        """Look at every feed that is due; one that fails stops no other."""
        found = []
        for name in self.lane.node.config.feeds:
            if stop is not None and stop.is_set():
                break
            looked = self.look(name)
            if looked is not None:
                found.append(looked)
        return found

    def look(self, name: str, *, now: bool = False) -> Looked | None:
        """Look at one feed; gives None when it is not due, paused, or comes by itself.

        Args:
            name: of a feed in the settings.
            now: whether it is due or not.
        """
        section = self.lane.section(name)
        address = section.url or section.folder or section.mailbox
        look = self._begin(name, address, due_or_not=now) if address else None
        if look is None:
            return None
        looked = Looked(name)
        after: Look | None = None
        wait = 0.0
        try:
            after = self._by(section, look, looked)
        except SerantauError as fault:
            looked.fault = str(fault)
            wait = fault.seconds if isinstance(fault, Wait) else 0.0
        except OSError as fault:
            looked.fault = f"{fault.filename or address}: {fault.strerror or fault}"
        self._end(section, look, looked, after, wait)
        return looked

    def _begin(self, name: str, address: str, *, due_or_not: bool) -> Look | None:
        """Note that a look is begun, so that no other process looks as well."""
        with self.lane.node.db.write() as tx:
            now = tx.clock.now()
            look = self.lane.feeds.get(tx, name, address)
            waits = look.due > now or self.lane.feeds.paused(tx, name)
            if waits and not due_or_not:
                return None
            until = now + int(_LOOK_SECONDS * _SECOND)
            self.lane.feeds.put(tx, replace(look, due=until))
        return look

    def _end(
        self,
        section: FeedSection,
        look: Look,
        looked: Looked,
        after: Look | None,
        wait: float,
    ) -> None:
        with self.lane.node.db.write() as tx:
            now = tx.clock.now()
            seconds = section.every_seconds
            failures = 0
            if looked.fault:
                failures = look.failures + 1
                steps = _BACK_OFF_SECONDS * 2.0 ** min(look.failures, 16)
                seconds = max(min(steps, seconds), wait)
            self.lane.feeds.put(
                tx,
                replace(
                    after or look,
                    checked=now,
                    fetched=look.fetched if looked.fault else now,
                    due=now + int(seconds * _SECOND),
                    failures=failures,
                    fault=looked.fault,
                ),
            )
        for why in looked.left:
            _log.warning("left_alone", feed=looked.feed, why=why)
        if looked.fault:
            _log.error("feed_failed", feed=looked.feed, fault=looked.fault)
        elif looked.kept:
            _log.info("feed_came", feed=looked.feed, new=looked.new)

    def _by(self, section: FeedSection, look: Look, looked: Looked) -> Look | None:
        way = way_of(section)
        if way == "url":
            return self._fetch(section, look, looked)
        if way == "folder":
            self._watch(section, looked)
        else:
            self._open_mail(section, looked)
        return None

    def _fetch(self, section: FeedSection, look: Look, looked: Looked) -> Look:
        limit = self.lane.node.config.limits.file_bytes
        headers = {"User-Agent": "serantau"}
        if section.key_file:
            headers[section.key_header] = self._secret(section.key_file)
        with (
            Download(
                section.url,
                clock=self.lane.node.clock,
                limit=limit,
                headers=headers,
                proxy=section.proxy,
                transport=self._transport(looked.feed),
            ) as download,
            self._drafts() as drafts,
        ):
            answer = download.get(drafts.begin, etag=look.etag, modified=look.modified)
            if not answer.changed:
                return look
            digest = self._take(look, looked, answer, drafts.last)
        return replace(look, etag=answer.etag, modified=answer.modified, digest=digest)

    def _take(self, look: Look, looked: Looked, answer: Answer, draft: Draft) -> str:
        """Make a batch of what was fetched; gives its digest.

        Raises:
            BadInput: it is no data, or nothing.
        """
        if not draft.size:
            raise BadInput("it is suddenly empty: 0 bytes")
        if is_html(draft.head(_HEAD)) or answer.media == "text/html":
            self._hold_page(looked, answer, draft)
        told = Told(looked.feed, name=answer.name, source="url")
        kept = self.lane.keep(draft, told)
        if kept.batch.digest != look.digest:
            looked.kept.append(kept)
        return kept.batch.digest

    def _hold_page(self, looked: Looked, answer: Answer, draft: Draft) -> None:
        """Keep one page for a person to look at; more of them would tell no more."""
        said = "it is a web page, not data"
        with self.lane.node.db.read() as tx:
            held = self.lane.batches.recent(
                tx, state=State.HELD, feed=looked.feed, limit=1
            )
        if not held:
            told = Told(looked.feed, name=answer.name, source="url")
            looked.kept.append(self.lane.keep(draft, told, held=said))
        raise BadInput(said)

    @contextmanager
    def _drafts(self) -> Iterator[_Drafts]:
        with ExitStack() as stack:
            yield _Drafts(self.lane, stack)

    def _secret(self, file: str) -> str:
        path = self.lane.node.home / file
        try:
            return path.read_text(encoding="utf-8").split("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"{path} cannot be read: {fault}.") from fault

    def _watch(self, section: FeedSection, looked: Looked) -> None:
        folder = self.lane.node.home / section.folder
        for path in sorted(folder.iterdir()):
            if not _finished(path, self.lane.node.clock.now()):
                continue
            try:
                self._take_file(path, looked)
            except TheirError as fault:
                self._refuse(path, looked, fault)

    def _take_file(self, path: Path, looked: Looked) -> None:
        # No link that somebody made while this looked leads to another file.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            before = os.fstat(handle)
            kept = self.lane.add(
                file, Told(looked.feed, name=path.name, source="folder")
            )
            looked.kept.append(kept)
            now = path.stat(follow_symlinks=False)
            # It is another one by now, or has grown: that is taken the next time.
            if _state_of(before) == _state_of(now):
                path.unlink()

    def _refuse(self, path: Path, looked: Looked, fault: TheirError) -> None:
        """Put a file that is not taken in where it is not met again."""
        aside = path.parent / _REFUSED
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)
        looked.left.append(f"{path.name}: {fault.message} It is in {aside}.")

    def _open_mail(self, section: FeedSection, looked: Looked) -> None:
        limit = self.lane.node.config.limits.post_bytes
        senders = Senders(
            tuple(one.lower() for one in section.senders), section.authenticator
        )
        if "://" not in section.mailbox:
            folder = self.lane.node.home / section.mailbox
            self._read_mail(maildir(folder, limit), senders, looked)
            return
        password = self._secret(section.password_file) if section.password_file else ""
        with self._open_imap(section.mailbox, password, limit) as letters:
            self._read_mail(letters, senders, looked)

    def _read_mail(
        self, letters: Iterator[Letter], senders: Senders, looked: Looked
    ) -> None:
        for letter in letters:
            try:
                self._read_letter(letter, senders, looked)
            except (BadInput, TooLarge) as fault:
                letter.leave()
                looked.left.append(f"mail {letter.name}: {fault.message}")
            else:
                letter.done()

    def _read_letter(self, letter: Letter, senders: Senders, looked: Looked) -> None:
        from serantau.desk.returned import take_back

        raw = letter.read()
        if take_back(self.lane.node, raw, "mailbox"):
            return
        realm = self.lane.node.config.node.realm
        if why := refusal("The mail", realm_of_mail(raw), realm):
            raise BadInput(why)
        files = attachments(raw, senders)
        if not files:
            raise BadInput("It has no attachment.")
        for file in files:
            told = Told(looked.feed, name=file.name, source="mail")
            looked.kept.append(self.lane.add(iter([file.content]), told))


def fetch_once(
    lane: Lane,
    address: str,
    told: Told,
    progress: Callable[[int], object],
    *,
    transport: httpx2.BaseTransport | None = None,
) -> Kept:
    """Make a batch of what is at an address, once, as a person asked.

    Raises:
        BadInput: it is a web page, or nothing.
        PeerError, TooLarge, BadRequest: it cannot be fetched.
    """
    limit = lane.node.config.limits.file_bytes
    with (
        Download(
            address, clock=lane.node.clock, limit=limit, transport=transport
        ) as download,
        ExitStack() as stack,
    ):
        drafts = _Drafts(lane, stack)

        def begin() -> Write:
            write = drafts.begin()

            def writing(piece: bytes) -> None:
                write(piece)
                progress(drafts.last.size)

            return writing

        answer = download.get(begin)
        draft = drafts.last
        if is_html(draft.head(_HEAD)) or answer.media == "text/html":
            raise BadInput(f"At {address} is a web page, not data.")
        if not draft.size:
            raise BadInput(f"At {address} is nothing: 0 bytes.")
        return lane.keep(
            draft, replace(told, name=told.name or answer.name, source="url")
        )


class _Drafts:
    """Drafts of one fetching: a new one each time that the bytes begin anew."""

    def __init__(self, lane: Lane, stack: ExitStack) -> None:
        self._lane = lane
        self._stack = stack
        self.last = stack.enter_context(lane.originals.draft())

    def begin(self) -> Write:
        self._stack.close()
        self.last = self._stack.enter_context(self._lane.originals.draft())
        return self.last.write


def _finished(path: Path, now: int) -> bool:
    """Say whether a file of a watched folder is to be taken, and seems to be whole."""
    if path.name.startswith(".") or path.name.lower().endswith(_UNFINISHED):
        return False
    if path.is_symlink() or not path.is_file():
        return False
    return path.stat().st_mtime + _QUIET_SECONDS <= now / _SECOND


def _state_of(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns
