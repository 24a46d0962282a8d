import gzip
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from serantau.clock import SetClock, instant, moment, taxii_text
from serantau.errors import PeerError, PeerUnreachable, TooLarge
from serantau.wire.client import PageIn, TaxiiClient
from serantau.wire.taxii import MEDIA_TYPE

URL = "https://odd.example/taxii2/root/"
START = instant("2026-01-01T00:00:00Z")

Handler = Callable[[httpx2.Request], httpx2.Response]


def text(number: int) -> dict[str, str]:
    # Spaces and an escape that a second writing would lose.
    return {
        "type": "note",
        "id": f"note--00000000-0000-4000-8000-{number:012}",
        "modified": taxii_text(START + number),
    }


def raw(number: int) -> bytes:
    return json.dumps(text(number), indent=1).replace("note--", "no\\u0074e--").encode()


class OddServer:
    """A TAXII 2.1 server with as many faults as it is told to have."""

    def __init__(self, count: int, **faults: Any) -> None:
        self.count = count
        self.faults = faults
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        path = request.url.path
        if path == "/taxii2/":
            return self._json({"title": "odd", "default": "/taxii2/root/"})
        if path == "/taxii2/root/":
            return self._json(
                {
                    "title": "odd",
                    "versions": [MEDIA_TYPE],
                    "max_content_length": 1000,
                    **self.faults.get("root", {}),
                }
            )
        if path.endswith("/collections/"):
            return self._json(
                {"collections": [{"id": "c1", "title": "One", "can_read": True}]}
            )
        if path.endswith("/objects/"):
            return self._page(request, [raw(n) for n in range(1, self.count + 1)])
        if path.endswith("/manifest/") and "no_manifest" not in self.faults:
            lines = [
                json.dumps(
                    {
                        "id": text(n)["id"],
                        "version": text(n)["modified"],
                        "date_added": self._added(n),
                    }
                ).encode()
                for n in range(1, self.count + 1)
            ]
            return self._page(request, lines)
        return self._json({"title": "Nothing here", "http_status": "404"}, 404)

    def _json(self, found: dict[str, Any], status: int = 200) -> httpx2.Response:
        return httpx2.Response(status, json=found, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        kind = self.faults.get("kind", MEDIA_TYPE)
        return {"Content-Type": kind, **self.faults.get("headers", {})}

    def _added(self, number: int) -> str:
        return taxii_text(START + 1_000_000 * number)

    def _page(self, request: httpx2.Request, items: list[bytes]) -> httpx2.Response:
        faults, query = self.faults, request.url.params
        limit = int(query["limit"])
        after = query.get("added_after", "")
        start = 0
        if after and "deaf" not in faults:
            start = (instant(after) - START) // 1_000_000
        if "next" in query and "deaf" not in faults:
            start = int(query["next"])
        shown = items[start : start + limit]
        more = start + limit < len(items) or "endless" in faults
        found: dict[str, Any] = {}
        if more:
            found["more"] = True
            if "no_next" not in faults:
                found["next"] = str(start + limit) if "one_next" not in faults else "1"
        head = json.dumps(found)[:-1]
        body = f"{head}{', ' if found else ''}".encode() + b'"objects": [%b]}' % (
            b", ".join(shown)
        )
        headers = self._headers()
        if shown and "no_dates" not in faults:
            headers["X-TAXII-Date-Added-First"] = self._added(start + 1)
            headers["X-TAXII-Date-Added-Last"] = self._added(start + len(shown))
        if "wrong_dates" in faults:
            headers["X-TAXII-Date-Added-Last"] = "yesterday"
        return httpx2.Response(200, content=body, headers=headers)


def client(handler: Handler, url: str = URL, **more: Any) -> TaxiiClient:
    return TaxiiClient(url, name="odd", transport=httpx2.MockTransport(handler), **more)


def walk(handler: Handler, **more: Any) -> list[PageIn]:
    with client(handler, **more) as one:
        return list(one.pages("c1", limit=10))


def objects(pages: list[PageIn]) -> list[bytes]:
    return list(itertools.chain.from_iterable(page.objects for page in pages))


def test_objects_arrive_byte_for_byte() -> None:
    pages = walk(OddServer(25))
    assert objects(pages) == [raw(n) for n in range(1, 26)]
    assert [page.resume for page in pages] == [page.last for page in pages]
    assert pages[-1].resume == taxii_text(START + 25_000_000)


@pytest.mark.parametrize(
    "faults",
    [
        {"no_next": True},
        {"no_dates": True},
        {"wrong_dates": True},
        {"no_dates": True, "no_next": True},
        {"no_dates": True, "no_manifest": True},
        {"kind": "application/json"},
        {"kind": "text/plain; charset=utf-8"},
        {"kind": ""},
    ],
    ids=str,
)
def test_everything_is_read_whatever_the_server_leaves_out(
    faults: dict[str, Any],
) -> None:
    pages = walk(OddServer(25, **faults))
    assert objects(pages) == [raw(n) for n in range(1, 26)]


@pytest.mark.parametrize(
    "faults", [{"no_dates": True}, {"wrong_dates": True}, {"no_next": True}], ids=str
)
def test_a_later_pull_goes_on_where_the_last_ended(faults: dict[str, Any]) -> None:
    server = OddServer(25, **faults)
    resume = walk(server)[-1].resume
    server.count = 31
    with client(server) as one:
        later = list(one.pages("c1", added_after=resume, limit=10))
    assert objects(later) == [raw(n) for n in range(26, 32)]


def test_no_place_to_go_on_is_made_up_where_the_manifest_lacks_an_object() -> None:
    server = OddServer(5, no_dates=True)

    def forgetful(request: httpx2.Request) -> httpx2.Response:
        answer = server(request)
        if request.url.path.endswith("/manifest/"):
            kept = json.loads(answer.content)["objects"][:-1]
            return httpx2.Response(200, json={"objects": kept})
        return answer

    assert [page.resume for page in walk(forgetful)] == [""]


def test_filters_go_with_every_page() -> None:
    server = OddServer(25)
    with client(server) as one:
        list(one.pages("c1", limit=10, match={"version": "all"}, added_after=""))
    asked = [r.url.params for r in server.asked if r.url.path.endswith("/objects/")]
    assert [params.get("next") for params in asked] == [None, "10", "20"]
    assert {params["match[version]"] for params in asked} == {"all"}


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"deaf": True}, "the same page twice: page 2, 10 objects, 2026-01-01"),
        ({"deaf": True, "no_next": True}, "the same page twice"),
        ({"deaf": True, "no_dates": True, "no_manifest": True}, "same page twice"),
        ({"one_next": True, "endless": True}, "the same `next` twice"),
        ({"no_next": True, "no_dates": True, "no_manifest": True}, "neither `next`"),
        ({"endless": True}, "`more` on 11 empty pages"),
    ],
    ids=str,
)
def test_a_walk_ends_where_the_server_does_not(
    faults: dict[str, Any], expected: str
) -> None:
    with pytest.raises(PeerError, match=expected):
        walk(OddServer(25, **faults))


