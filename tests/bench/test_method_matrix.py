"""The matrix of methods and models: every cell keeps its promises or is refused by name; a representative part runs always."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.bench.method_matrix import FAMILIES, OBJECTIVES, QUANTIZATIONS, Cell, CellError, load, run_cell, table
from workbench.methods import method_names

# (family, quantization, objective) that every method runs on in each run of the tests; the other cells are slow.
ALWAYS = [
    ("bert", "none", "verbalizer"),
    ("qwen2", "nf4", "verbalizer"),
    ("albert", "none", "head"),
    ("llama", "int8", "head"),
    ("gpt2", "nf4", "verbalizer"),
]
NO_BIASES = {"qwen3", "llama", "gemma3"}
DECODERS = {"qwen2", "qwen3", "llama", "gemma3", "gpt2"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def models(root: Path):
    kept: dict[tuple[str, str], object] = {}

    def get(family: str, quantization: str):
        if (family, quantization) not in kept:
            kept.clear()  # the order of the cells keeps one model at a time
            kept[family, quantization] = load(family, quantization, root)
        return kept[family, quantization]

    return get


def check(method: str, family: str, quantization: str, objective: str, models) -> None:
    cell = run_cell(method, objective, models(family, quantization))
    refused = expected(method, family, quantization, objective)
    if refused is None:
        assert cell.refusal is None
    else:
        assert cell.refusal is not None and refused in cell.refusal


def expected(method: str, family: str, quantization: str, objective: str) -> str | None:
    """A part of the reason for which a cell is refused; None for cells that run."""
    if method == "full" and quantization != "none":
        return f"cannot train {quantization} weights"
    if method == "bias" and family in NO_BIASES:
        return "no bias vectors"
    # The dense layer of a masked model's head is quantized with the rest; with a head of the verbalizer's own nothing of it trains.
    if method == "head" and quantization != "none" and objective == "verbalizer" and family not in DECODERS:
        return "which is quantized"
    return None


@pytest.mark.parametrize(("family", "quantization", "objective"), ALWAYS)
@pytest.mark.parametrize("method", method_names())
def test_representative_cells(method: str, family: str, quantization: str, objective: str, models) -> None:
    check(method, family, quantization, objective, models)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_all_cells_of_a_model(quantization: str, family: str, models) -> None:
    for method in method_names():
        for objective in OBJECTIVES:
            check(method, family, quantization, objective, models)


def test_a_method_that_moves_what_is_not_its_own_is_caught(models, monkeypatch) -> None:
    from workbench.methods.soft_prompt import SoftPrompt

    model = models("bert", "none").model
    honest = SoftPrompt.parameters
    bias = model.cls.predictions.bias

    def greedy(self):
        bias.requires_grad_(True)
        bias.data.add_(1.0)
        return honest(self)

    kept = bias.data.clone()
    monkeypatch.setattr(SoftPrompt, "parameters", greedy)
    with pytest.raises(CellError, match="not its own|as it was"):
        run_cell("soft_prompt", "verbalizer", models("bert", "none"))
    bias.data.copy_(kept)


def test_the_table_says_what_runs_and_why_the_rest_does_not() -> None:
    def cells(method: str, refused: dict[tuple[str, str], str]):
        return [Cell(method, "bert", q, o, refused.get((q, o))) for q in QUANTIZATIONS for o in OBJECTIVES]

    everything = {(q, o): "It has none." for q in QUANTIZATIONS for o in OBJECTIVES}
    text = table(
        [
            *cells("a", {}),
            *cells("b", everything),
            *cells("c", {("int8", "head"): "Too big.", ("int8", "verbalizer"): "Too big."}),
            *cells("d", {("nf4", "head"): "Not that."}),
        ]
    )
    assert "| `a` | all |" in text and "| `b` | none (1) |" in text
    assert "| `c` | all but int8 (2) |" in text and "| `d` | all but nf4 with head (3) |" in text
    assert "1. It has none.\n2. Too big.\n3. Not that." in text
