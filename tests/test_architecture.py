"""Imports go down only, as the layers of the design say."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "invoicexpress_async"
NAME = PACKAGE.name

# A module may import from lower levels only, and from its own where it says so.
LEVELS: dict[str, int] = {
    "_json": 0, "_clock": 0, "error_context": 0, "errors": 1, "intents": 0,
    "models": 2, "config": 2, "error_details": 2, "converters": 5, "_row_layout": 3,
    "account_fields": 3, "account_credentials": 4, "account_models": 4, "account_update": 5,
    "account_converters": 6, "account_requests": 7, "account_errors": 2, "account_flows": 9,
    "retry": 3, "ratelimit": 3, "_credentials": 3, "_slots": 0,
    "_keyed_lock": 0, "_doubts": 2, "_refused": 0, "_redaction": 3,
    "_life": 3, "events": 0, "_observer": 3, "_call": 6, "_telling": 7,
    "_wire": 4, "_requests": 6, "_lanes": 4, "_body": 5, "_address": 5, "_openings": 0,
    "_transport": 6,
    "_dispatch": 8, "_single_flight": 9, "_reconcile": 9, "_flows": 10,
    "sequences": 11, "intent_converter": 3, "accounts": 11,
    "account_session": 12, "session": 13, "__init__": 14, "otel": 15, "provisioning": 15,
    "onboarding": 16, "sandbox": 0, "cli": 17, "__main__": 18, "testing": 15, "pytest_plugin": 16,
    "contract": 1, "live_check": 15,
}  # fmt: skip
# session for the types of its settings only, and testing for mocks of it
CLIENT_IMPORTERS = {"_transport", "session", "testing"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """All modules named in import statements, those for type checkers only left out."""
    names: set[str] = set()
    for node in _runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names.add(node.module or "")
    return names


def _runtime_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        nodes += [child, *_runtime_nodes(child)]
    return nodes


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(path)

    for imported in imports_of(path):
        if imported.split(".")[0] != NAME:
            continue
        target = ([*imported.split("."), "__init__"])[1]
        assert target == room or LEVELS[target] < LEVELS[room], f"{room} imports {target}"


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "sandbox").glob("*.py")), ids=lambda path: path.name
)
def test_the_sandbox_imports_nothing_of_ours(path: Path) -> None:
    ours = {name for name in imports_of(path) if name.split(".")[0] == NAME}

    assert all(name.startswith(f"{NAME}.sandbox") for name in ours)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_aiohttps_client_is_imported_in_one_place(path: Path) -> None:
    room = room_of(path)
    if room in CLIENT_IMPORTERS | {"sandbox"}:
        return

    assert not {name for name in imports_of(path) if name.split(".")[0] == "aiohttp"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_imports_another_modules_private_names(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            folder = PACKAGE.parent / (node.module or "").replace(".", "/")
            names = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not [name for name in names if not (folder / f"{name}.py").exists()]


def test_wire_names_stand_in_converters_and_beside_them_only() -> None:
    elsewhere = [
        path.name
        for path in MODULES
        # live_check looks at what the converters hide
        if room_of(path) not in {"converters", "live_check", "sandbox"}
        and any(
            isinstance(node, ast.Constant) and node.value in {"default_sequence", "serie_number"}
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]

    assert elsewhere == []
