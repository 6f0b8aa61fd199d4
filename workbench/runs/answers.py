"""Trained runs as something that answers: their labels, their tuned weights, and predictors kept ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.access import acting
from workbench.errors import RecipeError, RunError, WorkbenchError
from workbench.recipe import MEASURED, Recipe
from workbench.runs.ready import Ready
from workbench.runs.store import RunStore
from workbench.runs.view import EventReader

if TYPE_CHECKING:
    from workbench.data.dataset import InputExample
    from workbench.models.pool import ModelPool
    from workbench.serving.generator import Generator
    from workbench.serving.predictor import Predictor

PREDICTORS_KEPT = 3


class Answers:
    """Predictors of one data root's runs, the newest few kept. Owned by a `RunService`; safe to use from several threads."""

    def __init__(self, store: RunStore, events: EventReader) -> None:
        self._store = store
        self._events = events
        self._pool: ModelPool | None = None
        self._kept: Ready[Predictor | Generator] = Ready(PREDICTORS_KEPT)
        self._guard = threading.Lock()

    @property
    def pool(self) -> ModelPool:
        """Models that nothing is ever attached to."""
        with self._guard:
            if self._pool is None:
                from workbench.models.pool import ModelPool

                self._pool = ModelPool()
            return self._pool

    def labels(self, run_id: str) -> tuple[str, ...]:
        """The labels in the order of the run's probabilities."""
        plan = self._events.read(self._store.folder(run_id) / "events.jsonl").last("plan")
        if plan.get("labels"):
            return tuple(plan["labels"])
        from workbench.data.streams import splits_of

        return tuple(splits_of(self._store.recipe(run_id).data).labels)

    def tuned_folder(self, run_id: str) -> Path:
        """The folder with the run's tuned weights: the final ones, or the best so far of a run that has not ended.

        Raises:
            RunError: there are none yet, or they are not as they were written.
        """
        from workbench.training.folder import damage

        for name in ("final", "best"):
            folder = self._store.folder(run_id) / name
            if folder.is_dir() and any(folder.iterdir()):
                reason = damage(folder)
                if reason is not None:
                    fix = "Restore the run's folder from a copy, or train its recipe again."
                    raise RunError(f"The tuned weights of run {run_id} are damaged: {reason}.", fix=fix)
                return folder
        raise RunError(f"Run {run_id} has no tuned weights yet.", fix="Let it train up to its first evaluation, or resume it.")

    def predictor(self, run_id: str, *, base: bool = False) -> Predictor:
        """What answers for a run: its tuned model, or the untouched one it started from.

        Raises:
            RunError: there is no such run, it writes text, or nothing has been tuned yet.
        """
        from workbench.serving.predictor import Predictor

        answering = self._answering(run_id, base)
        if not isinstance(answering, Predictor):
            raise RunError(f"Run {run_id} writes text and has no classes to predict.", fix="Talk to it in Try it.")
        return answering

    def generator(self, run_id: str, *, base: bool = False) -> Generator:
        """What writes for a generation run: its tuned model, or the untouched one it started from.

        Raises:
            RunError: there is no such run, it chooses between classes, or nothing has been tuned yet.
        """
        from workbench.serving.generator import Generator

        answering = self._answering(run_id, base)
        if not isinstance(answering, Generator):
            raise RunError(f"Run {run_id} chooses between classes and writes no text.", fix="Choose a run with task: generation.")
        return answering

    def _answering(self, run_id: str, base: bool) -> Predictor | Generator:
        self._store.record(run_id)
        return self._kept.get((run_id, base), lambda: self._make(run_id, base))

    def forget(self, run_id: str) -> None:
        """Drops the predictors of a run whose weights have changed or gone; never waits for one that is being loaded."""
        self._kept.forget(lambda name: name[0] == run_id)

    def let_go(self) -> bool:
        """Drops all predictors and the models of the pool; whether there were any."""
        pool = self._pool
        return any([self._kept.clear(), pool is not None and pool.clear()])

    def _make(self, run_id: str, base: bool) -> Predictor | Generator:
        if base:
            return self._base(run_id)
        folder = self.tuned_folder(run_id)
        try:
            return self._tuned(run_id, folder)
        except (OSError, WorkbenchError):
            if folder.exists():
                raise
            return self._tuned(run_id, self.tuned_folder(run_id))  # the run has ended while its model was loaded, and left others

    def _base(self, run_id: str) -> Predictor | Generator:
        from workbench.data.streams import splits_of
        from workbench.serving.generator import Generator

        recipe = self._store.recipe(run_id)
        if recipe.task == "generation":
            return Generator(self.pool.get(recipe.model), None, recipe)
        return base_predictor(self.pool, recipe, self.labels(run_id), lambda: splits_of(recipe.data).train.examples)

    def _tuned(self, run_id: str, folder: Path) -> Predictor | Generator:
        from workbench.serving.generator import tuned_generator

        recipe = self._store.answer_recipe(run_id)
        if recipe.task == "generation":
            return tuned_generator(self.pool.fresh(recipe.model), recipe, folder)
        return tuned_predictor(self.pool, recipe, self.labels(run_id), folder)


