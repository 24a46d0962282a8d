"""A webhook is posted to once, and each answer has its consequence."""

from __future__ import annotations

import pytest

from serantau.wire.mail import Outcome
from serantau.wire.webhook import post, signature
from web_hook import web_hook


def call(url: str, secret: str = "") -> Outcome:
    return post(
        url,
        b"{}",
        key="k1",
        realm="live",
        secret=secret,
        handing=lambda: None,
        timeout=20,
    )


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (200, "accept"),
        (202, "accept"),
        (204, "accept"),
        (301, "fail"),
        (307, "fail"),
        (400, "fail"),
        (401, "fail"),
        (404, "bounce"),
        (410, "bounce"),
        (408, "defer"),
        (429, "defer"),
        (500, "defer"),
        (503, "defer"),
        (0, "lose"),
    ],
)
def test_each_answer_has_its_consequence_and_no_redirect_is_followed(
    status: int, event: str
) -> None:
    with web_hook() as hook:
        hook.status = status
        outcome = call(hook.url)
    assert outcome.event == event
    assert outcome.said
    assert len(hook.got) == 1


def test_nobody_there_is_tried_again_later() -> None:
    with web_hook() as hook:
        pass
    assert call(hook.url).event == "defer"


def test_what_is_posted_is_signed_when_there_is_a_secret() -> None:
    with web_hook() as hook:
        call(hook.url)
        call(hook.url, "s")
    assert "Serantau-Signature" not in hook.got[0].headers
    assert hook.got[0].headers["Serantau-Realm"] == "live"
    assert hook.got[1].headers["Serantau-Signature"] == signature("s", b"{}")
    assert signature("s", b"{}") != signature("t", b"{}")


def test_nothing_is_posted_when_the_caller_stops_it() -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with web_hook() as hook:
        with pytest.raises(Stop):
            post(hook.url, b"{}", key="k", realm="live", secret="", handing=stop)
        assert hook.got == []
