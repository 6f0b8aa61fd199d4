"""The check "why does it not learn?" in the tab Train: findings as sentences, each with a button that sets what may mend it, or that opens
the tab where a person can mend it."""

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
# Where a person mends what no field does: with more rows or others, or with a model that reads longer texts.
TABS = {
    "few_rows": "data", "few_validation_rows": "data", "leak": "data", "unanswered": "data", "truncation": "model",
    "conversation_cut": "model", "answer_cut": "prompt",
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


def button_text(finding: Finding, t: Words) -> str:
    """What the button of a finding says that it does."""
    if finding.fix:
        return fix_text(finding, t)
    return t("checks.open", tab=t(f"{TABS[finding.code]}.tab"), what=t(f"checks.mend.{finding.code}"))


def build_findings(frame: Frame) -> None:
    """Lays out the check below the run and wires it."""
    t, service = frame.t, frame.service
    with gr.Column(elem_id="checks"):
        ask = gr.Button(t("checks.ask"), size="sm", elem_id="checks-ask")
        told = gr.HTML(elem_id="checks-found")
        with gr.Row():
            buttons = [gr.Button(visible=False, size="sm", min_width=260, elem_id=f"checks-try-{i}") for i in range(MOST_SHOWN)]
    shown = gr.State([])

    def check(draft: dict[str, Any], watch: Watch) -> list[Any]:
        recipe = ready(draft)
        found, run = view(service, recipe, watch), subject(service, recipe, watch)
        named = [gr.update(value=button_text(finding, t), visible=True) for finding in found]
        hidden = [gr.update(visible=False)] * (MOST_SHOWN - len(named))
        about = f"{recipe.name} \u00b7 {run}" if run else ""
        return [view_html(found, t, about), found, *named, *hidden]

    outputs = [told, shown, *buttons]
    frame.on(ask.click, check, [frame.draft, frame.watch], outputs, "checks", show_progress="minimal", show_progress_on=[told])
    for number, button in enumerate(buttons):

        def mend(recipe: Recipe, known: list[Finding], number: int = number) -> tuple[Recipe, Any, Any]:
            if number >= len(known):
                return recipe, gr.skip(), gr.skip()
            finding = known[number]
            if not finding.fix:
                return recipe, gr.update(selected=TABS[finding.code]), gr.skip()
            return recipe.replace(finding.fix), gr.skip(), sentence(t("checks.set"), "good")

        frame.opens(button.click, mend, [shown], f"checks_try_{number + 1}", [frame.tabs, told])


def _plain(place: str, value: Any, t: Words) -> str:
    if isinstance(value, dict):
        return t(f"training.stop_{value['metric']}")
    return t("forms.empty") if value is None else t.get(f"verbalizers.any.fields.calibration.choices.{value}", str(value))
