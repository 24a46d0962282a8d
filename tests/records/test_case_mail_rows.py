"""The rows of cases by mail are the same on each store."""

from typing import Any

import pytest

from serantau.errors import Conflict
from serantau.records.case_mail import (
    BOUNCED,
    HELD,
    SENT,
    TAKEN,
    WAITING,
    Mails,
)
from stores import Store

MAIL: dict[str, Any] = {
    "state": HELD, "why": "it is not signed", "name": "<a@x>", "sender": "a@x",
    "subject": "s", "signature": "none", "fingerprint": "", "digest": "d",
    "text": "a\x00b", "entries": "[]", "actor": "",
}  # fmt: skip


def test_a_thread_has_one_open_letter_and_a_lease_holds(store: Store) -> None:
    mails = Mails()
    with store.db.write() as tx:
        thread = mails.thread(tx, "case-1", "identity-1", "mm", "t")
        assert mails.thread(tx, "case-1", "identity-1", "mm", "other") == thread
        for _ in range(2):
            mails.open_letter(tx, thread.n)
        (post,) = mails.due(tx)
        mails.step(
            tx, post, WAITING, state=TAKEN, lease=5, key="k", entries='["e1"]',
            address="a@x", clear=True,
        )  # fmt: skip
        assert mails.due(tx) == []
        with pytest.raises(Conflict):
            mails.step(tx, post, TAKEN, state=SENT)
        taken = mails.letter(tx, post.n)
        assert (taken.told, taken.clear) == (["e1"], True)
        assert [one.n for one in mails.expired(tx)] == [post.n]
        assert mails.told(tx, thread.n) == {"e1"}
        mails.open_letter(tx, thread.n)
        # What was taken waits again, in place of the one that came after it.
        mails.step(tx, taken, TAKEN, state=WAITING, lease=0)
        assert [one.n for one in mails.letters(tx)] == [post.n]
        assert mails.told(tx, thread.n) == set()
        mails.step(tx, mails.letter(tx, post.n), WAITING, state=BOUNCED, sent=7)
        assert mails.returned(tx, "mm", "a@x") == 7
        assert mails.recent(tx, "mm", 6) == 1
        assert [one.n for one in mails.by_keys(tx, ["k", "x"])] == [post.n]
        assert mails.by_tokens(tx, ["t"]) == mails.threads(tx, "case-1") == [thread]
        assert not mails.work(tx)


def test_a_mail_is_kept_whole_and_decided_on_once(store: Store) -> None:
    mails = Mails()
    with store.db.write() as tx:
        thread = mails.thread(tx, "case-1", "identity-1", "mm", "t")
        number = mails.keep(tx, b"\x00raw", thread=thread.n, **MAIL)
        mail, raw = mails.mail(tx, number)
        assert (raw, mail.text) == (b"\x00raw", "ab")
        assert mails.came(tx, "mm", 0, HELD) == 1
        assert mails.same(tx, thread.n, "a@x", ["<a@x>"], "") == [mail]
        assert mails.same(tx, thread.n, "a@x", [], "d") == [mail]
        assert mails.same(tx, thread.n, "b@x", ["<a@x>"], "d") == []
        mails.decide(tx, number, state="dropped")
        with pytest.raises(Conflict):
            mails.decide(tx, number, state="entry")
        assert mails.mails(tx) == []
        assert len(mails.mails(tx, all_=True)) == 1
