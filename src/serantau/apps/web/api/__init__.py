"""The JSON API under `/api/v1`: what a duty officer does, for programs.

It is for people and programs of the node's own organisation, each with a role; other
parties have TAXII, and here only what the node knows of their own account.
"""

from __future__ import annotations

from litestar import Router

from serantau.apps.web.api import (
    collections,
    description,
    events,
    me,
    objects,
    parties,
    peers,
    quarantine,
    recalls,
    releases,
    users,
)
from serantau.apps.web.api.door import ROOT


def routes() -> Router:
    """Give every route of the API."""
    return Router(
        ROOT,
        route_handlers=[
            *me.HANDLERS,
            *objects.HANDLERS,
            *events.HANDLERS,
            *releases.HANDLERS,
            *recalls.HANDLERS,
            *peers.HANDLERS,
            *parties.HANDLERS,
            *collections.HANDLERS,
            *quarantine.HANDLERS,
            *users.HANDLERS,
            description.openapi,
        ],
    )
