"""Letting people in at the pages, from the command line."""

import io
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands import Run, opened
from serantau.apps.cli import serve
from serantau.apps.cli.main import app
from serantau.desk.signin import SignIn
from serantau.records.sessions import Person, user_number

GOOD = "rain over four rivers"


def secret(out: str) -> str:
    return out.partition("/invited?t=")[2].split()[0]


def test_an_invitation_lets_somebody_in_and_its_sessions_can_be_ended(
    run: Run, home: Path
) -> None:
    made = run("user", "invite", "mali", "--role", "lead", "--full-name", "Mali S.")
    with opened(home) as node, node.db.write() as tx:
        signin = SignIn(node)
        assert signin.accept(tx, secret(made.out), GOOD, Person())
        stay = signin.sessions.open(
            tx,
            user_number(tx, "mali"),
            "link",
            address="192.0.2.1",
            agent="\x1b[31mred",
        )
    listed = run("user", "sessions", "mali")
    assert "192.0.2.1" in listed.out
    assert "\x1b" not in listed.out
    assert run("user", "sessions", "mali", "--end").code == 0
    assert run("user", "sessions", "mali", "--json").json == []
    with opened(home) as node, node.db.read() as tx:
        assert SignIn(node).sessions.find(tx, stay) is None
    again = run("user", "invite", "mali", "--drop-factors", "--json").json
    assert again["link"].startswith("http")
    decided = run("audit", "person", "mali", "--json").out
    assert secret(made.out) not in decided


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("invite", "nobody"), 6),
        (("invite", "g", "--party", "jp"), 2),
        (("invite", "g", "--role", "guest", "--party", "jp"), 2),
        (("invite", "admin", "--role", "lead"), 2),
        (("sessions", "nobody"), 6),
        (("add", "g", "--role", "guest"), 2),
    ],
)
def test_what_does_not_fit_is_refused_and_nobody_is_made(
    run: Run, words: tuple[str, ...], code: int
) -> None:
    assert run("user", *words).code == code
    assert "g" not in {each["name"] for each in run("user", "list", "--json").json}


def test_a_password_that_is_guessed_first_is_refused(run: Run) -> None:
    given = run(
        "user", "password", "admin", "--password-file", "-", given="password12345\n"
    )
    assert given.code == 2
    assert "guessed first" in given.err


class Terminal(io.StringIO):
    """What a person sees."""

    def isatty(self) -> bool:
        return True


def test_a_new_node_tells_its_first_link_on_a_terminal_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "id"
    words = ["init", "--member", "id", "--team", "ID-SIRTII/CC"]
    ran = CliRunner().invoke(app, ["--home", str(home), *words])
    assert ran.exit_code == 0, ran.stderr
    assert "password" not in ran.stdout
    assert "it tells a link" in ran.stdout
    with opened(home) as node:
        for stream, link in ((io.StringIO(), False), (Terminal(), True)):
            monkeypatch.setattr(sys, "stderr", stream)
            serve._welcome(node)
            assert ("/invited?t=" in stream.getvalue()) is link
            assert "administrator" in stream.getvalue().lower()
        with node.db.write() as tx:
            assert SignIn(node).accept(tx, secret(stream.getvalue()), GOOD, Person())
        monkeypatch.setattr(sys, "stderr", last := Terminal())
        serve._welcome(node)
        assert last.getvalue() == ""
