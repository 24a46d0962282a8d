"""The page at `/`: for whoever is signed in the way to work, for others which node."""

from __future__ import annotations

from litestar import Response

import serantau
from serantau.apps.web.hall import Asking, Lane, hall_of, state_of
from serantau.apps.web.pages.door import gone_to, maybe_signed, page, shown
from serantau.apps.web.pages.place import places_of
from serantau.apps.web.status import Counter


@page("/", open_to_all=True)
async def home(request: Asking) -> Response[bytes]:
    """Lead to the first page that this person sees; tell others which node this is."""
    signed = maybe_signed(request)
    if signed is not None:
        places = places_of(signed.powers)
        return gone_to(request, places[0].path if places else "/me")
    counter: Counter = state_of(request).counter
    counts = await hall_of(request).run(Lane.SIDE, counter.counts)
    config = hall_of(request).node.config.node
    return await shown(
        request,
        "home.html",
        counts=counts,
        role=config.role,
        version=serantau.__version__,
    )


HANDLERS = (home,)
