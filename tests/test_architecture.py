"""Imports go down only: from room to room, and from module to module inside a room."""

import ast
from collections import Counter
from pathlib import Path

import pytest

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
CLIENT_IMPORTERS = {"transport", "session", "testing", "sandbox"}
# Their types are still imported in a circle: to be cut with the next change of that room.
MAX_FOLDERS = 21
MAX_MODULES = 20
# Sans-I/O: what is said over the wire is the same whoever carries it.
PURE_ROOMS = {"errors", "config", "models", "protocol"}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room_of(module: str) -> str:
    """Return the file or folder directly below the package that a module is in."""
    return ([*module.split("."), "__init__"])[1]


def imports_of(path: Path, *, with_types: bool = False) -> set[str]:
    """Return all modules that a file imports at runtime; or also those of its types only."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if with_types else _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= inner or {module}
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


every_module = pytest.mark.parametrize("module", MODULES)


@every_module
def test_a_room_imports_from_lower_floors_only(module: str) -> None:
    room = room_of(module)

    for imported in ours(imports_of(MODULES[module])):
        target = room_of(imported)
        assert target == room or FLOOR_OF[target] < FLOOR_OF[room], f"{room} imports {target}"


def test_no_modules_import_each_other_in_a_circle_not_even_for_their_types() -> None:
    imports = {
        module: ours(imports_of(path, with_types=True)) - {module}
        for module, path in MODULES.items()
    }

    while ground := {module for module, below in imports.items() if not below & imports.keys()}:
        imports = {module: below for module, below in imports.items() if module not in ground}

    assert imports == {}


@every_module
def test_no_package_imports_a_private_module_of_another(module: str) -> None:
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]

    for imported in ours(imports_of(MODULES[module])):
        private = [part for part in imported.split(".") if part.startswith("_")]
        assert not private or imported.rpartition(".")[0] == package, f"{module}: {imported}"


@every_module
def test_no_module_imports_a_private_name_of_another(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            names = {alias.name for alias in node.names if alias.name.startswith("_")}
            assert not names - {name.rpartition(".")[2] for name in MODULES}


def test_the_rooms_are_few_and_none_is_crowded() -> None:
    folders = {path for path in PACKAGE.rglob("*") if path.is_dir() and path.name[0].isalpha()}
    modules = Counter(path.parent.name for path in MODULES.values())

    assert len(folders) <= MAX_FOLDERS
    assert {room for room, count in modules.items() if count > MAX_MODULES} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) == "sandbox"])
def test_the_sandbox_imports_nothing_of_the_client(module: str) -> None:
    assert {room_of(name) for name in ours(imports_of(MODULES[module]))} <= {"sandbox"}


@every_module
def test_aiohttps_client_is_imported_by_the_transport_only(module: str) -> None:
    libraries = {name.split(".")[0] for name in imports_of(MODULES[module])}

    assert room_of(module) in CLIENT_IMPORTERS or "aiohttp" not in libraries


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) in PURE_ROOMS])
def test_what_is_pure_imports_no_event_loop_and_no_network(module: str) -> None:
    libraries = {name.split(".")[0] for name in imports_of(MODULES[module])}

    assert not libraries & {"asyncio", "aiohttp", "socket", "ssl", "sqlite3", "threading"}


@every_module
def test_wire_names_of_a_row_stand_in_the_protocol_only(module: str) -> None:
    constants = {
        node.value
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Constant)
    }

    # live_check looks at what the protocol hides
    is_allowed = room_of(module) in {"live_check", "protocol", "sandbox"}
    assert is_allowed or not constants & {"default_sequence", "serie_number"}
