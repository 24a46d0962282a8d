"""How a fault is told to a caller: once, here, and never more than it may know."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from litestar import Response
from litestar.exceptions import HTTPException

from serantau.apps.web.api.door import ROOT
from serantau.apps.web.api.fault import failed
from serantau.apps.web.hall import Asking, hall_of
from serantau.apps.web.logs import logger
from serantau.apps.web.pages.door import (
    SECOND,
    SecondNeeded,
    SignInNeeded,
    faulty,
    gone_to,
    to_sign_in,
)
from serantau.errors import SerantauError, TooMany
from serantau.wire import taxii

REQUEST_ID = "serantau_request_id"
_PROBLEM = "application/problem+json"
_RETRY_SECONDS = 5


def tell(request: Asking, fault: Exception) -> Response[bytes]:
    """Turn any exception into an answer (the application's exception handler)."""
    request_id = str(request.scope.get(REQUEST_ID, ""))
    status, title, text = _meaning(fault)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger(__name__).error("request_failed", exc_info=fault)
    elif status > HTTPStatus.INTERNAL_SERVER_ERROR:
        logger(__name__).warning("request_refused", status=status, fault=str(fault))
    headers = {}
    if isinstance(fault, HTTPException) and fault.headers:
        headers.update(fault.headers)
    if isinstance(fault, SignInNeeded):
        return to_sign_in(request)
    if isinstance(fault, SecondNeeded):
        return gone_to(request, SECOND)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = hall_of(request).challenge
    if isinstance(fault, TooMany):
        headers["Retry-After"] = str(fault.wait)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}:
        hall_of(request).metrics.refused.labels(str(int(status))).inc()
    if request.scope["path"].startswith(taxii.DISCOVERY.rstrip("/")):
        body = taxii.error(title, text, int(status), request_id)
        return Response(
            body, status_code=status, media_type=taxii.MEDIA_TYPE, headers=headers
        )
    if request.scope["path"].startswith(f"{ROOT}/"):
        told = failed(fault, int(status), request_id)
        return Response(
            told, status_code=status, media_type="application/json", headers=headers
        )
    if "text/html" in request.headers.get("accept", ""):
        return faulty(request, int(status), title, text, request_id, headers)
    # RFC 9457, for every other door.
    body = orjson.dumps(
        {
            "title": title,
            "status": int(status),
            "detail": text,
            "instance": f"urn:serantau:request:{request_id}",
        }
    )
    return Response(body, status_code=status, media_type=_PROBLEM, headers=headers)


def _meaning(fault: Exception) -> tuple[int, str, str]:
    """Give status, title and description. What is our own fault is told to the log."""
    if isinstance(fault, SerantauError):
        return fault.status, fault.title, _LOGGED if fault.ours else str(fault)
    if isinstance(fault, HTTPException):
        status = HTTPStatus(fault.status_code)
        return status, f"{status.phrase}.", "" if status >= 500 else fault.detail
    return 500, "Something went wrong inside the node.", _LOGGED


_LOGGED = "The node's log tells more under this answer's id."
