"""What somebody filled in: read field by field, with an error beside each wrong one.

Nothing that was typed is lost: a form that has errors is shown again as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from typing import Any, Final

from litestar.datastructures import UploadFile

from serantau.apps.web.pages.times import instant_of

CSRF: Final = "csrf"
LINE: Final = 400
"""The most letters that one line takes."""
TEXT: Final = 20_000
"""The most letters that a text takes."""


class Form:
    """The fields of one form.

    errors: by the field's name, for the reader. Each method reads one field, and notes
    an error and gives what is empty when it is not as asked.
    """

    def __init__(
        self,
        fields: Iterable[tuple[str, Any]] = (),
        words: Callable[[str], str] = str,
    ) -> None:
        """Read `fields`, and tell errors in `words`."""
        self._texts: dict[str, list[str]] = {}
        self._files: dict[str, UploadFile] = {}
        self._words = words
        self.errors: dict[str, str] = {}
        for name, value in fields:
            if isinstance(value, UploadFile):
                self._files[name] = value
            else:
                self._texts.setdefault(name, []).append(str(value))

    @property
    def ok(self) -> bool:
        """Say whether everything that was read is as asked."""
        return not self.errors

    def given(self, name: str) -> str:
        """Give what was typed, to be shown again."""
        return self._texts.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        """Give every value of a field that may come more than once."""
        return [each.strip() for each in self._texts.get(name, []) if each.strip()]

    def ticked(self, name: str) -> bool:
        """Say whether a box is ticked."""
        return name in self._texts

    def fault(self, name: str, said: str) -> None:
        """Note an error of a field; the first one stays."""
        self.errors.setdefault(name, said)

    def line(self, name: str, *, needed: bool = True, most: int = LINE) -> str:
        """Read one line: no control characters, cut of space at both ends."""
        _ = self._words
        found = self.given(name).strip()
        if not found and needed:
            self.fault(name, _("This is needed."))
        elif len(found) > most:
            self.fault(name, _("At most {most} letters fit here.").format(most=most))
        elif not found.isprintable():
            self.fault(name, _("Only letters that can be seen fit here."))
        else:
            return found
        return ""

    def text(self, name: str, *, needed: bool = True, most: int = TEXT) -> str:
        """Read a text of several lines."""
        _ = self._words
        found = self.given(name).replace("\r\n", "\n").strip()
        if not found and needed:
            self.fault(name, _("This is needed."))
        elif len(found) > most:
            self.fault(name, _("At most {most} letters fit here.").format(most=most))
        elif any(not (c.isprintable() or c in "\n\t") for c in found):
            self.fault(name, _("Only letters that can be seen fit here."))
        else:
            return found
        return ""

    def choice(self, name: str, among: Sequence[str], *, default: str = "") -> str:
        """Read one of some values; `default` when nothing came."""
        found = self.given(name) or default
        if found not in among:
            self.fault(name, self._words("Choose one of these."))
            return ""
        return found

    def whole(self, name: str, least: int, most: int, *, default: int = 0) -> int:
        """Read a whole number between two; `default` when nothing came."""
        found = self.given(name).strip()
        if not found:
            return default
        if not (found.isascii() and found.isdigit() and len(found) < 19):
            number = -1
        else:
            number = int(found)
        if not least <= number <= most:
            _ = self._words
            said = _("Expected a whole number from {least} to {most}.")
            self.fault(name, said.format(least=least, most=most))
            return default
        return number

    def instant(self, name: str, zone: tzinfo) -> int | None:
        """Read a date and a time in a zone, as an instant; None when nothing came."""
        said = self.given(name).strip()
        if not said:
            return None
        at = instant_of(said, zone)
        if at is None:
            _ = self._words
            self.fault(name, _("Expected a date and a time: 2026-03-01 08:00."))
        return at

    def file_name(self, name: str) -> str:
        """Give the name that an uploaded file bears; empty when none came."""
        found = self._files.get(name)
        said = (found.filename if found is not None else "").replace("\\", "/")
        return "".join(c for c in said.rpartition("/")[2] if c.isprintable())[:LINE]

    async def file(self, name: str, most: int) -> bytes:
        """Read an uploaded file; empty when none came."""
        found = self._files.get(name)
        if found is None:
            return b""
        body = await found.read(most + 1)
        if len(body) > most:
            _ = self._words
            said = _("The file is larger than {most} bytes.").format(most=most)
            self.fault(name, said)
            return b""
        return body
