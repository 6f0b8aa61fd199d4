"""A hostile client that writes paths into every parameter of every endpoint, over HTTP: the handlers through the queue, the routes
directly, as the owner and as a visitor of a demo (reliability row 58).

    python -m tests.faults --only paths                 every payload in every parameter
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, product
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from tests.tiny_runs import make_recipe
from tests.ui.guard.payloads import PATHS, Opened, fingerprint
from tests.ui.guard.test_all_routes import STREAMS, routes
from tests.ui.program import Answer, Endpoint, Program
from tests.ui.served import Served
from workbench.access import Places
from workbench.recipe import PRESETS, Recipe
from workbench.runs.faults import LOG_FILE
from workbench.runs.service import RunService
from workbench.ui.guard.guard import CHANGING, Policy
from workbench.ui.guard.limits import Limits
from workbench.ui.text import languages as text_languages

TOKEN = "a-word-that-nobody-guesses"
SECRET = "canary-of-the-machine"
AT_ONCE = 6
# What gradio keeps of a session itself: no client can say what it holds. The recipe in it is set through `recipe_apply`.
KEPT_THERE = "state"
TAKES_FILES = ("chatbot", "file", "uploadbutton", "browserstate")
# They answer for as long as they are listened to, or end the session they are asked for.
LEFT_OUT = (*STREAMS, "call/", "dev/reload", "logout")
# What routes read from an address or a body.
ASKED = ("path", "file", "url", "session_hash", "upload_id", "deep_link", "view", "fn_index", "fn_name", "component_id", "event_id")
LOUD = Limits(posts_per_second=10_000, posts_at_once=100_000, address_posts_per_second=10_000, address_posts_at_once=100_000,
              waiting=1_000, address_waiting=10_000, attempts=1_000)  # fmt: skip


@dataclass
class Ground:
    """A server to attack: a data root with a link that leads out of it, a folder beside it that nobody may read, and the way in."""

    root: Path
    outside: Path
    recipe: Recipe
    url: str = ""
    wrong: list[str] = field(default_factory=list)
    tried: int = 0

    def payload(self, number: int) -> str:
        """A path that leads to the secret, or somewhere else where nobody may read."""
        text = PAYLOADS[number % len(PAYLOADS)]
        return text.replace("CANARY", str(self.outside / "secret.csv")).replace("ROOT", str(self.root))


PAYLOADS = (*PATHS, "ROOT/uploads/link.csv", "ROOT/uploads/../../outside/secret.csv", "ROOT_evil/secret.csv", "\\\\host\\share\\x.csv")


def forms(kind: str, path: str, recipe: Recipe) -> list[Any]:
    """The path as an input of this kind takes it, and as one does that it is no longer asked for."""
    file = {"path": path, "orig_name": path, "url": f"file://{path}", "meta": {"_type": "gradio.FileData"}}
    table, draft = {"headers": [path], "data": [[path]]}, poisoned(recipe, path).model_dump()
    return {
        "file": [file, path], "uploadbutton": [file, path], "dropdown": [path, [path]], "dataframe": [table],
        "chatbot": [[{"role": "user", "content": path}], [{"role": "user", "content": file}], [{"role": "user", "content": [file]}]],
        "browserstate": [{"draft": draft, "tab": path, "run": path}], "code": [poisoned(recipe, path).to_yaml()],
    }.get(kind, [path])  # fmt: skip


def poisoned(recipe: Recipe, path: str) -> Recipe:
    """The recipe with the path wherever a recipe names a file."""
    job = {"kind": "search", "what": "template", "how": "generate", "generator": path}
    return recipe.replace({"data.train": path, "data.validation": path, "data.unlabeled": path, "model.path": path, "job": job})


@dataclass(frozen=True)
class Attack:
    """One call; `tab` is the tab that has to be in view for the handler to look at its inputs at all."""

    endpoint: Endpoint
    data: list[Any]
    tab: str
    of: str


def plain_name(endpoint: Endpoint) -> str:
    """A handler's name without the number that gradio gives to its repetitions, which take the same from the same components."""
    return re.sub(r"_\d+$", "", endpoint.name)


def alike(endpoint: Endpoint) -> str:
    """What stands for a handler among those that one function makes of the options of methods and verbalizers."""
    name = plain_name(endpoint)
    form = re.match(r"(method|verbalizer)_[a-z0-9_]+", name)
    return f"{form[1]} {endpoint.kinds}" if form else name


