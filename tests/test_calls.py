"""Every call in this repository that could run somebody else's code, and how it is made: read from the source of all Python files."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
# What pre-training downloads and unpacks is nobody's part of the project.
DOWNLOADED = PROJECT / "presets" / "models" / "build"
PARTS = [file for part in ("workbench", "presets", "tests") for file in (PROJECT / part).rglob("*.py")]
FILES = sorted([PROJECT / "app.py", *(file for file in PARTS if DOWNLOADED not in file.parents)])

NEVER_IMPORTED = ("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "runpy", "code", "codeop", "pty", "commands")
NEVER_CALLED = ("eval", "exec", "compile", "__import__")
# module -> what of it is only ever used under its full name, so that no alias hides a call from this test.
FULL_NAMES = {
    "os": ("system", "popen"), "subprocess": None, "torch": ("load",), "yaml": ("load", "load_all", "full_load", "unsafe_load"),
    "builtins": None,
}  # fmt: skip
NEVER_NAMED = (
    "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnl", "os.spawnv", "os.startfile", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.FullLoader",
    "yaml.UnsafeLoader", "torch.hub", "torch.jit.load", "torch.package", "pandas.read_pickle", "pd.read_pickle", "builtins.eval",
    "builtins.exec", "asyncio.create_subprocess_shell",
)  # fmt: skip
# Where the program starts another one, and how often. Tests start many, each as a list of arguments as well.
STARTS = {
    "workbench/runs/export.py": 1, "workbench/runs/isolation.py": 1, "workbench/bench/startup.py": 2, "workbench/bench/openprompt.py": 1,
    "workbench/bench/processes.py": 1, "presets/models/make/text.py": 2,
}  # fmt: skip


def faults(source: str, place: str) -> list[str]:
    """Every call or import that is not made as it has to be, as sentences."""
    tree = ast.parse(source)
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [f"line {node.lineno}: {what}" for what in import_faults(node)]
        elif isinstance(node, ast.Name) and node.id in NEVER_CALLED:
            found.append(f"line {node.lineno}: names {node.id}")
        elif isinstance(node, ast.Attribute):
            found += [f"line {node.lineno}: {what}" for what in name_faults(node, called.get(id(node)))]
        elif isinstance(node, ast.Call):
            found += [f"line {node.lineno}: {what}" for what in keyword_faults(node)]
    started = [node for node in called.values() if ast.unparse(node.func).startswith("subprocess.") and is_start(node)]
    if not place.startswith("tests/") and len(started) != STARTS.get(place, 0):
        found.append(f"starts {len(started)} programs where {STARTS.get(place, 0)} are known")
    return found + [f"line {node.lineno}: a program is started from one text" for node in started if not is_list(node)]


def import_faults(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        tops = [(alias.name.split(".")[0], alias.asname) for alias in node.names]
        renamed = [f"imports {top} as {name}" for top, name in tops if name and top in FULL_NAMES]
        return renamed + [f"imports {top}" for top, _ in tops if top in NEVER_IMPORTED]
    top = (node.module or "").split(".")[0] if not node.level else ""
    names = FULL_NAMES.get(node.module or "", ())
    hidden = [f"imports {alias.name} from {top}" for alias in node.names if top in FULL_NAMES and (names is None or alias.name in names)]
    return hidden + ([f"imports {top}"] if top in NEVER_IMPORTED else [])


def name_faults(node: ast.Attribute, call: ast.Call | None) -> list[str]:
    """Of one dotted name; `call` is the call it stands at the head of, or None."""
    text = ast.unparse(node)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords} if call else {}
    if text in NEVER_NAMED:
        return [f"names {text}"]
    # peft's classes and a named configuration know no code of others; transformers' do, and prompt for it on the terminal unless told.
    if node.attr in ("from_pretrained", "from_config") and text not in ("PeftModel.from_pretrained", "BertConfig.from_pretrained"):
        return [] if is_constant(keywords.get("trust_remote_code"), False) else [f"{text} without trust_remote_code=False"]
    if text == "torch.load":
        return [] if is_constant(keywords.get("weights_only"), True) else ["torch.load without weights_only=True"]
    if text == "importlib.import_module" and call:
        first = call.args[0]
        own = isinstance(first, ast.JoinedStr) and ast.unparse(first).startswith(("f'{__name__}.", 'f"{__name__}.'))
        return [] if own or "parts" in ast.unparse(first) else ["imports a module by a name from elsewhere"]
    return []


def keyword_faults(node: ast.Call) -> list[str]:
    allowed = {"trust_remote_code": False, "shell": False, "allow_pickle": False, "use_safetensors": True, "weights_only": True}
    return [
        f"{keyword.arg}={ast.unparse(keyword.value)}"
        for keyword in node.keywords
        if keyword.arg in allowed and not is_constant(keyword.value, allowed[keyword.arg])
    ]


def is_start(node: ast.Call) -> bool:
    return ast.unparse(node.func).split(".")[1] in ("run", "Popen", "call", "check_call", "check_output")


def is_list(node: ast.Call) -> bool:
    """A list of arguments, or the name of one: never a text that a shell, or somebody's file name, could take apart."""
    return bool(node.args) and isinstance(node.args[0], ast.List | ast.Name)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_every_call_in_the_repository_is_made_as_it_has_to_be():
    found = {}
    for file in FILES:
        place = file.relative_to(PROJECT).as_posix()
        wrong = faults(file.read_text(encoding="utf-8"), place)
        if wrong:
            found[place] = wrong
    assert found == {}


def test_the_known_calls_are_seen():
    """The walk reaches what it is there for: each kind of call is found somewhere in the repository."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
    assert all(word in text for word in ("from_pretrained(", "torch.load(", "subprocess.Popen(", "yaml.safe_load("))
    assert set(STARTS) <= {file.relative_to(PROJECT).as_posix() for file in FILES}


@pytest.mark.parametrize("source", [
    "eval('1')", "exec(text)", "run = exec", "compile(text, 'x', 'exec')", "__import__(name)", "import pickle", "from pickle import loads",
    "from marshal import loads", "os.system(command)", "go = os.popen", "from os import system", "import subprocess as run",
    "from subprocess import run", "subprocess.run('ls ' + name)", "subprocess.run([name], shell=True)",
    "subprocess.run(command, shell=flag)",
    "subprocess.getoutput(name)", "yaml.load(text)", "yaml.load(text, Loader=yaml.SafeLoader)", "yaml.unsafe_load(text)",
    "from yaml import load", "torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=flag)",
    "load = torch.load", "from torch import load", "import torch as t", "torch.hub.load(r, m)", "AutoModel.from_pretrained(p)",
    "AutoModel.from_pretrained(p, trust_remote_code=True)", "AutoModel.from_pretrained(p, trust_remote_code=flag)",
    "load = AutoModel.from_pretrained", "AutoConfig.from_config(c)", "pipeline('fill-mask', trust_remote_code=True)",
    "numpy.load(p, allow_pickle=True)", "pandas.read_pickle(p)", "importlib.import_module(name)",
    "AutoModel.from_pretrained(p, trust_remote_code=False, use_safetensors=False)",
])  # fmt: skip
def test_each_rule_can_be_broken(source):
    assert faults(source, "workbench/x.py")
