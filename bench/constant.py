"""A node's server with one more door, which gives the same bytes to everyone.

It shows what the server stack itself can carry: `python -m bench.constant HOME BYTES`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from litestar import Response, get

from serantau.apps.web.logs import set_up_logs
from serantau.apps.web.server import Web, create_app
from serantau.config import load_config
from serantau.node import Node
from serantau.wire.taxii import MEDIA_TYPE

PATH = "/constant"


def main() -> None:
    """Serve until SIGTERM."""
    home, size = Path(sys.argv[1]), int(sys.argv[2])
    body = b"x" * size

    @get(PATH, include_in_schema=False)
    async def constant() -> Response[bytes]:
        return Response(body, media_type=MEDIA_TYPE)

    config = load_config(home, os.environ)
    set_up_logs(config.log)
    with Node(config) as node:
        app = create_app(node)
        app.router.register(constant)
        asyncio.run(_serve(Web(app, config)))


async def _serve(web: Web) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, web.stop)
    await web.run()


if __name__ == "__main__":
    main()
