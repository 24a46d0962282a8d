"""Times as people type them, in their own zone."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from serantau.clock import instant, moment


def instant_of(text: str, zone: tzinfo) -> int | None:
    """Read what a field for a date and time gives; None when it is none."""
    try:
        at = datetime.fromisoformat(text.strip())
        local = at if at.tzinfo else at.replace(tzinfo=zone)
        found = instant(local.astimezone(UTC).isoformat())
    except (ValueError, OverflowError):
        return None
    return found if found >= 0 else None


def typed_of(at: int, zone: tzinfo) -> str:
    """Write an instant as a field for a date and time takes it."""
    return moment(at).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")
