"""Making a node, restoring one, and checking it."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands import Run, indicator, opened, written
from serantau.apps.cli.main import app


def test_a_fresh_node_releases_who_it_is_to_members_and_nothing_of_it_to_the_public(
    run: Run,
) -> None:
    member, public = run(
        "share", "preview", "--to", "vn", "--to", "public", "--json"
    ).json
    assert {row["marking"] for row in member["rows"] if row["released"]} == {
        "TLP:CLEAR",
        "TLP:GREEN",
    }
    assert {row["marking"] for row in public["rows"] if row["released"]} == {
        "TLP:CLEAR"
    }


def test_init_makes_keys_for_its_user_only_and_a_password_that_works(
    tmp_path: Path,
) -> None:
    home = tmp_path / "new" / "id"
    words = ["init", "--member", "id", "--team", "ID-SIRTII/CC", "--json"]
    ran = CliRunner().invoke(app, ["--home", str(home), *words])
    assert ran.exit_code == 0, ran.stderr
    told = json.loads(ran.stdout)
    for path in (home, home / "keys", *(home / "keys").iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    with opened(home) as node, node.db.read() as tx:
        caller = node.registry.caller_by_password(tx, "admin", told["password"])
        assert caller is not None
        assert (caller.role, caller.party.name) == ("admin", "id")
        parties = node.registry.parties(tx)
        assert {"th", "sg", "vn", "jp", "public", "id"} <= parties.keys()
        assert parties["id"][1].identity == told["identity"]
        assert not [user for user in node.registry.users(tx) if user.name != "admin"]


def test_init_leaves_a_node_alone(run: Run, home: Path) -> None:
    before = (home / "serantau.toml").read_bytes()
    ran = run("init", "--member", "vn", "--team", "VNCERT/CC")
    assert ran.code == 2
    assert "nothing was changed" in ran.err
    assert (home / "serantau.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--team", "x"), "--member is missing"),
        (("--member", "jp"), "--team is missing"),
        (("--member", "xx", "--team", "x"), "'xx' is no code"),
        (("--member", "th", "--team", "x", "--profile", "none.toml"), "cannot be read"),
        (("--member", "th", "--team", "x", "--role", "king"), "node.role"),
        (("--member", "th", "--team", "x", "--coordinator", "jp"), "is no member"),
    ],
)
def test_init_says_what_is_wrong_and_makes_nothing(
    tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    home = tmp_path / "none"
    ran = CliRunner().invoke(app, ["--home", str(home), "init", *flags])
    assert ran.exit_code in {2, 3}
    assert said in ran.stderr
    assert not home.exists()


def test_the_doctor_finds_a_founded_node_well(run: Run) -> None:
    ran = run("doctor", "--json")
    assert ran.code == 0, ran.out
    assert {each["area"] for each in ran.json} >= {
        "config",
        "keys",
        "database",
        "clock",
    }


def test_the_doctor_says_how_to_mend_a_key_that_others_may_read(
    run: Run, home: Path
) -> None:
    key = home / "keys" / "seal.key"
    key.chmod(0o644)
    ran = run("doctor")
    assert ran.code == 1
    assert f"chmod 600 {key}" in ran.out


def test_the_doctor_finds_what_is_not_there(run: Run, home: Path) -> None:
    (home / "serantau.db").unlink()
    shutil.rmtree(home / "keys")
    ran = run("doctor", "--json")
    assert ran.code == 1
    failed = {each["area"] for each in ran.json if each["level"] == "FAIL"}
    assert failed == {"keys", "database"}
    assert all(each["mend"] for each in ran.json if each["level"] == "FAIL")
    assert not (home / "serantau.db").exists()


def test_the_doctor_finds_a_damaged_file(run: Run, home: Path) -> None:
    file = home / "serantau.db"
    damaged = bytearray(file.read_bytes())
    damaged[16384 * 3 : 16384 * 9] = b"\xff" * (16384 * 6)
    file.write_bytes(damaged)
    ran = run("doctor", "--json")
    assert ran.code == 1
    assert any(
        each["area"] == "database" and each["level"] == "FAIL" for each in ran.json
    )


def test_the_doctor_warns_of_a_peer_that_does_not_answer(run: Run) -> None:
    run("peer", "add", "vn", "http://127.0.0.1:9", "--no-check")
    ran = run("doctor", "--json")
    assert ran.code == 0
    levels = [each["level"] for each in ran.json if each["area"] == "peer vn"]
    assert set(levels) == {"WARN"}


def test_an_unknown_setting_is_told_with_its_place(run: Run, home: Path) -> None:
    with (home / "serantau.toml").open("a") as file:
        file.write("\n[http]\nprot = 1\n")
    ran = run("doctor")
    assert ran.code == 1
    assert "prot" in ran.out
    assert run("search", "x").code == 3


def test_export_and_init_from_make_the_same_node(run: Run, tmp_path: Path) -> None:
    run("load", written(tmp_path / "b.json", indicator(1)))
    assert run("export", tmp_path / "out").code == 0
    again = ["--home", str(tmp_path / "again")]
    ran = CliRunner().invoke(app, [*again, "init", "--from", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.stderr
    ran = CliRunner().invoke(app, [*again, "search", "n1.example", "--json"])
    assert [one["id"] for one in json.loads(ran.stdout)] == [indicator(1)["id"]]
    assert run("export", tmp_path / "out").code == 2
