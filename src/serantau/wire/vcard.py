"""Contact cards as vCard 3.0 (RFC 2426) and 4.0 (RFC 6350), and as CSV.

What a card has room for is read, and what is left out is told. A value is cut out here:
whether it is an address or a language is judged by `rules.card`, for files as for what
a person types.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from serantau.clock import stix_text
from serantau.errors import BadInput
from serantau.rules.card import Card, Duty, KeyKind

FIELDS: Final = (
    *("name", "party", "kind", "title", "duties", "sector", "languages", "zone"),
    *("mail", "phones", "source", "last_verified", "confidence", "remark"),
)
"""The columns of CSV, and how a value that was cut out is called."""
SEVERAL: Final = frozenset({"duties", "languages", "mail", "phones"})
_VERSIONS: Final = ("3.0", "4.0")
_MOST: Final = 10_000
_BYTES: Final = 50_000_000
_FORMULA: Final = "=+-@\t"
_LINE: Final = re.compile(
    r"(?:[A-Za-z0-9-]+\.)?(?P<name>[A-Za-z0-9-]+)"
    r"(?P<params>(?:;[A-Za-z0-9-]+(?:=(?:\"[^\"]*\"|[^\";:])*)?)*):(?P<value>.*)"
)
_PARAM: Final = re.compile(r";([A-Za-z0-9-]+)(?:=((?:\"[^\"]*\"|[^\";:])*))?")
_ESCAPED: Final = re.compile(r"\\(.)")
_SEPARATOR: Final = re.compile(r"(?<!\\)((?:\\\\)*);")
_COMMA: Final = re.compile(r"(?<!\\)((?:\\\\)*),")
_NAMES: Final = {
    "FN": "name",
    "TITLE": "title",
    "ROLE": "title",
    "EMAIL": "mail",
    "TEL": "phones",
    "LANG": "languages",
    "TZ": "zone",
    "NOTE": "remark",
    "KIND": "kind",
    "CATEGORIES": "duties",
    "X-SERANTAU-PARTY": "party",
    "X-SERANTAU-SECTOR": "sector",
    "X-SERANTAU-SOURCE": "source",
    "X-SERANTAU-VERIFIED": "last_verified",
    "X-SERANTAU-CONFIDENCE": "confidence",
}
# Nothing is lost with these: they say what others say too, or are about the file.
_SILENT: Final = frozenset({"VERSION", "N", "REV", "PRODID", "UID", "SORT-STRING"})


@dataclass(slots=True)
class Entry:
    """One contact of a file, cut into values.

    place: such as `line 12`. said: values by FIELDS. keys: what a KEY property holds.
    uid: a UUID, if it has one. left: what no card has room for.
    """

    place: str
    said: dict[str, list[str]] = field(default_factory=dict)
    keys: list[tuple[KeyKind, bytes]] = field(default_factory=list)
    uid: str = ""
    left: list[str] = field(default_factory=list)

    def one(self, name: str) -> str:
        """Give the first value of a name; empty when there is none."""
        return next(iter(self.said.get(name, ())), "")


def read_file(data: bytes, name: str = "") -> list[Entry]:
    """Read a file of contacts: vCard when it says so, else CSV.

    Raises:
        BadInput: it is neither, or too large.
    """
    if len(data) > _BYTES:
        raise BadInput(f"{name} has {len(data)} bytes, expected {_BYTES} at most.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BadInput(
            f"{name}: byte {fault.start} is not UTF-8.",
            mend="Save it as UTF-8 (in a spreadsheet: CSV UTF-8).",
        ) from fault
    begins = text.lstrip()[:11].upper()
    found = list(_vcards(text) if begins.startswith("BEGIN:VCARD") else _rows(text))
    if len(found) > _MOST:
        raise BadInput(f"{name} has {len(found)} contacts, expected {_MOST} at most.")
    return found


# --- vCard ---------------------------------------------------------------------------


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Give whole lines with the number of their first (RFC 6350 §3.2)."""
    held: tuple[int, str] | None = None
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if held is not None and line[:1] in {" ", "\t"}:
            held = held[0], held[1] + line[1:]
            continue
        if held is not None:
            yield held
        held = (number, line) if line.strip() else None
    if held is not None:
        yield held


