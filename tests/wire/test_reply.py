"""What a mail of a person says is told apart from what its signature covers."""

from __future__ import annotations

import email.policy
import zlib
from email.message import EmailMessage
from functools import cache

import pysequoia
import pytest

from serantau.errors import BadInput
from serantau.wire.bounce import read_bounce
from serantau.wire.mail import Letter, compose
from serantau.wire.openpgp import Key, read_certificate
from serantau.wire.openpgp_in import BAD, GOOD, NONE, decrypt
from serantau.wire.reply import Opened, open_mail, read_head

LIMIT = 1_000_000
TAG = "[case-31a3f588-0123456789abcdef0123]"


@cache
def key(name: str) -> Key:
    return Key(Key.generate(f"{name} <{name}@x.example>"))


def opened(raw: bytes, *signers: str, own: str = "") -> Opened:
    certificates = [key(name).certificate for name in signers]
    return open_mail(raw, key(own) if own else None, certificates, limit=LIMIT)


def letter(text: str, signer: str = "", to: str = "", subject: str = TAG) -> bytes:
    """Write a mail as our own program does, which PGP/MIME programs do the same."""
    made = Letter("U Ba", "ba@mm.example", "cert@th.example", subject, text, "k", 0)
    certificate = read_certificate(key(to).certificate.encode()) if to else None
    return compose(made, key(signer) if signer else None, certificate)


def plain(body: bytes, charset: str = "utf-8", kind: str = "text/plain") -> bytes:
    head = f"From: ba@mm.example\r\nContent-Type: {kind}; charset={charset}\r\n\r\n"
    return head.encode() + body


def test_a_good_signature_covers_the_first_part_and_nothing_around_it() -> None:
    raw = letter(f"ACK\n\n> {TAG}\n", "ba")
    found = opened(raw, "ba", "other")
    assert found.signed.signature == GOOD
    assert found.signed.fingerprints == (key("ba").fingerprint,)
    assert found.text.startswith("ACK")
    assert TAG in found.covered
    # Its subject stands outside, and anybody may have written it.
    assert TAG not in opened(letter("ACK\n", "ba"), "ba").covered


def test_a_mailbox_may_change_the_ends_of_lines() -> None:
    raw = letter("ACK\n", "ba").replace(b"\r\n", b"\n")
    assert opened(raw, "ba").signed.signature == GOOD


@pytest.mark.parametrize("signers", [[], ["other"]])
def test_a_signature_of_nobody_known_is_bad(signers: list[str]) -> None:
    found = opened(letter("ACK\n", "ba"), *signers)
    assert (found.signed.signature, found.covered) == (BAD, "")
    assert found.text.startswith("ACK")


def test_a_changed_letter_or_one_put_beside_the_signed_part_is_not_good() -> None:
    raw = letter("ACK\n", "ba")
    assert opened(raw.replace(b"ACK", b"NAK"), "ba").signed.signature == BAD
    mark = raw.split(b'boundary="')[1].split(b'"')[0]
    end = b"--" + mark + b"--"
    third = raw.replace(end, b"--" + mark + b"\r\n\r\nVALID\r\n" + end)
    assert opened(third, "ba").signed.signature == NONE
    wrapped = (
        b'Content-Type: multipart/mixed; boundary="w"\r\n\r\n'
        + b"--w\r\n\r\nVALID\r\n--w\r\n"
        + raw.split(b"\r\n\r\n", 1)[0].split(b"MIME-Version: 1.0\r\n")[1]
        + b"\r\n\r\n"
        + raw.split(b"\r\n\r\n", 1)[1]
        + b"\r\n--w--\r\n"
    )
    found = opened(wrapped, "ba")
    assert found.signed.signature == NONE


def test_what_is_encrypted_is_opened_with_its_protected_subject() -> None:
    found = opened(letter("VALID\n", "ba", "own"), "ba", own="own")
    assert found.signed.signature == GOOD
    assert found.text.strip() == "VALID"
    assert TAG in found.covered
    assert opened(letter("x\n", "", "own"), "ba", own="own").signed.signature == NONE
    assert opened(letter("x\n", "ba", "own"), own="own").signed.signature == BAD
    for other in ("ba", ""):
        with pytest.raises(BadInput, match=r"(No|no) key"):
            opened(letter("VALID\n", "ba", "own"), "ba", own=other)


def test_a_text_with_its_signature_around_it_counts_only_alone() -> None:
    around = key("ba").sign_text(f"ACK\n> {TAG}\n").encode()
    found = opened(plain(around), "ba")
    assert (found.signed.signature, found.text) == (GOOD, f"ACK\n> {TAG}\n")
    assert TAG in found.covered
    assert opened(plain(b"VALID\r\n" + around), "ba").signed.signature == NONE
    # Two in a row: only what the first one covers is read.
    assert "VALID" not in opened(
        plain(around + b"\nVALID\n" + around.replace(b"ACK", b"NAK")), "ba"
    ).text  # fmt: skip


