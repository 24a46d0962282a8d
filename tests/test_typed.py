"""Values are read by type in any thread, and by one room only."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from serantau import typed

SOURCES = Path(typed.__file__).parent
# Reading by type otherwise; without a type nothing is learnt.
OTHERWISE = re.compile(
    r"msgspec\.(?:convert|\w+\.Decoder)\(|msgspec\.\w+\.decode\([^)]*\btype\s*=",
    re.DOTALL,
)
THREADS = """
import sys
import threading
import types

from serantau import typed

sys.setswitchinterval(1e-6)
MODULE = '''
from __future__ import annotations
import msgspec
class Inner(msgspec.Struct):
    a: int
    b: dict[str, int] = {}
class Outer(msgspec.Struct):
    one: Inner
    many: list[Inner] = []
'''
BODY = b'{"one":{"a":1,"b":{"k":1}},"many":[{"a":2,"b":{"k":1}}]}'
for number in range(200):
    module = types.ModuleType(f"made_{number}")
    sys.modules[module.__name__] = module
    exec(MODULE, module.__dict__)
    together = threading.Barrier(4)

    def work():
        together.wait()
        assert typed.read(BODY, module.Outer).many[0].a == 2

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
print("all read")
"""


class Named(msgspec.Struct):
    name: str
    many: int = 0


def test_threads_that_meet_a_type_at_once_all_read_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "all read\n", "")


def test_nothing_else_reads_by_type() -> None:
    # Else one thread may meet what another is still learning, and the node ends.
    found = [
        str(path.relative_to(SOURCES))
        for path in sorted(SOURCES.rglob("*.py"))
        if OTHERWISE.search(path.read_text("utf-8"))
    ]
    assert found == ["typed.py"]


def test_each_kind_has_one_reader_and_it_says_what_is_wrong() -> None:
    assert typed.reader(Named) is typed.reader(Named)
    assert typed.read(b'{"name":"th"}', Named) == Named("th")
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`"):
        typed.read('{"name":"th","many":"2"}', Named)
    with pytest.raises(msgspec.DecodeError, match="truncated"):
        typed.read(b'{"name"', Named)


def test_tables_are_made_of_a_type_strictly_or_not() -> None:
    table = {"name": "ไทย", "many": "2"}
    assert typed.convert(table, Named, strict=False) == Named("ไทย", 2)
    with pytest.raises(msgspec.ValidationError):
        typed.convert(table, Named)
