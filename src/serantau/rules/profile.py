"""The federation profile: which states, teams and partners a region is made of.

A profile is data, in TOML: dated membership, several teams a state, languages with
their scripts, time zones, public numbers, sectors, reporting clocks, norms, exercise
themes, partners. Every row says its source, when it was last verified and how sure it
is. Nothing is guessed: `not listed` is a value. Contacts are not in it, since a stale
contact is worse than none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from serantau import typed
from serantau.errors import ConfigError
from serantau.rules.key import read_fingerprint
from serantau.rules.marking import NAME

NOT_LISTED: Final = "not listed"
Confidence = Literal["verified", "stated", "to verify"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# BCP 47, as far as a profile needs it: language, then script, then region.
_TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
_SCRIPT = re.compile(r"[A-Z][a-z]{3}")
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_WITHIN = re.compile(r"([1-9]\d{0,3}) (min|h|d)")
_SECONDS = {"min": 60, "h": 3600, "d": 86_400}
_NORMS = "abcdefghijk"


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every row says about itself.

    source: where it is from. last_verified: the day on which somebody checked it there,
    or `not listed`. confidence: `verified` (checked on that day), `stated` (as the
    source says), `to verify` (the source itself is not sure). note: what to know.
    """

    source: str
    last_verified: str
    confidence: Confidence
    note: str = ""


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A language. tag: BCP 47. scripts: ISO 15924 codes, the usual one first."""

    tag: str
    name: str
    scripts: tuple[str, ...]
    note: str = ""


class Team(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A team of a state. host: who runs it. scope: whom it serves. sites: hosts."""

    name: str
    host: str
    scope: Literal["national", "public", "not listed"]
    sites: tuple[str, ...]


