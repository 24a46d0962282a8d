"""The page of an answer link works without login or script, and GET answers nothing."""

from collections.abc import Callable

import msgspec
import pytest

from doors import Site
from keys import identity
from serantau.config import HttpSection, MailSection, NodeConfig
from serantau.desk.contacts import Contacts
from serantau.desk.reach import ANSWER_PATH, Reach
from serantau.node import SEAL_FILE
from serantau.records.cards import MAIL, REACHED, SENT, WRONG, Cards
from serantau.records.seal import Seal
from serantau.rules.card import Card, Duty


@pytest.fixture
def asked(
    open_site: Callable[[NodeConfig], Site], config: NodeConfig
) -> tuple[Site, str]:
    """A site with a letter that went out, and the path of its link."""
    whole = msgspec.structs.replace(
        config,
        node=msgspec.structs.replace(config.node, identity=identity("th")),
        http=HttpSection(base_url="https://th.example"),
        mail=MailSection(host="127.0.0.1", sender="cert@th.example"),
    )
    config.keys.mkdir(exist_ok=True)
    (config.keys / SEAL_FILE).write_bytes(Seal.new_key())
    site = open_site(whole)
    name = "<b>Tan</b> & co"
    card = Card(name, "sg", duties=(Duty.POLICY,), mail=("a@sg.example",), source="x")
    Contacts(site.node).put(card)
    reach = Reach(site.node)
    reach.begin()
    with site.node.db.write() as tx:
        ask = Cards().take(tx, MAIL)
        assert ask is not None
        Cards().move(tx, ask, "sending", SENT, sent=1)
    return site, f"{ANSWER_PATH}/{reach.token(ask)}"


def state(site: Site) -> str:
    with site.node.db.read() as tx:
        (ask,) = Cards().asks(tx, 1)
    return ask.state


def test_a_program_that_opens_links_answers_nothing(asked: tuple[Site, str]) -> None:
    site, path = asked
    for method in ("GET", "HEAD", "OPTIONS", "GET"):
        site.client.request(method, path)
        site.client.request(method, f"{path}?reached=yes")
    assert state(site) == SENT


def test_the_page_needs_no_script_and_its_button_answers_once(
    asked: tuple[Site, str],
) -> None:
    site, path = asked
    page = site.client.get(path)
    assert page.status_code == 200
    assert "exercise:reef" in page.text
    assert "a@sg.example" in page.text
    assert "Tan" not in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert f'method="post" action="{path}?reached=yes"' in page.text
    assert site.client.post(f"{path}?reached=yes").status_code == 200
    assert state(site) == REACHED
    assert site.client.post(f"{path}?reached=no").status_code == 409
    assert site.client.get(path).status_code == 409
    assert state(site) == REACHED


def test_who_is_not_the_right_one_can_say_so(asked: tuple[Site, str]) -> None:
    site, path = asked
    assert site.client.post(f"{path}?reached=perhaps").status_code == 400
    assert site.client.post(f"{path}?reached=no").status_code == 200
    assert state(site) == WRONG


@pytest.mark.parametrize("tail", ["0", "%00", "..", "x" * 5000, "é"])
def test_a_made_up_link_is_none_of_ours(asked: tuple[Site, str], tail: str) -> None:
    site, path = asked
    for method in ("GET", "POST"):
        told = site.client.request(method, f"{path}{tail}?reached=yes")
        assert told.status_code in {404, 405}
        assert "<script" not in told.text
    assert state(site) == SENT
