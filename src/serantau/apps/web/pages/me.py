"""The page of whoever is signed in: who it is here, and what it may do."""

from __future__ import annotations

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.door import page, shown, signed_of
from serantau.rules.role import ROLES


@page("/me")
async def me(request: Asking) -> Response[bytes]:
    """Show one's own account."""
    signed = signed_of(request)
    return await shown(request, "me.html", role=ROLES[signed.caller.role])


HANDLERS = (me,)