def attacks(ground: Ground, endpoints: list[Endpoint], per_parameter: int, first: int) -> Iterator[Attack]:
    """Each parameter with the next payloads in line and everything else as on a fresh page; with all payloads, every form of each, and
    also in the repetitions of a handler and in every option of a form."""
    turn, whole = count(first), per_parameter >= len(PAYLOADS)
    known = endpoints if whole else list({alike(endpoint): endpoint for endpoint in reversed(endpoints)}.values())
    for endpoint in known:
        tab = plain_name(endpoint).removesuffix("_view")
        for place, kind in enumerate(endpoint.kinds):
            for _ in range(per_parameter if kind != KEPT_THERE else 0):
                number = next(turn)
                shapes = forms(kind, ground.payload(number), ground.recipe)
                for shape in shapes if whole else [shapes[number % len(shapes)]]:
                    data = [*endpoint.values[:place], shape, *endpoint.values[place + 1 :]]
                    yield Attack(endpoint, data, tab, f"{endpoint.name}[{place}] ({kind}) = {ground.payload(number)!r}")


class Enemy(Program):
    """One session of the hostile client; after `open` it stands on a recipe of its own, over a tiny model."""

    def open(self, ground: Ground, endpoints: list[Endpoint], recipe: Recipe) -> Enemy:
        self.ground, self.named, self.shown = ground, {endpoint.name: endpoint for endpoint in endpoints}, ""
        self.call(self.named["recipe_apply"], [None, recipe.to_yaml()])
        return self

    def strike(self, attack: Attack) -> None:
        if attack.tab != self.shown and f"show-{attack.tab}" in self.named:
            self.call(self.named[f"show-{attack.tab}"])
            self.shown = attack.tab
        self.judge(self.call(attack.endpoint, attack.data), attack.of)

    def judge(self, answer: Answer, of: str) -> None:
        self.ground.tried += 1
        self.ground.wrong += [f"{of}: {problem}" for problem in leaks(answer.text)]
        if answer.status not in (200, 422):
            self.ground.wrong.append(f"{of}: {answer.status} {answer.text[:200]}")


def leaks(text: str) -> list[str]:
    """Signs in an answer that something was read, or broke, that should not have been."""
    signs = (SECRET, "root:x:0", "Traceback (most", 'File "/', "error_id", "(error ")
    return [f"{sign} in {text[max(0, text.index(sign) - 200) : text.index(sign) + 200]}" for sign in signs if sign in text]


def visible_endpoints(program: Program) -> list[Endpoint]:
    """Every handler, those that bring a tab into view under `show-TAB`."""
    config = program.http.get(f"{program.page}/config").json()
    tabs = {part["id"]: part["props"].get("id") for part in config["components"] if part["type"] == "tabitem"}
    called = [fn for fn in config["dependencies"] if fn.get("backend_fn") and not fn["inputs"]]
    shows = {fn["id"]: tabs[target[0]] for fn in called for target in fn["targets"] if target[0] in tabs}
    named = ((endpoint, shows.get(endpoint.number)) for endpoint in program.endpoints())
    return [replace(endpoint, name=f"show-{tab}") if tab else endpoint for endpoint, tab in named]


def lookers(program: Program) -> set[int]:
    """Handlers that look at the session's recipe without changing it: views, starts, loads."""
    config = program.http.get(f"{program.page}/config").json()
    states = {part["id"] for part in config["components"] if part["type"] == KEPT_THERE}
    called = [fn for fn in config["dependencies"] if fn.get("backend_fn")]
    return {fn["id"] for fn in called if states & set(fn["inputs"]) and not states & set(fn["outputs"])}


