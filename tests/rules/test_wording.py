"""What a notice says, in each language, for each type."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from serantau.errors import ConfigError
from serantau.rules.level import Tlp
from serantau.rules.taxonomy import CLASS_OF, CLASSES
from serantau.rules.wording import (
    Catalogue,
    Facts,
    Group,
    family_of,
    overlaid,
    read_catalogue,
    word,
)
from serantau.wire.catalogue import languages, load_catalogue, load_source
from serantau.wire.profile import load_profile

ENGLISH = load_source()
THAI = load_catalogue("th")
_THAI_LETTERS = re.compile(r"[\u0e00-\u0e7f]")


def facts(**more: Any) -> Facts:
    said: dict[str, Any] = {
        "number": 7,
        "team": "ThaiCERT",
        "party": "Siam Bank",
        "group": "malicious-code",
        "day": "2026-03-05",
        "rows": 12,
        "places": 3,
        "attached": 12,
        "types": (Group("infected-system", 12, 3, ("sinkhole",)),),
        "examples": ("203.0.113.7",),
        "level": Tlp.AMBER,
        "days": 7,
        "file": "n.csv",
        **more,
    }
    return Facts(**said)


@pytest.mark.parametrize("tag", ["en", "th"])
def test_english_and_thai_are_complete(tag: str) -> None:
    held = load_catalogue(tag)
    assert held.complete
    assert held.types.keys() == CLASS_OF.keys()
    assert len(held.types) == 39
    assert held.classes.keys() == CLASSES.keys()
    assert held.words.keys() == ENGLISH.words.keys()
    assert held.families.keys() == ENGLISH.families.keys()
    for advice in held.types.values():
        assert all((advice.name, advice.what, advice.why, advice.confirm))
        assert all(advice.do)


def test_thai_has_as_many_steps_as_english_and_is_thai() -> None:
    for name, advice in THAI.types.items():
        assert len(advice.do) == len(ENGLISH.types[name].do), name
        texts = (advice.name, advice.what, advice.why, advice.confirm, *advice.do)
        assert all(_THAI_LETTERS.search(text) for text in texts), name
    for name, family in THAI.families.items():
        assert len(family.do) == len(ENGLISH.families[name].do), name
        assert bool(family.confirm) == bool(ENGLISH.families[name].confirm)


@pytest.mark.parametrize("tag", languages())
def test_a_translation_fills_in_what_the_source_fills_in(tag: str) -> None:
    for name, text in load_catalogue(tag).words.items():
        if name != "date":
            there = {place for _, place, _, _ in Formatter().parse(text) if place}
            source = Formatter().parse(ENGLISH.words[name])
            assert there == {place for _, place, _, _ in source if place}, name


def test_every_language_of_the_profile_has_a_catalogue() -> None:
    profile = load_profile("asean-2025")
    tags = {lang.tag for member in profile.members for lang in member.languages}
    assert tags <= set(languages())


def test_no_report_belongs_to_two_families() -> None:
    seen: set[str] = set()
    for family in ENGLISH.families.values():
        assert family.reports
        assert seen.isdisjoint(family.reports)
        seen |= family.reports


@pytest.mark.parametrize("tag", [*languages(), "ms-Arab", "xx"])
@pytest.mark.parametrize("kind", CLASS_OF)
def test_every_type_can_be_told_in_every_language(tag: str, kind: str) -> None:
    held = load_catalogue(tag)
    one = facts(group=CLASS_OF[kind], types=(Group(kind, 1, 1),))
    told = word(one, held, ENGLISH)
    source = held if held.complete else ENGLISH
    assert source.types[kind].what in told.text
    assert all(step in told.text for step in source.types[kind].do)
    assert "{" not in told.text + told.subject
    assert told.language == source.tag


@pytest.mark.parametrize("tag", [tag for tag in languages() if tag not in {"en", "th"}])
def test_what_falls_back_to_english_says_so_before_anything_else(tag: str) -> None:
    held = load_catalogue(tag)
    first, second, *_ = word(facts(), held, ENGLISH).text.splitlines()
    assert first == held.words["fallback"].format(language=held.name)
    assert second == ENGLISH.words["fallback"].format(language=held.name)


def test_a_language_that_nobody_wrote_is_told_of_in_english() -> None:
    told = word(facts(), load_catalogue("xx"), ENGLISH)
    assert told.text.startswith("This text is not translated into xx yet.")


def test_what_is_complete_does_not_say_that_it_fell_back() -> None:
    for held in (ENGLISH, THAI):
        told = word(facts(), held, ENGLISH)
        assert told.text.startswith("TLP:AMBER\n")
        assert held.words["fallback"][:12] not in told.text


def test_a_thai_notice_has_thai_dates() -> None:
    told = word(facts(), THAI, ENGLISH)
    assert "5 มีนาคม พ.ศ. 2569" in told.subject


def test_a_notice_says_who_what_where_why_and_how() -> None:
    told = word(facts(), ENGLISH, ENGLISH)
    for said in (
        "Siam Bank",
        "2026-03-05",
        "12 reports about 3 machines",
        "What it is:",
        "Why it matters:",
        "What to do:",
        "For Contacts to a sinkhole:",
        "How to confirm:",
        "  203.0.113.7\n",
        "and 2 more in the attached file",
        "n.csv has every report",
        "after 7 days",
        "notice number 7",
        "TLP:AMBER: for your organisation and those of its clients",
    ):
        assert said in told.text
    assert told.cover == "ThaiCERT: notice 7"


def test_a_family_may_say_how_to_confirm() -> None:
    groups = (Group("ddos-amplifier", 1, 1, ("dns",)),)
    told = word(facts(group="vulnerable", types=groups), ENGLISH, ENGLISH)
    assert "test.openresolver.com" in told.text


def test_a_cut_file_a_late_round_and_an_exercise_are_told() -> None:
    told = word(facts(attached=5, late=3, exercise=True, places=1), ENGLISH, ENGLISH)
    assert "has 5 of 12 reports" in told.text
    assert "after our notice number 3" in told.text
    assert "Nothing in it is real." in told.text
    assert told.subject.startswith("EXERCISE ")
    assert "more in the attached file" not in told.text


@pytest.mark.parametrize(
    ("report", "family"),
    [
        ("scan_rdp", "rdp"),
        ("scan6_rdp", "rdp"),
        (" Scan6_RDP ", "rdp"),
        ("event4_sinkhole_http", "sinkhole"),
        ("event6_sinkhole_http", "sinkhole"),
        ("compromised_iot6", "iot"),
        ("scan_of_next_year", ""),
        ("", ""),
    ],
)
def test_a_report_is_of_its_family_also_for_ipv6(report: str, family: str) -> None:
    assert family_of(report, ENGLISH) == family


# --- catalogues of a node's own ------------------------------------------------------


def test_a_nodes_own_text_stands_above_what_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "th.toml").write_text(
        'tag = "th"\nname = "ไทย"\n[words]\nsigned = "ทีมของเรา {team}"\n'
        '[types.spam]\nname = "ส"\nwhat = "ก"\nwhy = "ข"\ndo = ["ค"]\nconfirm = "ง"\n',
        encoding="utf-8",
    )
    held = load_catalogue("th", tmp_path)
    assert held.types["spam"].what == "ก"
    assert held.types["phishing"] == THAI.types["phishing"]
    assert (held.months, held.era, held.complete) == (THAI.months, 543, True)
    assert "ทีมของเรา ThaiCERT" in word(facts(), held, ENGLISH).text


def test_a_new_language_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "jv.toml").write_text(
        'tag = "jv"\nname = "Jawa"\n[words]\nmonths = ["1"]\nera = 1\n'
    )
    held = load_catalogue("jv", tmp_path)
    assert (held.name, held.complete, held.months, held.era) == (
        "Jawa",
        False,
        ("1",),
        1,
    )
    assert overlaid(Catalogue("a", "b"), held).name == "Jawa"


@pytest.mark.parametrize(
    "text",
    [
        "tag = 1 2",
        "x = 1",
        'tag = "th"',
        'tag = "th"\nname = "x"\n[words]\nsigned = 1',
        'tag = "th"\nname = "x"\n[words]\nsigned = "{nothing}"',
        'tag = "th"\nname = "x"\n[words]\nsigned = "{team.x}"',
        'tag = "th"\nname = "x"\n[words]\nsigned = "{"',
        'tag = "th"\nname = "x"\n[classes]\nking = "x"',
        'tag = "th"\nname = "x"\n[types.spam]\nname = "x"',
        'tag = "th"\nname = "x"\n[families.f]\nname = "x"\ndo = "x"',
        'tag = "th"\nname = "x"\n[families.f]\nname = "x"\ndo = []',
        'tag = "th"\nname = "x"\n[types.king]\nname = "x"\nwhat = "x"\nwhy = "x"\n'
        'do = ["x"]\nconfirm = "x"',
    ],
)
def test_a_file_that_is_no_catalogue_is_told_with_its_place(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "th.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"th\.toml"):
        load_catalogue("th", tmp_path)


def test_a_tag_that_is_none_names_no_file() -> None:
    with pytest.raises(ConfigError, match="no language tag"):
        load_catalogue("../../etc/passwd")


def test_a_catalogue_needs_a_tag() -> None:
    with pytest.raises(ConfigError, match="here is no catalogue"):
        read_catalogue({"name": "x"}, "here")
