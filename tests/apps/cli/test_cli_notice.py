"""Assets, contacts and notices by the command line, with real events and real mail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysequoia
import pytest
import tomli_w

from commands import Ran, Run, opened
from notice_events import frame, row
from serantau.clock import moment
from serantau.lane.archive import Archive
from smtp_server import Mailbox, smtp_server


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with smtp_server() as made:
        yield made


@pytest.fixture
def bank(run: Run, home: Path, box: Mailbox) -> Run:
    """A node with an owner and a mail server."""
    settings = home / "serantau.toml"
    mail = {
        "host": "127.0.0.1",
        "port": box.port,
        "security": "none",
        "sender": "cert@cert.example.th",
    }
    settings.write_text(
        settings.read_text(encoding="utf-8") + "\n" + tomli_w.dumps({"mail": mail}),
        encoding="utf-8",
    )
    done(run("party", "add", "bank", "--kind", "operator", "--client-of", "th"))
    done(run("asset", "add", "bank", "203.0.113.0/24"))
    done(run("contact", "add", "bank", "noc@bank.example.th", "--language", "th"))
    return run


def done(ran: Ran) -> Ran:
    assert ran.code == 0, ran.err
    return ran


def archived(home: Path, *rows: dict[str, Any]) -> str:
    """Put rows of today into the archive; gives the day."""
    with opened(home) as node:
        now = node.clock.now()
        archive = Archive(node.config.archive, node.config.lane.storage)
        events = frame(*({**each, "time": now, "received": now} for each in rows))
        with archive.writing("a" * 64) as writing:
            writing.add(events)
        archive.commit(writing.written)
    return f"{moment(now):%Y-%m-%d}"


# --- assets --------------------------------------------------------------------------


def test_assets_are_added_by_their_look_listed_and_removed(run: Run) -> None:
    done(run("party", "add", "bank", "--kind", "operator", "--client-of", "th"))
    values = ("203.0.113.0/24", "2001:db8::1", "AS64500", "bank.example", ".th", "TH")
    ran = done(run("asset", "add", "bank", *values, "--source", "whois"))
    assert "6 new" in ran.out
    found = run("asset", "list", "bank", "--json").json
    assert {(each["kind"], each["value"]) for each in found} == {
        ("prefix", "203.0.113.0/24"),
        ("prefix", "2001:db8::1/128"),
        ("asn", "64500"),
        ("domain", "bank.example"),
        ("cctld", "th"),
        ("country", "TH"),
    }
    assert {each["member"] for each in found} == {"th"}
    done(run("asset", "remove", "bank", "AS64500", "TH"))
    assert len(run("asset", "list", "--json").json) == 4
    assert run("asset", "remove", "bank", "AS64500").code == 6
    assert run("asset", "list", "nobody").code == 6
    assert "whois" in run("asset", "list").out


def test_an_asset_that_is_none_is_told(run: Run) -> None:
    assert run("asset", "add", "th", "203.0.113.1/24").code == 2
    assert run("asset", "add", "th", "x", "--kind", "king").code == 2
    assert run("asset", "add", "th", "a.th", "--since", "soon").code == 2
    assert run("asset", "add", "nobody", "a.th").code == 6


def test_assets_change_hands_at_a_date(run: Run) -> None:
    day = "2026-02-01"
    done(run("asset", "add", "th", "a.th", "--until", day))
    assert run("asset", "add", "jp", "a.th").code == 2
    done(run("asset", "add", "jp", "a.th", "--since", day))
    times = {
        each["party"]: (each["since"], each["until"])
        for each in run("asset", "list", "--json").json
    }
    assert times["jp"][0] == times["th"][1] == "2026-02-01T00:00:00.000000Z"


def test_assets_are_imported_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "assets.csv"
    file.write_text("\ufeffparty,value,source\nth,203.0.113.0/24,w\njp,AS1,w\n")
    assert "could be taken" in done(run("asset", "import", file, "--dry-run")).out
    assert run("asset", "list", "--json").json == []
    assert "2 new" in done(run("asset", "import", file)).out
    assert "2 changed" in done(run("asset", "import", file)).out
    file.write_text("party,value\nth,198.51.100.0/24\nth,rubbish!\nth,1.2.3.4/8\n")
    ran = run("asset", "import", file)
    assert ran.code == 2
    assert "line 4" in ran.err
    assert len(run("asset", "list", "--json").json) == 2
    file.write_text("party,value\nnobody,198.51.100.0/24\n")
    assert run("asset", "import", file, "--dry-run").code == 2
    file.write_text("who,what\n")
    assert "who, what" in run("asset", "import", file).err
    file.write_bytes("party,value\nth,198.51.100.0/24\n".encode("utf-16"))
    ran = run("asset", "import", file)
    assert (ran.code, "no UTF-8 text" in ran.err) == (2, True)


# --- contacts ------------------------------------------------------------------------


def test_contacts_of_each_kind_are_kept_with_their_keys(
    run: Run, tmp_path: Path, home: Path
) -> None:
    cert = pysequoia.Tsk.generate("NOC <noc@bank.example.th>").extract_certificate()
    file = tmp_path / "noc.asc"
    file.write_text(str(cert))
    done(run("contact", "add", "jp", "noc@jp.example", "--openpgp", file))
    done(run("contact", "add", "jp", "/srv/drop"))
    hook = "https://jp.example/hook"
    done(run("contact", "add", "jp", hook, "--secret-file", "-", given="s3cret\n"))
    found = run("contact", "list", "jp", "--json").json
    assert [each["kind"] for each in found] == ["mail", "folder", "webhook"]
    assert found[0]["openpgp"] == cert.fingerprint
    assert b"s3cret" not in (home / "serantau.db").read_bytes()
    done(run("contact", "block", 1))
    assert run("contact", "list", "--json").json[0]["state"] == "blocked"
    done(run("contact", "add", "jp", "noc@jp.example"))
    again = run("contact", "list", "--json").json[0]
    assert (again["state"], again["openpgp"]) == ("active", cert.fingerprint)
    done(run("contact", "remove", 2))
    assert run("contact", "remove", 2).code == 6
    assert "noc@jp.example" in run("contact", "list").out


@pytest.mark.parametrize(
    "address",
    ["x", "a@b", "a@b.example,c@d.example", "http://jp.example/", "/srv/../etc"],
)
def test_an_address_that_is_none_is_refused(run: Run, address: str) -> None:
    assert run("contact", "add", "jp", address).code == 2


def test_a_certificate_that_is_none_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    ran = run("contact", "add", "jp", "a@jp.example", "--openpgp", tmp_path / "x")
    assert ran.code == 2


# --- notices -------------------------------------------------------------------------


def test_an_owner_is_told_once_from_the_archive_to_the_mailbox(
    bank: Run, home: Path, box: Mailbox
) -> None:
    day = archived(home, row(last=7), row(last=8), row(None, last=9))
    (plan,) = bank("notice", "make", "--dry-run", "--json").json
    assert (plan["rows"], plan["contacts"]) == (2, ["noc@bank.example.th"])
    assert "would be waiting" in bank("notice", "make", "--dry-run").out
    assert bank("notice", "list", "--json").json == []
    assert "1 notices made; 1 of them wait" in done(bank("notice", "make")).out
    shown = done(bank("notice", "show", 1, "--language", "th")).out
    assert "สิ่งที่ควรทำ" in shown
    assert "203.0.113.8" in done(bank("notice", "show", 1, "--csv")).out
    assert "Nothing was due" in done(bank("notice", "send")).out
    done(bank("notice", "approve", "--all"))
    assert done(bank("notice", "send", "--json")).json["sent"] == 1
    assert len(box.accepted) == 1
    # Neither by looking at the same days again, nor by naming one, nor by sending.
    assert "0 notices made" in done(bank("notice", "make")).out
    assert "2 quiet" in done(bank("notice", "make", "--day", day)).out
    done(bank("notice", "send"))
    assert len(box.accepted) == 1
    (told,) = bank("notice", "list", "--state", "told", "--json").json
    assert told["deliveries"][0]["state"] == "sent"
    assert "told" in bank("notice", "list").out


def test_a_day_or_party_that_is_none_is_told(bank: Run) -> None:
    assert bank("notice", "make", "--day", "yesterday").code == 2
    assert bank("notice", "make", "--party", "nobody").code == 6
    assert "No events" in done(bank("notice", "make", "--party", "bank")).out


def test_red_rows_never_leave_and_the_dry_run_says_why(bank: Run, home: Path) -> None:
    archived(home, row(tlp=4))
    ran = done(bank("notice", "make", "--dry-run"))
    assert "1 withheld" in ran.out
    assert "red-by-person-only" in ran.err


def test_notices_are_dropped_retried_and_settled(
    bank: Run, home: Path, box: Mailbox
) -> None:
    archived(home, row(last=7), row(last=8, type="spam"), row(last=9, type="phishing"))
    done(bank("notice", "make"))
    done(bank("notice", "drop", 1))
    assert bank("notice", "approve", 1).code == 2
    assert bank("notice", "approve").code == 2
    box.answers["RCPT"] = "550 5.1.1 no such user"
    done(bank("notice", "approve", 2))
    assert bank("notice", "send").code == 9
    assert "no such user" in bank("contact", "list").out
    box.answers.clear()
    done(bank("contact", "add", "bank", "noc@bank.example.th"))
    done(bank("notice", "retry", 2))
    box.answers["END"] = "LOSE"
    assert "settle" in done(bank("notice", "send")).err
    (unsure,) = bank("notice", "list", "--state", "unsure", "--json").json
    assert unsure["number"] == 2
    assert bank("notice", "settle", 2).code == 2
    assert "arrived" in done(bank("notice", "settle", 2, "--sent")).out
    assert bank("notice", "settle", 2, "--again").code == 6
    assert bank("notice", "show", 99).code == 6


def test_mail_that_came_back_is_taken_in(
    bank: Run, home: Path, box: Mailbox, tmp_path: Path
) -> None:
    archived(home, row())
    done(bank("notice", "make"))
    done(bank("notice", "approve", 1))
    done(bank("notice", "send"))
    headers = box.messages[0].split(b"\r\n\r\n")[0].decode()
    back = tmp_path / "back.eml"
    back.write_bytes(
        (
            "Content-Type: multipart/report; report-type=delivery-status; "
            'boundary="b"\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n'
            "Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; "
            "noc@bank.example.th\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
            f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{headers}\r\n--b--\r\n"
        ).encode()
    )
    ran = done(bank("notice", "bounce", back))
    assert "noc@bank.example.th bounced (5.1.1)" in ran.out
    said = done(bank("notice", "status")).out
    assert "1 reached nobody" in said
    assert "ALARM" not in said
    told = bank("notice", "status", "--json").json
    assert told["counts"] == {"notice failed": 1, "delivery bounced": 1}
    assert (told["zone"], told["last"]) == ("Asia/Bangkok", None)
    again = done(bank("notice", "bounce", "-", given=back.read_bytes()))
    assert "bounced" in again.out
    ran = done(bank("notice", "bounce", "-", given=b"Subject: hello\r\n\r\nHello.\r\n"))
    assert "nothing of a notice" in ran.out
    assert bank("contact", "list", "--json").json[0]["state"] == "bouncing"


def test_owners_set_and_mute(bank: Run, home: Path, box: Mailbox) -> None:
    archived(home, row(last=7), row(last=200))
    done(
        bank(
            *("notice", "mute", "bank", "--network", "203.0.113.0/25"),
            *("--reason", "lab", "--until", "2099-01-01"),
        )
    )
    done(bank("notice", "set", "bank", "--class", "malicious-code", "--automatic"))
    done(bank("notice", "set", "--least-severity", "low"))
    (plan,) = bank("notice", "make", "--dry-run", "--json").json
    assert (plan["rows"], plan["left_out"]) == (1, {"muted": 1})
    assert plan["automatic"] is True
    (mute,) = bank("notice", "mutes", "--json").json
    assert mute["until"] == "2099-01-01T00:00:00.000000Z"
    done(bank("notice", "unmute", mute["number"]))
    assert bank("notice", "unmute", 9).code == 6
    assert "Nobody muted" in done(bank("notice", "mutes", "bank")).out
    everyone, one = bank("notice", "settings", "--json").json
    assert (everyone["party"], everyone["least_severity"]) == ("", "low")
    assert (one["class"], one["automatic"]) == ("malicious-code", True)
    assert "malicious-code" in bank("notice", "settings").out
    done(bank("notice", "make"))
    assert done(bank("notice", "send", "--json")).json["sent"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("set", "bank", "--class", "king"),
        ("set", "bank", "--least-severity", "awful"),
        ("set", "bank", "--least-rows", "0"),
        ("mute", "bank"),
        ("mute", "bank", "--class", "king"),
        ("mute", "bank", "--network", "x"),
        ("mute", "bank", "--feed", "f", "--until", "soon"),
    ],
)
def test_what_cannot_be_set_is_told(bank: Run, words: tuple[str, ...]) -> None:
    assert bank("notice", *words).code == 2


def test_the_key_that_signs_is_made_once_and_its_certificate_shown(
    bank: Run, home: Path
) -> None:
    made = done(bank("notice", "key"))
    assert "BEGIN PGP PUBLIC KEY BLOCK" in made.out
    assert "PRIVATE" not in made.out + made.err
    path = home / "keys" / "openpgp.asc"
    assert path.stat().st_mode & 0o077 == 0
    assert done(bank("notice", "key")).out == made.out


def test_a_key_needs_a_sender(run: Run) -> None:
    assert "mail.sender" in run("notice", "key").err
