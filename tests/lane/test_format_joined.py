"""What a row brings in a column called `extra` joins what else is left of it."""

from io import BytesIO

import orjson
import pytest

from serantau.lane.formats.reading import read
from serantau.lane.formats.registry import Formats
from serantau.lane.formats.rows import Limits
from serantau.lane.origin import Origin

ORIGIN = Origin(feed="node.th", batch="ab" * 32, received=1_790_000_000_000_000)


@pytest.mark.parametrize(
    ("row", "left"),
    [
        ({"note": "a", "extra": {"tag": "ประตู"}}, {"note": "a", "tag": "ประตู"}),
        ({"note": "ours", "extra": {"note": "theirs"}}, {"note": "theirs"}),
        ({"extra": "just words"}, {"extra": "just words"}),
        ({"note": "a", "extra": None}, {"note": "a"}),
    ],
)
def test_extra_is_one_object(row: dict[str, object], left: dict[str, object]) -> None:
    text = orjson.dumps({"source_address": "203.0.113.7", **row})
    form = Formats(None).named("serantau-json")
    (piece,) = read(BytesIO(text), form, ORIGIN, limits=Limits())
    assert orjson.loads(piece.frame["extra"][0]) == left


def test_levels_of_a_node_are_numbers() -> None:
    text = b'{"source_address": "203.0.113.7", "tlp": 2, "severity": 3}'
    form = Formats(None).named("serantau-json")
    (piece,) = read(BytesIO(text), form, ORIGIN, limits=Limits())
    assert (piece.frame["tlp"][0], piece.frame["severity"][0]) == (2, 3)
