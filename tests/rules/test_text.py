"""Texts and values compare as people and machines mean them."""

from __future__ import annotations

import ipaddress
import time
import unicodedata
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serantau.rules.text import (
    HASH_KINDS,
    canonical,
    defang,
    find_values,
    fold,
    hash_kind,
    normalise,
    refang,
)

KINDS = [
    "ipv4-addr",
    "ipv6-addr",
    "domain-name",
    "url",
    "email-addr",
    "mac-addr",
    "cve",
    "autonomous-system",
    "windows-registry-key",
    "mutex",
    *sorted(HASH_KINDS),
]


# --- fold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "การโจมตีด้วยมัลแวร์",
        "មេរោគកុំព្យូទ័រ",
        "ການໂຈມຕີທາງໄຊເບີ",
        "ဆိုက်ဘာတိုက်ခိုက်မှု",
        "phần mềm độc hại",
        "恶意软件",
    ],
)
def test_letters_vowel_signs_and_tone_marks_of_the_region_survive_folding(
    text: str,
) -> None:
    assert fold(text) == unicodedata.normalize("NFKC", text).casefold()
    assert fold(text) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("មេរោគ\u200bកុំព្យូទ័រ", "មេរោគកុំព្យូទ័រ"),
        ("\uff25\uff36\uff29\uff2c", "evil"),
        ("Straße", "STRASSE"),
        ("phâ\u0300n", "PHẦN"),
        ("mal\u00adware", "malware"),
        ("EVIL", "evil"),
    ],
)
def test_case_width_form_and_invisible_characters_make_no_difference(
    one: str, other: str
) -> None:
    assert fold(one) == fold(other)


def test_words_that_differ_by_a_tone_mark_stay_different() -> None:
    assert fold("ข่าว") != fold("ขาว")
    assert fold("ป้า") != fold("ปา")


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_every_character_folds_once_and_for_all_next_to_marks() -> None:
    # All but ideographs and Hangul syllables, which have neither case nor marks.
    scripts = [range(0x3400), range(0xA000, 0xAC00), range(0xF900, 0x11000)]
    for code in [*chain.from_iterable(scripts), *range(0x1D000, 0x1F300)]:
        text = f"{chr(code)}\u0345\u0301"
        folded = fold(text)
        assert fold(folded) == folded, hex(code)


