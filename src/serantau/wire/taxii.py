"""TAXII 2.1 as text: media types, what a query says, and the resources as bytes.

Nothing here touches a socket or the store. The server (`apps.taxii`) and the client
(`wire.client`) say the same words because both take them from here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import orjson

from serantau.clock import instant, taxii_text
from serantau.errors import (
    BadInput,
    BadRequest,
    NotAcceptable,
    TooLarge,
    UnsupportedMedia,
)

TYPE: Final = "application/taxii+json"
VERSION: Final = "2.1"
MEDIA_TYPE: Final = f"{TYPE};version={VERSION}"
STIX_MEDIA_TYPE: Final = f"application/stix+json;version={VERSION}"
STIX_VERSION: Final = "2.1"

# TAXII 2.1 §8.2.1: discovery is found at this path of every server.
DISCOVERY: Final = "/taxii2/"
API_ROOT: Final = "/taxii2/serantau/"

FIRST_HEADER: Final = "X-TAXII-Date-Added-First"
LAST_HEADER: Final = "X-TAXII-Date-Added-Last"
REALM_HEADER: Final = "Serantau-Realm"
# In a question: wanted. In an answer: the receipt for the page (rules.head).
RECEIPT_HEADER: Final = "Serantau-Receipt"
WANTED: Final = "wanted"

# What each endpoint's `match` may name (TAXII 2.1 §5.3 to §5.8).
MATCH_OBJECTS: Final = frozenset({"id", "spec_version", "type", "version"})
MATCH_OBJECT: Final = frozenset({"spec_version", "version"})
MATCH_VERSIONS: Final = frozenset({"spec_version"})

_PLAIN: Final = frozenset({"added_after", "limit", "next"})
_MATCH: Final = re.compile(r"match\[([^\[\]]*)\]")
_DIGITS: Final = re.compile(r"[0-9]{1,100}")
_TYPE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,249}")
_OBJECT_ID: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,249}--[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)
_SPEC: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_LIST_MEMBERS: Final = 1000
_PARAMETERS: Final = 32
_STAMP_BYTES: Final = 8
_SUM_BYTES: Final = 4
_LARGEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Query:
    """What a caller asks for. Fields are ANDed, the members of one are ORed.

    after: only what was added after this instant, -1 for all. limit: objects on the
    page, None when the caller leaves it to the server. types, ids: empty for all.
    last, first, all_versions, at (instants): which versions; versioned: the
    caller said so. nothing: the filters can match no STIX 2.1 object.
    """

    after: int = -1
    limit: int | None = None
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    last: bool = True
    first: bool = False
    all_versions: bool = False
    at: tuple[int, ...] = ()
    versioned: bool = False
    nothing: bool = False


class ManifestLine(Protocol):
    """One version in a manifest: `added` and `object` are stamps (instants)."""

    @property
    def id(self) -> str:
        """The STIX id."""
        ...

    @property
    def added(self) -> int:
        """The stamp in the caller's view."""
        ...

    @property
    def version(self) -> str:
        """The version's text; empty when the object has none."""
        ...

    @property
    def object(self) -> int:
        """The object version's own stamp."""
        ...


def _media(text: str) -> tuple[str, dict[str, str]]:
    """Split "type/subtype; name=value" into its type and its parameters."""
    kind, *rest = text.split(";")
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return kind.strip().lower(), parameters


def _refused_by_weight(parameters: Mapping[str, str]) -> bool:
    try:
        return float(parameters.get("q", "1")) == 0
    except ValueError:
        return False


def check_accept(accept: str | None) -> None:
    """Make sure that the caller takes TAXII 2.1.

    TAXII 2.1 §3.1: a media type that is defined for an endpoint, with or without its
    version, must not result in 406.

    Raises:
        NotAcceptable: every type asked for is another one.
    """
    if accept is None or not accept.strip():
        return
    for one in accept.split(","):
        kind, parameters = _media(one)
        if _refused_by_weight(parameters):
            continue
        if kind in {"*/*", "application/*"}:
            return
        if kind == TYPE and parameters.get("version", VERSION) == VERSION:
            return
    raise NotAcceptable(
        f"Accept is {_shown(accept)}, and this server gives {MEDIA_TYPE!r} only."
    )


def check_content_type(content_type: str | None) -> None:
    """Make sure that a body says it is TAXII 2.1.

    Raises:
        UnsupportedMedia: it says something else, or nothing.
    """
    kind, parameters = _media(content_type or "")
    utf8 = parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}
    if kind != TYPE or parameters.get("version", VERSION) != VERSION or not utf8:
        raise UnsupportedMedia(
            f"Content-Type is {_shown(content_type or '')}, expected {MEDIA_TYPE!r}."
        )


def _shown(text: str) -> str:
    """Quote what a caller wrote, and no more of it than a person reads."""
    return repr(text if len(text) <= 80 else text[:80] + "...")


