"""Cards from the command line: written, imported, called, told, and who read them."""

import getpass
from pathlib import Path

from commands import Run
from serantau.errors import BadRequest, NotFound

ADD = ("--duty", "24x7", "--mail", "soc@vn.example", "--source", "a call")


def test_a_card_is_added_changed_listed_and_shown(run: Run) -> None:
    added = run(
        "contacts", "add", "vn", "Nguyễn Văn A", *ADD, "--phone", "+84 24 1234 5678",
        "--language", "vi", "--zone", "Asia/Ho_Chi_Minh", "--verified", "today",
        "--confidence", "90",
    )  # fmt: skip
    assert added.code == 0, added.err
    assert "TLP:AMBER" in added.out
    (row,) = run("contacts", "list", "vn", "--json").json
    assert row["phones"] == ["+842412345678"]
    assert (row["stale"], row["confidence"], row["source"]) == (False, 90, "a call")
    changed = run(
        "contacts", "set", row["id"], "--phone", "", "--remark", "ลา", "--to", "sg"
    )
    assert changed.code == 0, changed.err
    shown = run("contacts", "show", "Nguyễn Văn A", "--json").json
    assert (shown["phones"], shown["remark"]) == ([], "ลา")
    assert "only sg" in shown["marking"]
    assert shown["verified"] == row["verified"]
    table = run("contacts", "show", row["id"])
    assert "signature valid" in table.out
    assert run("contacts", "list", "--stale", "--json").json == []
    assert run("contacts", "add", "vn", "x").code == BadRequest.exit_code
    assert run("contacts", "show", "nobody").code == NotFound.exit_code


def test_oncall_tells_who_has_the_watch_and_the_time_there(
    run: Run, tmp_path: Path
) -> None:
    for name in ("ဦးဘ", "ဒေါ်အေး"):
        run(
            "contacts", "add", "mm", name, "--duty", "technical", "--phone",
            "+9512345678", "--zone", "Asia/Yangon", "--source", "x",
        )  # fmt: skip
    run(
        "contacts", "add", "mm", "Desk", "--desk", *ADD, "--zone", "Asia/Yangon",
        "--deputy", "ဦးဘ",
    )  # fmt: skip
    rota = tmp_path / "rota.toml"
    rota.write_text(
        '[[shift]]\nperson = "ဦးဘ"\nbegin = "08:00"\nend = "20:00"\n'
        '[[shift]]\nperson = "ဒေါ်အေး"\nbegin = "20:00"\nend = "08:00"\n',
        encoding="utf-8",
    )
    assert "2 people" in run("contacts", "rota", "Desk", rota).out
    (row,) = run("oncall", "mm", "--at", "2026-03-02T13:31:00Z", "--json").json
    assert (row["name"], row["local"]) == ("ဒေါ်အေး", "Mon 2026-03-02 20:01 +0630")
    assert (row["until"], row["desk"]) == ("Tue 08:00", "Desk")
    assert row["deputies"] == ["ဦးဘ +9512345678"]
    assert "Nobody is on call" in run("oncall", "sg").out


def test_an_import_is_previewed_and_then_taken_in(run: Run, tmp_path: Path) -> None:
    book = tmp_path / "book.vcf"
    book.write_text(
        "BEGIN:VCARD\nVERSION:4.0\nFN:ສົມພອນ\nEMAIL:a@la.example\n"
        "BDAY:19800101\nEND:VCARD\n",
        encoding="utf-8",
    )
    given = ("--party", "la", "--duty", "technical")
    (row,) = run("contacts", "import", book, *given, "--dry-run", "--json").json
    assert (row["state"], row["left"]) == ("new", ["BDAY: 19800101"])
    refused = run("contacts", "import", book, "--dry-run")
    assert (refused.code, "party" in refused.out) == (9, True)
    assert run("contacts", "list", "--json").json == []
    assert run("contacts", "import", book, *given).code == 0
    written = run("contacts", "export")
    assert "FN:ສົມພອນ" in written.out
    again = tmp_path / "again.vcf"
    again.write_text(written.out, encoding="utf-8")
    (row,) = run("contacts", "import", again, "--dry-run", "--json").json
    assert row["state"] == "same"
    assert run("contacts", "export", "--csv").out.startswith("name,party")


def test_whoever_reads_cards_is_logged_and_no_name_of_a_card_is(run: Run) -> None:
    run("contacts", "add", "vn", "Nguyễn Văn A", *ADD)
    for words in (("contacts", "list"), ("contacts", "show", "Nguyễn Văn A")):
        run(*words)
    run("oncall")
    run("contacts", "export")
    told = run("audit", "person", getpass.getuser(), "--json")
    assert "Nguyễn" not in told.out
    assert [each["what"] for each in told.json["read"]] == [
        "contacts list",
        "contacts show",
        "oncall",
        "contacts export",
    ]
    gone = run("contacts", "erase", "Nguyễn Văn A", "--reason", "asked", "--yes")
    assert gone.code == 0, gone.err
    assert "No cards" in run("contacts", "list").out


def test_a_drill_without_a_mail_server_is_not_begun_and_calls_need_none(
    run: Run,
) -> None:
    run("contacts", "add", "vn", "Nguyễn Văn A", *ADD)
    assert run("contacts", "ping", "--yes").code == 3
    run("contacts", "set", "Nguyễn Văn A", "--mail", "", "--phone", "+842412345678")
    begun = run("contacts", "ping", "--yes", "--json")
    assert begun.json == {"drill": 1, "mails": 0, "sent": 0, "calls": 1}
    (call,) = run("contacts", "calls", "--json").json
    assert run("contacts", "called", call["number"]).code == BadRequest.exit_code
    assert run("contacts", "called", call["number"], "--reached").code == 0
    report = run("contacts", "report", "--json").json
    assert [one["rate"] for one in report["rates"]] == [1.0, 1.0]
    assert "Drill 1" in run("contacts", "report").out


def test_papers_are_written_and_checked(run: Run, tmp_path: Path) -> None:
    run("contacts", "add", "th", "Desk", "--desk", *ADD)
    made = run("contacts", "security-txt")
    assert made.out.startswith("Contact: mailto:soc@vn.example\n")
    file = tmp_path / "security.txt"
    file.write_text(made.out, encoding="utf-8")
    assert run("contacts", "security-txt", "--check", file).code == 0
    file.write_text("Contact: me\n", encoding="utf-8")
    wrong = run("contacts", "security-txt", "--check", file)
    assert (wrong.code, "Expires: missing" in wrong.err) == (9, True)
    paper = run("contacts", "rfc2350")
    assert (paper.code, "# RFC 2350: ThaiCERT" in paper.out) == (9, True)
    file.write_text(paper.out, encoding="utf-8")
    assert "says nothing" in run("contacts", "rfc2350", "--check", file).err
