"""Reads from the source every sentence that the engine can say to a person, as patterns with named holes.

    Found          one sentence: its pattern, where it stands, and which holes the engine fills with words of its own
    Reader(root)   walks a package: `errors()` gives messages and fixes, `others()` the sentences outside of errors, `progress()` what
                   jobs say while they work, and `phrases` the words that stand in holes of what was asked for

A pattern is written like an f-string: `There is no run '{run_id}'.`; braces that a person shall see are doubled. A name, a conditional
or a constant that stands in a hole is looked up and written out, so that a translator sees whole sentences.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.ui.patterns import (
    MOST_VARIANTS,
    Hole,
    Parts,
    as_holes,
    canonical,
    has_letters,
    has_words,
    is_phrase,
    is_sentence,
    joined,
    sentences_of,
    written,
)
from workbench import errors

DEEPEST = 12
# What is written for programs, developers or the terminal, and never for somebody in front of the page.
UNSHOWN_KEYWORDS = {"description", "help", "epilog", "usage", "prog", "title", "pattern"}
UNSHOWN_CALLS = re.compile(
    r"^(log\w*|logger|logging|_log|LOG)\.|add_argument|add_parser|add_subparsers|ArgumentParser|\bField\b|filterwarnings|PlainTextResponse|print$"
    r"|^(TypeError|ValueError)$"
)

FILE_NAME = re.compile(r"\w+\.[a-z]+")  # the same in every language
CELLS = ("cell", "train", "run", "Training")


@dataclass(frozen=True)
class Found:
    """A pattern in the source: the sentence, `file:line`, and the names of its spoken holes."""

    text: str
    place: str
    spoken: frozenset[str] = frozenset()


@dataclass
class _Module:
    name: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    constants: dict[str, list[ast.expr]] = field(default_factory=dict)


def error_names() -> set[str]:
    """The names of WorkbenchError and all of its subclasses."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WorkbenchError)]
    return {kind.__name__ for kind in kinds}


