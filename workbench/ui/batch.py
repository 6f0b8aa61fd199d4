"""A file of texts answered in Try it: upload it, watch it being answered or stop that, get it back with the answers as columns."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.models.transfer import Progress, untold
from workbench.runs.boards import BoardModels
from workbench.runs.files import answering, predict_file
from workbench.serving.scoring import Dropped
from workbench.ui.beside import is_cell, model_of
from workbench.ui.frame import Frame, session_key
from workbench.ui.markup import bars, sentence
from workbench.ui.rows import SUFFIXES
from workbench.ui.telling import telling
from workbench.ui.text import Words
from workbench.ui.uploads import keep_upload

# Formats that answers are written in; other files come back as csv.
WRITTEN = (".csv", ".tsv", ".jsonl", ".xlsx")


@dataclass(frozen=True)
class BatchView:
    """Where the answers are and how the labels came out, or how written answers compare with those in the file."""

    file: Path
    rows: int
    counts: dict[str, int]
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


def view(service: Any, boards: BoardModels, model: str, data: str, folder: Path, progress: Progress = untold) -> BatchView:
    """A file answered by a model, written into `folder`.

    Args:
        model: a run, or RUN/CELL of a board.
        progress: as `predict_file`, and told the stage weights.

    Raises:
        WorkbenchError: the model cannot answer, or the file cannot be read or lacks a column.
    """
    source = Path(data)
    suffix = source.suffix.lower() if source.suffix.lower() in WRITTEN else ".csv"
    started = time.monotonic()
    progress("weights", None)
    answers = model_of(service, boards, model) if is_cell(model) else answering(service, model)
    answer = predict_file(answers, source, folder / f"{source.stem}-answers{suffix}", progress)
    seconds = time.monotonic() - started
    return BatchView(Path(answer["out"]), answer["examples"], answer.get("counts", {}), seconds, answer.get("metrics", {}))


def view_html(shown: BatchView, t: Words) -> str:
    """How many rows were answered, and each label's share or the scores of written answers."""
    line = t("try.batch_done", rows=f"{shown.rows:,}", seconds=f"{shown.seconds:.1f}")
    shares = [(label, count / max(shown.rows, 1)) for label, count in sorted(shown.counts.items(), key=lambda pair: -pair[1])]
    scores = t("try.batch_scores", bleu=f"{shown.metrics['bleu']:.1f}", rouge_l=f"{shown.metrics['rouge_l']:.3f}") if shown.metrics else ""
    return sentence(line, "good") + bars(shares) + (sentence(scores) if scores else "")


def build_batch(frame: Frame, run: gr.Dropdown, place: str = "try", *, lead: str = "try.batch_lead") -> None:
    """Lays out the area below the run that `run` chooses, and wires it.

    Args:
        place: begins the names of its elements and of its handler.
        lead: key of the sentence that says what is given and what comes back.
    """
    t, service = frame.t, frame.service
    with gr.Accordion(t("try.batch"), open=False, elem_id=f"{place}-batch"):
        gr.HTML(sentence(t(lead)))
        with gr.Row():
            given = gr.File(label=t("try.batch_file"), file_types=list(SUFFIXES), height=120, elem_id=f"{place}-batch-file")
            taken = gr.File(label=t("try.batch_answers"), interactive=False, height=120, visible=False, elem_id=f"{place}-batch-answers")
        stop = gr.Button(t("train.stop"), size="sm", visible=False, elem_id=f"{place}-batch-stop")
        done = gr.HTML(elem_id=f"{place}-batch-done")

    def work_of(asked: gr.Request) -> str:
        return f"{session_key(asked)} {place} batch"

    def answer(
        asked: gr.Request, run_id: str | None, upload: str | None, bar: gr.Progress = gr.Progress()  # noqa: B008  gradio's way
    ) -> list[Any]:
        if not run_id or not upload:
            raise RunError(t("try.no_run"), fix=t("try.none_yet"))
        tell = telling(bar, t, service.lab.newest(work_of(asked)))
        try:
            shown = view(service, frame.boards, run_id, keep_upload(upload, service.root), Path(tempfile.mkdtemp(prefix="answers-")), tell)
        except Dropped:
            return [gr.skip(), sentence(t("try.batch_stopped"), "note")]
        return [gr.update(value=str(shown.file), visible=True), view_html(shown, t)]

    def halt(asked: gr.Request) -> Any:
        service.lab.newest(work_of(asked))
        return gr.update(visible=False)

    frame.on(given.upload, lambda: gr.update(visible=True), [], [stop], f"{place}_batch_begins", queue=False)
    done_with = frame.on(given.upload, answer, [run, given], [taken, done], f"{place}_batch", show_progress="full", show_progress_on=[done])
    frame.on(done_with.then, lambda: gr.update(visible=False), [], [stop], f"{place}_batch_ends", queue=False)
    frame.on(stop.click, halt, [], [stop], f"{place}_batch_stop", queue=False)
