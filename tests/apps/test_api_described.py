"""The API keeps to its OpenAPI description, whatever a machine makes up to ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from doors import furnish
from serantau.apps.web.api.description import describe
from serantau.apps.web.api.door import ROOT
from serantau.apps.web.server import create_app
from serantau.config import NodeConfig, NodeSection
from serantau.node import SEAL_FILE, Node
from serantau.records.seal import Seal

pytestmark = pytest.mark.no_cover

# Each test run asks a few of each kind; `make fuzz` some hundreds.
EXAMPLES = max(4, settings().max_examples // 100)
# It would knock at whatever address was made up for a peer.
LEFT_OUT = {"sync-peer"}
# What they take has rules that no schema tells, such as that a token ends in future.
WITH_RULES = {
    # The generator makes empty streams, whatever the description says.
    "add-events",
    "load",
    "put-collection",
    "put-circle",
    "add-user",
    "add-token",
}
OPERATIONS = [
    (operation["operationId"], path, method.upper())
    for path, operations in describe()["paths"].items()
    for method, operation in operations.items()
    if operation["operationId"] not in LEFT_OUT
]
NAMES = [name for name, _, _ in OPERATIONS]


@dataclass
class Described:
    """A node's application with its description, and a token of an administrator's."""

    schema: Any
    token: str

    def ask(self, name: str, path: str, method: str, mode: GenerationMode) -> None:
        # It guesses passwords, and is told to wait.
        without = [ignored_auth]
        if name in WITH_RULES:
            without.append(positive_data_acceptance)
        if name in {"load", "add-events"}:
            # What is no object is refused in the answer, as one of many would be, and
            # what events are in the bytes is looked at later.
            without.append(negative_data_rejection)
        strategy = self.schema[path][method].as_strategy(generation_mode=mode)

        @settings(max_examples=EXAMPLES, database=None)
        @given(case=strategy)
        def asked(case: Case[Any]) -> None:
            answer = case.call_and_validate(
                headers={"Authorization": f"Bearer {self.token}"},
                excluded_checks=without,
            )
            # Nothing that was asked before may have shut the administrator out.
            assert answer.status_code not in {401, 403}

        asked()


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    home = tmp_path_factory.mktemp("described")
    config = NodeConfig(home=home, node=NodeSection(member="th", team="ThaiCERT"))
    config.keys.mkdir()
    (config.keys / SEAL_FILE).write_bytes(Seal.new_key())
    with Node(config) as node:
        furnish(node)
        with node.db.write() as tx:
            token = node.registry.add_token(tx, "boss", "described")
        app = create_app(node)

        async def doors(scope: Any, receive: Any, send: Any) -> None:
            # Each test would end the application's life; this fixture does that.
            if scope["type"] == "http":
                await app(scope, receive, send)

        schema = schemathesis.openapi.from_asgi(f"{ROOT}/openapi.json", doors)
        yield Described(schema, token)
        app.state.hall.close()


@pytest.mark.fuzz
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("name", "path", "method"), OPERATIONS, ids=NAMES)
def test_every_answer_is_as_described(
    described: Described, name: str, path: str, method: str, mode: GenerationMode
) -> None:
    described.ask(name, path, method, mode)
