"""An answer by mail counts at once only when nothing speaks against it."""

from __future__ import annotations

import email.policy
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest

from case_mails import (
    ADDRESS,
    MM,
    OURS,
    answer,
    card_of,
    key_of,
    open_case,
    our_certificate,
    send,
    told,
)
from couriers import dsn, read
from imap_server import Mailbox as Imap
from imap_server import imap_server
from serantau.clock import SetClock
from serantau.config import NodeConfig
from serantau.desk.case_assist import Assistance
from serantau.desk.case_mail import CaseMail, Round
from serantau.desk.case_post import CasePost
from serantau.desk.case_replies import CaseReplies, Fate
from serantau.desk.cases import Casework, View
from serantau.desk.contacts import Contacts
from serantau.errors import BadRequest, Conflict
from serantau.node import Node
from serantau.rules.case_mail import MOST_TEXT
from serantau.wire.mailbox import imap
from smtp_server import Mailbox


def take(node: Node, raw: bytes) -> Fate:
    return CaseReplies(node).take_in(raw)


def shown(node: Node, case: str) -> View:
    return Casework(node).show(case)


def words(node: Node, case: str) -> list[tuple[str, str, str]]:
    """Give what mm said, as kind, state and text."""
    return [
        (line.entry.kind, line.entry.stance or line.entry.state, line.entry.description)
        for line in shown(node, case).lines
        if line.entry.for_ref and not line.flags
    ]


def state(node: Node, case: str) -> str:
    (part,) = (one for one in shown(node, case).parts if one.name == "mm")
    return part.state


def why(node: Node) -> str:
    ((mail, _),) = CaseReplies(node).held()
    return mail.why


def test_a_signed_word_is_an_entry_at_once_and_answers_nobody(
    node: Node, box: Mailbox
) -> None:
    case, letter = told(node, box)
    raw = answer(letter, "ACK\n\nwe look into it")
    assert take(node, raw) is Fate.ENTRY
    assert words(node, case) == [("acknowledged", "", "we look into it")]
    assert state(node, case) == "received"
    (entry,) = (one.entry for one in shown(node, case).lines if one.entry.for_ref)
    assert entry.mail_signature == "good"
    assert entry.created_by_ref == node.config.node.identity
    # Nothing goes back, neither an echo nor a receipt.
    assert send(node) == Round()
    # The same again, by whatever way, changes nothing.
    again = raw.replace(b"answer-1", b"answer-2")
    late = b"Received: from relay.example\r\n" + raw
    assert {take(node, one) for one in (raw, again, late)} == {Fate.DUPLICATE}
    assert len(words(node, case)) == 1
    # What follows goes on from their mail.
    Casework(node).assess(case, description="thank you")
    assert send(node).sent == 1
    assert read(box.messages[-1])["In-Reply-To"] == "<answer-1@mm.example>"


@pytest.mark.parametrize(
    ("text", "said", "after"),
    [
        ("ACCEPT", [("acknowledged", "", ""), ("assessment", "valid", ""),
                    ("assessment", "accepted", "")], "accepted"),
        ("invalid\nnot ours", [("acknowledged", "", ""),
                               ("assessment", "invalid", "not ours")], "invalid"),
        ("We see two hosts.", [("acknowledged", "", ""),
                               ("assessment", "", "We see two hosts.")], "received"),
        ("ကျွန်ုပ်တို့ စစ်ဆေးနေပါသည်", [("acknowledged", "", ""),
         ("assessment", "", "ကျွန်ုပ်တို့ စစ်ဆေးနေပါသည်")], "received"),
        ("x" * 30_000, [("acknowledged", "", ""),
         ("assessment", "", "x" * MOST_TEXT + "\n[cut: the mail says more]")],
         "received"),
    ],
    ids=["accept", "invalid", "comment", "burmese", "long"],
)  # fmt: skip
def test_what_is_said_becomes_entries_with_the_steps_between(
    node: Node, box: Mailbox, text: str, said: list[tuple[str, str, str]], after: str
) -> None:
    case, letter = told(node, box)
    assert take(node, answer(letter, text, to=our_certificate(node))) is Fate.ENTRY
    assert words(node, case) == said
    assert state(node, case) == after


