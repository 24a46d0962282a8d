"""The kinds of values that the API takes and gives, each with its limits."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from serantau.clock import instant, taxii_text
from serantau.errors import BadRequest
from serantau.rules.marking import Tlp

# For Python a `$` also stands before a last line break.
END: Final = r"$(?!\n)"
# No control characters: PostgreSQL takes no NUL, and a terminal obeys some of them.
NO_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
PLAIN: Final = rf"^[^{NO_CONTROL}]*{END}"
PARTY: Final = rf"^[a-z0-9][a-z0-9-]{{0,62}}{END}"
ALIAS: Final = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}{END}"
LABEL: Final = rf"^[^{NO_CONTROL}/]{{1,100}}{END}"
USER: Final = rf"^[^{NO_CONTROL}/:]{{1,100}}{END}"
STIX_ID: Final = rf"^[a-z0-9-]{{3,250}}--[0-9a-f-]{{36}}{END}"
# JSON's numbers are exact up to here for everyone.
MOST: Final = 2**53 - 1

_TIME: Final = {"format": "date-time"}
Text = Annotated[str, Meta(max_length=1000, pattern=PLAIN)]
Time = Annotated[str, Meta(extra_json_schema=_TIME)]
PartyName = Annotated[str, Meta(pattern=PARTY)]
Count = Annotated[int, Meta(ge=0)]
Level = Literal[
    "", "TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"
]

# Parameters of a path or a query.
ObjectId = Annotated[str, PathParameter(pattern=STIX_ID, description="A STIX id.")]
PartyId = Annotated[str, PathParameter(pattern=PARTY, description="A party's name.")]
PeerId = Annotated[str, PathParameter(pattern=PARTY, description="A peer's name.")]
CircleId = Annotated[str, PathParameter(pattern=LABEL, description="A circle's name.")]
UserId = Annotated[str, PathParameter(pattern=USER, description="A user's name.")]
AliasId = Annotated[str, PathParameter(pattern=ALIAS, description="Its short name.")]
Number = Annotated[int, PathParameter(ge=1, le=MOST, description="Its number.")]
Limit = Annotated[
    int, QueryParameter(ge=1, le=1000, description="How many to give at most.")
]
After = Annotated[
    int,
    QueryParameter(
        ge=0, le=MOST, description="`after` of the page before; 0 to begin."
    ),
]
Since = Annotated[
    str | None,
    QueryParameter(schema_extra=_TIME, description="Only from this time on."),
]


class Answer(msgspec.Struct, kw_only=True):
    """Something that the API tells."""


class Given(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Something that the API is told."""


def time_of(at: int | None) -> str | None:
    """Write an instant; none, and the zero that stands for never, give none."""
    return taxii_text(at) if at else None


def read_time(text: str, name: str) -> int:
    """Read an instant; all before 1970 are one, since nothing here is so old.

    Raises:
        BadRequest: the text is none.
    """
    try:
        return max(instant(text), 1)
    except (ValueError, OverflowError) as fault:
        raise BadRequest(f"{name}: {fault}.") from fault


def read_level(text: str, name: str) -> Tlp | None:
    """Read a TLP label; empty is none.

    Raises:
        BadRequest: the text is no label.
    """
    try:
        return Tlp.parse(text) if text else None
    except ValueError as fault:
        raise BadRequest(f"{name}: {fault}.") from fault
