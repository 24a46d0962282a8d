"""Mail as it is written, signed, encrypted and handed over to a real server."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

import pysequoia
import pytest

from serantau.clock import instant
from serantau.errors import BadInput, ConfigError
from serantau.wire.mail import Attached, Letter, Relay, compose
from serantau.wire.openpgp import Key, encrypt, read_certificate
from smtp_server import Mailbox, smtp_server

AT = instant("2026-11-22T03:00:00Z")
CSV = Attached("rows.csv", "text/csv", b'"time","what"\r\n"1","x"\r\n')


def letter(**more: object) -> Letter:
    said: dict[str, object] = {
        "sender_name": "ThaiCERT",
        "sender": "cert@cert.example.th",
        "to": "noc@bank.example.th",
        "subject": "A notice",
        "text": "Two machines are infected.\n.\n..\nFrom here on.\n",
        "key": "a1b2",
        "at": AT,
        "attached": (CSV,),
        **more,
    }
    return Letter(**said)  # type: ignore[arg-type]


def read(message: bytes) -> EmailMessage:
    found = email.message_from_bytes(message, policy=email.policy.SMTP)
    assert isinstance(found, EmailMessage)
    return found


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@pytest.fixture(scope="module")
def key() -> Key:
    return Key(Key.generate("ThaiCERT <cert@cert.example.th>"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Mailbox]:
    with smtp_server(tmp_path) as made:
        yield made


def relay(box: Mailbox, tmp_path: Path, **more: object) -> Relay:
    said: dict[str, object] = {
        "sender": "bounces@cert.example.th",
        "ca": str(tmp_path / "mail-cert.pem"),
        "hello": "node.example.th",
        **more,
    }
    return Relay("127.0.0.1", box.port, **said)  # type: ignore[arg-type]


def nothing() -> None:
    """Let it be handed over."""


# --- the letter ----------------------------------------------------------------------


def test_a_letter_has_one_recipient_and_its_key_as_message_id() -> None:
    found = read(compose(letter()))
    assert found["To"] == "noc@bank.example.th"
    assert found["Message-ID"] == "<a1b2@cert.example.th>"
    assert found["From"] == "ThaiCERT <cert@cert.example.th>"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Cc"] is found["Bcc"] is None
    assert text_of(found) == letter().text
    (attached,) = found.iter_attachments()
    assert attached.get_filename() == "rows.csv"
    assert attached.get_payload(decode=True) == CSV.content


def test_a_letter_in_any_script_is_seven_bit_and_reads_back() -> None:
    said = letter(subject="แจ้งเตือน ๒ รายการ " * 9, text="พบเครื่องติดมัลแวร์\n" * 40)
    written = compose(said)
    assert written.isascii()
    assert max(map(len, written.split(b"\r\n"))) <= 998
    found = read(written)
    assert found["Subject"] == said.subject.strip()
    assert text_of(found) == said.text


@pytest.mark.parametrize("start", range(0, 48, 5))
def test_no_space_is_lost_where_a_header_is_folded(start: int) -> None:
    said = "x" * start + " [TLP:GREEN] แจ้ง 10 เครื่อง ที่ 23 พ.ย. 2569 (เลขที่ 1)" * 3
    team = "ศูนย์ ประสานงาน ความมั่นคง ปลอดภัย ระบบ คอมพิวเตอร์ ประเทศไทย"
    made = compose(letter(subject=said, sender_name=team))
    found = email.message_from_bytes(made)
    assert str(make_header(decode_header(found["Subject"]))) == said.strip()
    name, address = parseaddr(found["From"])
    assert str(make_header(decode_header(name))) == team
    assert address == "cert@cert.example.th"
    assert max(len(line) for line in made.split(b"\r\n\r\n")[0].splitlines()) <= 128


def test_no_text_makes_a_header_of_its_own() -> None:
    evil = "hello\r\nBcc: all@example.org\r\n\r\nbody"
    found = read(compose(letter(subject=evil, sender_name='T"eam')))
    assert found["Bcc"] is None
    assert found["Subject"] == "hello Bcc: all@example.org body"
    with pytest.raises(ValueError, match=r"(?i)invalid|\bCR"):
        compose(letter(sender_name="x\r\nBcc: all@example.org"))


def test_the_same_letter_is_the_same_bytes() -> None:
    assert compose(letter()) == compose(letter())


def test_a_signed_letter_verifies_and_a_changed_one_does_not(key: Key) -> None:
    written = compose(letter(), key)
    found = read(written)
    assert found.get_content_type() == "multipart/signed"
    assert found.get_param("micalg") == "pgp-sha512"
    mark = f"--{found.get_boundary()}".encode()
    entity = written.split(mark + b"\r\n")[1].removesuffix(b"\r\n")
    signature = list(found.iter_parts())[1].get_payload(decode=True)
    assert isinstance(signature, bytes)
    cert = pysequoia.Cert.from_bytes(key.certificate.encode())

    def check(data: bytes) -> int:
        return len(
            pysequoia.verify(
                data, lambda _: [cert], signature=pysequoia.Sig.from_bytes(signature)
            ).valid_sigs
        )

    assert check(entity) == 1
    with pytest.raises(RuntimeError):
        check(entity.replace(b"infected", b"affected"))


def test_an_encrypted_letter_shows_nothing_and_is_read_by_its_recipient_only(
    key: Key,
) -> None:
    owner = pysequoia.Tsk.generate("NOC <noc@bank.example.th>")
    certificate = read_certificate(str(owner.extract_certificate()).encode())
    written = compose(
        letter(subject="Secret subject", cover="Notice"), key, certificate
    )
    assert b"Secret" not in written
    assert b"infected" not in written
    assert b"rows.csv" not in written
    found = read(written)
    assert found["Subject"] == "Notice"
    version, secret = (part.get_payload(decode=True) for part in found.iter_parts())
    assert isinstance(secret, bytes)
    assert version == b"Version: 1"
    cert = pysequoia.Cert.from_bytes(key.certificate.encode())
    opened = pysequoia.decrypt(secret, owner.decryptor(), store=lambda _: [cert])
    assert len(opened.valid_sigs) == 1
    assert opened.bytes is not None
    inner = read(opened.bytes)
    assert inner["Subject"] == "Secret subject"
    assert text_of(inner) == letter().text
    stranger = pysequoia.Tsk.generate("x <x@example.org>")
    with pytest.raises(RuntimeError):
        pysequoia.decrypt(secret, stranger.decryptor())


def test_what_cannot_be_encrypted_is_not_written_in_clear() -> None:
    owner = pysequoia.Tsk.generate("x <x@example.org>", validity_seconds=60)
    certificate = read_certificate(str(owner.extract_certificate()).encode())
    later = (certificate.expires or 0) + 1
    with pytest.raises(BadInput, match="ended on"):
        compose(letter(at=later), None, certificate)
    with pytest.raises(BadInput, match="ended on"):
        encrypt(b"x", certificate, None, later)


def test_only_certificates_that_can_be_used_are_read() -> None:
    owner = pysequoia.Tsk.generate("x <x@example.org>")
    with pytest.raises(BadInput, match="secret keys"):
        read_certificate(str(owner).encode())
    with pytest.raises(BadInput, match=r"no OpenPGP certificate: [^\n]*$"):
        read_certificate(b"rubbish")
    cert = owner.extract_certificate()
    certified = pysequoia.Cert.from_bytes(
        bytes(cert) + bytes(cert.revoke(owner.certifier()))
    )
    with pytest.raises(BadInput, match="revoked"):
        read_certificate(bytes(certified))
    found = read_certificate(bytes(cert))
    assert found.names == ("x <x@example.org>",)
    assert found.holds(AT)


def test_a_key_is_read_from_its_file(tmp_path: Path, key: Key) -> None:
    path = tmp_path / "key.asc"
    with pytest.raises(ConfigError, match="notice key"):
        Key.from_file(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(ConfigError, match="no OpenPGP key"):
        Key.from_file(path)
    path.write_bytes(Key.generate("y <y@example.org>"))
    assert len(Key.from_file(path).fingerprint) == 40
    assert key.fingerprint in repr(key)
    assert "PRIVATE" not in key.certificate


# --- handing it over -----------------------------------------------------------------


def test_a_message_arrives_as_it_was_written_over_starttls(
    box: Mailbox, tmp_path: Path
) -> None:
    written = compose(letter())
    sent = relay(box, tmp_path)
    assert sent.send("noc@bank.example.th", written, nothing).event == "accept"
    # The second goes over the same connection.
    assert sent.send("noc@bank.example.th", written, nothing).event == "accept"
    sent.leave()
    one, _ = box.accepted
    assert one.content == written
    assert one.secure
    assert (one.sender, one.recipients) == (
        "bounces@cert.example.th",
        ["noc@bank.example.th"],
    )
    assert box.connections == 1


def test_a_message_goes_over_tls_from_the_start(tmp_path: Path) -> None:
    with smtp_server(tmp_path, implicit=True) as box:
        box.login = ("th", "secret")
        sent = relay(box, tmp_path, security="tls", user="th", password="secret")
        assert sent.send("a@b.example", b"x: y\r\n\r\nhi", nothing).event == "accept"
        sent.close()
        assert (box.accepted[0].user, box.accepted[0].secure) == ("th", True)


def test_without_tls_no_message_and_no_password_leaves(tmp_path: Path) -> None:
    with smtp_server() as box:
        sent = relay(box, tmp_path, ca="", user="th", password="secret")
        outcome = sent.send("a@b.example", b"x", nothing)
        assert (outcome.event, box.accepted, box.unfinished) == ("defer", [], 0)
        assert "STARTTLS" in outcome.said
        plain = relay(box, tmp_path, ca="", security="none")
        assert plain.send("a@b.example", b"x", nothing).event == "accept"
        plain.leave()


def test_a_server_with_an_expired_or_unknown_certificate_gets_nothing(
    tmp_path: Path,
) -> None:
    with smtp_server(tmp_path, days=-1) as box:
        outcome = relay(box, tmp_path).send("a@b.example", b"x", nothing)
        assert outcome.event == "defer"
        assert "certificate" in outcome.said
        outcome = relay(box, tmp_path, ca="").send("a@b.example", b"x", nothing)
        assert outcome.event == "defer"
        assert box.accepted == []


def test_a_wrong_password_is_tried_again_later(box: Mailbox, tmp_path: Path) -> None:
    box.login = ("th", "right")
    outcome = relay(box, tmp_path, user="th", password="wrong").send(
        "a@b.example", b"x", nothing
    )
    assert outcome.event == "defer"
    assert "535" in outcome.said
    assert "wrong" not in outcome.said


@pytest.mark.parametrize(
    ("step", "answer", "event"),
    [
        ("RCPT", "550 5.1.1 no such user", "bounce"),
        ("RCPT", "550 no such user", "bounce"),
        ("RCPT", "550 5.2.1 disabled", "bounce"),
        ("RCPT", "550 5.7.1 we do not relay", "fail"),
        ("RCPT", "554 no", "fail"),
        ("RCPT", "450 4.2.0 later", "defer"),
        ("RCPT", "CLOSE", "defer"),
        ("MAIL", "553 5.1.8 bad sender", "fail"),
        ("MAIL", "451 later", "defer"),
        ("DATA", "554 5.5.1 no", "fail"),
        ("DATA", "451 later", "defer"),
        ("END", "554 5.7.1 it is spam", "fail"),
        ("END", "552 5.2.2 full", "fail"),
        ("END", "550 5.1.1 no such user", "bounce"),
        ("END", "451 4.3.0 later", "defer"),
        ("END", "CLOSE", "lose"),
        ("END", "LOSE", "lose"),
        ("EHLO", "CLOSE", "defer"),
    ],
)
def test_each_answer_has_its_consequence(
    box: Mailbox, tmp_path: Path, step: str, answer: str, event: str
) -> None:
    box.answers[step] = answer
    sent = relay(box, tmp_path)
    outcome = sent.send("a@b.example", b"x: y\r\n\r\nhi\r\n", nothing)
    assert outcome.event == event, outcome
    assert outcome.said
    assert len(box.accepted) == (answer == "LOSE")
    # The next message does not suffer from it.
    box.answers.clear()
    assert sent.send("a@b.example", b"x: y\r\n\r\nhi\r\n", nothing).event == "accept"
    sent.leave()


def test_nobody_there_is_tried_again_later(tmp_path: Path) -> None:
    with smtp_server() as box:
        pass
    sent = relay(box, tmp_path, ca="", security="none", timeout=5)
    assert sent.send("a@b.example", b"x", nothing).event == "defer"
    sent.leave()


def test_a_server_that_went_away_between_two_messages_is_asked_anew(
    box: Mailbox, tmp_path: Path
) -> None:
    sent = relay(box, tmp_path)
    assert sent.send("a@b.example", b"x: y\r\n\r\n1", nothing).event == "accept"
    box.answers["NOOP"] = "CLOSE"
    assert sent.send("a@b.example", b"x: y\r\n\r\n2", nothing).event == "accept"
    box.answers["QUIT"] = "CLOSE"
    sent.leave()
    assert box.connections == 2


def test_what_stops_before_the_last_line_is_not_kept_by_the_server(
    box: Mailbox, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    sent = relay(box, tmp_path)
    with pytest.raises(Stop):
        sent.send("a@b.example", compose(letter()), stop)
    assert sent.send("a@b.example", compose(letter()), nothing).event == "accept"
    sent.leave()
    assert len(box.accepted) == 1


def test_a_relay_elsewhere_must_have_tls() -> None:
    with pytest.raises(ConfigError, match="another machine"):
        Relay("mail.example.th", 25, security="none")
    with pytest.raises(ConfigError, match="expected one of"):
        Relay("127.0.0.1", 25, security="ssl")
    with pytest.raises(ConfigError, match=r"mail\.ca"):
        Relay("127.0.0.1", 25, ca="/nowhere.pem")
