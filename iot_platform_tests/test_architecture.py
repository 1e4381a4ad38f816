"""The rules of ARCHITECTURE.md that can be read from the code: directions of imports, docstrings, sizes of modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLATFORM = "iot_platform"
TESTS = "iot_platform_tests"

# From the lowest floor to the highest. A module imports from its own floor and from those below it.
FLOORS = (
    ("errors", "security", "settings"),
    ("clickhouse_embedded",),
    ("clickhouse",),
    ("layers",),
    ("limits",),
    ("devices",),
    ("readings",),
    ("simulator",),
    ("looker",),
    ("dashboard",),
    ("alerts",),
    ("services",),
    ("defs",),
    ("definitions",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

MAX_LINES = {PLATFORM: 250, TESTS: 300}
# Longer modules, each with its reason.
LONGER = {"iot_platform/settings.py": "one list of all settings, each with its description"}


@cache
def modules(package: str) -> dict[str, Path]:
    """All modules of a package by their dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(module: str) -> str:
    """The folder (or single module) directly below the package."""
    return (module.split(".") + [""])[1]


def imports(module: str, nodes: Iterator[ast.AST]) -> set[str]:
    """The modules of the platform that the import statements among ``nodes`` name."""
    known = modules(PLATFORM)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            origin = node.module or ""
            named = {f"{origin}.{alias.name}" for alias in node.names}
            # "from package import module" names the module, "from module import name" the module before the name.
            found |= {name if name in known else origin for name in named}
    return {name for name in found if name == PLATFORM or name.startswith(f"{PLATFORM}.")}


def at_import_time(module: ast.Module) -> Iterator[ast.AST]:
    """What runs when a module is imported: not the bodies of functions, nor what stands under TYPE_CHECKING."""
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def test_imports_go_down() -> None:
    upwards = {}
    for module, path in modules(PLATFORM).items():
        found = imports(module, ast.walk(tree(path)))
        if module == PLATFORM:
            assert found == set()
            continue
        own = FLOOR_OF[room(module)]
        above = sorted(name for name in found if room(name) and FLOOR_OF[room(name)] > own)
        if above:
            upwards[module] = above
    assert upwards == {}


def test_every_room_has_a_floor() -> None:
    rooms = {room(module) for module in modules(PLATFORM)} - {""}
    assert rooms == set(FLOOR_OF)


def test_the_table_of_folders_in_the_document_has_this_order() -> None:
    table = re.findall(r"^\| (`iot_platform/.*?) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.M)
    named = [name for cell in table for name in re.findall(r"`iot_platform/(\w+)", cell)]
    assert [FLOOR_OF[name] for name in named] == sorted(FLOOR_OF[name] for name in named)
    assert set(named) == set(FLOOR_OF) - {"definitions", "__main__"}


def test_the_embedded_server_imports_nothing_else_of_the_platform() -> None:
    name = f"{PLATFORM}.clickhouse_embedded"
    for module, path in modules(PLATFORM).items():
        if module.startswith(name):
            outside = {found for found in imports(module, ast.walk(tree(path))) if not found.startswith(name)}
            assert outside == set(), module


def test_the_platform_imports_no_tests() -> None:
    for module, path in modules(PLATFORM).items():
        assert TESTS not in path.read_text(encoding="utf-8"), module


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each module, on the way of its imports, must not come back to itself."""
    graph = {
        module: imports(module, at_import_time(tree(path))) - {PLATFORM} for module, path in modules(PLATFORM).items()
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_every_room_says_what_it_is() -> None:
    folders = {path.parent for path in modules(PLATFORM).values()}
    inits = [folder / "__init__.py" for folder in sorted(folders)]
    assert [str(init) for init in inits if not init.exists() or not ast.get_docstring(tree(init))] == []


@pytest.mark.parametrize("package", [PLATFORM, TESTS])
def test_modules_are_short(package: str) -> None:
    lengths = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in modules(package).values()
    }
    too_long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES[package]}
    longer = {name for name in LONGER if name.startswith(f"{package}/")}
    assert too_long.keys() - longer == set(), too_long
    assert longer - too_long.keys() == set(), "these are short now: remove them from LONGER"