def test_pages_without_end_are_bounded() -> None:
    with pytest.raises(PeerError, match="more than 7 pages, expected an end"):
        walk(OddServer(1000), pages=7)


def test_what_came_before_a_fault_stands() -> None:
    server = OddServer(25)

    def breaking(request: httpx2.Request) -> httpx2.Response:
        if request.url.params.get("next") == "10":
            return httpx2.Response(200, content=b'{"objects":[{"type":"note"')
        return server(request)

    with client(breaking) as one:
        pages = one.pages("c1", limit=10)
        got = [next(pages)]
        with pytest.raises(PeerError, match="breaks off after 26"):
            next(pages)
    assert objects(got) == [raw(n) for n in range(1, 11)]


@pytest.mark.parametrize("url", ["https://odd.example", "https://odd.example/taxii2"])
def test_the_api_root_is_found_from_any_address_of_the_server(url: str) -> None:
    with client(OddServer(0), url) as one:
        assert one.api_root().url == URL
        assert one.discovery() == [URL]
        assert [c.id for c in one.collections()] == ["c1"]


def test_an_api_root_elsewhere_is_not_followed() -> None:
    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        assert request.url.host == "odd.example"
        roots = ["https://evil.example/taxii2/root/"]
        return httpx2.Response(200, json={"title": "odd", "api_roots": roots})

    with (
        client(elsewhere, "https://odd.example/") as one,
        pytest.raises(PeerError, match=r"only at evil\.example"),
    ):
        one.api_root()


