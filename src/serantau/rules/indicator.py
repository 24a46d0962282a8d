"""An indicator's pattern read: STIX 2.1 patterning (§9), from text to tree.

`parse` gives a `Pattern` or raises `PatternError`, in time that grows with the length
of the text.

What it accepts is what OASIS's package stix2-patterns accepts, except:

* comments may come before the first bracket, as §9.9 has it;
* a hash that does not look like its algorithm is no fault of grammar. The package's
  check of it refuses every `IN`, `LIKE` and `MATCHES` on a hash as well;
* parentheses nest up to `NESTING` deep, and a number has up to 400 characters.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NoReturn

from serantau.rules import grammar
from serantau.rules.pattern import (
    Binary,
    Comparison,
    Comparisons,
    Each,
    Expression,
    Hex,
    Observation,
    Observations,
    Path,
    Pattern,
    Qualified,
    Qualifier,
    Scalar,
    Timestamp,
    kind_of,
    value_of,
)

__all__ = ["NESTING", "Pattern", "PatternError", "parse", "values_of"]

NESTING: Final = 64
_CACHED_PATH: Final = 200


class PatternError(ValueError):
    """A pattern that is none, with the place and what was expected there."""

    def __init__(self, position: int, message: str) -> None:
        """Say at which character (from 0) what was expected."""
        self.position = position
        self.message = message
        super().__init__(f"at character {position}: {message}")


def parse(text: str) -> Pattern:
    """Read a pattern.

    Raises:
        PatternError: the text is not a STIX 2.1 pattern.
    """
    flat = grammar.FLAT(text)
    if flat is not None:
        test = _flat(text, flat.lastindex)
        if test is not None:
            return Pattern(Observation(test))
    return _Parser(text).pattern()


def values_of(text: str) -> tuple[tuple[str, str], ...]:
    """Give what `parse(text).values()` gives; of the usual kind without a tree.

    Raises:
        PatternError: the text is not a STIX 2.1 pattern.
    """
    if grammar.FLAT(text) is None:
        return parse(text).values()
    found: dict[tuple[str, str], None] = {}
    for name, compares, string, number in grammar.flat_terms(text):
        path = _path(name)
        if path is None:
            return parse(text).values()
        kind = kind_of(path)
        if not kind or grammar.COMPARISONS[compares.strip()][0] != "=":
            continue
        if string:
            found[value_of(kind, string[1:-1])] = None
        elif kind == "autonomous-system":
            found[value_of(kind, str(int(number)))] = None
    return tuple(found)


def _flat(text: str, operator: int | None) -> Comparison | Comparisons | None:
    """Read the usual kind of pattern by one expression; None when a name is a keyword.

    Gives the tree that the parser would give, several times as fast.
    """
    terms: list[Comparison] = []
    for name, compares, string, number in grammar.flat_terms(text):
        path = _path(name)
        if path is None:
            return None
        terms.append(
            Comparison(
                path,
                grammar.COMPARISONS[compares.strip()][0],
                int(number) if number else string[1:-1],
            )
        )
    if operator is None:
        return terms[0]
    return Comparisons("AND" if operator == 1 else "OR", tuple(terms))


def _path(text: str) -> Path | None:
    """Read a path without blanks and indexes; None when it has a keyword for a key."""
    return _known_path(text) if len(text) <= _CACHED_PATH else _read_path(text)


def _read_path(text: str) -> Path | None:
    root, *keys = grammar.path_parts(text)
    if root in grammar.KEYWORDS or not grammar.KEYWORDS.isdisjoint(keys):
        return None
    return Path(root, tuple(_unquoted(k) if k[0] == "'" else k for k in keys))


# Feeds use a few dozen paths over and over.
_known_path: Final = lru_cache(maxsize=1024)(_read_path)


def _unquoted(token: str) -> str:
    inner = token[1:-1]
    if "\\" not in inner:
        return inner
    # §9.9: only \' and \\ are escapes, and the tokens let no other through.
    return "\\".join(part.replace("\\'", "'") for part in inner.split("\\\\"))


class _Parser:
    """Reads one text. A method reads one thing and leaves `at` behind it."""

    __slots__ = ("at", "depth", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = grammar.TOKEN.findall(text)
        self.at = 0
        self.depth = 0

    def fail(self, expected: str) -> NoReturn:
        """Refuse the text at the present token."""
        place = next(islice(grammar.TOKEN.finditer(self.text), self.at, None)).start(1)
        token = self.tokens[self.at]
        got = repr(token if len(token) < 40 else f"{token[:37]}...")
        raise PatternError(
            place, f"expected {expected}, got {got if token else 'the end'}"
        )

    def expect(self, token: str) -> None:
        if self.tokens[self.at] != token:
            self.fail(repr(token))
        self.at += 1

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > NESTING:
            self.fail(f"at most {NESTING} parentheses in one another")
        self.at += 1

    def pattern(self) -> Pattern:
        expression = self.expression()
        if self.tokens[self.at]:
            self.fail("AND, OR, FOLLOWEDBY, a qualifier or the end of the pattern")
        return Pattern(expression)

    def expression(self) -> Expression:
        """§9.4: observations and the operators between them."""
        terms = [self.qualified()]
        operators: list[str] = []
        while (operator := self.tokens[self.at]) in grammar.BINDING:
            operators.append(operator)
            self.at += 1
            terms.append(self.qualified())
        grouped: Expression = _grouped(
            terms, operators, grammar.OBSERVATION_LEVELS, Observations
        )
        return grouped

    def qualified(self) -> Expression:
        """§9.3, §9.5: one observation or group, with its qualifiers."""
        inner: Expression
        opening = self.tokens[self.at]
        if opening == "[":
            self.at += 1
            inner = Observation(self.comparisons())
            self.expect("]")
        elif opening == "(":
            self.deeper()
            inner = self.expression()
            self.expect(")")
            self.depth -= 1
        else:
            self.fail("'[' (an observation) or '(' (a group of them)")
        if self.tokens[self.at] not in grammar.QUALIFIERS:
            return inner
        qualifiers: list[Qualifier] = []
        seen: set[str] = set()
        while (word := self.tokens[self.at]) in grammar.QUALIFIERS:
            if word in seen and opening == "[":
                self.fail(f"at most one {word} for one observation")
            seen.add(word)
            qualifiers.append(self.qualifier(word))
        return Qualified(inner, tuple(qualifiers))

    def qualifier(self, word: str) -> Qualifier:
        self.at += 1
        values: list[Any] = []
        for part in grammar.QUALIFIERS[word]:
            if part.isupper():
                self.expect(part)
            else:
                values.append(self.scalar(part))
        return Qualifier(word, tuple(values))

    def comparisons(self) -> Comparison | Comparisons:
        """§9.6: comparisons and the operators between them."""
        terms = [self.comparison()]
        operators: list[str] = []
        while (operator := self.tokens[self.at]) in ("AND", "OR"):
            operators.append(operator)
            self.at += 1
            terms.append(self.comparison())
        grouped: Comparison | Comparisons = _grouped(
            terms, operators, grammar.COMPARISON_LEVELS, Comparisons
        )
        return grouped

    def comparison(self) -> Comparison | Comparisons:
        word = self.tokens[self.at]
        if word == "(":
            self.deeper()
            group = self.comparisons()
            self.expect(")")
            self.depth -= 1
            return group
        if word in ("NOT", "EXISTS"):
            negated = word == "NOT"
            self.at += negated
            self.expect("EXISTS")
            return Comparison(self.path(), "EXISTS", None, negated)
        path = self.path()
        negated = self.tokens[self.at] == "NOT"
        self.at += negated
        known = grammar.COMPARISONS.get(self.tokens[self.at])
        if known is None:
            self.fail(
                "a comparison: = != < <= > >= IN LIKE MATCHES ISSUBSET ISSUPERSET"
            )
        self.at += 1
        operator, follows = known
        value = self.set() if follows == "set" else self.scalar(follows)
        return Comparison(path, operator, value, negated)

    def path(self) -> Path:
        """§9.7: most paths are one token; blanks, comments and indexes divide them."""
        token = self.tokens[self.at]
        if ":" in token and token[0] not in "':/" and token[1] != "'":
            path = _path(token)
            if path is None:
                self.fail("an object path (a keyword in it needs quotes)")
            self.at += 1
        else:
            path = Path(self.root(), (self.key(),))
        if self.tokens[self.at] not in (".", "["):
            return path
        steps = list(path.steps)
        while (mark := self.tokens[self.at]) in (".", "["):
            self.at += 1
            steps.append(self.key() if mark == "." else self.index())
        return Path(path.type, tuple(steps))

    def root(self) -> str:
        token = self.tokens[self.at]
        if grammar.is_object_type(token) is None or token in grammar.KEYWORDS:
            self.fail("an object path (type:property), EXISTS or '('")
        self.at += 1
        self.expect(":")
        return token

    def key(self) -> str:
        token = self.tokens[self.at]
        if token[:1] == "'" and _is_closed(token):
            self.at += 1
            return _unquoted(token)
        if grammar.is_identifier(token) is None or token in grammar.KEYWORDS:
            self.fail("a property name (quoted when it has a hyphen or is a keyword)")
        self.at += 1
        return token

    def index(self) -> int | Each:
        word = self.tokens[self.at]
        step: int | Each
        if word == "*":
            step = Each.ITEM
        elif grammar.is_integer(word) and len(word) <= grammar.LONGEST_NUMBER:
            step = int(word)
        else:
            self.fail("a list index: a whole number or *")
        self.at += 1
        self.expect("]")
        return step

    def set(self) -> tuple[Scalar, ...]:
        if self.tokens[self.at] != "(":
            self.fail(grammar.EXPECTED["set"])
        self.at += 1
        # §9.6.1 wants values; OASIS's grammar lets the set be empty.
        if self.tokens[self.at] == ")":
            self.at += 1
            return ()
        values = [self.scalar("value")]
        while self.tokens[self.at] == ",":
            self.at += 1
            values.append(self.scalar("value"))
        self.expect(")")
        return tuple(values)

    def scalar(self, wanted: str) -> Scalar:
        token = self.tokens[self.at]
        value = _scalar(token)
        if value is None and token[:1] == "'":
            self.fail("a string that ends (its only escapes are \\' and \\\\)")
        if value is None or type(value) not in _ACCEPTED[wanted]:
            self.fail(grammar.EXPECTED[wanted])
        if wanted.startswith("positive") and token[0] == "-":
            self.fail(grammar.EXPECTED[wanted])
        self.at += 1
        return value


_ACCEPTED: Final[dict[str, frozenset[type]]] = {
    "value": frozenset({str, int, float, bool, Hex, Binary, Timestamp}),
    "ordered value": frozenset({str, int, float, Hex, Binary, Timestamp}),
    "string": frozenset({str}),
    "positive number": frozenset({int, float}),
    "positive integer": frozenset({int}),
    "timestamp": frozenset({Timestamp}),
}


_TRUTHS: Final = {"true": True, "false": False}


def _is_closed(token: str) -> bool:
    """Tell whether a string token has its end; one without takes the rest as well."""
    if "\\" in token:
        return grammar.is_string(token) is not None
    return len(token) > 1 and token[-1] == "'"


def _scalar(token: str) -> Scalar | None:
    """Read one value; None when the token is none."""
    first = token[:1]
    if first == "'":
        return _unquoted(token) if _is_closed(token) else None
    if token in _TRUTHS:
        return _TRUTHS[token]
    if token[1:2] == "'":
        if grammar.is_timestamp(token):
            return Timestamp(token[2:-1])
        if grammar.is_hex(token):
            return Hex(bytes.fromhex(token[2:-1]))
        if grammar.is_binary(token):
            return Binary(base64.b64decode(token[2:-1]))
        return None
    if len(token) > grammar.LONGEST_NUMBER:
        return None
    if grammar.is_integer(token):
        return int(token)
    if grammar.is_float(token):
        number = float(token)
        return None if math.isinf(number) else number
    return None


def _grouped(
    terms: Sequence[Any],
    operators: Sequence[str],
    levels: Sequence[str],
    node: Callable[[str, tuple[Any, ...]], Any],
) -> Any:
    """Build the tree of terms with operators between them, the loosest on top."""
    if not operators:
        return terms[0]
    if operators.count(operators[0]) == len(operators):
        return node(operators[0], tuple(terms))
    loosest, *tighter = levels
    cuts = [i for i, operator in enumerate(operators) if operator == loosest]
    if not cuts:
        return _grouped(terms, operators, tighter, node)
    starts, ends = [0, *(i + 1 for i in cuts)], [*cuts, len(operators)]
    return node(
        loosest,
        tuple(
            _grouped(terms[start : end + 1], operators[start:end], tighter, node)
            for start, end in zip(starts, ends, strict=True)
        ),
    )
