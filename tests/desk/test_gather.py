"""Which files are STIX, which MISP, which neither; and what a bad one does."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from commands import indicator
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.gather import Gathering, Input, kind_of
from serantau.errors import BadInput
from serantau.node import Node

EVENT = {"Event": {"info": "x", "uuid": "5bbe5d08-e794-4329-b715-01550a016219"}}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    home = tmp_path_factory.mktemp("gather") / "th"
    found(home, Charter("th", "ThaiCERT"))
    with Node(load_config(home)) as node:
        yield node


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"type": "bundle", "id": "bundle--1", "objects": []}', "stix"),
        (b'{"objects": [{}]}', "stix"),
        (orjson.dumps(indicator(1)), "stix"),
        (orjson.dumps([indicator(1)]), "stix"),
        (orjson.dumps(indicator(1)) + b"\n" + orjson.dumps(indicator(2)), "stix"),
        (gzip.compress(orjson.dumps(indicator(1)), mtime=0), "stix"),
        (orjson.dumps(EVENT), "misp"),
        (orjson.dumps({"response": [EVENT]}), "misp"),
        (gzip.compress(orjson.dumps(EVENT), mtime=0), "misp"),
        (b'{"type": "Topology", "objects": {"countries": {}}}', "other"),
        (b'{"document": {"type": "x", "id": "y"}}', "other"),
        (b'{"name": "a list", "type": "cidr", "list": []}', "other"),
        (b"[1, 2]", "other"),
        (b"{}", "other"),
        (b"not JSON", "stix"),
        (b'{"document":', "stix"),
        (b"", "stix"),
    ],
)
def test_a_file_is_told_by_what_stands_in_it(text: bytes, kind: str) -> None:
    assert kind_of(text) == kind


def test_real_files_are_told_apart(corpora: Path) -> None:
    expected = {"stix": "stix", "misp": "misp", "csaf": "other", "lists": "other"}
    for folder, kind in expected.items():
        files = [one for one in Gathering.inputs([corpora / folder]) if one.path]
        assert files
        for one in files:
            assert one.path is not None
            with one.path.open("rb") as stream:
                assert kind_of(stream.read(1 << 20)) == kind, one.path


@pytest.mark.parametrize(
    "text",
    [
        gzip.compress(orjson.dumps(EVENT), mtime=0)[:-9],
        b'{"Event": {"info": "x", "uuid": "',
        b'{"Event": 1}',
        b'{"response": []}',
    ],
)
def test_a_misp_file_that_is_broken_is_left_alone_with_the_reason(
    node: Node, text: bytes
) -> None:
    sheet = Gathering(node).take_stream(io.BytesIO(text), "event.json")
    assert sheet.kind == "misp"
    assert sheet.skipped
    assert sheet.report.total == 0


def test_a_file_that_may_not_be_read_does_not_stop_the_others(
    node: Node, tmp_path: Path
) -> None:
    gone = Input(str(tmp_path / "gone.json"), tmp_path / "gone.json", 1, named=False)
    sheet = Gathering(node).take(gone)
    assert sheet.skipped.startswith("cannot be read")


def test_progress_counts_the_bytes_of_the_file(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_bytes(orjson.dumps({"objects": [indicator(1), indicator(2)]}))
    seen: list[int] = []
    (one,) = Gathering.inputs([file])
    Gathering(node).take(one, progress=lambda done, _: seen.append(done))
    assert seen
    assert seen[-1] == one.size


def test_links_in_a_folder_and_hidden_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data" / ".git").mkdir(parents=True)
    (tmp_path / "data" / ".git" / "x.json").write_text("{}")
    (tmp_path / "data" / ".hidden.json").write_text("{}")
    (tmp_path / "data" / "a.JSON.GZ").write_text("{}")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "b.json").write_text("{}")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "else")
    found_ = Gathering.inputs([tmp_path / "data"])
    assert [Path(one.origin).name for one in found_] == ["a.JSON.GZ"]
    with pytest.raises(BadInput, match="is not there"):
        Gathering.inputs([tmp_path / "none"])
