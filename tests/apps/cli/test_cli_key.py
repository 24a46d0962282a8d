"""Keys by hand: show, compare, pin, rotate, give up and countersign."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from commands import Run, command, opened
from samples import LATER
from serantau.desk.found import Charter, found
from serantau.rules.key import Key
from serantau.testing import signer_of
from serantau.wire.signer import new_signer


@pytest.fixture
def words() -> str:
    return signer_of("sg").key.words


def _shown(run: Run) -> dict[str, str]:
    told: dict[str, str] = run("key", "show", "--json").json
    return told


def test_a_key_is_shown_as_words_and_as_a_code_that_can_be_scanned(run: Run) -> None:
    told = _shown(run)
    shown = run("key", "show")
    for word in told["words"].split():
        assert word in shown.out
    assert "█" in shown.out
    assert "█" not in run("key", "show", "--no-qr").out
    assert told["card"] == f"serantau-key:th:{told['jwk']['x']}"  # type: ignore[index]
    assert Key.from_jwk(told["jwk"]).id == told["id"]


def test_a_key_is_pinned_by_words_and_taken_back(run: Run, words: str) -> None:
    ran = run("key", "pin", "sg", *words.split())
    assert (ran.code, "shows a" in ran.out) == (0, True)
    (row,) = [one for one in run("key", "list", "--json").json if one["party"] == "sg"]
    assert (row["state"], row["identity"]) == ("waiting", "")
    listed = run("key", "list")
    assert "No key is pinned of:" in listed.err
    assert "waiting" in listed.out
    assert (
        run("key", "pin", "jp", f"serantau-key:jp:{new_signer().key.jwk['x']}").code
        == 0
    )
    assert run("key", "unpin", "sg").out == "1 pin of sg removed.\n"
    for arguments, told in (
        (("pin", "sg", "not", "a", "key"), "no fingerprint"),
        (("pin", "nobody", *words.split()), "No party is named"),
        (("pin", "sg"), "Say whose key"),
        (("unpin", "sg"), "No such key is pinned"),
        (("unpin", "th"), "own key"),
    ):
        ran = run("key", *arguments)
        assert ran.code in {2, 6}
        assert told in ran.err
        assert "Traceback" not in ran.err


def test_an_id_that_begins_with_a_hyphen_is_an_id(run: Run) -> None:
    key_id = "-" + 42 * "A"
    assert run("key", "pin", "sg", key_id).code == 0
    assert key_id in run("key", "list", "--json").out
    assert run("key", "unpin", "sg", key_id).code == 0


def test_a_peer_is_added_with_its_key(run: Run, words: str) -> None:
    how = ("--no-check", "--secret-file", "-")
    ran = run("peer", "add", "sg", "https://sg.example/", *how, given="token\n")
    assert "No key of sg is pinned" in ran.err
    assert "no key is pinned of sg" in run("doctor", "--no-peers").out
    ran = run(
        *("peer", "add", "sg", "https://sg.example/", *how, "--key", words),
        *("--signatures", "all"),
        given="token\n",
    )
    assert (ran.code, "No key" in ran.err) == (0, False)
    (row,) = run("peer", "list", "--json").json
    assert row["signatures"] == "all"
    assert "signs with key" in run("doctor", "--no-peers").out


def test_what_is_loaded_in_our_name_is_shown_as_signed(run: Run, home: Path) -> None:
    with opened(home) as node:
        own = node.config.node.identity
    tool = {
        "type": "tool",
        "spec_version": "2.1",
        "id": "tool--00000000-0000-4000-8000-000000000001",
        "created": LATER,
        "modified": LATER,
        "created_by_ref": own,
        "name": "a signed tool",
    }
    stranger = {**tool, "id": tool["id"][:-1] + "2", "name": "an unsigned tool"}
    del stranger["created_by_ref"]
    text = b"\n".join(map(orjson.dumps, (tool, stranger)))
    assert run("load", "-", given=text).code == 0
    shown = run("show", tool["id"])
    assert f"Signed by its creator, with key {_shown(run)['id']}" in shown.out
    assert "Unsigned: nobody proves" in run("show", stranger["id"]).out
    (version,) = run("show", tool["id"], "--json").json["versions"]
    assert version["signature"] == "valid"
    found_ = run("search", "signed tool", "--json").json
    assert {one["name"]: one["signature"] for one in found_} == {
        "a signed tool": "valid",
        "an unsigned tool": "unsigned",
    }


def test_a_rotated_key_is_another_and_the_list_tells_both(run: Run, home: Path) -> None:
    old = _shown(run)["id"]
    assert run("key", "rotate").code == 0
    new = _shown(run)["id"]
    assert old != new
    rows = run("key", "list", "--json").json
    assert {row["key"]: row["state"] for row in rows} == {
        old: "retired",
        new: "active",
    }
    assert run("key", "rotate", "--to", home / "nowhere.pem").code == 2


def test_a_lost_key_is_countersigned_by_who_heard_the_new_words(
    run: Run, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "key-request.json"
    card = _shown(run)["card"]
    for arguments in ((), ("--lost", "--compromised"), ("--lost", "--since", "noon")):
        assert run("key", "revoke", "--out", out, *arguments).code == 2
    assert run("key", "revoke", "--lost", "--out", out).code == 0
    assert run("key", "revoke", "--lost", "--out", out).code == 2
    new = Key.from_jwk(orjson.loads(out.read_bytes())["new_key"])
    assert _shown(run)["id"] == new.id
    hub = tmp_path / "sg"
    found(hub, Charter("sg", "SingCERT", role="coordinator", coordinators=("sg",)))
    with opened(home) as node:
        own = node.config.node.identity
    with opened(hub) as node, node.db.write() as tx:
        _, party = node.registry.party(tx, "th")
        node.registry.put_party(tx, replace(party, identity=own))
    assert command(hub, "key", "pin", "th", card).code == 0
    wrong = command(hub, "key", "countersign", out, *signer_of("x").key.words.split())
    assert (wrong.code, "Nothing was countersigned" in wrong.err) == (2, True)
    right = command(hub, "key", "countersign", out, *new.words.split())
    assert (right.code, right.out.startswith("Countersigned: loss")) == (0, True)
    (tmp_path / "rubbish").write_text("[")
    (tmp_path / "list").write_text("[]")
    for name in ("rubbish", "list", "nowhere"):
        ran = command(hub, "key", "countersign", tmp_path / name, "word")
        assert (ran.code, "Traceback" in ran.err) == (2, False)
    shutil.rmtree(hub)


def test_a_passphrase_is_set_and_then_needed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("key", "protect", "--passphrase-file", "-", given="secret\n").code == 0
    assert "none was given" in run("key", "show").err
    assert "none was given" in run("doctor", "--no-peers").out
    monkeypatch.setenv("SERANTAU_SIGNING_PASSPHRASE", "secret")
    assert run("key", "show", "--no-qr").code == 0
    assert run("key", "protect", "--passphrase-file", "-", given="\n").code == 0
