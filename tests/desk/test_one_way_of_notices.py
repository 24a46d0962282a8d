"""Only the courier and the contact drill send, after desk/share let it go."""

import ast
from collections.abc import Iterator

import pytest

from sources import SOURCE, modules_with

pytestmark = pytest.mark.no_cover  # nothing of ours runs here

SENDERS = {"serantau.wire.mail", "serantau.wire.webhook"}
# Who imports what hands letters over, and why.
KNOWN = {
    "desk/case_page.py": "after desk/share let the page go, to a card's address",
    "desk/case_watch.py": "hands a page over, after desk/case_page wrote it",
    "desk/courier.py": "after desk/share let the rows go",
    "desk/reach.py": "after desk/share let the question go, to a card's address",
    "desk/case_mail.py": "after desk/share let the entries go, to a card's address",
    "desk/notice_letter.py": "writes letters, and sends none",
    "desk/relay.py": "opens the mail server for these",
    "wire/webhook.py": "how handing over ended",
}


def imports(*words: str) -> Iterator[tuple[str, str]]:
    """Give what modules import that have one of some words."""
    for name, tree in modules_with(*words):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield name, node.module
            elif isinstance(node, ast.Import):
                yield from ((name, each.name) for each in node.names)


def test_only_the_courier_hands_letters_and_posts_over() -> None:
    found = {name for name, module in imports(*SENDERS) if module in SENDERS}
    assert found == set(KNOWN)


def test_only_the_mail_of_the_wire_speaks_smtp() -> None:
    found = {name for name, module in imports("smtplib") if module == "smtplib"}
    assert found == {"wire/mail.py"}


def test_the_courier_asks_desk_share_before_it_hands_anything_over() -> None:
    tree = ast.parse((SOURCE / "desk/courier.py").read_text(encoding="utf-8"))
    (one,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_one"
    )
    calls = {
        node.func.attr: node.lineno
        for node in ast.walk(one)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert calls["_judge"] < calls["written"] < calls["_release"] < calls["_hand"]
    callers = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "_hand"
    ]
    assert callers == [calls["_hand"]]