def attack_queue(ground: Ground, roles: tuple[str, ...], language: str, per_parameter: int, first: int, *, in_turns: bool) -> None:
    """Calls every handler of one page, many at a time; then the views in sessions whose recipe is the enemy's.

    Args:
        in_turns: each parameter is attacked by one of the roles, the next one by the next; else by all of them.
    """
    program = enter(ground, roles[0], language)
    endpoints, looking, mine = visible_endpoints(program), lookers(program), threading.local()

    def strike(role: str, attack: Attack) -> None:
        if not hasattr(mine, role):
            setattr(mine, role, enter(ground, role, language).open(ground, endpoints, ground.recipe))
        getattr(mine, role).strike(attack)

    def strike_from_within(role: str, number: int) -> None:
        enemy = enter(ground, role, language).open(ground, endpoints, poisoned(ground.recipe, ground.payload(number)))
        for name, endpoint in {plain_name(endpoint): endpoint for endpoint in reversed(endpoints) if endpoint.number in looking}.items():
            enemy.strike(Attack(endpoint, endpoint.values, name.removesuffix("_view"), f"{name} over {ground.payload(number)!r}"))

    with ThreadPoolExecutor(AT_ONCE) as crowd:
        work = enumerate(attacks(ground, endpoints, per_parameter, first))
        pairs = [(role, attack) for number, attack in work for role in ([roles[number % len(roles)]] if in_turns else roles)]
        list(crowd.map(lambda pair: strike(*pair), pairs))
        list(crowd.map(lambda pair: strike_from_within(*pair), [(role, first + n) for n in range(per_parameter) for role in roles]))


def attack_routes(ground: Ground, found: list[tuple[str, str]], role: str, per_parameter: int, first: int) -> None:
    """Every route with paths as its parameters, its questions and its body, as they are and written in percents."""
    mine = threading.local()

    def ask(method: str, path: str, place: str, written: str) -> None:
        if not hasattr(mine, "http"):
            mine.http = enter(ground, role, "en").http
        address = re.sub(r"\{[^}]*\}", lambda _: written, path)
        body: dict[str, Any] = {"json": dict.fromkeys(ASKED, place) | {"data": [place]}} if method in CHANGING else {}
        if path.endswith("/upload"):
            body = {"files": {"files": (place or "x", b"text,label\n", "text/csv")}}
        with mine.http.stream(method, address, params=dict.fromkeys(ASKED, place), **body) as answer:
            parts = [part for part, _ in zip(answer.iter_bytes(), range(50), strict=False)]
        ground.tried += 1
        ground.wrong += [f"{method} {address}: {problem}" for problem in leaks(b"".join(parts).decode("utf-8", "replace"))]

    turn = count(first)
    work = [(method, path, ground.payload(next(turn))) for method, path in found for _ in range(per_parameter)]
    with ThreadPoolExecutor(AT_ONCE) as crowd:
        for method, path, place in work:
            ways = {quote(place, safe="/"), quote(place, safe=""), quote(quote(place, safe=""), safe="")} if "{" in path else {""}
            for written in ways:
                crowd.submit(ask, method, path, place, written).add_done_callback(lambda done: done.result())


def enter(ground: Ground, role: str, language: str) -> Enemy:
    """A session of its own, as the owner or as somebody who did not log in."""
    enemy = Enemy(ground.url, language=language)
    if role == "owner":
        enemy.http.headers["authorization"] = f"Bearer {TOKEN}"
    else:
        enemy.http.get(f"/{language}/", headers={"accept": "text/html"})
    return enemy


def prepared(folder: Path) -> Ground:
    """The ground in an empty folder."""
    root, outside = folder / "root", folder / "outside"
    for place in (root / "uploads", root / "temporary", root / "empty", outside, folder / "root_evil"):
        place.mkdir(parents=True)
    (outside / "secret.csv").write_text(f"text,label\n{SECRET} a,x\n{SECRET} b,y\n", encoding="utf-8")
    shutil.copy(outside / "secret.csv", folder / "root_evil" / "secret.csv")
    (root / "uploads" / "link.csv").symlink_to(outside / "secret.csv")
    recipe = make_recipe(folder / "own")
    shutil.copy(folder / "own" / "data.csv", root / "uploads" / "open.csv")
    return Ground(root, outside, recipe.replace({"data.train": str(root / "uploads" / "open.csv")}))


def is_attacked(path: str, languages: tuple[str, ...]) -> bool:
    """The same routes stand under each language; one that nobody looks at now is left out."""
    left = [f"/{code}/" for code in text_languages() if code not in languages]
    return not any(part in path for part in LEFT_OUT) and not path.startswith(tuple(left))


@dataclass(frozen=True)
class Siege:
    """A server of its own that is being attacked, what it opens outside its data root, and the run that waits in its queue."""

    ground: Ground
    served: Served
    opened: Opened
    service: RunService
    waiting: str


