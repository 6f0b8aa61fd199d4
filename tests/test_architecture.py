"""The rules of the house, read from the source: which way imports go, and where everything may be caught. Calls: test_calls.py."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "workbench"
# Lower numbers are lower floors; a module may import from its own floor and below.
FLOORS = {
    "errors": 0, "options": 0, "recipe": 0, "recipe_places": 0, "access": 0, "data": 1, "models": 2, "prompts": 2, "serving": 3,
    "methods": 3, "training": 4, "paradigms": 4, "runs": 5, "settings": 0, "ui": 6, "bench": 6, "commands": 6, "prompt_commands": 6,
    "run_commands": 6, "launched": 6, "terminal": 6, "score": 6, "model_commands": 6, "checks": 4, "cli": 7, "__main__": 8, "app": 8,
    "yaml_text": 0, "__init__": 0,
}  # fmt: skip
# Where any exception may end, since the next run, event, request, command or model must still work, and why: each logs it under an id,
# except around libraries that read a stranger's file, where it becomes a sentence.
BROAD = {
    "workbench/runs/faults.py": 1,  # a run, a command, what somebody did on the page
    "workbench/ui/guard/guard.py": 1,  # gradio's own routes
    "workbench/models/foreign.py": 1,
}
SOURCES = sorted([*PACKAGE.rglob("*.py"), *PROJECT.glob("app.py")])


def floor_of(parts: tuple[str, ...]) -> int:
    return FLOORS[parts[0].removesuffix(".py")]


def imported(tree: ast.AST, file: Path) -> list[tuple[str, int]]:
    """Absolute dotted names of everything imported, also inside functions, with lines."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = file.relative_to(PROJECT).with_suffix("").parts[: -node.level]
                base = ".".join([*package, base] if base else package)
            names.append((base, node.lineno))
            if base == "workbench":
                names += [(f"workbench.{alias.name}", node.lineno) for alias in node.names]
    return names


def faults(source: str, file: Path) -> list[str]:
    """Every broken rule in a source, as sentences."""
    tree = ast.parse(source)
    place = file.relative_to(PACKAGE).parts if file.is_relative_to(PACKAGE) else ("app",)
    found = []
    for name, line in imported(tree, file):
        top, *rest = name.split(".")
        if top == "workbench" and rest and rest[0] in FLOORS and floor_of((rest[0],)) > floor_of(place):
            found.append(f"line {line}: {'/'.join(place)} imports {name}, which is above it")
        if top == "gradio" and place[0] not in ("ui", "app"):
            found.append(f"line {line}: only the page imports gradio")
        if top == "plotly" and place != ("ui", "charts.py"):
            found.append(f"line {line}: only ui/charts.py imports plotly")
    return found


def broad(tree: ast.AST) -> int:
    """How many handlers and suppressions leave nothing out, those that raise it again too: an ExitStack undoes what was begun."""
    kinds: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds.append("BaseException" if node.type is None else ast.unparse(node.type))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("suppress", "contextlib.suppress"):
            kinds.append(", ".join(map(ast.unparse, node.args)))
    return sum(not {"Exception", "BaseException"}.isdisjoint(kind.strip("()").split(", ")) for kind in kinds)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(PROJECT)))
def test_the_rules_hold(file):
    assert faults(file.read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("from workbench.runs.service import RunService", "training/x.py"),
        ("from workbench import runs", "data/x.py"),
        ("def f():\n    from ..ui import app", "runs/x.py"),
        ("import gradio as gr", "runs/x.py"),
        ("import plotly.graph_objects", "ui/x.py"),
    ],
)
def test_each_rule_can_be_broken(source, place):
    assert len(faults(source, PACKAGE / place)) == 1


def test_everything_is_caught_in_few_places_only():
    caught = {str(file.relative_to(PROJECT)): count for file in SOURCES if (count := broad(ast.parse(file.read_text(encoding="utf-8"))))}
    assert caught == BROAD


@pytest.mark.parametrize(("handler", "count"), [
    ("except Exception:\n    pass", 1), ("except:\n    pass", 1), ("except (OSError, Exception) as e:\n    raise X from e", 1),
    ("except BaseException:\n    undo()\n    raise", 1), ("except OSError:\n    with suppress(Exception): g()", 1),
    ("except OSError:\n    pass", 0),
])  # fmt: skip
def test_a_broad_handler_is_seen(handler, count):
    assert broad(ast.parse(f"try:\n    f()\n{handler}")) == count


def test_functions_stay_readable():
    long = {
        f"{file.relative_to(PROJECT)}: {node.name}": lines
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    }
    assert long == {}


def test_files_stay_readable():
    long = {
        str(file.relative_to(PROJECT)): count for file in SOURCES if (count := len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
