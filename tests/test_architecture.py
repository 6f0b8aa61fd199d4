"""The rules of the house, read from the source: which way imports go, and what is never called."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "workbench"
# Lower numbers are lower floors; a module may import from its own floor and below.
FLOORS = {
    "errors": 0, "options": 0, "recipe": 0, "access": 0, "data": 1, "models": 2, "prompts": 2, "serving": 3, "methods": 3, "training": 4,
    "paradigms": 4, "runs": 5, "settings": 0, "ui": 6, "bench": 6, "commands": 6, "prompt_commands": 6, "run_commands": 6,
    "checks": 4, "cli": 7, "__main__": 8, "app": 8,
    "__init__": 0,
}  # fmt: skip
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
        if top in ("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"):
            found.append(f"line {line}: imports {top}")
        if top == "gradio" and place[0] not in ("ui", "app"):
            found.append(f"line {line}: only the page imports gradio")
        if top == "plotly" and place != ("ui", "charts.py"):
            found.append(f"line {line}: only ui/charts.py imports plotly")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += call_faults(node)
    return found


def call_faults(node: ast.Call) -> list[str]:
    text = ast.unparse(node.func)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    method = text.rpartition(".")[2]
    if text in ("eval", "exec", "compile", "builtins.eval", "builtins.exec", "__import__", "os.system"):
        return [f"line {node.lineno}: calls {text}"]
    if "shell" in keywords and not is_constant(keywords["shell"], False):
        return [f"line {node.lineno}: starts a shell"]
    # peft's and the project's own classes have no remote code; transformers' Auto and model classes do.
    if method in ("from_pretrained", "from_config") and not is_constant(keywords.get("trust_remote_code"), False):
        return [f"line {node.lineno}: {text} without trust_remote_code=False"]
    if text == "torch.load" and not is_constant(keywords.get("weights_only"), True):
        return [f"line {node.lineno}: torch.load without weights_only=True"]
    return []


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


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
        ("import pickle", "data/x.py"),
        ("eval('1')", "data/x.py"),
        ("AutoModel.from_pretrained(p)", "models/x.py"),
        ("AutoModel.from_pretrained(p, trust_remote_code=flag)", "models/x.py"),
        ("torch.load(p)", "training/x.py"),
        ("torch.load(p, weights_only=False)", "training/x.py"),
        ("subprocess.run(c, shell=True)", "runs/x.py"),
    ],
)
def test_each_rule_can_be_broken(source, place):
    assert len(faults(source, PACKAGE / place)) == 1


def test_files_stay_readable():
    long = {
        str(file.relative_to(PROJECT)): count for file in SOURCES if (count := len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
