"""Trained runs for programs: HTTP endpoints in gradio's own protocol, and the same as tools of gradio's MCP server.

The same server, the same guard in front, the same service: a program asks for what a person may ask for, and for no run of anybody else.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from workbench.access import acting_as
from workbench.errors import RunError, WorkbenchError
from workbench.models.imports import import_transformers
from workbench.recipe import Recipe
from workbench.runs.faults import ended_as_sentence
from workbench.ui.beside import asked_fields, writes_text
from workbench.ui.frame import asking

PATH = "/programs"
MCP_PATH = f"{PATH}/gradio_api/mcp"
MOST_TEXTS = 1000
MOST_PROMPTS = 32
MOST_TOKENS = 512
MOST_AT_ONCE = 4
# One text of a run that reads one field, or the text of every field that it reads.
Said = str | dict[str, str]


class Refusal(gr.Error):
    """A sentence for the program that asked. gradio's own error reaches an MCP client in quotation marks."""

    def __str__(self) -> str:
        return self.message


def build(service: Any) -> gr.Blocks:
    """An application without a page: the endpoints `runs`, `predict` and `write` over a service."""

    def runs(request: gr.Request) -> list[dict[str, Any]]:
        """Lists the models trained in Prompt Workbench that can answer now, newest first: for each its id (run), its name, the method it
        was tuned with, the tool that asks it (predict for text classifiers, write for models that write), the fields that it reads, and how
        good it is on validation rows: a classifier's accuracy (0 to 1, higher is better), the perplexity of one that writes (above 1, lower
        is better).
        """
        return answered(service, request, functools.partial(list_runs, service))

    def predict(run: str, texts: list[Said], request: gr.Request) -> list[dict[str, Any]]:
        """Classifies texts with one trained run. Answers, for each text in the order given, the label and the probability of every label.

        Args:
            run: The id of a trained run, or the beginning of one that no other id begins with. The tool runs lists the ids.
            texts: The texts to classify, 1 to 1000 strings. A run that reads several fields takes mappings of a field to its text instead:
                {"premise": "...", "hypothesis": "..."}.
        """
        return answered(service, request, functools.partial(classify, service, run, texts))

    def write(run: str, texts: list[Said], request: gr.Request, tokens: int = 64) -> list[str]:
        """Lets one trained run that writes answer. Gives, for each text in the order given, what the model writes behind it: always the
        most probable token.

        Args:
            run: The id of a trained run, or the beginning of one that no other id begins with. The tool runs lists the ids.
            texts: The questions or beginnings, 1 to 32 strings, or mappings of fields to texts as for predict.
            tokens: The most tokens of an answer, 1 to 512.
        """
        return answered(service, request, functools.partial(written, service, run, texts, tokens))

    with gr.Blocks(title="Prompt Workbench", analytics_enabled=False) as programs:
        # Not queued: gradio's MCP server asks for what is queued through an HTTP client of its own, which carries no log-in, and finds
        # its server by the request's X-Forwarded-Host, which anybody may write. As many threads as the queue would give bound the work.
        gr.api(runs, api_name="runs", queue=False)
        gr.api(predict, api_name="predict", queue=False)
        gr.api(write, api_name="write", queue=False)
    programs.max_threads = MOST_AT_ONCE
    return programs


def mount(app: FastAPI, service: Any) -> gr.Blocks:
    """Puts the endpoints under /programs of an application, which must run its lifespan; gives what was mounted.

    Raises:
        RuntimeError: gradio has no MCP server, by its own words.
    """
    programs = build(service).queue(default_concurrency_limit=MOST_AT_ONCE)
    # In front of gradio's own routes below that path, which are thereby never reached.
    door = StreamableHTTP(programs)
    app.router.routes += [Route(MCP_PATH, door), Mount(MCP_PATH, door)]
    gr.mount_gradio_app(
        app, programs, path=PATH, server_name="127.0.0.1", footer_links=["api"], run_history=False,
        show_error=False, max_file_size=0, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=True,
        blocked_paths=[str(service.root)],
    )  # fmt: skip
    if programs.mcp_server_obj is None:
        raise RuntimeError(programs.mcp_error)
    programs.mcp_server_obj.postprocess_output_data = as_json  # type: ignore[method-assign]
    return programs


def as_json(values: list[Any], root_url: str) -> list[Any]:
    """What an MCP client gets of an answer. gradio would write lists and mappings down as Python does, which no other language reads."""
    from mcp.types import TextContent

    return [TextContent(type="text", text=json.dumps(value, ensure_ascii=False)) for value in values]


class StreamableHTTP:
    """ASGI application: posts reach gradio's MCP server over streamable HTTP, and what its tools take can be read at /schema, as gradio's
    page about the endpoints does.

    Left out are the older transport (/sse, /messages), whose calls are answered on another request than the one that the guard counts; the
    stream that a GET opens, which says nothing where no session is kept; and gradio's page for people, which puts the path that was asked
    for into a script as it is.
    """

    def __init__(self, programs: gr.Blocks) -> None:
        self._programs = programs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server, path, method = self._programs.mcp_server_obj, scope["path"].rstrip("/"), scope["method"]
        if server is not None and path == f"{MCP_PATH}/schema" and method == "GET":
            answer = await server.get_complete_schema(Request(scope))
            await answer(scope, receive, send)
        elif path != MCP_PATH:
            await PlainTextResponse("Nothing is here.", 404)(scope, receive, send)
        elif server is None or method != "POST":
            refusal = PlainTextResponse("MCP clients post here (streamable HTTP).", 405, headers={"allow": "POST"})
            await refusal(scope, receive, send)
        else:
            await server.manager.handle_request(scope, receive, send)