class Reader:
    """The sentences of one package."""

    def __init__(self, root: Path) -> None:
        self.modules = [_module(file, root) for file in sorted(root.rglob("*.py"))]
        self.functions = {name: (module, node) for module in self.modules for name, node in module.functions.items()}
        self.calls: dict[str, list[tuple[str, ast.Call]]] = {}
        for module in self.modules:
            for _, call in _calls(module.tree):
                self.calls.setdefault(_name(call.func), []).append((module.name, call))
        self.phrases: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._names = error_names()
        self._checks = set(_validators([function for _, function in self.functions.values()]))

    def errors(self) -> list[Found]:
        """Messages and fixes of every error that is made anywhere, one entry per sentence."""
        found: list[Found] = []
        for module in self.modules:
            for scope, node in _calls(module.tree):
                if _name(node.func) in self._names or (_name(node.func) == "ValueError" and scope in self._checks):
                    given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "fix")]
                    found += [one for value in given for one in self._sentences(value, module, scope)]
        return _once(found)

    def others(self, unshown: tuple[str, ...]) -> list[Found]:
        """What looks like a sentence anywhere else: notes, diagnoses, fixes that are chosen. `unshown` modules speak to the terminal."""
        found: list[Found] = []
        for module in self.modules:
            if module.name.startswith(unshown):
                continue
            hidden = _hidden(module, self._names)
            for scope, node in _texts(module.tree):
                if id(node) not in hidden:
                    found += [one for one in self._sentences(node, module, scope, is_sentence)]
        return _once(found)

    def progress(self) -> list[Found]:
        """What a job says that it is doing: `job.say(text)` and the `text=` of its cells."""
        found: list[Found] = []
        for module in self.modules:
            for scope, node in _calls(module.tree) if module.name.startswith("runs/") else ():
                given = [keyword.value for keyword in node.keywords if keyword.arg == "text" and _name(node.func) in CELLS]
                given += node.args[:1] if isinstance(node.func, ast.Attribute) and node.func.attr in ("say", "_report") else []
                found += [one for value in given for one in self._sentences(value, module, scope)]
        return _once(found)

    def _sentences(self, value: ast.expr, module: _Module, scope: ast.AST, wanted: Callable[[str], bool] = bool) -> Iterator[Found]:
        self._held = {}
        variants = [written(parts) for parts in self._render(value, module, scope)]
        pieces = [(re.sub(r"^\{\w+\} (?=[A-Z`])", "", piece), spoken) for text, spoken in variants for piece in sentences_of(text)]
        kept = [(piece, spoken) for piece, spoken in pieces if wanted(piece) and (has_letters(piece) or re.search(r"\}\W*[:/]", piece))]
        self.phrases |= self._held if kept or wanted is bool else {}
        for piece, spoken in kept:
            held = frozenset(name for name in spoken if f"{{{name}}}" in piece)
            yield Found(piece, f"{module.name}:{value.lineno}", held)

    def _render(self, node: ast.expr, module: _Module, scope: ast.AST, depth: int = 0) -> list[Parts]:
        """The variants of an expression as parts; a single opaque hole when it is not text that stands in the source."""
        opaque: list[Parts] = [(Hole(_hole_name(node)),)]
        if depth > DEEPEST:
            return opaque
        go = lambda other: self._render(other, module, scope, depth + 1)  # noqa: E731
        if isinstance(node, ast.Constant):
            return [] if node.value is None else [(str(node.value),)]
        if isinstance(node, ast.FormattedValue):
            return opaque if node.format_spec is not None or node.conversion == 114 else self._hole(node.value, module, scope, depth)
        if isinstance(node, ast.JoinedStr):
            return joined([go(value) for value in node.values]) or opaque
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right)):
            return joined([go(node.left), go(node.right)]) or opaque
        if isinstance(node, ast.IfExp):
            return [*go(node.body), *go(node.orelse)]
        if isinstance(node, ast.BoolOp):
            return [variant for value in node.values for variant in go(value)]
        if isinstance(node, ast.Name):
            values = _assigned(node.id, scope, module)
            rendered = list(dict.fromkeys(variant for value in values for variant in go(value)))
            if len(rendered) == 1 and all(isinstance(part, str) for part in rendered[0]) and has_words(rendered[0]):
                return rendered
            if not any(is_phrase(written(parts)[0]) for parts in rendered):
                return self._passed(node, module, scope) or opaque
            if len(rendered) <= MOST_VARIANTS:
                return rendered
            self._note_phrases(rendered, f"{module.name}:{node.lineno}")
            return [(Hole(node.id, True),)]
        if isinstance(node, ast.Call):
            return self._call(node, module, scope, depth) or opaque
        if isinstance(node, ast.Subscript):
            return self._looked_up(node.value, node, module, scope) or opaque
        if isinstance(node, ast.Attribute):
            return self._decorated(node, module) or opaque
        return opaque

    def _hole(self, node: ast.expr, module: _Module, scope: ast.AST, depth: int) -> list[Parts]:
        """What may stand in a hole, written out unless it is a person's."""
        return self._render(node, module, scope, depth + 1)

    def _call(self, node: ast.Call, module: _Module, scope: ast.AST, depth: int) -> list[Parts]:
        name = _name(node.func)
        if isinstance(node.func, ast.Attribute):
            if name in ("strip", "rstrip", "lstrip"):
                return self._render(node.func.value, module, scope, depth + 1)
            if name == "format":
                return [as_holes(parts) for parts in self._render(node.func.value, module, scope, depth + 1)]
            return self._looked_up(node.func.value, node, module, scope) if name == "get" else []
        if name == "next" and isinstance(node.args[0], ast.GeneratorExp):
            return [variant for value in (node.args[0].elt, *node.args[1:]) for variant in self._render(value, module, scope, depth + 1)]
        if name == "count" and len(node.args) > 1:
            for noun in self._render(node.args[1], module, scope, depth + 1):
                if len(noun) == 1 and isinstance(noun[0], str):
                    place = f"{module.name}:{node.lineno}"
                    self._held |= {f"{{count}} {noun[0]}": place, f"{{count}} {noun[0]}s": place}
            return [(Hole("count", True),)]
        if name == "nearest":
            return [(Hole("nearest", True),)]
        owner, function = (module, module.functions[name]) if name in module.functions else self.functions.get(name, (module, None))
        if function is None:
            return []
        returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None]
        variants = [parts for value in returned for parts in self._render(value, owner, function, depth + 1)]
        if not any(has_words(parts) for parts in variants):
            return []
        self._note_phrases(variants, f"{owner.name}:{function.lineno}")
        return [(Hole(name.strip("_"), True),)]

    def _passed(self, node: ast.Name, module: _Module, scope: ast.AST) -> list[Parts]:
        """A parameter for which constants are passed somewhere: words of the engine."""
        if not isinstance(scope, ast.FunctionDef) or node.id not in (names := [a.arg for a in [*scope.args.args, *scope.args.kwonlyargs]]):
            return []
        place = names.index(node.id) - (names[0] in ("self", "cls"))
        # A function of that name in another module, or a method such as bytes.decode, is another one.
        calls = [call for name, call in self.calls.get(scope.name, []) if name == module.name or not scope.name.startswith("_")]
        calls = [call for call in calls if isinstance(call.func, ast.Attribute) == (names[0] == "self")]
        passed = [call.args[place] for call in calls if len(call.args) > place >= 0]
        passed += [keyword.value for call in calls for keyword in call.keywords if keyword.arg == node.id]
        return self._spoken(passed, node.id, f"{module.name}:{scope.lineno}")

    def _looked_up(self, table: ast.expr, node: ast.expr, module: _Module, scope: ast.AST) -> list[Parts]:
        """A text from a table that stands in the source, `TABLE[key]` or `table.get(key, other)`."""
        tables = _assigned(table.id, scope, module) if isinstance(table, ast.Name) else [table]
        held = [value for found in tables if isinstance(found, ast.Dict) for value in found.values]
        held += node.args[1:] if held and isinstance(node, ast.Call) else []
        return self._spoken(held, _hole_name(table), f"{module.name}:{node.lineno}")

    def _decorated(self, node: ast.Attribute, module: _Module) -> list[Parts]:
        """An attribute that decorators in the same room are given as a keyword, such as a file format's title."""
        room = module.name.split("/")[0]
        decorators = [
            decorator
            for other in self.modules
            if other.name.startswith(f"{room}/")
            for function in other.functions.values()
            for decorator in function.decorator_list
            if isinstance(decorator, ast.Call)
        ]
        held = [keyword.value for decorator in decorators for keyword in decorator.keywords if keyword.arg == node.attr]
        return self._spoken(held, node.attr, f"{module.name}:{node.lineno}")

    def _spoken(self, values: list[ast.expr], name: str, place: str) -> list[Parts]:
        """A hole for constant texts that have to be known themselves; nothing when they are no texts."""
        constants = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
        texts: list[Parts] = [(value,) for value in constants if not FILE_NAME.fullmatch(value)]
        if not any(has_words(parts) for parts in texts):
            return []
        self._note_phrases(texts, place)
        return [(Hole(name, True),)]

    def _note_phrases(self, variants: list[Parts], place: str) -> None:
        for parts in variants:
            for piece in sentences_of(written(parts)[0]):
                if is_phrase(piece):
                    self._held.setdefault(piece, place)


