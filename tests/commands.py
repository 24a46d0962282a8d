"""Running the command line in this process, and what it is fed with."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from serantau.apps.cli.main import app
from serantau.config import load_config
from serantau.node import Node
from serantau.rules.marking import TLP_2_IDS, Tlp

AT = "2026-03-01T00:00:00.000Z"
MODULE = "serantau.apps.cli.main"


class Ran:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


def command(home: Path, *arguments: object, given: str | bytes = "") -> Ran:
    """Run `serantau` on the node in a folder."""
    words = ["--home", str(home), *map(str, arguments)]
    result = CliRunner().invoke(app, words, input=given)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@contextmanager
def opened(home: Path) -> Iterator[Node]:
    with Node(load_config(home)) as node:
        yield node


def indicator(number: int, tlp: Tlp | None = Tlp.GREEN, **more: Any) -> dict[str, Any]:
    marked = {} if tlp is None else {"object_marking_refs": [TLP_2_IDS[tlp]]}
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": AT,
        "modified": AT,
        **marked,
        "name": f"Number {number}",
        "pattern": f"[domain-name:value = 'n{number}.example']",
        "pattern_type": "stix",
        "valid_from": AT,
        **more,
    }


def written(path: Path, *objects: dict[str, Any]) -> Path:
    bundle = {"type": "bundle", "id": "bundle--" + "0" * 8, "objects": objects}
    path.write_text(json.dumps(bundle), encoding="utf-8")
    return path
