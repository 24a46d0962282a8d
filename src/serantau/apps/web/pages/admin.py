"""Running the node: tokens, the policy table, what is kept, jobs, checks, settings."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from litestar import Response

import serantau
from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reading,
    shown,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.settings import settings
from serantau.apps.web.pages.slow import begun
from serantau.desk.checkup import Finding, Level, checkup
from serantau.desk.forget import Forgetting, Forgotten
from serantau.errors import BadRequest
from serantau.records.chores import Chores
from serantau.rules.level import Tlp
from serantau.rules.release import RULES, TABLE
from serantau.rules.role import Power

_DAY: Final = 86_400_000_000
_TOKENS: Final = 200


@page("/admin", Power.ADMIN)
async def admin(request: Asking) -> Response[bytes]:
    """Show what there is to run a node with."""
    return await shown(request, "admin.html")


# Tokens


async def _tokens(
    request: Asking, form: Form | None = None, made: str = "", failed: str = ""
) -> Response[bytes]:
    node = node_of(request)
    found = await reading(request, lambda tx: node.registry.tokens(tx, _TOKENS + 1))
    users = await reading(request, node.registry.users)
    return await shown(
        request,
        "admin-tokens.html",
        status=422 if form is not None and not form.ok else 200,
        rows=found[:_TOKENS],
        more=len(found) > _TOKENS,
        users=[one.name for one in users if not one.disabled],
        now=node.clock.now(),
        form=form,
        failed=failed,
        made=made,
    )


@page("/admin/tokens", Power.ADMIN)
async def tokens(request: Asking) -> Response[bytes]:
    """Show who has tokens; never a token."""
    return await _tokens(request)


@action("/admin/tokens", Power.ADMIN)
async def make_token(request: Asking, form: Form) -> Response[bytes]:
    """Make a token for a user, and show it this once."""
    node = node_of(request)
    user, label = form.line("user", most=200), form.line("label", most=100)
    days = form.whole("days", 1, 3650, default=365)
    if not form.ok:
        return await _tokens(request, form, failed="make")
    expires = node.clock.now() + days * _DAY
    made = await writing(
        request, lambda tx: node.registry.add_token(tx, user, label, expires)
    )
    return await _tokens(request, made=made)


@action("/admin/tokens/end", Power.ADMIN)
async def end_tokens(request: Asking, form: Form) -> Response[bytes]:
    """End the tokens of a user: those of one label, or all."""
    node = node_of(request)
    user, label = form.line("user", most=200), form.line("label", needed=False)
    reason = form.line("reason", most=300)
    if not form.ok:
        return await _tokens(request, form, failed="end")
    await writing(
        request, lambda tx: node.registry.drop_tokens(tx, user, label, reason)
    )
    return gone_to(request, "/admin/tokens", "tokens-ended")


# The policy


@page("/admin/policy", Power.SEE)
async def policy(request: Asking) -> Response[bytes]:
    """Show which rule decides what leaves: the rules' own table, and the settings."""
    config = node_of(request).config
    return await shown(
        request,
        "admin-policy.html",
        levels=list(Tlp),
        table=[
            (str(kind), [cells[level].value for level in Tlp])
            for kind, cells in TABLE.items()
        ],
        rules=list(RULES.items()),
        policy=config.policy,
        handling=config.handling,
    )


# What is kept, and erasing


async def _retention(
    request: Asking, form: Form | None = None, counted: Forgotten | None = None
) -> Response[bytes]:
    config = node_of(request).config
    return await shown(
        request,
        "admin-retention.html",
        status=422 if form is not None and not form.ok else 200,
        audit=config.audit,
        lane=config.lane,
        contacts=config.contacts,
        form=form,
        counted=counted,
    )


@page("/admin/retention", Power.ADMIN)
async def retention(request: Asking) -> Response[bytes]:
    """Show what is kept for how long, and ask what is to be erased of the logs."""
    return await _retention(request)


@action("/admin/retention", Power.ADMIN)
async def erase(request: Asking, form: Form) -> Response[bytes]:
    """Count what would be erased of the logs; with `sure`, erase it."""
    node, _ = node_of(request), words_of(request)
    person = form.line("person", needed=False, most=200)
    object_id = form.line("object", needed=False, most=200)
    reason = form.line("reason", most=300)
    if bool(person) == bool(object_id):
        form.fault("person", _("Name one person, or one object."))
    if not form.ok:
        return await _retention(request, form)
    now, forgetting = node.clock.now(), Forgetting(node)
    if not form.ticked("sure"):
        counted = await doing(
            request,
            lambda: forgetting.count(actor=person, object_id=object_id, until=now),
        )
        return await _retention(request, form, counted)
    try:
        await doing(
            request,
            lambda: forgetting.erase(
                reason=reason, actor=person, object_id=object_id, until=now
            ),
        )
    except BadRequest as fault:
        form.fault("reason", str(fault))
        return await _retention(request, form)
    return gone_to(request, "/admin/retention", "log-erased")


# Jobs and checks


@page("/admin/jobs", Power.ADMIN)
async def jobs(request: Asking) -> Response[bytes]:
    """Show what the node does by the clock, and how the last time went."""
    found = await reading(request, Chores().all)
    return await shown(
        request, "admin-jobs.html", rows=found, now=node_of(request).clock.now()
    )


@page("/admin/checks", Power.ADMIN)
async def checks(request: Asking) -> Response[bytes]:
    """Check the node as `serantau doctor` does, when somebody asks for it."""
    node, found = node_of(request), None
    if "run" in request.query_params:

        def work() -> list[Finding]:
            return list(checkup(node.home, os.environ, clock=node.clock, peers=False))

        found = await begun(request, "checkup", work)
    order = [Level.FAIL, Level.WARN, Level.OK]
    rows = sorted(found or (), key=lambda one: order.index(one.level))
    return await shown(
        request,
        "admin-checks.html",
        rows=rows,
        counts={str(level): sum(one.level is level for one in rows) for level in order},
        asked="run" in request.query_params,
        going="run" in request.query_params and found is None,
    )


# Settings and licences


@page("/admin/settings", Power.ADMIN)
async def settings_page(request: Asking) -> Response[bytes]:
    """Show every setting, and where it came from; no secret among them."""
    config = node_of(request).config
    rows = await doing(request, lambda: settings(config))
    return await shown(request, "admin-settings.html", rows=rows)


@cache
def _vendor() -> list[dict[str, str]]:
    held = files("serantau.apps.web").joinpath("static/vendor/vendor.toml")
    found: list[dict[str, str]] = tomllib.loads(held.read_text(encoding="utf-8"))[
        "file"
    ]
    seen = {(one["package"], one["licence_file"]): one for one in found}
    return list(seen.values())


@page("/admin/about")
async def about(request: Asking) -> Response[bytes]:
    """Tell the version, and whose work is used under which licence."""
    return await shown(
        request, "admin-about.html", version=serantau.__version__, rows=_vendor()
    )


HANDLERS: tuple[Any, ...] = (
    admin,
    tokens,
    make_token,
    end_tokens,
    policy,
    retention,
    erase,
    jobs,
    checks,
    settings_page,
    about,
)
