"""Runs: everything that was ever trained here: to find, note down, lay side by side, start from again, put away or delete."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.runs.compare import matching, with_new_seed
from workbench.ui.comparison import build_comparison
from workbench.ui.frame import Frame, Part
from workbench.ui.glossary import lead
from workbench.ui.job_report import kind_name
from workbench.ui.markup import percent, sentence, short
from workbench.ui.session import Watch, portable
from workbench.ui.text import Words

COLUMNS = ("accuracy", "macro_f1", "perplexity", "bleu", "rouge_l")
# As wide as a column may be; the list of runs and the boxes for tags and note below the table show the whole.
LONGEST_NAME, LONGEST_TAGS = 40, 24


@dataclass(frozen=True)
class RunRow:
    """One run in the table; `figures` are those that it has, of `COLUMNS`."""

    id: str
    name: str
    status: str
    method: str
    model: str
    figures: dict[str, str]
    steps: str
    created: str
    kind: str
    tags: str
    note: str


def view(service: Any, t: Words, words: str = "", *, archived: bool = False) -> list[RunRow]:
    """The runs that hold every one of `words`, newest first; those put away only on request."""
    return [
        RunRow(
            run.id, run.name, t(f"status.{run.status}"), t.get(f"methods.{run.method}.title", run.method), run.model.rsplit("/", 1)[-1],
            _figures(run.metrics), f"{run.step}/{run.total_steps}",
            time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)), kind_name(run.kind, t),
            run.tags, run.note,
        )
        for run in matching(service.runs(), words, archived=archived)
    ]


class Shelf:
    """What the tab's handlers do, over one service and in one language."""

    def __init__(self, service: Any, t: Words) -> None:
        self.service, self.t = service, t

    def refresh(self, current: str | None, words: str, put_away: bool) -> list[Any]:
        """The table, a sentence where it is empty, and what can be chosen; what was chosen stays while it is there."""
        rows = view(self.service, self.t, words or "", archived=put_away)
        ids = [row.id for row in rows]
        table = self.table(rows)
        options = [(f"{row.name} \u00b7 {row.created} \u00b7 {row.id[-6:]}", row.id) for row in rows]
        empty_text = self.t("runs.no_match") if words else self.t("runs.empty")
        said = "" if rows else sentence(empty_text, "note")
        return [
            table, said, gr.update(choices=options, value=current if current in ids else None), gr.update(visible=False),
            gr.update(choices=options),
        ]  # fmt: skip

    def table(self, rows: list[RunRow]) -> dict[str, Any]:
        """Headers and cells. Of the figures those that some run has, so that none of a whole column is missing."""
        named = [name for name in COLUMNS if any(name in row.figures for row in rows)] or list(COLUMNS[:2])
        before, after = ("name", "tags", "kind", "status", "method", "model"), ("steps", "created", "note", "id")
        headers = [self.t(f"runs.{name}") for name in (*before, *named, *after)]
        cells = [
            [
                short(r.name, LONGEST_NAME), short(r.tags, LONGEST_TAGS), r.kind, r.status, r.method, short(r.model, LONGEST_NAME),
                *(r.figures.get(name, "\u2013") for name in named),
                r.steps, r.created, short(r.note, LONGEST_NAME), r.id,
            ]
            for r in rows
        ]  # fmt: skip
        return {"headers": headers, "data": cells}

    def show(self, recipe: Recipe, run_id: str | None) -> Recipe:
        """The chosen run's recipe, to go on from."""
        return portable(self.service.read(self._known(run_id), 1 << 30).recipe)

    def written(self, run_id: str | None) -> list[Any]:
        """The chosen run's tags and note, whether its button puts it away or brings it back, and nobody is sure to delete it yet."""
        run = next((run for run in self.service.runs() if run.id == run_id), None)
        turn = self.t("runs.unarchive") if run and run.archived else self.t("runs.archive")
        return [run.tags if run else "", run.note if run else "", turn, gr.update(visible=False)]

    def write(self, run_id: str | None, tags: str, note: str, words: str, put_away: bool) -> list[Any]:
        """Keeps tags and note."""
        self.service.annotate(self._known(run_id), tags=tags or "", note=note or "")
        return self.refresh(run_id, words, put_away)

    def put(self, run_id: str | None, words: str, put_away: bool) -> list[Any]:
        """Puts the chosen run away, or brings it back."""
        away = {run.id for run in self.service.runs() if run.archived}
        self.service.annotate(self._known(run_id), archived=run_id not in away)
        return self.refresh(run_id, words, put_away)

    def rerun(self, run_id: str | None) -> Any:
        """Starts the chosen run's recipe with a seed that it has not had, and shows it."""
        recipe = self.service.read(self._known(run_id), 1 << 60).recipe
        taken = [known for _, known in self.service.readable()]
        return Watch(self.service.submit(with_new_seed(recipe, taken), alone=True)), gr.update(selected="train")

    def remove(self, run_id: str | None, watch: Watch, words: str, put_away: bool) -> list[Any]:
        """Deletes the chosen run."""
        self.service.delete(self._known(run_id))
        return [*self.refresh(None, words, put_away), Watch() if watch.run == run_id else gr.skip()]

    def _known(self, run_id: str | None) -> str:
        if not run_id:
            raise RunError(self.t("runs.none_chosen"), fix=self.t("runs.none_chosen_fix"))
        return run_id