def _vcards(text: str) -> Iterator[Entry]:
    entry: Entry | None = None
    version = ""
    for number, line in _unfolded(text):
        found = _LINE.fullmatch(line)
        if found is None:
            raise BadInput(f"line {number}: {line[:60]!r} is no line of a vCard.")
        name, value = found["name"].upper(), found["value"]
        if name == "BEGIN":
            if entry is not None:
                raise BadInput(f"line {number}: a vCard begins in another.")
            entry, version = Entry(f"line {number}"), ""
        elif entry is None:
            raise BadInput(f"line {number}: {name} stands in no vCard.")
        elif name == "END":
            if version not in _VERSIONS:
                raise BadInput(
                    f"{entry.place}: vCard {version or 'without a version'}, expected "
                    f"{' or '.join(_VERSIONS)}.",
                    mend="Export it again as one of these.",
                )
            yield entry
            entry = None
        elif name == "VERSION":
            version = value.strip()
        else:
            params = {
                key.upper(): said.replace('"', "")
                for key, said in _PARAM.findall(found["params"])
            }
            _take(entry, name, params, value)
    if entry is not None:
        raise BadInput(f"{entry.place}: the vCard has no END.")


def _take(entry: Entry, name: str, params: Mapping[str, str], value: str) -> None:
    if "QUOTED-PRINTABLE" in params.get("ENCODING", "").upper():
        entry.left.append(f"{name}: quoted-printable is of vCard 2.1")
    elif name == "KEY":
        _take_key(entry, params, value)
    elif name == "UID":
        entry.uid = value.strip().lower().removeprefix("urn:uuid:")
    elif name in _NAMES:
        where = _NAMES[name]
        several = (
            _COMMA.sub(r"\1\0", value).split("\0") if where == "duties" else [value]
        )
        if where == "phones":
            several = [one.partition(";ext=")[0] for one in several]
        values = [_plain(one) for one in several]
        if where == "duties":
            entry.left += [
                f"CATEGORIES: {one}" for one in values if one.lower() not in _DUTIES
            ]
            values = [one.lower() for one in values if one.lower() in _DUTIES]
        if where in entry.said and where not in SEVERAL:
            entry.left.append(f"{name}: {values[0][:60]}")
            return
        first = (
            params.get("PREF", "") == "1" or "PREF" in params.get("TYPE", "").upper()
        )
        held = entry.said.setdefault(where, [])
        held[:] = [*values, *held] if first else [*held, *values]
    elif name not in _SILENT and value.strip("; "):
        entry.left.append(f"{name}: {_plain(value)[:60]}")


_DUTIES: Final = frozenset(map(str, Duty))


def _plain(value: str) -> str:
    return _ESCAPED.sub(
        lambda found: "\n" if found[1] in "nN" else found[1], value
    ).strip()


def _take_key(entry: Entry, params: Mapping[str, str], value: str) -> None:
    kind = " ".join((*params.values(), value[:60])).lower()
    inside = value
    if value.lower().startswith("data:"):
        inside = value.partition(",")[2]
    elif "ENCODING" not in params:
        entry.left.append(f"KEY: {value[:60]}, which is fetched from nowhere")
        return
    try:
        data = base64.b64decode(re.sub(r"\s", "", inside), validate=True)
    except (binascii.Error, ValueError):
        entry.left.append("KEY: it is not base64")
        return
    entry.keys.append((KeyKind.OPENPGP if "pgp" in kind else KeyKind.SMIME, data))


def write_vcards(cards: Iterable[Card]) -> str:
    """Write cards as vCard 4.0."""
    return "".join(map(_vcard, cards))


