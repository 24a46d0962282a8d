"""The files that pages are drawn with, and the page that shows every component."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from serantau.apps.web.hall import Asking, takes_gzip
from serantau.apps.web.pages import view
from serantau.apps.web.pages.door import page, shown

_FOREVER: Final = "public, max-age=31536000, immutable"


@get("/static/{name:path}", include_in_schema=False)
async def static(request: Asking) -> Response[bytes]:
    """Give a file that pages use; it tells nothing of this node."""
    name = str(request.path_params["name"]).lstrip("/")
    found = view.static(name)
    headers = {"vary": "Accept-Encoding", "etag": f'"{found.version}"'}
    # Whoever names the version may keep it for ever: another one has another address.
    asked = request.query_params.get("v", "")
    headers["cache-control"] = _FOREVER if asked == found.version else "no-cache"
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(b"", status_code=304, headers=headers)
    body = found.body
    if found.packed and takes_gzip(request.headers.get("accept-encoding", "")):
        body, headers["content-encoding"] = found.packed, "gzip"
    return Response(body, media_type=found.media, headers=headers)


@page("/styleguide", open_to_all=True)
async def styleguide(request: Asking) -> Response[bytes]:
    """Show every component that pages are made of."""
    return await shown(request, "styleguide.html")


HANDLERS = (static, styleguide)
