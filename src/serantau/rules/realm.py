"""Realms: the live one, and one for each exercise. What is of one stays in it.

What an exercise hands out says so at its head: a bundle by a property, a MISP event by
a tag, a mail and an answer by a header. What says nothing is taken for the reader's
own, since most of the world knows no realms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

LIVE: Final = "live"
PROPERTY: Final = "x_serantau_realm"
"""Of an object, a bundle and an API root: the realm that it is of."""
_TAG: Final = re.compile(r'serantau:realm="([^"]*)"')
_SHOWN: Final = 80


def tag_of(realm: str) -> str:
    """Give the MISP tag that says a realm."""
    return f'serantau:realm="{realm}"'


def realm_of_tags(event: Mapping[str, Any]) -> str:
    """Give the realm that a MISP event's tags say; empty for none."""
    tags = event.get("Tag")
    for tag in tags if isinstance(tags, list) else ():
        name = tag.get("name") if isinstance(tag, dict) else None
        found = _TAG.fullmatch(name) if isinstance(name, str) else None
        if found is not None:
            return found[1]
    return ""


def refusal(what: str, theirs: str, own: str) -> str:
    """Say why something does not come in; empty when it may.

    Args:
        what: comes, as a sentence begins: "This bundle".
        theirs: the realm that it says; empty when it says none.
        own: this node's.
    """
    if not theirs or theirs == own:
        return ""
    said = "".join(one if one.isprintable() else " " for one in theirs)[:_SHOWN]
    return f"{what} is of another realm: {said}, expected {own}. Realms never mix."
