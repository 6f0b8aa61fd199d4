"""A file of texts answered in Try it: upload it, get it back with the answers as columns."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.runs.files import predict_file
from workbench.ui.frame import Frame
from workbench.ui.markup import bars, sentence
from workbench.ui.rows import SUFFIXES
from workbench.ui.text import Words
from workbench.ui.uploads import keep_upload

# Formats that answers are written in; other files come back as csv.
WRITTEN = (".csv", ".tsv", ".jsonl", ".xlsx")


@dataclass(frozen=True)
class BatchView:
    """Where the answers are and how the labels came out."""

    file: Path
    rows: int
    counts: dict[str, int]
    seconds: float


def view(service: Any, run_id: str, data: str, folder: Path) -> BatchView:
    """A file answered by a run, written into `folder`.

    Raises:
        WorkbenchError: the run cannot answer, or the file cannot be read or lacks a column.
    """
    source = Path(data)
    suffix = source.suffix.lower() if source.suffix.lower() in WRITTEN else ".csv"
    started = time.monotonic()
    answer = predict_file(service.predictor(run_id), source, folder / f"{source.stem}-answers{suffix}")
    return BatchView(Path(answer["out"]), answer["examples"], answer["counts"], time.monotonic() - started)


def view_html(shown: BatchView, t: Words) -> str:
    """How many rows were answered, and each label's share."""
    line = t("try.batch_done", rows=f"{shown.rows:,}", seconds=f"{shown.seconds:.1f}")
    shares = [(label, count / max(shown.rows, 1)) for label, count in sorted(shown.counts.items(), key=lambda pair: -pair[1])]
    return sentence(line, "good") + bars(shares)


def build_batch(frame: Frame, run: gr.Dropdown) -> None:
    """Lays out the area below the run that `run` chooses, and wires it."""
    t, service = frame.t, frame.service
    with gr.Accordion(t("try.batch"), open=False, elem_id="try-batch"):
        gr.HTML(sentence(t("try.batch_lead")))
        with gr.Row():
            given = gr.File(label=t("try.batch_file"), file_types=list(SUFFIXES), height=120, elem_id="try-batch-file")
            taken = gr.File(label=t("try.batch_answers"), interactive=False, height=120, visible=False, elem_id="try-batch-answers")
        done = gr.HTML(elem_id="try-batch-done")

    def answer(run_id: str | None, upload: str | None) -> list[Any]:
        if not run_id or not upload:
            raise RunError(t("try.no_run"), fix=t("try.none_yet"))
        shown = view(service, run_id, keep_upload(upload, service.root), Path(tempfile.mkdtemp(prefix="answers-")))
        return [gr.update(value=str(shown.file), visible=True), view_html(shown, t)]

    frame.on(given.upload, answer, [run, given], [taken, done], "try_batch", show_progress="full", show_progress_on=[done])
