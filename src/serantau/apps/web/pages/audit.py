"""The audit: who of this node's own people decided what, and who was shown what."""

from __future__ import annotations

from typing import Final

import orjson
from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.door import doing, node_of, page, shown
from serantau.apps.web.pages.release_log import ROWS, told_of
from serantau.desk.audit import Audit, note_reading
from serantau.records.acts import Decided, Read
from serantau.rules.role import Power

DECIDED: Final = "decided"
READ: Final = "read"


@page("/audit", Power.AUDIT)
async def audit(request: Asking) -> Response[bytes]:
    """List what was decided or read, of an object, of a person, in a period."""
    node, told = node_of(request), told_of(request)
    what = READ if request.query_params.get("what") == READ else DECIDED

    def work() -> tuple[list[Decided] | list[Read], int]:
        if told.wrong:
            return [], 0
        asked = Audit(node)
        found = (asked.read if what == READ else asked.decided)(told.sought, ROWS)
        said = " ".join(filter(None, (what, *told.texts.values())))
        note_reading(node, "audit", said, count=len(found[0]))
        return found

    rows, on = await doing(request, work)
    return await shown(
        request,
        "audit.html",
        status=422 if told.wrong else 200,
        what=what,
        told=told,
        rows=rows,
        on=on,
        text=_text,
    )


def _text(value: object) -> str:
    """Write what a decision changed, for a person; nothing for nothing."""
    if value is None or value == {}:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


HANDLERS = (audit,)