def _vcard(card: Card) -> str:
    lines = [
        ("BEGIN", "VCARD"),
        ("VERSION", "4.0"),
        ("UID", f"urn:uuid:{card.id.removeprefix('identity--')}"),
        ("KIND", "individual" if card.person else "group"),
        ("FN", _escaped(card.name)),
        ("TITLE", _escaped(card.title)),
        *(("EMAIL", _escaped(each)) for each in card.mail),
        *(("TEL;VALUE=uri", f"tel:{each}") for each in card.phones),
        *(("LANG", each) for each in card.languages),
        ("TZ", card.zone),
        ("CATEGORIES", ",".join(map(str, card.duties))),
        *(
            (f"KEY;MEDIATYPE={_media(key.kind)}", _data(key.kind, key.certificate))
            for key in card.keys
            if key.certificate
        ),
        ("NOTE", _escaped(card.remark)),
        ("X-SERANTAU-PARTY", card.party),
        ("X-SERANTAU-SECTOR", _escaped(card.sector)),
        ("X-SERANTAU-SOURCE", _escaped(card.source)),
        ("X-SERANTAU-VERIFIED", stix_text(card.verified) if card.verified else ""),
        (
            "X-SERANTAU-CONFIDENCE",
            "" if card.confidence is None else str(card.confidence),
        ),
        ("END", "VCARD"),
    ]
    return "".join(_folded(f"{name}:{value}") for name, value in lines if value)


def _escaped(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", text).replace("\n", "\\n")


def _media(kind: KeyKind) -> str:
    return (
        "application/pgp-keys" if kind is KeyKind.OPENPGP else "application/pkix-cert"
    )


def _data(kind: KeyKind, certificate: str) -> str:
    packed = base64.b64encode(certificate.encode()).decode()
    return f"data:{_media(kind)};base64,{packed}"


def _folded(line: str) -> str:
    """Fold a line at 75 bytes, and never within a letter (RFC 6350 §3.2)."""
    made, width = "", 0
    for one in line:
        size = len(one.encode())
        if width + size > 75:
            made, width = made + "\r\n ", 1
        made, width = made + one, width + size
    return made + "\r\n"


# --- CSV -----------------------------------------------------------------------------


def _rows(text: str) -> Iterator[Entry]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True
    )
    try:
        names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        if not {"name", "party"} & {*names}:
            raise BadInput(
                f"line 1: the columns are {', '.join(names)[:100] or 'none'}; expected "
                f"name and some of {', '.join(FIELDS[1:])}.",
                mend="A vCard begins with BEGIN:VCARD.",
            )
        doubled = [name for name in names if name and names.count(name) > 1]
        if doubled:
            raise BadInput(f"line 1: the column {doubled[0]} is there twice.")
        reader.fieldnames = names
        for row in reader:
            yield _row(row, reader.line_num)
    except csv.Error as fault:
        raise BadInput(f"line {reader.line_num}: {fault}.") from fault


def _row(row: Mapping[str | None, str | list[str] | None], line: int) -> Entry:
    entry = Entry(f"line {line}")
    for name, said in row.items():
        if name is None or not isinstance(said, str):
            if said:
                entry.left.append(f"more cells than columns: {said}"[:100])
            continue
        value = said.strip()
        if value[:1] == "'" and value[1:2] in {*_FORMULA}:
            value = value[1:]
        if not value:
            continue
        if name not in FIELDS:
            entry.left.append(f"{name}: {value[:60]}")
        elif name in SEVERAL:
            several = re.split(r"[;\n]", value)
            entry.said[name] = [one.strip() for one in several if one.strip()]
        else:
            entry.said[name] = [value]
    return entry


def write_csv(cards: Iterable[Card]) -> str:
    """Write cards as CSV with CRLF; no cell is a formula to a spreadsheet."""
    made = io.StringIO(newline="")
    writer = csv.writer(made)
    writer.writerow(FIELDS)
    for card in cards:
        row = (
            *(card.name, card.party, "individual" if card.person else "group"),
            *(card.title, ";".join(card.duties), card.sector),
            *(";".join(card.languages), card.zone, ";".join(card.mail)),
            ";".join(f"tel:{one}" for one in card.phones),
            *(card.source, stix_text(card.verified) if card.verified else ""),
            *("" if card.confidence is None else str(card.confidence), card.remark),
        )
        writer.writerow([f"'{one}" if one[:1] in {*_FORMULA} else one for one in row])
    return made.getvalue()