def list_runs(service: Any) -> list[dict[str, Any]]:
    """Runs that can be asked, newest first, each with the endpoint that asks it and its figure."""
    found = []
    for run in service.runs():
        figures = {name: value for name, value in (run.metrics or {}).items() if name in ("accuracy", "perplexity")}
        if run.status == "finished" and (figures or run.kind == "train"):
            try:
                fields = list(asked_fields(service.store.recipe(run.id)))
            except WorkbenchError:  # its recipe is damaged: nobody can ask it, and the others are still there
                continue
            ask = "write" if writes_text(service, run) else "predict"
            found.append({"run": run.id, "name": run.name, "method": run.method, "ask": ask, "fields": fields, **figures})
    return found


def classify(service: Any, run: str, texts: list[Said]) -> list[dict[str, Any]]:
    """Label and probabilities of each text.

    Raises:
        RunError: there is no such run, too many texts came, or one that does not name the fields that the run reads.
    """
    _check_texts(texts, MOST_TEXTS)
    predictor = service.predictor(service.resolve(run))
    answers = predictor.predict(_rows(texts, predictor.recipe), label_words=False)
    return [{"label": answer.label, "probabilities": answer.probabilities} for answer in answers]


def written(service: Any, run: str, texts: list[Said], tokens: int) -> list[str]:
    """What a run writes behind each text, at most `tokens` tokens, always the most probable one.

    Raises:
        RunError: as `classify`, or the run chooses between classes, or too many tokens are asked for.
    """
    from workbench.serving.generator import Sampling

    _check_texts(texts, MOST_PROMPTS)
    if not isinstance(tokens, int) or not 1 <= tokens <= MOST_TOKENS:
        raise RunError(f"tokens must be a number from 1 to {MOST_TOKENS}.", fix="Leave it out for 64.")
    generator = service.generator(service.resolve(run))
    return generator.answers(_rows(texts, generator.recipe), Sampling(max_new_tokens=tokens))


def _check_texts(texts: Any, most: int) -> None:
    if not isinstance(texts, list) or not 1 <= len(texts) <= most or not all(map(_is_said, texts)):
        fix = 'Send {"run": ID, "texts": ["..."]}, or [{FIELD: "..."}] for a run that reads several fields.'
        raise RunError(f"texts must be a list of 1 to {most} strings, or of mappings of fields to strings.", fix=fix)


def _is_said(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


def _rows(texts: list[Said], recipe: Recipe) -> list[dict[str, str]]:
    names = asked_fields(recipe)
    rows = [dict.fromkeys(names[:1], text) if isinstance(text, str) else text for text in texts]
    for number, row in enumerate(rows, 1):
        if set(row) != set(names):
            fix = "Send a mapping of each of them to its text."
            raise RunError(f"This run reads the fields {', '.join(names)}, which text {number} does not give.", fix=fix)
    return rows


def answered(service: Any, request: gr.Request | None, work: Callable[[], Any]) -> Any:
    """The work done for whoever asks; a mistake is answered with its sentence, a bug with the id under which the log has it."""

    def mistake(error: WorkbenchError) -> None:
        raise Refusal(f"{error.message} {error.fix}".strip(), print_exception=False) from None

    def bug(error_id: str) -> None:
        raise Refusal(f"Something broke in the workbench (error {error_id}).", print_exception=False) from None

    import_transformers()
    with ended_as_sentence(service.root, "program", mistake, bug), acting_as(asking(request)):
        return work()


def snippets(run: str, said: Said, *, asks: str = "predict", token: bool = False) -> dict[str, str]:
    """How to ask a run from other programs: curl, Python, JavaScript and the settings of an MCP client, ready to be copied.

    Args:
        asks: the endpoint that asks the run, `predict` or `write`.
        token: whether the server asks for a word, for which TOKEN then stands; ADDRESS stands for the server's own.
    """
    text, run_said, body = (json.dumps(value, ensure_ascii=False) for value in (said, run, {"data": [run, [said]]}))
    quoted = body.replace("'", "'\\''")
    bearer = {"Authorization": "Bearer TOKEN"} if token else {}
    headers = json.dumps({"Content-Type": "application/json", **bearer})
    server = {"type": "http", "url": f"ADDRESS{MCP_PATH}/", **({"headers": bearer} if token else {})}
    return {
        "curl": (
            f"curl -s ADDRESS{PATH}/gradio_api/run/{asks} -H 'Content-Type: application/json' \\\n"
            + ("  -H 'Authorization: Bearer TOKEN' \\\n" if token else "")
            + f"  -d '{quoted}'"
        ),
        "python": (
            "from gradio_client import Client\n\n"
            f'client = Client("ADDRESS{PATH}/"{f", headers={json.dumps(bearer)}" if token else ""})\n'
            f'print(client.predict({run_said}, [{text}], api_name="/{asks}"))'
        ),
        "javascript": (
            f'const answer = await fetch("ADDRESS{PATH}/gradio_api/run/{asks}", {{\n'
            f'  method: "POST",\n  headers: {headers},\n  body: JSON.stringify({body}),\n}});\n'
            "console.log((await answer.json()).data[0]);"
        ),
        "mcp": json.dumps({"mcpServers": {"prompt-workbench": server}}, indent=2),
    }
