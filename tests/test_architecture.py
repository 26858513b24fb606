"""Imports go down only: from room to room, and from module to module inside a room."""

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_python

PACKAGE = Path(__file__).parents[1] / "invoicexpress_async"
NAME = PACKAGE.name

# From the ground up. A room imports from the floors below it, and from itself.
FLOORS = (
    {"clock", "errors", "events", "sandbox"},
    {"config", "otel"},
    {"models"},
    {"protocol"},
    {"transport"},
    {"call"},
    {"jobs", "services"},
    {"session", "__init__"},
    {"live_check", "provisioning", "testing"},
    {"onboarding", "procrastinate", "pytest_plugin"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# session for the types of its settings only, and testing for mocks of it
CLIENT_IMPORTERS = {"transport", "session", "testing"}
MAX_FOLDERS = 21
MAX_MODULES = 20
# Sans-I/O: the protocol is the same over every transport.
PURE_ROOMS = {"errors", "config", "models", "protocol"}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def room_of(module: str) -> str:
    """Return the file or folder directly below the package that a module is in."""
    return ([*module.split("."), "__init__"])[1]


def imports_of(module: str, *, with_types: bool = False) -> set[str]:
    """Return all modules that one imports at runtime; or also those of its types only."""
    names: set[str] = set()
    tree = tree_of(module)
    for node in ast.walk(tree) if with_types else _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            source = node.module or ""
            inner = {f"{source}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= inner or {source}
    return names


def _runtime_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        nodes += [child, *_runtime_nodes(child)]
    return nodes


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == NAME}


def libraries_of(module: str) -> set[str]:
    return {name.split(".")[0] for name in imports_of(module)}


def test_a_room_imports_from_lower_floors_only() -> None:
    arrows = {
        (room_of(module), room_of(imported), module)
        for module in MODULES
        for imported in ours(imports_of(module))
    }

    up = [one for one in arrows if one[0] != one[1] and FLOOR_OF[one[1]] >= FLOOR_OF[one[0]]]
    assert up == []


def test_no_modules_import_each_other_in_a_circle_not_even_for_their_types() -> None:
    imports = {module: ours(imports_of(module, with_types=True)) - {module} for module in MODULES}

    while ground := {module for module, below in imports.items() if not below & imports.keys()}:
        imports = {module: below for module, below in imports.items() if module not in ground}

    assert imports == {}


def test_no_package_imports_a_private_module_of_another() -> None:
    bad = []
    for module, path in MODULES.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for imported in ours(imports_of(module)):
            is_private = any(part.startswith("_") for part in imported.split("."))
            if is_private and imported.rpartition(".")[0] != package:
                bad.append((module, imported))

    assert bad == []


def test_no_module_imports_a_private_name_of_another() -> None:
    private_modules = {name.rpartition(".")[2] for name in MODULES}
    bad = {
        (module, alias.name)
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME)
        for alias in node.names
        if alias.name.startswith("_") and alias.name not in private_modules
    }

    assert bad == set()


def test_the_rooms_are_few_and_none_is_crowded() -> None:
    folders = {path for path in PACKAGE.rglob("*") if path.is_dir() and path.name[0].isalpha()}
    modules = Counter(path.parent.name for path in MODULES.values())

    assert len(folders) <= MAX_FOLDERS
    assert {room for room, count in modules.items() if count > MAX_MODULES} == set()


def test_the_sandbox_imports_nothing_of_the_client() -> None:
    sandbox = [name for name in MODULES if room_of(name) == "sandbox"]

    assert sandbox
    rooms = {room_of(one) for name in sandbox for one in ours(imports_of(name))}
    assert rooms == {"sandbox"}


def test_aiohttps_client_is_imported_by_the_transport_only() -> None:
    importers = {room_of(module) for module in MODULES if "aiohttp" in libraries_of(module)}

    assert importers <= CLIENT_IMPORTERS


def test_what_is_pure_imports_no_event_loop_and_no_network() -> None:
    impure = {"asyncio", "aiohttp", "socket", "ssl", "sqlite3", "threading"}
    pure = [module for module in MODULES if room_of(module) in PURE_ROOMS]

    assert pure
    assert {module for module in pure if libraries_of(module) & impure} == set()


def test_wire_names_of_a_row_stand_in_the_protocol_only() -> None:
    wire = {"default_sequence", "serie_number"}
    rooms = {
        room_of(module)
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and node.value in wire
    }

    # live_check looks at what the protocol hides
    assert rooms == {"live_check", "protocol", "sandbox"}
