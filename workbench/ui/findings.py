"""The check "why does it not learn?" in the tab Train: findings as sentences, each with a button that sets what may mend it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.checks import Finding
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe
from workbench.runs.findings import recipe_findings, run_findings
from workbench.ui.frame import Frame
from workbench.ui.markup import esc, sentence
from workbench.ui.session import Watch, ready
from workbench.ui.text import Words

MOST_SHOWN = 6
# What the page calls the fields that findings set, and their values.
FIELDS = {
    "data.split.shots": "train.shots", "data.split.validation": "train.validation", "data.validation": "data.validation",
    "prompt.max_length": "prompt.max_length", "prompt.max_new_tokens": "prompt.new_tokens",
    "prompt.verbalizer.calibration": "verbalizers.any.fields.calibration.label", "training.early_stopping": "training.stop",
    "training.learning_rate": "train.rate",
}  # fmt: skip


def view(service: Any, recipe: Recipe, watch: Watch) -> list[Finding]:
    """About the run in view, or about the recipe where no run is in view or the recipe has been changed since."""
    run = subject(service, recipe, watch)
    return (run_findings(service, run) if run else recipe_findings(service, recipe))[:MOST_SHOWN]


def subject(service: Any, recipe: Recipe, watch: Watch) -> str | None:
    """The run that findings are about; None for the recipe."""
    try:
        return watch.run if watch.run and service.read(watch.run, 1 << 60).recipe == recipe else None
    except WorkbenchError:  # gone, or damaged
        return None


def view_html(found: list[Finding], t: Words, about: str = "") -> str:
    """The findings in the page's language; `about` names the run that they are about, where it is not the recipe."""
    heard = sentence(t("checks.about", run=about)) if about else ""
    if not found:
        return heard + sentence(t("checks.nothing"), "good")
    told = [t(f"checks.found.{finding.code}", **finding.values) for finding in found]
    lines = "".join(f"<li>{esc(line)}</li>" for line in told)
    return f'{heard}<ol class="pw-findings">{lines}</ol>'


def fix_text(finding: Finding, t: Words) -> str:
    """What the button does: the fields it sets."""
    fields = [t("checks.field", name=t(FIELDS[place]), value=_plain(place, value, t)) for place, value in finding.fix.items()]
    return t("checks.try", fields=t("checks.and").join(fields))


def build_findings(frame: Frame) -> None:
    """Lays out the check below the run and wires it."""
    t, service = frame.t, frame.service
    with gr.Column(elem_id="checks"):
        ask = gr.Button(t("checks.ask"), size="sm", elem_id="checks-ask")
        told = gr.HTML(elem_id="checks-found")
        with gr.Row():
            buttons = [gr.Button(visible=False, size="sm", min_width=260, elem_id=f"checks-try-{i}") for i in range(MOST_SHOWN)]
    fixes = gr.State([])

    def check(draft: dict[str, Any], watch: Watch) -> list[Any]:
        recipe = ready(draft)
        found, run = view(service, recipe, watch), subject(service, recipe, watch)
        shown = [gr.update(value=fix_text(finding, t), visible=True) for finding in found if finding.fix]
        hidden = [gr.update(visible=False)] * (MOST_SHOWN - len(shown))
        about = f"{recipe.name} \u00b7 {run}" if run else ""
        return [view_html(found, t, about), [finding.fix for finding in found if finding.fix], *shown, *hidden]

    outputs = [told, fixes, *buttons]
    frame.on(ask.click, check, [frame.draft, frame.watch], outputs, "checks", show_progress="minimal", show_progress_on=[told])
    for number, button in enumerate(buttons):

        def mend(recipe: Recipe, known: list[dict[str, Any]], number: int = number) -> Recipe:
            return recipe.replace(known[number]) if number < len(known) else recipe

        frame.opens(button.click, mend, [fixes], f"checks_try_{number + 1}")
        frame.on(button.click, lambda: sentence(t("checks.set"), "good"), [], [told], f"checks_set_{number + 1}")


def _plain(place: str, value: Any, t: Words) -> str:
    if isinstance(value, dict):
        return t(f"training.stop_{value['metric']}")
    return t("forms.empty") if value is None else t.get(f"verbalizers.any.fields.calibration.choices.{value}", str(value))