class Member(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member state.

    code: its ISO 3166 code in lower case, also its party name. joined, left: days, or
    `not listed`; left is `none` while it is a member. zones: IANA names. fingerprints:
    of its node's keys, as whoever keeps this profile compared them with its people.
    """

    code: str
    state: str
    joined: str
    left: str
    zones: tuple[str, ...]
    languages: tuple[Language, ...]
    teams: tuple[Team, ...]
    fingerprints: tuple[str, ...] = ()

    def is_member(self, day: str) -> bool:
        """Tell whether it was a member on a day (`2025-10-26`).

        A day of joining that is not listed is taken as long past.
        """
        return (self.joined == NOT_LISTED or self.joined <= day) and (
            self.left in {"none", NOT_LISTED} or day < self.left
        )


class Partner(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A dialogue partner. code: its party name."""

    code: str
    name: str


class Number(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the public of a state reports. number: to dial. service: its name."""

    member: str
    number: str
    service: str


class SectorSet(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sectors of critical information infrastructure that a state lists.

    member: its code, or `cross-border`. basis: the law. sectors: as the source has it.
    """

    member: str
    basis: str
    sectors: tuple[str, ...]


class ReportingClock(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step of a state's duty to report.

    step: from 1. title: what is due. within: `immediately`, such as `30 min`, `6 h` or
    `14 d`, or `not listed`. caution: shown with it wherever it is shown.
    """

    member: str
    step: int
    title: str
    within: str
    caution: str

    @property
    def seconds(self) -> int | None:
        """Give the time allowed; None when it is not listed."""
        if self.within == "immediately":
            return 0
        found = _WITHIN.fullmatch(self.within)
        return int(found[1]) * _SECONDS[found[2]] if found else None


class Norm(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A norm of responsible state behaviour. code: a to k."""

    code: str
    title: str


class Theme(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The theme of one year's regional exercise."""

    year: int
    title: str


class Exercise(Row, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The regional exercise. form: how its day goes."""

    name: str
    form: str


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A region.

    name: what the configuration calls it. disclaimer: shown wherever the profile is
    named. working_language: BCP 47. The others are rows, in the order to show them.
    """

    name: str
    title: str
    disclaimer: str
    working_language: str
    members: tuple[Member, ...]
    partners: tuple[Partner, ...]
    numbers: tuple[Number, ...]
    sectors: tuple[SectorSet, ...]
    clocks: tuple[ReportingClock, ...]
    norms: tuple[Norm, ...]
    exercise: Exercise
    themes: tuple[Theme, ...]

    def member(self, code: str) -> Member | None:
        """Give the member of a code."""
        return next((each for each in self.members if each.code == code), None)

    def partner(self, code: str) -> Partner | None:
        """Give the dialogue partner of a code."""
        return next((each for each in self.partners if each.code == code), None)

    def members_on(self, day: str) -> tuple[Member, ...]:
        """Give those who were members on a day (`2025-10-26`)."""
        return tuple(each for each in self.members if each.is_member(day))


@lru_cache(maxsize=4)
def load_profile_text(text: str, origin: str) -> Profile:
    """Read a profile from TOML.

    Time zone names are only checked for being there: which ones exist is known to the
    machine's database, which `wire.profile` asks.

    Raises:
        ConfigError: with a line for each fault: origin, place, got, expected.
    """
    try:
        tree = _plain(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ConfigError(f"{origin} is not TOML: {fault}") from fault
    try:
        profile = typed.convert(tree, Profile)
    except msgspec.ValidationError as fault:
        what, _, path = str(fault).partition(" - at `$")
        place = path.rstrip("`").lstrip(".") or "the top level"
        raise ConfigError(
            f"{origin}: {_row_name(tree, place)}: {what}.", mend=_MEND
        ) from fault
    refuse_faults(origin, _faults(profile))
    return profile


_MEND = "Compare it with a shipped profile, which has every field."


def refuse_faults(origin: str, faults: Iterable[tuple[str, object, str]]) -> None:
    """Raise a ConfigError with a line for each fault (place, got, expected), if any."""
    lines = [
        f"{origin}: {place}: got {got!r}, expected {expected}."
        for place, got, expected in faults
    ]
    if lines:
        raise ConfigError("\n".join(lines), mend=_MEND)


def _plain(value: Any) -> Any:
    """Turn TOML's own dates into texts, so that a day may stand without quotes."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def _row_name(tree: Any, place: str) -> str:
    """Add the row's own code to `members[3].joined`, since nobody counts rows."""
    found = re.match(r"(\w+)\[(\d+)\]", place)
    row = tree[found[1]][int(found[2])] if found else None
    if not isinstance(row, dict):
        return place
    label = row.get("code") or row.get("member") or row.get("year")
    return f"{place} ({label})" if label else place


# --- what types cannot say -----------------------------------------------------------

_Fault = tuple[str, object, str]


def _faults(profile: Profile) -> Iterator[_Fault]:
    if not NAME.fullmatch(profile.name):
        yield "name", profile.name, "a name of a-z, 0-9 and -"
    if not _TAG.fullmatch(profile.working_language):
        yield "working_language", profile.working_language, "a BCP 47 tag such as en"
    if not profile.disclaimer:
        yield "disclaimer", "", "a sentence: this is not an official product"
    for place, row in _rows(profile):
        yield from _row_faults(place, row)
    for index, member in enumerate(profile.members):
        yield from _member_faults(f"members[{index}] ({member.code})", member)
    yield from _code_faults(profile)
    yield from _reference_faults(profile)
    yield from _clock_faults(profile.clocks)


def _rows(profile: Profile) -> Iterator[tuple[str, Row]]:
    """Give every row with its place."""
    for table in ("members", "partners", "numbers", "sectors", "clocks", "norms"):
        for index, row in enumerate(getattr(profile, table)):
            yield f"{table}[{index}]", row
    for index, theme in enumerate(profile.themes):
        yield f"themes[{index}]", theme
    for index, member in enumerate(profile.members):
        for number, team in enumerate(member.teams):
            yield f"members[{index}].teams[{number}]", team
    yield "exercise", profile.exercise


def _row_faults(place: str, row: Row) -> Iterator[_Fault]:
    if not row.source:
        yield f"{place}.source", "", "where the row is from"
    if row.last_verified != NOT_LISTED and not _is_day(row.last_verified):
        yield f"{place}.last_verified", row.last_verified, "a day, or 'not listed'"
    if row.confidence == "verified" and row.last_verified == NOT_LISTED:
        yield f"{place}.last_verified", NOT_LISTED, "the day of the check: 'verified'"
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if name not in {"note", "fingerprints"} and value in ("", (), ("",)):
            yield f"{place}.{name}", value, "a value, or 'not listed'"


def _member_faults(place: str, member: Member) -> Iterator[_Fault]:
    if member.joined != NOT_LISTED and not _is_day(member.joined):
        yield f"{place}.joined", member.joined, "a day, or 'not listed'"
    elif member.left not in {"none", NOT_LISTED} and not _is_day(member.left):
        yield f"{place}.left", member.left, "a day, 'none' or 'not listed'"
    elif (
        _is_day(member.joined) and _is_day(member.left) and member.left <= member.joined
    ):
        yield f"{place}.left", member.left, f"a day after {member.joined}"
    for language in member.languages:
        if not _TAG.fullmatch(language.tag):
            yield f"{place}.languages.tag", language.tag, "a BCP 47 tag such as ms"
        for script in language.scripts or ("",):
            if script != NOT_LISTED and not _SCRIPT.fullmatch(script):
                where = f"{place}.languages[{language.tag}].scripts"
                yield where, script, "ISO 15924 codes such as Latn, or 'not listed'"
    for team in member.teams:
        for site in team.sites:
            if site != NOT_LISTED and not _HOST.fullmatch(site):
                where = f"{place}.teams[{team.name}].sites"
                yield where, site, "a host name such as cert.example, or 'not listed'"
    for text in member.fingerprints:
        try:
            read_fingerprint(text)
        except ValueError as fault:
            yield f"{place}.fingerprints", text, f"a key's id or twelve words ({fault})"
    yield from _twice(f"{place}.zones", member.zones)
    yield from _twice(f"{place}.languages", (each.tag for each in member.languages))
    yield from _twice(f"{place}.teams", (each.name for each in member.teams))


def _code_faults(profile: Profile) -> Iterator[_Fault]:
    members = [each.code for each in profile.members]
    partners = [each.code for each in profile.partners]
    for table, codes in (("members", members), ("partners", partners)):
        for code in codes:
            if not NAME.fullmatch(code):
                yield f"{table}.code", code, "a party name of a-z, 0-9 and -"
    # Members and partners are parties of one node, so one name is one of them.
    yield from _twice("members and partners, code", members + partners)
    norms = "".join(each.code for each in profile.norms)
    if norms != _NORMS:
        yield "norms, codes", norms, f"each of {_NORMS} once and in order"
    yield from _twice("themes, year", (each.year for each in profile.themes))
    yield from _twice("sectors, member", (each.member for each in profile.sectors))


def _reference_faults(profile: Profile) -> Iterator[_Fault]:
    """Find rows of unknown members, and members that a table forgot."""
    codes = {each.code for each in profile.members}
    for table, extra in (
        ("numbers", set()),
        ("sectors", {"cross-border"}),
        ("clocks", set()),
    ):
        found: set[str] = {row.member for row in getattr(profile, table)}
        for code in sorted(found - codes - extra):
            yield f"{table}.member", code, "the code of a member of this profile"
        for code in sorted((codes | extra) - found):
            yield table, f"no row for {code}", "one; its value may be 'not listed'"


def _clock_faults(clocks: tuple[ReportingClock, ...]) -> Iterator[_Fault]:
    last: dict[str, ReportingClock] = {}
    for index, clock in enumerate(clocks):
        place = f"clocks[{index}] ({clock.member})"
        if clock.seconds is None and clock.within != NOT_LISTED:
            expected = "'immediately', such as '6 h' or '14 d', or 'not listed'"
            yield f"{place}.within", clock.within, expected
        before = last.get(clock.member)
        wanted = 1 if before is None else before.step + 1
        if clock.step != wanted:
            yield f"{place}.step", clock.step, f"{wanted}: steps count from 1"
        if before is not None and (before.seconds or 0) > (clock.seconds or 0):
            expected = f"no less than the step before it, {before.within}"
            yield f"{place}.within", clock.within, expected
        last[clock.member] = clock


def _twice(place: str, values: Iterable[str | int]) -> Iterator[_Fault]:
    seen: set[str | int] = set()
    for value in values:
        if value in seen:
            yield place, f"{value} twice", "each once"
        seen.add(value)


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
