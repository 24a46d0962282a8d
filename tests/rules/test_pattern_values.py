"""Patterns by hand: what each says, is refused for, and looks for."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from stix2patterns.validator import validate

from patterns import accepted_by_oasis, read, same
from serantau.rules.indicator import (
    NESTING,
    Pattern,
    PatternError,
    parse,
    values_of,
)
from serantau.rules.pattern import (
    Binary,
    Comparison,
    Comparisons,
    Each,
    Hex,
    Observation,
    Observations,
    Path,
    Qualified,
    Qualifier,
    Scalar,
    Timestamp,
)

# --- Patterns by hand ----------------------------------------------------------------

A, B, C = (Comparison(Path(x, ("v",)), "=", 1) for x in "abc")
OA, OB, OC = map(Observation, (A, B, C))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("[a:v=1]", OA),
        ("[(a:v=1)]", OA),
        ("([a:v=1])", OA),
        ("[a:v=1 OR b:v=1 AND c:v=1]", [A, "OR", [B, "AND", C]]),
        ("[a:v=1 AND b:v=1 OR c:v=1]", [[A, "AND", B], "OR", C]),
        ("[a:v=1 AND (b:v=1 OR c:v=1)]", [A, "AND", [B, "OR", C]]),
        ("[a:v=1 AND b:v=1 AND c:v=1]", [A, "AND", B, "AND", C]),
        ("[a:v=1 AND (b:v=1 AND c:v=1)]", [A, "AND", [B, "AND", C]]),
        (
            "[a:v=1] FOLLOWEDBY [b:v=1] OR [c:v=1] AND [a:v=1]",
            [OA, "FOLLOWEDBY", [OB, "OR", [OC, "AND", OA]]],
        ),
        (
            "[a:v=1] AND [b:v=1] FOLLOWEDBY [c:v=1] FOLLOWEDBY [a:v=1]",
            [[OA, "AND", OB], "FOLLOWEDBY", OC, "FOLLOWEDBY", OA],
        ),
        ("([a:v=1] OR [b:v=1]) AND [c:v=1]", [[OA, "OR", OB], "AND", OC]),
    ],
)
def test_operators_bind_as_the_standard_says(text: str, tree: Any) -> None:
    def build(tree: Any, node: Any) -> Any:
        if not isinstance(tree, list):
            return tree
        return node(tree[1], tuple(build(x, node) for x in tree[::2]))

    if isinstance(tree, list):
        inside = text.startswith("[") and text.count("[") == 1
        built = build(tree, Comparisons if inside else Observations)
        tree = Observation(built) if inside else built
    assert same(parse(text), Pattern(tree))
    assert same(parse(str(parse(text))), Pattern(tree))


@pytest.mark.parametrize(
    ("written", "value", "rendered"),
    [
        ("'a'", "a", "'a'"),
        (r"'it\'s C:\\x'", r"it's C:\x", r"'it\'s C:\\x'"),
        (r"'\\\''", r"\'", r"'\\\''"),
        ("'ไทย'", "ไทย", "'ไทย'"),
        ("5", 5, "5"),
        ("+5", 5, "5"),
        ("-5", -5, "-5"),
        ("5.0", 5.0, "5.0"),
        ("-.5", -0.5, "-0.5"),
        ("1" + "0" * 30 + ".0", 1e30, "1" + "0" * 30 + ".0"),
        ("0." + "0" * 20 + "1", 1e-21, "0." + "0" * 20 + "1"),
        ("true", True, "true"),
        ("false", False, "false"),
        ("h'00FF'", Hex(b"\x00\xff"), "h'00ff'"),
        ("h''", Hex(b""), "h''"),
        ("b'AP8='", Binary(b"\x00\xff"), "b'AP8='"),
        (
            "t'2020-01-01T00:00:00Z'",
            Timestamp("2020-01-01T00:00:00Z"),
            "t'2020-01-01T00:00:00Z'",
        ),
    ],
)
def test_every_type_of_value_is_read_and_written(
    written: str, value: Scalar, rendered: str
) -> None:
    pattern = parse(f"[a:b = {written}]")
    assert same(
        pattern, Pattern(Observation(Comparison(Path("a", ("b",)), "=", value)))
    )
    assert str(pattern) == f"[a:b = {rendered}]"


@pytest.mark.parametrize(
    ("written", "path", "rendered"),
    [
        ("a:b", Path("a", ("b",)), "a:b"),
        ("a:'b'", Path("a", ("b",)), "a:b"),
        ("a:'b-c'.d", Path("a", ("b-c", "d")), "a:'b-c'.d"),
        ("a:b.'AND'", Path("a", ("b", "AND")), "a:b.'AND'"),
        ("a : b . c", Path("a", ("b", "c")), "a:b.c"),
        (
            "a:b[*].c_ref.d[-1][2]",
            Path("a", ("b", Each.ITEM, "c_ref", "d", -1, 2)),
            None,
        ),
        ("a:b.'*'", Path("a", ("b", "*")), "a:b.'*'"),
        (f"a:{'b' * 300}", Path("a", ("b" * 300,)), None),
    ],
)
def test_object_paths_are_read_and_written(
    written: str, path: Path, rendered: str | None
) -> None:
    pattern = parse(f"[{written} = 1]")
    assert same(pattern, Pattern(Observation(Comparison(path, "=", 1))))
    assert str(path) == (rendered or written)


@pytest.mark.parametrize(
    ("text", "operator", "value", "negated"),
    [
        ("a:b IN ('x', 2, true)", "IN", ("x", 2, True), False),
        ("a:b NOT IN ()", "IN", (), True),
        ("a:b LIKE '%x_'", "LIKE", "%x_", False),
        ("a:b NOT MATCHES '^x'", "MATCHES", "^x", True),
        ("a:b ISSUBSET '10.0.0.0/8'", "ISSUBSET", "10.0.0.0/8", False),
        ("a:b ISSUPERSET '10.0.0.0/8'", "ISSUPERSET", "10.0.0.0/8", False),
        ("a:b <> 1", "!=", 1, False),
        ("a:b NOT >= 1.5", ">=", 1.5, True),
        ("EXISTS a:b", "EXISTS", None, False),
        ("NOT EXISTS a:b", "EXISTS", None, True),
    ],
)
def test_every_comparison_is_read_and_written(
    text: str, operator: str, value: Any, negated: bool
) -> None:
    pattern = parse(f"[{text}]")
    tree = Comparison(Path("a", ("b",)), operator, value, negated)
    assert same(pattern, Pattern(Observation(tree)))
    assert same(parse(str(pattern)), pattern)


WITHIN = Qualifier("WITHIN", (5,))
REPEATS = Qualifier("REPEATS", (2,))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("[a:v = 1] WITHIN 5 SECONDS", Qualified(OA, (WITHIN,))),
        (
            "[a:v = 1] WITHIN 5 SECONDS REPEATS 2 TIMES",
            Qualified(OA, (WITHIN, REPEATS)),
        ),
        (
            "([a:v = 1] WITHIN 5 SECONDS) WITHIN 5 SECONDS",
            Qualified(Qualified(OA, (WITHIN,)), (WITHIN,)),
        ),
        (
            "([a:v = 1]) WITHIN 5 SECONDS WITHIN 5 SECONDS",
            Qualified(OA, (WITHIN, WITHIN)),
        ),
        (
            "[b:v = 1] AND [a:v = 1] REPEATS 2 TIMES",
            Observations("AND", (OB, Qualified(OA, (REPEATS,)))),
        ),
        (
            "[a:v = 1] START t'2020-01-01T00:00:00Z' STOP t'2021-01-01T00:00:00.5Z'",
            Qualified(
                OA,
                (
                    Qualifier(
                        "START",
                        (
                            Timestamp("2020-01-01T00:00:00Z"),
                            Timestamp("2021-01-01T00:00:00.5Z"),
                        ),
                    ),
                ),
            ),
        ),
    ],
)
def test_qualifiers_belong_to_what_stands_before_them(text: str, tree: Any) -> None:
    assert same(parse(text), Pattern(tree))
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "'[' (an observation)"),
        ("a", 0, "'[' (an observation)"),
        ("[a:b = 1", 8, "']'"),
        ("[a:b = 1]]", 9, "AND, OR, FOLLOWEDBY"),
        ("([a:b = 1]", 10, "')'"),
        ("[a:b 1]", 5, "a comparison"),
        ("[a = 1]", 3, "':'"),
        ("[5 = 1]", 1, "an object path"),
        ("[AND:b = 1]", 1, "an object path (a keyword"),
        ("[a:b.START = 1]", 1, "an object path (a keyword"),
        ("[AND : b = 1]", 1, "an object path"),
        ("[a: b-c = 1]", 4, "a property name"),
        ("[a: 'x = 1]", 4, "a property name"),
        ("[a:b[x] = 1]", 5, "a list index"),
        ("[a:b[0 = 1]", 7, "']'"),
        ("[a:b = c]", 7, "a value"),
        ("[a:b = h'0']", 7, "a value"),
        ("[a:b = 'C:\\x']", 7, "a string that ends"),
        ("[a:b = '\\']", 7, "a string that ends"),
        ("[a:b < true]", 7, "a value that has an order"),
        ("[a:b LIKE 5]", 10, "a string"),
        ("[a:b IN 'x']", 8, "a set"),
        ("[a:b IN ('x' 'y')]", 13, "')'"),
        ("[a:b IN ('x',)]", 13, "a value"),
        ("[NOT a:b = 1]", 5, "'EXISTS'"),
        ("[(a:b = 1]", 9, "')'"),
        ("[a:b = 1] WITHIN -5 SECONDS", 17, "a number that is not negative"),
        ("[a:b = 1] WITHIN 5 TIMES", 19, "'SECONDS'"),
        ("[a:b = 1] REPEATS 2.5 TIMES", 18, "a whole number"),
        ("[a:b = 1] START '2020' STOP '2021'", 16, "a timestamp"),
        ("[a:b = 1] REPEATS 1 TIMES REPEATS 1 TIMES", 26, "at most one REPEATS"),
        (f"[a:b = {'1' * 401}]", 7, "a value"),
        (f"[a:b = {'1' * 390}.0]", 7, "a value"),
        (f"[a:b[{'1' * 401}] = 1]", 5, "a list index"),
        ("/* a comment [a:b = 1]", 0, "'['"),
    ],
)
def test_a_refusal_says_where_and_what_was_expected(
    text: str, position: int, expected: str
) -> None:
    with pytest.raises(PatternError) as caught:
        parse(text)
    assert caught.value.position == position
    assert caught.value.message.startswith(f"expected {expected}")
    assert len(caught.value.message) < 200


# --- Differences that are meant ------------------------------------------------------


def test_comments_may_come_first_as_the_grammar_has_it() -> None:
    text = "/* from the CERT */ [a:v = 1]"
    assert accepted_by_oasis(text)
    assert not validate(text, "2.1")
    assert same(parse(text), Pattern(OA))


@pytest.mark.parametrize(
    "test",
    [
        "file:hashes.MD5 = 'no hash'",
        "file:hashes.MD5 IN ('79054025255fb1a26e4bc422aef54eb4')",
        "file:hashes.MD5 LIKE '7905%'",
    ],
)
def test_the_look_of_a_hash_is_no_matter_of_grammar(test: str) -> None:
    assert not validate(f"[{test}]", "2.1")
    assert read(f"[{test}]") is not None


@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [("(", "[a:v = 1]", ")"), ("[" + "(", "a:v = 1", ")" + "]")],
)
def test_nesting_has_a_limit_with_a_clear_message(
    opening: str, inner: str, closing: str
) -> None:
    def nested(depth: int) -> str:
        start, end = (
            opening.replace("(", "(" * depth),
            closing.replace(")", ")" * depth),
        )
        return f"{start}{inner}{end}"

    assert same(parse(nested(NESTING)), Pattern(OA))
    for depth in (NESTING + 1, 100_000):
        with pytest.raises(PatternError, match=f"at most {NESTING} parentheses"):
            parse(nested(depth))


def test_the_deepest_pattern_is_read_written_and_searched_on_a_small_stack() -> None:
    text = "a:v = 1"
    for depth in range(NESTING):
        text = f"({text} {'OR' if depth % 2 else 'AND'} url:value = 'http://x/{depth}')"
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(600)
        pattern = parse(f"[{text}]")
        assert same(parse(str(pattern)), pattern)
        assert len(pattern.values()) == NESTING
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "piece",
    [
        "/*",
        "'\\'",
        "h'",
        "0",
        "00.",
        "[",
        "a:",
        "a:b.",
        "'",
        "//",
        " ",
        "-",
        "a-",
        "([",
    ],
)
@pytest.mark.parametrize("start", ["", "[a:b = "])
def test_hopeless_text_takes_time_in_proportion(start: str, piece: str) -> None:
    text = start + piece * (200_000 // len(piece))
    began = time.process_time()
    with pytest.raises(PatternError):
        parse(text)
    # Quadratic time would be minutes.
    assert time.process_time() - began < 5


def test_a_pattern_of_many_terms_takes_time_in_proportion() -> None:
    terms = [f"ipv4-addr:value = '10.0.{i // 256}.{i % 256}'" for i in range(4_000)]
    for mark in ("", " "):
        pattern = parse(f"[{' OR '.join(terms)}]{mark}")
        assert len(pattern.values()) == 4_000
    joined = parse(" OR ".join(f"[{term}]" for term in terms))
    assert joined.values() == pattern.values()


# --- Values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[ipv4-addr:value = '1.2.3.4']", [("ipv4-addr", "1.2.3.4")]),
        ("[ipv4-addr:value = '1.2.3.4/24']", [("ipv4-addr", "1.2.3.0/24")]),
        (
            "[ipv4-addr:value ISSUBSET '198.51.100.0/24']",
            [("ipv4-addr", "198.51.100.0/24")],
        ),
        ("[ipv6-addr:value = '2001:DB8::0:1']", [("ipv6-addr", "2001:db8::1")]),
        ("[domain-name:value = 'Evil.COM.']", [("domain-name", "evil.com")]),
        ("[url:value = 'HTTP://Evil.com/A']", [("url", "http://evil.com/A")]),
        ("[email-addr:value = 'A@B.com']", [("email-addr", "a@b.com")]),
        ("[email-message:from_ref.value = 'A@B.com']", [("email-addr", "a@b.com")]),
        ("[email-message:to_refs[*].value = 'A@B.com']", [("email-addr", "a@b.com")]),
        ("[file:hashes.MD5 = 'AB']", [("md5", "ab")]),
        ("[file:hashes.'SHA-256' = 'AB']", [("sha-256", "ab")]),
        ("[file:hashes.sha256 = 'AB']", [("sha-256", "ab")]),
        ("[x509-certificate:hashes.'SHA-1' = 'AB']", [("sha-1", "ab")]),
        ("[process:image_ref.hashes.MD5 = 'AB']", [("md5", "ab")]),
        (
            "[file:extensions.'windows-pebinary-ext'.imphash = 'AB']",
            [("imphash", "ab")],
        ),
        ("[file:name = 'Evil.exe']", [("file", "evil.exe")]),
        ("[network-traffic:dst_ref.value = '1.2.3.4']", [("ipv4-addr", "1.2.3.4")]),
        (
            "[network-traffic:src_ref.value = '2001:DB8::1']",
            [("ipv6-addr", "2001:db8::1")],
        ),
        (
            "[network-traffic:dst_ref.value ISSUBSET '10.0.0.0/8']",
            [("ipv4-addr", "10.0.0.0/8")],
        ),
        (
            "[network-traffic:dst_ref.value = '00-1A-2B-3C-4D-5E']",
            [("mac-addr", "00:1a:2b:3c:4d:5e")],
        ),
        ("[network-traffic:dst_ref.value = 'AS1']", [("domain-name", "as1")]),
        (
            "[network-traffic:dst_ref.value IN ('Evil.com', 'LOCALHOST')]",
            [("domain-name", "evil.com"), ("domain-name", "localhost")],
        ),
        ("[autonomous-system:number = 4788]", [("autonomous-system", "4788")]),
        (
            "[autonomous-system:number IN (4788, 9930)]",
            [("autonomous-system", "4788"), ("autonomous-system", "9930")],
        ),
        ("[autonomous-system:number = true]", []),
        ("[mutex:name = 'Global\\\\X']", [("mutex", "global\\x")]),
        ("[process:name = 'Evil']", [("process", "evil")]),
        (
            "[windows-registry-key:key = 'HKLM\\\\Run']",
            [("windows-registry-key", "hkey_local_machine\\run")],
        ),
        (
            "[domain-name:value IN ('a.com', 'b.com', 'A.com')]",
            [("domain-name", "a.com"), ("domain-name", "b.com")],
        ),
        (
            "([ipv4-addr:value = '1.2.3.4'] AND [url:value = 'http://x/'])"
            " WITHIN 5 SECONDS FOLLOWEDBY [file:size > 5 AND"
            " (domain-name:value = 'a.com' OR ipv4-addr:value = '1.2.3.4')]",
            [("ipv4-addr", "1.2.3.4"), ("url", "http://x/"), ("domain-name", "a.com")],
        ),
        ("[domain-name:value != 'a.com']", []),
        ("[domain-name:value NOT = 'a.com']", []),
        ("[domain-name:value NOT IN ('a.com')]", []),
        ("[domain-name:value LIKE '%.com']", []),
        ("[domain-name:value ISSUBSET '10.0.0.0/8']", []),
        ("[EXISTS domain-name:value]", []),
        ("[file:size = 5]", []),
        (
            "[ipv4-addr:value = 5 OR ipv4-addr:value = '1.2.3.4']",
            [("ipv4-addr", "1.2.3.4")],
        ),
        ("[autonomous-system:number = 15139]", [("autonomous-system", "15139")]),
        ("[autonomous-system:number > 15139]", []),
        (
            "[network-traffic:dst_ref.value = '1.2.3.4' OR ipv4-addr:value = '1.2.3.4'"
            " OR network-traffic:src_ref.value = 'a.example']",
            [("ipv4-addr", "1.2.3.4"), ("domain-name", "a.example")],
        ),
        ("[a:b = 1]", []),
        ("[file:hashes = 'x']", []),
        ("[ipv4-addr:value = h'00']", []),
    ],
)
def test_the_values_a_pattern_looks_for_are_found(
    text: str, values: list[tuple[str, str]]
) -> None:
    assert parse(text).values() == values_of(text) == tuple(values)


def test_a_usual_pattern_with_a_keyword_for_a_name_is_refused_for_its_values() -> None:
    with pytest.raises(PatternError):
        values_of("[file:name = 'a' AND file:LIKE = 'b']")


def test_mixed_observation_operators_group_without_the_loosest_of_them() -> None:
    text = "[a:b = 1] AND [a:b = 2] OR [a:b = 3]"
    pattern = parse(text)
    assert accepted_by_oasis(text)
    assert same(parse(str(pattern)), pattern)
    assert pattern != parse("[a:b = 1] OR [a:b = 2] AND [a:b = 3]")
