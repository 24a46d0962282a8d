"""Signing in at a provider that runs here, on loopback."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import pytest
from joserfc.jwk import RSAKey

from oidc_server import CLIENT, SECRET, Provider, provider
from serantau.clock import SystemClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.signin import SignIn, Wish
from serantau.node import Node
from serantau.oidc_settings import OidcSection
from visitors import Pages, Visitor, pages_of, text_of


@pytest.fixture(scope="module")
def there() -> Iterator[Provider]:
    with pytest.MonkeyPatch.context() as patch, provider(patch) as made:
        yield made


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, there: Provider) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("oidc") / "th"
    found(home, Charter("th", "ThaiCERT"))
    (home / "keys" / "oidc").write_text(f"{SECRET}\n")
    oidc = OidcSection(
        issuer=there.issuer,
        client_id=CLIENT,
        client_secret_file="keys/oidc",
        title="<b>The ministry</b>",
        claim="groups",
        roles={"soc": "analyst", "chiefs": "lead"},
    )
    config = msgspec.structs.replace(load_config(home), oidc=oidc)
    with Node(config, SystemClock()) as node, pages_of(node) as pages:
        yield pages


@pytest.fixture(autouse=True)
def honest(there: Provider) -> None:
    there.who = {"sub": "mali", "groups": ["soc", "football"]}
    there.lies, there.signs_with = {}, None


def cookies(answer: Any) -> dict[str, str]:
    pairs = (
        each.partition(";")[0].partition("=")
        for each in answer.headers.get_list("set-cookie")
    )
    return {name: value for name, _, value in pairs}


class Traveller(Visitor):
    """A browser that has what it was given on its way, too."""

    held: str = ""

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        headers = super()._headers(more)
        mine = f"serantau={self.secret}; " if self.secret else ""
        return {**headers, "Cookie": f"{mine}serantau-oidc={self.held}"}

    def go(self, path: str, **fields: str) -> str:
        """Go to the provider; gives where it sends the browser back to."""
        sent = self.send(path, **fields)
        assert sent.status_code == 200, text_of(sent.text)
        assert "<b>The ministry" not in sent.text
        self.held = cookies(sent)["serantau-oidc"]
        link = re.search(r'url=([^"]+)"', sent.text)
        assert link
        answer = httpx2.get(unescape(link[1]), follow_redirects=False)
        assert answer.status_code == 302
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"


def traveller(pages: Pages, secret: str = "") -> Traveller:
    return Traveller(pages.client, secret)


def invitation(pages: Pages, name: str) -> str:
    with pages.node.db.write() as tx:
        signin = SignIn(pages.node)
        return signin.invite(tx, Wish(name, "analyst")).partition("=")[2]


def linked(pages: Pages, there: Provider, name: str) -> None:
    """A user who was invited, and signed in at the provider instead."""
    there.who["sub"] = name
    somebody = traveller(pages)
    back = somebody.go("/invited/oidc", t=invitation(pages, name))
    assert somebody.get(back).headers["location"] == "/me"


def test_nobody_comes_in_whom_nobody_here_linked(pages: Pages, there: Provider) -> None:
    stranger = traveller(pages)
    there.who["sub"] = "somebody else"
    answer = stranger.get(stranger.go("/sign-in/oidc"))
    assert answer.status_code == 403
    assert "serantau" not in cookies(answer)


def test_who_is_invited_signs_in_there_and_then_always(
    pages: Pages, there: Provider
) -> None:
    linked(pages, there, "mali")
    again = traveller(pages)
    answer = again.get(again.go("/sign-in/oidc", next="/people/roles"))
    assert answer.headers["location"] == "/people/roles"
    inside = Visitor(pages.client, cookies(answer)["serantau"])
    assert "oidc" in inside.read("/me")
    # Without a password here there is none to come in by.
    assert (
        pages.stranger().send("/sign-in", name="mali", password="").status_code == 422
    )


def test_who_is_signed_in_links_its_account_and_nobody_elses(
    pages: Pages, there: Provider
) -> None:
    there.who["sub"] = "suda-there"
    suda = traveller(pages, pages.visitor("suda", "analyst").secret)
    back = suda.go("/me/second/oidc")
    thief = traveller(pages, pages.visitor("thief", "analyst").secret)
    thief.held = suda.held
    assert thief.get(back).status_code == 403
    back = suda.go("/me/second/oidc")
    assert suda.get(back).headers["location"].startswith("/me/second")
    other = traveller(pages, pages.visitor("other", "analyst").secret)
    assert other.get(other.go("/me/second/oidc")).status_code == 403


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    pages: Pages, there: Provider
) -> None:
    linked(pages, there, "once")
    first = traveller(pages)
    back = first.go("/sign-in/oidc")
    elsewhere = traveller(pages)
    for held in ("", "x", "\x7f"):
        elsewhere.held = held
        answer = elsewhere.get(back)
        assert answer.headers["location"].startswith("/sign-in?said=too-late")
    assert first.get(back).headers["location"] == "/"
    assert "too-late" in first.get(back).headers["location"]


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"aud": ["another node"]},
        {"iss": "https://another.example"},
        {"exp": 1},
        {"at_hash": "wrong"},
        {"azp": "another node"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_what_is_not_about_this_sign_in_is_not_believed(
    pages: Pages, there: Provider, lie: dict[str, Any]
) -> None:
    somebody = traveller(pages)
    back = somebody.go("/sign-in/oidc")
    there.lies = lie
    answer = somebody.get(back)
    assert answer.status_code == 403
    assert "not about this" in text_of(answer.text)


def test_a_signature_of_another_key_is_not_believed(
    pages: Pages, there: Provider
) -> None:
    somebody = traveller(pages)
    back = somebody.go("/sign-in/oidc")
    there.signs_with = RSAKey.generate_key(2048, {"kid": there.key.kid})
    assert somebody.get(back).status_code == 403


def test_a_code_of_another_sign_in_is_not_taken(pages: Pages, there: Provider) -> None:
    first, second = traveller(pages), traveller(pages)
    code = parse_qs(urlsplit(first.go("/sign-in/oidc")).query)["code"][0]
    state = parse_qs(urlsplit(second.go("/sign-in/oidc")).query)["state"][0]
    # PKCE: the verifier of the second does not fit the code of the first.
    answer = second.get(f"/sign-in/oidc/back?code={code}&state={state}")
    assert answer.status_code == 403


def test_the_role_follows_the_claim_and_without_one_nobody_comes_in(
    pages: Pages, there: Provider
) -> None:
    linked(pages, there, "chief")
    there.who = {"sub": "chief", "groups": ["chiefs", "soc"]}
    chief = traveller(pages)
    answer = chief.get(chief.go("/sign-in/oidc"))
    assert "lead" in Visitor(pages.client, cookies(answer)["serantau"]).read("/me")
    for groups in (["football"], [], {"soc": 1}, None):
        there.who = {"sub": "chief", "groups": groups}
        assert chief.get(chief.go("/sign-in/oidc")).status_code == 403
