"""Deep learning from scratch: a vocabulary from the training rows, random word vectors, a small network, early stopping on validation.

The loop is made of the trainer's pieces: batches of similar length, AdamW, seeded steps, the same metrics, the same events.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from workbench.errors import RunError
from workbench.paradigms.networks import FILTERS, NETWORKS, WIDTHS, TextCnn
from workbench.paradigms.paradigm import Figures, OnEvent, Paradigm, Reason, Task, Why, register, text_of, texts_of
from workbench.paradigms.vocabulary import PADDING, Vocabulary
from workbench.paradigms.why import occlusion
from workbench.training.batching import BatchPlan
from workbench.training.control import Control
from workbench.training.events import EventLog
from workbench.training.folder import write_folder
from workbench.training.metrics import classification_metrics
from workbench.training.optim import build_optimizer
from workbench.training.plan import make_schedule
from workbench.training.progress import Progress
from workbench.training.stepper import refuse_non_finite, seed_everything

if TYPE_CHECKING:
    from workbench.models.pool import ModelPool

EPOCHS, PATIENCE = 30, 2
LARGE_BATCH, SMALL_BATCH, ROWS_FOR_LARGE_BATCHES = 32, 8, 500
# Word vectors that start from nothing overfit without it; a hundredth, as is usual for transformers, changes nothing here.
WEIGHT_DECAY = 0.05
AVERAGING = 0.995
PHRASES = 12
Encoded = tuple[list[int], int]


@register
class FromScratch(Paradigm):
    """A network that knows no language before it sees the training rows."""

    name = "from_scratch"
    methods = ("textcnn", "bilstm")

    def warm(self, task: Task, pool: ModelPool) -> None:
        super().warm(task, pool)
        # The first optimizer of a process imports for seconds.
        build_optimizer([("weight", nn.Parameter(torch.zeros(1)))], learning_rate=0.1, weight_decay=0.0)

    def fit(self, task: Task, folder: Path, control: Control, pool: ModelPool, on_event: OnEvent | None = None) -> Figures | None:
        """Trains until validation stops getting better and keeps the best network."""
        seed_everything(task.seed, 0)
        vocabulary = Vocabulary.of(texts_of(task.splits.train.examples))
        network = NetworkText(task.splits.labels, task.method, vocabulary)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.jsonl").unlink(missing_ok=True)
        log = EventLog(folder / "events.jsonl")
        try:
            loop = _Loop(task, network, log, on_event)
            if not loop.run(control):
                return None
        finally:
            log.close()
        write_folder(folder / "final", network.save)
        return network.figures(loop.progress)

    def open(self, task: Task, folder: Path, pool: ModelPool) -> NetworkText:
        return NetworkText.load(folder / "final")


class NetworkText:
    """A network and its vocabulary as one answerer. Owned by whoever made or opened it."""

    def __init__(self, labels: tuple[str, ...], method: str, vocabulary: Vocabulary) -> None:
        self.labels, self.method, self.vocabulary = tuple(labels), method, vocabulary
        self.network = NETWORKS[method](len(vocabulary), len(labels))

    def probabilities(self, fields: Sequence[dict[str, str]], *, batch_size: int = 64) -> list[list[float]]:
        """Class probabilities [N][C], in the order given; computed in batches of similar length."""
        return self.scores([self.vocabulary.encode(text_of(row)) for row in fields], batch_size).exp().double().tolist()

    def scores(self, rows: Sequence[list[int]], batch_size: int = 64) -> Tensor:
        """Class log-probabilities [N, C] without gradients or dropout; the network is left in the mode it was in."""
        training = self.network.training
        self.network.eval()
        result = torch.zeros(len(rows), len(self.labels))
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        with torch.no_grad():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                result[chosen] = torch.log_softmax(self.network(*_padded([rows[i] for i in chosen])), dim=-1)
        self.network.train(training)
        return result

    def why(self, fields: dict[str, str], label: str) -> Why:
        """For TextCNN each filter's share in the score of `label`, at the window where its maximum came from; else occlusion."""
        if not isinstance(self.network, TextCnn):
            return occlusion(self, fields, label)
        text = text_of(fields)
        units = self.vocabulary.units(text)
        self.network.eval()
        with torch.no_grad():
            values, places = self.network.pooled(*_padded([self.vocabulary.encode(text)]))
            table = self.network.output.weight
            own = self.labels.index(label)
            others = [i for i in range(len(self.labels)) if i != own]
            shares = (values[0] * (table[own] - table[others].mean(dim=0))).tolist()
        weights = [0.0] * len(units)
        phrases: dict[str, float] = {}
        for number, (share, place) in enumerate(zip(shares, places[0].tolist(), strict=True)):
            window = range(place, min(place + WIDTHS[number // FILTERS], len(units)))
            for unit in window:
                weights[unit] += share / len(window)
            if window:
                phrase = text[units[window[0]][1] : units[window[-1]][2]]
                phrases[phrase] = phrases.get(phrase, 0.0) + share
        reasons = [Reason(start, end, weight) for (_, start, end), weight in zip(units, weights, strict=True)]
        return Why(text, reasons, sorted(phrases.items(), key=lambda pair: -abs(pair[1]))[:PHRASES], "max_pool")

    def figures(self, progress: Progress) -> Figures:
        """Everything is trained."""
        count = sum(parameter.numel() for parameter in self.network.parameters())
        settings = {"words": len(self.vocabulary), "steps": progress.step, "best_step": progress.best_step}
        return Figures(count, count, 4 * count, progress.best_metrics, settings)

    def save(self, folder: Path) -> None:
        """Writes weights and vocabulary into an existing folder."""
        save_file(self.network.state_dict(), folder / "network.safetensors")
        content = {
            "labels": self.labels, "method": self.method, "words": self.vocabulary.words,
            "by_character": self.vocabulary.by_character, "longest": self.vocabulary.longest,
        }  # fmt: skip
        (folder / "network.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> NetworkText:
        """What `save` wrote, ready to answer.

        Raises:
            RunError: its files are missing or damaged.
        """
        try:
            content = json.loads((folder / "network.json").read_text(encoding="utf-8"))
            vocabulary = Vocabulary(tuple(content["words"]), content["by_character"], content["longest"])
            known = cls(tuple(content["labels"]), content["method"], vocabulary)
            known.network.load_state_dict(load_file(folder / "network.safetensors"))
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError):
            raise RunError("The files of this network are missing or damaged.", fix="Run the board again.") from None
        known.network.eval()
        return known


class _Loop:
    """One network's training: step, evaluate, keep the best.

    What is evaluated and kept is the moving average of the weights (Polyak and Juditsky 1992), which swings less from one evaluation
    to the next than the weights do; that matters where a hundred validation rows choose.
    """

    def __init__(self, task: Task, network: NetworkText, log: EventLog, on_event: OnEvent | None) -> None:
        self.network, self.log, self.on_event = network, log, on_event
        self.progress = Progress()
        self.labels = network.labels
        self.train = self._encoded(task.splits.train.examples)
        self.held = self._encoded(task.splits.validation.examples)
        rows = len(self.train)
        changes = {
            "training.epochs": EPOCHS, "training.scheduler": "constant", "training.learning_rate": network.network.rate,
            "training.batch_size": LARGE_BATCH if rows >= ROWS_FOR_LARGE_BATCHES else SMALL_BATCH,
            "training.early_stopping": {"metric": "accuracy", "patience": PATIENCE}, "training.weight_decay": WEIGHT_DECAY,
            "training.warmup": 0.0, "training.evaluate_every": "auto",
        }  # fmt: skip
        self.recipe = task.recipe.replace(changes)
        training = self.recipe.training
        self.batches = BatchPlan([len(ids) for ids, _ in self.train], batch_size=training.batch_size, seed=training.seed)
        self.schedule = make_schedule(training, self.batches.steps_per_epoch)
        self.student = network.network
        self.average = AveragedModel(self.student, avg_fn=_moved)
        network.network = self.average.module
        named = list(self.student.named_parameters())
        self.optimizer = build_optimizer(named, learning_rate=training.learning_rate, weight_decay=training.weight_decay)
        self.best: dict[str, Tensor] = {}

    def run(self, control: Control) -> bool:
        """Trains to the end; False when a stop was asked for before that."""
        progress = self.progress
        self.emit("plan", total_steps=self.schedule.total_steps, labels=list(self.labels), train_rows=len(self.train))
        self.student.train()
        while progress.step < self.schedule.total_steps and not progress.stopped_early:
            control.wait_while_paused()
            if control.stop_requested:
                return False
            self._step()
            if self.schedule.evaluates(progress.step):
                self._evaluate()
        if self.best:
            self.network.network.load_state_dict(self.best)
        self.network.network.eval()
        return True

    def _step(self) -> None:
        progress, training = self.progress, self.recipe.training
        (rows,) = self.batches.step(progress.step)
        seed_everything(training.seed, progress.step + 1)
        labels = torch.tensor([self.train[row][1] for row in rows])
        loss = nn.functional.cross_entropy(self.student(*_padded([self.train[row][0] for row in rows])), labels)
        value = float(loss.detach())
        refuse_non_finite(value, "loss", progress.step + 1)
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), training.max_gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.student)
        progress.step += 1
        progress.examples += len(rows)
        self.emit("train", step=progress.step, loss=value)

    def _evaluate(self) -> None:
        if not self.held:
            return
        scores = self.network.scores([ids for ids, _ in self.held])
        metrics = classification_metrics(scores, [label for _, label in self.held], self.labels)
        better = self.progress.record(metrics, self.recipe)
        if better:
            self.best = {name: value.detach().clone() for name, value in self.network.network.state_dict().items()}
        self.emit("evaluation", step=self.progress.step, best=better, **metrics)

    def emit(self, kind: str, **content: Any) -> None:
        event = self.log.append(kind, **content)
        if self.on_event is not None:
            self.on_event(event)

    def _encoded(self, examples: Sequence[Any]) -> list[Encoded]:
        return [(self.network.vocabulary.encode(text_of(e.fields)), self.labels.index(str(e.label))) for e in examples]


def _moved(average: Tensor, value: Tensor, updates: Tensor | int) -> Tensor:
    """The average moved towards a value; early, when there is little to remember, faster."""
    return average.lerp(value, 1 - min(AVERAGING, float((1 + updates) / (10 + updates))))


def _padded(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """ids [B, T], padded on the right, and lengths [B]."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), PADDING)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    return ids, torch.tensor([len(row) for row in rows])
