"""Why a row went to whom it went: sentences made of the row alone.

What decided is written in the row when it is judged, so the answer is the same years
later, when range data and registers are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from serantau.lane.ranges import Kind
from serantau.rules import asset
from serantau.rules.asset import RANKS

_BY: Final = {
    asset.Kind.PREFIX: "its address is in the prefix {value}, the longest that fits",
    asset.Kind.DOMAIN: "its name is {value} or below it, the longest name that fits",
    asset.Kind.ASN: "AS{value} routes its address",
    asset.Kind.CCTLD: "its name is below the top-level domain .{value}",
    asset.Kind.COUNTRY: "it is in {value}",
}
_STATE: Final = {
    asset.Kind.CCTLD: "its name is below that state's top-level domain",
    asset.Kind.COUNTRY: "it is in that state",
}
_NAMED: Final = {
    asset.Kind.PREFIX: "prefix",
    asset.Kind.DOMAIN: "domain name",
    asset.Kind.ASN: "AS number",
    asset.Kind.CCTLD: "top-level domain",
    asset.Kind.COUNTRY: "country",
}


def why(row: Mapping[str, Any]) -> list[str]:
    """Say what was found for a row and why it has the owner that it has, or none.

    Args:
        row: the columns of an event (rules.event), null ones as None or left out.

    Returns:
        Sentences, in the order in which the kernel found out.
    """
    said = [_seen(row), *_where(row), _owner(row)]
    if category := row.get("category"):
        said.append(f"The nation's own category for {row['type']} is {category}.")
    if marks := row.get("marks"):
        said.append(
            f"It is marked {marks.replace(',', ', ')}: special ranges and warninglists."
        )
    if matched := row.get("indicators"):
        said.append(f"It matched {matched.replace(',', ', ')}.")
    return said


def _seen(row: Mapping[str, Any]) -> str:
    machine = " and ".join(
        str(row[name]) for name in ("source_address", "source_domain") if row.get(name)
    )
    at = row.get("time")
    when = at.strftime("%Y-%m-%d %H:%M:%S UTC") if isinstance(at, datetime) else "once"
    report = f" ({row['report']})" if row.get("report") else ""
    return (
        f"{row.get('feed')}{report} reported {machine or 'a machine without a name'}, "
        f"seen {when}: row {row.get('number')} of batch {row.get('batch')}."
    )


def _where(row: Mapping[str, Any]) -> list[str]:
    """Say what is known of the address, and who says so."""
    if not row.get("source_address"):
        return []
    labels = dict(
        one.split(":", 1) for one in (row.get("lookup") or "").split(", ") if one
    )
    network = row.get("source_network")
    said = []
    if network:
        said.append(f"The address is in the range {network}.")
    for kind, column, text in (
        (Kind.ASN, "source_asn", "AS{} routes it"),
        (Kind.COUNTRY, "source_country", "It is in {}"),
    ):
        value = row.get(column)
        if value is None:
            continue
        label = labels.get(kind) if network else None
        source = f"by the range data {label}" if label else "as the report says"
        said.append(f"{text.format(value)}, {source}.")
    return said or ["Nothing is known of the address: no range data has it."]


def _owner(row: Mapping[str, Any]) -> str:
    reason = row.get("reason")
    if reason is None:
        return "It is nobody's: no asset and no member state's claim fits it."
    kind = asset.Kind(reason)
    if row.get("asset"):
        value = str(row["asset"]).split(":", 1)[1]
        fits = _BY[kind].format(value=value)
        text = f"{row['party']} ({row['member']}) answers: {fits}."
    else:
        text = f"The member {row['member']} answers: {_STATE[kind]}; no asset fits."
    better = [_NAMED[one] for one in RANKS[: RANKS.index(kind)]]
    if better:
        text += f" No better claim ({', '.join(better)}) held at the time of the event."
    return text
