"""Formats are data: those that cannot be meant are refused, a node's own go first."""

from pathlib import Path

import pytest

from serantau.clock import instant
from serantau.errors import ConfigError, NotFound
from serantau.lane.formats import Formats, read, read_form
from serantau.lane.formats.told import formats_markdown, kinds_markdown, roles_markdown
from serantau.lane.origin import Origin

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colums = 1", "colums"),
        ("[columns", "mine.toml"),
        ('[columns]\nip = "source_adress"', "source_adress"),
        ('[columns]\nip = "fingerprint"', "fingerprint"),
        ('[columns]\nip = "source_network"', "source_network"),
        ("[columns]\nip = 1", "columns"),
        ('[columns]\nt = { to = "time", zone = "Asia/Nowhere" }', "Asia/Nowhere"),
        ('[columns]\nt = { to = "time", era = "old" }', "buddhist"),
        ('[columns]\nt = { to = "count", decimal = ";" }', "a point or a comma"),
        ('[columns]\nt = { to = "type", words = { a = "bot" } }', "an RSIT type"),
        ('[constants]\ntype = "bot"', "an RSIT type"),
        ('[constants]\nseverity = "high"', "a number"),
        ("[constants]\nmalware = 1", "a text"),
        ('[constants]\nsource_address = "x"', "source_address"),
        ('delimiter = ""', "one ASCII character"),
        ('delimiter = ", "', "one ASCII character"),
        ('quote = "»"', "one ASCII character"),
        ('encoding = "klingon"', "an encoding"),
        ('cut = "lines"\nheader = ["a", "b"]', "one value"),
        ('cut = "xml"', "xml"),
        ("stamp = '('", "regular expression"),
        ("stamp = 'x'", "one group"),
        ("report_of = '(a)(b)'", "one group"),
        ("[recognise]\nheads = ['[']", "regular expression"),
        ("[[kinds]]\nmatch = '*'", "regular expression"),
    ],
)
def test_a_format_that_cannot_be_meant_is_refused_with_its_place(
    text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Formats(tmp_path)
    assert str(tmp_path / "mine.toml") in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_no_text_is_no_format(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        Formats(tmp_path)


def test_a_nodes_own_format_goes_before_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "ipsum.toml").write_text(
        'title = "ours"\n[columns]\na = "source_address"\n'
        "[recognise]\nnames = ['^ipsum']\n"
    )
    (tmp_path / "alike.toml").write_text(
        'title = "ours too"\n[columns]\nip = "source_address"\n'
        "[recognise]\nheads = ['^\"?timestamp\"?,']\n"
    )
    formats = Formats(tmp_path)
    assert formats.named("ipsum").title == "ours"
    found = formats.recognise("2026-01-01-scan_rdp-x.csv", b"timestamp,ip\n")
    assert found is not None
    # Shadowserver knows the name as well as the beginning.
    assert found.name == "shadowserver"
    found = formats.recognise("x.csv", b"timestamp,ip\n")
    assert found is not None
    assert found.name == "alike"
    assert len(list(formats)) == len(list(Formats())) + 1


def test_no_format_of_that_name_is_told_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="no format is called 'nix'") as caught:
        Formats().named("nix")
    assert "shadowserver" in str(caught.value)


def test_a_file_that_nobody_knows_is_not_guessed() -> None:
    assert Formats().recognise("notes.txt", b"Dear all,\nplease find attached") is None
    assert Formats().recognise("", b"") is None
    assert Formats(Path("/nonexistent")).recognise("a.bin", bytes(100)) is None


def test_every_shipped_format_is_in_the_documentation() -> None:
    told = DOCS.read_text()
    assert formats_markdown(Formats()) in told
    assert roles_markdown() in told
    assert kinds_markdown(Formats().named("shadowserver")) in told


def test_every_key_of_a_format_is_documented() -> None:
    from serantau.lane.formats.form import _Form

    told = DOCS.read_text()
    for key in _Form.__struct_fields__:
        assert f"`{key}`" in told


def test_the_documented_format_reads_what_it_says() -> None:
    text = DOCS.read_text()
    example = text.split("```toml\n", 1)[1].split("```", 1)[0]
    form = read_form(example, "mine", "docs")
    data = "Address;Port;Seen;Sure\n192.0.2.1;22;15/03/2569 10:00;0,85\n"
    origin = Origin("f", "0" * 64, instant("2026-06-01T00:00:00Z"))
    (piece,) = read(data.encode(), form, origin)
    row = piece.frame.row(0, named=True)
    assert row["time"].isoformat() == "2026-03-15T03:00:00+00:00"
    assert (row["confidence"], row["type"]) == (85, "scanner")