@pytest.mark.parametrize(
    ("body", "charset", "text", "fault"),
    [
        ("รับทราบ".encode("tis-620"), "tis-620", "รับทราบ", ""),
        ("รับทราบ".encode("cp874"), "windows-874", "รับทราบ", ""),
        ("မင်္ဂလာပါ".encode(), "utf-8", "မင်္ဂလာပါ", ""),
        (b"ACK \xff", "utf-8", "ACK \ufffd", "not in its charset"),
        (b"ACK", "x-klingon", "ACK", "not known here"),
    ],
)
def test_odd_charsets_are_read_or_told(
    body: bytes, charset: str, text: str, fault: str
) -> None:
    found = opened(plain(body, charset))
    assert found.text == text
    assert fault in found.fault
    assert bool(found.fault) is bool(fault)


def test_of_html_only_the_words_are_left() -> None:
    page = (
        b"<html><head><style>x{}</style></head><body><p>ACK</p><script>evil()</script>"
        b"<p>we &amp; you<br>see <a href='http://x.example'>this</a></p>"
        b"<img src='http://tracker.example/1.gif'></body></html>"
    )
    assert opened(plain(page, kind="text/html")).text == "ACK\n\nwe & you\nsee this"


def test_attached_files_have_names_that_lead_nowhere() -> None:
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"] = "ba@mm.example"
    made.set_content("ACK")
    for name in ("../../etc/passwd", "C:\\a\\log\x1b.txt", ".hidden", "ค.pdf"):
        made.add_attachment(
            b"\x00x", maintype="application", subtype="x", filename=name
        )
    made.add_attachment(made.__class__(policy=email.policy.SMTP))
    found = opened(made.as_bytes())
    assert [one.name for one in found.files] == [
        "passwd", "log_.txt", "hidden", "ค.pdf", "part-6",
    ]  # fmt: skip
    assert found.files[0].content == b"\x00x"
    assert found.text.strip() == "ACK"


def nested(depth: int) -> bytes:
    head = b"From: ba@mm.example\r\n"
    for place in range(depth):
        head += b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (
            place,
            place,
        )
    return head + b"\r\nACK\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        nested(2_000),
        nested(21),
        b"Content-Type: message/rfc822\r\n\r\n" * 1_000,
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\n" * 1_000,
        b"\n" * 500_000,
    ],
)
def test_mails_made_to_cost_much_are_not_read(raw: bytes) -> None:
    with pytest.raises(BadInput, match="expected at most"):
        opened(raw)


def test_what_unpacks_to_too_much_is_not_opened() -> None:
    def packet(tag: int, body: bytes) -> bytes:
        return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body

    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    literal = packet(11, b"b\x00\x00\x00\x00\x00" + b"\x00" * 20_000_000)
    packed = packet(8, b"\x01" + packer.compress(literal) + packer.flush())
    # One that no key locks: opening it is the same from there on.
    with pytest.raises(BadInput, match="unpacks to too much"):
        decrypt(packed, str(pysequoia.Tsk.generate("x")), [], LIMIT)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("Auto-Submitted: auto-replied", "Auto-Submitted: auto-replied"),
        ("Auto-Submitted: auto-generated; x=y", "Auto-Submitted: auto-generated"),
        ("Precedence: bulk", "Precedence: bulk"),
        ("X-Autoreply: yes", "X-Autoreply"),
        ("List-Id: <x.example>", "List-Id"),
        ("Return-Path: <>", "Return-Path: <>"),
        ("Content-Type: multipart/report; boundary=a", "multipart/report"),
        ("Auto-Submitted: no", ""),
        ("Precedence: first-class", ""),
    ],
)
def test_a_program_that_answers_is_known_by_its_headers(header: str, why: str) -> None:
    raw = f"From: ba@mm.example\r\n{header}\r\n\r\nx".encode()
    assert read_head(raw).automatic == why


def test_the_head_tells_who_and_what_and_nothing_that_is_no_id() -> None:
    found = read_head(
        b"From: U Ba <BA@MM.example>, x@y.example\r\nMessage-ID: <a@b>\r\n"
        b"References: <r@x>\r\n <s@x> junk <a b@x>\r\nIn-Reply-To: <s@x>\r\n"
        b"Subject: =?utf-8?q?Re:_=E0=B8=81?=\r\n x\r\n\r\n"
    )
    assert found.senders == ("ba@mm.example", "x@y.example")
    assert found.name == "<a@b>"
    assert found.answers == ("<r@x>", "<s@x>")
    assert found.subject == "Re: ก x"
    assert read_head(b"").senders == ()


def test_a_deep_mail_is_no_report_and_stops_nobody() -> None:
    raw = nested(2_000).replace(b"mixed", b"report; report-type=delivery-status", 1)
    assert read_head(raw).report
    assert read_bounce(raw) is None
