"""Only desk/share hands objects to outsiders: the code is walked for who else looks.

Three things give a body: a page of a view, `Found.body` (or a row's), and SQL that asks
for it. Each module that uses one of them is named here with the reason, and the reasons
of those who face outsiders are held by the leak suites.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from sources import modules_with

pytestmark = pytest.mark.no_cover  # nothing of ours runs here

VIEWS = {"page", "lines", "any_after", "view"}
# Who reads a body, and what becomes of it. None of it goes to another party, unless it
# is the page that desk/share gave.
BODIES = {
    "desk/lane.py": "the bytes of an event batch, which hold no objects",
    "desk/lane_kernel.py": "rows of events, held where they were judged",
    "lane/chain.py": "rows of events, held where they were judged",
    "lane/delta.py": "the bytes of a file of events",
    "lane/formats/reading.py": "rows of events, held where they were cut",
    "desk/intake.py": "a status, told to the party that caused it",
    "desk/screening.py": "what just came in, on its way to quarantine",
    "desk/case_incident.py": "this node's own incident, compared with the state",
    "desk/case_flood.py": "entries that come in, counted by whose they are",
    "desk/case_log.py": "entries that just came in, to be folded here",
    "desk/case_reach.py": "evidence, told to the node's own people",
    "desk/case_who.py": "evidence, told to the node's own people",
    "desk/cases.py": "what this node writes, on its way into its store",
    "desk/keys.py": "what came in or is held, to see whether its signature holds",
    "desk/signing.py": "this node's own objects, to be signed",
    "desk/arriving.py": "what is held, compared with what comes in",
    "desk/around.py": "told to the node's own people",
    "desk/compose.py": "this node's own objects, changed by its own people",
    "desk/shelf.py": "told to the node's own people",
    "apps/web/pages/object_page.py": "told to the node's own people",
    "desk/seen_matrix.py": "told to the node's own people",
    "desk/dossier.py": "told to the node's own people",
    "desk/contacts.py": "contact cards, told to the node's own people",
    "apps/web/api/objects.py": "told to the node's own people",
    "apps/cli/objects.py": "told to the node's own people",
    "desk/lane_indicators.py": "indicators, read to match rows of events here",
    "apps/web/pages/look.py": "the files that pages are drawn with",
    "apps/web/behalf.py": "the body of an HTTP request",
    "desk/behalf.py": "made anonymous, judged and logged by desk/share",
    "desk/outlook.py": "told to the node's own people",
    "desk/origin.py": "this node's own identities, to be searched for",
    "desk/publisher.py": "what this node publishes itself, and what waits for that",
    "wire/behalf.py": "the body of an HTTP response",
    "desk/share.py": "the one way out",
    "desk/sightings.py": "a sighting of its own, compared with what it says now",
    "desk/simulate.py": "this node's own objects, marked anew",
    "apps/taxii.py": "the body of an HTTP request",
    "apps/web/ledger.py": "the body of an HTTP request",
    "apps/web/recalls.py": "the body of an HTTP request",
    "wire/client.py": "the body of an HTTP response",
    "wire/cases.py": "the body of an HTTP response",
    "wire/ledger.py": "the body of an HTTP response",
    "wire/recalls.py": "the body of an HTTP response",
    "apps/demo/proof.py": "the demo's own nodes, compared with each other",
    "testing.py": "what a test compares",
}
PARCELS = {
    "desk/abroad.py": "judged and logged by desk/share, for the owner alone",
    "apps/web/abroad.py": "a page of desk/abroad",
}
PAGES = {
    "desk/share.py": "the one way out",
    "apps/taxii.py": "a page of desk/share",
    "desk/handout.py": "a page of desk/share",
    "desk/drafts.py": "a page of desk/share",
    "apps/cli/handover.py": "what desk/share handed over",
    "desk/case_mail.py": "what desk/share handed over",
    "desk/case_export.py": "what desk/share handed over",
    "lane/question.py": "rows of events, asked by this node's own people",
    "apps/demo/proof.py": "the demo's own nodes, compared with each other",
}
QUERIES = {
    "desk/keys.py": "what is held, compared with what comes in",
    "desk/lane_indicators.py": "indicators, read to match rows of events here",
    "desk/arriving.py": "what is held, compared with what comes in",
    "desk/intake.py": "a status, told to the party that caused it",
    "apps/demo/proof.py": "the demo's own nodes, compared with each other",
    "testing.py": "what a test compares",
}


def modules(word: str) -> Iterator[tuple[str, ast.Module]]:
    """Give those that have a word; rules have no store, and records are looked into."""
    for name, tree in modules_with(word):
        if not name.startswith(("rules/", "records/")):
            yield name, tree


def last_name(node: ast.expr) -> str:
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id
        if isinstance(node, ast.Name)
        else ""
    )


def reads_views(tree: ast.Module) -> bool:
    """Tell whether a module reads through `Views`, however it calls it."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in VIEWS
            and last_name(node.value).lstrip("_") in {"views", "Views"}
        ):
            return True
        if isinstance(node, ast.Call) and last_name(node.func) == "getattr":
            target = node.args[0] if node.args else node
            if isinstance(target, ast.expr) and last_name(target).endswith("views"):
                return True
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            # An alias would hide what is read through it.
            value = node.value
            if isinstance(value, ast.Attribute) and value.attr == "views":
                return True
    return False


