"""An observable's id is what its content makes it: the same everywhere."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from stix2 import v21

from samples import observable, read, refusal
from serantau.rules.sco import CONTRIBUTING, is_deterministic, sco_id

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
SHA256 = hashlib.sha256(b"").hexdigest()
EXAMPLES: list[dict[str, Any]] = [
    {"type": "artifact", "payload_bin": "AAAA"},
    {"type": "autonomous-system", "number": 15139},
    {"type": "directory", "path": "C:\\Windows"},
    {"type": "domain-name", "value": "ตัวอย่าง.ไทย"},
    {"type": "email-addr", "value": "a@b.example"},
    {"type": "email-message", "is_multipart": False, "subject": "s", "body": "b"},
    {"type": "file", "hashes": {"SHA-256": SHA256, "MD5": MD5}, "name": "x", "size": 1},
    {"type": "file", "hashes": {"SHA3-256": SHA256}},
    {"type": "ipv4-addr", "value": "198.51.100.3"},
    {"type": "ipv6-addr", "value": "2001:db8::1"},
    {"type": "mac-addr", "value": "d2:fb:49:24:37:18"},
    {"type": "mutex", "name": "__CLEANSWEEP__"},
    {
        "type": "network-traffic",
        "src_ref": "ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd",
        "src_port": 80,
        "protocols": ["tcp", "http"],
    },
    {"type": "software", "name": "Word", "version": "2010"},
    {"type": "url", "value": 'https://example.org/?q=\u2028"\\'},
    {"type": "user-account", "user_id": "1001", "account_type": "unix"},
    {"type": "windows-registry-key", "key": "HKEY_USERS\\x", "values": [{"name": "n"}]},
    {"type": "x509-certificate", "serial_number": "36:f7"},
]


@pytest.mark.parametrize("data", EXAMPLES, ids=lambda data: data["type"])
def test_ids_are_those_of_the_stix2_package(data: dict[str, Any]) -> None:
    oracle = v21.OBJ_MAP_OBSERVABLE[data["type"]](**data)
    assert sco_id(data) == oracle["id"]
    assert read({**data, "id": oracle["id"], "spec_version": "2.1"}).unversioned


def test_the_contributing_properties_are_those_of_the_stix2_package() -> None:
    theirs = {
        kind: sorted(cls._id_contributing_properties)
        for kind, cls in v21.OBJ_MAP_OBSERVABLE.items()
    }
    assert {kind: sorted(names) for kind, names in CONTRIBUTING.items()} == theirs


@given(st.text())
def test_the_short_way_for_one_text_is_the_canonical_way(value: str) -> None:
    try:
        canonical = rfc8785.dumps({"value": value})
    except rfc8785.CanonicalizationError:
        return
    namespace = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
    digest = uuid.uuid5(namespace, canonical.decode())
    assert sco_id({"type": "url", "value": value}) == f"url--{digest}"


@given(st.text(max_size=8), st.text(max_size=8), st.text(min_size=1, max_size=4))
def test_the_short_way_for_texts_and_hashes_is_the_canonical_way(
    name: str, digest: str, algorithm: str
) -> None:
    made: dict[str, Any] = {"hashes": {algorithm: digest}, "name": name}
    try:
        canonical = rfc8785.dumps(made)
    except rfc8785.CanonicalizationError:
        return
    namespace = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
    expected = uuid.uuid5(namespace, canonical.decode())
    assert sco_id({"type": "file", **made}) == f"file--{expected}"


def test_an_id_that_the_content_does_not_make_is_refused_with_the_right_one() -> None:
    lie = observable("ipv4-addr", value="198.51.100.3")
    lie["id"] = "ipv4-addr--" + str(uuid.uuid5(uuid.NAMESPACE_DNS, "x"))
    refused = refusal(lie)
    assert (refused.rule, refused.place) == ("sco-id", "/id")
    assert "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4" in refused.expected


def test_an_id_in_capitals_is_the_same_id() -> None:
    right = "ipv4-addr--28BB3599-77CD-5A82-A950-B5BC3CAF07C4"
    assert read({"type": "ipv4-addr", "id": right, "value": "198.51.100.3"}).id == right


def test_a_random_id_is_let_be() -> None:
    assert read(observable("url", value="http://a.example")).type == "url"


def test_no_id_is_made_where_the_standard_makes_none() -> None:
    assert sco_id({"type": "process", "pid": 3}) is None
    assert sco_id({"type": "x-odd", "value": "v"}) is None
    assert sco_id({"type": "software", "languages": ["th"]}) is None
    assert sco_id({"type": "url", "value": 3}) is not None
    # RFC 8785 cannot write it, so nobody can recompute it.
    assert sco_id({"type": "autonomous-system", "number": 2**60}) is None
    process = "process--" + str(uuid.uuid5(uuid.NAMESPACE_DNS, "p"))
    assert is_deterministic(process)
    assert read({"type": "process", "id": process, "pid": 3}).id == process
