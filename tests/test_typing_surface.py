"""What type checkers are shown is the whole surface. The gate runs both of them on it."""

import ast
from pathlib import Path

import pytest

import invoicexpress_async
from invoicexpress_async import onboarding, provisioning, testing

TREE = ast.parse((Path(__file__).parent / "typing_surface.py").read_text())
SHOWN = {node.attr for node in ast.walk(TREE) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(module.__all__, id=module.__name__)
        for module in (invoicexpress_async, provisioning, onboarding, testing)
    ],
)
def test_every_public_name_is_shown_to_the_type_checkers(names: list[str]) -> None:
    assert set(names) - SHOWN == set()