def test_asks_and_tasks_are_answered_by_their_number(node: Node, box: Mailbox) -> None:
    case, letter = told(node, box)
    _, ask = Assistance(node).ask(case, "Image of the host", ["mm"])
    _, task = Casework(node).add_task(case, "Take it down", "mm")
    ask, task = ask[12:20], task[12:20]
    replies = {
        f"DECLINE {ask}": Fate.HELD,
        f"DECLINE {ask}\nwe have no access": Fate.ENTRY,
        f"DONE {task}": Fate.ENTRY,
        "DOING ffffffff": Fate.HELD,
        "CLOSE": Fate.HELD,
    }
    for place, (text, fate) in enumerate(replies.items()):
        assert take(node, answer(letter, text, name=f"a{place}")) is fate, text
    found = shown(node, case).state
    assert next(iter(found.asks.values())).to.popitem()[1] == "declined"
    assert next(iter(found.tasks.values())).state == "done"
    held = [mail.why for mail, _ in CaseReplies(node).held()]
    assert "does not say why" in held[0]
    assert "no ask or task that begins" in held[1]
    assert "no way to closed" in held[2]


def changed(**more: str) -> Callable[[EmailMessage, Node], bytes]:
    return lambda letter, _: answer(letter, "VALID", **more)  # type: ignore[arg-type]


def html_only(letter: EmailMessage, _: Node) -> bytes:
    raw = answer(letter, "VALID", signer="")
    page = b"Content-Type: text/html\r\n\r\n<p>VALID</p><script>x</script>"
    return raw.partition(b"Content-Type:")[0] + page


def odd_charset(letter: EmailMessage, _: Node) -> bytes:
    return answer(letter, "VALID", signer="").replace(b'"utf-8"', b'"x-zawgyi"')


def bomb(letter: EmailMessage, _: Node) -> bytes:
    head = answer(letter, "VALID", signer="").partition(b"Content-Type:")[0]
    return head + b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (one, one)
        for one in range(1_000)
    )


def two_senders(letter: EmailMessage, _: Node) -> bytes:
    return answer(letter, "VALID").replace(
        b"<soc@mm.example>", b"<soc@mm.example>, evil@x.example"
    )


def not_for_us(letter: EmailMessage, _: Node) -> bytes:
    return answer(letter, "VALID", to=key_of("stranger").certificate)


def of_another_realm(letter: EmailMessage, _: Node) -> bytes:
    return b"Serantau-Realm: exercise:storm\r\n" + answer(letter, "VALID")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (changed(signer=""), "it is not signed"),
        (changed(signer="stranger"), "its signature is not of a key of that card"),
        (changed(sender="evil@x.example"), "its sender is not the one address"),
        (changed(quoted=""), "what is signed does not name this case"),
        (two_senders, "its sender is not the one address"),
        (html_only, "it is not signed"),
        (odd_charset, "its charset 'x-zawgyi' is not known here"),
        (bomb, "expected at most 20"),
        (not_for_us, "No key to decrypt"),
        (of_another_realm, "it is of the realm 'exercise:storm'"),
    ],
    ids=[
        *("unsigned", "unknown-key", "wrong-sender", "unnamed-case", "two-senders"),
        *("html", "charset", "bomb", "not-for-us", "realm"),
    ],
)
def test_an_answer_that_is_doubtful_waits_for_a_person(
    node: Node,
    box: Mailbox,
    make: Callable[[EmailMessage, Node], bytes],
    reason: str,
) -> None:
    case, letter = told(node, box)
    raw = make(letter, node)
    assert take(node, raw) is Fate.HELD
    assert reason in why(node)
    assert words(node, case) == []
    assert take(node, raw) is Fate.DUPLICATE
    replies = CaseReplies(node)
    ((mail, _),) = replies.held()
    assert replies.one(mail.n)[2] == raw
    replies.drop(mail.n)
    assert replies.held() == []
    with pytest.raises(Conflict, match="somebody decided"):
        replies.approve(mail.n)
    assert words(node, case) == []


