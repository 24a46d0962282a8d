"""Keys: this node's own, to be compared and rotated, and whose keys are believed."""

from __future__ import annotations

from typing import Any

import segno
from litestar import Response
from markupsafe import Markup

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    shown,
    signed_of,
    words_of,
    writing,
)
from serantau.apps.web.pages.form import Form
from serantau.clock import moment
from serantau.desk.keys import Keys
from serantau.desk.signing import card_of, rotate
from serantau.desk.signing import pin as pin_key
from serantau.errors import SerantauError, TheirError
from serantau.node import Node
from serantau.records.pins import PinRow, Pins
from serantau.rules.key import State
from serantau.rules.role import Power
from serantau.rules.trust import Keyring

_SHOWN = 200


def _drawn(text: str, title: str) -> Markup:
    """Draw a text as a QR code: SVG with attributes, no style."""
    code = segno.make(text, error="m")
    return Markup(  # noqa: S704 - segno escapes the title; the rest is numbers
        code.svg_inline(
            scale=4, border=4, dark="#000", light="#fff", title=title, omitsize=False
        )
    )


def _rows(pins: list[PinRow], ring: Keyring) -> list[dict[str, Any]]:
    """Give pins, and below the last of a party what followed by its statements."""
    pinned = {pin.key.id for pin in pins if pin.key}
    rows: list[dict[str, Any]] = []
    done = set()
    for pin in pins:
        ringed = ring.keys.get(pin.identity, ()) if pin.identity else ()
        mine = next((one for one in ringed if pin.key and one.id == pin.key.id), None)
        rows.append(
            {
                "party": pin.party,
                "key": pin.key.id if pin.key else pin.fingerprint,
                "state": str(mine.state) if mine else "waiting",
                "until": mine.until if mine else None,
                "at": pin.at,
                "by": pin.by,
                "fingerprint": pin.fingerprint,
            }
        )
        if pin.identity and pin.identity not in done:
            done.add(pin.identity)
            rows += [
                {
                    "party": pin.party,
                    "key": one.id,
                    "state": str(one.state),
                    "until": one.until,
                    "at": one.since,
                    "by": "",
                    "fingerprint": "",
                }
                for one in ringed
                if one.id not in pinned
            ]
    return rows


def _told(node: Node) -> dict[str, Any]:
    config, key = node.config.node, node.signer.key
    with node.db.read() as tx:
        keys = Keys(node)
        ring, pins, without = keys.ring(tx), keys.pins(tx), keys.parties_without(tx)
        parties = sorted(node.registry.parties(tx))
    card = card_of(config.member, key, config.realm)
    rows = _rows([pin for pin in pins if pin.party != config.member], ring)
    own = ring.keys.get(config.identity, ())
    return {
        "key": key,
        "card": card,
        "code": _drawn(card, f"{config.member} {key.id}"),
        "rows": rows[:_SHOWN],
        "own": [(one, one.state is State.ACTIVE) for one in own],
        "without": without,
        "parties": [name for name in parties if name != config.member],
        "today": f"{moment(node.clock.now()):%Y-%m-%d}",
    }


async def _shown(
    request: Asking, form: Form | None = None, failed: str = ""
) -> Response[bytes]:
    told = await doing(request, lambda: _told(node_of(request)))
    return await shown(
        request,
        "keys.html",
        status=200 if form is None else 422,
        form=form,
        failed=failed,
        asked=request.query_params.get("party", "")[:63],
        **told,
    )


@page("/keys", Power.SEE)
async def keys(request: Asking) -> Response[bytes]:
    """Show this node's key in words and as a code, and whose keys are pinned."""
    return await _shown(request)


@action("/keys/pin", Power.ADMIN)
async def pin(request: Asking, form: Form) -> Response[bytes]:
    """Pin a party's key that a person compared; what waited for it is tried again."""
    node, _ = node_of(request), words_of(request)
    party, text = form.line("party", most=63), form.line("key", most=2000)
    if not form.ticked("compared"):
        form.fault("compared", _("This is needed."))
    actor = signed_of(request).caller.user
    if form.ok:
        try:
            await doing(request, lambda: pin_key(node, party, text, actor))
        except TheirError as fault:
            form.fault("key", str(fault))
    if not form.ok:
        return await _shown(request, form, "pin")
    return gone_to(request, "/keys", "key-pinned")


@action("/keys/unpin", Power.ADMIN)
async def unpin(request: Asking, form: Form) -> Response[bytes]:
    """Believe a key no longer; what it signed stays, as by an unknown key."""
    node, _ = node_of(request), words_of(request)
    party, key = form.line("party", most=63), form.line("key", most=200)
    reason = form.line("reason", most=300)
    if party == node.config.node.member:
        form.fault("key", _("This node's own key is rotated, not unpinned."))
    if not form.ok:
        return await _shown(request, form, "unpin")
    await writing(request, lambda tx: Pins().drop(tx, party, key, reason))
    return gone_to(request, "/keys", "key-unpinned")


@action("/keys/rotate", Power.ADMIN)
async def rotate_key(request: Asking, form: Form) -> Response[bytes]:
    """Sign with a new key from now on, stated with the old one."""
    node, _ = node_of(request), words_of(request)
    reason = form.line("reason", most=300)
    if not form.ticked("sure"):
        form.fault("sure", _("This is needed."))
    signing = node.config.signing
    if signing.key or signing.key_file:
        said = _("A secret store hands the key in: use “serantau key rotate --to”.")
        form.fault("sure", said)
    if form.ok:
        try:
            await doing(request, lambda: rotate(node, why=reason))
        except SerantauError as fault:
            form.fault("sure", str(fault))
    if not form.ok:
        return await _shown(request, form, "rotate")
    return gone_to(request, "/keys", "key-rotated")


HANDLERS: tuple[Any, ...] = (keys, pin, unpin, rotate_key)
