"""Structured logs on standard error, each line of a request with the request's id.

Nothing here ever receives a header, a query string or a body: they hold passwords,
tokens and what analysts look for.
"""

from __future__ import annotations

import logging
import random
import secrets
import sys
from typing import Any

import structlog
from structlog.typing import EventDict

from serantau.config import LogSection

_ID_BITS = 64
# Asking the system for each id would hand the interpreter to another thread, and to get
# it back takes longer than the rest of a request. Nothing rests on these ids.
_ids = random.Random(secrets.randbits(128))  # noqa: S311


def new_request_id() -> str:
    """Make the id by which a person finds a request in the log."""
    return f"{_ids.getrandbits(_ID_BITS):016x}"


def set_up_logs(config: LogSection) -> None:
    """Send this process's logs, and those of its libraries, to standard error."""
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _in_one_line,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    # Plain tracebacks: the pretty ones print local variables, passwords among them.
    renderer: Any = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if config.format == "json":
        last.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[*last, renderer]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # They tell every request, connection and plan of a table, addresses included.
    for noisy in ("httpx2", "httpcore2", "httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _in_one_line(_log: Any, _method: str, said: EventDict) -> EventDict:
    """Show what cannot be seen as it is written in Python: nobody adds a line."""
    for name, value in said.items():
        if isinstance(value, str) and not value.isprintable():
            said[name] = "".join(
                one if one.isprintable() else repr(one)[1:-1] for one in value
            )
    return said


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Give the logger of a room."""
    found: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return found
