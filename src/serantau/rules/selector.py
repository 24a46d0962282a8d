"""Granular markings: what a selector names, and an object without it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

Path = tuple[str | int, ...]

_is_index: Final = re.compile(r"\[(0|[1-9][0-9]{0,8})\]").fullmatch


def path_of(data: dict[str, Any], selector: str) -> Path:
    """Give the path that a selector names, empty when nothing is there.

    STIX 2.1 §7.2.3.2: steps joined by full stops, `[n]` for a member of a list.
    """
    path: list[str | int] = []
    here: Any = data
    for step in selector.split("."):
        index = _is_index(step)
        if index is not None and type(here) is list and int(index[1]) < len(here):
            number = int(index[1])
            path.append(number)
            here = here[number]
        elif type(here) is dict and step in here:
            path.append(step)
            here = here[step]
        else:
            return ()
    return tuple(path)


def without(data: dict[str, Any], paths: Iterable[Path]) -> None:
    """Take what the paths name out of the object, in place.

    Members of lists are taken out, not blanked, from the last to the first, so that
    what is left tells nothing about how many went. A list or object that becomes empty
    goes too (STIX 2.1 §3.1 has no empty ones).
    """
    chosen = set(paths)
    ordered = sorted(chosen, key=lambda path: [_order(step) for step in path])
    for path in reversed(ordered):
        if not any(path[:length] in chosen for length in range(1, len(path))):
            _remove(data, path)


def _order(step: str | int) -> tuple[bool, int, str]:
    return (True, step, "") if isinstance(step, int) else (False, 0, step)


def _remove(data: dict[str, Any], path: Path) -> None:
    above: list[Any] = [data]
    for step in path[:-1]:
        above.append(above[-1][step])
    for holder, step in zip(reversed(above), reversed(path), strict=True):
        del holder[step]
        if holder:
            return
