"""Mail that came back: read from a mailbox, and believed only where it is of ours.

A letter that tells of a notice of ours is marked as read, when what it tells is in the
store. All others are flagged and stay for a person: owners answer to the same address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import structlog

from serantau.desk.case_mail import CaseMail
from serantau.desk.case_watch import CaseWatch
from serantau.desk.courier import Courier
from serantau.desk.reach import Reach
from serantau.errors import ConfigError, TooLarge
from serantau.node import Node
from serantau.wire.bounce import read_bounce
from serantau.wire.mailbox import Letter, imap, maildir

_log = structlog.get_logger(__name__)


def take_back(node: Node, raw: bytes, actor: str) -> bool:
    """Take in a letter that may tell of mail of ours; says whether it did."""
    if read_bounce(raw) is None:
        return False
    return (
        Courier(node, actor).bounced(raw) is not None
        or Reach(node).bounced(raw)
        or CaseWatch(node).bounced(raw)
        or CaseMail(node).bounced(raw)
    )


class Returned:
    """Reads the mailbox in which mail comes back: `mail.mailbox`."""

    def __init__(self, node: Node, open_imap: Callable[..., Any] = imap) -> None:
        """Read that of `node`. `open_imap` opens a folder, as `wire.mailbox.imap`."""
        self._node = node
        self._open_imap = open_imap

    def read(self, over: Callable[[], bool] = lambda: False) -> int:
        """Read what is new; gives how many letters told of a notice that came back.

        Raises:
            BadRequest, ConfigError: the mailbox or its password is none.
            PeerError: the mail server does not do as asked.
        """
        told = 0
        with self._opened() as letters:
            for letter in letters:
                if over():
                    break
                told += self._one(letter)
        return told

    def _one(self, letter: Letter) -> bool:
        try:
            ours = take_back(self._node, letter.read(), "mailbox")
        except TooLarge:
            ours = False
        if ours:
            letter.done()
        else:
            letter.leave()
        return ours

    def _opened(self) -> AbstractContextManager[Iterator[Letter]]:
        mail, limit = self._node.config.mail, self._node.config.limits.post_bytes
        if "://" not in mail.mailbox:
            return nullcontext(maildir(self._node.home / mail.mailbox, limit))
        password = ""
        if mail.mailbox_password_file:
            path = self._node.home / mail.mailbox_password_file
            try:
                password = path.read_text(encoding="utf-8").split("\n")[0].strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise ConfigError(f"{path} cannot be read: {fault}.") from fault
        opened: AbstractContextManager[Iterator[Letter]] = self._open_imap(
            mail.mailbox, password, limit
        )
        return opened
