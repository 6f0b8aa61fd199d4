"""PET from the first template to the distilled model (Schick & Schuetze 2021, "Exploiting Cloze Questions").

    zero-shot                every template, untrained: scores of the training, unlabelled and validation rows
    g0-p1-s13 ...            every template with every seed, trained on the labelled rows
    g1-p1-s13 ...            iPET: the same on growing sets that other models of the generation before have labelled
    distilled, ipet          one model each, trained on the ensemble's soft labels of the unlabelled rows

Each line is cells of the job. Members are trained to their last step without validation rows, and so is what is distilled: the
validation rows measure and choose nothing, so the report's figures are those of unseen rows.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import yaml
from torch import Tensor

from workbench.data.dataset import InputExample, load_splits
from workbench.data.soft_labels import PREFIX, columns_of, write_labelled, write_soft_labels
from workbench.prompts.ensemble import (
    choose_teachers,
    draw_pseudo_labelled,
    draw_without_labels,
    ensemble_scores,
    generation_counts,
    pattern_weights,
    soft_labels,
)
from workbench.prompts.verbalizers.verbalizer import CONTENT_FREE
from workbench.recipe import MEASURED, PromptPart, Recipe
from workbench.runs.answers import base_predictor, tuned_predictor
from workbench.runs.job import Job
from workbench.runs.jobs.pet import pool_of
from workbench.runs.store import ANSWER, write_whole
from workbench.serving import SMALLEST_PROBABILITY
from workbench.serving.calibration import mean_log
from workbench.serving.predictor import Predictor
from workbench.training.folder import copy_files, write_folder
from workbench.training.metrics import classification_metrics
from workbench.training.rows_to_ask import keep_rows, kept_rows

COLUMNS = ["what", "template", "accuracy", "accuracy_std", "macro_f1", "loss", "models"]


@dataclass(frozen=True)
class Member:
    """A trained model of the ensemble: which template, which seed, and its log-probabilities [N, C] of pool and validation rows."""

    pattern: int
    seed: int
    pool: Tensor
    validation: Tensor
    content_free: Tensor | None = None

    def calibrated(self) -> Member:
        """The same with the template's own preference for a label taken out."""
        assert self.content_free is not None
        prior = mean_log(self.content_free)
        return Member(self.pattern, self.seed, self.pool - prior, self.validation - prior)


