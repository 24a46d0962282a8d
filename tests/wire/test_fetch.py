"""Fetching a feed's files: within limits, and from nowhere else."""

from collections.abc import Callable, Iterator

import httpx2
import pytest

from serantau.errors import BadRequest, NotFound, PeerError, PeerUnreachable, TooLarge
from serantau.wire.fetch import Fetching, is_address

BASE = "https://feed.example/misp/"
Answers = Callable[[httpx2.Request], httpx2.Response]


def fetching(answers: Answers, base: str = BASE, **how: object) -> Fetching:
    return Fetching(base, transport=httpx2.MockTransport(answers), **how)  # type: ignore[arg-type]


def fetched(answers: Answers, base: str = BASE, **how: object) -> bytes:
    with fetching(answers, base, **how) as fetch:
        return fetch("manifest.json")


def redirect(to: str) -> Answers:
    def answers(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/misp/manifest.json" and str(request.url) != to:
            return httpx2.Response(302, headers={"Location": to})
        return httpx2.Response(200, content=str(request.url).encode())

    return answers


@pytest.mark.parametrize("base", [BASE, BASE.removesuffix("/"), f"{BASE}manifest.json"])
def test_a_file_is_fetched_below_the_base(base: str) -> None:
    text = fetched(lambda ask: httpx2.Response(200, content=str(ask.url)), base)
    assert text == b"https://feed.example/misp/manifest.json"


@pytest.mark.parametrize(
    "base",
    [
        "file:///etc/",
        "ftp://feed.example/",
        "gopher://127.0.0.1:70/",
        "https://",
        "https://user:secret@feed.example/",
        "https://feed.example/?x=1",
        "http://[::1",
    ],
)
def test_an_address_that_is_not_plain_http_is_refused(base: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Fetching(base)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "//other.example/x"])
def test_a_name_that_leads_out_of_the_base_is_never_asked_for(name: str) -> None:
    asked: list[str] = []

    def answers(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200)

    with fetching(answers) as fetch, pytest.raises(BadRequest):
        fetch(name)
    assert asked == []


@pytest.mark.parametrize(
    "to",
    [
        "https://other.example/misp/manifest.json",
        "http://feed.example/misp/manifest.json",
        "https://feed.example:8443/misp/manifest.json",
        "http://169.254.169.254/latest/meta-data/",
        "//127.0.0.1/manifest.json",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_to_another_host_is_refused(to: str) -> None:
    asked: list[str] = []

    def answers(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(302, headers={"Location": to})

    with pytest.raises(PeerError, match="refused"):
        fetched(answers)
    assert asked == [f"{BASE}manifest.json"]


@pytest.mark.parametrize(
    ("base", "to"),
    [
        (BASE, "/new/manifest.json"),
        ("http://feed.example/misp/", f"{BASE}manifest.json"),
    ],
)
def test_a_redirect_within_the_host_is_followed(base: str, to: str) -> None:
    assert fetched(redirect(to), base).endswith(to.encode())


def test_a_redirect_in_a_circle_ends() -> None:
    with pytest.raises(PeerError, match="circle"):
        fetched(lambda _: httpx2.Response(302, headers={"Location": "manifest.json"}))


class Endless(httpx2.SyncByteStream):
    """A body that says nothing of its length and never ends."""

    given = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.given += 1000
            yield bytes(1000)


def test_a_body_over_the_limit_is_left_unread() -> None:
    body = Endless()
    with pytest.raises(TooLarge, match="more than 10,000 bytes"):
        fetched(lambda _: httpx2.Response(200, stream=body), body_bytes=10_000)
    assert body.given <= 20_000


def test_a_body_that_comes_too_slowly_is_left() -> None:
    seconds = iter(range(0, 10_000, 10))
    with pytest.raises(PeerUnreachable, match="longer than 100 s"):
        fetched(
            lambda _: httpx2.Response(200, stream=Endless()),
            seconds=100.0,
            tick=lambda: float(next(seconds)),
        )


def test_what_is_not_there_and_what_fails_are_told_apart() -> None:
    with pytest.raises(NotFound):
        fetched(lambda _: httpx2.Response(404))
    with pytest.raises(PeerError, match="answers 500"):
        fetched(lambda _: httpx2.Response(500))

    def broken(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route", request=request)

    with pytest.raises(PeerUnreachable, match="no route"):
        fetched(broken)


def test_an_address_is_told_from_a_path() -> None:
    assert is_address("https://feed.example/")
    assert is_address("file:///etc/passwd")
    assert not is_address("feeds/a:b")
    assert not is_address("-")
