"""How the API tells a fault: one shape for all of them."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import msgspec
from litestar.exceptions import HTTPException

from serantau.errors import SerantauError

_INSIDE_KIND: Final = "inside"
_INSIDE: Final = "The node's log tells more under this request id."


class Fault(msgspec.Struct, frozen=True):
    """What went wrong.

    type: which kind of fault, for a program. message: what happened, for a person.
    mend: how to put it right, where that is known. request_id: the node's log has it.
    """

    type: str
    message: str
    mend: str
    request_id: str


class Failed(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: Fault


def failed(fault: Exception, status: int, request_id: str) -> bytes:
    """Write the body that tells of an exception; of our own faults only the kind."""
    if isinstance(fault, SerantauError):
        message = _INSIDE if fault.ours else fault.message
        mend = "" if fault.ours else fault.mend
        told = Fault(_kind(type(fault)), message, mend, request_id)
    elif isinstance(fault, HTTPException) and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = _KINDS.get(status) or _kebab(HTTPStatus(status).phrase)
        told = Fault(kind, _said(fault), "", request_id)
    else:
        told = Fault(_INSIDE_KIND, _INSIDE, "", request_id)
    return msgspec.json.encode(Failed(told))


def kinds() -> dict[str, tuple[int, str]]:
    """Give what `type` may be, with HTTP status and meaning."""
    found = {"method-not-allowed": (405, "This path has no such method.")}
    above: list[type[SerantauError]] = [SerantauError]
    while above:
        one = above.pop(0)
        found[_kind(one)] = (one.status, one().title)
        # The tree of errors is one module; a program beside the doors may have more.
        above += [
            each for each in one.__subclasses__() if each.__module__ == one.__module__
        ]
    return found


def _kind(error: type[SerantauError]) -> str:
    return _INSIDE_KIND if error is SerantauError else _kebab(error.__name__)


# Where the class that the same status has elsewhere is named otherwise than HTTP does.
_KINDS: Final = {413: "too-large", 415: "unsupported-media", 422: "bad-input"}


def _said(fault: HTTPException) -> str:
    found = [
        f"{each.get('key', '')}: {each.get('message', '')}".removeprefix(": ")
        for each in (fault.extra if isinstance(fault.extra, list) else [])
        if isinstance(each, dict)
    ]
    # The framework's own sentence repeats the whole address, also what was searched.
    return "; ".join(found) or str(fault.detail)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[ _]+", "-", name).lower()