@pytest.mark.parametrize("where", ["header", "root"])
def test_another_realm_is_refused(where: str) -> None:
    faults: dict[str, Any] = {"headers": {"Serantau-Realm": "exercise:monsoon"}}
    if where == "root":
        faults = {"root": {"x_serantau_realm": "exercise:monsoon"}}
    with pytest.raises(PeerError, match="another realm: exercise:monsoon"):
        walk(OddServer(3, **faults), realm="live")
    assert objects(walk(OddServer(3, **faults), realm="exercise:monsoon"))


@pytest.mark.parametrize(
    ("to", "followed"),
    [
        ("/taxii2/root/", True),
        ("https://odd.example/taxii2/root/", True),
        ("http://odd.example/taxii2/root/", False),
        ("https://odd.example:8443/taxii2/root/", False),
        ("https://evil.example/taxii2/root/", False),
        ("https://odd.example@evil.example/taxii2/root/", False),
        ("//evil.example/", False),
    ],
)
def test_a_redirect_never_leads_away_from_the_server(to: str, followed: bool) -> None:
    server = OddServer(3)
    hosts: list[str] = []

    def moved(request: httpx2.Request) -> httpx2.Response:
        hosts.append(f"{request.url.scheme}://{request.url.netloc.decode()}")
        if request.url.path == "/old/":
            return httpx2.Response(301, headers={"Location": to})
        return server(request)

    with client(moved, "https://odd.example/old/", user="th", password="s3") as one:
        if followed:
            assert one.api_root().title == "odd"
        else:
            with pytest.raises(PeerError, match="a login goes nowhere else"):
                one.api_root()
    assert set(hosts) == {"https://odd.example"}


def test_redirects_in_a_circle_end() -> None:
    def circle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"Location": str(request.url)})

    with client(circle) as one, pytest.raises(PeerError, match="in a circle"):
        one.api_root()


class Busy:
    """Refuses the first requests, then serves."""

    def __init__(self, times: int, status: int, after: str | None) -> None:
        self.times, self.status = times, status
        self.headers = {} if after is None else {"Retry-After": after}
        self.server = OddServer(3)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.times:
            self.times -= 1
            return httpx2.Response(self.status, headers=self.headers)
        return self.server(request)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("after", "waits"),
    [
        ("7", [7.0, 7.0]),
        ("999999", [300.0, 300.0]),
        ("soon", [2.0, 4.0]),
        ("-3", [2.0, 4.0]),
        (None, [2.0, 4.0]),
    ],
)
def test_a_busy_server_is_given_the_time_it_asks_for(
    status: int, after: str | None, waits: list[float]
) -> None:
    slept: list[float] = []
    pages = walk(Busy(2, status, after), sleep=slept.append)
    assert slept == waits
    assert len(objects(pages)) == 3


def test_a_busy_server_may_name_the_hour() -> None:
    clock = SetClock("2026-01-01T00:00:00Z")
    hour = format_datetime(moment(START + 90_000_000), usegmt=True)
    slept: list[float] = []
    walk(Busy(1, 503, hour), sleep=slept.append, clock=clock)
    assert slept == [pytest.approx(90, abs=1)]
    past = format_datetime(moment(START - 90_000_000), usegmt=True)
    walk(Busy(1, 503, past), sleep=slept.append, clock=clock)
    assert slept[1:] == [0.0]


