"""The TAXII 2.1 server. What a caller sees is always that caller's own release.

Every answer, errors too, is `application/taxii+json;version=2.1` (TAXII 2.1 §3.1). Who
is asking comes first, then whether they take this media type, then what they ask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from litestar import Response, Router, delete, get, post
from litestar.params import FromPath

from serantau.apps.web.hall import Asking, Hall, Heads, Lane, hall_of
from serantau.desk.share import Offer
from serantau.errors import Forbidden, NotFound
from serantau.records.registry import Caller
from serantau.records.views import Asked
from serantau.wire import taxii
from serantau.wire.taxii import Query

WAY: Final = "taxii"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LOGGED: Final = 500
ROOT: Final = taxii.API_ROOT.rstrip("/")
_PAGE: Final = re.compile(rf"{ROOT}/collections/([^/]+)/objects/?")


async def _respond(
    request: Asking,
    body: bytes,
    *,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    packing = request.headers.get("accept-encoding", "")
    packed, more = await hall_of(request).packed(packing, body)
    return Response(
        packed,
        status_code=status_code,
        media_type=taxii.MEDIA_TYPE,
        headers={**(headers or {}), **more},
    )


def _offer(hall: Hall, caller: Caller, name: str) -> Offer:
    """Give a collection that the caller may know of."""
    if _NAME.fullmatch(name) is None:
        raise NotFound("There is no such collection.")
    return hall.share.offer(caller, name)


def _resource(offer: Offer) -> dict[str, Any]:
    held = offer.collection
    return taxii.collection(
        id=held.id,
        alias=held.alias,
        title=held.title,
        description=held.description,
        can_read=offer.can_read,
        can_write=offer.can_write,
    )


def _asked(query: Query, most: int) -> Asked:
    return Asked(
        after=query.after,
        limit=min(query.limit or most, most),
        types=query.types,
        ids=query.ids,
        last=query.last,
        first=query.first,
        all_versions=query.all_versions,
        at=query.at,
    )


def _ask(
    hall: Hall, scope: Mapping[str, Any], match: frozenset[str], object_id: str = ""
) -> tuple[Query, Asked, str]:
    """Read the question: as written, for the store, and as text for the release log."""
    raw = scope["query_string"]
    query = taxii.read_query(raw, match)
    if object_id:
        # An id that is none names nothing, as one that is not here does.
        if not taxii.is_object_id(object_id):
            raise NotFound("There is no such object.")
        query = replace(query, ids=(object_id,))
    asked = _asked(query, hall.node.config.limits.page)
    path = scope["path"].rstrip("/")
    text = raw.decode("ascii", "replace")[:_LOGGED]
    return query, asked, f"{path}?{text}" if text else path


@get("/taxii2")
async def discovery(request: Asking) -> Response[bytes]:
    """Tell where the API root is (TAXII 2.1 §4.1)."""
    hall = hall_of(request)
    await hall.as_caller(request, lambda caller: caller)
    taxii.check_accept(request.headers.get("accept"))
    config = hall.node.config
    body = taxii.discovery(
        title=f"Serantau node {config.node.member}",
        description=config.node.team,
        base_url=config.http.base_url,
    )
    return await _respond(request, body)


@get(ROOT)
async def api_root(request: Asking) -> Response[bytes]:
    """Tell about the API root (TAXII 2.1 §4.2)."""
    hall = hall_of(request)
    await hall.as_caller(request, lambda caller: caller)
    taxii.check_accept(request.headers.get("accept"))
    config = hall.node.config
    body = taxii.api_root(
        title=f"Serantau node {config.node.member}",
        description=config.node.team,
        max_content_length=config.limits.post_bytes,
        custom={
            "x_serantau_member": config.node.member,
            "x_serantau_realm": config.node.realm,
            "x_serantau_identity": config.node.identity,
        },
    )
    return await _respond(request, body)


@get(f"{ROOT}/status/{{status_id:str}}")
async def status(request: Asking, status_id: FromPath[str]) -> Response[bytes]:
    """Tell what became of a POST (TAXII 2.1 §4.3)."""
    hall = hall_of(request)

    def work(caller: Caller) -> bytes:
        taxii.check_accept(request.headers.get("accept"))
        if _NAME.fullmatch(status_id) is None:
            raise NotFound("There is no such status.")
        return hall.intake.status(caller, status_id)

    return await _respond(request, await hall.as_caller(request, work))


@get(f"{ROOT}/collections")
async def collections(request: Asking) -> Response[bytes]:
    """List the collections that the caller may know of (TAXII 2.1 §5.1)."""
    hall = hall_of(request)

    def work(caller: Caller) -> bytes:
        taxii.check_accept(request.headers.get("accept"))
        return taxii.collections(
            [_resource(each) for each in hall.share.offers(caller)]
        )

    return await _respond(request, await hall.as_caller(request, work))


@get(f"{ROOT}/collections/{{name:str}}")
async def collection(request: Asking, name: FromPath[str]) -> Response[bytes]:
    """Tell about one collection (TAXII 2.1 §5.2)."""
    hall = hall_of(request)

    def work(caller: Caller) -> bytes:
        taxii.check_accept(request.headers.get("accept"))
        return taxii.collections_entry(_resource(_offer(hall, caller, name)))

    return await _respond(request, await hall.as_caller(request, work))


def asks_for_page(method: str, path: str) -> str:
    """Give the name of the collection whose objects are asked for, else nothing."""
    found = _PAGE.fullmatch(path) if method == "GET" else None
    return found[1] if found is not None else ""


async def page(
    hall: Hall, scope: Mapping[str, Any], name: str, request_id: str
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Give a page of objects (TAXII 2.1 §5.4), as body and headers.

    For the application to call without its router: what that does around a handler
    takes as long as half a page.
    """
    heads = Heads(scope)

    def work(caller: Caller) -> tuple[bytes, dict[str, str]]:
        return _read(hall, caller, heads, scope, name, taxii.MATCH_OBJECTS)

    body, headers = await hall.page(request_id, heads, work)
    packed, more = await hall.packed(heads.accept_encoding, body)
    fields = {**headers, **more, "content-type": taxii.MEDIA_TYPE}
    raw = [(key.lower().encode(), value.encode()) for key, value in fields.items()]
    raw.append((b"content-length", str(len(packed)).encode()))
    return packed, raw


