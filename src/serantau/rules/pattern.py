"""The tree of a STIX 2.1 pattern (§9), its text, and the values it looks for.

`serantau.rules.indicator.parse` makes it. Operators of the same kind in a row are one
node, parentheses that change nothing leave no trace, and values are Python's own where
Python has the type. `str(pattern)` is a pattern with the same tree.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from serantau.rules import grammar
from serantau.rules.text import canonical, find_values, hash_kind

# --- The tree ------------------------------------------------------------------------


class _Node(msgspec.Struct, frozen=True, gc=False):
    """A node of the tree. Trees have no cycles: the garbage collector need not look."""


class Hex(_Node, frozen=True, gc=False):
    """Bytes written as h'00ff'."""

    octets: bytes

    def __str__(self) -> str:
        return f"h'{self.octets.hex()}'"


class Binary(_Node, frozen=True, gc=False):
    """Bytes written as b'AP8='."""

    octets: bytes

    def __str__(self) -> str:
        return f"b'{base64.b64encode(self.octets).decode('ascii')}'"


class Timestamp(_Node, frozen=True, gc=False):
    """An RFC 3339 text in UTC, as it was written: t'2026-01-31T12:00:00Z'."""

    text: str

    def __str__(self) -> str:
        return f"t'{self.text}'"


class Each(Enum):
    """The list index [*]: every item."""

    ITEM = "*"


Scalar: TypeAlias = str | int | float | bool | Hex | Binary | Timestamp
Step: TypeAlias = str | int | Each


class Path(_Node, frozen=True, gc=False):
    """An object path: `file:hashes.'SHA-256'`; a step is a key, an index or `Each`."""

    type: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        steps = "".join(map(_step_text, self.steps))
        return f"{self.type}:{steps.removeprefix('.')}"


class Comparison(_Node, frozen=True, gc=False):
    """One test of one property: path, operator, value.

    `value` is a tuple for IN and None for EXISTS.
    """

    path: Path
    operator: str
    value: Scalar | tuple[Scalar, ...] | None
    negated: bool = False

    def __str__(self) -> str:
        no = "NOT " if self.negated else ""
        if self.value is None:
            return f"{no}EXISTS {self.path}"
        if isinstance(self.value, tuple):
            value = f"({', '.join(map(_scalar_text, self.value))})"
        else:
            value = _scalar_text(self.value)
        return f"{self.path} {no}{self.operator} {value}"


class Comparisons(_Node, frozen=True, gc=False):
    """Comparisons joined by AND or OR, two or more."""

    operator: str
    terms: tuple[Comparison | Comparisons, ...]

    def __str__(self) -> str:
        return _joined(self.operator, self.terms)


class Observation(_Node, frozen=True, gc=False):
    """What is in square brackets: true of one observed object."""

    test: Comparison | Comparisons

    def __str__(self) -> str:
        return f"[{self.test}]"


class Observations(_Node, frozen=True, gc=False):
    """Observations joined by AND, OR or FOLLOWEDBY, two or more."""

    operator: str
    terms: tuple[Expression, ...]

    def __str__(self) -> str:
        return _joined(self.operator, self.terms)


class Qualifier(_Node, frozen=True, gc=False):
    """WITHIN (seconds), REPEATS (times) or START (start, stop)."""

    word: str
    values: tuple[int | float | Timestamp, ...]

    def __str__(self) -> str:
        values = iter(self.values)
        parts = (
            part if part.isupper() else _scalar_text(next(values))
            for part in grammar.QUALIFIERS[self.word]
        )
        return f"{self.word} {' '.join(parts)}"


class Qualified(_Node, frozen=True, gc=False):
    """An expression with the qualifiers that follow it."""

    expression: Expression
    qualifiers: tuple[Qualifier, ...]

    def __str__(self) -> str:
        inner = str(self.expression)
        words = [qualifier.word for qualifier in self.qualifiers]
        # §9.5: a bare observation has each kind of qualifier once, a group may repeat.
        bare = isinstance(self.expression, Observation)
        if not bare or len(set(words)) < len(words):
            inner = f"({inner})"
        return f"{inner} {' '.join(map(str, self.qualifiers))}"


Expression: TypeAlias = Observation | Observations | Qualified


class Pattern(_Node, frozen=True, gc=False):
    """A whole pattern."""

    expression: Expression

    def __str__(self) -> str:
        return str(self.expression)

    def comparisons(self) -> Iterator[Comparison]:
        """Give every comparison, in the order of the text."""
        waiting: list[Any] = [self.expression]
        while waiting:
            match waiting.pop():
                case Comparison() as comparison:
                    yield comparison
                case Observation(test):
                    waiting.append(test)
                case Qualified(expression):
                    waiting.append(expression)
                case node:
                    waiting.extend(reversed(node.terms))

    def values(self) -> tuple[tuple[str, str], ...]:
        """Give the (kind, normalised value) pairs that the pattern looks for.

        Of comparisons by = and IN, and of addresses by ISSUBSET, that are not negated;
        without repeats, in the order of the text.
        """
        expression = self.expression
        if isinstance(expression, Observation) and isinstance(
            expression.test, Comparison
        ):
            return tuple(dict.fromkeys(_values_of(expression.test)))
        found: dict[tuple[str, str], None] = {}
        for comparison in self.comparisons():
            found.update(dict.fromkeys(_values_of(comparison)))
        return tuple(found)


# --- Writing -------------------------------------------------------------------------


def _joined(operator: str, terms: Sequence[Any]) -> str:
    """Join terms, in parentheses where they would otherwise bind differently."""
    rank = grammar.BINDING[operator]
    return f" {operator} ".join(
        f"({term})"
        if isinstance(term, (Comparisons, Observations))
        and grammar.BINDING[term.operator] <= rank
        else str(term)
        for term in terms
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _scalar_text(value: Scalar) -> str:
    match value:
        case str():
            return _quoted(value)
        case bool():
            return "true" if value else "false"
        case float():
            # The grammar has no exponents.
            text = format(Decimal(repr(value)), "f")
            return text if "." in text else f"{text}.0"
        case _:
            return str(value)


def _step_text(step: Step) -> str:
    match step:
        case Each():
            return "[*]"
        case int():
            return f"[{step}]"
        case _ if grammar.is_identifier(step) and step not in grammar.KEYWORDS:
            return f".{step}"
        case _:
            return f".{_quoted(step)}"


# --- Values --------------------------------------------------------------------------


_NETWORKS: Final = frozenset({"ipv4-addr", "ipv6-addr", "any address"})


@lru_cache(maxsize=1024)
def kind_of(path: Path) -> str:
    """Give the kind of value that a path leads to, or "" when it is none of ours."""
    keys = [step for step in path.steps if isinstance(step, str)]
    kind = grammar.VALUE_KINDS.get(f"{path.type}:{'.'.join(keys)}", "")
    if not kind and len(keys) > 1 and keys[-2] == "hashes":
        return hash_kind(keys[-1])
    return kind


def _values_of(comparison: Comparison) -> list[tuple[str, str]]:
    kind = kind_of(comparison.path)
    operator, value = comparison.operator, comparison.value
    if not kind or comparison.negated:
        return []
    if operator == "=":
        candidates: tuple[Any, ...] = (value,)
    elif operator == "IN" and isinstance(value, tuple):
        candidates = value
    elif operator == "ISSUBSET" and kind in _NETWORKS:
        candidates = (value,)
    else:
        return []
    if kind == "autonomous-system":
        candidates = tuple(str(x) if type(x) is int else x for x in candidates)
    return [value_of(kind, x) for x in candidates if isinstance(x, str)]


def value_of(kind: str, value: str) -> tuple[str, str]:
    """Give the canonical value of a kind that a path leads to.

    The end of a connection is told by its look; what looks like nothing is a name.
    """
    if kind != "any address":
        return canonical(kind, value)
    for found in find_values(value):
        if found[0] in grammar.ADDRESSES:
            return found
    return canonical("domain-name", value)