def read_query(raw: bytes | str, match: frozenset[str]) -> Query:
    """Read a query string whose `match` fields may be those in `match`.

    Parameters that TAXII does not define are left alone: proxies and clients add them.

    Raises:
        BadRequest: malformed, repeated or without meaning here (TAXII 2.1 §3.4).
    """
    try:
        text = raw.decode("ascii") if isinstance(raw, bytes) else raw
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS
        )
    except ValueError as fault:
        raise BadRequest(f"The query string cannot be read: {fault}.") from fault
    given: dict[str, str] = {}
    for name, value in pairs:
        field = _MATCH.fullmatch(name)
        if field is None and name.startswith("match"):
            raise BadRequest(f"{_shown(name)} is not of the form match[FIELD].")
        if field is not None and field[1] not in match:
            raise BadRequest(
                f"{_shown(name)} has no meaning here, expected a field of "
                f"{', '.join(sorted(match))}."
            )
        if field is None and name not in _PLAIN:
            continue
        if name in given:
            raise BadRequest(
                f"{name} is given more than once.",
                mend="Several values go into one parameter, with commas.",
            )
        given[name] = value
    after = max(
        _added_after(given["added_after"]) if "added_after" in given else -1,
        read_next(given["next"]) if "next" in given else -1,
    )
    specs = _members(given, "spec_version", _SPEC, "a version such as 2.1")
    return Query(
        after=after,
        limit=_limit(given["limit"]) if "limit" in given else None,
        types=_members(given, "type", _TYPE_NAME, "a STIX type"),
        ids=_members(given, "id", _OBJECT_ID, "a STIX id"),
        # Every object here is of STIX 2.1, and the latest is what a caller gets who
        # does not say (TAXII 2.1 §3.4.1).
        nothing=bool(specs) and STIX_VERSION not in specs,
        **_versions(given),
    )


def is_object_id(text: str) -> bool:
    """Say whether a text has the form of a STIX id."""
    return _OBJECT_ID.fullmatch(text) is not None


def _members(
    given: Mapping[str, str], field: str, form: re.Pattern[str], meaning: str
) -> tuple[str, ...]:
    name = f"match[{field}]"
    if name not in given:
        return ()
    members = given[name].split(",")
    if len(members) > _LIST_MEMBERS:
        raise BadRequest(
            f"{name} has {len(members)} members, expected at most {_LIST_MEMBERS}."
        )
    for member in members:
        if form.fullmatch(member) is None:
            raise BadRequest(f"{name} has {_shown(member)}, expected {meaning}.")
    return tuple(dict.fromkeys(members))


def _versions(given: Mapping[str, str]) -> dict[str, Any]:
    text = given.get("match[version]")
    if text is None:
        return {}
    members = text.split(",")
    if "all" in members and len(members) > 1:
        # TAXII 2.1 §3.4.1: `all` stands alone.
        raise BadRequest("match[version] has 'all' beside others, expected it alone.")
    if len(members) > _LIST_MEMBERS:
        raise BadRequest(
            f"match[version] has {len(members)} members, "
            f"expected at most {_LIST_MEMBERS}."
        )
    words = {"all", "first", "last"}
    return {
        "versioned": True,
        "last": "last" in members,
        "first": "first" in members,
        "all_versions": "all" in members,
        "at": tuple(
            dict.fromkeys(
                _instant("match[version]", member)
                for member in members
                if member not in words
            )
        ),
    }


def _instant(name: str, text: str) -> int:
    try:
        return instant(text)
    except (ValueError, OverflowError) as fault:
        raise BadRequest(
            f"{name} has {_shown(text)}, expected a time such as "
            "2026-01-31T12:00:00.000000Z."
        ) from fault


def _added_after(text: str) -> int:
    return max(_instant("added_after", text), -1)


def _limit(text: str) -> int:
    if _DIGITS.fullmatch(text) is None or int(text) == 0:
        raise BadRequest(f"limit is {_shown(text)}, expected a whole number above 0.")
    return min(int(text), _LARGEST)


def write_next(stamp: int) -> str:
    """Give the `next` that goes on after `stamp`. The same one gives the same page."""
    place = stamp.to_bytes(_STAMP_BYTES, "big")
    return base64.urlsafe_b64encode(place + _sum(place)).decode()


