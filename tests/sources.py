"""The program's own modules as trees, for tests that walk the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import serantau

SOURCE = Path(serantau.__file__).parent


def modules_with(*words: str) -> Iterator[tuple[str, ast.Module]]:
    """Give the modules that have one of some words: in others there is nothing to see.

    Each with its path below the package. To parse all of them takes seconds.
    """
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if any(word in text for word in words):
            yield path.relative_to(SOURCE).as_posix(), ast.parse(text)