# --- normalise -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("ipv4-addr", "203.0.113.7", "203.0.113.7"),
        ("ipv4-addr", " 203.0.113.7 ", "203.0.113.7"),
        ("ipv4-addr", "203.0.113.7/32", "203.0.113.7"),
        ("ipv4-addr", "203.0.113.7/24", "203.0.113.0/24"),
        ("ipv4-addr", "203.0.113.7/255.255.255.0", "203.0.113.0/24"),
        ("ipv4-addr", "010.0.0.1", "010.0.0.1"),
        ("ipv4-addr", "Not An Address", "not an address"),
        ("ipv6-addr", "2001:db8::7", "2001:db8::7"),
        ("ipv6-addr", "2001:DB8:0:0::7", "2001:db8::7"),
        ("ipv6-addr", "[2001:db8::7]", "2001:db8::7"),
        ("ipv6-addr", "2001:db8::", "2001:db8::"),
        ("ipv6-addr", "2001:db8::7/128", "2001:db8::7"),
        ("ipv6-addr", "2001:db8::7/32", "2001:db8::/32"),
        ("ipv6-addr", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("ipv6-addr", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("ipv6-addr", "::ffff:203.0.113.7", "203.0.113.7"),
        ("ipv6-addr", "::FFFF:cb00:7107/128", "203.0.113.7"),
        ("domain-name", "Evil.Example.COM.", "evil.example.com"),
        ("domain-name", "XN--O3CW4H", "xn--o3cw4h"),
        ("domain-name", "ตัวอย่าง.ไทย", "xn--72c1a1bt4awk9o.xn--o3cw4h"),
        ("domain-name", "evil。example。com", "evil.example.com"),
        ("domain-name", "_dmarc.Evil.com", "_dmarc.evil.com"),
        ("domain-name", "i❤.ws", "xn--i-7iq.ws"),
        ("domain-name", "a_ü.de", "xn--a_-yka.de"),
        ("domain-name", "ü" * 254, "ü" * 254),
        ("url", "http://evil.com/A?b#C", "http://evil.com/A?b#C"),
        ("url", "HTTP://EVIL.com/A", "http://evil.com/A"),
        ("url", "https://EVIL.com:443", "https://evil.com/"),
        ("url", "https://evil.com:8443?x=1", "https://evil.com:8443/?x=1"),
        ("url", "http://User:Pass@EVIL.com/", "http://User:Pass@evil.com/"),
        ("url", "http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("url", "http://ไทย.ไทย/ก", "http://xn--o3cw4h.xn--o3cw4h/ก"),
        ("url", "http://a:b:c/x", "http://a:b:c/x"),
        ("url", "TEL://Evil", "tel://evil"),
        ("url", "javascript:Alert(1)", "javascript:alert(1)"),
        ("email-addr", " Bad@Evil.COM", "bad@evil.com"),
        ("email-addr", "Bad@ไทย.ไทย", "bad@xn--o3cw4h.xn--o3cw4h"),
        ("email-addr", "ผู้ใช้", "ผู้ใช้"),
        (
            "md5",
            "D41D8CD98F00B204E9800998ECF8427E ",
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
        ("sha-256", "A" * 64, "a" * 64),
        ("ssdeep", "3:AbC+/:dEf ", "3:AbC+/:dEf"),
        ("tlsh", "T1" + "AB" * 35, "ab" * 35),
        ("tlsh", "AB" * 35, "ab" * 35),
        ("mac-addr", "00:1a:2b:3c:4d:5e", "00:1a:2b:3c:4d:5e"),
        ("mac-addr", "00-1A-2B-3C-4D-5E", "00:1a:2b:3c:4d:5e"),
        ("mac-addr", "001A.2B3C.4D5E", "00:1a:2b:3c:4d:5e"),
        ("mac-addr", "001A2B3C4D5E", "00:1a:2b:3c:4d:5e"),
        ("mac-addr", "00:1A", "00:1a"),
        ("cve", "cve-2024-3400", "CVE-2024-3400"),
        ("cve", "CVE\u20132024\u20133400", "CVE-2024-3400"),
        ("autonomous-system", "AS4788", "4788"),
        ("autonomous-system", "4788", "4788"),
        ("autonomous-system", "ASN 04788", "4788"),
        ("autonomous-system", "1.10", "65546"),
        ("autonomous-system", "Telekom", "telekom"),
        (
            "windows-registry-key",
            r"HKLM\\Software\Run",
            r"hkey_local_machine\software\run",
        ),
        ("windows-registry-key", "HKCU:\\Run\\", r"hkey_current_user\run"),
        ("windows-registry-key", r"Software\Run", r"software\run"),
        ("mutex", " Global\\Evil", "global\\evil"),
        ("a-kind-of-tomorrow", "\uff21\uff22", "ab"),
    ],
)
def test_a_value_has_one_form(kind: str, value: str, expected: str) -> None:
    assert normalise(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("ipv6-addr", "::ffff:203.0.113.7", ("ipv4-addr", "203.0.113.7")),
        ("ipv6-addr", "203.0.113.7", ("ipv4-addr", "203.0.113.7")),
        ("ipv4-addr", "2001:DB8::1", ("ipv6-addr", "2001:db8::1")),
        ("ipv4-addr", "10.0.0.0/8", ("ipv4-addr", "10.0.0.0/8")),
        ("ipv6-addr", "what", ("ipv6-addr", "what")),
        ("url", "x", ("url", "x")),
    ],
)
def test_an_address_is_kept_under_the_kind_it_really_is(
    kind: str, value: str, expected: tuple[str, str]
) -> None:
    assert canonical(kind, value) == expected


@given(st.sampled_from(KINDS), st.text(max_size=40))
@example("email-addr", "\u00a8")  # folds into a space and a mark
@settings(max_examples=400)
def test_a_normal_form_is_its_own_normal_form(kind: str, value: str) -> None:
    once = canonical(kind, value)
    assert canonical(*once) == once


@given(st.ip_addresses(v=6) | st.ip_addresses(v=4))
def test_every_way_to_write_an_address_gives_the_same(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    kind = f"ipv{address.version}-addr"
    assert normalise(kind, address.exploded.upper()) == normalise(kind, str(address))
    assert normalise(kind, f"{address}/{address.max_prefixlen}") == normalise(
        kind, address.compressed
    )


@given(
    st.lists(st.sampled_from(["", "", "0", "1", "a0", "ffff"]), max_size=9).map(
        ":".join
    )
)
@settings(max_examples=400)
def test_the_quick_look_at_ipv6_agrees_with_the_full_one(text: str) -> None:
    try:
        expected = ipaddress.ip_address(text)
    except ValueError:
        assert normalise("ipv6-addr", text) == text
    else:
        assert isinstance(expected, ipaddress.IPv6Address)
        assert normalise("ipv6-addr", text) == str(expected.ipv4_mapped or expected)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("MD5", "md5"),
        ("SHA-1", "sha-1"),
        ("sha1", "sha-1"),
        ("SHA_256", "sha-256"),
        ("SHA256", "sha-256"),
        ("SHA3-256", "sha3-256"),
        ("SHA512/256", "sha-512/256"),
        ("SSDEEP", "ssdeep"),
        ("TLSH", "tlsh"),
        ("Gimli Hash", "gimli hash"),
    ],
)
def test_a_hash_algorithm_is_known_however_it_is_written(
    written: str, kind: str
) -> None:
    assert hash_kind(written) == kind


