"""Only attachments of known senders come in by mail; the rest waits for a person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap_server import Mailbox, imap_server
from serantau.errors import BadInput, BadRequest, PeerError, PeerUnreachable, TooLarge
from serantau.wire.mailbox import (
    Attachment,
    Letter,
    Senders,
    attachments,
    imap,
    maildir,
    read_imap,
)

SENDER = "reports@feeds.example"
KNOWN = Senders((SENDER, "@partner.example"))
OURS = Senders((SENDER, "@partner.example"), "mx.th.example")


def mail(sender: str = SENDER, *results: str, content: bytes = b"ip\n1") -> bytes:
    made = EmailMessage()
    for one in results:
        made["Authentication-Results"] = one
    made["From"] = sender
    made["Subject"] = "Today's report"
    made.set_content("Please find the report attached.")
    made.add_attachment(
        content, maintype="text", subtype="csv", filename="2026-03-01-scan.csv"
    )
    return made.as_bytes()


def test_a_known_senders_attachments_are_given_with_their_names() -> None:
    (found,) = attachments(mail(f"Reports <{SENDER.upper()}>"), KNOWN)
    assert found == Attachment("2026-03-01-scan.csv", b"ip\n1")
    assert attachments(mail("anyone@partner.example"), KNOWN) == [found]


@pytest.mark.parametrize(
    "sender",
    [
        "evil@evil.example",
        "x@sub.partner.example",
        f'"{SENDER}" <evil@evil.example>',
        f"{SENDER}, evil@evil.example",
        "nobody",
    ],
)
def test_mail_of_anybody_else_is_refused(sender: str) -> None:
    with pytest.raises(BadInput, match="mail"):
        attachments(mail(sender), KNOWN)


def test_a_mail_with_a_second_from_is_refused() -> None:
    with pytest.raises(BadInput, match=r"2 senders|cannot be read"):
        attachments(b"From: evil@evil.example\r\n" + mail(), KNOWN)
    with pytest.raises(BadInput, match="0 senders"):
        attachments(b"Subject: no author\r\n\r\nx", KNOWN)


@pytest.mark.parametrize(
    "result",
    [
        "mx.th.example; dmarc=pass header.from=feeds.example",
        "mx.th.example 1; spf=fail; dkim=pass (good) header.d=feeds.example",
        "mx.th.example; dkim=pass header.d=mail.feeds.example",
        'mx.th.example; DKIM = pass header.d="feeds.example."',
    ],
)
def test_our_own_servers_word_lets_a_sender_in(result: str) -> None:
    assert attachments(mail(SENDER, result), OURS)


@pytest.mark.parametrize(
    "results",
    [
        [],
        ["mx.evil.example; dmarc=pass"],
        ["mx.th.example; dmarc=fail"],
        ["mx.th.example; none"],
        ["mx.th.example; dkim=pass header.d=evil.example"],
        ["mx.th.example; dkim=pass header.d=example"],
        ["mx.th.example; dkim=pass header.d=xfeeds.example"],
        ["mx.th.example; dkim=pass"],
        ["mx.th.example; spf=pass (dmarc=pass)"],
        ["mx.th.example; xdmarc=pass"],
        # The sender wrote the second one; our server writes on top.
        ["mx.th.example; dmarc=fail", "mx.th.example; dmarc=pass"],
    ],
)
def test_nobody_elses_word_and_no_forged_one_lets_a_sender_in(
    results: list[str],
) -> None:
    with pytest.raises(BadInput, match="does not say that the mail is of"):
        attachments(mail(SENDER, *results), OURS)


def test_forwarded_mail_is_opened_and_pictures_and_signatures_are_left() -> None:
    outer = EmailMessage()
    outer["From"] = SENDER
    outer.set_content("forwarded")
    inner = EmailMessage()
    inner["From"] = "someone@else.example"
    inner.set_content("see attached")
    inner.add_attachment(b"PK", maintype="application", subtype="zip", filename="a.zip")
    inner.add_attachment(b"GIF", maintype="image", subtype="gif", filename="logo.gif")
    inner.add_attachment(
        b"sig", maintype="application", subtype="pgp-signature", filename="s.asc"
    )
    inner.add_attachment(b"", maintype="text", subtype="csv", filename="empty.csv")
    outer.add_attachment(inner)
    outer.add_attachment(b"raw", maintype="application", subtype="octet-stream")
    assert attachments(outer.as_bytes(), KNOWN) == [
        Attachment("a.zip", b"PK"),
        Attachment("", b"raw"),
    ]


def test_mail_in_mail_without_end_is_bad_input() -> None:
    head = b"From: %b\r\nContent-Type: message/rfc822\r\n\r\n" % SENDER.encode()
    assert attachments(head * 3 + mail(content=b"deep"), KNOWN)
    with pytest.raises(BadInput, match="cannot be read"):
        attachments(head * 5000 + mail(), KNOWN)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_hostile_mail_is_more_than_bad_input(noise: bytes, at: int) -> None:
    whole = mail()
    raw = whole[:at] + noise + whole[at:]
    with contextlib.suppress(BadInput):
        assert isinstance(attachments(raw, KNOWN), list)


def test_a_maildirs_mails_are_given_once(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "2.b").write_bytes(whole := mail())
    (new / "1.a:2,R").write_bytes(b"x" * 11)
    (new / "3.link").symlink_to("/etc/passwd")
    first, second = maildir(tmp_path, 10)
    with pytest.raises(TooLarge, match="10 bytes"):
        first.read()
    first.leave()
    (again,) = maildir(tmp_path, 100_000)
    assert again.name == second.name == "2.b"
    assert again.read() == whole
    again.done()
    assert list(maildir(tmp_path, 10)) == []
    cur = sorted(path.name for path in (tmp_path / "cur").iterdir())
    assert cur == ["1.a:2,FR", "2.b:2,S"]


def test_a_folder_that_is_no_maildir_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no maildir"):
        next(maildir(tmp_path, 10))


ADDRESS = "imaps://rat%40th.example@127.0.0.1:{port}/INBOX/Reports"


def test_an_imap_folders_mails_are_given_until_they_are_marked(tmp_path: Path) -> None:
    box = Mailbox()
    for raw in (whole := mail(), b"x" * 200_000, mail(content=b"2")):
        box.add(raw)
    with imap_server(tmp_path, box) as (port, context):
        address = ADDRESS.format(port=port)
        with imap(address, box.password, 100_000, context=context) as letters:
            one, two, three = letters
            assert one.read() == whole
            # Nothing is marked by being read.
            assert box.flags[1] == set()
            one.done()
            with pytest.raises(TooLarge):
                two.read()
            two.leave()
        with imap(address, box.password, 100_000, context=context) as letters:
            assert [letter.name for letter in letters] == [three.name]
    assert box.flags == {1: {"\\Seen"}, 2: {"\\Flagged"}, 3: set()}


@pytest.mark.parametrize("refuses", ["LOGIN", "SELECT", "UID SEARCH"])
def test_what_a_mail_server_refuses_is_told(tmp_path: Path, refuses: str) -> None:
    box = Mailbox(refuses=refuses)
    with imap_server(tmp_path, box) as (port, context):
        address = ADDRESS.format(port=port)
        with (
            pytest.raises(PeerError, match=r"127\.0\.0\.1 does not"),
            imap(address, box.password, 10, context=context),
        ):
            pass


def _take(letters: Iterator[Letter]) -> None:
    for letter in letters:
        letter.read()
        letter.done()


@pytest.mark.parametrize("refuses", ["UID FETCH", "UID STORE"])
def test_what_it_refuses_of_a_mail_is_told(tmp_path: Path, refuses: str) -> None:
    box = Mailbox(refuses=refuses)
    box.add(mail())
    with imap_server(tmp_path, box) as (port, context):
        address = ADDRESS.format(port=port)
        with (
            pytest.raises(PeerError, match=r"mail 1"),
            imap(address, box.password, 100_000, context=context) as letters,
        ):
            _take(letters)


def test_a_mail_server_that_is_not_there_or_not_trusted_is_told(
    tmp_path: Path,
) -> None:
    with imap_server(tmp_path, Mailbox()) as (port, _):
        address = ADDRESS.format(port=port)
        with pytest.raises(PeerUnreachable, match="certificate"), imap(address, "x", 1):
            pass
    with pytest.raises(PeerUnreachable, match="cannot be read"), imap(address, "x", 1):
        pass


@pytest.mark.parametrize(
    "address",
    ["imap://u@h/x", "imaps://h/x", "imaps://u:secret@h/x", "imaps://u@h:x/", "x"],
)
def test_an_address_that_is_no_mailbox_is_told_without_its_password(
    address: str,
) -> None:
    with pytest.raises(BadRequest) as caught:
        read_imap(address)
    assert "secret" not in str(caught.value)


def test_an_imap_address_names_port_user_and_folder() -> None:
    assert read_imap("imaps://u@h") == ("h", 993, "u", "INBOX")
    assert read_imap("imaps://u%40x@h:1/a%20b/c") == ("h", 1, "u@x", "a b/c")
