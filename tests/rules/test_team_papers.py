"""What a team publishes of itself is as RFC 9116 and RFC 2350 ask, or it is told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.clock import instant
from serantau.rules import rfc2350, security_txt
from serantau.rules.security_txt import SecurityTxt

NOW = instant("2026-03-01T00:00:00Z")
FULL = SecurityTxt(
    ("mailto:soc@cert.example", "tel:+6621234567"),
    "2026-09-01T00:00:00Z",
    encryption=("openpgp4fpr:" + "a" * 40,),
    languages=("th", "en"),
    canonical=("https://cert.example/.well-known/security.txt",),
    policy=("https://cert.example/policy",),
)
SIGNED = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
    f"{FULL.text}-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
)


@pytest.mark.parametrize(
    "text",
    [
        FULL.text,
        SecurityTxt(FULL.contacts, FULL.expires).text,
        FULL.text.replace("\n", "\r\n"),
        FULL.text.replace("Contact", "CONTACT").replace("Expires: ", "expires:"),
        "# a comment\n\nOur-Own: anything\n" + FULL.text,
        SIGNED,
    ],
)
def test_what_rfc_9116_allows_is_right(text: str) -> None:
    assert security_txt.check(text, NOW) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FULL.text.replace("Contact", "X"), "Contact: missing"),
        (FULL.text.replace("Expires", "X"), "Expires: missing"),
        (FULL.text + "Expires: 2026-09-01T00:00:00Z\n", "line 8: Expires is there"),
        (FULL.text.replace("2026-09", "2026-02"), "line 3: Expires: .* is over"),
        (FULL.text.replace("2026-09", "2027-09"), "more than a year"),
        (FULL.text.replace("2026-09-01T", "soon "), "no RFC 3339"),
        (FULL.text.replace("mailto:", ""), "line 1: Contact: .* no URI such as"),
        (FULL.text.replace("mailto:soc@cert", "https://[x"), "no URI"),
        (FULL.text.replace("https", "http"), "line 5: Canonical: .* expected https"),
        (FULL.text.replace("th, en", "th, !"), "line 7: Preferred-Languages"),
        (FULL.text + "hello\n", "line 8: 'hello' is no field"),
        (SIGNED + "Contact: mailto:evil@x.example\n", "outside of the signature"),
        (SIGNED.replace("END PGP", "E"), "does not end"),
    ],
)
def test_what_rfc_9116_forbids_is_told_with_its_place(text: str, told: str) -> None:
    faults = security_txt.check(text, NOW)
    assert any(re.search(told, fault) for fault in faults), faults


def test_lines_of_a_signed_file_are_counted_as_the_reader_sees_them() -> None:
    (fault,) = security_txt.check(SIGNED.replace("tel:", "- tel"), NOW)
    assert fault.startswith("line 5: Contact")


@given(st.text())
def test_no_text_stops_the_check(text: str) -> None:
    for whole in (text, SIGNED[:50] + text, f"Contact: {text}", f"Expires: {text}"):
        assert security_txt.check(whole, NOW)


SAID = dict.fromkeys(rfc2350.NEEDED, "So it is.")


def test_a_document_with_what_is_needed_is_whole() -> None:
    assert rfc2350.check(rfc2350.write("ThaiCERT", SAID)) == []


@pytest.mark.parametrize("number", sorted(rfc2350.NEEDED))
def test_a_needed_section_that_says_nothing_is_told(number: str) -> None:
    said = {one: text for one, text in SAID.items() if one != number}
    (fault,) = rfc2350.check(rfc2350.write("ThaiCERT", said))
    assert fault == f"section {number} {rfc2350.SECTIONS[number]} says nothing"


def test_sections_that_are_missing_doubled_or_moved_are_told() -> None:
    text = rfc2350.write("x", SAID)
    assert rfc2350.check("") == [
        f"section {number} {name} is missing"
        for number, name in rfc2350.SECTIONS.items()
    ]
    assert rfc2350.check(text + "\n## 7 Disclaimers\n") == ["section 7 is there twice"]
    head, tail = text.split("## 7 Disclaimers")
    assert rfc2350.check("## 7 Disclaimers\n" + head + tail) == [
        "the sections are not in their order"
    ]


def test_a_document_in_plain_text_of_another_team_is_read_by_its_numbers() -> None:
    text = rfc2350.write("x", SAID).replace("#", "")
    text = text.replace("3.1 Mission Statement", "3.1. Mission Statement")
    assert rfc2350.check(text + "\n   3.1 people work here on weekdays\n") == []


def test_what_no_section_is_for_is_refused() -> None:
    for number in ("9", "3"):
        with pytest.raises(ValueError, match=f"no text in section {number}"):
            rfc2350.write("x", {number: "y"})
