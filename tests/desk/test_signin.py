"""Links, second factors, and what ends a stay, without pages."""

import secrets
from collections.abc import Iterator
from math import log2
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from doors import PASSWORD
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.second import CODES, Second, picture
from serantau.desk.signin import SignIn, Wish, refuse_weak
from serantau.errors import BadInput, BadRequest, Conflict, Forbidden, NotFound
from serantau.node import Node
from serantau.records import factors, people
from serantau.records.database import Tx
from serantau.records.sessions import Person

CLOCK = SetClock("2026-11-23T00:00:00Z")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home: Path = tmp_path_factory.mktemp("signin") / "th"
    found(home, Charter("th", "ThaiCERT"), CLOCK)
    with Node(load_config(home), CLOCK) as node:
        yield node


@pytest.fixture
def signin(node: Node) -> SignIn:
    return SignIn(node)


def of(link: str) -> str:
    """The secret of a link."""
    return parse_qs(urlsplit(link).query)["t"][0]


def made(node: Node, tx: Tx) -> tuple[int, str]:
    name = f"user-{secrets.token_hex(4)}"
    return node.registry.add_user(tx, name, "th", "analyst", PASSWORD), name


def test_a_link_is_good_once_and_for_three_days(node: Node, signin: SignIn) -> None:
    with node.db.write() as tx:
        first = of(signin.invite(tx, Wish("mali", "lead", full_name="มะลิ")))
        assert signin.invited(tx, first) is not None
        again = of(signin.new_link(tx, "mali"))
        assert signin.invited(tx, first) is None
        reads = Person(language="th", zone="Asia/Bangkok", scope="none of its business")
        who = signin.accept(tx, again, "rain over four rivers", reads)
        assert who is not None
        assert (who.name, who.role, who.person.full_name) == ("mali", "lead", "มะลิ")
        assert signin.accept(tx, again, "rain over four rivers", reads) is None
        held = people.account(tx, who.user)
        assert held is not None
        assert (held.password, held.scope) == (True, "")
        late = of(signin.new_link(tx, "mali"))
    CLOCK.advance(days=3)
    with node.db.write() as tx:
        assert signin.accept(tx, late, "rain over four rivers", Person()) is None
        caller = node.registry.caller_by_password(tx, "mali", "rain over four rivers")
        assert caller is not None


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        (Wish("g", "guest", party="jp", until="2027-01-31"), BadRequest),
        (Wish("g", "guest", case="00000000"), BadRequest),
        (Wish("g", "guest", case="00000000", until="2027-01-31"), NotFound),
        (Wish("a", "analyst", until="2026-01-31"), BadRequest),
        (Wish("a", "analyst", until="soon"), BadRequest),
        (Wish("a", "analyst", case="00000000"), BadRequest),
        (Wish("a", "sultan"), BadRequest),
        (Wish("a", "lead", party="jp"), BadRequest),
        (Wish("a", "lead", party="atlantis"), NotFound),
        (Wish("x" * 61, "lead"), BadRequest),
        (Wish("a:b", "lead"), BadRequest),
        (Wish("admin", "lead"), Conflict),
    ],
)
def test_an_invitation_that_does_not_fit_is_refused(
    node: Node, signin: SignIn, wish: Wish, fault: type[Exception]
) -> None:
    with node.db.read() as tx:
        before = len(people.accounts(tx))
    with pytest.raises(fault), node.db.write() as tx:
        signin.invite(tx, wish)
    with node.db.read() as tx:
        assert len(people.accounts(tx)) == before


def test_nobody_who_is_kept_out_or_whose_day_came_uses_a_link(
    node: Node, signin: SignIn
) -> None:
    with node.db.write() as tx:
        until = "2026-12-24"
        link = of(signin.invite(tx, Wish("short", "analyst", until=until)))
        out = of(signin.invite(tx, Wish("out", "analyst")))
        node.registry.set_user(tx, "out", disabled=True)
        assert signin.invited(tx, out) is None
        with pytest.raises(Forbidden):
            signin.new_link(tx, "out")
        with pytest.raises(NotFound):
            signin.new_link(tx, "nobody")
        assert signin.invited(tx, link) is not None
    CLOCK.advance(days=40)
    with node.db.write() as tx:
        assert signin.invited(tx, of(signin.new_link(tx, "short"))) is None


def test_a_new_password_and_keeping_out_end_stays_and_links(
    node: Node, signin: SignIn
) -> None:
    sessions = signin.sessions
    with node.db.write() as tx:
        user, name = made(node, tx)
        stays = [sessions.open(tx, user, "password") for _ in range(3)]
        link = of(signin.new_link(tx, name))
        kept = sessions.find(tx, stays[1])
        assert kept is not None
        node.registry.set_user(tx, name, password="a new good one", keep=kept.number)
        assert [bool(sessions.find(tx, each)) for each in stays] == [False, True, False]
        assert signin.invited(tx, link) is None
        node.registry.set_user(tx, name, disabled=True)
        node.registry.set_user(tx, name, disabled=False)
        assert not sessions.of(tx, user)


