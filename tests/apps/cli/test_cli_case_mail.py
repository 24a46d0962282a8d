"""Cases by mail from the command line: what waits is shown, and a person decides."""

from pathlib import Path

import pytest

from commands import Run, opened
from serantau.desk.case_mail import CaseMail
from serantau.rules.case_mail import tag


@pytest.fixture
def case(run: Run) -> str:
    run(
        *("contacts", "add", "mm", "Duty desk", "--desk", "--duty", "24x7"),
        *("--mail", "soc@mm.example", "--source", "a call"),
    )
    made = run("case", "open", "Phishing kit", "--json")
    found = str(made.json["id"][12:20])
    assert run("case", "invite", found, "mm", "--by-mail").code == 0
    return found


def test_letters_that_wait_and_answers_that_are_held_are_shown_and_decided(
    run: Run, home: Path, case: str
) -> None:
    with (home / "serantau.toml").open("a", encoding="utf-8") as file:
        file.write('\n[cases]\nmailbox = "answers"\n')
    (home / "answers" / "new").mkdir(parents=True)
    ran = run("case", "mail", "run")
    assert (ran.code, ran.out) == (0, "Letters: 1 waiting.\nMails: none.\n")
    assert "mail.host is empty" in ran.err
    (letter,) = run("case", "mail", "list", "--json").json["letters"]
    assert letter["state"] == "waiting"
    assert "mail.host is empty" in run("case", "mail", "list").out
    with opened(home) as node:
        (thread,) = CaseMail(node).threads()
    for number in (1, 2):
        (home / "answers" / "new" / f"{number}").write_bytes(
            f"From: soc@mm.example\nSubject: Re: {tag(thread.case_id, thread.token)}\n"
            f"Message-ID: <{number}@mm>\n\nVALID\n\x1b[31mword {number}\n".encode()
        )
    assert run("case", "mail", "run", "--json").json["mails"] == {"held": 2}
    shown = run("case", "mail", "show", "1", "--to", home / "one.eml")
    assert "It is held: it is not signed" in shown.out
    assert "\x1b" not in shown.out
    assert b"word 1" in (home / "one.eml").read_bytes()
    assert run("case", "mail", "show", "1", "--json").json["signature"] == "none"
    assert run("case", "mail", "approve", "1").code == 0
    assert run("case", "mail", "drop", "2").code == 0
    assert run("case", "mail", "approve", "2").code != 0
    assert "mm by mail to" in run("case", "show", case).out
    assert "word 2" not in run("case", "show", case).out
    assert len(run("case", "mail", "list", "--all", "--json").json["mails"]) == 2
    assert run("case", "mail", "settle", "1", "--sent").code != 0
    assert run("case", "mail", "settle", "1").code != 0
    assert "do not go" in run("doctor").out
    assert run("case", "invite", case, "mm", "--by-node").code == 0
    assert "by mail" not in run("case", "show", case).out.partition("Entry")[0]
