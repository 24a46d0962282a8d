"""The schemas come out of the package that carries them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from serantau.errors import ConfigError
from serantau.wire.schemas import load_schemas


def test_all_schemas_are_there_under_their_names() -> None:
    texts = load_schemas()
    assert {"sdos/indicator", "observables/url", "common/core"} <= set(texts)
    for name, text in texts.items():
        assert json.loads(text)["$id"].endswith(f"/schemas/{name}.json")


@pytest.mark.parametrize("package", ["no_such_package_here", "json", "bisect"])
def test_a_package_without_schemas_is_said_to_be(package: str) -> None:
    with pytest.raises(ConfigError, match="requirements"):
        load_schemas(package)


def test_the_package_itself_is_not_imported() -> None:
    code = (
        "import sys; from serantau.wire.schemas import load_schemas; load_schemas();"
        " sys.exit('stix2validator' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
