"""JSON records that name several machines become one row for each of them.

A shape takes a record and gives, for every row, the values by name and what is left. A
record that gives several rows keeps its lists whole in each, so that each says with
whom it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Record = dict[str, Any]
Row = tuple[Record, Record]
Shape = Callable[[Record], Iterator[Row]]


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _dicts(value: Any) -> list[Record]:
    return [one for one in _list(value) if isinstance(one, dict)]


def n6(record: Record) -> Iterator[Row]:
    """Give a row for each address of an n6 event.

    `address` is a list of {ip, cc, asn}; a row has `ip`, `cc`, `asn` of one. An event
    without an address, which is about a name or URL, is one row.
    """
    places = _dicts(record.get("address"))
    if len(places) < 2:
        rest = dict(record)
        values: Record = {}
        if places:
            left = dict(places[0])
            values = {key: left.pop(key) for key in ("ip", "cc", "asn") if key in left}
            if left:
                rest["address"] = [left]
            else:
                del rest["address"]
        yield values, rest
        return
    for place in places:
        yield {key: place.get(key) for key in ("ip", "cc", "asn")}, dict(record)


_FAMILIES: Final = ("IP4", "IP6")


def _ends(side: Any) -> Iterator[tuple[Record, Record]]:
    """Give (values, machine) for each address of one side of an IDEA record."""
    for machine in _dicts(side):
        first: Record = {}
        for key, name in (
            ("Port", "port"),
            ("Hostname", "name"),
            ("URL", "url"),
            ("Proto", "proto"),
        ):
            if several := _list(machine.get(key)):
                first[name] = several[0]
        found = [ip for family in _FAMILIES for ip in _list(machine.get(family))]
        for address in found or [None]:
            yield {**first, "ip": address}, machine


def _taken(machine: Record) -> Record:
    """Give what of a machine is left when one address and one of each was taken."""
    left = dict(machine)
    for key in (*_FAMILIES, "Port", "Hostname", "URL"):
        if len(_list(left.get(key))) < 2:
            left.pop(key, None)
    protocols = _list(left.get("Proto"))
    if len(protocols) < 2:
        left.pop("Proto", None)
    return left


def idea(record: Record) -> Iterator[Row]:
    """Give a row for each address of an IDEA record's sources, else of its targets.

    A row has source_ip, source_port, source_name, source_url, the same of the first
    target, proto and the first category. What IDEA calls the source is the machine the
    record is about; a record without one is about its target.
    """
    sources, targets = (
        list(_ends(record.get("Source"))),
        list(_ends(record.get("Target"))),
    )
    about, other = (sources, targets[:1]) if sources else (targets, [])
    values: Record = {}
    for end, _ in other:
        values |= {f"target_{name}": value for name, value in end.items()}
    if categories := _list(record.get("Category")):
        values["category"] = categories[0]
    rest = dict(record)
    if len(categories) < 2:
        rest.pop("Category", None)
    if len(about) < 2 and len(targets) < 2:
        for key in ("Source", "Target"):
            left = [one for one in map(_taken, _dicts(rest.pop(key, None))) if one]
            if left:
                rest[key] = left
    for end, _ in about or [({}, {})]:
        named = {f"source_{name}": value for name, value in end.items()}
        proto = named.pop("source_proto", None) or values.get("target_proto")
        yield {**values, **named, "proto": _transport(proto)}, dict(rest)


def _transport(proto: Any) -> Any:
    """Give tcp of a list such as [tcp, ssh]: IDEA names the lowest layer first."""
    several = _list(proto)
    return several[0] if several else None


def plain(record: Record) -> Iterator[Row]:
    """Give a record as one row, all of it by path."""
    yield {}, record


SHAPES: Final[Mapping[str, Shape]] = {"plain": plain, "idea": idea, "n6": n6}
