"""The command line over the same service as the page: lines for people on stderr and, last, one JSON object on stdout.

Exit 0 on success; 2 for a person's mistake, in one sentence; 1 for a bug, with the id under which the log has it. Nothing heavy is
imported before a command needs it: `runs` and `show` answer without torch.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from workbench import commands, model_commands, prompt_commands, run_commands
from workbench.errors import SettingsError, WorkbenchError
from workbench.runs.faults import LOG_FILE, ended_as_sentence
from workbench.runs.trackers import NONE, tracker_names
from workbench.settings import default_data_root

Command = Callable[[argparse.Namespace], dict[str, Any] | None]
Add = Callable[[str, Command, str], argparse.ArgumentParser]


class _Parser(argparse.ArgumentParser):
    """argparse that raises its complaint as one sentence instead of printing usage and leaving."""

    def error(self, message: str) -> NoReturn:
        sentence = f"{message[:1].upper()}{message[1:].rstrip('.')}."
        raise SettingsError(sentence, fix=f"`{self.prog} --help` shows what it takes.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    doing = f"command {' '.join(arguments or sys.argv[1:])}"
    try:
        parsed, root = _done(default_data_root(), doing, lambda: _read(arguments))
        answer = _done(root, doing, lambda: parsed.command(parsed))
        if answer is not None:
            print(json.dumps(answer, ensure_ascii=False), flush=True)
    except _Ended as ended:
        return ended.code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    return 0


def _read(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Path]:
    """The command with its flags, and the data root that it works on."""
    parsed = parser().parse_args(arguments)
    return parsed, Path(parsed.runs).expanduser()


class _Ended(Exception):
    """Nothing more is done; a person has been told why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _done(root: Path, doing: str, work: Callable[[], Any]) -> Any:
    """What `work` gives. Raises _Ended once stderr has the sentence about a mistake (2), or the id of a bug (1)."""

    def mistake(error: WorkbenchError) -> None:
        print(" ".join(f"{error.message} {error.fix}".split()), file=sys.stderr)
        raise _Ended(2)

    def bug(error_id: str) -> None:
        print(f"Something broke in the workbench (error {error_id}); {root / LOG_FILE} has the details.", file=sys.stderr)
        raise _Ended(1)

    with ended_as_sentence(root, doing, mistake, bug, through=(BrokenPipeError,)):
        return work()


def parser() -> argparse.ArgumentParser:
    """The commands and their flags."""
    top = _Parser(prog="python -m workbench", description="Tune language models with prompts.", allow_abbrev=False)
    subparsers = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, command: Command, summary: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        sub.add_argument("--runs", metavar="DIR", default=str(default_data_root()), help="folder that holds the runs (%(default)s)")
        sub.set_defaults(command=command)
        return sub

    for part in (_training, _prompts, _models, _kept_runs, _reports):
        part(add)
    return top