# --- refang, defang ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("defanged", "plain"),
    [
        ("hxxp://evil[.]com/x", "http://evil.com/x"),
        ("hXXps[:]//evil(.)co{.}th", "https://evil.co.th"),
        ("hxxps[://]evil[.]com", "https://evil.com"),
        ("h**p://evil.com", "http://evil.com"),
        ("http[s]://evil[.]com", "https://evil.com"),
        ("hxxp:\\\\evil.com", "http://evil.com"),
        ("meow://evil[dot]com", "http://evil.com"),
        ("fxp://evil[.com", "ftp://evil.com"),
        ("evil.]com", "evil.com"),
        ("evil[.]com[/]a", "evil.com/a"),
        ("1[.]2[.]3[.]4", "1.2.3.4"),
        ("2001[:]db8[:][:]1", "2001:db8::1"),
        ("bad[at]evil[.]com", "bad@evil.com"),
        ("bad[@]evil[.]com", "bad@evil.com"),
        ("bad (at) evil (dot) com", "bad@evil.com"),
        ("ตัวอย่าง[.]ไทย", "ตัวอย่าง.ไทย"),
        ("မြန်မာ[.]com", "မြန်မာ.com"),
    ],
)
def test_a_defanged_value_is_read_as_it_was(defanged: str, plain: str) -> None:
    assert refang(defanged) == plain


@pytest.mark.parametrize(
    "text",
    [
        "see (.) here",
        "look (at) this",
        "list[0]",
        "[at] the beginning",
        "http://evil.com/a(b)[c]",
        r"C:\Windows\System32",
        "the dot and the at",
        "ประโยคภาษาไทย (ที่) นี่",
    ],
)
def test_text_that_is_not_defanged_is_left_alone(text: str) -> None:
    assert refang(text) == text


@pytest.mark.parametrize(
    ("plain", "defanged"),
    [
        ("http://evil.com/a.b", "hxxp://evil[.]com/a.b"),
        ("at HTTPS://bad@evil.com:80 now", "at hxxps://bad[@]evil[.]com:80 now"),
        ("1.2.3.4", "1[.]2[.]3[.]4"),
        ("bad@evil.co.th.", "bad[@]evil[.]co[.]th."),
        ("ftp://evil.com", "fxp://evil[.]com"),
        ("ตัวอย่าง.ไทย", "ตัวอย่าง[.]ไทย"),
        ("No address. None", "No address. None"),
    ],
)
def test_a_defanged_text_holds_no_link(plain: str, defanged: str) -> None:
    assert defang(plain) == defanged