@get(f"{ROOT}/collections/{{name:str}}/objects")
async def objects(request: Asking, name: FromPath[str]) -> Response[bytes]:
    """Give a page of objects by any path that the router takes for the same."""
    body, headers = await _page(request, name, taxii.MATCH_OBJECTS)
    return await _respond(request, body, headers=headers)


@get(f"{ROOT}/collections/{{name:str}}/objects/{{object_id:str}}")
async def object_(
    request: Asking, name: FromPath[str], object_id: FromPath[str]
) -> Response[bytes]:
    """Give one object's versions (TAXII 2.1 §5.6)."""
    body, headers = await _page(request, name, taxii.MATCH_OBJECT, object_id)
    return await _respond(request, body, headers=headers)


async def _page(
    request: Asking, name: str, match: frozenset[str], object_id: str = ""
) -> tuple[bytes, dict[str, str]]:
    hall = hall_of(request)
    heads = Heads(request.scope)

    def work(caller: Caller) -> tuple[bytes, dict[str, str]]:
        return _read(hall, caller, heads, request.scope, name, match, object_id)

    return await hall.as_caller(request, work)


def _read(
    hall: Hall,
    caller: Caller,
    heads: Heads,
    scope: Mapping[str, Any],
    name: str,
    match: frozenset[str],
    object_id: str = "",
) -> tuple[bytes, dict[str, str]]:
    """Read an envelope of objects, and the headers that tell its dates."""
    taxii.check_accept(heads.accept)
    offer = _readable(_offer(hall, caller, name))
    query, asked, question = _ask(hall, scope, match, object_id)
    if query.nothing:
        return taxii.envelope(b"", after=None), {}
    page = hall.share.page(
        caller,
        offer.collection,
        asked,
        way=WAY,
        request=question,
        receipt=heads.receipt == taxii.WANTED,
    )
    if object_id and not page.count and query.after < 0:
        raise NotFound("There is no such object, or no such version of it.")
    hall.metrics.released.inc(page.count)
    body = taxii.envelope(page.bodies, after=page.after if page.more else None)
    headers = taxii.date_headers(page.first, page.last)
    if page.receipt:
        headers[taxii.RECEIPT_HEADER] = page.receipt
    return body, headers


def _readable(offer: Offer) -> Offer:
    if not offer.can_read:
        raise Forbidden(
            f"Collection {offer.collection.alias!r} may not be read by you."
        )
    return offer


