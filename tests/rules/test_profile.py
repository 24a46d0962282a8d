"""A profile is read exactly, and every fault in it is named with its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from serantau.errors import ConfigError
from serantau.rules.key import words_of
from serantau.rules.profile import NOT_LISTED, Profile, Row, load_profile_text

FOLDER = Path(__file__).parents[2] / "src" / "serantau" / "data" / "profiles"
NAMES = ("asean-2025", "amcc7-2022")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def shipped(name: str) -> Profile:
    return load_profile_text(text_of(name), f"{name}.toml")


def faults_of(change: Any) -> str:
    """Change the tree of a shipped profile and give what reading it says."""
    tree = tomllib.loads(text_of("asean-2025"))
    change(tree)
    with pytest.raises(ConfigError) as caught:
        load_profile_text(tomli_w.dumps(tree), "region.toml")
    assert caught.value.mend
    return caught.value.message


# --- what is shipped -----------------------------------------------------------------

# code, teams, sites, languages, hours east of Greenwich (zones follow from them).
STATES = {
    "bn": ("BruCERT", "brucert.org.bn", "Malay English"),
    "kh": ("CamCERT", "camcert.gov.kh", "Khmer"),
    "id": ("ID-SIRTII/CC", "idsirtii.or.id bssn.go.id", "Indonesian"),
    "la": ("LaoCERT", "laocert.gov.la", "Lao"),
    "my": ("NC4 MyCERT", "nacsa.gov.my mycert.org.my", "Malay English"),
    "mm": ("mmCERT", "mmcert.org.mm", "Burmese"),
    "ph": ("NCERT/CERT-PH", "ncert.gov.ph", "Filipino English"),
    "sg": ("SingCERT", "csa.gov.sg", "English Malay Chinese Tamil"),
    "th": ("ThaiCERT", "thaicert.or.th ncsa.or.th", "Thai"),
    "vn": ("VNCERT", "vncert.vn", "Vietnamese"),
    "tl": (NOT_LISTED, "tic.gov.tl", "Tetum Portuguese Indonesian English"),
}


def test_the_eleven_states_are_listed_with_their_teams_and_languages() -> None:
    found = {
        member.code: (
            " ".join(team.name for team in member.teams),
            " ".join(site for team in member.teams for site in team.sites),
            " ".join(language.name for language in member.languages),
        )
        for member in shipped("asean-2025").members
    }
    assert found == STATES


def test_timor_leste_is_a_member_from_the_day_it_joined() -> None:
    profile = shipped("asean-2025")
    before = {member.code for member in profile.members_on("2025-10-25")}
    since = {member.code for member in profile.members_on("2025-10-26")}
    assert since - before == {"tl"}
    assert len(before) == 10


def test_the_profile_of_2022_is_that_of_2025_without_what_came_later() -> None:
    old, new = shipped("amcc7-2022"), shipped("asean-2025")
    assert old.member("tl") is None
    assert old.members == tuple(x for x in new.members if x.code != "tl")
    for table in ("numbers", "sectors", "clocks"):
        rows = tuple(x for x in getattr(new, table) if x.member != "tl")
        assert getattr(old, table) == rows
    assert old.themes == tuple(x for x in new.themes if x.year <= 2022)
    assert (old.partners, old.norms, old.exercise) == (
        new.partners,
        new.norms,
        new.exercise,
    )


def test_numbers_sectors_clocks_and_partners_are_as_the_mission_has_them() -> None:
    profile = shipped("asean-2025")
    numbers = {x.member: (x.number, x.confidence) for x in profile.numbers}
    assert {k: v for k, v in numbers.items() if v[0] != NOT_LISTED} == {
        "th": ("1441", "stated"),
        "sg": ("1799", "stated"),
        "my": ("997", "stated"),
        "ph": ("1326", "to verify"),
        "vn": ("156", "to verify"),
    }
    sectors = {x.member: len(x.sectors) for x in profile.sectors}
    assert {k: v for k, v in sectors.items() if v > 1} == {
        "th": 7,
        "sg": 11,
        "my": 11,
        "id": 8,
        "cross-border": 4,
    }
    hours = {
        code: [
            None if x.seconds is None else x.seconds / 3600
            for x in profile.clocks
            if x.member == code
        ]
        for code in ("sg", "my", "id", "th")
    }
    assert hours == {"sg": [2, 336], "my": [0, 6, 336], "id": [24], "th": [None]}
    assert {x.caution for x in profile.clocks} == {"check the law"}
    assert "".join(x.code for x in profile.norms) == "abcdefghijk"
    assert [x.year for x in profile.themes] == list(range(2017, 2025))
    codes = "au ca cn in jp kr nz ru gb us eu un"
    assert [x.code for x in profile.partners] == codes.split()
    japan = profile.partner("jp")
    assert japan is not None
    assert japan.name == "Japan"
    assert profile.partner("th") is None


@pytest.mark.parametrize("name", NAMES)
def test_no_shipped_row_claims_a_check_that_nobody_made(name: str) -> None:
    profile = shipped(name)
    assert "Not an official" in profile.disclaimer
    rows: list[Row] = [*profile.members, *profile.numbers, *profile.clocks]
    for row in rows:
        assert row.source
        assert row.confidence in {"stated", "to verify"}
        assert row.last_verified == NOT_LISTED


def test_a_member_s_row_may_hold_what_people_compared() -> None:
    words = words_of("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    tree = tomllib.loads(text_of("asean-2025"))
    tree["members"][0]["fingerprints"] = [words]
    profile = load_profile_text(tomli_w.dumps(tree), "region.toml")
    assert profile.members[0].fingerprints == (words,)
    assert profile.members[1].fingerprints == ()


# --- faults --------------------------------------------------------------------------


def put(*path: str | int, value: Any) -> Any:
    def change(tree: Any) -> None:
        *way, last = path
        for step in way:
            tree = tree[step]
        tree[last] = value

    return change


BN = ("members", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("name", value="ASEAN 2025"), "name: got 'ASEAN 2025', expected a name"),
        (
            put("working_language", value="English"),
            "working_language: got 'English', expected a BCP 47 tag such as en",
        ),
        (put("disclaimer", value=""), "disclaimer: got '', expected a sentence"),
        (
            put(*BN, "joined", value="1984-13-07"),
            "members[0] (bn).joined: got '1984-13-07', expected a day",
        ),
        (
            put(*BN, "left", value="soon"),
            "members[0] (bn).left: got 'soon', expected a day, 'none' or",
        ),
        (
            put("members", 10, "left", value="2025-10-26"),
            "members[10] (tl).left: got '2025-10-26', expected a day after 2025-10-26",
        ),
        (
            put(*BN, "last_verified", value="last year"),
            "members[0].last_verified: got 'last year', expected a day",
        ),
        (
            put(*BN, "confidence", value="verified"),
            "members[0].last_verified: got 'not listed', expected the day of the check",
        ),
        (put(*BN, "source", value=""), "members[0].source: got '', expected where"),
        (put(*BN, "zones", value=[]), "members[0].zones: got (), expected a value"),
        (put(*BN, "state", value=""), "members[0].state: got '', expected a value"),
        (
            put(*BN, "zones", value=["Asia/Brunei"] * 2),
            "members[0] (bn).zones: got 'Asia/Brunei twice', expected each once",
        ),
        (
            put(*BN, "languages", 0, "tag", value="Malay"),
            "members[0] (bn).languages.tag: got 'Malay', expected a BCP 47 tag",
        ),
        (
            put(*BN, "languages", 0, "scripts", value=["Jawi", "latin"]),
            "members[0] (bn).languages[ms].scripts: got 'latin', expected ISO 15924",
        ),
        (
            put(*BN, "languages", 0, "scripts", value=[]),
            "members[0] (bn).languages[ms].scripts: got '', expected ISO 15924",
        ),
        (
            put(*BN, "teams", 0, "sites", value=["https://brucert.org.bn/"]),
            "members[0] (bn).teams[BruCERT].sites: got 'https://brucert.org.bn/'",
        ),
        (
            put(*BN, "teams", 0, "source", value=""),
            "members[0].teams[0].source: got ''",
        ),
        (put(*BN, "code", value="BN"), "members.code: got 'BN', expected a party name"),
        (
            put(*BN, "code", value="kh"),
            "members and partners, code: got 'kh twice', expected each once",
        ),
        (
            put("partners", 0, "code", value="th"),
            "members and partners, code: got 'th twice', expected each once",
        ),
        (
            put(*BN, "fingerprints", value=["legal winner thank"]),
            "members[0] (bn).fingerprints: got 'legal winner thank', expected a key's",
        ),
        (
            put("norms", 0, "code", value="b"),
            "norms, codes: got 'bbcdefghijk', expected each of abcdefghijk once",
        ),
        (put("themes", 1, "year", value=2017), "themes, year: got '2017 twice'"),
        (
            put("numbers", 0, "member", value="xx"),
            "numbers.member: got 'xx', expected the code of a member",
        ),
        (
            put("numbers", 0, "member", value="xx"),
            "numbers: got 'no row for bn', expected one",
        ),
        (
            put("sectors", 11, "member", value="bn"),
            "sectors: got 'no row for cross-border', expected one",
        ),
        (
            put("sectors", 11, "member", value="bn"),
            "sectors, member: got 'bn twice', expected each once",
        ),
        (
            put("clocks", 0, "within", value="0 h"),
            "clocks[0] (bn).within: got '0 h', expected 'immediately', such as",
        ),
        (
            put("clocks", 0, "step", value=2),
            "clocks[0] (bn).step: got 2, expected 1: steps count from 1",
        ),
        (
            put("clocks", 5, "within", value="15 d"),
            "clocks[6] (my).within: got '14 d', expected no less than the step before",
        ),
        (put("exercise", "form", value=""), "exercise.form: got '', expected a value"),
        (put("motto", value="one"), "the top level: Object contains unknown field"),
        (
            put(*BN, "capital", value="BSB"),
            "members[0] (bn): Object contains unknown field `capital`",
        ),
        (
            put(*BN, "languages", 1, "tag", value=3),
            "members[0].languages[1].tag (bn): Expected `str`, got `int`",
        ),
        (
            put("themes", 0, "year", value="2017"),
            "themes[0].year (2017): Expected `int`, got `str`",
        ),
        (put("exercise", "name", value=1), "exercise.name: Expected `str`, got `int`"),
        (put("members", value=["bn"]), "members[0]: Expected `object`, got `str`"),
        (
            put("partners", 0, value={}),
            "partners[0]: Object missing required field `source`",
        ),
    ],
)
def test_a_fault_is_named_with_file_place_got_and_expected(
    change: Any, said: str
) -> None:
    lines = faults_of(change).splitlines()
    assert any(line.startswith(f"region.toml: {said}") for line in lines), lines


def test_all_faults_are_named_at_once() -> None:
    def change(tree: Any) -> None:
        put(*BN, "joined", value="then")(tree)
        put("clocks", 0, "within", value="soon")(tree)

    assert len(faults_of(change).splitlines()) == 2


@pytest.mark.parametrize("text", ["name = ", "a = " + "[" * 5000])
def test_what_is_not_toml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"region\.toml is not TOML"):
        load_profile_text(text, "region.toml")


def test_a_day_may_stand_with_or_without_quotes() -> None:
    text = text_of("asean-2025")
    quoted = re.sub(r"joined = (\d.*)", r'joined = "\1"', text)
    assert quoted != text
    assert load_profile_text(quoted, "quoted") == load_profile_text(text, "plain")


def test_a_state_that_left_is_no_member_from_that_day() -> None:
    def member(joined: str, left: str) -> bool:
        tree = tomllib.loads(text_of("asean-2025"))
        tree["members"][0] |= {"joined": joined, "left": left}
        profile = load_profile_text(tomli_w.dumps(tree), "region.toml")
        return profile.members[0].is_member("2020-01-01")

    assert member(NOT_LISTED, "none")
    assert member("1984-01-07", "not listed")
    assert member("1984-01-07", "2020-01-02")
    assert not member(NOT_LISTED, "2020-01-01")
    assert not member("2020-01-02", "none")