def test_a_server_that_stays_busy_is_given_up() -> None:
    slept: list[float] = []
    with pytest.raises(PeerError, match=r"still busy \(503\) after 5 attempts"):
        walk(Busy(99, 503, "1"), sleep=slept.append)
    assert len(slept) == 4


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "does not accept the login"),
        (403, "does not let this login have /taxii2/root/"),
        (404, "has nothing at /taxii2/root/"),
        (406, "cannot answer in TAXII 2.1"),
        (500, "answered 500"),
    ],
)
def test_a_refusal_says_who_refused_what(status: int, expected: str) -> None:
    def refusing(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json={"title": "No\nentry", "http_status": "1"})

    with client(refusing, token="s3cret") as one, pytest.raises(PeerError) as caught:
        one.api_root()
    assert str(caught.value).startswith(f"odd {expected}")
    assert 'says "No entry"' in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"<html>Sign in</html>", "text/html", "shows a web page"),
        (b'{"versions":[', "application/json", "broken JSON"),
        (b"", "application/json", "broken JSON"),
        (b"[1,2]", "application/json", "expected a JSON object"),
        (b"{}", "application/json", "shows no API root"),
        (b'{"api_roots":[]}', "application/json", "names no API root"),
    ],
)
def test_what_is_no_taxii_says_what_was_expected(
    body: bytes, kind: str, expected: str
) -> None:
    def odd(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"Content-Type": kind})

    with client(odd) as one, pytest.raises(PeerError, match=expected):
        one.api_root()


