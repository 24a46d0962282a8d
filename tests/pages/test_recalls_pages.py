"""What is wanted back is asked for on a page that promises nothing."""

from collections.abc import Iterator

import pytest

from recalls import by, pin, take
from recalls import text_of as recall_text
from serantau.clock import SetClock
from serantau.desk.recall import PATIENCE, Recalling
from sharing_desk import HOSTILE, SharingDesk, sharing_desk
from stores import GREEN, indicator
from visitors import text_of

CLOCK = SetClock()
PATH = "/share/recalls"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharingDesk]:
    with sharing_desk(tmp_path_factory.mktemp("recalls"), CLOCK) as desk:
        desk.gives("wei")
        desk.pages.visitor("mali", "analyst")
        desk.pages.visitor("lek", "lead")
        yield desk


def test_who_got_it_is_shown_before_it_is_recalled_and_answers_after(
    desk: SharingDesk,
) -> None:
    lek, green = desk.pages.visitor("lek"), desk.made["green"]["id"]
    shown = lek.send(f"{PATH}/look", objects=green, reason=HOSTILE[:-1])
    assert "sg taxii" in text_of(shown.text)
    assert "A recall cannot be guaranteed" in text_of(shown.text)
    assert "Nothing was recalled" in lek.read(PATH)

    made = lek.send(PATH, objects=green, reason=HOSTILE[:-1], sure="1")
    assert made.headers["location"] == f"{PATH}/{green}?said=recalled"
    CLOCK.advance(seconds=PATIENCE // 1_000_000 + 1)
    Recalling(desk.node).settle()
    page = lek.get(f"{PATH}/{green}")
    assert "<script>alert" not in page.text
    assert "sg taxii" in text_of(page.text)
    assert "no answer yet" in text_of(page.text)
    assert "A recall cannot be guaranteed" in text_of(page.text)
    assert green not in desk.gives("wei")

    note = {"party": "sg", "state": "withdrawn", "note": "by telephone"}
    noted = lek.send(f"{PATH}/{green}/answer", **note)
    assert noted.status_code == 303
    assert "by hand: lek: by telephone" in lek.read(f"{PATH}/{green}")
    assert "1 withdrawn" in lek.read(PATH)


def test_what_cannot_be_recalled_is_told_and_all_stays(desk: SharingDesk) -> None:
    lek, watched = desk.pages.visitor("lek"), desk.made["watched"]["id"]
    clear, many = desk.made["clear"]["id"], " ".join(map(str, range(200)))
    for fields, said in (
        ({"objects": watched, "sure": "1"}, "only its creator recalls it"),
        ({"objects": "indicator--x", "sure": "1"}, "No object is named"),
        ({"objects": clear}, "Nothing was ticked"),
        ({"objects": "", "sure": "1"}, "Nothing was saved"),
        ({"objects": clear, "reason": "x" * 10_000, "sure": "1"}, "At most 1000"),
        ({"objects": many, "sure": "1"}, "At most 100 objects"),
    ):
        answer = lek.send(PATH, **fields)
        assert answer.status_code == 422, fields
        assert said in text_of(answer.text), fields
    assert clear in desk.gives("wei")
    assert lek.get(f"{PATH}/{clear}").status_code == 404


def test_what_others_recall_is_kept_with_a_reason_and_let_go(
    desk: SharingDesk,
) -> None:
    pin(desk.node, "my")
    theirs = by("my", indicator("theirs", GREEN))
    desk.load(theirs)
    assert take(desk.node, recall_text(theirs, reason="too much"))
    lek, where = desk.pages.visitor("lek"), f"{PATH}/{theirs['id']}"
    said = lek.read(where)
    assert "Recalled by my" in said
    assert "too much" in said
    assert "withdrawn" in said
    assert lek.send(f"{where}/keep", reason="").status_code == 422
    assert lek.send(f"{where}/keep", reason="court order 7").status_code == 303
    kept = lek.read(where)
    assert "kept under legal duty" in kept
    assert "court order 7" in kept
    assert "court order 7" in lek.read(PATH)
    assert lek.send(f"{where}/let-go").status_code == 303
    assert "court order 7" not in lek.read(where)
    assert lek.send(f"{where}/let-go").status_code == 422


def test_an_analyst_sees_recalls_and_makes_none(desk: SharingDesk) -> None:
    mali, clear = desk.pages.visitor("mali"), desk.made["clear"]["id"]
    assert "Recall objects" not in mali.read(PATH)
    for path in (PATH, f"{PATH}/look", f"{PATH}/{clear}/keep"):
        fields = {"objects": clear, "reason": "x", "sure": "1"}
        assert mali.send(path, **fields).status_code == 403
    kim = desk.pages.visitor("kim", "operator", party="sg")
    assert kim.get(PATH).status_code == 403
    assert clear in desk.gives("wei")
