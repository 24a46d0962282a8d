"""Reading STIX patterns in tests, here and with the OASIS package."""

from __future__ import annotations

from stix2patterns.v21.pattern import ParseException
from stix2patterns.v21.pattern import Pattern as OasisPattern
from stix2patterns.v21.validator import DuplicateQualifierTypeError, ValidationListener

from serantau.rules.indicator import Pattern, PatternError, parse


def accepted_by_oasis(text: str) -> bool:
    """Ask the package: its grammar, and its rule on repeated qualifiers.

    Its look at hash values is left out (see the docstring of rules/indicator).
    """
    try:
        OasisPattern(text).walk(ValidationListener())
    except (ParseException, DuplicateQualifierTypeError):
        return False
    return True


def read(text: str) -> Pattern | None:
    try:
        return parse(text)
    except PatternError as error:
        told = error
    assert 0 <= told.position <= len(text)
    assert told.message.startswith("expected ")
    assert str(told) == f"at character {told.position}: {told.message}"
    return None


def same(one: Pattern, other: Pattern) -> bool:
    # The repr tells 1, 1.0 and true apart, which == does not.
    return one == other and repr(one) == repr(other)
