"""Shadowserver's report types, also those that its schema names and our table does not.

Columns are read by name (`data/formats/shadowserver.toml`), so that a type which nobody
here has heard of lands with time, address, port and the rest in `extra`. What a type
means in RSIT is our table's word where it has one, then the published schema's, then
that of the family a name belongs to (`scan_`, `event4_`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from serantau import typed
from serantau.errors import ConfigError
from serantau.lane.formats.form import Format, Kind, with_kinds
from serantau.rules.taxonomy import UNDETERMINED, type_of

NAME: Final = "shadowserver"


class _Report(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="classification.type", default="")
    fields: list[str] = []


def with_schema(form: Format, schema: str, where: str) -> Format:
    """Give the format with the types that Shadowserver's published schema names.

    Args:
        form: our table.
        schema: the JSON text of the schema (`reports.json` of its wiki).
        where: the file it stands in, for the message.

    Raises:
        ConfigError: it is not that schema.
    """
    try:
        reports = typed.read(schema, dict[str, _Report])
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{where} is not Shadowserver's schema: {error}",
            mend="Download it again, or remove the file.",
        ) from error
    return with_kinds(form, _kinds(form, reports))


def _kinds(form: Format, reports: dict[str, _Report]) -> Iterator[Kind]:
    """Give a kind for each report that the schema says the RSIT type of."""
    for name, report in reports.items():
        said = report.kind or reports.get(form.twin(name), report).kind
        kind = type_of(said)
        if kind != UNDETERMINED:
            yield Kind(re.compile(re.escape(name)), {}, {"type": kind})
