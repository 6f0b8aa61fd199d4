"""Trainings of a job side by side through Ray: on the cluster that RAY_ADDRESS names, else on this machine's processors.

The only importer of ray, which is an optional extra. A training works in a folder of its own that is gone afterwards; what it measured
comes back and becomes a cell of the job. So no disk has to be shared, but model and data have to lie at the same paths everywhere.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, SettingsError, WorkbenchError
from workbench.models.foreign import foreign
from workbench.recipe import Recipe, recipe_from

if TYPE_CHECKING:
    from workbench.runs.job import Job

SECONDS_BETWEEN_LOOKS = 0.5
STORE_BYTES = 100 * 1024**2  # Ray's own memory on this machine; only figures travel


@dataclass(frozen=True)
class Training:
    """One cell of a job: the recipe that is trained, and the words of its progress."""

    name: str
    recipe: Recipe
    text: str


def refuse_without_ray() -> None:
    """Raises SettingsError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise SettingsError("Ray is not installed here.", fix="Run 'pip install ray', or leave job.engine out.")


def train_side_by_side(job: Job, trainings: Sequence[Training]) -> list[dict[str, Any] | WorkbenchError]:
    """The results of all trainings, or why one could not be had, in order; those of an earlier life of the job are not trained again.

    While the job is paused nothing is kept or begun, but what the cluster has begun goes on.

    Raises:
        RunError: the cluster is gone; JobStopped. Finished trainings stay.
    """
    results: dict[str, dict[str, Any] | WorkbenchError] = {}
    results |= {training.name: job.receive(training.name, {}, text=training.text) for training in trainings if job.has(training.name)}
    waiting = [training for training in trainings if training.name not in results]
    if waiting:
        with _cluster() as ray:
            results |= _train(ray, job, waiting)
    return [results[training.name] for training in trainings]


def _train(ray: Any, job: Job, trainings: Sequence[Training]) -> dict[str, dict[str, Any] | WorkbenchError]:
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    # Nothing is tried again: a training that broke a worker would do so again.
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(train_alone)
    begun = {remote.remote(training.recipe.model_dump(mode="json")): training for training in trainings}
    results: dict[str, dict[str, Any] | WorkbenchError] = {}
    since = time.perf_counter()
    while begun:
        job.halt()
        job.alive()
        done, _ = ray.wait(list(begun), timeout=SECONDS_BETWEEN_LOOKS)
        for reference in done:
            training, now = begun.pop(reference), time.perf_counter()
            content = _answer(ray, reference)
            if isinstance(content, WorkbenchError):
                results[training.name] = content
                continue
            results[training.name] = job.receive(training.name, content, seconds=now - since, text=training.text)
            since = now
    return results


def _answer(ray: Any, reference: Any) -> dict[str, Any] | WorkbenchError:
    try:
        answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0][:160].rstrip(".")
        raise RunError(f"A training on the Ray cluster broke off ({reason}).", fix="Resume the run: finished trainings stay.") from error
    if "refused" in answer:
        return WorkbenchError(answer["refused"]["message"], fix=answer["refused"]["fix"])
    return answer


def train_alone(recipe: dict[str, Any]) -> dict[str, Any]:
    """What a worker of the cluster does: the result of a training, or {"refused": {"message", "fix"}}."""
    import tempfile

    from workbench.models.pool import ModelPool
    from workbench.training.control import Control
    from workbench.training.trainer import train_run

    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        try:
            return train_run(recipe_from(recipe, source="the job"), Path(folder), Control(), ModelPool())
        except WorkbenchError as error:
            return {"refused": {"message": error.message, "fix": error.fix}}


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected; what still works on it ends when this does."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray

    # Of its own it would listen on every address of this machine.
    own = {"_node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": STORE_BYTES}
    with foreign(_unreached):  # a node that starts too slowly is a bare Exception to Ray
        ray.init(log_to_driver=False, logging_level="ERROR", **({} if os.environ.get("RAY_ADDRESS") else own))
    try:
        yield ray
    finally:
        ray.shutdown()


def _unreached(error: Exception) -> RunError:
    reason = str(error).strip().splitlines()[0][:160].rstrip(".")
    return RunError(f"The Ray cluster does not answer ({reason}).", fix="Check RAY_ADDRESS, or unset it to use this machine alone.")