def _validators(functions: list[ast.FunctionDef]) -> Iterator[ast.FunctionDef]:
    """Functions that pydantic calls, and those that they call: a ValueError there becomes a sentence of ours."""
    own = [function for function in functions if any("validator" in ast.unparse(decorator) for decorator in function.decorator_list)]
    called = {_name(node.func) for function in own for node in ast.walk(function) if isinstance(node, ast.Call)}
    yield from own
    yield from (function for function in functions if function.name in called)


def _module(file: Path, root: Path) -> _Module:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    module = _Module(file.relative_to(root).as_posix(), tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            module.functions[node.name] = node
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    module.constants.setdefault(target.id, []).append(node.value)
    return module


def _calls(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Call]]:
    return ((scope, node) for scope, node in _scoped(tree) if isinstance(node, ast.Call))


def _texts(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.expr]]:
    for scope, node in _scoped(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield scope, node


def _scoped(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node with the innermost function around it."""
    stack: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while stack:
        scope, node = stack.pop()
        yield scope, node
        inner = node if isinstance(node, ast.FunctionDef) else scope
        stack += [(inner, child) for child in ast.iter_child_nodes(node)]


def _hidden(module: _Module, names: set[str]) -> set[int]:
    """Nodes that are no sentences of their own: docstrings, pieces of f-strings, errors (read apart), and what no person is shown."""
    hidden: set[int] = set()
    for node in ast.walk(module.tree):
        covered: list[ast.AST] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            covered = [node.value]
        elif isinstance(node, ast.JoinedStr):
            covered = [child for child in ast.walk(node) if child is not node]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if _name(node.func) in names or UNSHOWN_CALLS.search(called):
                covered = list(ast.walk(node))
            if _name(node.func) == "format" and isinstance(node.func, ast.Attribute):
                covered += module.constants.get(_name(node.func.value), [])
            covered += [n for keyword in node.keywords if keyword.arg in UNSHOWN_KEYWORDS for n in ast.walk(keyword.value)]
        elif isinstance(node, ast.Assign) and any(_name(t) in UNSHOWN_KEYWORDS for t in node.targets):
            covered = list(ast.walk(node.value))
        hidden |= {id(n) for n in covered}
    return hidden


def _assigned(name: str, scope: ast.AST, module: _Module) -> list[ast.expr]:
    found: list[ast.expr] = []
    for node in ast.walk(scope) if isinstance(scope, ast.FunctionDef) else ():
        if isinstance(node, ast.Assign):
            for target in node.targets:
                found += _bound(name, target, node.value)
        elif isinstance(node, (ast.For, ast.comprehension)):
            tables = [one for one in module.constants.get(_name(node.iter), [node.iter]) if isinstance(one, (ast.Tuple, ast.List))]
            found += [one for table in tables for row in table.elts for one in _bound(name, node.target, row)]
        elif isinstance(node, ast.NamedExpr) and node.target.id == name:
            found.append(node.value)
    return found or module.constants.get(name, [])


def _bound(name: str, target: ast.expr, value: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Name):
        return [value] if target.id == name else []
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return [found for one, other in zip(target.elts, value.elts, strict=True) for found in _bound(name, one, other)]
    return []


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _once(found: list[Found]) -> list[Found]:
    return list({canonical(one.text): one for one in reversed(found)}.values())[::-1]


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _hole_name(node: ast.expr) -> str:
    if isinstance(node, ast.FormattedValue):
        return _hole_name(node.value)
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _name(node)
    if isinstance(node, ast.Subscript):
        key = node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else ""
        return key if key.isidentifier() else _hole_name(node.value)
    if isinstance(node, ast.Call) and node.args:
        return _hole_name(node.args[0])
    if isinstance(node, ast.Call):
        return _hole_name(node.func.value) if isinstance(node.func, ast.Attribute) else _name(node.func)
    if isinstance(node, ast.BinOp):
        return _hole_name(node.left)
    return "value"
