"""What is checked by two processes is what one would have found, whatever happens."""

import os
import signal
import time
from collections.abc import Iterator

import orjson
import pytest

from samples import made
from serantau.desk import beside
from serantau.desk.beside import Aide, Beside, Checked, ProcessGone, check
from serantau.rules.refusal import Refused
from serantau.rules.stix import Limits, ObjectVersion, Reader
from serantau.wire.bundle import Piece
from serantau.wire.schemas import load_schemas

US = "identity--0c3c1d7c-3c86-4a55-9d5c-8a8e3a6fdc11"
GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"


def pieces() -> list[Piece]:
    """Objects of many kinds, some broken, one cut off, one a definition."""
    raws: list[bytes | None] = [
        orjson.dumps(made("indicator", object_marking_refs=[GREEN]))
        for _ in range(beside._WORTH)
    ]
    statement = {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": "marking-definition--6f5c1a8e-5a3f-4a36-8f57-8f0b5c5b9d11",
        "created": "2026-01-01T00:00:00.000Z",
        "definition_type": "statement",
        "definition": {"statement": "ours"},
    }
    parted = made(
        "malware",
        name="Kelip",
        is_family=False,
        description="secret",
        granular_markings=[{"marking_ref": RED, "selectors": ["description"]}],
    )
    raws[7] = b'{"type": "indicator"}'
    raws[300] = b"{broken"
    raws[301] = orjson.dumps(statement)
    raws[302] = orjson.dumps(parted)
    cut = Piece(1000, 0, 1000, None, Refused("truncated", "", "the end", "its rest"))
    return [Piece(place, 0, place, raw) for place, raw in enumerate(raws, 1)] + [cut]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(Limits(), load_schemas())


@pytest.fixture
def aide() -> Iterator[Aide]:
    made = Aide(Limits(), US)
    yield made
    made.close()


def told(checked: Checked) -> list[object]:
    """What was found, but for the ids of what is derived anew each time."""
    versions, findings = checked

    def shown(version: ObjectVersion) -> object:
        if version.creator == US:
            return version.type, version.redacted, version.granular_refs
        return version

    return [*map(shown, versions), *findings]


def test_another_process_finds_what_this_one_finds(reader: Reader) -> None:
    given = pieces()
    expected = told(check(reader, given, US))
    with Beside(Limits(), US) as other:
        for _ in range(3):
            other.send(given)
        for _ in range(3):
            assert told(other.receive()) == expected
    assert len(expected) > len(given)


def test_limits_hold_in_another_process(reader: Reader) -> None:
    with Beside(Limits(object_bytes=10)) as other:
        other.send(pieces()[:1])
        (finding,) = other.receive()[1]
    assert finding.rule == "object_bytes"


def test_help_changes_nothing_also_when_it_dies(reader: Reader, aide: Aide) -> None:
    given = pieces()
    expected = told(check(reader, given, US))
    assert told(aide.check(reader, given)) == expected
    first = aide._beside
    assert first is not None
    assert told(aide.check(reader, given)) == expected
    assert aide._beside is first
    os.kill(first._process.pid, signal.SIGKILL)
    first._process.wait()
    assert told(aide.check(reader, given)) == expected
    assert aide._beside is not first
    assert told(aide.check(reader, given)) == expected


def test_little_is_checked_without_help(reader: Reader, aide: Aide) -> None:
    assert len(aide.check(reader, pieces()[:5])[0]) == 5
    assert aide._beside is None


def test_a_process_that_is_gone_is_told(reader: Reader) -> None:
    with Beside(Limits()) as other:
        other._process.kill()
        with pytest.raises(ProcessGone, match="-9"):
            other.receive()
        with pytest.raises(ProcessGone, match="-9"):
            other.send(pieces())


def test_a_process_without_work_ends_by_itself() -> None:
    with Beside(Limits(), patience=0.05) as other:
        assert other._process.wait(timeout=30) == 0


def test_a_process_ends_with_its_work_under_way() -> None:
    other = Beside(Limits())
    other.send(pieces() * 20)
    began = time.monotonic()
    other.close()
    assert time.monotonic() - began < 20
    assert other._process.returncode == 0
