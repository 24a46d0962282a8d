"""Passkeys, with a real browser and an authenticator that Chromium plays."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page

from chromium import PHONE, wide, window
from doors import PASSWORD, serving
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.passkeys import LONGEST, Passkeys, Place
from serantau.errors import BadInput, Conflict
from serantau.node import Node
from serantau.records import factors
from serantau.records.sessions import user_number
from visitors import signed_in


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home: Path = tmp_path_factory.mktemp("passkeys") / "th"
    found(home, Charter("th", "ThaiCERT"))
    with Node(load_config(home)) as node:
        yield node


def authenticator(page: Page, *, verified: bool = True) -> None:
    """Give a window an authenticator: a stick that its owner unlocks, or not."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": verified,
                "automaticPresenceSimulation": True,
            }
        },
    )


def test_a_passkey_is_made_and_signs_in_alone_and_as_a_second_step(
    node: Node, browser: Browser
) -> None:
    secret = signed_in(node, "mali", "lead")
    with serving(node) as address:
        named = address.replace("127.0.0.1", "localhost")
        with window(browser, named, secret) as page:
            authenticator(page)
            page.goto("/me/second")
            page.get_by_label("What you call it").fill("<i>blue stick</i>")
            page.get_by_role("button", name="Make a passkey").click()
            page.get_by_role("heading", name="Recovery codes").wait_for()
            codes = page.locator("pre").inner_text().split()
            assert len(codes) == 10
            page.get_by_role("link", name="I have them").click()
            page.get_by_text("<i>blue stick</i>").wait_for()
            page.get_by_role("button", name="Sign out").click()

            page.get_by_role("button", name="Sign in with a passkey").click()
            page.wait_for_url(lambda url: "sign-in" not in url)
            page.goto("/me")
            assert "passkey" in page.locator("#sessions").inner_text()
            page.get_by_role("button", name="Sign out").click()

            page.get_by_label("Name").fill("mali")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.wait_for_url("**/sign-in/second")
            page.get_by_role("button", name="Use your passkey").click()
            page.wait_for_url(lambda url: "sign-in" not in url)
            page.goto("/me")
            assert "password+passkey" in page.locator("#sessions").inner_text()
        with node.db.read() as tx:
            (held,) = factors.of(tx, user_number(tx, "mali"), factors.PASSKEY)
            assert held.counter > 0
            assert held.used

        # A passkey that its owner does not unlock signs nobody in alone.
        with window(browser, named) as page:
            page.goto("/sign-in")
            authenticator(page, verified=False)
            page.get_by_role("button", name="Sign in with a passkey").click()
            page.locator("[data-passkey-broke]").wait_for(state="visible")
            assert "/sign-in" in page.url


def test_a_code_of_an_app_signs_in_without_script_and_fits_a_phone(
    node: Node, browser: Browser
) -> None:
    secret = signed_in(node, "suda", "analyst")
    with (
        serving(node) as address,
        window(browser, address, secret, size=PHONE, script=False) as page,
    ):
        page.goto("/me/second")
        assert "name, not for an address" in page.locator("#passkey").inner_text()
        page.get_by_role("button", name="Set up an app").click()
        page.wait_for_load_state()
        assert page.locator("img").evaluate("one => one.naturalWidth") > 100
        assert wide(page) <= 0
        app = pyotp.TOTP(page.locator("#app code").inner_text().replace(" ", ""))
        page.get_by_label("The six digits").fill(app.at(int(time.time())))
        page.get_by_role("button", name="Take this app").click()
        code = page.locator("pre").inner_text().split()[0]
        page.goto("/me")
        assert wide(page) <= 0
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Name").fill("suda")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_label("Code").fill(code)
        page.get_by_role("button", name="Go on").click()
        page.goto("/me")
        assert "password+recovery" in page.locator("#sessions").inner_text()


PLACE = Place("localhost", "http://localhost:1")


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"id": 1}',
        '{"id": "a", "response": {"clientDataJSON": "!!"}}',
        '{"id": "a", "response": {"clientDataJSON": "e30"}}',
        '{"id": "\\ud800", "response": {"clientDataJSON": "é"}}',
        "x" * (LONGEST + 1),
        "[" * 5000,
    ],
    ids=range(10),
)
def test_what_is_no_passkey_proves_nothing(node: Node, shown: str) -> None:
    keys = Passkeys(node)
    with node.db.write() as tx:
        assert keys.prove(tx, PLACE, shown) == 0
        with pytest.raises(BadInput):
            keys.add(tx, PLACE, 1, "admin", "", shown)


def test_a_challenge_is_whose_it_was_issued_for(node: Node) -> None:
    keys = Passkeys(node)
    with node.db.write() as tx:
        asked = json.loads(keys.ask_new(tx, PLACE, 1, "admin"))
        client = {
            "type": "webauthn.create",
            "challenge": asked["challenge"],
            "origin": PLACE.origin,
        }
        raw = base64.urlsafe_b64encode(json.dumps(client).encode()).decode().rstrip("=")
        shown = json.dumps({"id": "a", "response": {"clientDataJSON": raw}})
        with pytest.raises(BadInput, match="too late"):
            keys.add(tx, PLACE, 2, "other", "", shown)


def test_a_user_has_no_more_passkeys_than_fit_a_list(node: Node) -> None:
    with node.db.write() as tx:
        for number in range(20):
            factors.put(tx, 77, factors.PASSKEY, f"key{number}", secret=b"x")
        with pytest.raises(Conflict):
            Passkeys(node).ask_new(tx, PLACE, 77, "many")


@pytest.mark.parametrize(
    ("host", "usable"),
    [
        ("th.example:8440", True),
        ("localhost:1", True),
        ("192.0.2.1:8440", False),
        ("[2001:db8::1]:1", False),
        ("", False),
    ],
)
def test_passkeys_are_for_a_name(node: Node, host: str, usable: bool) -> None:
    assert Passkeys(node).place(host).usable is usable
