"""Questions that people keep: their own are theirs alone."""

import pytest

from serantau.errors import BadRequest, Forbidden, NotFound
from serantau.records import questions
from serantau.records.questions import Questions
from stores import Store


@pytest.fixture
def people(store: Store) -> tuple[int, int]:
    """Two users of one node."""
    with store.db.write() as tx:
        for name in ("ann", "bob"):
            tx.run(
                "INSERT INTO user_account (name, party, role, password, disabled, "
                "created) VALUES (:name, 1, 'analyst', '', :no, 0)",
                name=name,
                no=False,
            )
        rows = tx.rows("SELECT n FROM user_account ORDER BY name")
    return int(rows[0].n), int(rows[1].n)


def test_an_own_question_is_seen_opened_and_deleted_by_nobody_else(
    store: Store, people: tuple[int, int]
) -> None:
    ann, bob = people
    held = Questions()
    with store.db.write() as tx:
        own = held.put(tx, ann, "mine", "q=secret", shared=False)
        shared = held.put(tx, ann, "ours", "q=all", shared=True)
        assert [one.name for one in held.all(tx, ann)] == ["mine", "ours"]
        assert [one.name for one in held.all(tx, bob)] == ["ours"]
        for do in (held.get, held.drop):
            with pytest.raises(NotFound):
                do(tx, bob, own.number)
        with pytest.raises(Forbidden, match="kept by ann"):
            held.drop(tx, bob, shared.number)
        held.drop(tx, bob, shared.number, any_of=True)
        held.drop(tx, ann, own.number)
        assert held.all(tx, ann) == []


def test_a_question_of_the_same_name_takes_the_place_of_the_first(
    store: Store, people: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST", 1)
    ann, bob = people
    held = Questions()
    with store.db.write() as tx:
        held.put(tx, ann, "mine", "q=1", shared=False)
        assert held.put(tx, ann, "mine", "q=2", shared=True).asked == "q=2"
        assert held.put(tx, bob, "mine", "q=3", shared=False).owner == "bob"
        assert [one.asked for one in held.all(tx, ann)] == ["q=2"]
        with pytest.raises(BadRequest, match="delete some"):
            held.put(tx, ann, "more", "q=4", shared=False)
