"""The OASIS JSON schemas for STIX 2.1, read from the package that carries them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from serantau.errors import ConfigError

PACKAGE = "stix2validator"


def load_schemas(package: str = PACKAGE) -> dict[str, bytes]:
    """Give each schema's text by its name, such as `sdos/indicator`.

    The package itself is not imported: only its data files are wanted, and importing it
    takes longer than reading them.

    Raises:
        ConfigError: the package, or the schemas in it, are not installed.
    """
    found = find_spec(package)
    places = found.submodule_search_locations if found is not None else None
    texts = {}
    for place in places or ():
        root = Path(place, "schemas-2.1", "schemas")
        for path in sorted(root.glob("*/*.json")):
            name = path.relative_to(root).with_suffix("").as_posix()
            texts[name] = path.read_bytes()
    if not texts:
        raise ConfigError(
            f"The STIX schemas of the package {package} are not there.",
            mend="Install the requirements again: pip install stix2-validator",
        )
    return texts