@get(f"{ROOT}/collections/{{name:str}}/manifest")
async def manifest(request: Asking, name: FromPath[str]) -> Response[bytes]:
    """List what is in a collection, without the objects (TAXII 2.1 §5.3)."""
    return await _lines(request, name, taxii.MATCH_OBJECTS)


@get(f"{ROOT}/collections/{{name:str}}/objects/{{object_id:str}}/versions")
async def versions(
    request: Asking, name: FromPath[str], object_id: FromPath[str]
) -> Response[bytes]:
    """List the versions of one object (TAXII 2.1 §5.8)."""
    return await _lines(request, name, taxii.MATCH_VERSIONS, object_id)


async def _lines(
    request: Asking, name: str, match: frozenset[str], object_id: str = ""
) -> Response[bytes]:
    hall = hall_of(request)

    def work(caller: Caller) -> tuple[bytes, dict[str, str]]:
        taxii.check_accept(request.headers.get("accept"))
        offer = _readable(_offer(hall, caller, name))
        query, asked, question = _ask(hall, request.scope, match, object_id)
        write = taxii.manifest
        if object_id:
            write, asked = taxii.versions, replace(asked, all_versions=True)
        if query.nothing:
            return write([], after=None), {}
        lines, after = hall.share.lines(
            caller, offer.collection, asked, way=WAY, request=question
        )
        if object_id and not lines and query.after < 0:
            raise NotFound("There is no such object.")
        dates = (lines[0].added, lines[-1].added) if lines else (0, 0)
        return write(lines, after=after), taxii.date_headers(*dates)

    body, headers = await hall.as_caller(request, work)
    return await _respond(request, body, headers=headers)


@post(f"{ROOT}/collections/{{name:str}}/objects")
async def add_objects(request: Asking, name: FromPath[str]) -> Response[bytes]:
    """Take in an envelope (TAXII 2.1 §5.5)."""
    hall = hall_of(request)

    def may(caller: Caller) -> None:
        taxii.check_accept(request.headers.get("accept"))
        offer = _offer(hall, caller, name)
        if not offer.can_write:
            raise Forbidden(
                f"Collection {offer.collection.alias!r} may not be written by you."
            )
        taxii.check_content_type(request.headers.get("content-type"))

    # Before a hundred megabytes are received, it is known that they may be.
    await hall.as_caller(request, may)
    raw = await hall.body(request)

    def work(caller: Caller) -> bytes:
        taxii.check_utf8(raw)
        offer = _offer(hall, caller, name)
        return taxii.status(hall.intake.post(caller, offer.collection, raw))

    body = await hall.as_caller(request, work, Lane.WRITE)
    # TAXII 2.1 §5.5: 202 even when every object is a duplicate or refused.
    return await _respond(request, body, status_code=202)


@delete(f"{ROOT}/collections/{{name:str}}/objects/{{object_id:str}}", status_code=200)
async def delete_object(
    request: Asking, name: FromPath[str], object_id: FromPath[str]
) -> Response[bytes]:
    """Take an object's versions out of a collection (TAXII 2.1 §5.7)."""
    hall = hall_of(request)

    def work(caller: Caller) -> bytes:
        taxii.check_accept(request.headers.get("accept"))
        offer = _offer(hall, caller, name)
        # TAXII 2.1 §5.7: it takes both rights; with one of the two this is 403.
        if not (offer.can_read and offer.can_write):
            raise Forbidden(
                f"Deleting from {offer.collection.alias!r} takes the right to read and "
                "the right to write."
            )
        query, asked, _ = _ask(hall, request.scope, taxii.MATCH_OBJECT, object_id)
        if not query.versioned:
            # The standard leaves open what goes without match[version]: all of it.
            asked = replace(asked, all_versions=True)
        if query.nothing or not hall.share.delete(caller, offer.collection, asked):
            raise NotFound("There is no such object, or no such version of it.")
        return b"{}"

    return await _respond(request, await hall.as_caller(request, work, Lane.WRITE))


def routes() -> Router:
    """Give every route of the TAXII server."""
    return Router(
        "/",
        route_handlers=[
            discovery,
            api_root,
            status,
            collections,
            collection,
            objects,
            object_,
            manifest,
            versions,
            add_objects,
            delete_object,
        ],
        include_in_schema=False,
    )