def test_a_person_may_approve_and_all_see_that_it_was_not_signed(
    node: Node, box: Mailbox
) -> None:
    case, letter = told(node, box)
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["Message-ID"] = f"U Ba <{ADDRESS}>", "<x@mm.example>"
    made["Subject"] = f"AW: {letter['Subject']}"
    made.set_content("VALID\nhost list attached\n\n-- \nU Ba")
    made.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename="../h.csv")
    assert take(node, made.as_bytes()) is Fate.HELD
    assert shown(node, case).files == []
    replies = CaseReplies(node)
    replies.approve(replies.held()[0][0].n)
    assert words(node, case)[-1] == ("assessment", "valid", "host list attached")
    entries = [one.entry for one in shown(node, case).lines if one.entry.for_ref]
    assert {one.mail_signature for one in entries} == {"none"}
    (file,) = shown(node, case).files
    assert (file.name, file.size) == ("h.csv", 4)


def test_words_of_one_case_are_not_moved_into_another(node: Node, box: Mailbox) -> None:
    case, letter = told(node, box)
    other = open_case(node, name="Another")
    assert send(node).sent == 1
    second = read(box.messages[-1])
    raw = answer(letter, "CLOSE")
    moved = raw.replace(letter["Message-ID"].encode(), second["Message-ID"].encode())
    # The subject names the one and the thread the other: it belongs to neither.
    assert take(node, moved) is Fate.STRANGER
    moved = moved.replace(
        str(letter["Subject"]).encode()[:60], str(second["Subject"]).encode()[:60], 1
    )
    assert take(node, moved) is Fate.HELD
    assert "does not name this case" in why(node)
    assert words(node, other) == words(node, case) == []


def test_a_forged_copy_that_comes_first_keeps_no_real_answer_out(
    node: Node, box: Mailbox
) -> None:
    case, letter = told(node, box)
    assert take(node, answer(letter, "INVALID", signer="")) is Fate.HELD
    assert take(node, answer(letter, "VALID")) is Fate.ENTRY
    assert state(node, case) == "valid"


def test_what_programs_answer_and_what_came_back_is_shown_and_is_no_entry(
    node: Node, box: Mailbox
) -> None:
    case, letter = told(node, box)
    away = b"Auto-Submitted: auto-replied\r\n" + answer(letter, "VALID")
    own = answer(letter, "VALID", sender=OURS)
    for raw in (away, own, box.messages[0]):
        assert take(node, raw) is Fate.AUTOMATIC
        assert "a program answered" in CaseMail(node).threads(case)[0].trouble
    assert take(node, dsn(box.messages[0], ADDRESS)) is Fate.BOUNCE
    assert "550" in CaseMail(node).threads(case)[0].trouble
    assert words(node, case) == []
    assert CaseReplies(node).held() == []
    assert len(box.accepted) == 1


def test_mail_of_strangers_is_not_taken_in(node: Node, box: Mailbox) -> None:
    _, letter = told(node, box)
    guess = str(letter["Subject"])[:30] + "0" * 19 + "]"
    raw = answer(letter, "VALID", subject=guess).replace(
        str(letter["Message-ID"]).encode(), b"<0@x.example>"
    )
    for one in (raw, b"", b"\xff" * 100, b"From: x\r\n\r\nhello"):
        assert take(node, one) is Fate.STRANGER
    assert CaseReplies(node).held(all_=True) == []


def test_a_flood_stays_in_the_mailbox_and_keeps_no_signed_answer_out(
    config: NodeConfig, clock: SetClock, box: Mailbox
) -> None:
    cases = msgspec.structs.replace(config.cases, hourly=3)
    with Node(msgspec.structs.replace(config, cases=cases), clock) as node:
        case, letter = told(node, box)
        fates = [
            take(node, answer(letter, f"{one}", signer="", name=f"n{one}"))
            for one in range(5)
        ]
        assert fates == [Fate.HELD] * 3 + [Fate.TOO_MANY] * 2
        assert take(node, answer(letter, "ACK")) is Fate.ENTRY
        assert len(words(node, case)) == 1


