"""Every public function and class says what it does: itself, or where its name is first promised."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "workbench"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
CLASSES = [(file, node) for file, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def methods(one):
    return [node for node in one.body if isinstance(node, FUNCTIONS) and not node.name.startswith("_")]


def bases(one):
    """The class's bases by name, and theirs."""
    names = {ast.unparse(base).split("[")[0].rpartition(".")[2] for base in one.bases}
    return names.union(*(bases(other) for _, other in CLASSES if other.name in names and other is not one))


def promised(file, one):
    """Names of methods that have a sentence in a class of the same module, such as a protocol, or in one that this class inherits from."""
    above = bases(one)
    return {m.name for place, other in CLASSES if place == file or other.name in above for m in methods(other) if ast.get_docstring(m)}


def silent(file):
    for node in TREES[file].body:
        public = isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            yield f"{file.name}: {node.name}"
        if public and isinstance(node, ast.ClassDef):
            yield from (
                f"{file.name}: {node.name}.{method.name}" for method in methods(node)
                if not ast.get_docstring(method) and method.name not in promised(file, node)
            )  # fmt: skip


def test_everything_public_is_documented():
    assert [name for file in TREES for name in silent(file)] == []
