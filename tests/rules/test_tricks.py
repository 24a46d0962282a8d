"""Unicode and number tricks: what two programs could read as two things proves nothing.

Each trick is done to the bytes of an object that was well signed, as a relay would send
them: either the reader refuses them, or the signature is invalid, or they mean, to the
letter, what was signed.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from keys import by, identity, key
from samples import READER
from serantau.rules.canonical import canonical
from serantau.rules.refusal import Refused
from serantau.rules.signature import Standing, examine, unsigned

KEYS = {identity("th"): (key("th"),)}
NAME = "c2 of ป่า caf\u00e9"


GOOD = orjson.dumps(by("th", name=NAME, confidence=50, x_score=0.5, x_count=3))


def changed(old: str, new: str) -> bytes:
    assert GOOD.count(old.encode()) == 1, old
    return GOOD.replace(old.encode(), new.encode())


def meaning(text: bytes) -> Any:
    return canonical(unsigned(orjson.loads(text)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"confidence":50', '"confidence":10,"confidence":50'),
        ('"confidence":50', '"confidence":50,"\\u0063onfidence":99'),
        ('"name":"', '"name":"\\ud800'),
        ('"confidence":50', '"confidence":NaN'),
        ('"confidence":50', '"confidence":1e999'),
        ('"confidence":50', '"confidence":050'),
        ('"confidence":50', '"confidence":0x32'),
        ('"name":"', '\ufeff"name":"'),
        ('"x_count":3', '"x_count":3,}'),
        ('"x_count":3', '"x_count":3}{"x_count":4'),
    ],
)
def test_text_that_readers_disagree_about_is_not_read(old: str, new: str) -> None:
    with pytest.raises(Refused):
        READER.read(changed(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The same letter composed another way; one that only looks the same; letters
        # that are not seen, or turn what follows around.
        ("caf\u00e9", "cafe\u0301"),
        ("c2 of", "\u0441" + "2 of"),
        ("c2 of", "c2\u200b of"),
        ("c2 of", "c2\u202e of"),
        ("c2 of", "c2\u00a0of"),
        ("c2 of", "C2 of"),
        ('"name"', '"na\u200dme"'),
        # Numbers that one program reads as the same and another does not.
        ('"x_count":3', '"x_count":3.0000000000000001e0,"x_more":1'),
        ('"x_count":3', '"x_count":9007199254740993'),
        ('"x_count":3', '"x_count":18446744073709551619'),
        ('"x_count":3', '"x_count":"3"'),
        ('"x_count":3', '"x_count":true'),
        ('"x_score":0.5', '"x_score":0.50000000000000011'),
        ('"x_score":0.5', '"x_score":-0.5'),
    ],
)
def test_what_means_something_else_is_invalid(old: str, new: str) -> None:
    try:
        version = READER.read(changed(old, new))
    except Refused:
        return
    data = orjson.loads(version.body)
    assert examine(data, KEYS).standing is Standing.INVALID


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("caf\u00e9", "caf\\u00e9"),
        ('"confidence":50', '"\\u0063onfidence" : 5e1'),
        ('"confidence":50', '"confidence":50.0'),
        ('"x_count":3', '"x_count":\n\t3'),
        ('"x_score":0.5', '"x_score":5e-1'),
        ('"x_score":0.5', '"x_score":0.50000000000000000000001'),
    ],
)
def test_another_way_to_write_the_same_stays_valid(old: str, new: str) -> None:
    text = changed(old, new)
    data = orjson.loads(READER.read(text).body)
    assert examine(data, KEYS).standing is Standing.VALID
    assert meaning(text) == meaning(GOOD)
