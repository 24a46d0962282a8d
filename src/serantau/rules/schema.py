"""The OASIS JSON schemas, mended where they are not the standard, and their words.

`load_schemas` in `wire` reads the texts; here they are amended by a table, compiled
when a type is first met, and their findings are put into plain words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs

from serantau.rules.case_schema import NAME as CASE_ENTRY
from serantau.rules.case_schema import case_schema
from serantau.rules.refusal import Refused, pointer, shown

CORE: Final = "common/core"
OBSERVABLE_CORE: Final = "common/cyber-observable-core"
# A bundle is a container and no object; these are parts of objects.
_META: Final = (
    "common/extension-definition",
    "common/language-content",
    "common/marking-definition",
)
_DROP: Final = object()
_TEXT: Final = {"type": "string"}
_IDENTIFIER: Final = "../common/identifier.json"
_TLP_1: Final = (
    "613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "f88d31f6-486f-44da-b317-01333bde0b82",
    "5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
)


@dataclass(frozen=True, slots=True)
class Amendment:
    """One place where a shipped schema and the standard differ.

    schema: its name. path: the steps to the value. value: what stands there instead.
    why: the clause that says so.
    """

    schema: str
    path: tuple[str | int, ...]
    value: Any
    why: str


AMENDMENTS: Final = (
    Amendment(
        "common/core",
        ("allOf",),
        _DROP,
        "§3.1: the rules for names, null and empty lists are checked where properties"
        " are read anyway (facts.Gatherer), at a third of the cost",
    ),
    Amendment("common/cyber-observable-core", ("allOf",), _DROP, "the same"),
    *(
        Amendment(
            "common/core",
            ("properties", name),
            {
                "type": "string",
                "pattern": "^[0-9]{4}-(0[1-9]|1[012])-(0[1-9]|[12][0-9]|3[01])"
                "T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]+)?Z$",
            },
            "§3.2 asks whoever writes for milliseconds; feeds in use write whole"
            " seconds too, and to refuse these would lose what they tell",
        )
        for name in ("created", "modified")
    ),
    Amendment(
        "common/granular-marking",
        ("required",),
        ["selectors"],
        "§7.2.3.1: `lang` may stand instead of `marking_ref`",
    ),
    Amendment(
        "common/granular-marking",
        ("properties", "selectors", "items"),
        {"type": "string"},
        "§7.2.3.2: keys of dictionaries such as hashes.MD5 have capitals; what a"
        " selector means is checked on the object itself",
    ),
    Amendment("common/external-reference", ("oneOf",), _DROP, "see the next"),
    Amendment(
        "common/external-reference",
        ("properties", "source_name"),
        {"type": "string"},
        "§2.5: the name is free",
    ),
    Amendment(
        "common/external-reference",
        ("properties", "external_id"),
        {"type": "string"},
        "§2.5: a CVE id may come from a source with another name, such as NVD",
    ),
    Amendment(
        "common/external-reference", ("required",), ["source_name"], "§2.5: required"
    ),
    Amendment(
        "common/external-reference",
        ("anyOf",),
        [{"required": [name]} for name in ("description", "url", "external_id")],
        "§2.5: at least one of them",
    ),
    Amendment(
        "common/external-reference",
        ("allOf",),
        [
            {
                "if": {
                    "properties": {"source_name": {"const": name}},
                    "required": ["source_name", "external_id"],
                },
                "then": {"properties": {"external_id": {"pattern": pattern}}},
            }
            for name, pattern in (
                ("cve", r"^CVE-\d{4}-(0\d{3}|[1-9]\d{3,})$"),
                ("capec", r"^CAPEC-\d+$"),
            )
        ],
        "§4.1.1, §4.18.1: the form of the id for these two sources",
    ),
    Amendment("common/marking-definition", ("oneOf",), _DROP, "see the next"),
    Amendment(
        "common/marking-definition",
        ("properties", "id"),
        {"$ref": "../common/identifier.json", "pattern": "^marking-definition--"},
        "§7.2.1: the same without alternatives, so that a finding names its place",
    ),
    Amendment(
        "common/marking-definition",
        ("required",),
        ["type", "spec_version", "id", "created"],
        "§7.2.1",
    ),
    Amendment(
        "common/marking-definition",
        ("properties", "definition"),
        {"type": "object", "minProperties": 1},
        "§7.2.1",
    ),
    Amendment(
        "common/marking-definition",
        ("properties", "definition_type"),
        {"type": "string"},
        "§7.2.1: open vocabulary",
    ),
    Amendment(
        "common/marking-definition",
        ("allOf",),
        [
            {
                "if": {"not": {"required": ["extensions"]}},
                "then": {"required": ["definition_type", "definition"]},
            },
            {
                "if": {
                    "properties": {"definition_type": {"const": "statement"}},
                    "required": ["definition_type"],
                },
                "then": {
                    "properties": {"definition": {"$ref": "#/definitions/statement"}},
                    "required": ["definition"],
                },
            },
            {
                "if": {
                    "properties": {"definition_type": {"const": "tlp"}},
                    "required": ["definition_type"],
                },
                "then": {
                    "properties": {
                        "id": {"enum": [f"marking-definition--{id}" for id in _TLP_1]},
                        "created": {"const": "2017-01-20T00:00:00.000Z"},
                        "definition": {
                            "properties": {
                                "tlp": {"enum": ["white", "green", "amber", "red"]}
                            },
                            "required": ["tlp"],
                        },
                    },
                    "required": ["definition"],
                },
            },
        ],
        "§7.2.1.3, §7.2.1.4: a statement, and the four TLP 1 objects and no other",
    ),
    Amendment(
        "common/hashes-type",
        ("patternProperties", "^TLSH$", "pattern"),
        "^([Tt]1)?[a-zA-Z0-9]{70}$",
        "TLSH 4 writes T1 before the digest",
    ),
    Amendment(
        "common/hashes-type",
        ("patternProperties", "^SSDEEP$", "pattern"),
        "^[a-zA-Z0-9/+:.]{1,160}$",
        "an ssdeep digest has up to 148 characters",
    ),
    Amendment(
        "observables/software",
        ("allOf", 1, "properties", "languages", "items", "pattern"),
        "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
        "§6.14: RFC 5646, which has fil, zh-Hans and sr-Latn-RS",
    ),
    Amendment(
        "observables/process",
        ("anyOf",),
        _DROP,
        "§6.13.1: any property will do, created_time too, which the list forgets",
    ),
    Amendment(
        "observables/process", ("minProperties",), 3, "one besides `type` and `id`"
    ),
    Amendment(
        "observables/windows-registry-key",
        ("anyOf", 2, "required", 0),
        "modified_time",
        "§6.17.1: the property is not called `modified`",
    ),
    Amendment(
        "observables/windows-registry-key",
        ("allOf", 1, "properties", "key", "not", "pattern"),
        r"^(?i:HKLM|HKCC|HKCR|HKCU|HKU)(\\|$)",
        "§6.17.1: the hive is written out; names below it are free",
    ),
    Amendment(
        "observables/email-message",
        ("definitions", "email-additional-header-fields"),
        {
            "allOf": [{"$ref": "../common/dictionary.json"}],
            "additionalProperties": {
                "type": ["array", "string"],
                "items": {"type": "string"},
            },
        },
        "§6.6.1: a list may have one member, as in the standard's example",
    ),
    Amendment(
        "sdos/observed-data",
        ("allOf", 1, "properties", "object_refs", "items"),
        {
            "$ref": "../common/identifier.json",
            "not": {
                "pattern": "^(attack-pattern|campaign|course-of-action|grouping"
                "|identity|incident|indicator|infrastructure|intrusion-set|location"
                "|malware-analysis|malware|note|observed-data|opinion|report"
                "|threat-actor|tool|vulnerability|bundle|language-content"
                "|marking-definition|extension-definition)--"
            },
        },
        "§4.14.1: observables and relationships, by the whole type and not its start",
    ),
)

# What the patterns of the schemas mean, for a person. Found by how the pattern starts.
_PATTERN_WORDS: Final = (
    ("^[0-9]{4}-(0[1-9]|1[012])", "a UTC time such as 2026-01-31T08:00:00.000Z"),
    ("^[a-z][a-z0-9-]+[a-z0-9]--", "an id: a type, two hyphens and a UUID"),
    ("^CVE-", "a CVE id such as CVE-2026-0001"),
    ("^CAPEC-", "a CAPEC id such as CAPEC-66"),
    ("^(([0-9]|[1-9][0-9]|1[0-9]{2}", "an IPv4 address or network"),
    ("^([0-9a-f]{2}[:]){5}", "a MAC address in lower case, with colons"),
    ("^([a-fA-F0-9]{2})+$", "an even number of hexadecimal digits"),
    ("^([A-Za-z0-9+/]{4})*", "base64 text"),
    ("^[a-fA-F0-9]{", "a hash: that many hexadecimal digits"),
    ("^([a-z][a-z0-9]*)+", "a type name of lower-case letters, digits and hyphens"),
)
# How much a finding helps: the first of these at the deepest place is told.
_RANK: Final = ("required", "type", "enum", "const", "pattern", "additionalProperties")
_RESERVED: Final = ("severity", "action", "username", "phone_numbers")


class Schemas:
    """Every schema by name, compiled when it is first asked for."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        """Amend the schemas given as JSON texts by name, such as `sdos/indicator`."""
        self._documents: dict[str, Any] = {
            name: json.loads(text) for name, text in texts.items()
        }
        for amendment in AMENDMENTS:
            _amend(self._documents[amendment.schema], amendment)
        for document in self._documents.values():
            _demand_ids(document)
        self._documents[CASE_ENTRY] = case_schema()
        self._registry = jsonschema_rs.Registry(
            [(document["$id"], document) for document in self._documents.values()]
        )
        self._compiled: dict[str, jsonschema_rs.Draft202012Validator] = {}
        self.types: dict[str, str] = {
            name.partition("/")[2]: name
            for name in self._documents
            if not name.startswith(("common/", "serantau/")) or name in _META
        }

    def check(self, name: str, data: dict[str, Any]) -> None:
        """Hold an object against the schema of that name.

        Raises:
            Refused: it does not fit; the most telling place is named.
        """
        validator = self._compiled.get(name)
        if validator is None:
            validator = self._compiled[name] = jsonschema_rs.Draft202012Validator(
                self._documents[name],
                registry=self._registry,
                # Linear in the length of the text, whatever a sender puts there.
                pattern_options=jsonschema_rs.RegexOptions(),
                offline=True,
            )
        if not validator.is_valid(data):
            raise _told(list(validator.iter_errors(data)), data)


def _amend(document: Any, amendment: Amendment) -> None:
    *steps, last = amendment.path
    for step in steps:
        document = document[step]
    if amendment.value is _DROP:
        del document[last]
    else:
        document[last] = amendment.value


def _demand_ids(node: Any) -> None:
    """Make each reference an id: for observables the schemas take any text.

    STIX 2.1 §6: such properties are of type identifier.
    """
    if isinstance(node, list):
        for item in node:
            _demand_ids(item)
    elif isinstance(node, dict):
        for name, item in node.items():
            if name.endswith("_ref") and item == _TEXT | item:
                item["$ref"] = _IDENTIFIER
            elif name.endswith("_refs") and item.get("items") == _TEXT:
                item["items"] = {"$ref": _IDENTIFIER}
            else:
                _demand_ids(item)


def _told(errors: list[jsonschema_rs.ValidationError], data: dict[str, Any]) -> Refused:
    """Put the most useful of several findings into words."""
    error = max(map(_innermost, errors), key=_use)
    place = pointer(*error.instance_path)
    expected = _expected(error)
    return Refused("schema", place, _got(error, data), expected)


def _use(error: jsonschema_rs.ValidationError) -> tuple[int, int]:
    name = error.kind.name
    rank = _RANK.index(name) if name in _RANK else len(_RANK)
    return len(error.instance_path), -rank


def _innermost(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    """Follow alternatives down to the finding of the one that went furthest."""
    branches = getattr(error.kind, "context", None)
    if not branches:
        return error
    inner = [
        max(map(_innermost, branch), key=_use)
        for branch in branches
        # An alternative for another type of object tells nothing about this one.
        if branch and not any(e.instance_path[-1:] == ["type"] for e in branch)
    ]
    deepest = max(inner, key=_use, default=error)
    return deepest if len(deepest.instance_path) > len(error.instance_path) else error


def _got(error: jsonschema_rs.ValidationError, data: dict[str, Any]) -> str:
    kind = error.kind
    match kind.name:
        case "required":
            return "no such property"
        case "additionalProperties":
            return f"property {shown(kind.as_dict()['unexpected'][0])}"
        case "not" if not error.instance_path:
            held = next((name for name in _RESERVED if name in data), "")
            return f"the reserved property {held}" if held else "this combination"
        case "anyOf" | "oneOf":
            return "none of these" if not error.instance_path else shown(error.instance)
    return shown(error.instance)


def _expected(error: jsonschema_rs.ValidationError) -> str:
    kind = error.kind
    value = kind.value
    match kind.name:
        case "required":
            return f"property {shown(value)}"
        case "type":
            return _types(value)
        case "enum":
            return " or ".join(shown(option) for option in value)
        case "const":
            return shown(value)
        case "pattern":
            words = (text for start, text in _PATTERN_WORDS if value.startswith(start))
            return next(words, f"text like {value}")
        case "additionalProperties":
            return "a name that STIX 2.1 allows here (§3.1: a-z, 0-9 and _)"
        case "minItems":
            return f"at least {value} member: leave the property out instead"
        case "minimum":
            return f"{value} or more"
        case "maximum":
            return f"{value} or less"
        case "anyOf" | "oneOf":
            return _alternatives(error)
        case "not":
            return "what STIX 2.1 allows here"
    return error.message


def _types(value: Any) -> str:
    names = value if isinstance(value, list) else [value]
    words = {"array": "a list", "object": "an object", "integer": "a whole number"}
    return " or ".join(words.get(name, f"a {name}") for name in names)


def _alternatives(error: jsonschema_rs.ValidationError) -> str:
    """Say what the alternatives ask for: properties, as far as they are about these."""
    names = [
        shown(inner.kind.value)
        for branch in error.kind.as_dict()["context"]
        for inner in branch
        if inner.kind.name == "required"
    ]
    if names:
        return f"property {' or '.join(dict.fromkeys(names))}"
    return "one of the forms that STIX 2.1 gives here"
