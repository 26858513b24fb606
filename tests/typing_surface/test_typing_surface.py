"""What type checkers are shown is the whole surface. The gate runs both of them on it."""

import ast
import enum
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import invoicexpress_async
from invoicexpress_async import events, onboarding, otel, provisioning, sandbox, testing
from invoicexpress_async.jobs.journal import Journal

TREES = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("typing_surface*.py")]
NODES = [node for tree in TREES for node in ast.walk(tree)]
SHOWN = {node.attr for node in NODES if isinstance(node, ast.Attribute)}
SHOWN |= {alias.name for node in NODES if isinstance(node, ast.ImportFrom) for alias in node.names}
SHOWN |= {
    node.slice.value
    for node in NODES
    if isinstance(node, ast.Subscript)
    and isinstance(node.slice, ast.Constant)
    and isinstance(node.slice.value, str)
}
# Of the package's own use: their types are no names of the package.
MACHINERY = {"engine", "writer", "claiming", "claims", "recent_requests", *vars(Journal)}
# What a held slice and its store say to each other.
MACHINERY |= {"extend", "recently", "used", "note_used", "fence", "check_right", "open_entries"}
MACHINERY |= {"job", "left", "reset_to_planned"}
MODULES = [invoicexpress_async, events, onboarding, otel, provisioning, sandbox, testing]


def public_names(module: ModuleType) -> list[str]:
    own = [name for name, value in vars(module).items() if is_of(module, value)]
    return list(getattr(module, "__all__", own))


def is_of(module: ModuleType, value: object) -> bool:
    return inspect.isclass(value) and value.__module__ == module.__name__


def members(kind: type) -> Iterator[str]:
    """Its fields, and its methods that are documented: the others are machinery."""
    for one in kind.__mro__:
        if one.__module__.startswith("invoicexpress_async"):
            yield from inspect.get_annotations(one)
            yield from (name for name, value in vars(one).items() if inspect.getdoc(value))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_shown_to_the_type_checkers(module: ModuleType) -> None:
    assert set(public_names(module)) - SHOWN == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_member_of_a_public_class_is_shown_to_the_type_checkers(module: ModuleType) -> None:
    values = [getattr(module, name) for name in public_names(module)]
    classes = [one for one in values if inspect.isclass(one) and not issubclass(one, enum.Enum)]

    missing = {
        f"{kind.__name__}.{name}"
        for kind in classes
        for name in members(kind)
        if not name.startswith("_") and name not in SHOWN | MACHINERY
    }

    assert missing == set()
