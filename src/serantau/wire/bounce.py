"""Mail that came back: which message it was, and why it could not be delivered."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage, Message
from typing import Final

from serantau.errors import BadInput
from serantau.wire.mailbox import GIVES_UP, bounded

_FAILED: Final = "failed"
_MESSAGE_ID: Final = re.compile(
    rb"^Message-ID:[ \t]*(?:\r?\n[ \t]+)?<([^<>@\s]+)@", re.I | re.M
)
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Bounce:
    """A delivery status notification (RFC 3464) that says a mail failed for good.

    key: what stands before the @ of the Message-ID that came back. recipients: whom it
    was for: as it was written, and as mail servers on the way made it of that. said:
    the reason, for a person.
    """

    key: str
    recipients: frozenset[str]
    said: str


def read_bounce(message: bytes) -> Bounce | None:
    """Read a message; None when it does not say that one of ours failed for good.

    A delay, an automatic answer, and a letter of a person say nothing of the kind.
    """
    try:
        return _bounce(bounded(message))
    except (BadInput, *GIVES_UP):
        return None


def _bounce(message: bytes) -> Bounce | None:
    found = email.message_from_bytes(message, policy=email.policy.default)
    if not isinstance(found, EmailMessage) or found.get_content_type() != (
        "multipart/report"
    ):
        return None
    if str(found.get_param("report-type", "")).lower() != "delivery-status":
        return None
    status: Message | None = None
    key = ""
    for part in found.iter_parts():
        kind = part.get_content_type()
        if kind == "message/delivery-status":
            status = _recipient(part)
        elif kind in {
            "message/rfc822",
            "text/rfc822-headers",
            "message/rfc822-headers",
        }:
            # RFC 3462 §2: what came back, or its headers. Read as bytes, since nobody
            # promises that it is whole.
            match = _MESSAGE_ID.search(part.as_bytes())
            key = match[1].decode("ascii", "replace") if match else key
    if status is None or not key:
        return None
    # RFC 3464 §2.3: what follows the type of address, which is rfc822 for mail.
    recipients = frozenset(
        str(status.get(name, "")).partition(";")[2].strip().strip("<>").lower()
        for name in ("Original-Recipient", "Final-Recipient")
    )
    reason = str(status.get("Diagnostic-Code", "")) or str(status.get("Status", ""))
    return Bounce(key, recipients - {""}, " ".join(reason.split())[:_SHOWN])


def _recipient(part: Message) -> Message | None:
    """Give what is said of the recipient for whom it failed."""
    fields = part.get_payload()
    for each in fields if isinstance(fields, list) else []:
        if (
            isinstance(each, Message)
            and str(each.get("Action", "")).strip().lower() == _FAILED
        ):
            return each
    return None