class Pet:
    """One PET job; used once."""

    def __init__(self, job: Job) -> None:
        self.job, self.recipe, self.options = job, job.recipe.replace({"pet": None}), job.options
        self.templates = self.recipe.prompt.templates
        self.names = [_name(self.recipe.prompt, pattern) for pattern in range(len(self.templates))]
        self.seeds = [self.recipe.training.seed + number for number in range(self.options.seeds)]
        self.splits = load_splits(self.recipe.data)
        self.labels = self.splits.labels
        self.train = self.splits.train.examples
        self.validation = self.splits.validation.examples
        self.pool = pool_of(self.splits, self.recipe, self.options)
        self.rows = job.folder / "rows"

    def run(self) -> dict[str, Any]:
        """Every cell, then the report."""
        options, generations = self.options, self.options.generations
        per_generation = len(self.templates) * options.seeds
        trained = per_generation * (generations + bool(self.train))
        self.job.plan(1 + trained + bool(self.train) + bool(generations))
        self.job.note(f"{len(self.train)} labelled, {len(self.pool)} unlabelled and {len(self.validation)} validation rows.")
        untrained, weights = self._zero_shot()
        report: list[dict[str, Any]] = [self._mean_line("zero_shot", untrained), self._line("zero_shot_ensemble", untrained, weights)]
        fair = [member.calibrated() for member in untrained]
        report += [self._mean_line("calibrated", fair), self._line("calibrated_ensemble", fair, weights)]
        members, final = untrained, "zero-shot"
        if self.train:
            members = [self._member(0, pattern, seed, self.train) for pattern in range(len(self.templates)) for seed in self.seeds]
            report += self._pattern_lines(members)
            report += [self._line("ensemble", members, weights), self._distil("distilled", members, weights)]
            final = "distilled"
        for generation in range(1, generations + 1):
            members = self._generation(generation, members, weights)
            report.append(self._mean_line(f"ipet_{generation}", members))
        if generations:
            report += [self._line("ipet_ensemble", members, weights), self._distil("ipet", members, weights)]
            final = "ipet"
        self._keep(final)
        return self._answer(report, weights, final)

    # -- cells

    def _zero_shot(self) -> tuple[list[Member], list[float]]:
        def make(folder: Path) -> dict[str, Any]:
            found = []
            for pattern in range(len(self.templates)):
                self.job.halt()
                self.job.say(f"template {pattern + 1}, untrained")
                alone = self.recipe.replace({"prompt": self.recipe.prompt.alone(pattern).model_dump()})
                untrained = base_predictor(self.job.pool, alone, self.labels, lambda: self.train)
                empty = [InputExample(text, dict.fromkeys(self.recipe.data.columns, text), None) for text in CONTENT_FREE]
                parts = {"train": self.train, "pool": self.pool, "validation": self.validation, "content_free": empty}
                found.append({name: _scores(self.job, untrained, examples) for name, examples in parts.items()})
            return {"templates": found}

        found = self.job.cell("zero-shot", make, text="templates, untrained")["templates"]
        accuracies = [self._accuracy(scores["train"], self.train) if self.train else None for scores in found]
        members = [
            Member(
                pattern, 0, torch.tensor(scores["pool"]), self._validation(scores["validation"]), torch.tensor(scores["content_free"])
            )
            for pattern, scores in enumerate(found)
        ]
        return members, pattern_weights(accuracies, self.options.weighting)

    def _member(self, generation: int, pattern: int, seed: int, examples: list[InputExample]) -> Member:
        name = f"g{generation}-p{pattern + 1}-s{seed}"
        file = self._written(name, examples)
        # As many steps as on the labelled rows alone, but every row at least once.
        epochs = max(1.0, self.recipe.training.epochs * (len(self.train) or len(examples)) / len(examples))
        prompt = self.recipe.prompt.alone(pattern).model_dump()
        recipe = self._recipe(file, {"prompt": prompt, "training.epochs": epochs, "training.seed": seed})

        def look(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
            tuned = self._tuned(recipe, folder / "final")
            scores = {"pool": _scores(self.job, tuned, self.pool), "validation": _scores(self.job, tuned, self.validation)}
            return scores | {"rows": len(examples), "steps": result["steps"]}

        about = f"template {pattern + 1}, seed {seed}" + (f", generation {generation}" if generation else "")
        found = self.job.train(name, recipe, look, text=about)
        return Member(pattern, seed, torch.tensor(found["pool"]), self._validation(found["validation"]))

    def _generation(self, generation: int, before: list[Member], weights: list[float]) -> list[Member]:
        counts = Counter(str(example.label) for example in self.train)
        first = {label: counts[label] for label in self.labels}
        target = generation_counts(first, self.options.growth, generation)
        wanted = {label: target[label] - first[label] for label in self.labels}
        untaught = not self.train and generation == 1
        members = []
        for pattern in range(len(self.templates)):
            for seed in self.seeds:
                own = [i for i, m in enumerate(before) if m.pattern == pattern and (untaught or m.seed == seed)]
                key = f"{self.recipe.training.seed}-{generation}-{pattern}-{seed}"
                teachers = [before[i] for i in choose_teachers(len(before), own, self.options.teachers, key)]
                scores = ensemble_scores([m.pool for m in teachers], [weights[m.pattern] for m in teachers])
                draw = draw_without_labels if untaught else draw_pseudo_labelled
                drawn = draw(scores, self.labels, wanted, key)
                absent = {label for label in self.labels if not first[label]} - {label for _, label in drawn}
                if absent:  # nobody predicts these labels; without any row of them there is nothing to train on
                    drawn += draw_without_labels(scores, self.labels, {n: wanted[n] * (n in absent) for n in self.labels}, key)
                pseudo = [InputExample(self.pool[row].guid, self.pool[row].fields, label) for row, label in drawn]
                self._note_shortage(generation, pattern, Counter(label for _, label in drawn), wanted)
                members.append(self._member(generation, pattern, seed, [*self.train, *pseudo]))
        return members

    def _note_shortage(self, generation: int, pattern: int, drawn: Counter[str], wanted: dict[str, int]) -> None:
        for label, count in wanted.items():
            if drawn[label] < count:
                where = f"Generation {generation}, template {pattern + 1}"
                self.job.note(f"{where}: {drawn[label]} rows of '{label}' instead of {count}; the pool has no more.")

    def _distil(self, name: str, members: list[Member], weights: list[float]) -> dict[str, Any]:
        scores = ensemble_scores([m.pool for m in members], [weights[m.pattern] for m in members])
        file = self.rows / f"{name}.jsonl"
        self.rows.mkdir(exist_ok=True)
        write_soft_labels(file, self.pool, self.labels, soft_labels(scores, self.options.temperature).tolist())
        recipe = self._recipe(
            file,
            {
                "data.soft_labels": PREFIX,
                "prompt": self._distilled_prompt(weights).model_dump(),
                "training.epochs": self.options.distill_epochs,
                "training.temperature": self.options.temperature,
                "training.lm_loss": 0.0,
            },
        )

        def look(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
            return {"validation": _scores(self.job, self._tuned(recipe, folder / "final"), self.validation), "steps": result["steps"]}

        found = self.job.train(name, recipe, look, text=name, keep=True)
        return self._figures(name, self._validation(found["validation"]), models=1)

    # -- recipes and models

    def _distilled_prompt(self, weights: list[float]) -> PromptPart:
        prompt = self.recipe.prompt.alone(max(range(len(weights)), key=weights.__getitem__))
        return prompt.model_copy(update={"verbalizer": {"kind": "head"}}) if self.options.distill == "head" else prompt

    def _recipe(self, file: Path, changes: dict[str, Any]) -> Recipe:
        data = {
            "data.train": str(file),
            "data.validation": None,
            "data.unlabeled": None,
            "data.columns": columns_of(self.recipe.fields),
            "data.only": {},
            "data.encoding": "auto",
            "data.soft_labels": None,
            "data.split.shots": None,
            "data.split.validation": 0,
            "training.early_stopping": None,
        }
        if self.recipe.training.lm_loss:
            data["data.unlabeled"] = str(self._written("unlabeled", self.pool))
        return self.recipe.replace(data | changes)

    def _written(self, name: str, examples: list[InputExample]) -> Path:
        self.rows.mkdir(exist_ok=True)
        file = self.rows / f"{name}.jsonl"
        write_labelled(file, examples)
        return file

    def _tuned(self, recipe: Recipe, folder: Path) -> Predictor:
        return tuned_predictor(self.job.pool, recipe, self.labels, folder)

    def _keep(self, name: str) -> None:
        """Leaves the distilled weights, and the recipe under which they answer, as the run's own."""
        source = self.job.cell_folder(name) / "final"
        write_folder(self.job.folder / "final", lambda staging: copy_files(source, staging))
        recipe = Recipe.model_validate(yaml.safe_load((self.job.cell_folder(name) / "recipe.yaml").read_text(encoding="utf-8")))
        keep_rows(self.job.folder, kept_rows(self.job.cell_folder(name)))
        answering = self.recipe.replace({"prompt": recipe.prompt.model_dump(), "method": recipe.method})
        write_whole(self.job.folder / ANSWER, answering.to_yaml())

    # -- figures

    def _validation(self, scores: list[list[float]]) -> Tensor:
        return torch.tensor(scores).reshape(len(self.validation), len(self.labels))

    def _accuracy(self, scores: list[list[float]], examples: list[InputExample]) -> float:
        return classification_metrics(scores, [self.labels.index(str(e.label)) for e in examples])["accuracy"]

    def _metrics(self, scores: Tensor) -> dict[str, float | None]:
        if not self.validation:
            return dict.fromkeys(MEASURED["classification"])
        truth = [self.labels.index(str(example.label)) for example in self.validation]
        found = classification_metrics(torch.log_softmax(scores.double(), dim=-1), truth)
        return {name: found[name] for name in MEASURED["classification"]}

    def _figures(self, what: str, scores: Tensor, *, models: int) -> dict[str, Any]:
        return {"what": what, "template": None, **self._metrics(scores), "accuracy_std": None, "models": models}

    def _line(self, what: str, members: list[Member], weights: list[float]) -> dict[str, Any]:
        scores = ensemble_scores([m.validation for m in members], [weights[m.pattern] for m in members])
        return self._figures(what, scores, models=len(members))

    def _mean_line(self, what: str, members: list[Member], template: str | None = None) -> dict[str, Any]:
        """Mean and spread of single models' figures."""
        found = [self._metrics(member.validation) for member in members]
        means = {name: mean(row[name] for row in found) if self.validation else None for name in MEASURED["classification"]}
        spread = stdev(row["accuracy"] for row in found) if self.validation and len(found) > 1 else None
        return {"what": what, "template": template, **means, "accuracy_std": spread, "models": len(members)}

    def _pattern_lines(self, members: list[Member]) -> list[dict[str, Any]]:
        lines = [
            self._mean_line("pattern", [m for m in members if m.pattern == pattern], name)
            for pattern, name in enumerate(self.names)
        ]
        return [*lines, self._mean_line("patterns", members)]

    def _answer(self, report: list[dict[str, Any]], weights: list[float], final: str) -> dict[str, Any]:
        last = report[-1]
        return {
            "metrics": {name: last[name] for name in MEASURED["classification"]},
            "table": {"columns": COLUMNS, "rows": [[line[name] for name in COLUMNS] for line in report]},
            "weights": dict(zip(self.names, weights, strict=True)),
            "rows": {"labelled": len(self.train), "unlabelled": len(self.pool), "validation": len(self.validation)},
            "answers_with": final,
        }


def _name(prompt: PromptPart, pattern: int) -> str:
    """A template in the report, with its label words where it has its own: published pairs repeat a template with other words."""
    own = prompt.template_words[pattern] if prompt.template_words else None
    words = "; ".join(f"{label}: {', '.join(map(str, listed))}" for label, listed in (own or {}).items())
    return f"{prompt.templates[pattern]} ({words})" if words else prompt.templates[pattern]


def _scores(job: Job, predictor: Predictor, examples: list[InputExample]) -> list[list[float]]:
    """Log-probabilities [N][C]; six decimals, so that a remembered cell is the same as a fresh one and not larger than it need be."""
    predictor.pace.between = job.between
    rows = predictor.probabilities([example.fields for example in examples])
    return [[round(math.log(max(p, SMALLEST_PROBABILITY)), 6) for p in row] for row in rows]
