"""Fields of the forms about cases: what each asks for, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from serantau.apps.web.pages.case_words import Words, word
from serantau.apps.web.pages.form import LINE, TEXT, Form
from serantau.desk.case_reach import Candidate

Options = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    kind: line, text, pick (one of `options`), several, or time. options: (value, text,
    aside) each. group: fields of one group stand together behind a word. value: chosen
    at first.
    """

    kind: str
    name: str
    label: str
    hint: str = ""
    needed: bool = False
    options: Sequence[tuple[str, str, str]] = ()
    most: int = LINE
    group: str = ""
    value: str = ""


def line(
    name: str, label: str, hint: str = "", *, needed: bool = False, most: int = LINE
) -> Field:
    """Ask for a line."""
    return Field("line", name, label, hint, needed, most=most)


def text(name: str, label: str, hint: str = "", *, needed: bool = False) -> Field:
    """Ask for a text of several lines."""
    return Field("text", name, label, hint, needed, most=TEXT)


def time(name: str, label: str, hint: str = "") -> Field:
    """Ask for a time, in the reader's zone."""
    return Field("time", name, label, hint)


def pick(
    name: str,
    label: str,
    options: Options,
    *,
    needed: bool = False,
    group: str = "",
    value: str = "",
) -> Field:
    """Ask for one of some values."""
    listed = [(value, said, "") for value, said in options]
    return Field("pick", name, label, "", needed, listed, group=group, value=value)


def several(name: str, label: str, options: Options, *, needed: bool = False) -> Field:
    """Ask for some of some values."""
    listed = [(value, said, "") for value, said in options]
    return Field("several", name, label, "", needed, listed)


def of_parties(
    name: str, label: str, candidates: Sequence[Candidate], _: Words, needed: bool
) -> Field:
    """Ask for parties that can be invited."""
    listed = []
    for one in candidates:
        aside = str(one.kind)
        if one.blocked:
            aside = _("blocked: it gets nothing")
        elif not one.named:
            aside = _("its identity is not known here")
        listed.append((one.name, one.name, aside))
    return Field("several", name, label, "", needed, listed)


def options_of(words: Mapping[str, str], _: Words) -> list[tuple[str, str]]:
    """Give words as options."""
    return [(key, word(words, key, _)) for key in words]


def read_fields(
    form: Form, fields: Sequence[Field], zone: tzinfo, _: Words
) -> dict[str, Any]:
    """Read what was filled in, field by field; times in a zone, as instants."""
    given: dict[str, Any] = {}
    for each in fields:
        values = [option[0] for option in each.options]
        if each.kind == "line":
            given[each.name] = form.line(each.name, needed=each.needed, most=each.most)
        elif each.kind == "text":
            given[each.name] = form.text(each.name, needed=each.needed)
        elif each.kind == "pick":
            given[each.name] = form.choice(each.name, values)
        elif each.kind == "several":
            chosen = [one for one in form.all(each.name) if one in values]
            if each.needed and not chosen:
                form.fault(each.name, _("Choose at least one."))
            given[each.name] = chosen
        else:
            given[each.name] = form.instant(each.name, zone) or 0
    return given
