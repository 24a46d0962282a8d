"""People of a node: their own account, and what an administrator does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import PASSWORD, basic, furnish
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.node import Node
from serantau.records import factors, people
from serantau.records.sessions import user_number
from serantau.rules.role import ROLES, Power
from visitors import Pages, pages_of, text_of

CLOCK = SetClock("2026-11-23T00:00:00Z")
NEW = "rain over four rivers"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("people") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    with Node(load_config(home), CLOCK) as node:
        furnish(node)
        with pages_of(node) as pages:
            yield pages


def number_of(pages: Pages, name: str) -> int:
    with pages.node.db.read() as tx:
        return user_number(tx, name)


def link_in(html: str) -> str:
    held = re.search(r"/invited\?t=([\w-]+)", html)
    assert held
    return held[1]


@pytest.mark.parametrize("role", ["coordinator", "auditor", "guest"])
def test_only_an_administrator_sees_or_changes_people(pages: Pages, role: str) -> None:
    who = pages.visitor(f"a-{role}", role)
    one = number_of(pages, "boss")
    for path in ("/people", "/people/invite", f"/people/{one}"):
        assert who.get(path).status_code == 403
    for path in (
        "invite",
        f"{one}/role",
        f"{one}/out",
        f"{one}/link",
        f"{one}/sessions",
    ):
        assert who.send(f"/people/{path}", name="x", role="admin").status_code == 403
    assert "What each role may do" in who.read("/me")
    assert pages.stranger().get("/people/roles").status_code == 303


def test_everyone_reads_what_each_role_may_do(pages: Pages) -> None:
    read = pages.visitor("reads", "policy").read("/people/roles")
    for role in ROLES.values():
        assert role.name in read
        assert role.says in read
    for power in Power:
        assert power.value in read


def test_an_invitation_is_shown_once_and_used_once(pages: Pages) -> None:
    boss = pages.visitor("boss")
    sent = boss.send(
        "/people/invite", name="nok", full_name=HOSTILE, role="analyst", party="th"
    )
    secret = link_in(sent.text)
    listed = boss.get("/people").text
    assert "nok" in listed
    assert secret not in listed
    assert "<script>alert" not in listed
    assert "invited" in text_of(listed)
    used = pages.stranger().send("/invited", t=secret, password=NEW, again=NEW)
    assert used.status_code == 303
    assert boss.send("/people/invite", name="nok", role="analyst").status_code == 422


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"role": "guest", "party": "jp"}, "one case: which?"),
        ({"role": "guest", "case": "00000000", "until": "2027-01-31"}, "No case"),
        ({"role": "lead", "party": "jp"}, "may have the roles"),
        ({"role": "lead", "until": "2026-11-22"}, "is past"),
        ({"role": "lead", "until": "soon"}, "is no day"),
        ({"role": "sultan"}, "Choose one"),
        ({"role": "lead", "name": ""}, "This is needed"),
        ({"role": "lead", "name": "a:b"}, "without a colon"),
        ({"role": "lead", "name": "x" * 10_000}, "At most"),
        ({"role": "lead", "full_name": "\u202egnp.exe"}, "can be seen"),
        ({"role": "lead", "party": "atlantis"}, "No party"),
    ],
)
def test_an_invitation_that_does_not_fit_says_why_and_makes_nobody(
    pages: Pages, given: dict[str, str], said: str
) -> None:
    with pages.node.db.read() as tx:
        before = len(people.accounts(tx))
    sent = pages.visitor("boss").send("/people/invite", **{"name": "new-one", **given})
    assert sent.status_code == 422
    assert said in text_of(sent.text)
    with pages.node.db.read() as tx:
        assert len(people.accounts(tx)) == before


def test_keeping_out_ends_every_stay_and_every_link_at_once(pages: Pages) -> None:
    boss, out = pages.visitor("boss"), pages.visitor("dara", "analyst")
    number = number_of(pages, "dara")
    secret = link_in(boss.send(f"/people/{number}/link").text)
    boss.send(f"/people/{number}/out", disabled="yes", sure="1")
    assert out.get("/me").headers["location"].startswith("/sign-in")
    assert pages.stranger().get(f"/invited?t={secret}").status_code == 404
    boss.send(f"/people/{number}/out", disabled="no")
    assert out.get("/me").status_code == 303
    assert pages.stranger().get(f"/invited?t={secret}").status_code == 404


def test_another_role_holds_from_the_next_request(pages: Pages) -> None:
    boss, who = pages.visitor("boss"), pages.visitor("rising", "analyst")
    number = number_of(pages, "rising")
    assert who.get("/people").status_code == 403
    boss.send(f"/people/{number}/role", role="admin")
    assert who.get("/people").status_code == 200
    assert boss.send(f"/people/{number}/role", role="guest").status_code == 403
    theirs = number_of(pages, "wei")
    assert boss.send(f"/people/{theirs}/role", role="admin").status_code == 400


def test_nobody_locks_itself_out(pages: Pages) -> None:
    boss = pages.visitor("boss")
    number = number_of(pages, "boss")
    for path, fields in (
        ("role", {"role": "reader"}),
        ("out", {"disabled": "yes"}),
        ("link", {}),
    ):
        assert boss.send(f"/people/{number}/{path}", **fields).status_code == 403
    assert "This is you" in boss.read(f"/people/{number}")
    assert "Keep this user out" not in boss.read(f"/people/{number}")
    assert "Keep this user out" in boss.read(f"/people/{number_of(pages, 'wei')}")
    assert boss.get("/people/9999").status_code == 404


def test_a_session_sees_the_others_and_ends_them(pages: Pages) -> None:
    first = pages.visitor("many", "analyst")
    second, third = pages.visitor("many"), pages.visitor("many")
    number = number_of(pages, "many")
    theirs = pages.visitor("someone", "analyst")
    listed = first.get("/me").text
    others = re.findall(r'name="session" value="(\d+)"', listed)
    assert len(others) == 2
    # The newest stands first: that is the third.
    first.send("/me/sessions", session=others[0])
    assert [each.get("/me").status_code for each in (second, third)] == [200, 303]
    first.send("/me/sessions")
    assert second.get("/me").status_code == 303
    assert first.get("/me").status_code == 200
    stranger_session = re.findall(r"value=\"(\d+)\"", theirs.get("/me").text)
    assert not stranger_session
    for rubbish in ("x", "-1", "9" * 40):
        assert first.send("/me/sessions", session=rubbish).status_code == 422
    assert theirs.get("/me").status_code == 200
    boss = pages.visitor("boss")
    assert boss.send(f"/people/{number}/sessions").status_code == 303
    assert first.get("/me").status_code == 303


def test_a_new_password_asks_for_the_old_one_and_ends_other_sessions(
    pages: Pages,
) -> None:
    here, there = pages.visitor("renews", "analyst"), pages.visitor("renews")
    wrong = here.send("/me/password", old="not it", password=NEW, again=NEW)
    assert wrong.status_code == 422
    assert there.get("/me").status_code == 200
    right = here.send("/me/password", old=PASSWORD, password=NEW, again=NEW)
    assert right.headers["location"] == "/me?said=password-set"
    assert here.get("/me").status_code == 200
    assert there.get("/me").status_code == 303
    sent = pages.stranger().send("/sign-in", name="renews", password=PASSWORD)
    assert sent.status_code == 422


def test_a_second_factor_changes_only_after_the_password_when_signed_in_long(
    pages: Pages,
) -> None:
    who = pages.visitor("careful", "analyst")
    CLOCK.advance(seconds=601)
    for path in ("app", "passkey", "codes", "off"):
        sent = who.send(f"/me/second/{path}", factor="1")
        assert sent.status_code in {404, 422}
    number = number_of(pages, "careful")
    with pages.node.db.read() as tx:
        assert factors.of(tx, number) == []
    assert who.send("/me/second/app", old=PASSWORD).status_code == 303
    drawn = who.get("/me/second/app.svg")
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert drawn.headers["cache-control"] == "no-store"
    assert (
        pages.visitor("other-one", "analyst").get("/me/second/app.svg").status_code
        == 404
    )


def test_how_one_reads_is_ones_own_and_of_what_there_is(pages: Pages) -> None:
    who = pages.visitor("reader-one", "analyst")
    sent = who.send("/me", language="en", zone="Asia/Bangkok", calendar="buddhist")
    assert sent.headers["location"] == "/me?said=saved"
    assert "2569-11-23" in who.read("/me")
    for wrong in ({"zone": "../etc/passwd"}, {"language": HOSTILE}, {"calendar": "x"}):
        sent = who.send("/me", **wrong)
        assert sent.status_code == 422
        assert "<script>alert" not in sent.text


def test_who_has_a_second_factor_comes_in_elsewhere_by_a_token_only(
    pages: Pages,
) -> None:
    node = pages.node
    with node.db.write() as tx:
        number = node.registry.add_user(tx, "machine", "th", "admin", PASSWORD)
        token = node.registry.add_token(tx, "machine", "x")
    for path in ("/api/v1/me", "/taxii2/"):
        assert pages.client.get(path, headers=basic("machine")).status_code == 200
    with node.db.write() as tx:
        factors.put(tx, number, factors.PASSKEY, "key", secret=b"x")
    for path in ("/api/v1/me", "/taxii2/"):
        assert pages.client.get(path, headers=basic("machine")).status_code == 403
        bearer = {"Authorization": f"Bearer {token}"}
        assert pages.client.get(path, headers=bearer).status_code == 200


def test_every_act_is_in_the_audit_and_no_secret_is(pages: Pages) -> None:
    boss = pages.visitor("boss")
    sent = boss.send("/people/invite", name="told", role="lead", party="th")
    secret = link_in(sent.text)
    used = pages.stranger().send("/invited", t=secret, password=NEW, again=NEW)
    assert used.status_code == 303
    number = number_of(pages, "told")
    boss.send(f"/people/{number}/role", role="analyst")
    boss.send(f"/people/{number}/sessions")
    with pages.node.db.read() as tx:
        rows = tx.rows("SELECT body FROM decision ORDER BY n DESC LIMIT 20")
    told = " ".join(str(row.body) for row in rows)
    for what in (
        "added a user",
        "made a link to sign in",
        "set a user's password",
        "signed in",
        "changed a user's role",
        "ended sessions",
    ):
        assert what in told
    assert secret not in told
    assert NEW not in told
