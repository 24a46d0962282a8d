"""The package misp-stix, brought in late and quietly.

Importing it takes most of a second, which no command should pay that reads no MISP.
"""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from typing import Any

import orjson

from serantau.wire.misp_event import Prepared


@functools.cache
def _package() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"_SixMetaPathImporter", ImportWarning)
        import misp_stix_converter
    # The copy of `six` in mixbox (STIX 1, unused here) leaves an importer of the old
    # protocol behind, at which every later import anywhere in the process would warn.
    sys.meta_path[:] = [
        each for each in sys.meta_path if type(each).__module__ != "mixbox.vendor.six"
    ]
    # What pymisp logs it also hands to the parsers' errors, which become fates.
    logging.getLogger("pymisp").setLevel(logging.CRITICAL)
    return misp_stix_converter


def import_parsers() -> tuple[Any, Any]:
    """Give the classes that read what was MISP before, and what was not."""
    package = _package()
    return package.InternalSTIX2toMISPParser, package.ExternalSTIX2toMISPParser


def parse(prepared: Prepared) -> tuple[list[dict[str, Any]], list[str]]:
    """Run misp-stix over an event: what it made, and what it complained of.

    Where it gives up on the event it is run again without the galaxies; where it gives
    up altogether nothing is made, and every attribute is kept in the form of ours.
    """
    whole = _of_known_types(prepared.event)
    complaints: list[str] = []
    for event in (whole, _without_galaxies(whole)):
        parser = _package().MISPtoSTIX21Parser()
        try:
            parser.parse_misp_event(event)
            # A property that cannot be written fails only here, for the whole event.
            made = [orjson.loads(one.serialize()) for one in parser.stix_objects]
        except Exception as fault:  # misp-stix raises whatever its libraries raise
            complaints.append(f"{type(fault).__name__}: {fault}"[:300])
            continue
        for texts in parser.errors.values():
            complaints.extend(str(text) for text in texts)
        return made, complaints
    return [], complaints


def _of_known_types(event: dict[str, Any]) -> dict[str, Any]:
    """Leave out attributes whose type pymisp does not know: kept by us, as they are.

    It would refuse the whole object around one of them.
    """
    types = _known_types()

    def known(attributes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one for one in attributes if one["type"] in types]

    return {
        **event,
        "Attribute": known(event["Attribute"]),
        "Object": [
            {**one, "Attribute": kept}
            for one in event["Object"]
            if (kept := known(one["Attribute"]))
        ],
    }


@functools.cache
def _known_types() -> frozenset[str]:
    _package()
    from pymisp import MISPEvent

    return frozenset(MISPEvent().describe_types["types"])


def _without_galaxies(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_galaxies(v) for k, v in value.items() if k != "Galaxy"}
    if isinstance(value, list):
        return [_without_galaxies(one) for one in value]
    return value