def base_predictor(pool: ModelPool, recipe: Recipe, labels: tuple[str, ...], rows: Callable[[], list[InputExample]]) -> Predictor:
    """What answers with the recipe's prompt on its untouched model.

    Args:
        rows: training rows, read where the verbalizer takes something from them.
    """
    from workbench.serving.predictor import Predictor
    from workbench.serving.tuned import tune

    untuned = tune(pool.get(recipe.model), recipe, labels, method=False)
    if untuned.needs_fit:
        untuned.fit(rows())
    return Predictor(untuned.loaded, untuned, recipe, labels)


def tuned_predictor(pool: ModelPool, recipe: Recipe, labels: tuple[str, ...], folder: Path) -> Predictor:
    """What answers with the weights that training left in `folder`, on a copy of the recipe's model.

    Args:
        labels: in the order of the training's probabilities.

    Raises:
        WorkbenchError: the weights are damaged or belong to another model.
    """
    from workbench.serving.predictor import Predictor
    from workbench.serving.tuned import tune

    tuned = tune(pool.fresh(recipe.model), recipe, labels)
    tuned.restore(folder)
    return Predictor(tuned.loaded, tuned, recipe, labels)


def check_trainable(recipe: Recipe) -> None:
    """Everything about a recipe that can be refused without loading its model: method, verbalizer, templates, files, columns, labels.

    Raises:
        WorkbenchError: naming the first mistake.
    """
    from workbench.data.conversations import load_conversations
    from workbench.data.dataset import load_splits
    from workbench.data.streams import check_rows
    from workbench.methods import check_method, check_soft_tokens
    from workbench.models.loading import find_model
    from workbench.prompts.template import parse_template
    from workbench.prompts.verbalizers import check_verbalizer
    from workbench.runs.jobs import check_job

    if acting().places is not None:
        # The worker that trains acts for the server, so what the one who asks may not load is refused here or nowhere.
        find_model(recipe.model.path, recipe.model.revision)
    check_method(recipe.method)
    for number, source in enumerate(recipe.prompt.templates):
        parse_template(source, needs_mask=check_verbalizer(recipe.prompt.verbalizer_of(number)).needs_mask)
    if recipe.kind == "train" and recipe.task == "classification":
        check_soft_tokens(recipe.method, recipe.prompt.templates)
    check_job(recipe)
    _check_stopping(recipe)
    if recipe.task == "generation":
        load_conversations(recipe.data)
    elif recipe.kind == "train":
        check_rows(recipe.data)
    else:  # jobs take rows apart, and need them all
        load_splits(recipe.data)


def _check_stopping(recipe: Recipe) -> None:
    """Classes have no figures of text. The other way round the default would be refused, and the training says what it looks at."""
    stopping, measured = recipe.training.early_stopping, MEASURED["classification"]
    if recipe.task == "classification" and stopping is not None and stopping.metric not in measured:
        raise RecipeError(
            f"Early stopping looks at {stopping.metric}, which is only measured where text is written.",
            fix=f"Set training.early_stopping.metric to one of {', '.join(measured)}.",
        )