def pick(event: gr.SelectData) -> str | None:
    """The id of the row that was clicked, which stands in its last cell."""
    row = event.row_value or []
    return str(row[-1]) if row else None


def watch_run(run_id: str | None) -> tuple[Any, Any]:
    """Shows a run on the tab Train; nothing where none is chosen."""
    return (Watch(run_id), gr.update(selected="train")) if run_id else (gr.skip(), gr.skip())


def build(frame: Frame) -> Part:
    """Lays out the tab and wires it."""
    t = frame.t
    shelf = Shelf(frame.service, t)
    with gr.Tab(t("runs.tab"), id="runs") as tab:
        gr.HTML(lead(t("runs.lead"), t))
        with gr.Row(elem_classes="pw-end"):
            search = gr.Textbox(label=t("runs.search"), info=t("runs.search_help"), max_lines=1, scale=3, elem_id="runs-search")
            archived = gr.Checkbox(label=t("runs.archived"), info=t("runs.archived_help"), scale=1, elem_id="runs-archived")
        table = gr.Dataframe(
            headers=shelf.table([])["headers"], type="array", interactive=False, show_label=False, wrap=False, max_height=420,
            elem_id="runs-table",
        )  # fmt: skip
        empty = gr.HTML(elem_id="runs-empty")
        with gr.Row():
            chosen = gr.Dropdown([], label=t("runs.chosen"), info=t("runs.chosen_help"), elem_id="runs-chosen", scale=3)
            with gr.Column(scale=2, min_width=300):
                with gr.Row():
                    open_run = gr.Button(t("runs.open"), variant="primary", elem_id="runs-open", min_width=120)
                    again = gr.Button(t("runs.again"), elem_id="runs-again", min_width=160)
                with gr.Row():
                    away = gr.Button(t("runs.archive"), elem_id="runs-archive", min_width=110)
                    delete = gr.Button(t("runs.delete"), elem_id="runs-delete", min_width=100)
                    sure = gr.Button(t("runs.sure"), variant="stop", visible=False, elem_id="runs-sure", min_width=140)
        with gr.Row(elem_classes="pw-end"):
            tags = gr.Textbox(label=t("runs.tags"), info=t("runs.tags_help"), max_lines=1, scale=2, elem_id="runs-tags")
            note = gr.Textbox(label=t("runs.note"), info=t("runs.note_help"), lines=1, scale=3, elem_id="runs-note")
            save = gr.Button(t("runs.save"), scale=0, min_width=100, elem_id="runs-save")
        compared = build_comparison(frame)
    outputs, filters = [table, empty, chosen, sure, compared], [search, archived]
    frame.on(table.select, pick, [], [chosen], "runs_pick")
    frame.opens(open_run.click, shelf.show, [chosen], "runs_open")
    frame.on(open_run.click, watch_run, [chosen], [frame.watch, frame.tabs], "runs_watch")
    frame.on(delete.click, lambda run_id: gr.update(visible=bool(run_id)), [chosen], [sure], "runs_ask_delete")
    frame.on(sure.click, shelf.remove, [chosen, frame.watch, *filters], [*outputs, frame.watch], "runs_delete")
    frame.on(chosen.change, shelf.written, [chosen], [tags, note, away, sure], "runs_written")
    frame.on(save.click, shelf.write, [chosen, tags, note, *filters], outputs, "runs_save")
    frame.on(away.click, shelf.put, [chosen, *filters], outputs, "runs_archive")
    frame.on(again.click, shelf.rerun, [chosen], [frame.watch, frame.tabs], "runs_again")
    frame.on(search.input, shelf.refresh, [chosen, *filters], outputs, "runs_search")
    frame.on(archived.input, shelf.refresh, [chosen, *filters], outputs, "runs_archived")
    return Part("runs", tab, refresh=(shelf.refresh, [chosen, *filters], outputs))


def _figures(metrics: dict[str, Any] | None) -> dict[str, str]:
    """A run's figures as they are read: shares in percent, perplexity and BLEU with one decimal, ROUGE-L with three."""
    written = {"perplexity": "{:.1f}", "bleu": "{:.1f}", "rouge_l": "{:.3f}"}
    known = {name: value for name in COLUMNS if (value := (metrics or {}).get(name)) is not None}
    return {name: written[name].format(value) if name in written else percent(value) for name, value in known.items()}
