"""Events by the JSON API: 202 says that they are on disk, and nothing more."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest

from doors import Site
from knocks import Api, api_of
from serantau.config import LimitsSection, NodeConfig
from serantau.desk.lane import Lane
from serantau.records.batches import State

CSV = b"time,ip\n2026-03-01,192.0.2.1\n"


@pytest.fixture
def api(site: Site) -> Api:
    return api_of(site)


def post(api: Api, body: bytes = CSV, user: str = "wan", **how: Any) -> Any:
    params = {"feed": "honeypot", **how.pop("params", {})}
    headers = {"Content-Type": "text/csv", **how.pop("headers", {})}
    return api(
        "POST", "/events", user, content=body, params=params, headers=headers, **how
    )


def test_what_was_answered_with_202_is_on_disk_under_its_sha_256(
    api: Api, site: Site
) -> None:
    for body in (CSV, CSV * 10_000):
        answer = post(api, body, params={"name": "a.csv", "tlp": "TLP:GREEN"})
        assert answer.status_code == 202
        told = answer.json()
        assert told["new"] is True
        digest = hashlib.sha256(body).hexdigest()
        assert told["batch"]["batch"] == digest
        assert told["batch"]["state"] == "stored"
        assert told["batch"]["source"] == "user:wan"
        again = post(api, body).json()
        assert again == {"new": False, "batch": told["batch"]}
        assert api.told("GET", f"/batches/{digest}") == told["batch"]
        lane = Lane(site.node)
        with site.node.db.read() as tx:
            held = lane.batches.get(tx, digest)
        with lane.open(held) as stream:
            assert stream.read() == body
        assert (held.name, held.tlp) == ("a.csv", 1)


def test_a_packed_body_is_kept_as_it_came(api: Api, site: Site) -> None:
    packed = gzip.compress(CSV, mtime=0)
    told = post(api, packed, headers={"Content-Encoding": "gzip"}).json()
    assert told["batch"]["size"] == len(packed)
    for encoding, body, status in (
        ("gzip", CSV, 422),
        ("zstd", CSV, 422),
        ("br", CSV, 415),
    ):
        answer = post(api, body, headers={"Content-Encoding": encoding})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"feed": ""}, 400),
        ({"feed": "../x"}, 400),
        ({"feed": "Upper"}, 400),
        ({"format": "a/b"}, 400),
        ({"name": "a/b.csv"}, 400),
        ({"name": "a\nb"}, 400),
        ({"tlp": "mauve"}, 400),
    ],
)
def test_what_is_said_of_a_body_must_be_plain(
    api: Api, params: dict[str, str], status: int
) -> None:
    answer = post(api, params=params)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "bad-request"


def test_an_empty_body_is_no_batch_and_a_large_one_leaves_nothing(
    open_site: Any, config: NodeConfig
) -> None:
    from msgspec.structs import replace

    limits = LimitsSection(post_bytes=100_000)
    site = open_site(replace(config, limits=limits))
    api = api_of(site)
    assert post(api, b"").status_code == 422
    assert post(api, b"x" * 100_001).status_code == 413

    def pieces() -> Any:
        for _ in range(200):
            yield b"x" * 1000

    assert post(api, pieces()).status_code == 413
    assert api.told("GET", "/batches")["batches"] == []
    folder = site.node.config.lane_folder
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_only_those_who_may_write_add_events(api: Api) -> None:
    assert post(api, user="wei").status_code == 403
    assert post(api, headers={"Content-Type": "text/html"}).status_code == 415
    assert api("GET", "/batches", "wei").status_code == 403


def test_batches_are_listed_in_pages_by_state_and_feed(api: Api, site: Site) -> None:
    for number in range(3):
        post(api, b"%d" % number, params={"feed": "odd" if number % 2 else "even"})
    lane = Lane(site.node)
    with site.node.db.write() as tx:
        (first,) = lane.batches.claim(tx, "w", 60)
        lane.batches.finish(tx, first, rows=5, rejects=1, format_name="x")
    page = api.told("GET", "/batches", params={"limit": 2})
    assert (len(page["batches"]), page["more"]) == (2, True)
    rest = api.told("GET", "/batches", params={"before": page["before"]})
    assert [one["number"] for one in rest["batches"]] == [first.number]
    assert rest["more"] is False
    done = api.told("GET", "/batches", params={"state": "done"})["batches"]
    assert [(one["rows"], one["rejects"]) for one in done] == [(5, 1)]
    odd = api.told("GET", "/batches", params={"feed": "odd"})["batches"]
    assert {one["feed"] for one in odd} == {"odd"}
    assert api("GET", f"/batches/{'0' * 64}").status_code == 404


def test_the_lane_is_told_with_its_rates_and_alarms(api: Api, site: Site) -> None:
    post(api)
    post(api, b"<html>")
    lane = Lane(site.node)
    with site.node.db.write() as tx:
        one, two = lane.batches.claim(tx, "w", 60, limit=2, size=1000)
        lane.batches.finish(tx, one, rows=5, rejects=1, format_name="x")
        lane.batches.hold(tx, two, "it is a web page, not data")
    told = api.told("GET", "/lane")
    (feed,) = told["feeds"]
    assert told["states"]["done"] == told["states"][State.HELD] == 1
    assert (feed["feed"], feed["way"], feed["rows"]) == ("honeypot", "posted", 5)
    assert feed["rate"] > 0
    assert feed["alarms"] == ["a batch is held: it is a web page, not data"]
