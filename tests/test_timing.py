"""How long an answer takes tells no secret: by how it is made, not by a clock.

A secret that a caller shows is never compared letter by letter. A password goes through
its hash, also where there is no such user; a token or a remembered login is looked up
by a digest of it, of which a guesser knows nothing; a signature is verified by its
library.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import argon2
import pytest

from serantau.records import registry
from serantau.rules.party import Kind, Party
from sources import modules_with

SECRETS = ("secret", "password", "passphrase", "token", "mac", "hmac", "signature")
# Comparisons in which such a name is no secret that somebody shows.
NO_SECRET = MappingProxyType(
    {
        "records/peers.py": "a peer's old secret and new one, both of our own people",
        "desk/publisher.py": "digests of tokens: a guesser knows nothing of them",
        "desk/case_replies.py": "what was found of a mail's signature, in a word",
        "apps/web/pages/invited.py": "a new password and its repetition, of one form",
        "wire/reply.py": "what was found of a mail's signature, in a word",
    }
)


class Counting:
    """The real hasher; it writes down what was verified against what."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.verified: list[Any] = []

    def verify(self, digest: str, password: bytes) -> bool:
        self.verified.append(argon2.extract_parameters(digest))
        return bool(self._real.verify(digest, password))

    def hash(self, password: str) -> str:
        return str(self._real.hash(password))


def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(registry._HASHER)
    monkeypatch.setattr(registry, "_HASHER", counting)
    registry._nobody.cache_clear()
    with opened(tmp_path) as node, node.db.write() as tx:
        node.registry.put_party(tx, Party("vn", Kind.MEMBER))
        for name, password in (("wei", "right"), ("out", "right"), ("tool", "")):
            node.registry.add_user(tx, name, "vn", "reader", password)
        node.registry.set_user(tx, "out", disabled=True)
        work: dict[str, list[Any]] = {}
        for name, shown in (
            ("wei", "wrong"),
            ("nobody", "wrong"),
            ("out", "right"),
            ("tool", ""),
            ("no\x00body", "wrong"),
        ):
            counting.verified.clear()
            assert node.registry.caller_by_password(tx, name, shown) is None
            work[name] = [*counting.verified]
        assert node.registry.caller_by_password(tx, "wei", "right") is not None
    registry._nobody.cache_clear()
    assert len(work["wei"]) == 1
    assert all(one == work["wei"] for one in work.values()), work


def opened(folder: Path) -> Any:
    from serantau.config import NodeConfig, NodeSection
    from serantau.node import Node

    return Node(NodeConfig(home=folder, node=NodeSection(member="th", team="T")))


def test_a_token_is_looked_up_by_its_digest_and_stands_nowhere(tmp_path: Path) -> None:
    with opened(tmp_path) as node:
        with node.db.write() as tx:
            node.registry.put_party(tx, Party("vn", Kind.MEMBER))
            node.registry.add_user(tx, "vn-node", "vn", "reader")
            token = node.registry.add_token(tx, "vn-node", "x")
            asked: list[dict[str, Any]] = []
            real = tx.execute

            def watched(sql: str, values: Any) -> Any:
                asked.append(dict(values))
                return real(sql, values)

            tx.execute = watched
            assert node.registry.caller_by_token(tx, token) is not None
            assert node.registry.caller_by_token(tx, token[:-1] + "!") is None
        assert asked
        assert not [each for each in asked if token[:20] in str(each)]
        node.db.settle_log()
    for file in tmp_path.glob("*.db*"):
        assert token.encode() not in file.read_bytes()


def comparisons() -> Iterator[tuple[str, str]]:
    """Give every == and != of something that is called like a secret, with its file."""
    for name, tree in modules_with("==", "!="):
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and compares_secrets(node):
                yield name, ast.unparse(node)


def compares_secrets(node: ast.Compare) -> bool:
    if not any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
        return False
    sides = [node.left, *node.comparators]
    if any(isinstance(side, ast.Constant) for side in sides):
        # With an empty text, or a word of a grammar: no secret is one.
        return False
    return any(name_of(side).lstrip("_").lower() in SECRETS for side in sides)


def name_of(node: ast.AST) -> str:
    return str(getattr(node, "attr", getattr(node, "id", "")))


def test_no_secret_is_compared_letter_by_letter() -> None:
    # Words of a grammar and fields of an expression are called tokens, too.
    grammar = ("rules/indicator.py", "rules/pattern", "wire/bundle.py", "wire/envelope")
    found = {name: said for name, said in comparisons() if not name.startswith(grammar)}
    new = found.keys() - NO_SECRET.keys()
    assert not new, f"{[found[each] for each in new]}: hmac.compare_digest"


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("given == self._secret", True),
        ("row.password != password", True),
        ("made(token) == held.mac", True),
        ("hmac.compare_digest(token, held)", False),
        ("name == other", False),
        ("secret == ''", False),
    ],
)
def test_the_walk_sees_a_comparison_of_secrets(code: str, is_one: bool) -> None:
    found = [
        compares_secrets(node)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Compare)
    ]
    assert any(found) == is_one
