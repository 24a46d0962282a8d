"""The OpenAPI description, and the table of verbs that the documentation shows."""

from __future__ import annotations

from functools import cache
from inspect import cleandoc
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

import serantau
from serantau.apps.web.api.door import LEAST_ROLE, ROOT
from serantau.apps.web.api.fault import Failed, kinds
from serantau.apps.web.api.words import END, Answer, Given

_REFERENCE: Final = "#/components/schemas/{name}"


@cache
def describe() -> dict[str, Any]:
    """Give the OpenAPI description.

    Litestar describes paths and parameters in an application that nobody serves, since
    beside a description it would serve pages of its own. The schemas of bodies are
    those that msgspec itself writes from the types that it reads and writes by.
    """
    from serantau.apps.web.api import routes

    config = OpenAPIConfig(
        title="Serantau",
        version=serantau.__version__,
        description="What a duty officer does with a node, for programs of its own "
        "organisation. Other parties have TAXII.",
        render_plugins=[JsonRenderPlugin()],
        security=[{"basic": []}, {"bearer": []}],
        components=Components(
            security_schemes={
                "basic": SecurityScheme(type="http", scheme="basic"),
                "bearer": SecurityScheme(type="http", scheme="bearer"),
            }
        ),
    )
    router: Router = routes()
    app = Litestar([router], openapi_config=config, logging_config=None)
    found: dict[str, Any] = app.openapi_schema.to_schema()
    found["components"]["schemas"] = _schemas()
    for operations in found["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                _say_absent(parameter["schema"])
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(found: Any) -> Any:
    """Write patterns as the description's readers do, to whom `$` is the end alone."""
    if isinstance(found, dict):
        return {name: _plain(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_plain(value) for value in found]
    return found.replace(END, "$") if isinstance(found, str) else found


def _say_absent(schema: dict[str, Any]) -> None:
    """Take the null out of a parameter's schema: what is left out is not sent."""
    kinds = schema.pop("oneOf", [schema])
    for kind in kinds:
        if kind is not schema and kind.get("type") != "null":
            schema.update({**kind, **schema})


def _schemas() -> dict[str, Any]:
    types: list[type[msgspec.Struct]] = [Failed, *_below(Answer), *_below(Given)]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    return dict(schemas)


def _below(above: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    return [
        each
        for each in above.__subclasses__()
        if each.__module__.startswith(__name__.rpartition(".")[0])
    ]


def verbs_markdown() -> str:
    """Write the table of verbs as Markdown, for docs/api.md."""
    lines = ["| Verb | Request | Least role | What it does |", "|---|---|---|---|"]
    for path, operations in describe()["paths"].items():
        for method, operation in operations.items():
            name = operation["operationId"]
            lines.append(
                f"| `{name}` | `{method.upper()} {path.removeprefix(ROOT)}` "
                f"| {LEAST_ROLE[name]} | {operation['summary']} |"
            )
    return "\n".join(lines) + "\n"


def faults_markdown() -> str:
    """Write the table of kinds of faults as Markdown, for docs/api.md."""
    lines = ["| Type | HTTP | Meaning |", "|---|---|---|"]
    for name, (status, meaning) in sorted(kinds().items(), key=lambda one: one[1]):
        lines.append(f"| `{name}` | {status} | {meaning} |")
    return "\n".join(lines) + "\n"


@get("/openapi.json", include_in_schema=False)
async def openapi() -> Response[bytes]:
    """Give the description; it tells nothing of this node, so anyone may read it."""
    return Response(_written(), media_type="application/json")


@cache
def _written() -> bytes:
    return msgspec.json.encode(describe())
