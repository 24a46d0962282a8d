"""The levels that markings speak of: TLP says who may have it, PAP what may be done.

Beside them: how this node keeps what was recalled.

`marking` gives both names too, since whoever handles markings needs them.
"""

from __future__ import annotations

from enum import IntEnum


class Tlp(IntEnum):
    """Traffic Light Protocol 2.0, in order: the higher, the narrower."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    AMBER_STRICT = 3
    RED = 4

    @property
    def label(self) -> str:
        """Give the label as FIRST writes it: upper case, no spaces, not translated."""
        return "TLP:" + self.name.replace("_", "+")

    @classmethod
    def parse(cls, text: str) -> Tlp:
        """Read a label or its colour in any case; TLP 1's white is CLEAR.

        Raises:
            ValueError: it is none of the five levels.
        """
        colour = text.upper().removeprefix("TLP:")
        level = _TLP_COLOURS.get(colour)
        if level is None:
            levels = ", ".join(each.label for each in cls)
            raise ValueError(f"got {text!r}, expected one of {levels}")
        return level


_TLP_COLOURS = {
    "CLEAR": Tlp.CLEAR,
    "WHITE": Tlp.CLEAR,
    "GREEN": Tlp.GREEN,
    "AMBER": Tlp.AMBER,
    "AMBER+STRICT": Tlp.AMBER_STRICT,
    "RED": Tlp.RED,
}


class Recalled(IntEnum):
    """What this node does with what was recalled; it leaves the node in no case.

    KEPT: the own organisation reads it. HIDDEN: nobody does.
    """

    NO = 0
    KEPT = 1
    HIDDEN = 2


class Pap(IntEnum):
    """Permissible Actions Protocol: what may be done with it, not who may have it."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    RED = 3

    @property
    def label(self) -> str:
        """Give the label as MISP's taxonomy writes it."""
        return f"PAP:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Pap:
        """Read a label or its colour in any case; white is CLEAR.

        Raises:
            ValueError: it is none of the four levels.
        """
        colour = text.upper().removeprefix("PAP:")
        if colour == "WHITE":
            return cls.CLEAR
        if colour not in cls.__members__:
            levels = ", ".join(each.label for each in cls)
            raise ValueError(f"got {text!r}, expected one of {levels}")
        return cls[colour]