def test_a_key_counts_only_on_the_card_that_has_the_address(
    node: Node, box: Mailbox, clock: SetClock
) -> None:
    case, letter = told(node, box)
    Contacts(node).put(replace(card_of("other"), name="Two", mail=("two@mm.example",)))
    assert take(node, answer(letter, "VALID", signer="other")) is Fate.HELD
    raw = answer(letter, "VALID", signer="other", sender="two@mm.example", name="a2")
    assert take(node, raw) is Fate.ENTRY
    (held,) = Contacts(node).all("mm")[:1]
    (key,) = held.card.keys
    Contacts(node).put(replace(held.card, keys=(replace(key, expires=1),)))
    assert take(node, answer(letter, "ACCEPT", name="a3")) is Fate.HELD
    assert state(node, case) == "valid"


def test_the_mailbox_is_read_and_each_mail_is_marked(
    config: NodeConfig, home: Path, clock: SetClock, box: Mailbox
) -> None:
    cases = msgspec.structs.replace(config.cases, mail_bytes=100_000)
    with Node(msgspec.structs.replace(config, cases=cases), clock) as node:
        case, letter = told(node, box)
        new = home / "answers" / "new"
        (new / "1").write_bytes(answer(letter, "ACK"))
        (new / "2").write_bytes(b"From: x@y.example\r\n\r\nbuy")
        (new / "3").write_bytes(answer(letter, "x" * 200_000))
        done = CasePost(node).tick()
        assert done is not None
        assert done.mails == {Fate.ENTRY: 1, Fate.STRANGER: 1, Fate.TOO_LARGE: 1}
        assert sorted(one.name for one in (home / "answers" / "cur").iterdir()) == [
            "1:2,S",
            "2:2,F",
            "3:2,F",
        ]
        assert len(words(node, case)) == 1
        # Nothing is due: an idle node writes nothing.
        assert CasePost(node).tick() is None
        (home / "answers" / "new").rmdir()
        clock.advance(seconds=61)
        Casework(node).assess(case, description="goes all the same")
        done = CasePost(node).tick()
        assert done is not None
        assert done.letters == Round(sent=1)


def test_an_answer_that_says_nothing_is_held(node: Node, box: Mailbox) -> None:
    _, letter = told(node, box)
    assert take(node, answer(letter, "")) is Fate.HELD
    assert "says nothing of its own" in why(node)
    replies = CaseReplies(node)
    with pytest.raises(BadRequest):
        replies.approve(replies.held()[0][0].n)
    assert len(replies.held()) == 1
    assert MM.party == "mm"


def test_answers_are_read_from_an_imap_folder(
    config: NodeConfig, home: Path, tmp_path: Path, clock: SetClock, box: Mailbox
) -> None:
    inbox = Imap()
    (home / "keys" / "imap").write_text(f"{inbox.password}\n")
    with imap_server(tmp_path, inbox) as (port, trusted):
        user = inbox.user.replace("@", "%40")
        cases = msgspec.structs.replace(
            config.cases,
            mailbox=f"imaps://{user}@127.0.0.1:{port}/{inbox.folder}",
            password_file="keys/imap",
        )
        with Node(msgspec.structs.replace(config, cases=cases), clock) as node:
            case, letter = told(node, box)
            inbox.add(answer(letter, "ACK"))
            inbox.add(b"From: x@y.example\r\n\r\nbuy")
            opening: Callable[..., Any] = lambda *a: imap(*a, context=trusted)  # noqa: E731
            CasePost(node, open_imap=opening).once()
            assert len(words(node, case)) == 1
    assert inbox.flags == {1: {"\\Seen"}, 2: {"\\Flagged"}}