_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_names = st.tuples(_labels, _labels, st.sampled_from(["com", "th", "co.id"])).map(
    ".".join
)
_iocs = st.one_of(
    _names,
    st.builds("{}@{}".format, _labels, _names),
    st.builds("{}://{}/{}".format, st.sampled_from(["http", "https"]), _names, _labels),
    st.ip_addresses(v=4).map(str),
)


@given(_iocs)
def test_refang_undoes_defang(value: str) -> None:
    assert refang(defang(value)) == value


@given(_iocs)
def test_a_value_is_found_defanged_or_not(value: str) -> None:
    assert find_values(defang(value)) == find_values(value) != []


# --- find_values ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("", []),
        ("hello world", []),
        ("ข่าวการโจมตี", []),
        ("version 3.14 of 10", []),
        ("256.1.1.1", []),
        ("hxxp://EVIL[.]com", [("url", "http://evil.com/")]),
        ("(http://evil.com/a).", [("url", "http://evil.com/a")]),
        (
            "http://evil.com/a_(b)",
            [("url", "http://evil.com/a_(b"), ("url", "http://evil.com/a_(b)")],
        ),
        ("1[.]2[.]3[.]4", [("ipv4-addr", "1.2.3.4")]),
        ("1.2.3.4:8080", [("ipv4-addr", "1.2.3.4")]),
        ("[2001:DB8::1]:80", [("ipv6-addr", "2001:db8::1")]),
        ("2001:db8::", [("ipv6-addr", "2001:db8::")]),
        ("::ffff:1.2.3.4", [("ipv4-addr", "1.2.3.4")]),
        ("10.1.2.3/8", [("ipv4-addr", "10.0.0.0/8")]),
        ("found: evil.com:", [("domain-name", "evil.com")]),
        (
            '"evil.com", <bad@x.org>; evil.com',
            [("domain-name", "evil.com"), ("email-addr", "bad@x.org")],
        ),
        (
            "Evil.com:8080/A",
            [
                ("domain-name", "evil.com"),
                ("url", "http://evil.com:8080/A"),
                ("url", "https://evil.com:8080/A"),
            ],
        ),
        ("ตัวอย่าง.ไทย", [("domain-name", "xn--72c1a1bt4awk9o.xn--o3cw4h")]),
        ("A" * 32, [("md5", "a" * 32)]),
        ("a" * 40, [("sha-1", "a" * 40)]),
        ("a" * 64, [("sha-256", "a" * 64)]),
        ("a" * 63, []),
        ("T1" + "a" * 70, [("tlsh", "a" * 70)]),
        ("3:AbCd:EfGh", [("ssdeep", "3:AbCd:EfGh")]),
        ("00-1A-2B-3C-4D-5E", [("mac-addr", "00:1a:2b:3c:4d:5e")]),
        ("cve-2024-3400", [("cve", "CVE-2024-3400")]),
        ("CVE 2024 3400", [("cve", "CVE-2024-3400")]),
        (
            "CVE-2024-3400 evil.com",
            [("cve", "CVE-2024-3400"), ("domain-name", "evil.com")],
        ),
        ("AS 4788", [("autonomous-system", "4788")]),
        (
            r"HKLM\Software\My Key",
            [("windows-registry-key", r"hkey_local_machine\software\my key")],
        ),
    ],
)
def test_typed_text_is_taken_for_the_values_it_may_be(
    typed: str, values: list[tuple[str, str]]
) -> None:
    assert find_values(typed) == values


@given(st.text() | st.text(alphabet="a.@:/[]()-1 ", max_size=60))
def test_any_text_can_be_typed(text: str) -> None:
    for kind, value in find_values(text):
        assert normalise(kind, value) == value
    refang(text)
    defang(text)


@pytest.mark.parametrize("piece", [".", "a.", "a@", "[.]", "1:", "-a", "é", "a (at) "])
def test_a_very_long_text_takes_time_in_proportion(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    find_values(text)
    refang(text)
    defang(text)
    # Quadratic time would be minutes.
    assert time.process_time() - start < 10