def _takes_recipe(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a preset or of an entry of the catalog")
    sub.add_argument(
        "--set", action="append", default=[], type=_assignment, metavar="KEY=VALUE", dest="assignments", help="e.g. training.seed=1"
    )


def _takes_run(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", metavar="RUN", help="a run's id or the start of it")


def _takes_revision(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--revision", metavar="NAME", help="branch, tag or commit of a model of the hub or of ModelScope")


def _takes_tracker(sub: argparse.ArgumentParser) -> None:
    known = ", ".join(tracker_names())
    sub.add_argument("--tracker", default=NONE, metavar="NAME", help=f"also write the figures there: {known} (%(default)s)")


def _training(add: Add) -> None:
    """Commands that train a run, measure it and ask it."""
    train = add("train", commands.train, "Train a recipe.")
    resume = add("resume", commands.resume, "Go on with a run from its last checkpoint.")
    _takes_recipe(train)
    _takes_run(resume)
    for sub in (train, resume):
        sub.add_argument("--isolate", action="store_true", help="in a process of its own, which may run out of memory, or hang, alone")
    _takes_tracker(train)
    evaluate = add("evaluate", run_commands.evaluate, "Measure a run on a file with labels, or with answers.")
    _takes_run(evaluate)
    evaluate.add_argument("--data", required=True, metavar="FILE")
    predict = add("predict", run_commands.predict, "Add predictions and probabilities, or written answers, to a file.")
    _takes_run(predict)
    predict.add_argument("--data", required=True, metavar="FILE")
    predict.add_argument("--out", required=True, metavar="FILE", help="csv, tsv, jsonl or xlsx")


def _prompts(add: Add) -> None:
    """Commands about templates and label words."""
    search = add("search", commands.search, "Find templates or label words by machine, as a run that can be stopped and resumed.")
    _takes_recipe(search)
    _takes_tracker(search)
    search.add_argument("--what", choices=("template", "verbalizer"), default="template")
    search.add_argument("--how", metavar="WAY", help="templates: trigger or generate; label words: combinations or greedy")
    search.add_argument("--count", type=int, metavar="N", help="candidates to rank on the validation rows")
    search.add_argument("--generator", metavar="DIR", help="a T5 that writes templates, instead of the recipe's model")
    score = add("score", prompt_commands.score, "Rank the templates of a recipe without any training.")
    _takes_recipe(score)
    score.add_argument("--data", metavar="FILE", help="labelled rows; else the recipe's validation rows")
    score.add_argument("--library", metavar="NAME", action="append", default=[], help="also the library's templates of this entry")
    score.add_argument("--kept", action="store_true", help="also the cards that the page keeps for the recipe's data, under --runs")
    score.add_argument("--keep", action="store_true", help="keep all that was scored among those cards")
    score.add_argument("--best", metavar="FILE", help="write the recipe with the best template there")
    score.add_argument("--together", metavar="FILE", help="write the recipe in which all answer together, each in its label words")
    score.add_argument("--pet", metavar="FILE", help="write the recipe that trains those as PET")
    preview = add("preview", prompt_commands.preview, "Show rows as the untuned model reads them, and what it answers at the mask.")
    _takes_recipe(preview)
    preview.add_argument("--attention", action="store_true", help="also what the mask looks at, token by token")
    preview.add_argument("--rows", type=_count, default=3, metavar="N", help="how many rows (%(default)s)")
    preview.add_argument("--page", type=_count, default=0, metavar="N", help="other rows: 1, 2, ...")
    preview.add_argument("--top", type=_count, default=10, metavar="N", help="words shown at each mask (%(default)s)")
    template = add("import-template", prompt_commands.import_template, "Read a template or label words of OpenPrompt, LM-BFF or PET.")
    template.add_argument("source", metavar="TEXT", help="the text itself, or a file that holds it")
    template.add_argument("--from", metavar="NOTATION", dest="notation", help="openprompt, openprompt-words, lm-bff, pet; else found out")
    template.add_argument("--to", metavar="NOTATION", help="write it in this notation instead of the workbench's")
    template.add_argument("--truncation", default="tail", help="tail, head or balanced: what OpenPrompt cuts, which it keeps outside")
    template.add_argument("--recipe", metavar="RECIPE", help="fit fields (not with --to) and labels to this recipe's data")
    library = add("library", prompt_commands.library, "List the library of templates, or one entry's patterns.")
    library.add_argument("name", metavar="NAME", nargs="?", help="an entry")


def _models(add: Add) -> None:
    """Commands that list what there is to train with."""
    inspect = add("inspect", model_commands.inspect, "Say what a model is and what it takes.")
    inspect.add_argument("model", metavar="MODEL", help="embedded:NAME, a folder, a hub id or modelscope:OWNER/NAME")
    inspect.add_argument("--quantization", choices=("none", "int8", "nf4", "fp4"), default="none")
    _takes_revision(inspect)
    inspect.add_argument("--training", action="store_true", help="also the memory that training takes, for every method and quantization")
    convert = add("convert", model_commands.convert, "Make a Baichuan 7B checkpoint a Llama folder that needs no code of its own.")
    convert.add_argument("model", metavar="MODEL", help="a folder, a hub id or modelscope:OWNER/NAME")
    convert.add_argument("--to", required=True, metavar="DIR", help="a new folder")
    _takes_revision(convert)
    methods = add("methods", commands.methods, "List the tuning methods and their options.")
    methods.add_argument("--matrix", action="store_true", help="run every method on every kind of model and print the table")
    presets = add("presets", commands.presets, "List the recipes that come with the workbench.")
    presets.add_argument("--catalog", action="store_true", help="also published models, with download, memory and whether they fit")


def _kept_runs(add: Add) -> None:
    """Commands about the runs that are kept."""
    add("runs", commands.runs, "List the runs, newest first.")
    _takes_run(add("show", commands.show, "Show a run with its recipe."))
    check = add("check", run_commands.check, "Why does it not learn? What may keep a run or a recipe from it, and what to try.")
    check.add_argument("subject", metavar="RUN|RECIPE", help="a run's id or the start of it, a YAML file, or the name of a preset")
    compare = add("compare", run_commands.compare, "Say where the recipes of runs differ, and their figures.")
    compare.add_argument("runs_compared", metavar="RUN", nargs="+", help="ids of runs or their beginnings")
    note = add("note", run_commands.note, "Write tags and a note about a run, or put it away.")
    _takes_run(note)
    note.add_argument("--tags", metavar="A,B")
    note.add_argument("--note", metavar="TEXT")
    note.add_argument("--archive", action="store_true", help="out of the page's list, with all its files")
    note.add_argument("--unarchive", action="store_true")
    _takes_run(add("delete", commands.delete, "Delete a run and its files."))
    export = add("export", run_commands.export, "Write a folder that answers without the workbench's page.")
    _takes_run(export)
    export.add_argument("--to", required=True, metavar="DIR")
    how = export.add_mutually_exclusive_group()
    chosen = {"dest": "form", "action": "store_const", "default": "folder"}
    how.add_argument("--merge", **chosen, const="merged", help="one model with the tuning in its weights")
    how.add_argument("--onnx", **chosen, const="onnx", help="a graph for onnxruntime, without torch; masked models")
    how.add_argument("--adapter", **chosen, const="adapter", help="the tuned weights alone, with recipe and card")
    how.add_argument("--script", **chosen, const="script", help="a Python script that trains the run again and answers, in that folder")
    how.add_argument("--command", **chosen, const="command", help="lines for a shell that train it again, in that folder")


def _reports(add: Add) -> None:
    """Commands that compare and measure, and the one that adds a user."""
    board = add("board", commands.board, "Compare the four paradigms on the same rows.")
    _takes_recipe(board)
    _takes_tracker(board)
    board.add_argument("--shots", metavar="LIST", help="training rows per class, such as 0,8,16,32,all")
    board.add_argument("--seeds", type=int, metavar="N", help="how many seeds")
    report = add("board-report", commands.board_report, "Write a board's report: HTML, csv, SVG, PNG, JSON and recipe.")
    _takes_run(report)
    for sub, needed in ((board, False), (report, True)):
        sub.add_argument("--out", metavar="DIR", required=needed, help="folder for the report's files")
        sub.add_argument("--lang", choices=("en", "zh"), default="en", help="language of the report (%(default)s)")
    bench = add("bench", commands.bench, "Measure the workbench against what people use otherwise.")
    bench.add_argument("--quick", action="store_true", help="small shapes, one round, two minutes")
    bench.add_argument("--only", metavar="GOALS", default="", help="e.g. P2,P10")
    bench.add_argument("--out", metavar="DIR", help="also write bench.json, bench.md and bench.svg there")
    user = add("user", commands.user, "Add a user to the file for app.py --users.")
    user.add_argument("name", metavar="NAME")
    user.add_argument("--users", required=True, metavar="FILE")
    user.add_argument("--role", choices=("owner", "user"), default="user")


def _count(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


def _assignment(text: str) -> tuple[str, Any]:
    """`key=value`, the value read as YAML: numbers, lists and null are what they look like."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"the value of '{key}' is not readable YAML") from None
