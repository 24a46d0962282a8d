"""Who is let in, how often they may be wrong, and what that costs."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import msgspec
import pytest

from doors import PASSWORD, Site, basic, in_a_thread
from serantau.apps.web.auth import (
    REMEMBERED_SECONDS,
    WINDOW_SECONDS,
    Credentials,
    Logins,
    challenge,
    read_credentials,
)
from serantau.config import HttpSection, NodeConfig
from serantau.errors import TooMany, Unauthenticated
from serantau.node import Node
from serantau.rules.party import Kind, Party
from serantau.wire.taxii import DISCOVERY

HERE, THERE = "192.0.2.1", "198.51.100.2"


class Watch:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def node(config: NodeConfig) -> Iterator[Node]:
    http = HttpSection(login_attempts=3)
    with Node(msgspec.structs.replace(config, http=http)) as node:
        yield node


@pytest.fixture
def logins(node: Node, watch: Watch) -> Logins:
    return Logins(node, watch)


def shown(name: str = "wei", password: str = PASSWORD) -> Credentials:
    return Credentials(secret=password, name=name)


def fail(logins: Logins, times: int, name: str = "wei", address: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            logins.caller(shown(name, "wrong"), address)


def hashes(monkeypatch: pytest.MonkeyPatch, node: Node) -> list[str]:
    """Whose password was hashed, while the real thing goes on."""
    seen: list[str] = []
    real = node.registry.caller_by_password

    def counted(tx: Any, name: str, password: str) -> Any:
        seen.append(name)
        return real(tx, name, password)

    monkeypatch.setattr(node.registry, "caller_by_password", counted)
    return seen


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b":nobody").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Basic " + base64.b64encode(b"a\x00b:x").decode(),
        "Basic " + base64.b64encode(b"x:" + b"y" * 9000).decode(),
        "Bearer",
        "Digest username=wei",
        "é",
    ],
)
def test_what_is_no_login_lets_nobody_in(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        read_credentials(header)


def test_a_login_is_read_as_the_standards_write_it() -> None:
    text = base64.b64encode("wei:pass:wörd".encode()).decode()
    assert read_credentials(f"basic {text}") == Credentials("pass:wörd", "wei")
    token = read_credentials("Bearer abc")
    assert token.bearer
    assert token.secret == "abc"


def test_a_secret_is_never_shown_by_repr() -> None:
    assert PASSWORD not in repr(shown())


def test_a_challenge_names_both_schemes() -> None:
    assert challenge("Serantau th") == (
        'Basic realm="Serantau th", charset="UTF-8", Bearer realm="Serantau th"'
    )


def test_a_right_password_is_hashed_once(
    logins: Logins, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = hashes(monkeypatch, node)
    assert not logins.cheap(shown())
    callers = {logins.caller(shown(), HERE).user for _ in range(5)}
    assert callers == {"wei"}
    assert logins.cheap(shown())
    assert seen == ["wei"]


def test_what_was_proven_is_forgotten_after_ten_minutes(
    logins: Logins, node: Node, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = hashes(monkeypatch, node)
    logins.caller(shown(), HERE)
    watch.seconds += REMEMBERED_SECONDS - 1
    logins.caller(shown(), HERE)
    assert seen == ["wei"]
    watch.seconds += 1
    logins.caller(shown(), HERE)
    assert seen == ["wei", "wei"]


def test_an_unknown_name_costs_a_hash_too(
    logins: Logins, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = hashes(monkeypatch, node)
    fail(logins, 1, name="nobody")
    assert seen == ["nobody"]


def test_a_new_password_holds_at_once(logins: Logins, node: Node) -> None:
    logins.caller(shown(), HERE)
    with node.db.write() as tx:
        node.registry.set_user(tx, "wei", password="another")
    with pytest.raises(Unauthenticated):
        logins.caller(shown(), HERE)
    assert logins.caller(shown(password="another"), HERE).user == "wei"


def test_a_disabled_user_is_out_at_once(logins: Logins, node: Node) -> None:
    logins.caller(shown(), HERE)
    with node.db.write() as tx:
        node.registry.set_user(tx, "wei", disabled=True)
    with pytest.raises(Unauthenticated):
        logins.caller(shown(), HERE)


def test_a_changed_party_is_seen_by_the_next_request(
    logins: Logins, node: Node
) -> None:
    assert not logins.caller(shown(), HERE).party.blocked
    with node.db.write() as tx:
        node.registry.put_party(tx, Party("sg", Kind.MEMBER, blocked=True))
    assert logins.caller(shown(), HERE).party.blocked


def test_a_party_whose_time_is_over_is_out(logins: Logins, node: Node) -> None:
    logins.caller(shown(), HERE)
    with node.db.write() as tx:
        node.registry.put_party(tx, Party("sg", Kind.MEMBER, until=tx.clock.now()))
    with pytest.raises(Unauthenticated):
        logins.caller(shown(), HERE)


def test_wrong_passwords_end_a_name_from_everywhere(
    logins: Logins, watch: Watch
) -> None:
    for number in range(3):
        fail(logins, 1, address=f"192.0.2.{number}")
    with pytest.raises(TooMany) as refused:
        logins.caller(shown(), THERE)
    assert 0 < refused.value.wait <= WINDOW_SECONDS + 1
    assert logins.caller(shown("budi"), THERE).user == "budi"
    watch.seconds += WINDOW_SECONDS
    assert logins.caller(shown(), THERE).user == "wei"


def test_wrong_passwords_end_an_address_for_every_name(logins: Logins) -> None:
    for name in ("a", "b", "c"):
        fail(logins, 1, name=name)
    with pytest.raises(TooMany):
        logins.caller(shown(), HERE)
    assert logins.caller(shown(), THERE).user == "wei"


def test_a_refused_try_hashes_nothing(
    logins: Logins, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(logins, 3)
    seen = hashes(monkeypatch, node)
    with pytest.raises(TooMany):
        logins.caller(shown(password="wrong"), HERE)
    assert seen == []


def test_a_peer_that_is_in_stays_in_while_others_guess(logins: Logins) -> None:
    logins.caller(shown(), HERE)
    # Other names from its address, and its name from other addresses.
    for name in ("a", "b", "c"):
        fail(logins, 1, name=name)
    for number in range(3):
        fail(logins, 1, address=f"203.0.113.{number}")
    assert logins.caller(shown(), HERE).user == "wei"


def test_a_guesser_never_learns_that_it_is_right(logins: Logins) -> None:
    logins.caller(shown(), HERE)
    fail(logins, 3)
    # Remembered as right for this very address, and still refused like a wrong one.
    with pytest.raises(TooMany):
        logins.caller(shown(), HERE)
    fail(logins, 3, name="budi", address=THERE)
    with pytest.raises(TooMany):
        logins.caller(shown(), THERE)


def test_being_right_clears_the_name_but_not_the_address(logins: Logins) -> None:
    fail(logins, 2)
    logins.caller(shown(), HERE)
    fail(logins, 1)
    with pytest.raises(TooMany):
        logins.caller(shown("budi"), HERE)


def test_an_ipv6_host_is_its_whole_network(logins: Logins) -> None:
    for number, name in enumerate("abc"):
        fail(logins, 1, name=name, address=f"2001:db8:1:2::{number}")
    with pytest.raises(TooMany):
        logins.caller(shown(), "2001:db8:1:2:ffff::1")
    assert logins.caller(shown(), "2001:db8:1:3::1").user == "wei"


def test_an_address_that_is_none_is_still_limited(logins: Logins) -> None:
    for name in "abc":
        fail(logins, 1, name=name, address="unix:socket")
    with pytest.raises(TooMany):
        logins.caller(shown(), "unix:socket")


def test_a_token_lets_its_user_in_until_it_ends(logins: Logins, node: Node) -> None:
    with node.db.write() as tx:
        secret = node.registry.add_token(tx, "wei", "sync")
        past = node.registry.add_token(tx, "wei", "old", expires=tx.clock.now())
    token = Credentials(secret=secret)
    assert logins.cheap(token)
    assert logins.caller(token, HERE).user == "wei"
    with pytest.raises(Unauthenticated):
        logins.caller(Credentials(secret=past), HERE)
    with node.db.write() as tx:
        node.registry.drop_tokens(tx, "wei", "sync")
    with pytest.raises(Unauthenticated):
        logins.caller(token, HERE)


def test_wrong_tokens_end_an_address_but_not_those_who_hold_a_right_one(
    logins: Logins, node: Node
) -> None:
    with node.db.write() as tx:
        secret = node.registry.add_token(tx, "wei", "sync")
    for number in range(3):
        with pytest.raises(Unauthenticated):
            logins.caller(Credentials(secret=f"wrong{number}"), HERE)
    with pytest.raises(TooMany):
        logins.caller(Credentials(secret="wrong"), HERE)
    assert logins.caller(Credentials(secret=secret), HERE).user == "wei"


def test_wrong_passwords_are_429_with_the_time_to_wait(
    open_site: Callable[[NodeConfig], Site], config: NodeConfig
) -> None:
    http = HttpSection(login_attempts=2)
    site = open_site(msgspec.structs.replace(config, http=http))
    codes = [
        site.client.get(DISCOVERY, headers=basic("wei", "wrong")).status_code
        for _ in range(4)
    ]
    assert codes == [401, 401, 429, 429]
    answer = site.client.get(DISCOVERY, headers=basic("wei"))
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_SECONDS + 1
    assert site.metric("serantau_logins_refused_total", status="429") == 3


@pytest.mark.parametrize(
    ("base_url", "believed"), [("", False), ("https://x.example", True)]
)
def test_a_proxys_word_is_taken_only_from_a_proxy_on_this_machine(
    open_site: Callable[[NodeConfig], Site],
    config: NodeConfig,
    base_url: str,
    believed: bool,
) -> None:
    http = HttpSection(login_attempts=2, base_url=base_url)
    app = open_site(msgspec.structs.replace(config, http=http)).doors

    async def tries(address: str) -> list[int]:
        transport = httpx2.ASGITransport(app=app, client=(address, 5000))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://node.example"
        ) as client:
            answers = [
                await client.get(
                    DISCOVERY,
                    headers={
                        **basic(f"{address} {number}", "wrong"),
                        "X-Forwarded-For": f"9.9.9.9, 10.0.0.{number}",
                    },
                )
                for number in range(4)
            ]
        return [answer.status_code for answer in answers]

    assert in_a_thread(tries("203.0.113.5")) == [401, 401, 429, 429]
    expected = [401] * 4 if believed else [401, 401, 429, 429]
    assert in_a_thread(tries("127.0.0.1")) == expected
