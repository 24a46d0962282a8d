"""The words of STIX 2.1 patterning (§9), as tables: tokens, operators, value paths.

`serantau.rules.indicator` walks them. Nothing here knows the order in which tokens may
come; what is here is what OASIS's grammar file and §9.6 to §9.9 list.
"""

from __future__ import annotations

import re
from typing import Final

# --- Tokens --------------------------------------------------------------------------

# §9.9: Unicode's white space, plus comments, which may stand wherever white space may.
_SPACE = r"[\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]++"
_SKIPPED = rf"(?:{_SPACE}|/\*.*?\*/|//[^\r\n]*+)"
_IDENTIFIER = r"[a-zA-Z_][a-zA-Z0-9_]*+"
_OBJECT_TYPE = r"[a-zA-Z_][a-zA-Z0-9_-]*+"
_STRING = r"'[^'\\]*+(?:\\['\\][^'\\]*+)*+'"
_KEY = rf"(?:{_IDENTIFIER}|{_STRING})"

# In the order in which they are tried; the first that fits is the longest. Three take
# more than the grammar allows, so that malformed text costs one look and not one for
# each character of it (`check` tells afterwards): numbers with leading zeros, strings
# that never end, comments that never end.
TOKENS: Final = {
    "bracket": r"[\[\](),]",
    "string": rf"{_STRING}|'[^'\\]*+(?:\\['\\][^'\\]*+)*+",
    "literal": r"[hbt]'[^'\\]*+'",
    "word or path": rf"{_OBJECT_TYPE}(?::{_KEY}(?:\.{_KEY})*+)?+",
    "operator": r"==|!=|<>|<=|>=|[=<>]",
    "number": r"[+-]?(?:[0-9]++(?:\.[0-9]++)?|\.[0-9]++)",
    "open comment": r"/\*.*+",
    "mark": r".",
    "end": r"\Z",
}
# One group, so that `findall` gives a plain list of texts: kinds are told by the first
# character, places are counted again only when there is an error to point at.
TOKEN: Final = re.compile(f"{_SKIPPED}*+({'|'.join(TOKENS.values())})", re.DOTALL)

is_string: Final = re.compile(_STRING).fullmatch
is_identifier: Final = re.compile(_IDENTIFIER).fullmatch
is_object_type: Final = re.compile(_OBJECT_TYPE).fullmatch
path_parts: Final = re.compile(rf"{_OBJECT_TYPE}(?=:)|{_KEY}").findall
is_integer: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]*)").fullmatch
is_float: Final = re.compile(r"[+-]?[0-9]*\.[0-9]+").fullmatch
# A number of more characters than any IEEE 754 double needs is not a number but an
# attempt to keep the reader busy.
LONGEST_NUMBER: Final = 400
is_hex: Final = re.compile(r"h'(?:[0-9A-Fa-f]{2})*'").fullmatch
_B64 = "[A-Za-z0-9+/]"
is_binary: Final = re.compile(
    rf"b'(?:{_B64}{{4}})*(?:{_B64}{{4}}|{_B64}{{3}}=|{_B64}{{2}}==)'"
).fullmatch
is_timestamp: Final = re.compile(
    r"t'[0-9]{4}-(?:0[1-9]|1[012])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?Z'"
).fullmatch

# §9.9: case-sensitive, and not to be used as names without quotes.
KEYWORDS: Final = frozenset(
    {
        *("AND", "OR", "NOT", "FOLLOWEDBY", "IN", "LIKE", "MATCHES", "EXISTS"),
        *("ISSUPERSET", "ISSUBSET", "WITHIN", "SECONDS", "REPEATS", "TIMES"),
        *("START", "STOP", "LAST", "true", "false"),
    }
)

