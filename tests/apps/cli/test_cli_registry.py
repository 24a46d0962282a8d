"""Parties, circles, collections, users, peers and quarantine by the command line."""

import json
from pathlib import Path

from commands import Run, indicator, opened, written
from serantau.rules.marking import TLP_2_IDS, Tlp


def test_a_dry_run_of_a_block_says_what_it_would_do_and_does_nothing(
    run: Run, tmp_path: Path
) -> None:
    run("load", written(tmp_path / "b.json", indicator(1)))
    dry = run("party", "block", "jp", "--dry-run")
    assert "would be changed" in dry.out
    assert "party-blocked" in dry.out
    (jp,) = run("share", "preview", "n1.example", "--to", "jp", "--json").json
    assert jp["released"] == 1
    assert run("party", "block", "jp").code == 0
    (jp,) = run("share", "preview", "n1.example", "--to", "jp", "--json").json
    assert (jp["released"], jp["rows"][0]["rule"]) == (0, "party-blocked")
    assert run("party", "unblock", "jp").code == 0
    (jp,) = run("share", "preview", "n1.example", "--to", "jp", "--json").json
    assert jp["released"] == 1


def test_the_own_party_cannot_be_blocked(run: Run) -> None:
    assert run("party", "block", "th").code == 2


def test_an_operator_is_added_and_changed(run: Run) -> None:
    added = run(
        *("party", "add", "th-power", "--kind", "operator", "--client-of", "th"),
        *("--need-to-know", "--ceiling", "TLP:AMBER", "--until", "2027-01-31"),
    )
    assert added.code == 0, added.err
    party = {each["name"]: each for each in run("party", "list", "--json").json}
    assert party["th-power"]["need_to_know"] is True
    assert party["th-power"]["ceiling"] == "TLP:AMBER"
    assert party["th-power"]["until"] == "2027-01-31T00:00:00.000000Z"
    assert run("party", "set", "th-power", "--ceiling", "none").code == 0
    assert run("party", "add", "th-power", "--kind", "operator").code == 2
    assert run("party", "add", "x", "--kind", "king").code == 2
    assert run("party", "set", "th-power", "--until", "soon").code == 2


def test_circles_are_set_listed_and_dropped(run: Run) -> None:
    assert run("circle", "set", "mekong", "la", "kh").code == 0
    (circle,) = run("circle", "list", "--json").json
    assert circle["members"] == ["kh", "la"]
    assert circle["id"].startswith("circle--")
    assert run("circle", "set", "mekong", "nobody").code == 6
    assert run("circle", "drop", "mekong").code == 0
    assert run("circle", "list", "--json").json == []


def test_a_circle_is_opened_only_after_what_that_opens_was_seen(
    run: Run, tmp_path: Path
) -> None:
    run("circle", "set", "mekong", "la")
    audience = run("share", "audience", "--circle", "mekong", "--json").json
    marks = [TLP_2_IDS[Tlp.AMBER], audience["definition"]["id"]]
    thing = indicator(1, object_marking_refs=marks)
    run("load", written(tmp_path / "b.json", thing))
    unseen = run("circle", "set", "mekong", "la", "kh")
    assert unseen.code == 2
    assert "newly released" in unseen.out
    assert thing["id"] in unseen.out
    assert "Nobody is there to be asked" in unseen.err
    (circle,) = run("circle", "list", "--json").json
    assert circle["members"] == ["la"]
    flags = ("--circle", "mekong", "--member", "la", "--member", "kh", "--json")
    told = run("share", "simulate", *flags).json
    (party,) = told["parties"]
    assert (party["party"], party["released"], party["withheld"]) == ("kh", 2, 0)
    assert not told["applied"]
    assert run("share", "simulate", *flags, "--apply").code == 2
    stale = run("share", "simulate", *flags, "--apply", "--seen", "0" * 64)
    assert stale.code == 2
    assert "no longer true" in stale.err
    done = run("share", "simulate", *flags, "--apply", "--seen", told["digest"])
    assert done.json["applied"]
    (kh,) = run("share", "preview", thing["id"], "--to", "kh", "--json").json
    assert kh["released"] == 1
    assert run("circle", "set", "mekong", "la", "--yes").code == 0
    (kh,) = run("share", "preview", thing["id"], "--to", "kh", "--json").json
    assert kh["released"] == 0


