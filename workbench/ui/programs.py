"""Trained runs for programs: HTTP endpoints in gradio's own protocol.

The same server, the same guard in front, the same service: a program asks for what a person may ask for, and for no run of anybody else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.access import acting_as
from workbench.errors import RunError, WorkbenchError
from workbench.ui.frame import asking, ended_as_sentence

PATH = "/programs"
MOST_TEXTS = 1000


def build(service: Any) -> gr.Blocks:
    """An application without a page: the endpoints `runs` and `predict` over a service."""

    def runs(request: gr.Request) -> list[dict[str, Any]]:
        """Lists the trained runs that can answer: id, name, method, and accuracy on their validation rows."""
        return answered(service, request, functools.partial(list_runs, service))

    def predict(run: str, texts: list[str], request: gr.Request) -> list[dict[str, Any]]:
        """Classifies texts with a trained run. Gives, for each text, the label and the probability of every label.

        Args:
            run: The id of a run, or the beginning of one; the endpoint runs lists them.
            texts: The texts, at most a thousand.
        """
        return answered(service, request, functools.partial(classify, service, run, texts))

    with gr.Blocks(title="Prompt Workbench", analytics_enabled=False) as programs:
        gr.api(runs, api_name="runs")
        gr.api(predict, api_name="predict")
    return programs


def mount(app: Any, service: Any) -> None:
    """Puts the endpoints under /programs of an application."""
    gr.mount_gradio_app(
        app, build(service).queue(default_concurrency_limit=4), path=PATH, server_name="127.0.0.1", footer_links=["api"], run_history=False,
        show_error=False, max_file_size=0, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        blocked_paths=[str(service.root)],
    )  # fmt: skip


def list_runs(service: Any) -> list[dict[str, Any]]:
    """Runs whose labels can be asked for, newest first."""
    found = [run for run in service.runs() if run.status == "finished" and "accuracy" in (run.metrics or {})]
    return [{"run": run.id, "name": run.name, "method": run.method, "accuracy": run.metrics["accuracy"]} for run in found]


def classify(service: Any, run: str, texts: list[str]) -> list[dict[str, Any]]:
    """Label and probabilities of each text.

    Raises:
        RunError: there is no such run, it reads more than one field, or too many texts came.
    """
    if not isinstance(texts, list) or not texts or len(texts) > MOST_TEXTS or not all(isinstance(text, str) for text in texts):
        raise RunError(f"texts must be a list of 1 to {MOST_TEXTS} strings.", fix='Send {"run": ID, "texts": ["..."]}.')
    predictor = service.predictor(service.resolve(run))
    names = predictor.recipe.fields
    if len(names) != 1:
        raise RunError(f"This run reads the fields {', '.join(names)}.", fix="Ask it on the command line with `predict` and a file.")
    answers = predictor.predict([{names[0]: text} for text in texts], label_words=False)
    return [{"label": answer.label, "probabilities": answer.probabilities} for answer in answers]


def answered(service: Any, request: gr.Request | None, work: Callable[[], Any]) -> Any:
    """The work done for whoever asks; a mistake is answered with its sentence, a bug with the id under which the log has it."""

    def mistake(error: WorkbenchError) -> None:
        raise gr.Error(f"{error.message} {error.fix}".strip(), print_exception=False) from None

    def bug(error_id: str) -> None:
        raise gr.Error(f"Something broke in the workbench (error {error_id}).", print_exception=False) from None

    with ended_as_sentence(service.root, "program", mistake, bug), acting_as(asking(request)):
        return work()


def snippets(run: str, text: str) -> dict[str, str]:
    """How to ask a run from other programs: curl, Python and JavaScript, ready to be copied. ADDRESS stands for the server's own."""
    from json import dumps

    said, body = dumps(text, ensure_ascii=False), dumps({"run": run, "texts": [text]}, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    return {
        "curl": (
            f"ID=$(curl -s ADDRESS{PATH}/gradio_api/call/v2/predict -H 'Content-Type: application/json' -d '{quoted}' | cut -d'\"' -f4)\n"
            f"curl -sN ADDRESS{PATH}/gradio_api/call/v2/predict/$ID"
        ),
        "python": (
            "from gradio_client import Client\n\n"
            f'client = Client("ADDRESS{PATH}/")\n'
            f'print(client.predict("{run}", [{said}], api_name="/predict"))'
        ),
        "javascript": (
            'import { Client } from "@gradio/client";\n\n'
            f'const client = await Client.connect("ADDRESS{PATH}/");\n'
            f'const answer = await client.predict("/predict", {body});\n'
            "console.log(answer.data);"
        ),
    }