class Stream(httpx2.SyncByteStream):
    """A body that comes in pieces, and says how many were taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    stream = Stream(b" " * 1000 for _ in itertools.count())

    def endless(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=stream)

    with (
        client(endless, body_bytes=10_000) as one,
        pytest.raises(PeerError, match="more than 10,000 bytes"),
    ):
        one.api_root()
    assert stream.taken == 11


def test_a_bomb_of_gzip_is_not_unpacked() -> None:
    packed = gzip.compress(b" " * 200_000_000)

    def bomb(_: httpx2.Request) -> httpx2.Response:
        stream = Stream(iter([packed]))
        return httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=stream)

    with (
        client(bomb, body_bytes=3_000_000) as one,
        pytest.raises(PeerError, match="more than 3,000,000 bytes"),
    ):
        one.api_root()


def test_gzip_that_breaks_is_the_servers_fault() -> None:
    packed = gzip.compress(json.dumps({"versions": [], "title": "x" * 99}).encode())

    def broken(_: httpx2.Request) -> httpx2.Response:
        cut = Stream(iter([packed[:20] + b"\xff\xff\xff"]))
        return httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=cut)

    with client(broken) as one, pytest.raises(PeerError, match="cannot be"):
        one.api_root()


def test_nobody_there_is_said_so() -> None:
    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("Connection refused", request=request)

    with (
        client(nobody, password="s3cret", user="th") as one,
        pytest.raises(PeerUnreachable, match=r"at https://odd\.example: Conn"),
    ):
        one.api_root()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://odd.example/", "not an address"),
        ("odd.example", "not an address"),
        ("https://th:s3cret@odd.example/", "holds a login"),
        ("ftp://th:s3cret@odd.example/", "not an address"),
        ("http://odd.example/", "in the clear"),
    ],
)
def test_an_unsafe_address_is_refused_before_anything_is_sent(
    url: str, expected: str
) -> None:
    with pytest.raises(PeerError, match=expected) as caught:
        TaxiiClient(url, token="s3cret")
    assert "s3cret" not in str(caught.value)


def test_no_secret_is_written_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    def refusing(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(401)

    for login in ({"user": "th", "password": "s3cret"}, {"token": "s3cret"}):
        with client(refusing, **login) as one, pytest.raises(PeerError) as caught:
            one.api_root()
        told = f"{caught.value!r} {one!r} {vars(one)!r} {caplog.text}"
        assert "s3cret" not in told
        assert "dGg6czNjcmV0" not in told
    assert seen == ["Basic dGg6czNjcmV0", "Bearer s3cret"]


class Inbox:
    """Takes a POST and is done with it after some asking."""

    def __init__(self, asking: int) -> None:
        self.asking = asking
        self.body = b""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/taxii2/root/":
            return OddServer(0)(request)
        if request.method == "POST":
            assert request.headers["Content-Type"] == MEDIA_TYPE
            self.body = request.read()
        self.asking -= 1
        status = "complete" if self.asking < 0 else "pending"
        return httpx2.Response(
            202 if request.method == "POST" else 200,
            json={
                "id": "s1",
                "status": status,
                "total_count": 2,
                "success_count": 1,
                "failure_count": 1,
                "pending_count": 0,
                "failures": [{"id": "note--1", "message": "schema"}],
            },
        )


def test_a_post_is_waited_for() -> None:
    inbox, slept = Inbox(3), list[float]()
    with client(inbox, sleep=slept.append) as one:
        status = one.post("c1", [raw(1), raw(2)])
    assert inbox.body == b'{"objects":[%b,%b]}' % (raw(1), raw(2))
    assert (status.complete, status.successes) == (True, 1)
    assert status.failures == (("note--1", "schema"),)
    assert len(slept) == 3


def test_a_post_that_is_never_done_is_given_up() -> None:
    slept: list[float] = []
    with (
        client(Inbox(9999), sleep=slept.append) as one,
        pytest.raises(PeerError, match="has not finished status s1"),
    ):
        one.post("c1", [raw(1)])
    assert sum(slept) < 130


def test_a_post_larger_than_the_server_takes_is_not_sent() -> None:
    inbox = Inbox(0)
    with client(inbox) as one, pytest.raises(TooLarge, match="at most 1,000"):
        one.post("c1", [raw(n) for n in range(20)])
    assert inbox.body == b""


def hinting(pieces: Iterator[bytes], **more: Any) -> Handler:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/federation/hints"
        headers = {"Content-Type": "text/event-stream", **more}
        return httpx2.Response(200, headers=headers, stream=Stream(pieces))

    return answer


def test_hints_are_heard_however_they_are_cut() -> None:
    text = (
        b": hello\n\nevent: hint\ndata: 1\n\nevent: hint\r\ndata:2\r\ndata: 3\r\n\r\n"
    )
    pieces = (text[n : n + 1] for n in range(len(text)))
    with client(hinting(pieces)) as one, one.hints() as hints:
        heard = [(hint.event, hint.data) for hint in hints]
    assert heard == [("alive", "hello"), ("hint", "1"), ("hint", "2\n3")]


def test_a_hint_without_end_is_not_kept() -> None:
    pieces = (b"data: " + b"x" * 10_000 for _ in itertools.count())
    with (
        client(hinting(pieces)) as one,
        one.hints() as hints,
        pytest.raises(PeerError, match="hint of more than"),
    ):
        list(hints)


def test_a_line_that_breaks_is_unreachable() -> None:
    def broken() -> Iterator[bytes]:
        yield b": hello\n\n"
        raise httpx2.ReadError("reset")

    with (
        client(hinting(broken())) as one,
        one.hints() as hints,
        pytest.raises(PeerUnreachable, match="line for hints broke"),
    ):
        list(hints)


def test_a_server_without_hints_or_of_another_realm_is_refused() -> None:
    with client(OddServer(0)) as one, pytest.raises(PeerError, match="no hints"):
        one.hints()
    foreign = hinting(iter(()), **{"Serantau-Realm": "exercise:a"})
    with (
        client(foreign, realm="live") as one,
        pytest.raises(PeerError, match="another realm"),
    ):
        one.hints()