def test_collections_are_added_with_rights(run: Run) -> None:
    ran = run("collection", "add", "open", "--up-to", "clear", "--read", "everyone")
    assert ran.code == 0, ran.err
    found = {each["alias"]: each for each in run("collection", "list", "--json").json}
    assert found["open"]["up_to"] == "TLP:CLEAR"
    assert run("collection", "add", "x", "--read", "kind:king").code == 2
    assert run("collection", "add", "x", "--box", "--up-to", "CLEAR").code == 2


def test_quarantine_is_listed_shown_retried_and_dropped(
    run: Run, tmp_path: Path
) -> None:
    run("load", written(tmp_path / "b.json", indicator(1, pattern="[x")))
    (held,) = run("quarantine", "list", "--json").json
    assert held["rule"] == "pattern"
    shown = run("quarantine", "show", held["number"], "--json").json
    assert json.loads(shown["body"])["id"] == indicator(1)["id"]
    assert "pattern" in run("quarantine", "list").out
    assert run("quarantine", "retry", "--all").code == 9
    assert run("quarantine", "drop").code == 2
    (held,) = run("quarantine", "list", "--json").json
    assert run("quarantine", "drop", held["number"]).code == 0
    assert run("quarantine", "list", "--json").json == []
    assert run("quarantine", "show", 99).code == 6


def test_users_and_tokens_let_in_until_they_are_ended(run: Run, home: Path) -> None:
    made = run("user", "add", "analyst", "--role", "writer", "--json").json
    token = run("user", "token", "analyst", "--label", "laptop").out.strip()
    with opened(home) as node, node.db.read() as tx:
        assert node.registry.caller_by_password(tx, "analyst", made["password"])
        assert node.registry.caller_by_token(tx, token)
    assert run("user", "token", "analyst", "--revoke").code == 0
    assert run("user", "disable", "analyst").code == 0
    with opened(home) as node, node.db.read() as tx:
        assert node.registry.caller_by_password(tx, "analyst", made["password"]) is None
        assert node.registry.caller_by_token(tx, token) is None
    assert run("user", "enable", "analyst").code == 0
    given = run("user", "password", "analyst", "--password-file", "-", given="short\n")
    assert given.code == 2
    long = "a good long password"
    given = run(
        "user", "password", "analyst", "--password-file", "-", given=long + "\n"
    )
    assert given.code == 0
    assert long not in given.out
    with opened(home) as node, node.db.read() as tx:
        assert node.registry.caller_by_password(tx, "analyst", long)
    assert run("user", "add", "guest", "--party", "vn", "--role", "admin").code == 2
    assert {"admin", "analyst"} == {
        u["name"] for u in run("user", "list", "--json").json
    }


def test_a_peer_is_kept_with_its_secret_sealed_and_told_unreachable(
    run: Run, home: Path
) -> None:
    url = "http://127.0.0.1:9"
    ran = run("peer", "add", "vn", url, "--secret-file", "-", given="its token\n")
    assert ran.code == 0, ran.err
    assert "goes on trying" in ran.err
    (peer,) = run("peer", "list", "--json").json
    assert (peer["name"], peer["url"], peer["enabled"]) == ("vn", url, True)
    assert b"its token" not in (home / "serantau.db").read_bytes()
    assert run("peer", "pause", "vn").code == 0
    assert run("peer", "list", "--json").json[0]["enabled"] is False
    assert run("peer", "resume", "vn").code == 0
    sync = run("peer", "sync", "--json")
    assert sync.code == 7
    assert sync.json[0]["faults"]
    (status,) = run("peer", "status", "--json").json
    assert status["fault"]
    assert status["at"] is None
    assert run("peer", "remove", "vn").code == 0
    assert run("peer", "remove", "vn").code == 6
