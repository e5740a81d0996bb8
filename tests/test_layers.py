"""The map of the layers in `lightwork/__init__.py` is that of DESIGN.md, and the imports follow it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightwork

ROOT = Path(lightwork.__file__).parent
DESIGN = Path(__file__).parent.parent / "DESIGN.md"
#: What imports upward, inside a function's body; DESIGN.md, section 1, says why.
UPWARD = {
    *(("context", to) for to in ("managers", "pool")),
    *(("launch", to) for to in ("_install", "context")),
    ("process", "context"),
    ("queues", "_install"),
    ("sharedctypes", "context"),
}


def layers(text: str) -> list[set[str]]:
    """The modules of each line of the map, from the top down."""
    lines = text[text.index("    cli   ") :].split("\n\n")[0].splitlines()
    names = [line.strip().split("  ")[0].removesuffix(" (Rust)").split(", ") for line in lines]
    return [set(layer) for layer in names]


MAP = layers(lightwork.__doc__ or "")
LEVEL = {name: level for level, layer in enumerate(MAP) for name in layer}


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Our modules that a file imports, each with whether that is in a function's body."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    checked = {
        id(n)
        for i in ast.walk(tree)
        if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.unparse(i.test)
        for n in ast.walk(i)
    }
    depth = len(file.relative_to(ROOT).parts)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in checked:
            continue
        module = node.module or ""
        if node.level == 0 and module.startswith("lightwork."):
            found = [module.split(".")[1]]
        elif node.level == depth:
            found = [module.split(".")[0]] if module else [alias.name for alias in node.names]
        else:
            continue
        for name in found:
            yield name, id(node) in inner


def test_the_two_maps_are_one() -> None:
    assert layers(DESIGN.read_text(encoding="utf-8")) == MAP


@pytest.mark.parametrize("name", sorted(LEVEL.keys() - {"_native"}))
def test_imports_follow_the_map(name: str) -> None:
    path = ROOT / f"{name}.py"
    for file in [path] if path.exists() else sorted((ROOT / name).glob("*.py")):
        for to, inside in imports(file):
            if to != name and LEVEL[to] < LEVEL[name]:
                assert inside and (name, to) in UPWARD, f"{name} imports {to}, which the map has above it"


def test_every_module_with_code_of_ours_is_on_the_map() -> None:
    entries = {"__init__", "__main__", "_preload"}
    ours = {p.stem for p in ROOT.glob("*.py") if "under our name" not in p.read_text(encoding="utf-8").split('"""')[1]}
    folders = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert (ours | folders) - entries == LEVEL.keys() - {"_native"}
