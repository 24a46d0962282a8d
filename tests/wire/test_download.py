"""An address is fetched again and again: what changed, within limits, and no more."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from certificates import write_certificate
from serantau.clock import SetClock
from serantau.errors import BadRequest, PeerError, PeerUnreachable, TooLarge
from serantau.wire.download import Answer, Download, Wait


class Body(httpx2.SyncByteStream):
    """A body that comes, and may end in the middle."""

    def __init__(self, content: bytes, *, broken: bool = False) -> None:
        self.content, self.broken = content, broken

    def __iter__(self) -> Iterator[bytes]:
        yield self.content
        if self.broken:
            raise httpx2.ReadError("peer closed connection")


URL = "https://feed.example/lists/drop.txt?key=secret"
Answers = Callable[[httpx2.Request], httpx2.Response]


class Sink:
    """What takes the bytes, and how often they began."""

    def __init__(self) -> None:
        self.begun = 0
        self.content = b""

    def begin(self) -> Callable[[bytes], object]:
        self.begun += 1
        self.content = b""
        return self.write

    def write(self, piece: bytes) -> None:
        self.content += piece


def download(answers: Answers, url: str = URL, **how: Any) -> Download:
    settings: dict[str, Any] = {"clock": SetClock(), "limit": 1000, **how}
    return Download(url, transport=httpx2.MockTransport(answers), **settings)


def fetch(answers: Answers, url: str = URL, **how: Any) -> tuple[Answer, Sink]:
    sink = Sink()
    asked = {name: how.pop(name) for name in ("etag", "modified") if name in how}
    with download(answers, url, **how) as one:
        return one.get(sink.begin, **asked), sink


def test_what_a_server_says_is_sent_along_the_next_time() -> None:
    asked: list[httpx2.Request] = []

    def answers(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if request.headers.get("If-None-Match") == '"v1"':
            return httpx2.Response(304, headers={"ETag": '"v1"'})
        headers = {
            "ETag": '"v1"',
            "Last-Modified": "Mon, 01 Jan 2026 00:00:00 GMT",
            "Content-Type": "Text/Plain; charset=utf-8",
        }
        return httpx2.Response(200, headers=headers, stream=Body(b"1.2.3.0/24\n"))

    first, sink = fetch(answers, headers={"Auth-Key": "k"})
    assert sink.content == b"1.2.3.0/24\n"
    assert first == Answer(
        True, '"v1"', "Mon, 01 Jan 2026 00:00:00 GMT", "text/plain", "drop.txt"
    )
    again, sink = fetch(answers, etag=first.etag, modified=first.modified)
    assert not again.changed
    assert sink.begun == 0
    assert asked[1].headers["If-Modified-Since"] == first.modified
    assert asked[0].headers["Auth-Key"] == "k"
    assert asked[0].headers["Accept-Encoding"] == "identity"


def breaking(
    content: bytes, etag: str, ranges: str = "bytes", **change: Any
) -> tuple[Answers, list[str]]:
    """A server that breaks off after seven bytes each time."""
    asked: list[str] = []

    def answers(request: httpx2.Request) -> httpx2.Response:
        wanted = request.headers.get("Range", "")
        asked.append(wanted)
        headers = {"ETag": etag, "Accept-Ranges": ranges}
        start, code = 0, 200
        if wanted and request.headers["If-Range"] == change.get("now", etag):
            start, code = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            shown = start + change.get("off", 0)
            headers["Content-Range"] = f"bytes {shown}-/{len(content)}"
        rest = content[start:]
        if len(rest) <= 7:
            return httpx2.Response(code, headers=headers, stream=Body(rest))
        return httpx2.Response(
            code, headers=headers, stream=Body(rest[:7], broken=True)
        )

    return answers, asked


def test_an_answer_that_breaks_off_is_asked_for_from_there_on() -> None:
    answers, asked = breaking(b"abcdefghijklmnopqrst", '"v1"')
    answer, sink = fetch(answers)
    assert sink.content == b"abcdefghijklmnopqrst"
    assert (sink.begun, answer.changed, answer.etag) == (1, True, '"v1"')
    assert asked == ["", "bytes=7-", "bytes=14-"]


def test_what_changed_while_it_came_begins_anew() -> None:
    answers, asked = breaking(b"abcdefghij", '"v1"', now='"v2"')
    with pytest.raises(PeerUnreachable, match="peer closed"):
        fetch(answers)
    assert len(asked) == 6


@pytest.mark.parametrize(("etag", "ranges"), [('W/"v1"', "bytes"), ('"v1"', "none")])
def test_without_a_strong_name_or_ranges_nothing_is_put_together(
    etag: str, ranges: str
) -> None:
    answers, asked = breaking(b"abcdefghij", etag, ranges)
    with pytest.raises(PeerUnreachable, match="peer closed"):
        fetch(answers)
    assert asked == [""]


def test_another_range_than_was_asked_is_no_answer() -> None:
    answers, _ = breaking(b"abcdefghij", '"v1"', off=1)
    with pytest.raises(PeerError, match="another range"):
        fetch(answers)


def test_more_than_may_come_is_not_read() -> None:
    with pytest.raises(TooLarge, match="more than 1,000 bytes") as caught:
        fetch(lambda _: httpx2.Response(200, stream=Body(b"x" * 1001)))
    assert "secret" not in str(caught.value)


def test_a_server_that_is_slow_for_ever_is_left() -> None:
    ticks = iter(range(0, 100, 10))
    with pytest.raises(PeerUnreachable, match="longer than 5 s"):
        fetch(
            lambda _: httpx2.Response(200, stream=Body(b"x")),
            seconds=5,
            tick=lambda: float(next(ticks)),
        )


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 2026 00:05:00 GMT", 300.0),
        ("Thu, 01 Jan 2026 00:05:00 -0000", 300.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("9" * 30, 86_400.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_asks_to_be_left_alone_is(
    code: int, said: str, seconds: float
) -> None:
    with pytest.raises(Wait, match=f"answers {code}") as caught:
        fetch(lambda _: httpx2.Response(code, headers={"Retry-After": said}))
    assert caught.value.seconds == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("code", [206, 304, 403, 404, 500])
def test_any_other_answer_is_told(code: int) -> None:
    if code == 304:
        answer, _ = fetch(lambda _: httpx2.Response(304))
        assert not answer.changed
        return
    with pytest.raises(PeerError, match=f"answers {code}, expected 200"):
        fetch(lambda _: httpx2.Response(code))


def moved(to: str) -> Answers:
    def answers(request: httpx2.Request) -> httpx2.Response:
        if str(request.url) == to:
            return httpx2.Response(200, stream=Body(b"here"))
        return httpx2.Response(302, headers={"Location": to})

    return answers


def test_a_redirect_is_followed_on_the_same_host_only() -> None:
    _, sink = fetch(moved("https://feed.example/new"))
    assert sink.content == b"here"
    _, sink = fetch(moved("https://feed.example/new"), "http://feed.example/old")
    assert sink.content == b"here"
    for to in ("http://feed.example/new", "https://other.example/", "https://[::1"):
        with pytest.raises(PeerError, match="redirects to"):
            fetch(moved(to))
    with pytest.raises(PeerError, match="circle"):
        fetch(lambda _: httpx2.Response(301, headers={"Location": "/again"}))


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "https://", "file:///etc/passwd", "http://[::1",
     "https://u:secret@a.example/"],
)  # fmt: skip
def test_an_address_that_is_not_fetched_is_told_without_its_login(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        download(lambda _: httpx2.Response(200), url)
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_none_is_told() -> None:
    with pytest.raises(BadRequest, match="no proxy"):
        Download(URL, clock=SetClock(), limit=10, proxy="nonsense://x")


class _Handler(BaseHTTPRequestHandler):
    """Answers like a proxy too: it shows the address that it was asked for."""

    def do_GET(self) -> None:
        content = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_feed_is_fetched_by_its_proxy(server: ThreadingHTTPServer) -> None:
    sink = Sink()
    proxy = f"http://127.0.0.1:{server.server_port}"
    with Download(
        "http://feed.example/x", clock=SetClock(), limit=100, proxy=proxy
    ) as one:
        one.get(sink.begin)
    assert sink.content == b"http://feed.example/x"


@pytest.mark.parametrize("days", [-1, 1], ids=["expired", "valid"])
def test_a_certificate_that_has_expired_is_told_as_that(
    server: ThreadingHTTPServer, tmp_path: Path, days: int
) -> None:
    certificate, key = write_certificate(tmp_path, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}/list"
    trusted = ssl.create_default_context(cafile=str(certificate))
    sink = Sink()
    with Download(url, clock=SetClock(), limit=100, verify=trusted) as one:
        if days > 0:
            assert one.get(sink.begin).name == "list"
            assert sink.content == b"/list"
        else:
            with pytest.raises(PeerUnreachable, match="certificate has expired"):
                one.get(sink.begin)
