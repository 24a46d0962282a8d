"""Every engine gives the same, in order, and says what it lacks."""

import pickle
import sys
import threading
from collections.abc import Generator, Iterator

import pytest

from serantau.errors import BadInput, ConfigError
from serantau.lane.delta import Table
from serantau.lane.engine import THREADS, Ahead, open_engine
from serantau.lane.frame import EVENTS


def test_results_come_in_order_and_only_so_many_items_are_taken() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for ahead in (0, 3):
        taken.clear()
        results = THREADS.map(lambda one: (one, one * one), items(), ahead)
        for number, (told, body) in enumerate(results):
            assert (told, body()) == (number, number * number)
            assert len(taken) - number <= max(ahead, 1)
    assert THREADS.share(5)() == 5
    assert open_engine("threads") is THREADS


def test_what_fails_ahead_is_raised_in_its_turn() -> None:
    went: list[threading.Thread] = []

    def items() -> Generator[int]:
        went.append(threading.current_thread())
        yield 1
        yield 2
        raise BadInput("no more")

    ahead = Ahead(items(), 3)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(BadInput, match="no more"):
        next(ahead)
    assert list(ahead) == []
    ahead.close()
    assert went[0] is not threading.current_thread()


def test_an_engine_that_is_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'serantau\[cluster\]'"):
        open_engine("ray")


def test_a_table_that_is_sent_elsewhere_leaves_its_keys_behind() -> None:
    options = {
        "AWS_REGION": "ap-southeast-1",
        "aws_endpoint_url": "https://store.example",
        "aws_secret_access_key": "hush",
        "AWS_ACCESS_KEY_ID": "hush",
        "aws_session_token": "hush",
    }
    table = Table("s3://bucket/events", EVENTS, ("source_hi", "source_lo"), [], options)
    sent = pickle.dumps(table)
    assert b"hush" not in sent
    assert sorted(pickle.loads(sent).storage) == ["AWS_REGION", "aws_endpoint_url"]  # noqa: S301
