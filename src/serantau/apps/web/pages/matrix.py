"""The ATT&CK matrix of what was seen: techniques by tactic, with a number each."""

from __future__ import annotations

from math import sqrt
from typing import Any, Final

from litestar import Response

from serantau.apps.web.hall import Asking, state_of
from serantau.apps.web.pages.door import doing, node_of, page, shown, words_of
from serantau.apps.web.pages.object_fields import harmless, seen
from serantau.desk.audit import note_reading
from serantau.desk.seen_matrix import Matrix, SeenMatrix
from serantau.rules.role import Power

AT: Final = "/objects/matrix"
_STEPS: Final = 4
_ROWS: Final = 60


@page(AT, Power.SEE)
async def matrix(request: Asking) -> Response[bytes]:
    """Show the matrix of one kill chain; only what was seen, or all."""
    node, _ = node_of(request), words_of(request)
    state = state_of(request)
    if "seen_matrix" not in state:
        state.seen_matrix = SeenMatrix(node)
    counting: SeenMatrix = state.seen_matrix
    whole = request.query_params.get("all") == "1"
    chain = request.query_params.get("chain", "")

    def work() -> list[Matrix]:
        found = counting.all()
        note_reading(
            node, "matrix", chain, count=sum(len(one.tactics) for one in found)
        )
        return found

    every = await doing(request, work)
    chosen = next((one for one in every if one.chain == chain), None)
    if chosen is None:
        chosen = max(every, key=lambda one: one.most, default=None)
    return await shown(
        request,
        "matrix.html",
        chains=[(one.chain, harmless(one.chain, 60)) for one in every],
        chain=chosen.chain if chosen else "",
        whole=whole,
        at=chosen.at if chosen else 0,
        cut=chosen.cut if chosen else False,
        columns=_columns(chosen, whole, _) if chosen else [],
    )


def _columns(found: Matrix, whole: bool, _: Any) -> list[dict[str, Any]]:
    words = {"uses": _("used"), "indicates": _("indicated"), "seen": _("sighted")}
    columns = []
    for tactic in found.tactics:
        wanted = [one for one in tactic.techniques if whole or one.count]
        columns.append(
            {
                "title": harmless(tactic.title, 80),
                "more": max(0, len(wanted) - _ROWS),
                "cells": [
                    {
                        "id": one.id,
                        "name": seen(one.name, 100),
                        "code": seen(one.code, 40),
                        "count": one.count,
                        "step": _step(one.count, found.most),
                        "said": ", ".join(
                            f"{words[verb]} {count}"
                            for verb, count in sorted(one.counts.items())
                        ),
                    }
                    for one in wanted[:_ROWS]
                ],
            }
        )
    return columns


def _step(count: int, most: int) -> int:
    """Give the shade of a count, 0 to 4: by its square root, since few have most."""
    if not count:
        return 0
    return max(1, round(_STEPS * sqrt(count / most)))


HANDLERS: Final[tuple[Any, ...]] = (matrix,)
