"""Where else a run's figures may go: one small class per tracker, registered by name; nothing else knows any of them.

    start(place, about) -> log(figures, step)* -> finish(finished)

Which one is asked for is the run's and not the recipe's: it changes nothing that is trained, and a recipe handed on must not send a
stranger's figures anywhere. Each is used by one thread, may raise anything, and imports its library when it starts. Every one writes
below the data root; only `wandb-online` reaches another machine, and only because it was asked for by that name: no variable of the
environment sends figures away.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from workbench.access import Role, acting, refuse_visitors
from workbench.errors import AccessError, RunError, nearest

NONE = "none"
PROJECT = "prompt-workbench"
TAG = "workbench_run"


@dataclass(frozen=True)
class About:
    """The run whose figures are written; `config` is its recipe as dotted field -> text."""

    id: str
    name: str
    config: dict[str, str]


class Tracker(Protocol):
    """One run in one tracker. `title` is what it calls itself, `needs` the module that its package brings, `package` what pip calls it;
    `online` ones send figures to another machine."""

    title: ClassVar[str]
    needs: ClassVar[str]
    package: ClassVar[str]
    online: ClassVar[bool]

    def start(self, place: Path, about: About) -> None:
        """Opens the run, or opens it again after a pause of days, in a folder that exists."""

    def log(self, figures: dict[str, float], step: int) -> None:
        """Writes figures of a step."""

    def finish(self, finished: bool) -> None:
        """Writes what is left; `finished` is False for a run that may go on."""


_TRACKERS: dict[str, Callable[[], Tracker]] = {}
_T = TypeVar("_T", bound=type)


def register(name: str) -> Callable[[_T], _T]:
    """Decorator that makes a class the tracker of this name; a second one of the same name is refused at import."""

    def enter(tracker: _T) -> _T:
        if name in _TRACKERS or name == NONE:
            raise ValueError(f"tracker '{name}' is registered twice")
        _TRACKERS[name] = tracker
        return tracker

    return enter


def tracker_names() -> tuple[str, ...]:
    """Names of all trackers, and `none` before them."""
    return (NONE, *_TRACKERS)


def tracker_title(name: str) -> str:
    """What a tracker calls itself; of `none` the name."""
    return name if name == NONE else make_tracker(name).title


def check_tracker(name: str) -> None:
    """Refuses, before a run is made, a tracker that is unknown, not installed, or not for the one who asks; `none` passes.

    Raises:
        RunError: there is no such tracker, or its package is missing.
        AccessError: a visitor asks for one, or somebody other than the owner for one that leaves this machine.
    """
    if name == NONE:
        return
    refuse_visitors("send figures to a tracker")
    tracker: Any = make_tracker(name)
    if tracker.online and acting().role != Role.OWNER:
        raise AccessError(f"Only the owner of this server can send figures to '{name}'.", fix="Choose a tracker that writes files.")
    if find_spec(tracker.needs) is None:
        fix = f"Install it with `pip install {tracker.package}` and start again, or choose another tracker."
        raise RunError(f"The tracker '{name}' is not installed.", fix=fix)


def make_tracker(name: str) -> Tracker:
    """A fresh tracker; RunError when there is none of that name."""
    if name not in _TRACKERS:
        raise RunError(f"There is no tracker '{name[:64]}'.", fix=nearest(name[:64], tracker_names()))
    return _TRACKERS[name]()


@register("tensorboard")
class TensorBoard:
    """A folder per run below `tensorboard/`: `tensorboard --logdir` on that shows them over each other."""

    title, needs, package, online = "TensorBoard", "tensorboard", "tensorboard", False

    def start(self, place: Path, about: About) -> None:
        """The writer opens with the first figures: a resumed run repeats steps, and what was drawn from there on has to go."""
        self._place, self._about, self._writer = place / "tensorboard" / about.id, about, None

    def log(self, figures: dict[str, float], step: int) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # A run that was stopped in an evaluation begins with that one, and the step before it stays drawn.
            repeats = any(name.startswith("train/") for name in figures)
            self._writer = SummaryWriter(str(self._place), purge_step=step if repeats else step + 1)
            text = "\n".join(f"    {field}: {value}" for field, value in self._about.config.items())
            self._writer.add_text("recipe", text, step)
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, finished: bool) -> None:
        if self._writer is not None:
            self._writer.close()


@register("trackio")
class Trackio:
    """A project in a file below `trackio/`."""

    title, needs, package, online = "Trackio", "trackio", "trackio", False

    def start(self, place: Path, about: About) -> None:
        # Read while trackio is imported; the other two would send what it writes to another machine.
        os.environ["TRACKIO_DIR"] = str(place / "trackio")
        for elsewhere in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            os.environ.pop(elsewhere, None)
        with _quiet():
            import trackio

            self._run = trackio.init(
                project=PROJECT, name=about.id, config={"recipe": about.name, **about.config}, resume="allow", embed=False,
                auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip

    def log(self, figures: dict[str, float], step: int) -> None:
        self._run.log(figures, step=step)

    def finish(self, finished: bool) -> None:
        with _quiet():
            self._run.finish()


@register("mlflow")
class MLflow:
    """A run of an experiment in files below `mlflow/`, which the small package reads and writes as well as the whole one."""

    title, needs, package, online = "MLflow", "mlflow", "mlflow-skinny", False

    def start(self, place: Path, about: About) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        # MLflow 3 wants a database for new records, which only the whole package can write.
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=(place / "mlflow").as_uri())
        known = self._client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self._client.create_experiment(PROJECT)
        found = self._client.search_runs([experiment], filter_string=f"tags.{TAG} = '{about.id}'", max_results=1)
        run = found[0] if found else self._client.create_run(experiment, run_name=about.name, tags={TAG: about.id})
        self._id = run.info.run_id
        if found:
            self._client.set_terminated(self._id, status="RUNNING")
        for field, value in about.config.items():
            self._client.log_param(self._id, field, value)

    def log(self, figures: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in figures.items()])

    def finish(self, finished: bool) -> None:
        self._client.set_terminated(self._id, status="FINISHED" if finished else "KILLED")


@register("wandb")
class WeightsAndBiases:
    """An offline run in files below `wandb/`, which `wandb sync` sends when a person says so."""

    title, needs, package, online = "Weights & Biases", "wandb", "wandb", False

    def start(self, place: Path, about: About) -> None:
        if not self.online:
            os.environ["WANDB_ERROR_REPORTING"] = "false"
        (place / "wandb").mkdir(parents=True, exist_ok=True)
        with _quiet():
            import wandb

            self._run = wandb.init(
                project=PROJECT, id=about.id, name=f"{about.name} {about.id}", dir=str(place / "wandb"), config=about.config,
                mode="online" if self.online else "offline", resume="allow" if self.online else None, reinit="create_new",
                settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True),
            )  # fmt: skip

    def log(self, figures: dict[str, float], step: int) -> None:
        self._run.log(figures, step=step)

    def finish(self, finished: bool) -> None:
        with _quiet():
            self._run.finish(exit_code=0 if finished else 1)


@register("wandb-online")
class WeightsAndBiasesOnline(WeightsAndBiases):
    """The same, sent while it trains to the account that `wandb login` has named."""

    online = True


@contextlib.contextmanager
def _quiet() -> Any:
    """What libraries print goes where people read: standard output is for the command's answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
