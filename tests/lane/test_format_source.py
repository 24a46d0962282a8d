"""Files are opened within limits, and what is no report is told so."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from serantau.clock import instant
from serantau.errors import BadInput, TooLarge
from serantau.lane.formats import Formats, Limits, read, read_form
from serantau.lane.formats.source import opening, plain_name
from serantau.lane.origin import Origin

Pack = Callable[[bytes], bytes]
ORIGIN = Origin("feed", "ab" * 32, instant("2026-06-01T00:00:00Z"), "file.csv")
FORM = read_form('[columns]\nip = "source_address"\n', "mine", "mine.toml")
TEXT = b"ip,c\n192.0.2.1,x\n192.0.2.2,y\n"


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # Without a date of today, so that the bytes name a test for good.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def addresses(data: bytes, limits: Limits | None = None) -> list[str]:
    return [
        address
        for piece in read(data, FORM, ORIGIN, limits=limits)
        for address in piece.frame["source_address"]
    ]


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        gzip.compress(TEXT, mtime=0),
        gzip.compress(TEXT[:10], mtime=0) + gzip.compress(TEXT[10:], mtime=0),
        zstandard.compress(TEXT),
        zstandard.compress(TEXT[:10]) + zstandard.compress(TEXT[10:]),
        zipped({"a.csv": TEXT}),
        zipped({"folder/": b"", "folder/a.csv": TEXT, "__MACOSX/a.csv": b"\0"}),
    ],
    ids=["plain", "gz", "gz twice", "zst", "zst twice", "zip", "zip with folders"],
)
def test_a_file_is_read_however_it_is_packed(data: bytes, tmp_path: Path) -> None:
    assert addresses(data) == ["192.0.2.1", "192.0.2.2"]
    (tmp_path / "file").write_bytes(data)
    path = tmp_path / "file"
    assert sum(piece.frame.height for piece in read(path, FORM, ORIGIN)) == 2
    with path.open("rb") as file:
        assert sum(piece.frame.height for piece in read(file, FORM, ORIGIN)) == 2


def test_all_files_of_a_zip_are_read_and_their_rows_counted_through() -> None:
    pieces = list(read(zipped({"a.csv": TEXT, "b.csv": TEXT}), FORM, ORIGIN))
    assert [n for piece in pieces for n in piece.frame["number"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "inner",
    [gzip.compress(TEXT, mtime=0), zipped({"a": TEXT}), zstandard.compress(TEXT)],
    ids=["gz", "zip", "zst"],
)
@pytest.mark.parametrize("outer", ["gz", "zip", "zst"])
def test_an_archive_within_an_archive_is_refused(inner: bytes, outer: str) -> None:
    data = {
        "gz": gzip.compress(inner, mtime=0),
        "zip": zipped({"a": inner}),
        "zst": zstandard.compress(inner),
    }[outer]
    with pytest.raises(BadInput, match="archive within an archive"):
        addresses(data)


def tar(data: bytes) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return whole.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bz2.compress(TEXT), "bzip2"),
        (lzma.compress(TEXT), "xz"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z"),
        (b"Rar!\x1a\x07\x01" + bytes(50), "RAR"),
        (b"%PDF-1.7 ...", "PDF"),
        (tar(TEXT), "tar"),
        (gzip.compress(tar(TEXT), mtime=0), "tar"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(data: bytes, kind: str) -> None:
    with pytest.raises(BadInput, match=f"{kind} is not read here"):
        addresses(data)


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.compress, lambda data: zipped({"a": data})]
)
def test_a_bomb_is_stopped_by_its_ratio_and_by_its_size(pack: Pack) -> None:
    bomb = pack(b"ip\n" + b"192.0.2.1\n" * 10_000_000)
    assert len(bomb) < 500_000
    with pytest.raises(TooLarge, match="unpacks to more than 100 times its size"):
        addresses(bomb, Limits(ratio=100))
    with pytest.raises(TooLarge, match="unpacks to more than 50000 bytes"):
        addresses(bomb, Limits(file_bytes=50_000))


def test_too_many_files_in_a_zip_are_refused() -> None:
    many = zipped({f"{at}.csv": TEXT for at in range(4)})
    with pytest.raises(TooLarge, match="4 files in one zip, limit 3"):
        addresses(many, Limits(members=3))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_file_that_is_cut_off_is_damaged_and_not_short(pack: Pack) -> None:
    whole = pack(TEXT + bytes(range(256)) * 50)
    with pytest.raises(BadInput, match="damaged"):
        addresses(whole[: len(whole) // 2])


def test_a_zip_with_a_wrong_checksum_is_damaged() -> None:
    data = bytearray(zipped({"a.csv": TEXT * 100}))
    at = data.index(b"a.csv") + 20
    data[at : at + 8] = bytes(8)
    with pytest.raises(BadInput, match="damaged"):
        addresses(bytes(data))
    with pytest.raises(BadInput, match="damaged zip"):
        addresses(bytes(data[:100]))


def test_a_locked_zip_is_refused() -> None:
    data = bytearray(zipped({"a.csv": TEXT}))
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = data.index(mark) + (6 if mark.endswith(b"\x04") else 8)
        data[at] |= 1
    with pytest.raises(BadInput, match="locked by a password"):
        addresses(bytes(data))


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html><body>Down</body></html>",
        b"\n  <HTML lang=en>",
        b"\xef\xbb\xbf<!-- x --><!doctype  html>",
        gzip.compress(b"<html>", mtime=0),
    ],
)
def test_a_web_page_is_no_report(page: bytes) -> None:
    with pytest.raises(BadInput, match="a web page and no report"):
        addresses(page)


def test_the_inner_name_and_text_are_known_from_the_first_bytes() -> None:
    long = TEXT * 1000
    for head, name in (
        (long[:500], "x.csv"),
        (gzip.compress(long, mtime=0)[:60], "x.csv.gz"),
        (zstandard.compress(long), "x.csv.zst"),
        (zipped({"in/x.csv": long})[:120], "y.zip"),
    ):
        assert opening(name, head) == ("x.csv", opening(name, head)[1])
        assert opening(name, head)[1].startswith("ip,c\n192.0.2.1,x\n")
    assert opening("a.gz", b"\x1f\x8b\x08broken") == ("a", "")
    assert opening("a.zst", b"\x28\xb5\x2f\xfdbroken")[0] == "a"
    assert opening("a.csv", "ip,c\nä".encode("utf-16"))[1] == "ip,c\nä"
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("s.csv", TEXT)
    assert opening("y.zip", stored.getvalue()) == ("s.csv", TEXT.decode())
    assert opening("y.zip", zipped({"z.csv": TEXT})[:30] + bytes(4)) == ("y", "")


def test_a_packed_report_is_recognised_by_what_it_holds() -> None:
    text = b'"timestamp","ip","port"\n"2026-01-01 00:00:00","192.0.2.1",80\n'
    name = "2026-01-01-scan_future-x-asn.csv"
    for data in (gzip.compress(text), zipped({name: text}), zstandard.compress(text)):
        form = Formats().recognise(f"{name}.gz", data)
        assert form is not None
        assert form.name == "shadowserver"
        (piece,) = read(
            data, form, Origin("f", "0" * 64, ORIGIN.received, f"{name}.gz")
        )
        assert piece.frame["report"].to_list() == ["scan_future"]


def test_names_lose_folders_and_packing() -> None:
    assert plain_name("a/b\\c.csv.GZ") == "c.csv"
    assert plain_name("report.zip") == "report"