def test_a_code_is_good_once_and_one_step_early_or_late(node: Node) -> None:
    second = Second(node)
    with node.db.write() as tx:
        user, name = made(node, tx)
        second.begin(tx, user)
        pending = second.pending(tx, user, name)
        assert pending is not None
        code = pyotp.TOTP(pending.secret.replace(" ", ""))
        at = CLOCK.now() // 1_000_000
        assert not second.confirm(tx, user, name, "000000")
        assert not second.prove(tx, user, name, code.at(at))
        assert second.confirm(tx, user, name, code.at(at))
        assert second.pending(tx, user, name) is None
        assert not second.prove(tx, user, name, code.at(at))
        late = code.at(at + 30)
        assert second.prove(tx, user, name, f"{late[:3]} {late[3:]}") == "totp"
        for wrong in (at + 30, at, at - 30, at + 60):
            assert not second.prove(tx, user, name, code.at(wrong))
        for wrong_text in ("", "12345", chr(0xFF11) * 6, "x" * 10_000, "\ud800"):
            assert not second.prove(tx, user, name, wrong_text)
    CLOCK.advance(seconds=120)
    with node.db.write() as tx:
        now = CLOCK.now() // 1_000_000
        assert second.prove(tx, user, name, code.at(now - 30)) == "totp"
        assert second.prove(tx, user, name, code.at(now + 30)) == "totp"
        assert not second.prove(tx, user, name, code.at(now))


def test_the_secret_of_an_app_is_sealed_and_its_picture_has_no_style(
    node: Node,
) -> None:
    second = Second(node)
    with node.db.write() as tx:
        user, name = made(node, tx)
        second.begin(tx, user)
        pending = second.pending(tx, user, name)
        assert pending is not None
        held = factors.find(tx, factors.PENDING, str(user))
        assert held is not None
        assert pending.secret.replace(" ", "").encode() not in held.secret
        assert pending.address.startswith("otpauth://totp/Serantau%20ThaiCERT:user-")
        drawn = picture(pending.address)
    assert b"<svg" in drawn
    assert b"style" not in drawn


def test_a_recovery_code_is_good_once_for_its_user_and_kept_as_a_digest(
    node: Node,
) -> None:
    second = Second(node)
    with node.db.write() as tx:
        user, name = made(node, tx)
        other, other_name = made(node, tx)
        codes = second.new_codes(tx, user, name)
        assert len(set(codes)) == CODES
        # With 31 letters more than 128 bits of chance: a plain digest is enough.
        assert all(len(code.replace("-", "")) * log2(31) > 128 for code in codes)
        assert not second.prove(tx, other, other_name, codes[0])
        assert second.prove(tx, user, name, f" {codes[0].upper()} ") == "recovery"
        assert not second.prove(tx, user, name, codes[0])
        assert second.codes_left(tx, user) == CODES - 1
        second.new_codes(tx, user, name)
        assert not second.prove(tx, user, name, codes[1])
        held = factors.of(tx, user)
        assert not [each for each in held if each.key in codes or each.secret]


def test_without_a_second_factor_there_are_no_recovery_codes(node: Node) -> None:
    second = Second(node)
    with node.db.write() as tx:
        user, name = made(node, tx)
        number = factors.put(tx, user, factors.TOTP, str(user), secret=b"x")
        second.new_codes(tx, user, name)
        with pytest.raises(NotFound):
            second.drop(tx, user, name, number + 1)
        second.drop(tx, user, name, number)
        assert factors.of(tx, user) == []


def test_who_lost_its_second_factor_gets_a_link_that_takes_it_off(
    node: Node, signin: SignIn
) -> None:
    with node.db.write() as tx:
        user, name = made(node, tx)
        factors.put(tx, user, factors.TOTP, str(user), secret=b"x")
        Second(node).new_codes(tx, user, name)
        stay = signin.sessions.open(tx, user, "password+totp")
        signin.new_link(tx, name)
        assert signin.sessions.find(tx, stay)
        signin.new_link(tx, name, drop_factors=True)
        assert factors.of(tx, user) == []
        assert signin.sessions.find(tx, stay) is None


def test_the_first_administrator_is_awaited_until_one_is_at_work(
    tmp_path: Path,
) -> None:
    home = tmp_path / "vn"
    found(home, Charter("vn", "VNCERT/CC"), CLOCK, password=False)
    with Node(load_config(home), CLOCK) as node, node.db.write() as tx:
        signin = SignIn(node)
        assert signin.first(tx) == "admin"
        link = of(signin.new_link(tx, "admin"))
        assert signin.first(tx) == "admin"
        signin.accept(tx, link, "rain over four rivers", Person())
        assert signin.first(tx) == ""


def test_a_password_is_refused_with_the_reason() -> None:
    with pytest.raises(BadInput, match="too short"):
        refuse_weak("short", "mali")
    refuse_weak("rain over four rivers", "mali")
