"""Recalls and answers: whose they are, what they are about, and what proves it."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serantau.rules import jws
from serantau.rules.canonical import canonical
from serantau.rules.head import Head, attached, take_apart
from serantau.rules.head import signed_text as signed_head
from serantau.rules.key import Key, State, read_fingerprint
from serantau.rules.marking import (
    TLP_2_IDS,
    MarkingSet,
    Recalled,
    Tlp,
    in_words,
    make_audience,
    read_marking,
)
from serantau.rules.party import Kind as PartyKind
from serantau.rules.party import Party
from serantau.rules.recall import (
    NOT_KNOWN,
    Answer,
    Kind,
    Recall,
    Said,
    objections,
    read_answer,
    read_recall,
    signed_text,
    stricter,
    unproven,
    words_of,
)
from serantau.rules.release import Policy, Way, judge

DAY = 86_400_000_000
TH = "identity--11111111-1111-4111-8111-111111111111"
VN = "identity--22222222-2222-4222-8222-222222222222"
OBJECT = "indicator--33333333-3333-4333-8333-333333333333"


def private(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def key(number: int, **more: Any) -> Key:
    made = Key.of(private(number).public_key().public_bytes_raw())
    return Key(made.id, made.public, **more)


def sign(number: int) -> Any:
    return lambda told: jws.sign(told, key(number).id, private(number).sign)


def recall(**more: Any) -> Recall:
    told: dict[str, Any] = {
        "at": 10,
        "before": 9,
        "creator": TH,
        "kind": Kind.RECALLED,
        "node": "th",
        "object": OBJECT,
        "realm": "live",
    }
    return Recall(**told | more)


def answer(**more: Any) -> Answer:
    told: dict[str, Any] = {
        "at": 11,
        "node": "sg",
        "realm": "live",
        "recall": recall().digest,
        "state": Said.WITHDRAWN,
        "x": key(3).jwk["x"],
    }
    return Answer(**told | more)


def against(
    said: Recall, by: int = 1, *, keys: Any = None, makers: Any = (TH,), now: int = 20
) -> list[str]:
    return objections(
        said,
        take_apart(signed_text(said, sign(by))),
        realm="live",
        keys={TH: (key(1),), VN: (key(2),)} if keys is None else keys,
        makers=makers,
        now=now,
    )


def test_a_recall_and_an_answer_come_back_as_they_were_signed() -> None:
    text = signed_text(recall(reason="wrong host"), sign(1))
    assert read_recall(take_apart(text)) == recall(reason="wrong host")
    assert read_answer(take_apart(signed_text(answer(), sign(1)))) == answer()
    assert recall().digest != recall(reason="wrong host").digest


@pytest.mark.parametrize(
    "told",
    [
        {"object": "indicator"},
        {"object": f"{OBJECT}\n"},
        {"creator": "th"},
        {"node": "Th"},
        {"at": -1},
        {"before": -1},
        {"reason": "x" * 1001},
        {"v": 2},
        {"type": "serantau:recall-answer"},
    ],
)
def test_a_recall_that_says_anything_odd_is_none(told: dict[str, Any]) -> None:
    text = signed_text(recall(**told), sign(1))
    with pytest.raises(ValueError, match=r"value|it is no"):
        read_recall(take_apart(text))


@pytest.mark.parametrize(
    "told", [{"recall": "ab"}, {"at": -1}, {"state": "gone"}, {"x": "ab"}]
)
def test_an_answer_that_says_anything_odd_is_none(told: dict[str, Any]) -> None:
    text = signed_text(answer(**told), sign(1))
    with pytest.raises(ValueError, match=r"value|it is no|base64url"):
        read_answer(take_apart(text))


def test_what_is_signed_has_one_text_and_no_default_left_out() -> None:
    told = msgspec.to_builtins(recall())
    del told["reason"]
    for payload in (canonical(told), b" " + canonical(msgspec.to_builtins(recall()))):
        text = attached(sign(1)(payload), payload)
        with pytest.raises(ValueError, match="as this version writes it"):
            read_recall(take_apart(text))


def test_a_signature_over_something_else_is_no_recall_and_no_answer() -> None:
    head = Head(at=1, log="l", node="th", realm="live", root="ab" * 32, size=1)
    others = signed_head(head, sign(1)), signed_text(answer(), sign(1))
    for text in others:
        with pytest.raises(ValueError, match="it is no serantau:recall"):
            read_recall(take_apart(text))
    with pytest.raises(ValueError, match="it is no serantau:recall-answer"):
        read_answer(take_apart(signed_text(recall(), sign(1))))


def test_a_creators_recall_is_followed_whether_anything_is_held_or_not() -> None:
    assert against(recall()) == []
    assert against(recall(), makers=()) == []


def test_a_recall_by_somebody_who_is_not_the_creator_is_not_followed() -> None:
    # vn says that it is the creator, or that th is.
    assert against(recall(creator=VN, node="vn"), by=2) == [
        f"it is by {VN}, and the object by {TH}"
    ]
    assert against(recall(), by=2) == [NOT_KNOWN]
    assert against(recall(), makers=("",)) == [
        f"it is by {TH}, and the object by nobody"
    ]


def test_a_recall_that_was_changed_is_not_followed() -> None:
    honest = take_apart(signed_text(recall(), sign(1)))
    changed = recall(before=10**9)
    assert objections(
        changed,
        honest._replace(payload=b"{}"),
        realm="live",
        keys={TH: (key(1),)},
        makers=(TH,),
        now=2 * 10**9,
    ) == ["it is not as it was signed"]


def test_a_recall_of_another_realm_is_not_followed() -> None:
    assert against(recall(realm="exercise:acid")) == [
        "it is of realm exercise:acid, and this is live"
    ]


def test_a_recall_of_a_time_that_is_not_yet_is_not_followed() -> None:
    assert against(recall(at=DAY + 21)) == ["it is of a time that is not yet"]
    # A version may be dated later than it was made; its creator wants it back now.
    assert against(recall(before=9 * DAY)) == []


def test_a_key_that_is_not_pinned_is_told_as_what_a_person_can_mend() -> None:
    assert against(recall(), keys={}) == [NOT_KNOWN]


def test_an_old_key_recalls_what_it_signed_in_its_time_and_a_stolen_one_nothing() -> (
    None
):
    def held(state: State, until: int) -> dict[str, tuple[Key, ...]]:
        return {TH: (key(1, state=state, until=until),)}

    assert against(recall(), keys=held(State.RETIRED, 10)) == []
    assert against(recall(), keys=held(State.RETIRED, 9)) == ["its key is retired"]
    for state in (State.COMPROMISED, State.LOST):
        assert against(recall(), keys=held(state, 99)) == [f"its key is {state}"]


def proof(said: Answer, by: int, keys: tuple[Key, ...], *compared: str) -> str:
    signed = take_apart(signed_text(said, sign(by)))
    return unproven(
        signed, said, recall=recall(), party="sg", keys=keys, compared=compared
    )


def test_an_answer_is_proven_by_the_key_of_the_party_and_by_no_other() -> None:
    assert proof(answer(), 3, (key(3),)) == ""
    assert proof(answer(), 3, ()) == "no key of sg is pinned"
    assert proof(answer(), 4, (key(3),)) == "it is not signed by sg"


def test_a_key_that_was_compared_and_never_met_proves_an_answer_that_shows_it() -> None:
    for compared in (key(3).id, read_fingerprint(key(3).words)):
        assert proof(answer(), 3, (), compared) == ""
        other = answer(x=key(4).jwk["x"])
        assert proof(other, 4, (), compared) == "it is not signed by sg"
        # It shows sg's key, and another has signed it.
        assert proof(answer(), 4, (), compared) == "it is not signed by sg"


def test_an_answer_to_something_else_or_of_somebody_else_proves_nothing() -> None:
    odd: list[dict[str, Any]] = [
        {"recall": recall(at=11).digest},
        {"node": "vn"},
        {"realm": "exercise:acid"},
    ]
    for told in odd:
        assert "something else" in proof(answer(**told), 3, (key(3),))


def test_the_states_of_an_answer_have_words() -> None:
    assert [words_of(each) for each in ("", *Said, "odd")] == [
        "no answer yet", "withdrawn", "kept under legal duty", "not held", "odd"
    ]  # fmt: skip


# What is stricter


AUDIENCES = {
    name: make_audience(**told)
    for name, told in {
        "vn": {"named": ["vn"]},
        "vn sg": {"named": ["vn", "sg"]},
        "circle": {"circles": ["circle--33333333-3333-4333-8333-333333333333"]},
        "but vn": {"everyone_but": ["vn"]},
        "but vn sg": {"everyone_but": ["vn", "sg"]},
    }.items()
}
PAP_RED: dict[str, Any] = {
    "type": "marking-definition",
    "id": "marking-definition--44444444-4444-4444-8444-444444444444",
    "definition_type": "statement",
    "definition": {"statement": "PAP:RED"},
}
KNOWN = {each["id"]: read_marking(each) for each in (*AUDIENCES.values(), PAP_RED)}


def marked(tlp: Tlp, *audiences: str, **more: Any) -> MarkingSet:
    refs = [TLP_2_IDS[tlp], *(AUDIENCES[name]["id"] for name in audiences)]
    return MarkingSet(refs=tuple(refs), **more)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (marked(Tlp.GREEN), marked(Tlp.GREEN), False),
        (marked(Tlp.GREEN), marked(Tlp.AMBER), True),
        (marked(Tlp.AMBER), marked(Tlp.GREEN), False),
        (marked(Tlp.GREEN), MarkingSet(refs=("marking-definition--x",)), True),
        (marked(Tlp.GREEN), marked(Tlp.GREEN, granular=("x",)), True),
        (marked(Tlp.GREEN, granular=("x",)), marked(Tlp.GREEN), False),
        (marked(Tlp.GREEN), marked(Tlp.GREEN, "vn"), True),
        (marked(Tlp.GREEN, "vn"), marked(Tlp.GREEN), False),
        (marked(Tlp.GREEN, "vn"), marked(Tlp.GREEN, "vn sg"), False),
        (marked(Tlp.GREEN, "vn sg"), marked(Tlp.GREEN, "vn"), True),
        (marked(Tlp.GREEN, "vn"), marked(Tlp.GREEN, "circle"), True),
        (marked(Tlp.GREEN, "vn"), marked(Tlp.GREEN, "but vn"), True),
        (marked(Tlp.GREEN, "circle"), marked(Tlp.GREEN, "but vn"), True),
        (marked(Tlp.GREEN, "vn"), marked(Tlp.GREEN, "but vn sg"), True),
        (marked(Tlp.GREEN, "but vn sg"), marked(Tlp.GREEN, "but vn"), False),
        (marked(Tlp.GREEN, "but vn"), marked(Tlp.GREEN, "but vn sg"), True),
        (marked(Tlp.GREEN, "but vn"), marked(Tlp.GREEN, "vn"), True),
        (marked(Tlp.GREEN, "but vn"), marked(Tlp.GREEN, "but vn", "vn"), True),
    ],
)
def test_what_fewer_may_have_is_stricter(
    old: MarkingSet, new: MarkingSet, expected: bool
) -> None:
    assert stricter(new, old, KNOWN) is expected


def test_what_fewer_may_do_with_is_stricter() -> None:
    old, new = (
        marked(Tlp.GREEN),
        MarkingSet(refs=(*marked(Tlp.GREEN).refs, PAP_RED["id"])),
    )
    assert stricter(new, old, KNOWN)
    assert not stricter(old, new, KNOWN)


def test_an_audience_that_leaves_out_others_than_it_names_is_not_stricter() -> None:
    named = make_audience(named=["la"])
    known = {**KNOWN, named["id"]: read_marking(named)}
    old = MarkingSet(refs=(TLP_2_IDS[Tlp.GREEN], named["id"]))
    assert not stricter(marked(Tlp.GREEN, "but vn"), old, known)


# What is recalled


@pytest.mark.parametrize("state", [Recalled.KEPT, Recalled.HIDDEN])
@pytest.mark.parametrize("by", list(Way))
@pytest.mark.parametrize("kind", list(PartyKind))
def test_what_was_recalled_leaves_by_no_way_whoever_asks(
    state: Recalled, by: Way, kind: PartyKind
) -> None:
    plain = marked(Tlp.CLEAR)
    for held in (plain, plain.joined(marked(Tlp.GREEN, "vn"))):
        gone = MarkingSet.from_key(held.key())
        gone = gone.joined(MarkingSet(refs=held.refs, recalled=state))
        verdict = judge(
            gone,
            KNOWN,
            Party("vn", kind),
            own="vn" if kind is PartyKind.OWN else "th",
            policy=Policy(),
            circles={},
            by=by,
        )
        own = kind is PartyKind.OWN and state is Recalled.KEPT
        assert verdict.released is own
        assert (verdict.rule == "recalled") is not own


def test_a_set_that_was_recalled_keeps_its_parts_and_says_so_in_its_key() -> None:
    one, other = marked(Tlp.CLEAR), marked(Tlp.GREEN, "vn")
    both = one.joined(other)
    kept = MarkingSet(refs=one.refs, recalled=Recalled.KEPT)
    hidden = MarkingSet(refs=other.refs, recalled=Recalled.HIDDEN)
    assert kept.joined(hidden).recalled is Recalled.HIDDEN
    assert kept.joined(one) == kept == one.joined(kept)
    assert kept.joined(other).each() == both.each()
    for each in (kept, hidden, kept.joined(hidden), both):
        assert MarkingSet.from_key(each.key()) == each
    assert kept.key() != one.key()
    assert in_words(kept, KNOWN) == "TLP:CLEAR; recalled, kept here"
