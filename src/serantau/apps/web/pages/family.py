"""Every family of pages, as routes."""

from __future__ import annotations

from typing import Any, Final

from litestar import Router

from serantau.apps.web.pages import (
    admin,
    audit,
    batches,
    behalf,
    case,
    case_acts,
    case_guest,
    cases,
    contact_drills,
    contacts_book,
    elsewhere,
    event,
    events,
    factor,
    feeds,
    home,
    invited,
    keys,
    live,
    look,
    matrix,
    me,
    members,
    notices,
    now,
    object_edit,
    object_page,
    objects,
    peers,
    people,
    quarantine,
    questions,
    recalls,
    release_log,
    second,
    share,
    shift,
    signin,
    simulate,
)

FAMILIES: Final[tuple[Any, ...]] = (
    admin,
    audit,
    batches,
    behalf,
    case,
    case_acts,
    case_guest,
    cases,
    contact_drills,
    contacts_book,
    elsewhere,
    event,
    events,
    factor,
    feeds,
    home,
    invited,
    keys,
    live,
    look,
    matrix,
    me,
    members,
    notices,
    now,
    object_edit,
    object_page,
    objects,
    peers,
    people,
    quarantine,
    questions,
    recalls,
    release_log,
    second,
    share,
    shift,
    signin,
    simulate,
)


def routes() -> Router:
    """Give the routes of all pages."""
    handlers = [handler for family in FAMILIES for handler in family.HANDLERS]
    return Router("/", route_handlers=handlers)