@contextmanager
def siege(folder: Path) -> Iterator[Siege]:
    """A server in `folder` as `app.py --demo` starts it, with a secret outside."""
    ground = prepared(folder)
    environment = {name: str(ground.root / "temporary") for name in ("GRADIO_TEMP_DIR", "TMPDIR")}
    places = Places(data=(PRESETS / "data", ground.root / "uploads"), models=(folder / "own" / "model",), hub=False)
    policy = Policy(token=TOKEN, demo=True, places=places, visitor_places=places, limits=LOUD, visitor_limits=LOUD)
    service = RunService(ground.root)
    service._start_worker = lambda: None  # runs wait in the queue: what is attacked is the page
    waiting = service.submit(ground.recipe)
    with ExitStack() as stack:
        stack.callback(service.close)
        stack.enter_context(patch.dict(os.environ, environment))
        stack.enter_context(patch.object(tempfile, "tempdir", environment["TMPDIR"]))
        stack.enter_context(chdir(ground.root / "empty"))
        served = stack.enter_context(Served(service, policy))
        opened = stack.enter_context(Opened(ground.outside, folder / "root_evil"))
        ground.url = served.url
        yield Siege(ground, served, opened, service, waiting)


def attack_files(ground: Ground) -> None:
    """Every input that takes a file, with every path that leads to one elsewhere, in every form."""
    program = enter(ground, "owner", "en")
    endpoints = visible_endpoints(program)
    named = {alike(endpoint): endpoint for endpoint in reversed(endpoints)}.values()
    inputs = [(endpoint, place, kind) for endpoint in named for place, kind in enumerate(endpoint.kinds) if kind in TAKES_FILES]
    leading = [path for path in map(ground.payload, range(len(PAYLOADS))) if os.path.isfile(path)]
    for role in ("owner", "visitor"):
        enemy = enter(ground, role, "en").open(ground, endpoints, ground.recipe)
        for (endpoint, place, kind), path in product(inputs, leading):
            for shape in forms(kind, path, ground.recipe):
                data = [*endpoint.values[:place], shape, *endpoint.values[place + 1 :]]
                enemy.strike(Attack(endpoint, data, plain_name(endpoint), f"{endpoint.name}[{place}] ({kind}) = {path!r}"))


def besiege(folder: Path, *, per_parameter: int, languages: tuple[str, ...] = ("en",), first: int = 0) -> dict[str, Any]:
    """Attacks a server of its own in `folder`, and counts.

    Args:
        per_parameter: payloads in each parameter, the next ones in line each time. With one, the roles take turns; from `len(PAYLOADS)`
            on it is every payload in every form.
        first: the payload to begin with.

    Returns:
        Calls and requests, what was wrong in sentences, files outside that were opened or changed, bugs in the log, whether the page
        still opens (or what it said), and the states of the run that waited, which an owner's own Stop may reach, and of a new one.
    """
    started = time.monotonic()
    with siege(folder) as held:
        ground, opened = held.ground, held.opened
        before = {place: fingerprint(folder / place) for place in ("outside", "root_evil", "own")}
        around = sorted(place.name for place in folder.iterdir())
        opened.files.clear()
        found = [(method, path) for method, path in sorted(set(routes(held.served.guard.app.routes))) if is_attacked(path, languages)]
        roles = ("owner", "visitor")
        for number, role in enumerate(roles):
            attack_routes(ground, found, role, per_parameter, first + number)
        for language in languages:
            attack_queue(ground, roles, language, per_parameter, first, in_turns=per_parameter == 1)
        friend = enter(ground, "owner", "en")
        opens, waits = friend.call(friend.endpoint("load")), held.service.read(held.waiting).status
        takes = held.service.read(held.service.submit(ground.recipe)).status
        tried = list(opened.files)
    log = ground.root / LOG_FILE
    return {
        "tried": ground.tried, "seconds": round(time.monotonic() - started), "wrong": len(ground.wrong), "first_wrong": ground.wrong[:20],
        "opened": tried[:5], "changed": [place for place, was in before.items() if fingerprint(folder / place) != was],
        "made": sorted({place.name for place in folder.iterdir()} - set(around)),
        "opens": opens.ok or opens.text[-2000:], "waits": waits, "takes": takes,
        "bugs": log.read_text(encoding="utf-8").count(" error ") if log.exists() else 0,
    }  # fmt: skip
