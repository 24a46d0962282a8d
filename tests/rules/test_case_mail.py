"""What an answer says is read from its own words only."""

import pytest

from serantau.rules.case_mail import (
    MOST_TEXT,
    Answer,
    own_words,
    plain,
    read_answer,
    tag,
    tokens,
)

TOKEN = "0123456789abcdef0123"


def test_a_tag_is_found_wherever_it_stands_and_tells_nothing_but_digits() -> None:
    made = tag("case-entry--31a3f588-0000-4000-8000-000000000000", TOKEN)
    assert made == f"[case-31a3f588-{TOKEN}]"
    assert tokens(f"Re: {made.upper()} kit\n> {made}") == {TOKEN}
    assert tokens(f"[case-31a3f588-{TOKEN}0] [case-x-{TOKEN}]") == frozenset()


@pytest.mark.parametrize(
    ("text", "word", "about", "rest"),
    [
        ("ACK", "acknowledge", "", ""),
        ("ack.\n\nwe look into it\n", "acknowledge", "", "we look into it"),
        ("Received", "acknowledge", "", ""),
        ("accept", "accept", "", ""),
        ("ACCEPT 1a2b3c4d\nby noon", "accept", "1a2b3c4d", "by noon"),
        ("DECLINE 1A2B:\nno such host", "decline", "1a2b", "no such host"),
        ("done 1a2b", "done", "1a2b", ""),
        ("invalid!", "invalid", "", ""),
        # A sentence is no command, nor a word that needs an id, nor one with too many.
        ("Close the port please", "", "", "Close the port please"),
        ("done", "", "", "done"),
        ("ack 1a2b", "", "", "ack 1a2b"),
        ("valid 1a2b", "", "", "valid 1a2b"),
        ("hello", "", "", "hello"),
        ("", "", "", ""),
    ],
)
def test_a_word_counts_alone_on_the_first_line(
    text: str, word: str, about: str, rest: str
) -> None:
    found = read_answer(text)
    assert found == Answer(word, about, rest)
    assert found.says is bool(word or rest)


@pytest.mark.parametrize(
    "below",
    [
        "\n\nOn Mon, 2 Mar 2026 at 10:00, ThaiCERT <a@x.example> wrote:\n> VALID\n> x",
        "\n\nOn Mon, 2 Mar 2026 at 10:00, ThaiCERT\n<a@x.example> wrote:\n> VALID\n",
        "\n\nเมื่อวันที่ 2 มีนาคม 2026 ThaiCERT เขียนว่า:\n>VALID\n\n",
        "\n> VALID",
        "\n\n-----Original Message-----\nFrom: ThaiCERT\n\nVALID",
        "\n\n________________________________\nFrom: ThaiCERT\n\nVALID",
        "\n-- \nU Ba\nmmCERT",
        "\n\nOn Monday:\n> VALID\n-- \nU Ba",
        "\n-- \nU Ba\n\nOn Monday, a (b@x.example) wrote:\n> VALID",
    ],
)
def test_what_stands_below_an_answer_is_cut(below: str) -> None:
    assert own_words(f"We are on it.{below}") == "We are on it."


@pytest.mark.parametrize(
    "text",
    [
        "> Is it yours?\nYes: both hosts.\n> Since when?\nMonday.",
        "These are ours:\n\n--\n" + "\n".join(f"203.0.113.{n}" for n in range(13)),
        "a -- b",
    ],
)
def test_what_is_not_surely_others_words_is_kept(text: str) -> None:
    assert own_words(text) == text


def test_a_quote_alone_says_nothing() -> None:
    assert not read_answer("> VALID").says
    assert not read_answer("wrote:\n> VALID").says


def test_a_text_commands_no_screen_and_is_no_longer_than_an_entry_may_be() -> None:
    assert plain("a\r\nb\x1b[31m\x00\tc\u2028d") == "a\nb[31m\tc\nd"
    long = read_answer("ကြ" * MOST_TEXT).text
    assert long.endswith("[cut: the mail says more]")
    assert len(long) < 20_000