# The pattern that nearly every indicator has: one observation, where paths compare to
# plain strings or whole numbers, joined by one operator (the group that matched: 1 for
# AND, 2 for OR).
_PATH = rf"{_OBJECT_TYPE}:{_KEY}(?:\.{_KEY})*+"
_COMPARES = r" ?(?:==?|!=|<>|[<>]=?) ?"
_PLAIN = r"'[^'\\]*+'"
_WHOLE = r"-?(?:0|[1-9][0-9]{0,17})"
_TERM = rf"{_PATH}{_COMPARES}(?:{_PLAIN}|{_WHOLE})"
FLAT: Final = re.compile(rf"\[{_TERM}(?:( AND {_TERM})++|( OR {_TERM})++)?\]").fullmatch
flat_terms: Final = re.compile(
    rf"({_PATH})({_COMPARES})(?:({_PLAIN})|({_WHOLE}))"
).findall

# --- Operators -----------------------------------------------------------------------

# §9.4, §9.6.2: the loosest first. All associate to the left.
OBSERVATION_LEVELS: Final = ("FOLLOWEDBY", "OR", "AND")
COMPARISON_LEVELS: Final = ("OR", "AND")
BINDING: Final = {word: rank for rank, word in enumerate(OBSERVATION_LEVELS)}

# §9.6.1: as written -> (as kept, what may follow).
COMPARISONS: Final = {
    "=": ("=", "value"),
    "==": ("=", "value"),
    "!=": ("!=", "value"),
    "<>": ("!=", "value"),
    "<": ("<", "ordered value"),
    "<=": ("<=", "ordered value"),
    ">": (">", "ordered value"),
    ">=": (">=", "ordered value"),
    "IN": ("IN", "set"),
    "LIKE": ("LIKE", "string"),
    "MATCHES": ("MATCHES", "string"),
    "ISSUBSET": ("ISSUBSET", "string"),
    "ISSUPERSET": ("ISSUPERSET", "string"),
}

# §9.5.1: the word that opens a qualifier -> what follows, keywords in upper case.
QUALIFIERS: Final = {
    "WITHIN": ("positive number", "SECONDS"),
    "REPEATS": ("positive integer", "TIMES"),
    "START": ("timestamp", "STOP", "timestamp"),
}

EXPECTED: Final = {
    "value": "a value: a string in single quotes, number, true, false, h'', b'' or t''",
    "ordered value": "a value that has an order (true and false have none)",
    "set": "a set: values in parentheses, with commas between",
    "string": "a string in single quotes",
    "positive number": "a number that is not negative",
    "positive integer": "a whole number that is not negative",
    "timestamp": "a timestamp: t'2026-01-31T12:00:00Z'",
}

# --- What a path compares ------------------------------------------------------------

# What the far end of a connection may be.
ADDRESSES: Final = frozenset({"ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"})

# Object path without list indexes -> kind of the value, for search and correlation.
# "any address" is a reference that may lead to several types: the value itself tells.
VALUE_KINDS: Final = {
    "artifact:url": "url",
    "autonomous-system:number": "autonomous-system",
    "directory:path": "directory",
    "domain-name:value": "domain-name",
    "domain-name:resolves_to_refs.value": "any address",
    "email-addr:value": "email-addr",
    "email-message:bcc_refs.value": "email-addr",
    "email-message:cc_refs.value": "email-addr",
    "email-message:from_ref.value": "email-addr",
    "email-message:sender_ref.value": "email-addr",
    "email-message:to_refs.value": "email-addr",
    "file:name": "file",
    "file:extensions.windows-pebinary-ext.imphash": "imphash",
    "ipv4-addr:value": "ipv4-addr",
    "ipv4-addr:resolves_to_refs.value": "mac-addr",
    "ipv6-addr:value": "ipv6-addr",
    "ipv6-addr:resolves_to_refs.value": "mac-addr",
    "mac-addr:value": "mac-addr",
    "mutex:name": "mutex",
    "network-traffic:dst_ref.value": "any address",
    "network-traffic:src_ref.value": "any address",
    "process:command_line": "process",
    "process:name": "process",
    "process:binary_ref.name": "file",
    "process:image_ref.name": "file",
    "url:value": "url",
    "user-account:account_login": "user-account",
    "user-account:user_id": "user-account",
    "windows-registry-key:key": "windows-registry-key",
    "x509-certificate:serial_number": "x509-certificate",
}
