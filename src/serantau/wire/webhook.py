"""Webhooks: one POST, which a program of an owner answers with 2xx when it has it."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Callable
from typing import Final

import httpx2

from serantau.wire.mail import Outcome
from serantau.wire.taxii import REALM_HEADER

KEY_HEADER: Final = "Idempotency-Key"
SIGNATURE_HEADER: Final = "Serantau-Signature"
_LATER: Final = frozenset({408, 425, 429})
_GONE: Final = frozenset({404, 410})
_SERVER: Final = 500
_SHOWN: Final = 300


def signature(secret: str, content: bytes) -> str:
    """Sign what is posted, so that its receiver knows whose it is."""
    made = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return f"sha256={made}"


def post(
    url: str,
    content: bytes,
    *,
    key: str,
    realm: str,
    secret: str,
    handing: Callable[[], None],
    ca: str = "",
    timeout: float = 30.0,
) -> Outcome:
    """Post JSON once; redirects are not followed, since they name another address.

    Args:
        url: where to, of the registry.
        content: JSON.
        key: the idempotency key.
        realm: of this node; a node of another does not take it.
        secret: signs the content; empty: it is not signed.
        handing: called before anything is sent. What it raises goes to the caller.
        ca: PEM file of the only authorities to trust; empty for the system's.
        timeout: seconds without an answer after which it counts as dead.
    """
    headers = {"Content-Type": "application/json", KEY_HEADER: f'"{key}"'}
    headers[REALM_HEADER] = realm
    if secret:
        headers[SIGNATURE_HEADER] = signature(secret, content)
    handing()
    context = ssl.create_default_context(cafile=ca or None)
    try:
        with httpx2.Client(
            timeout=timeout, follow_redirects=False, verify=context
        ) as http:
            answer = http.post(url, content=content, headers=headers)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
        return Outcome("defer", f"not reached: {fault}"[:_SHOWN])
    except httpx2.HTTPError as fault:
        # It may have been read before the line broke.
        return Outcome("lose", f"no answer: {fault or type(fault).__name__}"[:_SHOWN])
    return _judged(answer.status_code, answer.reason_phrase)


def _judged(status: int, reason: str) -> Outcome:
    words = f"HTTP {status} {reason}".strip()
    if 200 <= status < 300:
        return Outcome("accept", words)
    if status in _LATER or status >= _SERVER:
        return Outcome("defer", words)
    if status in _GONE:
        return Outcome("bounce", words)
    return Outcome("fail", words)