def reads_bodies(tree: ast.Module, name: str) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr == name)
        or (
            isinstance(node, ast.Call)
            and last_name(node.func) in {"getattr", "attrgetter"}
            and any(
                isinstance(each, ast.Constant) and each.value == name
                for each in node.args
            )
        )
        for node in ast.walk(tree)
    )


def asks_for_bodies(tree: ast.Module) -> bool:
    """Tell whether a module has SQL of its own that gives bodies."""
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return any(
        re.search(r"\bSELECT\b((?!\bFROM\b).)*(\bbody\b|(?<!\()\*)", text, re.DOTALL)
        for text in texts
    )


def test_only_the_one_way_out_reads_views() -> None:
    found = {name for name, tree in modules("iews") if reads_views(tree)}
    assert found == {"desk/share.py"}


def test_only_a_node_makes_views() -> None:
    makers = {
        name
        for name, tree in modules("Views")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and last_name(node.func) == "Views"
    }
    assert makers == {"node.py"}


@pytest.mark.parametrize(
    ("attribute", "known"), [("body", BODIES), ("bodies", PAGES), ("arrow", PARCELS)]
)
def test_who_else_reads_bodies_is_known_and_why(
    attribute: str, known: dict[str, str]
) -> None:
    looked = modules(attribute)
    found = {name for name, tree in looked if reads_bodies(tree, attribute)}
    new, gone = found - known.keys(), known.keys() - found
    assert not new, f"{new} read object bodies: hand them out through desk/share"
    assert gone <= {"desk/share.py"}, f"{gone} read none any more: take them off"


def test_who_asks_the_database_for_bodies_is_known_and_why() -> None:
    found = {name for name, tree in modules("SELECT") if asks_for_bodies(tree)}
    new, gone = found - QUERIES.keys(), QUERIES.keys() - found
    assert not new, f"{new} read object bodies by SQL: hand them out through desk/share"
    assert not gone, f"{gone} do not ask for bodies any more: take them off the list"


@pytest.mark.parametrize(
    "code",
    [
        "def f(node, tx, v, a):\n    return node.views.page(tx, v, a)",
        "def f(self, tx, v, a):\n    return self._views.lines(tx, v, a)",
        "def f(node):\n    read = node.views\n    return read",
        "def f(node):\n    return getattr(node.views, 'page')",
        "from serantau.records.views import Views\nread = Views.page",
    ],
)
def test_the_walk_sees_a_way_around(code: str) -> None:
    assert reads_views(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    ["x.body", "getattr(x, 'body')", "operator.attrgetter('body')", "f(x).body[:3]"],
)
def test_the_walk_sees_a_body(code: str) -> None:
    assert reads_bodies(ast.parse(code), "body")


def test_the_walk_sees_sql() -> None:
    assert asks_for_bodies(ast.parse("tx.rows('SELECT id, body FROM object')"))
    assert asks_for_bodies(ast.parse("tx.rows('SELECT o.* FROM object o')"))
    assert not asks_for_bodies(ast.parse("tx.rows('SELECT count(*) FROM object')"))
    assert not asks_for_bodies(ast.parse("tx.rows('SELECT id FROM object')"))
