"""security.txt (RFC 9116): written from what is known, and checked to the letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from serantau.clock import instant
from serantau.rules.card import read_language

YEAR: Final = 366 * 86_400_000_000
WELL_KNOWN: Final = "/.well-known/security.txt"
_BEGIN: Final = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE: Final = "-----BEGIN PGP SIGNATURE-----"
_END: Final = "-----END PGP SIGNATURE-----"
# RFC 9116 §4: field-name = imf-field-name, printable ASCII but the colon; then one
# space, as all examples have it, or none.
_FIELD: Final = re.compile(r"([!-9;-~]+):[ ]?(.*)")
# §2.5: fields that are read; of the second group there is at most one.
_URIS: Final = ("Acknowledgments", "Canonical", "Contact", "Encryption", "Hiring")
_KNOWN: Final = frozenset({*_URIS, "Policy", "Expires", "Preferred-Languages", "CSAF"})
_ONCE: Final = ("Expires", "Preferred-Languages")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


@dataclass(frozen=True, slots=True)
class SecurityTxt:
    """What a file says. contacts, encryption, policy, canonical: URIs, best first.

    expires: RFC 3339 text. languages: BCP 47.
    """

    contacts: Sequence[str]
    expires: str
    encryption: Sequence[str] = ()
    languages: Sequence[str] = ()
    canonical: Sequence[str] = ()
    policy: Sequence[str] = ()

    @property
    def text(self) -> str:
        """Give the file, with LF as §2.2 allows; not signed."""
        lines = [
            *(f"Contact: {one}" for one in self.contacts),
            f"Expires: {self.expires}",
            *(f"Encryption: {one}" for one in self.encryption),
            *(f"Canonical: {one}" for one in self.canonical),
            *(f"Policy: {one}" for one in self.policy),
        ]
        if self.languages:
            lines.append(f"Preferred-Languages: {', '.join(self.languages)}")
        return "\n".join(lines) + "\n"


def check(text: str, now: int) -> list[str]:
    """Hold a file against RFC 9116; give what is wrong, each with its line and clause.

    1. §2.3: a cleartext signature, if there is one, wraps the whole file.
    2. §4: each line is a field, a comment, or empty.
    3. §2.5.3: at least one Contact. §2.5.5: exactly one Expires.
    4. §2.5.5: not over, and, as recommended, less than a year off.
    5. §2.5.8: Preferred-Languages once, of language tags.
    6. §2.4 and the fields' own clauses: values are URIs, and what is on the web https.

    Whether a signature is good is not seen here.
    """
    body, first, faults = _unwrapped(text)  # 1
    found: dict[str, list[tuple[int, str]]] = {}
    names = {name.lower(): name for name in _KNOWN}
    for number, line in enumerate(body.split("\n"), first):
        said = line.removesuffix("\r")
        if not said.strip() or said.startswith("#"):
            continue
        field = _FIELD.fullmatch(said)
        if field is None:  # 2
            faults.append(f"line {number}: {said[:60]!r} is no field (§4)")
            continue
        # §2.4: names of fields are the same in any case; unknown ones are left alone.
        name = names.get(field[1].lower(), field[1])
        found.setdefault(name, []).append((number, field[2].strip()))
    for name in ("Contact", "Expires"):  # 3
        if name not in found:
            faults.append(f"{name}: missing, and required (§2.5)")
    for name in _ONCE:
        if len(found.get(name, ())) > 1:
            faults.append(f"line {found[name][1][0]}: {name} is there twice (§2.5)")
    for number, said in found.get("Expires", ())[:1]:
        faults += _expiry(number, said, now)  # 4
    for number, said in found.get("Preferred-Languages", ())[:1]:
        faults += _tags(number, said)  # 5
    for name in (*_URIS, "Policy", "CSAF"):
        for number, said in found.get(name, ()):
            faults += _uri(name, number, said)  # 6
    return faults


def _unwrapped(text: str) -> tuple[str, int, list[str]]:
    """Give what a cleartext signature holds (RFC 9580 §7), and its first line."""
    if not text.startswith(_BEGIN):
        return text, 1, []
    lines = text.replace("\r\n", "\n").split("\n")
    try:
        head = lines.index("") + 1
        end = lines.index(_SIGNATURE)
        last = lines.index(_END)
    except ValueError:
        return "", 1, ["line 1: the signature does not end (§2.3)"]
    faults = [
        f"line {number}: outside of the signature (§2.3)"
        for number, line in enumerate(lines[last + 1 :], last + 2)
        if line.strip()
    ]
    inside = [line.removeprefix("- ") for line in lines[head:end]]
    return "\n".join(inside), head + 1, faults


def _expiry(number: int, said: str, now: int) -> list[str]:
    try:
        at = instant(said)
    except ValueError:
        return [f"line {number}: Expires: {said!r} is no RFC 3339 time (§2.5.5)"]
    if at <= now:
        return [f"line {number}: Expires: {said} is over: nobody uses it (§2.5.5)"]
    if at - now > YEAR:
        return [f"line {number}: Expires: {said} is more than a year off (§2.5.5)"]
    return []


def _tags(number: int, said: str) -> list[str]:
    faults = []
    for each in said.split(","):
        try:
            read_language(each)
        except ValueError as fault:
            faults.append(f"line {number}: Preferred-Languages: {fault} (§2.5.8)")
    return faults


def _uri(name: str, number: int, said: str) -> list[str]:
    if not _URI.fullmatch(said):
        return [f"line {number}: {name}: {said!r} is no URI such as mailto:a@b (§2.5)"]
    try:
        scheme = urlsplit(said).scheme
    except ValueError:
        return [f"line {number}: {name}: {said!r} is no URI (§2.5)"]
    if scheme == "http":
        return [f"line {number}: {name}: {said} is http, expected https (§2.5)"]
    return []
