"""What a node was told from outside: every setting, and where it came from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from serantau.apps.web.pages.feeds import shown_box
from serantau.apps.web.pages.peers import shown_url
from serantau.config import FILE_NAME, PREFIX, NodeConfig

_SECRET: Final = frozenset({"signing.key", "signing.passphrase"})
_ADDRESSES: Final = ("url", "proxy", "base_url", "page_url")
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting. told: its value as it may be shown. origin: default, file or more."""

    name: str
    told: str
    origin: str


def settings(config: NodeConfig) -> list[Setting]:
    """List every setting with its value, secrets hidden, and where it came from."""
    file = _file(config)
    found = []
    for section in msgspec.structs.fields(NodeConfig):
        if section.name == "home":
            continue
        held = getattr(config, section.name)
        if isinstance(held, dict):
            for name, table in sorted(held.items()):
                place, said = f"{section.name}.{name}", file.get(section.name, {})
                found += _of(place, table, said.get(name, {}), "")
        else:
            prefix = f"{PREFIX}{section.name.upper()}_"
            found += _of(section.name, held, file.get(section.name, {}), prefix)
    return found


def _file(config: NodeConfig) -> dict[str, Any]:
    path = config.home / FILE_NAME
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _of(
    place: str, section: msgspec.Struct, said: Mapping[str, Any], prefix: str
) -> list[Setting]:
    usual = type(section)()
    rows = []
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if prefix and f"{prefix}{field.name.upper()}" in os.environ:
            origin = "environment"
        elif field.name in said:
            origin = "file"
        else:
            origin = "default" if value == getattr(usual, field.name) else "start"
        name = f"{place}.{field.name}"
        rows.append(Setting(name, _told(name, field.name, value), origin))
    return rows


def _told(name: str, field: str, value: Any) -> str:
    """Write a value; what may hold a password or a key is told without."""
    if not value and value is not False and value != 0:
        return ""
    if name in _SECRET:
        return "•••"
    if name.startswith("lane.storage"):
        return ", ".join(sorted(value))
    if name == "lane.archive" or field in _ADDRESSES:
        return shown_url(str(value))
    if field == "mailbox":
        return shown_box(str(value))
    if field in {"country", "asn", "shadowserver"}:
        several = [value] if isinstance(value, str) else value
        return ", ".join(shown_url(one) for one in several)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:_LONGEST]
