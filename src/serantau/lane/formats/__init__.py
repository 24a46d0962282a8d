"""How reports are written, as data, and how a file of them becomes events.

`Formats` knows all formats of a node, `read` reads a file by one of them.
"""

from serantau.lane.formats.form import Format, Role, read_form
from serantau.lane.formats.reading import read
from serantau.lane.formats.registry import SCHEMA, Formats
from serantau.lane.formats.rows import Limits, Piece

__all__ = [
    "SCHEMA",
    "Format",
    "Formats",
    "Limits",
    "Piece",
    "Role",
    "read",
    "read_form",
]