def read_next(text: str) -> int:
    """Give the stamp after which a `next` goes on.

    Raises:
        BadRequest: this server did not make it.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as fault:
        raise BadRequest(
            f"next is {_shown(text)}, which this server did not give."
        ) from fault
    place, checksum = raw[:_STAMP_BYTES], raw[_STAMP_BYTES:]
    stamp = int.from_bytes(place, "big")
    if checksum != _sum(place) or stamp > _LARGEST:
        raise BadRequest(f"next is {_shown(text)}, which this server did not give.")
    return stamp


def _sum(place: bytes) -> bytes:
    # Against slips of the hand: where a page starts is no secret, since every page
    # holds only what its caller may have.
    return hashlib.blake2b(place, digest_size=_SUM_BYTES, person=b"taxii-next").digest()


def discovery(title: str, description: str, base_url: str = "") -> bytes:
    """Write the discovery resource (TAXII 2.1 §4.1.1) with the one API root.

    Its address is relative, unless the node is known by an https address.
    """
    root = API_ROOT
    if base_url.startswith("https://"):
        root = base_url.rstrip("/") + API_ROOT
    return orjson.dumps(
        {
            "title": title,
            "description": description,
            "default": root,
            "api_roots": [root],
        }
    )


def api_root(
    title: str, description: str, max_content_length: int, custom: Mapping[str, str]
) -> bytes:
    """Write the API root resource (TAXII 2.1 §4.2.1) with custom properties."""
    return orjson.dumps(
        {
            "title": title,
            "description": description,
            "versions": [MEDIA_TYPE],
            "max_content_length": max_content_length,
            **custom,
        }
    )


def collection(
    *,
    id: str,
    alias: str,
    title: str,
    description: str,
    can_read: bool,
    can_write: bool,
) -> dict[str, Any]:
    """Give a collection resource (TAXII 2.1 §5.2.1)."""
    found: dict[str, Any] = {
        "id": id,
        "title": title,
        "can_read": can_read,
        "can_write": can_write,
        "media_types": [STIX_MEDIA_TYPE],
    }
    if description:
        found["description"] = description
    if alias:
        found["alias"] = alias
    return found


def collections(resources: Sequence[Mapping[str, Any]]) -> bytes:
    """Write the collections resource (TAXII 2.1 §5.1.1); no empty lists (§2)."""
    return orjson.dumps({"collections": resources} if resources else {})


def collections_entry(resource: Mapping[str, Any]) -> bytes:
    """Write one collection resource, equal to its entry in the list (§5.2)."""
    return orjson.dumps(resource)


def envelope(bodies: bytes, *, after: int | None) -> bytes:
    """Write an envelope (TAXII 2.1 §3.7) around objects that are JSON text already.

    Args:
        bodies: the objects, joined by commas; empty for none.
        after: the stamp to go on behind when there is more, else None.
    """
    if after is None:
        return b"".join((b'{"objects":[', bodies, b"]}")) if bodies else b"{}"
    following = write_next(after).encode()
    if not bodies:
        return b"".join((b'{"more":true,"next":"', following, b'"}'))
    return b"".join(
        (b'{"more":true,"next":"', following, b'","objects":[', bodies, b"]}")
    )


def version_text(line: ManifestLine) -> str:
    """Give a version's name: `modified`, else `created`, else a time that stays."""
    return line.version or taxii_text(line.object)


def manifest(lines: Sequence[ManifestLine], *, after: int | None) -> bytes:
    """Write a manifest (TAXII 2.1 §5.3.1); `after` as for an envelope."""
    return _listed(
        "objects",
        [
            {
                "id": line.id,
                "date_added": taxii_text(line.added),
                "version": version_text(line),
                "media_type": STIX_MEDIA_TYPE,
            }
            for line in lines
        ],
        after,
    )


def versions(lines: Sequence[ManifestLine], *, after: int | None) -> bytes:
    """Write the versions resource (TAXII 2.1 §5.8.1) of one object."""
    return _listed("versions", [version_text(line) for line in lines], after)


def _listed(name: str, items: list[Any], after: int | None) -> bytes:
    found: dict[str, Any] = {}
    if after is not None:
        found = {"more": True, "next": write_next(after)}
    if items:
        found[name] = items
    return orjson.dumps(found)


def status(resource: Mapping[str, Any]) -> bytes:
    """Write a status resource (TAXII 2.1 §4.3.1), leaving empty lists out (§2)."""
    return orjson.dumps({name: held for name, held in resource.items() if held != []})


def error(title: str, description: str, status_code: int, error_id: str) -> bytes:
    """Write an error message (TAXII 2.1 §3.6.1); `http_status` is a string there."""
    found = {
        "title": title,
        "description": description,
        "error_id": error_id,
        "http_status": str(status_code),
    }
    return orjson.dumps({name: held for name, held in found.items() if held})


def date_headers(first: int, last: int) -> dict[str, str]:
    """Give the headers that tell a page's first and last `date_added` (§3.2)."""
    if not first:
        return {}
    return {FIRST_HEADER: taxii_text(first), LAST_HEADER: taxii_text(last)}


def check_utf8(body: bytes) -> None:
    """Make sure that a body is UTF-8, which JSON must be between strangers (RFC 8259).

    Raises:
        BadInput: it is not; says where.
    """
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise BadInput(
            f"The body is not UTF-8: byte {fault.start} is {body[fault.start]:#04x}."
        ) from fault


def content_length(text: str | None, limit: int) -> int | None:
    """Read a Content-Length header, None when there is none.

    Raises:
        BadRequest: it is no number.
        TooLarge: it says more than `limit`, so the body need not be read.
    """
    if text is None:
        return None
    if _DIGITS.fullmatch(text) is None:
        raise BadRequest(f"Content-Length is {_shown(text)}, expected a whole number.")
    if int(text) > limit:
        raise too_large(limit)
    return int(text)


def too_large(limit: int) -> TooLarge:
    """Give the error for a body over `limit` bytes (limits.post_bytes)."""
    return TooLarge(
        f"The body is over limits.post_bytes, {limit} bytes.",
        mend="Send fewer objects in one request.",
    )
